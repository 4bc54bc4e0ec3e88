"""A generator that fails for the prompts that a file names, until it names them no more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from toy_generators import SIDE

from gandiff.models.generator import (
    Cost,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
)


class Flaky(Generator):
    """Fails for the prompts that a file names, each with the reason written behind it."""

    def __init__(
        self, name: str, faults: str, log: str = "", cost: Cost = "compute", steady: bool = True
    ) -> None:
        self._faults, self._log = Path(faults), Path(log)
        self._steady = steady
        self._info = GeneratorInfo(name=name, family="gan", resolution=SIDE, cost=cost)

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        if "load" in self._known():
            raise OSError(self._known()["load"])

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        with self._log.open("a") as log:
            log.write("begin " + " ".join(f"{r.prompt_id}_{r.sample}" for r in requests) + "\n")
        faults = self._known()
        for request in requests:
            if faults.get(request.prompt, "").startswith("raise"):
                raise RuntimeError(faults[request.prompt])
        return [self._one(request, faults.get(request.prompt)) for request in requests]

    def _known(self) -> dict[str, str]:
        text = self._faults.read_text() if self._faults.exists() else "{}"
        known: dict[str, str] = json.loads(text)
        return known

    def _one(self, request: GenerationRequest, reason: str | None) -> Generation:
        if reason:
            return Generation(image=None, status="failed", reason=reason)
        rng = np.random.default_rng(request.seed if self._steady else None)
        return Generation(image=rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
