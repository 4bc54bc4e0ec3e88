"""A generator that does something wrong at one stage of its life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gandiff.models.generator import (
    Ability,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
)


class Bad(Generator):
    """Raises something at one stage of its life."""

    def __init__(self, name: str, at: str, error: str = "TypeError") -> None:
        self._name, self._at = name, at
        self._error = {
            "TypeError": TypeError("not like this"),
            "KeyError": KeyError("not like this"),
            "Memory": MemoryError("not like this"),
            "Permission": PermissionError(13, "Permission denied", "/etc/shadow"),
        }[error]
        self._is_loaded = False
        self._maybe("build")

    def _maybe(self, stage: str) -> None:
        if stage == self._at:
            raise self._error

    @property
    def info(self) -> GeneratorInfo:
        self._maybe("facts")
        if self._is_loaded:
            self._maybe("info")
        abilities: frozenset[Ability] = frozenset({"text_to_image", "trace"})
        return GeneratorInfo(name=self._name, family="gan", resolution=32, abilities=abilities)

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        self._maybe("load")
        self._is_loaded = True

    def unload(self) -> None:
        self._maybe("unload")

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        self._maybe("generate")
        if self._at == "timing" and len({r.prompt_id for r in requests}) == 1:
            raise self._error
        if self._at == "result":
            return None  # type: ignore[return-value]
        if self._at == "results":
            return [3] * len(requests)  # type: ignore[list-item]
        rngs = [np.random.default_rng(r.seed) for r in requests]
        return [Generation(image=r.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for r in rngs]

    def trace(self, request: GenerationRequest, steps: Sequence[int]) -> Any:
        self._maybe("trace")
        return [] if self._at != "frames" else [3]
