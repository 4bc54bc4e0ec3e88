"""A perfect generator of scenes: it draws a scene that the caption was written for.

In a comparison, ``type: gandiff.experiments.scenes.oracle:sample`` gives the value of every metric
that a perfect model of scenes would get, beside the models: the Fréchet distance of real scenes to
real scenes at the same number, full accuracy, a diversity ratio near one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import scene_suite


def sample(
    prompts: Sequence[str],
    seeds: Sequence[int],
    split: str = "test",
    known: int = 2000,
    resolution: int = 32,
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A scene for each prompt, which must be among the first ``known`` of the suite's split.

    Raises ``LookupError`` for any other prompt: it does not understand words.
    """
    facts = _facts(split, known)
    images = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        if prompt not in facts:
            raise LookupError(
                f"{prompt!r} is not among the first {known} prompts of the suite 'scenes', split "
                f"{split!r}; the oracle only looks prompts up"
            )
        images.append(render(matching_scenes(facts[prompt], 1, seed), resolution)[0])
    return images


sample.family = "other"  # type: ignore[attr-defined]
sample.resolution = 32  # type: ignore[attr-defined]
sample.cost = "compute"  # type: ignore[attr-defined]


@functools.cache
def _facts(split: str, known: int) -> Mapping[str, Any]:
    return {one["text"]: one["expected"] for one in scene_suite(split, known)}
