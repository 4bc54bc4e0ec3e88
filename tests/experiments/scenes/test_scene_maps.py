"""Masks, outlines and depth: that they fit the picture, and each other, at any resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from gandiff.experiments.scenes.facts import SHAPES, Scenes, sample_scenes, scene_seeds
from gandiff.experiments.scenes.maps import (
    depth,
    is_covered,
    line_width,
    object_masks,
    outlines,
    widened,
)
from gandiff.experiments.scenes.render import BACKGROUND_RGB, OBJECT_RGB, render

STARTS, SIDES = st.integers(0, 1 << 39), st.sampled_from([8, 17, 32, 50, 64])
MAPS = [object_masks, outlines, depth]


def without(scenes: Scenes, slot: int) -> Scenes:
    """The same scenes with nothing in a slot."""
    shape = scenes.shape.copy()
    shape[:, slot] = -1
    return dataclasses.replace(scenes, shape=shape)


def of_one_shape(shape: int, n: int = 8) -> Scenes:
    """Single objects of one shape."""
    found = sample_scenes(scene_seeds("train", 0, 40 * n))
    return found[np.flatnonzero((found.shape[:, 0] == shape) & (found.count == 1))[:n]]


@settings(max_examples=30)
@given(start=STARTS, side=SIDES)
def test_masks_are_the_shares_of_colours_in_a_pixel(start: int, side: int) -> None:
    scenes = sample_scenes(scene_seeds("test", start, 8))
    masks = object_masks(scenes, side)
    assert masks.shape == (8, 2, side, side)
    assert masks.min() >= 0
    assert masks.sum(1).max() <= 1 + 1e-6
    ground = BACKGROUND_RGB[scenes.background] + scenes.background_jitter
    colours = OBJECT_RGB[scenes.colour] + scenes.object_jitter
    rest = 1 - masks.sum(1)
    mixed = rest[..., None] * ground[:, None, None, :]
    mixed += (masks[..., None] * colours[:, :, None, None, :]).sum(1)
    error = np.abs(np.clip(mixed, 0, 255) - render(scenes, side))
    assert error.max() <= 0.5 + 1e-3


@settings(max_examples=30)
@given(start=STARTS, side=SIDES, slot=st.integers(0, 1))
def test_masks_are_where_pictures_with_and_without_the_object_differ(
    start: int, side: int, slot: int
) -> None:
    scenes = sample_scenes(scene_seeds("test", start, 8))
    mask = object_masks(scenes, side)[:, slot]
    differs = (render(scenes, side) != render(without(scenes, slot), side)).any(3)
    assert (mask[differs] > 0).all()
    assert differs[mask > 0.1].all()  # less of a colour may be lost in rounding
    assert not is_covered(mask)[~differs].any()
    assert (mask[scenes.shape[:, slot] < 0] == 0).all()


def test_a_boolean_mask_has_pixels_that_are_covered_by_half() -> None:
    shares = np.array([[[0.0, 0.49], [0.5, 1.0]]], np.float32)
    assert is_covered(shares).tolist() == [[[False, False], [True, True]]]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1 << 30),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    share=st.floats(0, 0.3),
    margin=st.floats(0, 14),
)
def test_a_mask_is_widened_by_euclidean_distance(
    seed: int, size: tuple[int, int], share: float, margin: float
) -> None:
    masks = np.random.default_rng(seed).random((3, *size)) < share
    for mask, wide in zip(masks, widened(masks, margin), strict=True):
        away = distance_transform_edt(~mask) if mask.any() else np.full(size, np.inf)
        assert (wide == (away <= margin)).all()


def border(masks: np.ndarray, width: float) -> np.ndarray:
    """Pixels at most half the width from an edge of a boolean mask, by Euclidean distances."""
    inside = [distance_transform_edt(one) - 0.5 for one in masks]
    outside = [distance_transform_edt(~one) - 0.5 for one in masks]
    return np.maximum(inside, outside) <= width / 2


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
def test_outlines_are_the_borders_of_masks(shape: int) -> None:
    one, side = of_one_shape(shape), 128
    lines = outlines(one, side)
    assert lines.shape == (8, side, side, 3)
    assert (lines == lines[..., :1]).all()
    drawn = lines[..., 0] > 127
    expected = border(is_covered(object_masks(one, side)[:, 0]), line_width(side))
    union, common = ((a.sum((1, 2))) for a in (drawn | expected, drawn & expected))
    assert (common / union).min() > 0.75  # corners are mitred, and a star's tips are cut off
    assert (common / union).mean() > 0.8


@settings(max_examples=20)
@given(start=STARTS)
def test_lines_are_as_wide_as_the_resolution_says(start: int) -> None:
    scenes = sample_scenes(scene_seeds("test", start, 8))
    small = outlines(scenes, 32)[..., 0].astype(float)
    large = outlines(scenes, 128)[..., 0].astype(float).reshape(8, 32, 4, 32, 4).mean((2, 4))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.97
    assert small.mean() == pytest.approx(large.mean(), rel=0.1)
    assert [line_width(side) for side in (8, 32, 48, 256)] == [1.0, 1.0, 1.5, 8.0]


def test_lines_of_what_is_covered_are_not_drawn() -> None:
    two = sample_scenes(scene_seeds("test", 0, 40))
    two = two[np.flatnonzero(two.count == 2)[:8]]
    centre = two.centre.copy()
    centre[:, 0] = centre[:, 1]
    shapes = np.array([SHAPES.index("circle"), SHAPES.index("square")], np.int8)
    two = dataclasses.replace(
        two,
        centre=centre,
        shape=np.tile(shapes, (8, 1)),
        radius=np.tile(np.array([0.15, 0.24], np.float32), (8, 1)),
    )
    assert (outlines(two) == outlines(without(two, 0))).all()
    assert (object_masks(two)[:, 0] < 1e-6).all()


@settings(max_examples=30)
@given(start=STARTS, side=SIDES)
def test_what_is_drawn_later_is_nearer_and_so_is_what_is_larger(start: int, side: int) -> None:
    scenes = sample_scenes(scene_seeds("test", start, 16))
    levels, masks = depth(scenes, side), object_masks(scenes, side)
    assert (levels == levels[..., :1]).all()
    levels = levels[..., 0]
    assert (levels[masks.sum(1) == 0] == 0).all()
    found: list[tuple[int, float, float]] = []
    for i in range(16):
        for slot in range(2):
            inside = levels[i][masks[i, slot] == 1]
            assert len(set(inside.tolist())) <= 1
            found += [(slot, float(scenes.radius[i, slot]), float(g)) for g in inside[:1]]
    greys = [grey for _, _, grey in sorted(found)]
    assert greys == sorted(greys)
    assert all(96 <= g <= 160 if slot == 0 else 176 <= g <= 240 for slot, _, g in found)


def test_a_large_object_is_nearer_than_a_small_one_of_the_same_slot() -> None:
    scenes = sample_scenes(scene_seeds("test", 0, 400))
    grey = depth(scenes, 64)[..., 0].astype(int)
    for slot in range(2):
        mask = object_masks(scenes, 64)[:, slot] == 1
        here = np.flatnonzero(mask.any((1, 2)))
        level = np.array([grey[i][mask[i]].max() for i in here])
        large = scenes.size[here, slot] == 1
        assert level[large].min() > level[~large].max()


@settings(max_examples=10)
@given(start=STARTS)
def test_masks_and_depth_are_the_same_at_any_resolution(start: int) -> None:
    scenes = sample_scenes(scene_seeds("test", start, 8))
    for map_, axis in ((lambda s, r: object_masks(s, r)[:, :, :, :, None] * 255, 2), (depth, 1)):
        small, large = (np.asarray(map_(scenes, side), float) for side in (32, 64))
        shape = (*small.shape[:axis], 32, 2, 32, 2, small.shape[-1])
        halved = large.reshape(shape).mean((axis + 1, axis + 3))
        assert np.abs(halved - small).mean() < 0.5


@pytest.mark.parametrize("map_", MAPS, ids=lambda m: m.__name__)
def test_no_scenes_no_maps_and_too_few_pixels_are_an_error(map_: Callable[..., np.ndarray]) -> None:
    scenes = sample_scenes(scene_seeds("test", 0, 2))
    assert len(map_(scenes[:0], 16)) == 0
    assert len(map_(scenes, 8)) == 2
    with pytest.raises(ValueError, match="at least 8 px, got a resolution of 7"):
        map_(scenes, 7)
