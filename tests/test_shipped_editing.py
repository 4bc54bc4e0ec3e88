"""The shipped diffusion pipeline edits pictures through plain diffusers classes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
from gandiff.experiments.scenes.render import render
from gandiff.models.weights import PRETRAINED

FOLDER = PRETRAINED / "diffusion-scenes"
CAPTION = "a red star"


@functools.cache
def source() -> Image.Image:
    """A scene."""
    return Image.fromarray(render(sample_scenes(scene_seeds("test", 3, 1)))[0])


@functools.cache
def pipeline(name: str) -> Any:
    import diffusers

    pipe = getattr(diffusers, name).from_pretrained(FOLDER)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call(name: str, **how: Any) -> np.ndarray[Any, Any]:
    random = torch.Generator().manual_seed(5)
    made = pipeline(name)(CAPTION, image=source(), generator=random, output_type="np", **how)
    picture: np.ndarray[Any, Any] = made.images[0]
    assert picture.shape == (32, 32, 3)
    return picture


def apart(a: Any, b: Any) -> float:
    return float(np.abs(a - b).mean())


def test_the_more_strength_the_further_from_the_picture() -> None:
    given = np.asarray(source()) / 255
    distances = [
        apart(given, call("StableDiffusionImg2ImgPipeline", strength=s, num_inference_steps=20))
        for s in (0.1, 0.5, 1.0)
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.1 < distances[-1]


def test_inpainting_leaves_what_is_outside_of_the_mask_nearly_as_it_was() -> None:
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[:, 16:] = 255
    how = {"strength": 1.0, "num_inference_steps": 20}
    size = {"mask_image": Image.fromarray(mask), "height": 32, "width": 32}
    made = call("StableDiffusionInpaintPipeline", **size, **how)
    free = call("StableDiffusionImg2ImgPipeline", **how)
    given = np.asarray(source()) / 255
    outside = (slice(None), slice(12))
    assert apart(made[outside], given[outside]) < 0.1
    assert apart(made[outside], given[outside]) < apart(free[outside], given[outside]) / 2


@pytest.mark.parametrize("name", ["StableDiffusionImg2ImgPipeline"])
def test_another_seed_changes_the_edit(name: str) -> None:
    pipe = pipeline(name)
    made = [
        pipe(
            CAPTION,
            image=source(),
            strength=0.8,
            num_inference_steps=10,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images[0]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert apart(made[0], made[2]) > 0.01
