"""Image files become RGB by one rule, whichever way they come in."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from gandiff.common import images
from gandiff.common.images import (
    ODDITIES,
    UnreadableImageError,
    decode_image,
    image_size,
    to_rgb,
)
from gandiff.evaluate.features.images import image_records, read_image, read_pixels
from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.data.decode import decode, read_square
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


def everywhere(data: bytes, name: str, folder: Path) -> np.ndarray:
    """The pixels of a file, which must be the same by every way in; ``name`` gives the ending."""
    path = folder / f"p_0{Path(name).suffix}"
    path.write_bytes(data)
    (record,) = image_records(folder)
    scored = read_image(record).pixels
    generator = FolderGenerator("f", FolderSettings(folder=str(folder)))
    np.testing.assert_array_equal(made_by(generator), scored)
    with Image.open(path) as picture:
        function = CallableGenerator("c", lambda prompts, seeds: [picture])
        np.testing.assert_array_equal(made_by(function), scored)
    np.testing.assert_array_equal(read_pixels([record])[0], scored)
    path.with_suffix(".txt").write_text("a star")
    np.testing.assert_array_equal(FileImages(folder, SIDE).batch(0, 1).images[0], scored)
    path.with_suffix(".txt").unlink()
    return scored


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), mode=st.sampled_from(["RGBA", "LA", "P"]))
def test_a_transparent_picture_is_the_same_by_every_way_in(
    seed: int, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    scored = everywhere(encoded(layered(seed, mode)), "a.png", folder)
    # What other FID packages compute on: other pixels, and those of PIL.
    (record,) = image_records(folder)
    dropped = read_image(record, alpha="drop").pixels
    assert (dropped != scored).any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's of palettes with transparency
        np.testing.assert_array_equal(dropped, np.asarray(Image.open(record.path).convert("RGB")))


def noise(mode: str, seed: int) -> Image.Image:
    """A picture of this mode in which every value occurs somewhere."""
    draw = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16))
    bands = len(Image.new(mode, (1, 1)).getbands())
    levels = draw.integers(0, 256, (SIDE, SIDE, bands), dtype=np.uint8)
    if mode == "1":
        return Image.fromarray(levels[..., 0]).convert("1")
    image = Image.frombytes("P" if mode == "P" else mode, (SIDE, SIDE), levels.tobytes())
    if mode == "P":
        image.putpalette(draw.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


# Pillow before 13 cannot read what it writes of these.
YCBCR = ["YCbCr"] if int(PIL.__version__.partition(".")[0]) > 12 else []
FILES = {  # of each format, the modes that it can hold
    "a.png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "a.tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", *YCBCR],
    "a.jpg": ["L", "RGB", "CMYK"],
    "a.jfif": ["L", "RGB"],
    "a.bmp": ["1", "L", "P", "RGB", "RGBA"],
    "a.gif": ["L", "P", "RGB", "RGBA"],
    "a.webp": ["RGB", "RGBA"],
    "a.avif": ["RGB", "RGBA"],
    "a.ppm": ["1", "L", "RGB", "I;16"],
}


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from([(name, mode) for name, modes in FILES.items() for mode in modes]),
    orientation=st.sampled_from([None, 3, 6]),
    seed=st.integers(0, 99),
)
def test_every_mode_has_the_same_pixels_by_every_way_in(
    kind: tuple[str, str],
    orientation: int | None,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    name, mode = kind
    picture, exif = noise(mode, seed), Image.Exif()
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    if orientation and name in ("a.png", "a.tif", "a.jpg", "a.webp", "a.avif"):
        exif[0x0112] = orientation
        options["exif"] = exif
    format_ = Image.registered_extensions()[Path(name).suffix]
    data = encoded(picture, format_, **options)
    pixels = everywhere(data, name, tmp_path_factory.mktemp("pictures"))
    if name not in ("a.jpg", "a.jfif", "a.avif", "a.gif") and mode in ("1", "L", "P", "RGB"):
        turns = {3: 2, 6: 3}.get(orientation or 1, 0) if "exif" in options else 0
        np.testing.assert_array_equal(pixels, np.rot90(np.asarray(picture.convert("RGB")), turns))


def test_lab_is_converted_by_its_definition() -> None:
    # L*, a* and b* under D50 of sRGB's corners (Lindbloom's calculator), to the nearest level
    known = {
        (255, 255, 255): (100.0, 0.0, 0.0),
        (0, 0, 0): (0.0, 0.0, 0.0),
        (255, 0, 0): (54.29, 80.81, 69.89),
        (0, 255, 0): (87.82, -79.29, 80.99),
        (0, 0, 255): (29.57, 68.30, -112.03),
        (128, 128, 128): (53.59, 0.0, 0.0),
    }
    for colour, (lightness, a, b) in known.items():
        level = bytes([round(lightness * 2.55), round(a) % 256, round(b) % 256])
        image = Image.frombytes("LAB", (1, 1), level)
        found = decode_image(encoded(image, "TIFF"))
        assert np.abs(found.pixels[0, 0].astype(int) - colour).max() <= 12, (
            colour
        )  # a step of a* or b*
        assert found.oddities == {"lab"}


def test_lab_is_converted_as_a_colour_manager_does() -> None:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    there = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    back = ImageCms.buildTransform(lab, srgb, "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    image = ImageCms.applyTransform(noise("RGB", 0).resize((64, 64)), there)
    assert image is not None
    expected = np.asarray(ImageCms.applyTransform(image, back)).astype(int)
    assert np.abs(decode_image(encoded(image, "TIFF")).pixels - expected).max() <= 1


def test_cmyk_of_adobe_is_not_inverted(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red ink
    for kind in ("JPEG", "TIFF"):
        found = decode_image(encoded(image, kind))
        assert found.pixels[0, 0].tolist() == pytest.approx([255, 0, 0], abs=3)
        assert "cmyk" in found.oddities


def test_a_phones_photograph_is_a_jpeg_and_no_animation() -> None:
    photograph, depth = toys.toy_image(0, (64, 48)), toys.toy_image(1)
    data = encoded(photograph, "MPO", save_all=True, append_images=[depth], quality=95)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    found = decode_image(data)
    assert found.oddities == {"jpeg"}
    assert found.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_of_several_frames_the_first_is_taken(kind: str, tmp_path: Path) -> None:
    colours = [(250, 5, 5), (5, 250, 5), (5, 5, 250)]
    first, *more = [Image.new("RGB", (SIDE, SIDE), colour) for colour in colours]
    data = encoded(first, kind, save_all=True, append_images=more, duration=40, lossless=True)
    assert "animated" in decode_image(data).oddities
    frame = decode_image(data).pixels
    assert np.abs(frame.astype(int) - colours[0]).max() <= 12
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    np.testing.assert_array_equal(decode([path], SIDE)[0][0], frame)


def tiff(levels: np.ndarray, bits: int, interpretation: int) -> bytes:
    """A grey TIFF of 16-bit words or packed 12-bit ones (TIFF 6.0), as scanners write them."""
    height, width = levels.shape
    packed = levels.astype("<u2").tobytes()
    if bits == 12:
        pairs = levels.astype(int).reshape(-1, 2)
        packed = b"".join(((int(a) << 12) | int(b)).to_bytes(3, "big") for a, b in pairs)
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, interpretation)]
    tags += [(273, 0), (277, 1), (278, height), (279, len(packed))]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHLL", tag, 4, 1, start if tag == 273 else value) for tag, value in tags
    )
    return struct.pack("<2sHLH", b"II", 42, 8, len(tags)) + entries + b"\0" * 4 + packed


@pytest.mark.parametrize(("bits", "interpretation"), [(16, 1), (16, 0), (12, 1)])
def test_white_is_white_whatever_the_bits_and_the_way_of_counting(
    bits: int, interpretation: int
) -> None:
    white = (1 << bits) - 1
    levels = np.linspace(0, white, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)
    found = decode_image(tiff(levels, bits, interpretation))
    shares = levels / white if interpretation else 1 - levels / white
    np.testing.assert_array_equal(found.pixels[..., 0], np.rint(255 * shares))
    assert found.oddities == {"grey", "16-bit"}


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
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
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


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(kind: type, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(np.ones((2, 2), kind)), "TIFF")
    with pytest.raises(UnreadableImageError, match=r"(integers|numbers) of unknown range"):
        decode_image(data)
    (tmp_path / "a.tif").write_bytes(data)
    assert "unknown range" in str(read_square(tmp_path / "a.tif", 8))


def test_formats_that_no_ending_names_are_not_tried() -> None:
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        decode_image(b"")
    for kind in ("EPS", "ICO", "TGA", "PCX", "JPEG2000"):
        with pytest.raises(UnreadableImageError, match="not an image of a known format"):
            decode_image(encoded(toys.toy_image(0), kind))


def test_a_pillow_without_avif_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(toys.toy_image(0), "AVIF")
    monkeypatch.setattr(images, "_formats", lambda: ("PNG",))
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(UnreadableImageError, match="reads no AVIF; install Pillow"):
        decode_image(data)


SAMPLES = {
    name: encoded(toys.toy_image(0), kind)
    for name, kind in {
        "png": "PNG",
        "jpg": "JPEG",
        "webp": "WEBP",
        "gif": "GIF",
        "tif": "TIFF",
        "bmp": "BMP",
    }.items()
}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(SAMPLES)),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1),
)
def test_a_damaged_file_is_read_or_unreadable_and_nothing_else(
    kind: str, changes: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(SAMPLES[kind])
    for place, value in changes:
        data[place % min(len(data), 200)] = value  # the header, where most can go wrong
    with contextlib.suppress(UnreadableImageError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decode_image(bytes(data[: round(len(data) * (1 - keep / 4))]))
