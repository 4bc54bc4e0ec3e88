from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from PIL import Image

from gandiff.common.errors import GeneratorError
from gandiff.models.folder import FolderGenerator
from gandiff.models.generator import Generation, GenerationRequest
from gandiff.models.settings import FolderSettings


def make(folder: Path, **settings: Any) -> FolderGenerator:
    generator = FolderGenerator(
        name="elsewhere", settings=FolderSettings(folder=str(folder), **settings)
    )
    generator.load()
    return generator


def ask(folder: Path, request: GenerationRequest | None = None, **settings: Any) -> Generation:
    request = request or GenerationRequest(prompt="a star", seed=7, prompt_id="p-007")
    return make(folder, **settings).generate([request])[0]


def same(generation: Generation, path: Path) -> bool:
    return generation.image is not None and bool(
        np.array_equal(generation.image, np.asarray(Image.open(path).convert("RGB")))
    )


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (None, "p-007_0.png"),
        (None, "p-007_0.bmp"),
        ("{prompt_id}_{sample}.png", "p-007_0.png"),
        ("{index:05d}.png", "00007.png"),
        ("{index}", "7.tif"),
        ("{seed}_{sample:02d}", "7_00.png"),
        ("{prompt_id}/{sample}.png", "p-007/0.png"),
    ],
)
def test_patterns(tmp_path: Path, pattern: str | None, name: str) -> None:
    toys.save_toy_images(tmp_path, ["other_0.png", name])
    generation = ask(tmp_path, pattern=pattern)
    assert generation.status == "ok", generation.reason
    assert same(generation, tmp_path / name)
    assert generation.nfe == 0


def test_samples_have_their_own_files(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["p-007_0.png", "p-007_1.png"])
    request = GenerationRequest(prompt="a star", seed=1, prompt_id="p-007", sample=1)
    assert same(ask(tmp_path, request), tmp_path / "p-007_1.png")


MAPPINGS = {
    "m.csv": "file_name,prompt_id,sample\nb.png,p-007,1\na.png,p-007,0\n",
    "m.tsv": "prompt\tfile\nanother\tb.png\na  star\ta.png\n",
    "m.jsonl": '\n{"file_name": "a.png", "text": "a star"}\n',
    "metadata.csv": '\ufefffile_name,text\n"a.png","a star"\n',
    "metadata.jsonl": '{"file_name": "a.png", "prompt_id": "p-007", "text": "unused"}\n',
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_mappings(tmp_path: Path, name: str) -> None:
    toys.save_toy_images(tmp_path, ["a.png", "b.png"])
    (tmp_path / name).write_text(MAPPINGS[name], encoding="utf-8")
    mapping = None if name.startswith("metadata") else name
    assert same(ask(tmp_path, mapping=mapping), tmp_path / "a.png")


def test_rows_of_one_prompt_are_its_samples_in_order(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["a.png", "b.png"])
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,a star\nb.png,a star\n")
    request = GenerationRequest(prompt="a star", seed=1, sample=1)
    assert same(ask(tmp_path, request), tmp_path / "b.png")


def test_imagefolder_metadata_as_datasets_writes_it(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, [f"train/{i}.png" for i in range(3)])
    lines = [json.dumps({"file_name": f"train/{i}.png", "text": f"prompt {i}"}) for i in range(3)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    generator = make(tmp_path)
    found = generator.generate([GenerationRequest(prompt=f"prompt {i}", seed=0) for i in (2, 0)])
    assert same(found[0], tmp_path / "train/2.png")
    assert same(found[1], tmp_path / "train/0.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        (
            "file_name,colour\na.png,x\n",
            "m.csv:2 has the fields file_name, colour; expected",
        ),
        ("file_name,text\n,x\n", "m.csv:2 has no file"),
        ("file_name,text\na.png,x\na.png,\n", "m.csv:3 has no text"),
        ("file_name,text,sample\na.png,x,zero\n", "m.csv:2: sample must be a number, got 'zero'"),
        (
            "file_name,text,sample\na.png,x,0\na.png,x,0\n",
            "m.csv:3: sample 0 of text 'x' is given",
        ),
        ("file_name,text\n../a.png,x\n", "m.csv:2: ../a.png lies outside of the folder"),
        ("file_name,text\n/etc/hostname,x\n", "m.csv:2: /etc/hostname lies outside"),
        ("file_name,text\nb.png,x\n", "names no file that is in the folder"),
    ],
)
def test_bad_mappings_are_told(tmp_path: Path, text: str, message: str) -> None:
    toys.save_toy_images(tmp_path, ["a.png"])
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(GeneratorError) as caught:
        make(tmp_path, mapping="m.csv")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.jsonl", b'{"file_name": "a.png"', "m.jsonl:1: this is not JSON"),
        ("m.jsonl", b"[1]", "m.jsonl:1: expected a JSON object, got [1]"),
        ("m.csv", b"file_name,text\n\xff,x\n", "expected UTF-8 text; byte 15 is not"),
        ("m.xls", b"", "m.xls: expected a file ending in .csv, .tsv, .jsonl"),
        ("../m.csv", b"", "the mapping ../m.csv lies outside"),
        ("missing.csv", None, "missing.csv cannot be read: No such file"),
    ],
)
def test_unreadable_mappings_are_told(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    folder = toys.save_toy_images(tmp_path / "images", ["a.png"])
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(GeneratorError) as caught:
        make(folder, mapping=name)
    assert message in str(caught.value)


def test_bad_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="is missing; expected a folder of images"):
        make(tmp_path / "nowhere")
    (tmp_path / "readme.txt").write_text("no picture")
    with pytest.raises(GeneratorError, match="is a file"):
        make(tmp_path / "readme.txt")
    with pytest.raises(GeneratorError, match="holds no image files"):
        make(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and nothing more")
    with pytest.raises(GeneratorError, match=r"none of 1 file .* can be read .* broken\.png"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (GenerationRequest(prompt="x", seed=0, prompt_id="p-999"), "no file p-999_0 in"),
        (GenerationRequest(prompt="x", seed=0), "needs prompt_id, which a request without"),
        (GenerationRequest(prompt="x", seed=0, prompt_id="../out"), "lies outside of the folder"),
        (GenerationRequest(prompt="x", seed=0, prompt_id="/out"), "lies outside of the folder"),
        (GenerationRequest(prompt="x", seed=0, prompt_id="broken"), "cannot read broken_0.png"),
        (GenerationRequest(prompt="x", seed=0, prompt_id="black"), "black or constant image"),
    ],
)
def test_what_cannot_be_found_fails_alone(
    tmp_path: Path, request_: GenerationRequest, reason: str
) -> None:
    toys.save_toy_images(tmp_path, ["out_0.png"])
    folder = toys.save_toy_images(tmp_path / "images", ["p-007_0.png"])
    (folder / "link_0").symlink_to(tmp_path / "out_0.png")
    (folder / "broken_0.png").write_bytes((folder / "p-007_0.png").read_bytes()[:60])
    Image.new("RGB", (8, 8)).save(folder / "black_0.png")
    good = GenerationRequest(prompt="x", seed=0, prompt_id="p-007")
    bad, fine = make(folder).generate([request_, good])
    assert (bad.status, bad.image) == ("failed", None)
    assert bad.reason is not None
    assert reason in bad.reason
    assert fine.status == "ok"


