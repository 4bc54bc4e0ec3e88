"""Captions of one object each, of which a picture tells where the object is: for GAN dissection.

A caption names shape, colour, size and background, so its object's mask can be read off whatever a
generator draws for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from gandiff.experiments.scenes.captions import worded
from gandiff.experiments.scenes.facts import (
    COLOURS,
    SHAPES,
    Facts,
    Scenes,
    sample_scenes,
    scene_seeds,
    uniform,
)
from gandiff.experiments.scenes.render import BACKGROUND_RGB, OBJECT_RGB

SPLIT = "validation"
_STREAM = 1 << 29  # of random draws; captions have those from 0 on, edits those from 1 << 30 on


class SingleObjects(NamedTuple):
    """Scenes of one object with captions that say all, and which of them show each concept."""

    scenes: Scenes
    captions: list[str]
    concepts: dict[str, Bool[np.ndarray, " n"]]


def single_objects(n: int) -> SingleObjects:
    """The first n scenes of one object; concepts are any ``object``, the shapes and the colours."""
    seeds = scene_seeds(SPLIT, 0, 3 * n + 64)  # half of all scenes have one object
    seeds = seeds[sample_scenes(seeds).count == 1][:n]
    scenes = sample_scenes(seeds)
    one, unstated = np.ones_like(scenes.count), np.full_like(scenes.relation, -1)
    facts = Facts(one, one, scenes.background, scenes.shape, scenes.colour, scenes.size, unstated)
    concepts = {"object": np.ones(len(seeds), bool)}
    concepts |= {name: scenes.shape[:, 0] == i for i, name in enumerate(SHAPES)}
    concepts |= {name: scenes.colour[:, 0] == i for i, name in enumerate(COLOURS)}
    return SingleObjects(scenes, worded(facts, uniform(seeds, _STREAM, 12)), concepts)


def object_shares(
    pictures: UInt8[np.ndarray, "n h w 3"], scenes: Scenes
) -> Float32[np.ndarray, "n h w"]:
    """How much of each pixel, 0 to 1, shows the object that the scene has in slot 0.

    That is how far its colour lies on the way from the background's to the object's, as scenes have
    them: their jitter is small beside it.
    """
    ground = BACKGROUND_RGB[scenes.background]
    way = OBJECT_RGB[scenes.colour[:, 0]] - ground
    along = np.einsum("nhwc,nc->nhw", pictures - ground[:, None, None], way)
    shares = np.clip(along / (way**2).sum(1)[:, None, None], 0, 1)
    return np.asarray(shares, np.float32)
