"""Run folders that are continued, and those that are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_helpers import TOY, calls, images, log_lines, make, record, write_comparison

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import load_run, open_run
from gandiff.experiments.runs.run import Run


def test_more_prompts_keep_the_batches_there_are(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, prompts=7)
    folder = make(file, limit=3)
    first = {e["key"]: e for e in log_lines(folder)}
    assert record(folder)["suite"]["prompts"] == 3
    make(file)
    after = {e["key"]: e for e in log_lines(folder)}
    assert first.items() <= after.items()
    assert len(after) == 2 * 7 * 2
    assert calls(tmp_path / "toy.log")[2:] == [
        "00004_0 00004_1 00005_0 00005_1",
        "00006_0 00006_1 00007_0 00007_1",
    ]
    assert record(folder)["plan"]["generators"]["toy"]["segments"] == [3, 7]
    make(file)
    assert len(calls(tmp_path / "toy.log")) == 4
    straight = make(file, out="straight")
    assert images(straight) == images(folder)


def test_added_generators_and_metrics_continue_a_run(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    text = file.read_text().replace(
        "metrics: []", f"  third: {{type: {TOY!r}, shade: 5}}\nmetrics: [vendi]"
    )
    file.write_text(text)
    make(file, "report.gallery_prompts=3", "timing.repeats=2")
    assert len(images(folder)) == 30
    assert len(calls(tmp_path / "toy.log")) == 3
    assert record(folder)["comparison"]["metrics"] == ["vendi"]


def test_the_headline_is_chosen_once(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, 2)
    folder = make(file)
    assert record(folder)["headline"] == ["toy", "other"]
    # As an older version chose it.
    (folder / "run.json").write_text(
        json.dumps({**record(folder), "headline": ["other", "toy"]}), encoding="utf-8"
    )
    make(file)
    assert record(folder)["headline"] == ["other", "toy"]
    make(file, "headline=[toy, other]")
    assert record(folder)["headline"] == ["toy", "other"]
    make(file)  # the file does not ask for that pair any more
    assert record(folder)["headline"] == ["toy", "other"]


@pytest.mark.parametrize(
    ("overrides", "limit", "says"),
    [
        (["seed=1"], None, "seed is 0 there and 1 here"),
        (["samples_per_prompt=3"], None, "samples_per_prompt is 2 there and 3 here"),
        (["batch_size=5"], None, "batch_size is 4 there and 5 here"),
        (["dtype=float16"], None, "dtype is 'float32' there and 'float16' here;"),
        (["generators.toy.shade=9"], None, "generators.toy.shade is 0 there and 9 here"),
        (["device=cuda"], None, "device is 'cpu' there and 'cuda' here;"),
        (["suite=new.txt"], None, "is 'a toy 0' there, and '00001', 'a new toy', here"),
        ([], 4, "it has 5 prompts and 4 are asked for here"),
    ],
)
def test_the_folder_of_another_comparison_is_refused(
    tmp_path: Path, overrides: list[str], limit: int | None, says: str
) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    (tmp_path / "new.txt").write_text("a new toy\nb\nc\nd\ne\n")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(RequestError) as refused:
        make(file, *overrides, limit=limit)
    assert f"{folder} holds another comparison: " in str(refused.value)
    assert says in str(refused.value)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_generator_that_is_gone_is_another_comparison(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    make(file)
    text = file.read_text()
    file.write_text(text[: text.index("  other:")] + text[text.index("metrics:") :])
    with pytest.raises(RequestError, match=r"generators\.other is there and not here"):
        make(file)


def test_retrained_weights_are_another_comparison(tmp_path: Path) -> None:
    weights = tmp_path / "mine"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"one")
    (tmp_path / "weighted.py").write_text(
        "from toy_generators import paint\ndef make(*, weights: str):\n    return paint\n"
    )
    file = write_comparison(
        tmp_path, generators={"toy": {"type": "weighted.py:make", "weights": "mine"}}
    )
    folder = make(file)
    (weights / "README.md").write_text("a card says nothing about pixels")
    make(file)
    shutil.copytree(weights, tmp_path / "moved")
    make(file, "generators.toy.weights=moved")
    (weights / "model.safetensors").write_bytes(b"two")
    with pytest.raises(RequestError, match=r"generators\.toy has other weights there than here"):
        make(file)
    shutil.rmtree(weights)
    make(file)  # all images are there, so nothing needs the weights
    assert len(images(folder)) == 10


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    with pytest.raises(
        RequestError, match=r"holds 'other.log'|holds 'prompts.txt'|holds 'toys.yaml'"
    ):
        make(file, out=".")
    with pytest.raises(RequestError, match=r"is a file; give a folder"):
        make(file, out="toys.yaml")


def test_two_writers_are_kept_apart(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    comparison = load_comparison(file)
    with (
        open_run(comparison, tmp_path / "run"),
        pytest.raises(RequestError, match="is being written by another process"),
        open_run(comparison, tmp_path / "run"),
    ):
        pass


def test_a_run_folder_is_read_back(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    comparison = load_comparison(file)
    with open_run(comparison, tmp_path / "run") as run:
        generate_images(run, quiet=True)
        planned = run
    shutil.rmtree(file.parent / "run" / "images" / "other")
    file.unlink()
    (tmp_path / "prompts.txt").unlink()
    again: Run = load_run(tmp_path / "run")
    assert again.batches == planned.batches
    assert again.suite.sha256 == planned.suite.sha256
    assert [e.key for e in again.entries("toy")] == [
        j.key for b in again.batches["toy"] for j in b.jobs
    ]
    assert len(again.missing("other")) == 3
    with pytest.raises(RequestError, match=r"no run\.json in"):
        load_run(tmp_path)