def test_a_mapping_without_the_prompt_fails(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["a.png"])
    (tmp_path / "metadata.csv").write_text("file_name,prompt_id\na.png,p-001\n")
    assert ask(tmp_path).reason == "metadata.csv has no file for prompt_id 'p-007', sample 0"
    reason = ask(tmp_path, GenerationRequest(prompt="x", seed=0)).reason
    assert reason == "metadata.csv goes by prompt_id, which the request does not have"


def half(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (4, 4), left)
    image.paste(right, (2, 0, 4, 4))
    return image


def sixteen_bits() -> Image.Image:
    levels = np.full((4, 4), 65535, np.uint16)
    levels[:, :2] = 128 * 257 + 100  # nearest to level 128
    return Image.fromarray(levels)


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (half("RGBA", (255, 0, 0, 255), (0, 0, 0, 0)), (255, 0, 0), (255, 255, 255)),
        (half("LA", (0, 255), (0, 0)), (0, 0, 0), (255, 255, 255)),
        (half("L", 10, 200), (10, 10, 10), (200, 200, 200)),
        (half("1", 0, 1), (0, 0, 0), (255, 255, 255)),
        (half("P", 0, 1), (0, 0, 0), (1, 1, 1)),
        (half("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), (255, 255, 255), (0, 0, 0)),
        (sixteen_bits(), (128, 128, 128), (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, image: Image.Image, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    if image.mode == "P":
        image.putpalette([value for level in range(256) for value in (level,) * 3])
    image.save(tmp_path / ("p-007_0.tif" if image.mode == "CMYK" else "p-007_0.png"))
    found = ask(tmp_path).image
    assert found is not None
    assert found.dtype == np.uint8
    assert (tuple(found[0, 0]), tuple(found[0, 3])) == (left, right)


def test_a_camera_orientation_is_applied(tmp_path: Path) -> None:
    image = half("RGB", (0, 0, 0), (255, 255, 255)).resize((8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image.save(tmp_path / "p-007_0.png", exif=exif)
    found = ask(tmp_path).image
    assert found is not None
    assert found.shape == (8, 4, 3)


@pytest.mark.parametrize("kind", toys.BROKEN_EXIF)
def test_a_corrupt_exif_block_is_a_failed_generation(tmp_path: Path, kind: str) -> None:
    toys.toy_image(0).save(tmp_path / "p-007_0.jpg", exif=toys.BROKEN_EXIF[kind])
    found = ask(tmp_path)
    assert found.status == "failed"
    assert "cannot read p-007_0.jpg as an image: its EXIF block is corrupt" in str(found.reason)


def test_resize_is_off_unless_asked_for(tmp_path: Path) -> None:
    toys.toy_image(1, (20, 12)).save(tmp_path / "p-007_0.png")
    plain = ask(tmp_path).image
    assert plain is not None
    assert plain.shape == (12, 20, 3)
    square = ask(tmp_path, resize=12).image
    np.testing.assert_array_equal(square, plain[:, 4:16])
    box = ask(tmp_path, resize=6, resize_filter="box").image
    means = plain[:, 4:16].reshape(6, 2, 6, 2, 3).mean((1, 3))
    assert box is not None
    assert np.abs(box - means).max() <= 1.0  # Pillow rounds after each axis


def test_info_knows_the_size_if_all_agree(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["a.png", "b.png"])
    info = make(tmp_path, source="a service", licence="none").info
    assert (info.family, info.resolution) == ("folder", 32)
    assert (info.source, info.licence, info.parameters) == ("a service", "none", None)
    assert make(tmp_path, family="gan", resize=16).info.family == "gan"
    assert make(tmp_path, resize=16).info.resolution == 16
    toys.toy_image(1, (20, 20)).save(tmp_path / "c.png")
    assert make(tmp_path).info.resolution is None
