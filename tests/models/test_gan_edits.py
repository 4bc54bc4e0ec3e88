"""Edits by the GAN behind the contract: what each task keeps and changes, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from gandiff.common.errors import GeneratorError
from gandiff.models.gan import edits
from gandiff.models.gan.config import least_strength, levels_of, replaced_levels
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.generator import Generation, GenerationRequest, Task
from gandiff.models.settings import GanSettings
from gandiff.models.shared import apart, findings_kept
from gandiff.models.tasks import SOURCES

QUICK = {"inversion_steps": 12, "inversion_candidates": 24}
MASKED: tuple[Task, ...] = ("inpaint", "paint")
TASKS: tuple[Task, ...] = ("image_to_image", *MASKED)


def loaded(folder: Path, dtype: str = "float32", **settings: Any) -> GanGenerator:
    chosen = GanSettings(weights=str(folder), **{**QUICK, **settings})
    generator = GanGenerator(name="toy", settings=chosen)
    generator.load("cpu", dtype)
    return generator


@pytest.fixture(scope="module")
def generator(toy_painter: Path) -> GanGenerator:
    return loaded(toy_painter)


def edit(task: Task, seed: int = 0, **changes: Any) -> GenerationRequest:
    pictures = toys.edit_pictures(32, seed)
    pictures["init_image"] = np.array(toys.toy_image(seed))
    request = GenerationRequest(
        prompt=toys.PROMPTS[seed % 8],
        seed=seed,
        task=task,
        **{field: pictures[field] for field in SOURCES[task]},
    )
    return dataclasses.replace(request, **changes)


def image(generation: Generation) -> np.ndarray:
    assert generation.image is not None, generation.reason
    return generation.image


@pytest.mark.parametrize("task", MASKED)
def test_known_pixels_come_back_and_what_was_before_is_kept(
    generator: GanGenerator, task: Task
) -> None:
    request = edit(task)
    made = generator.generate([request])[0]
    known = request.mask == 0
    assert request.init_image is not None
    np.testing.assert_array_equal(image(made)[known], request.init_image[known])
    assert made.uncomposited is not None
    assert (made.uncomposited[known] != request.init_image[known]).any()
    # Beyond the feather, what was made is taken as it is; the mask is the left half.
    np.testing.assert_array_equal(image(made)[:, :15], made.uncomposited[:, :15])
    assert made.nfe > QUICK["inversion_candidates"]


def test_nothing_is_put_back_without_a_mask(generator: GanGenerator) -> None:
    made = generator.generate([edit("image_to_image")])[0]
    assert made.uncomposited is None
    assert made.nfe > QUICK["inversion_candidates"]


@pytest.mark.parametrize("task", TASKS)
def test_an_edit_depends_on_its_own_request_alone(generator: GanGenerator, task: Task) -> None:
    requests = [edit(task, seed) for seed in range(3)]
    together = [image(made) for made in generator.generate(requests)]
    turned = [image(made) for made in generator.generate(requests[::-1])][::-1]
    alone = [image(generator.generate([request])[0]) for request in requests]
    for first, second, third in zip(together, turned, alone, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


def test_what_tasks_search_in_common_is_searched_once_and_changes_no_pixel(
    toy_painter: Path, generator: GanGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[object] = []
    search = edits.invert

    def counted(*args: Any) -> Any:
        searches.append(args)
        return search(*args)

    paint = edit("paint")
    first = dataclasses.replace(paint, task="inpaint")
    assert paint.mask is not None
    others = {
        "seed": dataclasses.replace(paint, seed=5),
        "prompt": dataclasses.replace(paint, prompt=toys.PROMPTS[5]),
        "mask": dataclasses.replace(paint, mask=np.roll(paint.mask, 5, (0, 1))),
        "picture": dataclasses.replace(paint, init_image=np.array(toys.toy_image(5))),
    }
    alone = {
        name: one.uncomposited
        for name, one in zip(
            ["same", *others], generator.generate([paint, *others.values()]), strict=True
        )
    }
    monkeypatch.setattr(edits, "invert", counted)
    counts, made = {}, {}
    with findings_kept():
        loaded(toy_painter).generate([first])
        for name, request in {"same": paint, **others}.items():
            before = len(searches)
            made[name] = loaded(toy_painter).generate([request])[0]  # as each task loads it
            counts[name] = len(searches) - before
    assert counts == {"same": 1, "seed": 1, "prompt": 1, "mask": 1, "picture": 2}
    for name, pixels in alone.items():
        np.testing.assert_array_equal(made[name].uncomposited, pixels)
    assert made["same"].nfe == generator.generate([paint])[0].nfe  # what it takes, found or not


@pytest.mark.parametrize("block", [contextlib.nullcontext, findings_kept])
def test_nothing_is_kept_of_searches_outside_of_a_run_or_while_time_is_taken(
    toy_painter: Path, monkeypatch: pytest.MonkeyPatch, block: Any
) -> None:
    with block(), apart():
        generator = loaded(toy_painter)
    searches: list[object] = []
    search = edits.invert
    monkeypatch.setattr(edits, "invert", lambda *args: searches.append(args) or search(*args))
    with block():
        for _ in range(2):
            generator.generate([edit("inpaint")])
    assert len(searches) == 2


@pytest.mark.parametrize("task", ["image_to_image", "inpaint"])
def test_another_seed_makes_another_edit(generator: GanGenerator, task: Task) -> None:
    requests = [dataclasses.replace(edit(task), seed=seed) for seed in (1, 2)]
    first, second = (image(made) for made in generator.generate(requests))
    assert (first != second).any()


def test_more_strength_goes_farther_from_the_picture(generator: GanGenerator) -> None:
    requests = [edit("image_to_image", 3, strength=share) for share in (0.25, 0.75, 1.0)]
    target = requests[0].init_image
    assert target is not None
    made = generator.generate(requests)
    away = [np.abs(image(one).astype(int) - target).mean() for one in made]
    assert away[0] < away[1] < away[2]
    assert made[0].nfe > made[1].nfe > made[2].nfe == 1


def test_full_strength_keeps_nothing_of_the_picture(generator: GanGenerator) -> None:
    plain = GenerationRequest(prompt=toys.PROMPTS[3], seed=3)
    drawn = image(generator.generate([plain])[0])
    for brought in (3, 4):
        pictures = {"init_image": np.array(toys.toy_image(brought))}
        request = edit("image_to_image", 3, strength=1.0, **pictures)
        np.testing.assert_array_equal(image(generator.generate([request])[0]), drawn)


def test_units_paint_inside_the_mask_what_the_prompt_does_not_say(toy_painter: Path) -> None:
    painter, eraser = (loaded(toy_painter, units=units) for units in ("star", "-object,32:1"))
    request = edit("paint")
    pictures = [image(one.generate([request])[0]) for one in (painter, eraser)]
    assert (pictures[0] != pictures[1])[:, :16].any()
    np.testing.assert_array_equal(pictures[0][:, 16:], pictures[1][:, 16:])
    other = dataclasses.replace(request, prompt=toys.PROMPTS[5])
    np.testing.assert_array_equal(image(painter.generate([other])[0]), pictures[0])
    weak = dataclasses.replace(request, strength=0.01)
    made = painter.generate([weak])[0]
    assert made.uncomposited is not None
    inverted = image(painter.generate([dataclasses.replace(request, strength=0.02)])[0])
    assert np.abs(image(made).astype(int) - inverted).mean() < 2


def test_edits_are_computed_in_float32_whatever_was_loaded(
    generator: GanGenerator, toy_painter: Path
) -> None:
    request = edit("inpaint")
    half = loaded(toy_painter, "bfloat16").generate([request])[0]
    np.testing.assert_array_equal(image(half), image(generator.generate([request])[0]))


def test_long_and_negative_prompts_are_reported_of_edits_too(generator: GanGenerator) -> None:
    long = edit("image_to_image", prompt=" ".join(["star"] * 20), negative_prompt="a ring")
    made = generator.generate([long])[0]
    assert dict(made.truncated_tokens) == {"text_encoder": 6}
    assert made.reason == "negative prompt not used: a GAN has none"


BAD = {
    "size": (
        {"init_image": np.zeros((16, 24, 3), np.uint8)},
        "init_image is 24x16 px, and images of this generator are 32x32 px; scale it",
    ),
    "no init": ({"init_image": None}, "the request has no init_image, which the task"),
    "strength": ({"strength": 1.5}, "strength must be above 0 and at most 1, got 1.5"),
    "control": ({"control_image": np.zeros((32, 32, 3), np.uint8)}, "the request has control_im"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_edited_is_one_line_and_costs_nobody_else(
    generator: GanGenerator, case: str
) -> None:
    changes, says = BAD[case]
    plain = GenerationRequest(prompt="a red star", seed=1)
    good = edit("image_to_image", 1)
    bad = edit("image_to_image", **changes)
    wrong, drawn, edited = generator.generate([bad, plain, good])
    assert (wrong.status, wrong.image, wrong.nfe) == ("failed", None, 0)
    assert wrong.reason is not None
    assert wrong.reason.startswith(says)
    assert "\n" not in wrong.reason
    np.testing.assert_array_equal(image(drawn), image(generator.generate([plain])[0]))
    np.testing.assert_array_equal(image(edited), image(generator.generate([good])[0]))


def test_inpainting_refuses_a_strength_that_replaces_no_level(generator: GanGenerator) -> None:
    refused, least, same, more = generator.generate(
        [edit("inpaint", strength=strength) for strength in (0.125, 0.13, 0.37, 0.38)]
    )
    assert (refused.status, refused.image, refused.nfe) == ("failed", None, 0)
    assert refused.reason == (
        "strength 0.125 of 4 levels is less than half a level; set strength to 0.13 at least, or "
        "leave it out"
    )
    np.testing.assert_array_equal(image(least), image(same))
    assert (image(least) != image(more)).any()


@pytest.mark.parametrize("side", [8, 16, 32, 64, 1024])
def test_the_strength_that_is_recommended_is_the_least_that_counts(side: int) -> None:
    least = least_strength(side)
    assert replaced_levels(least, side) == 1
    assert replaced_levels(least - 0.01, side) == 0
    assert replaced_levels(1.0, side) == levels_of(side) + 1


def test_little_strength_changes_a_picture_as_a_whole_little(generator: GanGenerator) -> None:
    made = generator.generate([edit("image_to_image", strength=share) for share in (0.01, 0.37)])
    target = edit("image_to_image").init_image
    assert target is not None
    away = [np.abs(image(one).astype(int) - target).mean() for one in made]
    assert away[0] < away[1]


@pytest.mark.parametrize("level", [0, 255, 128])
def test_masks_that_are_none_are_refused(generator: GanGenerator, level: int) -> None:
    made = generator.generate([edit("inpaint", mask=np.full((32, 32), level, np.uint8))])[0]
    assert made.image is None
    assert made.reason is not None
    assert made.reason.startswith("mask ")


def test_units_are_checked_when_the_generator_is_built(toy_painter: Path, toy_gan: Path) -> None:
    for units, says in (
        ("sttar", "no concept is named 'sttar'; did you mean 'star'?"),
        ("16:99", "the level of 16 px has the units 0 to 15, got 99"),
    ):
        with pytest.raises(GeneratorError, match="units '") as refused:
            loaded(toy_painter, units=units)
        assert says in str(refused.value)
    with pytest.raises(GeneratorError, match=r"has no units\.npz"):
        loaded(toy_gan, units="star")


def test_the_shipped_gan_inpaints_scenes() -> None:
    from gandiff.evaluate.extractors.scenes import load_classifier
    from gandiff.evaluate.numerics.matching import judge_facts
    from gandiff.experiments.scenes.edits import edit_pictures, edit_suite

    generator = loaded(Path("gan-scenes"), inversion_steps=60, inversion_candidates=128)
    edits = edit_suite("test", 3)
    drawn = [edit_pictures(one) for one in edits]
    requests = [
        edit("inpaint", prompt=one.words.caption_after, init_image=p.source, mask=p.mask)
        for one, p in zip(edits, drawn, strict=True)
    ]
    made = generator.generate(requests)
    for pictures, one in zip(drawn, made, strict=True):
        assert one.uncomposited is not None
        error = (one.uncomposited.astype(float) - pictures.source)[pictures.keep == 255] ** 2
        assert 10 * np.log10(255**2 / error.mean()) > 20
    seen = load_classifier("a").predict(np.stack([image(one) for one in made]))
    stated = [one.to_dict()["expected"] for one in edits]
    right = [judge_facts(*pair)["all"] for pair in zip(stated, seen, strict=True)]
    assert sum(right) >= 2
