from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_helpers import TOY, calls, images, log_lines, make, record, write_comparison
from toy_generators import SIDE, ToyGenerator, paint

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import load_run, open_run
from gandiff.models.generator import GeneratorInfo


def statuses(folder: Path, generator: str = "toy") -> list[tuple[str, str | None]]:
    return [(e["status"], e["reason"]) for e in log_lines(folder) if e["generator"] == generator]


def test_a_run_makes_every_image_of_the_plan(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    lines = log_lines(folder)
    assert len(lines) == 2 * 5 * 2
    assert len({line["key"] for line in lines}) == len(lines)
    found = images(folder)
    assert {line["path"]: line["sha256"] for line in lines} == found
    assert "images/toy/00005_1.png" in found
    seeds = {
        name: [e["seed"] for e in lines if e["generator"] == name] for name in ("toy", "other")
    }
    assert seeds["toy"] == seeds["other"]
    for line in lines:
        image = np.asarray(Image.open(folder / line["path"]))
        rng = np.random.default_rng(line["seed"])
        assert np.array_equal(image, rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
        assert (line["width"], line["height"], line["nfe"]) == (SIDE, SIDE, 2)
        assert line["seconds"] > 0


def test_the_record_of_a_run(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    about = record(folder)
    assert about["schema"] == 1
    assert (about["name"], about["status"], about["error"]) == ("toys", "done", None)
    assert about["command"] == "gandiff run"
    assert about["created"] <= about["finished"]
    assert about["headline"] == ["toy", "other"]
    assert about["suite"]["prompts"] == 5
    assert len(about["suite"]["sha256"]) == 64
    assert about["counts"]["toy"] == {"planned": 10, "ok": 10, "failed": 0, "filtered": 0}
    assert about["generators"]["other"]["family"] == "diffusion"
    assert about["generators"]["toy"]["settings"]["shade"] == 0
    assert set(about["generators"]["toy"]) >= {f for f in GeneratorInfo.__dataclass_fields__}
    assert about["comparison"]["samples_per_prompt"] == 2
    assert about["environment"]["device"] == "cpu"
    assert about["environment"]["packages"]["numpy"] == np.__version__
    assert about["warnings"] == []
    assert (folder / "comparison.yaml").read_text() == file.read_text()
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "id": "00001",
        "text": "a toy 0",
        "category": None,
        "tags": [],
        "negative_prompt": None,
        "expected": None,
    }


def test_every_call_has_the_planned_size(tmp_path: Path) -> None:
    folder = make(write_comparison(tmp_path, prompts=3))
    assert calls(folder.parent / "toy.log") == [
        "00001_0 00001_1 00002_0 00002_1",
        "00003_0 00003_1 00003_1 00003_1",
    ]


def test_a_finished_run_makes_nothing_again(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    before, log = images(folder), (folder / "images.jsonl").read_bytes()
    logged = (tmp_path / "toy.log").read_text()
    make(file)
    assert images(folder) == before
    assert (folder / "images.jsonl").read_bytes() == log
    assert (tmp_path / "toy.log").read_text() == logged  # not even loaded
    assert record(folder)["generators"]["toy"]["parameters"] == 3


@pytest.mark.parametrize("damage", ["delete", "change", "line", "torn"])
def test_a_batch_with_an_image_missing_is_made_again_whole(tmp_path: Path, damage: str) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    before, log = images(folder), folder / "images.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    victim = folder / "images/toy/00003_1.png"
    if damage == "delete":
        victim.unlink()
    elif damage == "change":
        victim.write_bytes(victim.read_bytes() + b"x")
    elif damage == "line":
        log.write_text("".join(line for line in lines if "toy/00003_1.png" not in line))
    else:
        log.write_text("".join(lines[:7]) + lines[7][:40])
    (tmp_path / "toy.log").unlink()
    (tmp_path / "other.log").unlink()
    make(file)
    assert images(folder) == before
    after = log_lines(folder)
    assert sorted(e["key"] for e in after) == sorted(json.loads(line)["key"] for line in lines)
    made = calls(tmp_path / "toy.log")
    assert made[0] == "00003_0 00003_1 00004_0 00004_1"
    assert len(made) == (2 if damage == "torn" else 1)
    assert len(calls(tmp_path / "other.log")) == (3 if damage == "torn" else 0)


def test_what_cannot_be_built_is_found_before_anything_is_written(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    with pytest.raises(RequestError, match="generator 'other' cannot be built: the toy does not"):
        make(file, "generators.other.broken=build")
    assert not (tmp_path / "run").exists()
    assert calls(tmp_path / "toy.log", "load") == []


@pytest.mark.parametrize("broken", ["toy", "other"])
def test_what_cannot_be_loaded_does_not_stop_the_others(tmp_path: Path, broken: str) -> None:
    file = write_comparison(tmp_path)
    make(file, f"generators.{broken}.broken=load")
    about = record(tmp_path / "run")
    assert (about["status"], about["error"]) == ("done", None)
    counts = {name: count["ok"] for name, count in about["counts"].items()}
    assert counts == {"toy": 10, "other": 10} | {broken: 0}
    reason = "cannot be loaded: the toy does not want to be loaded"
    assert about["warnings"] == [f"{broken}: {reason}"]
    assert about["unmade"] == {broken: reason}


@pytest.mark.parametrize(
    ("word", "status", "says"),
    [
        ("RAISE", "failed", "RuntimeError: the toy broke on two lines"),
        ("BLACK", "failed", "black image"),
        ("FLAT", "failed", "every pixel has the same colour (7, 7, 7)"),
        (
            "GREY",
            "failed",
            "expected a uint8 image of shape (height, width, 3), got uint8 (8, 8)",
        ),
        ("NAN", "failed", "NaN in the image"),
        ("RUDE", "filtered", "the safety checker said no"),
        ("WIDE", "failed", "16x8 px, where the others have 8x8 px"),
        ("SHORT", "failed", "the generator returned 3 images for 4 requests"),
    ],
)
def test_what_goes_wrong_is_recorded_and_the_run_goes_on(
    tmp_path: Path, word: str, status: str, says: str
) -> None:
    texts = ["a", "b", f"{word} c", "d", "e"]
    folder = make(write_comparison(tmp_path, prompts=texts))
    found = statuses(folder)
    wrong = [i for i, (s, _) in enumerate(found) if s != "ok"]
    whole_batch = word in ("RAISE", "SHORT")
    assert wrong == ([4, 5, 6, 7] if whole_batch else [4, 5])
    assert {found[i] for i in wrong} == {(status, says)}
    about = record(folder)
    assert about["status"] == "done"
    assert about["counts"]["toy"][status] == len(wrong)
    assert f"toy: {len(wrong)} of 10 images {status} ({says})" in about["warnings"]
    lines = [e for e in log_lines(folder) if e["status"] != "ok"]
    assert all(e["path"] is e["sha256"] is e["width"] is None for e in lines)


def test_the_first_size_counts_also_after_going_on(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, prompts=["a", "b", "WIDE c", "WIDE d"])
    folder = make(file, limit=2)
    make(file)
    assert [status for status, _ in statuses(folder)] == ["ok"] * 4 + ["failed"] * 4


def test_images_made_elsewhere_may_have_any_size(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, prompts=["a", "WIDE b"])
    folder = make(file, "generators.toy.family=folder")
    assert [status for status, _ in statuses(folder)] == ["ok"] * 4
    assert "toy: the images have 2 sizes (8x8: 2, 16x8: 2)" in record(folder)["warnings"]


def test_prompts_that_are_cut_are_counted(tmp_path: Path) -> None:
    folder = make(write_comparison(tmp_path, prompts=["a", "LONG b"]))
    assert "toy: 1 prompt is longer than its text encoder reads" in record(folder)["warnings"]
    assert log_lines(folder)[2]["truncated_tokens"] == {"text": 3}


def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path) -> None:
    texts = ["a", "b", "INTERRUPT c"]
    file = write_comparison(tmp_path, prompts=texts)
    with pytest.raises(KeyboardInterrupt):
        make(file)
    folder = tmp_path / "run"
    assert record(folder)["status"] == "interrupted"
    assert len(log_lines(folder)) == 4
    assert record(folder)["counts"]["toy"]["ok"] == 4


def test_python_objects_take_part(tmp_path: Path) -> None:
    write_comparison(tmp_path, prompts=3)
    comparison = comparison_from_dict(
        {"name": "x", "suite": "prompts.txt", "metrics": [], "batch_size": 4, "device": "cpu"},
        base=tmp_path,
        objects=["mine"],
    )
    toy = ToyGenerator("named otherwise")
    folder = tmp_path / "run"
    with open_run(comparison, folder, generators={"mine": toy}) as run:
        generate_images(run, quiet=True)
    about = record(folder)
    assert about["generators"]["mine"]["name"] == "mine"
    assert about["counts"]["mine"]["ok"] == 3 * 4
    assert "generators:" in (folder / "comparison.yaml").read_text()
    again = load_run(folder)
    assert again.comparison.generators["mine"].type == "python"
    with pytest.raises(RequestError, match="was a Python object, which a run folder cannot hold"):
        again.generator("mine")


def test_functions_and_factories_take_part(tmp_path: Path) -> None:
    module = TOY.rpartition(":")[0]
    file = write_comparison(
        tmp_path,
        generators={
            "plain": {"type": f"{module}:paint"},
            "shaded": {"type": f"{module}:paint", "shade": 200},
            "made": {"type": f"{module}:painter", "shade": 200},
        },
    )
    folder = make(file)
    found = images(folder)
    assert found["images/shaded/00001_0.png"] == found["images/made/00001_0.png"]
    assert found["images/shaded/00001_0.png"] != found["images/plain/00001_0.png"]
    seed = log_lines(folder)[0]["seed"]
    pixels = np.asarray(Image.open(folder / "images/plain/00001_0.png"))
    assert np.array_equal(pixels, paint([""], [seed])[0])
