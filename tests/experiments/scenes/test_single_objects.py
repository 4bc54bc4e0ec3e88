"""Captions of one object, and where the object is in a picture of it."""

from __future__ import annotations

import numpy as np

from gandiff.experiments.scenes.facts import COLOURS, SHAPES
from gandiff.experiments.scenes.maps import is_covered, object_masks
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.single_objects import object_shares, single_objects


def test_captions_say_everything_of_one_object() -> None:
    made = single_objects(200)
    assert len(made.captions) == len(made.scenes) == 200
    assert (made.scenes.count == 1).all()
    for i, caption in enumerate(made.captions):
        named = [concept for concept, which in made.concepts.items() if which[i]]
        assert named == [
            "object",
            SHAPES[made.scenes.shape[i, 0]],
            COLOURS[made.scenes.colour[i, 0]],
        ]
        assert all(name in caption for name in named[1:])
    assert single_objects(20).captions == made.captions[:20]


def test_shares_are_those_of_the_renderer() -> None:
    scenes = single_objects(200).scenes
    truth = is_covered(object_masks(scenes)[:, 0])
    found = is_covered(object_shares(render(scenes), scenes))
    iou = (truth & found).sum((1, 2)) / (truth | found).sum((1, 2))
    assert np.mean(iou) > 0.97
    assert iou.min() > 0.7
