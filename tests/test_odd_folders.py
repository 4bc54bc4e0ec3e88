"""Folders as people have them, through the command line: what is measured and what is said."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toys
from PIL import Image

from gandiff.experiments.cli import main

FD = "fd(encoder=scenes)"


@pytest.fixture
def score(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Measure ``made`` against ``real``: the row of the distance, and what was said."""
    toys.save_toy_images(empty_folder / "real", [f"{i}.png" for i in range(12)])

    def run(*words: str) -> tuple[dict[str, Any], str]:
        code = main(["score", "made", "--reference", "real", "--metrics", FD, "--json", *words])
        shown = capsys.readouterr()
        assert code == 0, shown.err
        return json.loads(shown.out)[0], shown.err

    return run


def save(names: list[str], start: int = 50) -> None:
    for number, name in enumerate(names):
        path = Path("made", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if path.suffix == ".jfif" else None
        toys.toy_image(start + number).save(path, kind, lossless=True, quality=100)


PLAIN = [f"{i:03d}.png" for i in range(10)]


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints/{}-checkpoint.png", ".thumbnails/{}.png"])
def test_what_a_notebook_leaves_is_not_measured(score: Any, hidden: str) -> None:
    save(PLAIN)
    before, said = score()
    assert "left out" not in said
    save([hidden.format(i) for i in range(10)], start=300)
    after, said = score()
    assert (after["images"], after["value"]) == (10, before["value"])
    assert "made: left out: 10 hidden" in said


def test_apple_double_files_are_left_out(score: Any) -> None:
    save(PLAIN)
    for name in PLAIN:
        Path("made", f"._{name}").write_bytes(b"\0\5\x16\7 Mac OS X")
    row, said = score()
    assert row["images"] == 10
    assert "left out: 10 hidden" in said


def test_every_usual_ending_is_measured(score: Any) -> None:
    save([f"{i}.{ending}" for i in range(5) for ending in ("png", "avif", "jfif", "WEBP")])
    Path("made", "a.heic").touch()
    row, said = score()
    assert row["images"] == 20
    assert "left out: 1 of other endings (.heic)" in said


def test_a_linked_folder_is_entered_once(score: Any) -> None:
    save(["a.png", "b.png", "c.png"])
    toys.save_toy_images(Path("elsewhere"), [f"{i}.png" for i in range(10)])
    Path("made", "linked").symlink_to(Path("elsewhere").resolve())
    Path("elsewhere", "back").symlink_to(Path("made").resolve())
    row, said = score()
    assert row["images"] == 13
    assert "left out: 1 links that lead back to where they are" in said


def test_fewer_images_than_a_cap_is_said(score: Any) -> None:
    save(PLAIN)
    row, said = score("--max-images", "11")
    assert (row["images"], row["references"]) == (10, 11)
    assert "made holds 10 images, fewer than the 11 asked for" in said


def test_a_cap_takes_of_every_class_its_share(score: Any) -> None:
    for number, name in enumerate("abcd"):
        save([f"train/{name}/{i}.png" for i in range(8)], start=100 * number)
    whole, _ = score()
    parts = [score("--max-images", str(n))[0]["value"] for n in (2, 8)]
    shutil.rmtree("made/train/d")
    without, _ = score("--max-images", "8")
    assert len({whole["value"], without["value"], *parts}) == 4


RUN = """\
suite: prompts.txt
samples_per_prompt: 2
generators:
  elsewhere: {{type: folder, folder: {folder}}}
metrics: ["vendi(encoder=scenes)"]
timing: {{}}
"""
FILES = [f"{prompt:05d}_{sample}" for prompt in range(1, 6) for sample in range(2)]


@pytest.mark.parametrize("kind", ["capital", "linked files", "linked folder"])
def test_a_folder_generator_finds_them_all(
    empty_folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = ".PNG" if kind == "capital" else ".png"
    folder = toys.save_toy_images(empty_folder / "plain", [f"{name}{ending}" for name in FILES])
    if kind == "linked files":
        Path("links").mkdir()
        for path in folder.iterdir():
            Path("links", path.name).symlink_to(f"../plain/{path.name}")
        folder = Path("links")
    elif kind == "linked folder":
        Path("link").symlink_to("plain")
        folder = Path("link")
    (folder / ".x.png").touch()
    Path("prompts.txt").write_text("\n".join(f"a star {i}" for i in range(5)))
    Path("c.yaml").write_text(RUN.format(folder=folder.name))
    assert main(["run", "c.yaml", "--out", "run", "--stop-after", "score"]) == 0
    said = capsys.readouterr().err
    rows = [json.loads(line) for line in Path("run/images.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * 10
    assert "left out: 1 hidden" in said
    with Image.open("run/images/elsewhere/00003_1.png") as made:
        assert made.tobytes() == Image.open(folder / f"00003_1{ending}").tobytes()


def test_what_is_odd_about_ready_pictures_is_said(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = toys.save_toy_images(empty_folder / "mixed", [f"{name}.png" for name in FILES[:6]])
    toys.toy_image(7).convert("L").save(folder / "00001_0.png")
    toys.toy_image(8).convert("LA").save(folder / "00001_1.png")
    (folder / "00002_0.png").unlink()
    toys.toy_image(9).save(folder / "00002_0.jpg", quality=95)
    Path("prompts.txt").write_text("a star\na ring\na heart\n")
    Path("c.yaml").write_text(RUN.format(folder="mixed"))
    for _ in range(2):  # also by a start that makes no image
        assert main(["run", "c.yaml", "--out", "run", "--stop-after", "generate"]) == 0
        said = capsys.readouterr().err
        assert "elsewhere: 2 of 6 images are grey" in said
        assert "elsewhere: 1 of 6 images has an alpha channel" in said
        assert "elsewhere: 1 of 6 images is JPEG" in said


def test_a_reference_of_a_run_is_measured_without_what_cannot_be_read(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toys.save_toy_images(empty_folder / "plain", [f"{name}.png" for name in FILES])
    toys.save_toy_images(empty_folder / "real", [f"{i}.png" for i in range(12)])
    name = os.fsdecode(b"\xfe\xff.png")  # as an old camera or archive left it
    Path("real", name).write_bytes(b"no picture")
    Path("plain", name).write_bytes(b"no picture")
    Path("prompts.txt").write_text("\n".join(f"a star {i}" for i in range(5)))
    text = RUN.format(folder="plain").replace("vendi(encoder=scenes)", FD)
    Path("c.yaml").write_text(f"{text}reference: {{folder: real}}\n")
    for out in ("run", "run"):
        assert main(["run", "c.yaml", "--out", out]) == 0
        said = capsys.readouterr().err
        assert "reference: 1 of 13 image files cannot be read" in said
        assert "the other 12 are measured" in said
    (row,) = (r for r in pd.read_parquet("run/results.parquet").itertuples() if r.metric == FD)
    assert (row.references, row.images) == (12, 10)
