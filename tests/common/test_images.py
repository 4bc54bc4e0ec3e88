"""Image files become RGB by one rule, whichever way they come in."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gandiff.common.images import (
    ODDITIES,
    UnreadableImageError,
    decode_image,
    image_size,
    to_rgb,
)
from gandiff.evaluate.features.images import image_records, read_image, read_pixels
from gandiff.experiments.data.decode import decode
from gandiff.models.callable import CallableGenerator
from gandiff.models.folder import FolderGenerator
from gandiff.models.generator import GenerationRequest, Generator
from gandiff.models.settings import FolderSettings

SIDE = 8


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def layered(seed: int, mode: str) -> Image.Image:
    """Noise with all degrees of transparency, fully transparent in one corner, opaque in one."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    pixels[:2, :2, 3] = 0
    pixels[-2:, -2:, 3] = 255
    image = Image.fromarray(pixels)
    return (
        image.quantize(16, method=Image.Quantize.FASTOCTREE) if mode == "P" else image.convert(mode)
    )


def made_by(generator: Generator) -> np.ndarray:
    request = GenerationRequest(prompt="a star", seed=0, prompt_id="p", sample=0)
    image = generator.generate([request])[0].image
    assert image is not None
    return image


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), mode=st.sampled_from(["RGBA", "LA", "P"]))
def test_a_transparent_picture_is_the_same_by_every_way_in(
    seed: int, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    path = folder / "p_0.png"
    picture = layered(seed, mode)
    path.write_bytes(encoded(picture))
    (record,) = image_records(folder)
    scored = read_image(record).pixels
    np.testing.assert_array_equal(
        made_by(FolderGenerator("f", FolderSettings(folder=str(folder)))), scored
    )
    np.testing.assert_array_equal(
        made_by(CallableGenerator("c", lambda prompts, seeds: [picture])), scored
    )
    np.testing.assert_array_equal(decode([path], SIDE)[0][0], scored)
    np.testing.assert_array_equal(read_pixels([record])[0], scored)
    # What other FID packages compute on: other pixels, and those of PIL.
    dropped = read_image(record, alpha="drop").pixels
    assert (dropped != scored).any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's of palettes with transparency
        np.testing.assert_array_equal(dropped, np.asarray(Image.open(path).convert("RGB")))


@given(level=st.integers(0, 255), opacity=st.integers(0, 255))
def test_alpha_is_laid_over_white(level: int, opacity: int) -> None:
    image = to_rgb(Image.new("RGBA", (1, 1), (level, level, level, opacity)))
    exact = (level * opacity + 255 * (255 - opacity)) / 255
    assert abs(image.getpixel((0, 0))[0] - exact) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_colour_that_stands_for_transparent_is_white(mode: str) -> None:
    image = Image.new("L", (2, 1), 0)
    image.putpixel((1, 0), 255)
    key: Any = (0, 0, 0) if mode == "RGB" else 0
    data = encoded(image.convert(mode), transparency=key)
    assert decode_image(data).pixels.min() == 255
    assert decode_image(data, alpha="drop").pixels[0].tolist() == [[0] * 3, [255] * 3]
    assert "alpha" in decode_image(data).oddities


def test_16_bits_are_scaled_not_clipped_and_may_have_a_transparent_level() -> None:
    levels = np.array([[0, 257, 40000, 65535]], dtype=np.uint16)
    data = encoded(Image.fromarray(levels))
    assert decode_image(data).pixels[0, :, 0].tolist() == [0, 1, 156, 255]
    data = encoded(Image.fromarray(levels), transparency=40000)
    assert decode_image(data).pixels[0, :, 0].tolist() == [0, 1, 255, 255]
    assert decode_image(data, alpha="drop").pixels[0, :, 0].tolist() == [0, 1, 156, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_camera_orientation_is_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner = Image.new("RGB", (16, 8))
    corner.paste((255, 255, 255), (0, 0, 8, 4))  # above on the left as it was stored
    found = decode_image(encoded(corner, kind, exif=exif)).pixels
    assert found.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))
    bright = [bool(found[y, x].mean() > 128) for y in (1, -2) for x in (1, -2)]
    # EXIF 2.3, table 4: where row 0 and column 0 of the stored picture lie
    place = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}[orientation]
    assert bright == [i == place for i in range(4)]


def test_what_is_odd_about_a_file_is_said() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = decode_image(encoded(toys.toy_image(0), "JPEG", exif=exif))
    assert turned.oddities == {"jpeg", "turned"}
    assert decode_image(encoded(toys.toy_image(0))).oddities == set()
    assert turned.oddities < set(ODDITIES)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_rubbish_is_unreadable(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError):
        decode_image(data)
    (tmp_path / "a.png").write_bytes(data)
    assert image_size(tmp_path / "a.png") is None
    assert image_size(tmp_path / "missing.png") is None


@pytest.mark.parametrize("kind", toys.BROKEN_EXIF)
def test_a_corrupt_exif_block_is_unreadable(kind: str) -> None:
    with pytest.raises(UnreadableImageError, match="its EXIF block is corrupt"):
        decode_image(encoded(toys.toy_image(0), "JPEG", exif=toys.BROKEN_EXIF[kind]))


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")
    with pytest.raises(UnreadableImageError, match="floating-point numbers of unknown range"):
        decode_image(data)
