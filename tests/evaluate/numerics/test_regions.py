"""Pictures beside masks, outlines and depth maps, on pictures whose numbers are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gandiff.evaluate.numerics.regions import (
    EQUAL_DB,
    border_step,
    filled,
    filled_outline,
    foreground,
    nearer_in_front,
    overlap,
    planes,
    psnr,
    sizes_in_order,
)
from gandiff.experiments.scenes.edits import edit_pictures, edit_suite
from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
from gandiff.experiments.scenes.maps import depth, object_masks, outlines
from gandiff.experiments.scenes.render import render


def grey(side: int = 16, level: int = 100) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def box(side: int, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[y, x] = True
    return mask


def test_psnr_of_a_known_error() -> None:
    """5 levels off everywhere: 10 log10(255^2 / 25) = 34.15 dB."""
    everywhere = np.ones((16, 16), bool)
    assert psnr(grey(), grey(level=105), everywhere) == pytest.approx(34.1514, abs=1e-4)


def test_psnr_sees_nothing_outside_of_where_it_looks() -> None:
    changed = grey()
    changed[:4] = 0
    where = box(16, slice(4, 16), slice(0, 16))
    assert psnr(grey(), changed, where) == EQUAL_DB == pytest.approx(58.92, abs=0.01)
    assert math.isnan(psnr(grey(), changed, np.zeros((16, 16), bool)))


def test_psnr_falls_with_the_noise() -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(-n, n + 1, (16, 16, 3)) for n in (1, 4, 16, 64)]
    made = [(grey() + one).astype(np.uint8) for one in noise]
    values = [psnr(grey(), one, np.ones((16, 16), bool)) for one in made]
    assert values == sorted(values, reverse=True)


def test_a_step_of_known_height_at_a_border() -> None:
    region = box(16, slice(4, 12), slice(4, 12))
    image = np.where(region[..., None], 110, 100).astype(np.uint8) * np.ones(3, np.uint8)
    assert border_step(image, region) == 10
    assert border_step(grey(), region) == 0
    assert math.isnan(border_step(grey(), np.zeros((16, 16), bool)))
    inside = image.copy()
    inside[6:10, 6:10] = 255  # far from the border
    assert border_step(inside, region) == 10


@pytest.mark.parametrize("resolution", [32, 64])
def test_outlines_enclose_what_is_drawn(resolution: int) -> None:
    scenes = sample_scenes(scene_seeds("test", 0, 60))
    pictures, lines = render(scenes, resolution), outlines(scenes, resolution)
    enclosed = [filled_outline(one) for one in lines]
    own, other = (
        [
            overlap(filled(foreground(one)), two)
            for one, two in zip(pictures, np.roll(enclosed, by, axis=0), strict=True)
        ]
        for by in (0, 1)
    )
    assert np.mean(own) > 0.88
    assert np.mean(other) < 0.3
    assert min(own) > 0.6


def test_dark_lines_on_light_enclose_nothing() -> None:
    """Or the ground would be taken for the lines, and the picture for what they enclose."""
    scenes = sample_scenes(scene_seeds("test", 0, 20))
    for one in outlines(scenes):
        assert filled_outline(one) is not None
        assert filled_outline(255 - one) is None


def test_overlap_by_hand() -> None:
    one, two = box(8, slice(0, 4), slice(0, 8)), box(8, slice(2, 6), slice(0, 8))
    assert overlap(one, two) == pytest.approx(16 / 48)
    assert overlap(one, one) == 1
    assert math.isnan(overlap(one & ~one, two & ~two))
    assert filled_outline(grey(level=0)) is None


@pytest.mark.parametrize("resolution", [32, 64])
def test_depth_maps_are_read_as_they_were_drawn(resolution: int) -> None:
    scenes = sample_scenes(scene_seeds("test", 0, 80))
    maps, masks = depth(scenes, resolution), object_masks(scenes, resolution)
    overlaps = []
    for i, one in enumerate(maps):
        found = planes(one)
        assert found is not None
        assert len(found.objects) == scenes.count[i]
        both = zip(found.objects, masks[i], strict=False)
        overlaps += [overlap(region, mask >= 0.5) for region, mask in both]
    assert np.mean(overlaps) > 0.95
    assert planes(grey(level=0)) is None
    assert planes(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)) is None


def test_scenes_are_in_the_order_of_their_own_depth() -> None:
    scenes = sample_scenes(scene_seeds("test", 0, 120))
    pictures, maps = render(scenes, 32), depth(scenes, 32)
    values = [
        sizes_in_order(foreground(one), given)
        for one, two in zip(pictures, maps, strict=True)
        if (given := planes(two)) is not None
    ]
    known = [value for value in values if not math.isnan(value)]
    assert len(known) > 20
    assert np.mean(known) > 0.97


def test_order_of_sizes_by_hand() -> None:
    levels = np.zeros((32, 32), np.uint8)
    levels[4:12, 4:12], levels[16:28, 16:28] = 128, 208
    given = planes(np.repeat(levels[..., None], 3, 2))
    assert given is not None
    assert sizes_in_order(levels > 0, given) == 1
    swapped = box(32, slice(2, 14), slice(2, 14)) | box(32, slice(18, 24), slice(18, 24))
    assert sizes_in_order(swapped, given) == 0
    assert sizes_in_order(box(32, slice(4, 12), slice(4, 12)), given) == 0  # one is not there
    levels[16:28, 16:28] = 0
    alone = planes(np.repeat(levels[..., None], 3, 2))
    assert alone is not None
    assert math.isnan(sizes_in_order(levels > 0, alone))
    assert math.isnan(nearer_in_front(grey(32), alone))


def test_the_nearer_one_is_in_front() -> None:
    levels = np.zeros((32, 32), np.uint8)
    levels[8:24, 4:18], levels[8:24, 16:28] = 128, 208
    given = planes(np.repeat(levels[..., None], 3, 2))
    assert given is not None
    image = grey(32, 250)
    image[8:24, 4:18], image[8:24, 16:28] = (200, 0, 0), (0, 0, 200)
    assert nearer_in_front(image, given) == 1
    image[8:24, 14:20] = (200, 0, 0)  # the farther one covers it
    assert nearer_in_front(image, given) == 0


def disc(x: float, radius: float) -> np.ndarray:
    """Coverage of the pixels of a 32 px picture by a disc at half of its height."""
    at = (np.arange(256) + 0.5) / 8
    inside = (at[None] - x) ** 2 + (at[:, None] - 16) ** 2 <= radius**2
    return np.asarray(inside.reshape(32, 8, 32, 8).mean((1, 3)))


def laid(ground: Any, *layers: tuple[np.ndarray, Any]) -> np.ndarray:
    """A picture of colours, each over the ones before by its coverage."""
    image = np.broadcast_to(np.asarray(ground, float), (32, 32, 3))
    for covers, colour in layers:
        image = image + covers[..., None] * (np.asarray(colour, float) - image)
    return np.rint(image).astype(np.uint8)


@pytest.mark.parametrize("apart", [5.0, 6.0, 9.0])
def test_soft_edges_of_objects_that_touch_belong_to_their_own(apart: float) -> None:
    far, near = disc(16 - apart / 2, 6), disc(16 + apart / 2, 6)
    given = planes(laid(0, (far, [128] * 3), (near, [208] * 3)))
    assert given is not None
    seen = far * (1 - near)
    for region, covers in zip(given.objects, (seen, near), strict=True):
        assert overlap(region, covers >= 0.5) > 0.85
    red, blue = (200, 0, 0), (0, 0, 200)
    assert nearer_in_front(laid(250, (far, red), (near, blue)), given) == 1
    assert nearer_in_front(laid(250, (near, blue), (far, red)), given) == 0
    hidden = 1 - seen.sum() / near.sum()
    assert (hidden > 0.25) != (hidden < 0.18)  # of two discs of one size; a fifth is an order
    assert math.isnan(sizes_in_order(seen + near > 0.5, given)) == (hidden < 0.18)


def test_edits_leave_no_trace_outside() -> None:
    for edit in edit_suite("test", 10):
        drawn = edit_pictures(edit, 32)
        assert psnr(drawn.source, drawn.target, drawn.mask == 0) == EQUAL_DB
