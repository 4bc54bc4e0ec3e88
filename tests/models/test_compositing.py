"""Known pixels put back: what stays, what is taken as it was made, and the feather between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.evaluate.numerics.regions import border_step
from gandiff.models.compositing import composited, feather


def square(side: int = 32, low: int = 8, high: int = 20) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[low:high, low:high] = 255
    return mask


def test_feathers_grow_inwards_only() -> None:
    mask = square()
    share = feather(mask)
    assert (share[mask == 0] == 0).all()
    assert (share[9:19, 9:19] == 1).all()
    assert share[8, 12] == pytest.approx(2 / 3)
    assert share[8, 8] == pytest.approx(4 / 9)


def test_a_feather_is_a_32nd_of_the_side_wide() -> None:
    share = feather(square(256, 64, 160))[100]
    assert (share[72:152] == 1).all()
    assert (np.diff(share[63:73]) > 0).all()
    assert share[64] == pytest.approx(9 / 17)


@pytest.mark.parametrize("thick", [1, 2, 3, 20, 33, 40])
def test_thin_masks_are_not_made_transparent(thick: int) -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[100 : 100 + thick, 50:400] = 255
    share = feather(mask)
    assert share.max() == share[100 + thick // 2, 200] == 1
    assert (share[mask == 0] == 0).all()


def test_at_the_edge_of_a_picture_there_is_nothing_to_feather_to() -> None:
    mask = square(32, 0, 16)
    assert (feather(mask)[:15, :15] == 1).all()


@given(st.integers(0, 2**32 - 1))
def test_known_pixels_stay_bit_for_bit_and_the_rest_lies_between(seed: int) -> None:
    random = np.random.default_rng(seed)
    made, known = random.integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    mask = np.uint8(255) * random.integers(0, 2, (16, 24), dtype=np.uint8)
    whole = composited(made, known, mask)
    np.testing.assert_array_equal(whole[mask == 0], known[mask == 0])
    assert (whole >= np.minimum(made, known)).all()
    assert (whole <= np.maximum(made, known)).all()
    full = feather(mask) == 1
    np.testing.assert_array_equal(whole[full], made[full])


def test_a_border_between_two_levels_is_lower_than_without_a_feather() -> None:
    made, known = (np.full((32, 32, 3), level, np.uint8) for level in (160, 100))
    whole = composited(made, known, square())
    assert border_step(whole, square() == 255) < 40 < 60
    assert whole[12, 8].tolist() == [140] * 3
