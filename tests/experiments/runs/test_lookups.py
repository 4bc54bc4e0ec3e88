"""What a run says of images that were made elsewhere before it writes anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import toys
from run_helpers import images, log_lines, record, write_comparison

from gandiff.experiments.cli import main


def compare_folder(
    place: Path, names: Sequence[str], prompts: int = 8, samples: int = 1, **settings: Any
) -> Path:
    """A comparison of one folder of toy images, whose pictures all differ."""
    toys.save_toy_images(place / "images", list(names))
    generators = {"mine": {"type": "folder", "folder": "images", **settings}}
    return write_comparison(
        place, prompts, generators=generators, samples_per_prompt=samples, metrics=[]
    )


def run(file: Path, *more: str) -> int:
    out = str(file.parent / "run")
    return main(["run", str(file), "--out", out, "--stop-after", "generate", "-q", *more])


def test_capital_endings_are_used(tmp_path: Path) -> None:
    names = [f"{i:05d}_{s}.PNG" for i in range(1, 6) for s in range(2)]
    assert run(compare_folder(tmp_path, names, 5, 2)) == 0
    assert record(tmp_path / "run")["counts"]["mine"]["ok"] == 10
    assert record(tmp_path / "run")["warnings"] == []


def test_one_file_for_all_samples_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{i:05d}.png" for i in range(1, 6)]
    file = compare_folder(tmp_path, names, 5, 2, pattern="{prompt_id}.png")
    for command in ("validate", "run"):
        assert main([command, str(file)]) == 2
        error = capsys.readouterr().err
        assert "generators.mine.pattern: " in error
        assert "names one file for all 2 samples of a prompt" in error
    assert run(file, "--set", "samples_per_prompt=1") == 0


def test_names_from_zero_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{i}.png" for i in range(8)]
    file = compare_folder(tmp_path, names, pattern="{index}.png")
    assert run(file) == 2
    error = capsys.readouterr().err
    assert "generators.mine.pattern: 7 of 8 images found" in error
    assert "names start at 0, prompts at 1; pattern '{index-1}' would find 8" in error
    assert not (tmp_path / "run").exists()
    assert run(file, "--set", "generators.mine.pattern='{index-1}'") == 0
    pixels = {e["prompt_id"]: e["sha256"] for e in log_lines(tmp_path / "run")}
    assert len(set(pixels.values())) == 8


def test_a_run_that_would_find_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"picture-{i:05d}.jpg" for i in range(1, 9)]
    file = compare_folder(tmp_path, names)
    assert run(file) == 2
    error = capsys.readouterr().err
    assert "0 of 8 images found" in error
    assert "nearest is picture-00001.jpg" in error
    assert not (tmp_path / "run").exists()


def test_a_mapping_of_an_earlier_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{i:05d}_{s}.png" for i in range(1, 9) for s in range(2)]
    file = compare_folder(tmp_path, names, 8, 2)
    rows = [json.dumps({"file_name": name, "text": f"other {name}"}) for name in names]
    (tmp_path / "images" / "metadata.jsonl").write_text("\n".join(rows))
    assert run(file) == 2
    assert "metadata.jsonl is used, not a pattern" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_found_in_part_is_made_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{i:05d}_0.png" for i in range(1, 9)] + ["grid.png"]
    assert run(compare_folder(tmp_path, names, 16)) in (0, 1)
    for _ in range(2):  # said again by a run that has nothing to make
        warned = capsys.readouterr().err
        assert "mine: 8 of 16 images found" in warned
        assert "1 of 9 files in" in warned
        assert "belongs to no prompt (grid.png)" in warned
        run(tmp_path / "toys.yaml")
    assert record(tmp_path / "run")["counts"]["mine"] == {
        **record(tmp_path / "run")["counts"]["mine"],
        "ok": 8,
        "failed": 8,
    }


def test_files_of_further_prompts_shift_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{i}_{s}.png" for i in range(1, 9) for s in range(2)]
    for pattern in (None, "{index}_{sample}", "{prompt_id}_{sample}"):
        file = compare_folder(tmp_path, names, prompts=2, samples=2, pattern=pattern)
        assert main(["validate", str(file)]) == 0
        said = capsys.readouterr().err
        assert "12 of 16 files" in said
        assert "names start" not in said


def test_prompts_of_one_text_have_their_own_images(tmp_path: Path) -> None:
    texts = ["a star", "a ring", "a star", "a star"]
    toys.save_toy_images(tmp_path / "images", [f"{i}.png" for i in range(4)])
    rows = [{"file_name": f"{i}.png", "text": text} for i, text in enumerate(texts)]
    (tmp_path / "images" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = write_comparison(
        tmp_path,
        texts,
        generators={"mine": {"type": "folder", "folder": "images"}},
        samples_per_prompt=1,
        metrics=[],
    )
    assert run(file) == 0
    assert len(set(images(tmp_path / "run").values())) == 4


def test_copies_are_said_with_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = compare_folder(tmp_path, [f"{i}_0.png" for i in range(1, 7)], 6)
    file.write_text(file.read_text().replace("metrics: []", "metrics: [vendi(encoder=scenes)]"))
    shutil.copy(tmp_path / "images" / "1_0.png", tmp_path / "images" / "4_0.png")
    assert run(file) == 0
    assert main(["score", str(tmp_path / "run"), "-q"]) in (0, 1)
    warned = capsys.readouterr().err
    assert "1 of 6 images is a copy of another" in warned
    assert "such as 00001_0.png and 00004_0.png" in warned


def test_more_prompts_later_keep_their_files(tmp_path: Path) -> None:
    names = [f"{i}_0.png" for i in range(1, 9)]
    file = compare_folder(tmp_path, names)
    assert run(file, "--limit", "3") == 0
    first = images(tmp_path / "run")
    assert record(tmp_path / "run")["warnings"] == []
    assert run(file) == 0
    assert first.items() <= images(tmp_path / "run").items()
    assert len(set(images(tmp_path / "run").values())) == 8
