from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import toys
from PIL import Image

from gandiff.common.errors import GeneratorError
from gandiff.models.callable import CallableGenerator
from gandiff.models.generator import GenerationRequest

LEVELS = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
FLOATS = LEVELS.astype(np.float32) / 255.0
NCHW = torch.from_numpy(LEVELS.transpose(0, 3, 1, 2).copy())

FORMS: dict[str, Callable[[], Any]] = {
    "list of PIL images": lambda: [Image.fromarray(image) for image in LEVELS],
    "tuple of arrays": lambda: tuple(LEVELS),
    "uint8 array": lambda: LEVELS,
    "float array": lambda: FLOATS,
    "float64 array": lambda: FLOATS.astype(np.float64),
    "uint8 tensor": lambda: NCHW,
    "float tensor": lambda: NCHW.float() / 255.0,
    "list of tensors": lambda: list(NCHW.float() / 255.0),
    "tensor with a gradient": lambda: (NCHW.float() / 255.0).requires_grad_(),
    "slightly out of range": lambda: FLOATS + np.where(FLOATS == 1.0, 1e-4, 0.0),
}


def returning(images: Any) -> CallableGenerator:
    return CallableGenerator(name="mine", function=lambda prompts, seeds: images)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(form: str) -> None:
    found = returning(FORMS[form]()).generate(toys.requests(4))
    assert [generation.status for generation in found] == ["ok"] * 4
    np.testing.assert_array_equal(np.stack([g.image for g in found if g.image is not None]), LEVELS)


def test_half_precision_is_rounded_not_truncated() -> None:
    found = returning((NCHW.float() / 255.0).bfloat16()).generate(toys.requests(4))
    images = np.stack([g.image for g in found if g.image is not None]).astype(float)
    assert abs((images - LEVELS).mean()) < 0.05  # truncation would be near -0.5


def test_grey_becomes_colour() -> None:
    for images in (LEVELS[..., :1], NCHW[:, :1]):
        found = returning(images).generate(toys.requests(4))[0].image
        np.testing.assert_array_equal(found, np.repeat(LEVELS[0, :, :, :1], 3, axis=2))


def test_the_range_is_declared_not_guessed() -> None:
    def function(prompts: list[str], seeds: list[int]) -> torch.Tensor:
        return NCHW.float() / 127.5 - 1.0

    found = CallableGenerator(name="mine", function=function).generate(toys.requests(4))
    assert all(generation.status == "failed" for generation in found)
    assert found[0].reason is not None
    assert "expected uint8 or floats from 0 to 1" in found[0].reason
    function.value_range = (-1, 1)  # type: ignore[attr-defined]
    found = CallableGenerator(name="mine", function=function).generate(toys.requests(4))
    np.testing.assert_array_equal([g.image for g in found], LEVELS)


def test_bad_images_fail_alone() -> None:
    images = FLOATS.copy()
    images[1, 0, 0, 0] = np.nan
    images[2] = 0.0
    found = returning(images).generate(toys.requests(4))
    assert [generation.status for generation in found] == ["ok", "failed", "failed", "ok"]
    assert found[1].reason == "1 of 144 pixel values are NaN or infinite"
    assert found[2].reason == "black or constant image, every pixel is (0, 0, 0)"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (LEVELS[:3], "returned 3 images for 4 prompts, expected one each"),
        (LEVELS[0], "shape (8, 6, 3), expected (n, h, w, 3)"),
        (NCHW[0], "shape (3, 8, 6), expected (n, 3, h, w)"),
        (LEVELS.transpose(0, 3, 1, 2), "shape (3, 8, 6), expected (h, w, 3): NumPy"),
        (NCHW.permute(0, 2, 3, 1), "shape (8, 6, 3), expected (3, h, w): torch"),
        (LEVELS.astype(np.int64), "values of int64, expected uint8 or floats"),
        ([[1, 2]] * 4, "a list among its images"),
        (None, "returned NoneType, expected a list of images"),
    ],
)
def test_what_is_no_image_stops_the_run(images: Any, message: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        returning(images).generate(toys.requests(4))
    assert message in str(caught.value)


def test_prompts_and_seeds_are_passed_in_order() -> None:
    seen: list[Any] = []

    def function(prompts: list[str], seeds: list[int], negative_prompts: list[str | None]) -> Any:
        seen.extend([prompts, seeds, negative_prompts])
        return LEVELS[: len(prompts)]

    requests = toys.requests(3, negative=(1,))
    found = CallableGenerator(name="mine", function=function).generate(requests)
    assert seen[0] == [request.prompt for request in requests]
    assert seen[1] == [request.seed for request in requests]
    assert seen[2] == [None, "blurry red things", None]
    assert [generation.reason for generation in found] == [None] * 3


def test_an_unused_negative_prompt_is_noted() -> None:
    requests = [GenerationRequest(prompt="a", seed=0, negative_prompt="b")]
    generation = returning(LEVELS[:1]).generate(requests)[0]
    assert generation.status == "ok"
    assert generation.reason is not None
    assert generation.reason.startswith("negative prompt not used")


def test_what_the_function_raises_is_passed_on() -> None:
    def function(prompts: list[str], seeds: list[int]) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        CallableGenerator(name="mine", function=function).generate(toys.requests(1))


def test_functions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GeneratorError, match=r"expected a function \(prompts, seeds\) -> images"):
        CallableGenerator(name="mine", function=lambda prompts: None)
    not_a_function: Any = 3
    with pytest.raises(Exception, match=r"int|function"):
        CallableGenerator(name="mine", function=not_a_function)


def test_facts_are_read_from_attributes() -> None:
    def function(prompts: list[str], seeds: list[int]) -> Any:
        return LEVELS

    assert CallableGenerator(name="mine", function=function).info.family == "other"
    assert CallableGenerator(name="mine", function=function).info.cost == "request"
    facts: dict[str, Any] = {"family": "gan", "resolution": 8, "licence": "MIT", "parameters": 12}
    vars(function).update(facts)
    info = CallableGenerator(name="mine", function=function).info
    assert {key: getattr(info, key) for key in facts} == facts
    vars(function)["cost"] = "free"
    with pytest.raises(GeneratorError, match="cost is 'free', expected one of compute, request"):
        CallableGenerator(name="mine", function=function)
    vars(function)["cost"] = "compute"
    assert CallableGenerator(name="mine", function=function).info.cost == "compute"
    vars(function)["family"] = "vae"
    with pytest.raises(GeneratorError, match="family is 'vae', expected one of gan, diffusion"):
        CallableGenerator(name="mine", function=function)
    vars(function).update(family="gan", value_range=(1, 0))
    with pytest.raises(GeneratorError, match="expected the lower number first"):
        CallableGenerator(name="mine", function=function)
