"""Generators for tests: fast, numpy only, and able to fail in every way that a real one can."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError
from gandiff.models.generator import Family, Generation, GenerationRequest, Generator, GeneratorInfo

SIDE = 8  # px


class ToyGenerator(Generator):
    """Noise from the seed alone; ``log`` is a file that gets a line for each call.

    Prompts that hold one of the words below are treated accordingly.
    """

    def __init__(
        self,
        name: str,
        log: str = "",
        family: Family = "gan",
        shade: int = 0,
        delay: float = 0.0,
        broken: str = "",
    ) -> None:
        if broken == "build":
            raise GeneratorError("the toy does not want to be built")
        self._log = log
        self._delay = delay
        self._broken = broken
        self._shade = shade
        self._info = GeneratorInfo(name=name, family=family, resolution=SIDE, parameters=3)

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        if self._broken == "load":
            raise GeneratorError("the toy does not want to be loaded")
        self._write(f"load {device} {dtype}")

    def unload(self) -> None:
        self._write("unload")

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        self._write("begin " + " ".join(f"{r.prompt_id}_{r.sample}" for r in requests))
        if self._delay:
            time.sleep(self._delay)
        prompts = " ".join(r.prompt for r in requests)
        if "RAISE" in prompts:
            raise RuntimeError("the toy broke\non two lines")
        if "MEMORY" in prompts:
            raise MemoryError("no more")
        if "CUDA-OOM" in prompts:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if "INTERRUPT" in prompts:
            raise KeyboardInterrupt
        if "KILL" in prompts:
            os.kill(os.getpid(), signal.SIGKILL)
        made = [self._one(request) for request in requests]
        self._write("end")
        return made[:-1] if "SHORT" in prompts else made

    def _one(self, request: GenerationRequest) -> Generation:
        rng = np.random.default_rng(request.seed)
        image = rng.integers(self._shade, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        if "BLACK" in request.prompt:
            image = np.zeros_like(image)
        if "FLAT" in request.prompt:
            image = np.full_like(image, 7)
        if "WIDE" in request.prompt:
            image = np.concatenate([image, image], axis=1)
        if "GREY" in request.prompt:
            grey = Generation(image=image)
            object.__setattr__(grey, "image", image[..., 0])  # past the checks that tests switch on
            return grey
        if "NAN" in request.prompt:
            return Generation(image=None, status="failed", reason="NaN in the image")
        if "RUDE" in request.prompt:
            return Generation(image=None, status="filtered", reason="the safety checker said no")
        cut = {"text": 3} if "LONG" in request.prompt else {}
        return Generation(image=image, truncated_tokens=cut, nfe=2)

    def _write(self, line: str) -> None:
        if self._log:
            # One write of one line: whole even if the process is killed right after.
            handle = os.open(Path(self._log), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{line}\n".encode())
            os.close(handle)


class EditToy(ToyGenerator):
    """Mixes the noise of a seed into the init or control image: as much as ``strength`` says, half
    without it, inside of the mask if there is one. ``tasks`` are its abilities, space between.
    """

    def __init__(
        self,
        name: str,
        log: str = "",
        tasks: str = "image_to_image inpaint control",
        family: Family = "diffusion",
        side: int = SIDE,
    ) -> None:
        super().__init__(name, log, family)
        abilities: frozenset[Any] = frozenset(tasks.split())
        self._info = dataclasses.replace(self._info, abilities=abilities, resolution=side)

    def _one(self, request: GenerationRequest) -> Generation:
        before = request.init_image if request.control_image is None else request.control_image
        assert before is not None
        noise = np.random.default_rng(request.seed).integers(0, 256, before.shape)
        share = 0.5 if request.strength is None else request.strength
        mixed = np.rint((1 - share) * before + share * noise).astype(np.uint8)
        if request.mask is None:
            return Generation(image=mixed)
        known = np.where(request.mask[..., None] == 255, mixed, before)
        made = Generation(image=known, uncomposited=mixed)
        if "TORN" in request.prompt:
            object.__setattr__(made, "uncomposited", mixed[1:])  # past the checks of tests
        return made


def paint(prompts: list[str], seeds: list[int], shade: int = 0) -> np.ndarray:
    """Make images, as a plain function does."""
    return np.stack(
        [
            np.random.default_rng(s).integers(shade, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            for s in seeds
        ]
    )


def painter(*, shade: int, strength: float = 1.0):  # type: ignore[no-untyped-def]
    """Return a plain function that makes images."""
    del strength
    return lambda prompts, seeds: paint(prompts, seeds, shade)


def not_a_generator() -> int:
    """Return something useless."""
    return 3


nothing_to_call = 3
