"""A generator for tests that edits scenes: it looks up what the edit was to make."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from run_helpers import write_comparison

from gandiff.experiments.scenes.edits import Edit, edit_pictures, edit_suite
from gandiff.models.generator import Family, Generation, GenerationRequest, Generator, GeneratorInfo

EDITOR = f"{Path(__file__)}:SceneEditor"
KNOWN = 40  # edits of the split test, and as many of a kind


@functools.cache
def _edits() -> dict[str, Edit]:
    return {edit.id: edit for edit in edit_suite("test", 5 * KNOWN)}


class SceneEditor(Generator):
    """Gives the target of each edit with noise of ``noise`` levels in what it made; of every
    ``misses``-th seed (0: of none) it gives back the scene before. Known pixels are put back.
    """

    def __init__(
        self,
        name: str,
        family: Family = "diffusion",
        noise: int = 4,
        misses: int = 0,
        side: int = 32,
    ) -> None:
        self._noise, self._misses, self._side = noise, misses, side
        self._info = GeneratorInfo(
            name=name,
            family=family,
            resolution=side,
            parameters=3,
            abilities=frozenset({"image_to_image", "inpaint", "paint", "control"}),
        )

    @property
    def info(self) -> GeneratorInfo:
        return self._info

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        return [self._one(request) for request in requests]

    def _one(self, request: GenerationRequest) -> Generation:
        drawn = edit_pictures(_edits()[str(request.prompt_id)], self._side)
        missed = self._misses and request.seed % self._misses == 0
        random = np.random.default_rng(request.seed)
        noise = random.integers(-self._noise, self._noise + 1, drawn.target.shape)
        before = drawn.source if missed else drawn.target
        made = np.clip(before + noise, 0, 255).astype(np.uint8)
        if request.mask is None or request.init_image is None:
            return Generation(image=made)
        inside = request.mask[..., None] == 255
        known = np.where(inside, made, request.init_image)
        return Generation(image=known, uncomposited=made)


def write_scene_edits(place: Path, task: str, prompts: int = 5, **changes: object) -> Path:
    """Write a comparison of two editors of scenes, the second of which misses many."""
    fields = {
        "suite": {"name": "scene-edits", "prompts": prompts},
        "task": task,
        "generators": {
            "gan": {"type": EDITOR, "family": "gan", "misses": 2, "noise": 12},
            "toy": {"type": EDITOR},
        },
        **changes,
    }
    return write_comparison(place, name="edits", **fields)
