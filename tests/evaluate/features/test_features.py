import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gandiff.common.errors import MetricError
from gandiff.common.images import ODDITIES
from gandiff.common.words import agree
from gandiff.evaluate.extractors.torch_inference import by_size
from gandiff.evaluate.features import cache as module
from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.features.encoders import (
    FeatureExtractor,
    check_encoder,
    encoder_names,
    open_extractor,
)
from gandiff.evaluate.features.images import image_records, read_image
from gandiff.evaluate.metric import ImageRecord

Write = Callable[..., ImageRecord]


class MeanColour(FeatureExtractor):
    """The mean of each channel, and a count of the images it was shown."""

    def __init__(self, name: str, weights_sha256: str) -> None:
        self.name = name
        self._sha256 = weights_sha256
        self.seen: Counter[bytes] = Counter()

    def protocol(self) -> dict[str, Any]:
        return {"encoder": self.name, "weights_sha256": self._sha256, "resize": "none"}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return image

    def encode(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        self.seen.update(image.tobytes() for image in prepared)
        return np.stack([image.mean(axis=(0, 1)) for image in prepared]).astype(np.float32)


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> dict[str, MeanColour]:
    """Every encoder name opens a ``MeanColour``, kept here."""
    opened: dict[str, MeanColour] = {}

    def opener(name: str, weights: object, device: str, *, compile: bool) -> MeanColour:
        return opened.setdefault(name, MeanColour(name, f"weights of {name}"))

    monkeypatch.setattr(module, "open_extractor", opener)
    monkeypatch.setattr(module, "check_weights", lambda encoder, weights: None)
    return opened


def noise(seed: int, height: int = 6, width: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_features_are_those_of_the_pixels_in_order(
    write_image: Write, encoders: dict[str, MeanColour]
) -> None:
    records = [write_image(f"{i}.png", noise(i)) for i in range(7)]
    found = FeatureCache(batch_size=3)("scenes", records[::-1])
    expected = np.stack([noise(i).mean(axis=(0, 1)) for i in range(7)])[::-1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("kept", [True, False])
def test_each_image_is_encoded_once(
    kept: bool, write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    records = [write_image(f"{i}.png", noise(i)) for i in range(5)]
    twin = write_image("twin.png", noise(0))  # the same bytes under another name
    cache = FeatureCache(tmp_path / "features" if kept else None, batch_size=2)
    first = cache("scenes", [*records, twin])
    again = cache("scenes", [twin, *records])
    np.testing.assert_array_equal(first[-1], again[0])
    np.testing.assert_array_equal(first[:-1], again[1:])
    assert set(encoders["scenes"].seen.values()) == {1}
    assert len(encoders["scenes"].seen) == 5


def test_the_folder_serves_the_next_run(
    write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    records = [write_image(f"{i}.png", noise(i)) for i in range(5)]
    first = FeatureCache(tmp_path / "f")("scenes", records[:3])
    second = FeatureCache(tmp_path / "f")("scenes", records)
    np.testing.assert_array_equal(first, second[:3])
    assert sum(encoders["scenes"].seen.values()) == 5
    folder = next((tmp_path / "f").iterdir())
    assert json.loads((folder / "protocol.json").read_text())["encoder"] == "scenes"
    assert len(list(folder.glob("*.npy"))) == 2
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_a_changed_file_and_changed_weights_are_misses(
    write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    FeatureCache(tmp_path / "f")("scenes", [write_image("a.png", noise(1))])
    changed = write_image("a.png", noise(2))
    found = FeatureCache(tmp_path / "f")("scenes", [changed])
    np.testing.assert_allclose(found[0], noise(2).mean(axis=(0, 1)), rtol=1e-6)
    encoders["scenes"] = MeanColour("scenes", "other weights")
    FeatureCache(tmp_path / "f")("scenes", [changed])
    assert sum(encoders["scenes"].seen.values()) == 1
    assert len(list((tmp_path / "f").iterdir())) == 2


def test_encoders_do_not_share_features(
    write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    record = write_image("a.png", noise(1))
    cache = FeatureCache(tmp_path / "f")
    cache("scenes", [record])
    cache("clip:ViT-B-32/openai", [record])
    assert len(list((tmp_path / "f").iterdir())) == 2


def test_a_file_that_changed_since_it_was_listed_is_refused(
    write_image: Write, encoders: dict[str, MeanColour]
) -> None:
    record = write_image("a.png", noise(1))
    write_image("a.png", noise(2))
    with pytest.raises(MetricError, match=r"1 of 1 .*a\.png \(the file has changed since"):
        FeatureCache()("scenes", [record])


def test_unreadable_files_are_named_and_counted_and_the_rest_is_kept(
    write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    records = [write_image(f"{i}.png", noise(i)) for i in range(3)]
    data = records[1].path.read_bytes()[:-60]
    records[1].path.write_bytes(data)
    torn = dataclasses.replace(records[1], sha256=hashlib.sha256(data).hexdigest())
    missing = dataclasses.replace(records[0], path=tmp_path / "gone.png", sha256="0" * 64)
    cache = FeatureCache(tmp_path / "f")
    with pytest.raises(
        MetricError, match=r"2 of 4 image files cannot be read: .*1\.png.*gone\.png"
    ):
        cache("scenes", [records[0], torn, missing, records[2]])
    cache("scenes", [records[0], records[2]])
    assert sum(encoders["scenes"].seen.values()) == 2
    bad = cache.compute(["scenes"], [records[0], torn, missing, records[2]])
    assert set(bad) == {torn.sha256, missing.sha256}


def test_a_damaged_cache_is_named(
    write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    record = write_image("a.png", noise(1))
    FeatureCache(tmp_path / "f")("scenes", [record])
    part = next((tmp_path / "f").glob("*/*.npy"))
    part.write_bytes(part.read_bytes()[:90])
    with pytest.raises(MetricError, match=f"feature cache .*{part.name} is damaged"):
        FeatureCache(tmp_path / "f")("scenes", [record])


def test_features_that_are_nan_are_refused(
    write_image: Write, encoders: dict[str, MeanColour], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        MeanColour, "encode", lambda self, images: np.full((len(images), 2), np.nan, np.float32)
    )
    with pytest.raises(MetricError, match=r"encoder scenes gave NaN or infinite .*a\.png"):
        FeatureCache()("scenes", [write_image("a.png", noise(1))])


def oddity(mode: str) -> tuple[str, Image.Image, dict[str, Any]]:
    rgb = Image.fromarray(noise(1, 8, 8))
    wide = Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16))
    return {
        "alpha": ("a.png", rgb.convert("RGBA"), {}),
        "grey": ("a.png", rgb.convert("L"), {}),
        "cmyk": ("a.tif", rgb.convert("CMYK"), {}),
        "palette": ("a.png", rgb.convert("P"), {}),
        "16-bit": ("a.png", wide, {}),
        "jpeg": ("a.jpg", rgb, {}),
        "animated": ("a.gif", rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
    }[mode]


@pytest.mark.parametrize("mode", ["alpha", "grey", "cmyk", "palette", "16-bit", "jpeg", "animated"])
def test_odd_files_are_read_and_counted(
    mode: str, write_image: Write, encoders: dict[str, MeanColour], tmp_path: Path
) -> None:
    name, image, options = oddity(mode)
    image.save(tmp_path / name, **options)
    data = (tmp_path / name).read_bytes()
    odd = ImageRecord(path=tmp_path / name, sha256=hashlib.sha256(data).hexdigest(), group="odd")
    plain = write_image("plain.png", noise(2, 8, 8))
    assert mode in read_image(odd).oddities
    assert read_image(odd).pixels.shape == (8, 8, 3)
    for _ in range(2):  # the second time from the cache
        cache = FeatureCache(tmp_path / "f")
        cache("scenes", [odd, plain])
        cache("scenes", [odd, plain])
        said = [w for w in cache.warnings() if agree(1, ODDITIES[mode]) in w]
        assert said == [f"1 of 2 images {agree(1, ODDITIES[mode])}"]


def test_plain_files_have_no_oddities_and_mixed_sizes_are_said(
    write_image: Write, encoders: dict[str, MeanColour]
) -> None:
    cache = FeatureCache()
    cache("scenes", [write_image("a.png", noise(1)), write_image("b.png", noise(2))])
    assert cache.warnings() == []
    cache("scenes", [write_image("c.png", noise(3, 1, 1))])
    assert cache.warnings() == ["the images have 2 different sizes (5x6: 2, 1x1: 1)"]


def test_all_jpeg_is_nothing_odd(write_image: Write, encoders: dict[str, MeanColour]) -> None:
    cache = FeatureCache()
    cache("scenes", [write_image("a.jpg", noise(1)), write_image("b.jpg", noise(2))])
    assert cache.warnings() == []


def test_a_folder_is_listed_sorted_with_one_group_an_image(write_image: Write) -> None:
    record = write_image("b.png", noise(1))
    write_image("a.JPG", noise(2))
    (record.path.parent / "notes.txt").write_text("no image")
    found = image_records(record.path.parent)
    assert [r.group for r in found] == ["a.JPG", "b.png"]
    np.testing.assert_array_equal(read_image(found[1]).pixels, noise(1))


def test_folders_without_images_are_errors(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="holds no image files"):
        image_records(tmp_path)
    with pytest.raises(MetricError, match="there is no folder"):
        image_records(tmp_path / "nowhere")


def test_mixed_sizes_keep_their_order() -> None:
    images = [noise(i, 4 + i % 3, 4) for i in range(8)]
    found = by_size(images, lambda stack: stack.mean(axis=(1, 2)).astype(np.float32))
    expected = np.stack([image.mean(axis=(0, 1)) for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_names() -> None:
    assert {"scenes", "scenes_b", "inception", "clip", "dinov2", "lpips"} == set(encoder_names())
    for good in ("scenes", "clip", "clip:ViT-B-32/openai", "dinov2:facebook/dinov2-small"):
        assert check_encoder(good) == good
    with pytest.raises(MetricError, match=r"no encoder 'dino'; did you mean 'dinov2'"):
        open_extractor("dino", {}, "cpu")
    with pytest.raises(MetricError, match="cannot be written 'scenes:x'"):
        check_encoder("scenes:x")


def test_weights_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"no weights for the encoder inception at .*nowhere"):
        FeatureCache(weights={"inception": str(tmp_path / "nowhere.pth")})
    with pytest.raises(MetricError, match="no encoder 'inceptoin'"):
        FeatureCache(weights={"inceptoin": str(tmp_path)})
