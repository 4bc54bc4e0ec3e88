"""The shipped diffusion model edits pictures behind our contract, and takes ControlNets."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gandiff.evaluate.numerics.regions import filled, filled_outline, foreground, overlap, planes
from gandiff.experiments.scenes.edits import edit_pictures, edit_suite
from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
from gandiff.experiments.scenes.maps import depth, outlines
from gandiff.models.diffusion.loading import load_pipeline
from gandiff.models.diffusion.networks import build_controlnet
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.sources import find_source
from gandiff.models.generator import Generation, GenerationRequest
from gandiff.models.weights import PRETRAINED, shipped_names

STEPS = 10
SHIPPED = shipped_names(controlnets=True)
EDITS = edit_suite("test", 8, kinds=["add"])  # two objects afterwards, whose places are given
_MOST = 3_000_000  # bytes of a ControlNet that ships


@functools.cache
def generator(**settings: Any) -> DiffusersGenerator:
    chosen = {"pipeline": "diffusion-scenes", "num_inference_steps": STEPS, **settings}
    made = DiffusersGenerator(name="shipped", settings=DiffusersSettings(**chosen))
    made.load()
    return made


@functools.cache
def edits() -> list[tuple[GenerationRequest, NDArray[Any]]]:
    """Requests to inpaint, with the pictures that would be right."""
    made = []
    for i, edit in enumerate(edit_suite("validation", 10)):
        drawn = edit_pictures(edit)
        request = GenerationRequest(
            prompt=edit.words.caption_after,
            seed=i,
            task="inpaint",
            init_image=drawn.source,
            mask=drawn.mask,
        )
        made.append((request, drawn.target))
    return made


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    squared = ((one.astype(float) - other) ** 2).mean()
    return float(10 * np.log10(255**2 / max(squared, 1e-9)))


def test_inpainting_keeps_what_is_known() -> None:
    requests = [request for request, _ in edits()]
    made = generator().generate(requests)
    before = []
    for one, request in zip(made, requests, strict=True):
        assert one.image is not None, one.reason
        assert one.uncomposited is not None
        assert request.init_image is not None
        known = request.mask == 0
        np.testing.assert_array_equal(one.image[known], request.init_image[known])
        before.append(psnr(one.uncomposited[known], request.init_image[known]))
    assert np.mean(before) > 20  # far from noise; what it must reach is measured elsewhere


def test_a_little_strength_changes_little_and_takes_few_steps() -> None:
    request, _ = edits()[0]
    whole = dataclasses.replace(request, task="image_to_image", mask=None)
    little, much = generator().generate(
        [dataclasses.replace(whole, strength=strength) for strength in (0.3, 1.0)]
    )
    assert (little.nfe, much.nfe) == (2 * 3, 2 * STEPS)
    assert _from(little, whole) > _from(much, whole)


def _from(made: Generation, request: GenerationRequest) -> float:
    assert made.image is not None
    assert request.init_image is not None
    return psnr(made.image, request.init_image)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ControlNet as its training begins, in half precision."""
    settings = DiffusersSettings(pipeline="diffusion-scenes")
    pipe = load_pipeline(find_source(settings), settings, "cpu", "float32")
    folder = tmp_path_factory.mktemp("fresh")
    torch.manual_seed(0)
    build_controlnet(pipe.unet, pipe.vae_scale_factor).half().save_pretrained(folder)
    return folder


def test_a_fresh_controlnet_equals_the_plain_pipeline_bit_for_bit(fresh: Path) -> None:
    scenes = sample_scenes(scene_seeds("validation", 0, 4))
    texts = [GenerationRequest(prompt="a red star on black", seed=i) for i in range(4)]
    plain = generator().generate(texts)
    for controls in (outlines(scenes), depth(scenes)):
        asked = [
            dataclasses.replace(text, task="control", control_image=control)
            for text, control in zip(texts, controls, strict=True)
        ]
        for one, two in zip(plain, generator(controlnet=str(fresh)).generate(asked), strict=True):
            assert two.image is not None, two.reason
            assert one.image is not None
            np.testing.assert_array_equal(one.image, two.image)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_controlnet_is_small_enough_to_ship(name: str) -> None:
    assert sum(file.stat().st_size for file in (PRETRAINED / name).iterdir()) < _MOST


def test_one_that_is_trained_now_would_be_small_enough(fresh: Path) -> None:
    assert sum(file.stat().st_size for file in fresh.iterdir()) < _MOST


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_followed(name: str) -> None:
    drawn = [edit_pictures(edit) for edit in EDITS]
    controls = [one.outlines if name.endswith("outline") else one.depth for one in drawn]
    requests = [
        GenerationRequest(
            prompt=edit.words.caption_after, seed=i, task="control", control_image=control
        )
        for i, (edit, control) in enumerate(zip(EDITS, controls, strict=True))
    ]
    overlaps = []
    for scale in (1.0, 0.0):
        followed = generator(controlnet=name, controlnet_conditioning_scale=scale)
        made = zip(followed.generate(requests), controls, strict=True)
        overlaps.append(np.mean([_overlap(*pair) for pair in made]))
    assert overlaps[0] > 0.6
    assert overlaps[0] > overlaps[1] + 0.25


def _overlap(made: Generation, control: NDArray[Any]) -> float:
    """As the metrics of comparisons measure it."""
    assert made.image is not None, made.reason
    there = foreground(made.image)
    if (given := planes(control)) is not None:
        return overlap(there, given.covered)
    enclosed = filled_outline(control)
    assert enclosed is not None
    return overlap(filled(there), enclosed)
