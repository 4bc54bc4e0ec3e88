from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.models.pixels import finish, to_uint8


@given(st.integers(0, 255))
def test_every_level_survives_the_way_through_floats(level: int) -> None:
    assert to_uint8(np.full((1, 1, 3), level / 255.0)).max() == level
    assert to_uint8(np.full((1, 1, 3), level / 127.5 - 1.0), -1.0, 1.0).max() == level


def test_values_are_rounded_to_the_nearest_level_and_clipped() -> None:
    values = np.array([0.0, 0.4, 0.6, 254.6, 300.0, -4.0]) / 255.0
    np.testing.assert_array_equal(to_uint8(values), [0, 0, 1, 255, 255, 0])


def ramp() -> np.ndarray:
    return np.linspace(0, 1, 4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)


def test_a_good_image_is_kept_with_its_note() -> None:
    generation = finish(ramp(), size=(4, 5), nfe=7, truncated_tokens={"t": 2}, note="seen")
    assert generation.status == "ok"
    assert generation.image is not None
    assert generation.image[-1, -1, -1] == 255
    assert (generation.nfe, generation.truncated_tokens, generation.reason) == (7, {"t": 2}, "seen")


def test_uint8_is_taken_as_it_is() -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(finish(image).image, image)


def broken(value: float, count: int = 1) -> np.ndarray:
    image = ramp()
    image.flat[:count] = value
    return image


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (broken(np.nan, 3), "3 of 60 pixel values are NaN or infinite"),
        (broken(np.inf), "1 of 60 pixel values are NaN or infinite"),
        (np.zeros((4, 5, 3), np.float32), "black or constant image, every pixel is (0, 0, 0)"),
        (
            np.full((4, 5, 3), 255, np.uint8),
            "black or constant image, every pixel is (255, 255, 255)",
        ),
        (np.full((4, 5, 3), [0.0, 0.2, 1.0]) + 1e-5, "every pixel is (0, 51, 255)"),
        (ramp()[:3], "wrong size 5x3 px, expected 5x4 px"),
        (ramp()[..., :1], "wrong shape (4, 5, 1), expected (height, width, 3)"),
        (ramp()[0], "wrong shape (5, 3)"),
    ],
)
def test_bad_images_fail_with_the_reason(image: np.ndarray, reason: str) -> None:
    generation = finish(image, size=(4, 5), nfe=2)
    assert generation.status == "failed"
    assert generation.image is None
    assert generation.nfe == 2
    assert generation.reason is not None
    assert reason in generation.reason


def test_an_image_without_pixels_fails() -> None:
    assert finish(np.zeros((0, 5, 3), np.uint8)).reason == "empty image, no pixels"
