"""Generators that know the truth about scenes, or nothing at all; and runs of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.experiments.api import RunSummary, build, run_comparison
from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import scene_suite

SIDE = 32  # px
QUICK: dict[str, Any] = {
    "samples_per_prompt": 2,
    "device": "cpu",
    "timing": {"warmup": 0, "repeats": 1, "batch_sizes": [1]},
    "report": {"gallery_prompts": 2, "trace_prompts": 1},
}


@functools.cache
def expected() -> dict[str, Mapping[str, Any]]:
    """What the first prompts of the suite state, by their text."""
    return {prompt["text"]: prompt["expected"] for prompt in scene_suite("test", 12)}


def truth(prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    """Draw exactly what each prompt asks for; what it leaves open follows from the seed."""
    return [
        render(matching_scenes(expected()[prompt], 1, seed), SIDE)[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def noise(prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    """Draw noise, whatever is asked for."""
    shape = (SIDE, SIDE, 3)
    return [np.random.default_rng(s).integers(0, 256, shape, dtype=np.uint8) for s in seeds]


def black(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
    """Fail every time."""
    return np.zeros((len(prompts), SIDE, SIDE, 3), dtype=np.uint8)


def patchy(prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    """Draw the truth, but for both images of one prompt and one of another, which are black."""
    made, texts = truth(prompts, seeds), list(expected())
    first = prompts.index(texts[0])
    return [
        np.zeros_like(image) if prompts[i] == texts[3] or i == first else image
        for i, image in enumerate(made)
    ]


def crash(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
    """Work for the prompts of the suite, in batches; break on a single image."""
    if len(prompts) == 1:
        raise RuntimeError("one is too few\nfor this toy")
    return np.stack(noise(prompts, seeds))


truth.family = "gan"  # type: ignore[attr-defined]
noise.family = "diffusion"  # type: ignore[attr-defined]


def score(
    folder: Path,
    generators: Mapping[str, Any],
    metrics: Sequence[str],
    suite: Any = None,
    **settings: Any,
) -> RunSummary:
    """Make and score a small run of Python objects, without its report."""
    chosen = {"name": "scenes", "prompts": 6} if suite is None else suite
    comparison, objects = build(generators, chosen, metrics, {**QUICK, **settings})
    return run_comparison(comparison, folder, until="score", quiet=True, **objects)
