"""The spread over seeds, from training records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gandiff.common.errors import RequestError
from gandiff.experiments.training.over_seeds import last_alarms, main, over_seeds


def write(folder: Path, seed: int, score: float, changes: dict[str, Any] | None = None) -> Path:
    tick = {"kimg": 10.0, "score": score, "diversity": 0.9}
    record = {
        "command": f"gandiff train gan --seed {seed}",
        "seed": seed,
        "data": "scenes",
        "budget": {"minutes": 40.0},
        "text": {"seconds": 180.0},
        "recipe": {"gamma": 1.0},
        "finished": True,
        "curve": [],
        "ticks": [{**tick, "score": 0.0}, tick],
    }
    out = folder / f"seed-{seed}"
    out.mkdir(exist_ok=True)
    (out / "training.json").write_text(json.dumps(record | (changes or {})), encoding="utf-8")
    return out


def test_mean_and_deviation_of_the_last_tick(tmp_path: Path) -> None:
    folders = [write(tmp_path, i, score) for i, score in ((1, 0.2), (2, 0.4), (3, 0.6))]
    table = over_seeds(folders)
    assert list(table.columns) == ["seed 1", "seed 2", "seed 3", "mean", "sd"]
    assert table.loc["score"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.2])
    assert table.loc["diversity", "sd"] == 0


def test_it_prints_the_table_and_what_rings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write(tmp_path, i, 0.5) for i in (1, 2)]
    collapsed: dict[str, Any] = {"ticks": [{"kimg": 10.0, "score": 0.5, "diversity": 0.1}]}
    collapsed["events"] = [{"kimg": 5.0, "text": "mode collapse within prompts: they are alike"}]
    folders.append(write(tmp_path, 3, 0.5, collapsed))
    assert main([str(folder) for folder in folders]) == 0
    said = capsys.readouterr().out
    assert "seed-1: no alarm at the end\n" in said
    assert "seed-3: mode collapse within prompts at the end (1 logged on the way; see" in said
    assert "diversity" in said


def log(folder: Path, rows: list[dict[str, float]], *, half: str = "") -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "training.jsonl").write_text(text + half, encoding="utf-8")


def wins(start: int, end: int, value: float) -> list[dict[str, float]]:
    return [{"kimg": 0.1 * k, "p_real_above_fake": value} for k in range(start, end)]


def test_alarms_look_at_all_rows_that_were_logged(tmp_path: Path) -> None:
    """Of 600 rows the last 20 say that it guesses, though the thinned curve says otherwise."""
    rows = wins(0, 560, 0.9) + wins(560, 600, 0.51)
    thinned = {"curve": rows[::10], "ticks": [{"kimg": 60.0, "score": 0.5}]}
    folder = write(tmp_path, 1, 0.5, thinned)
    assert last_alarms([folder]) == {folder: []}
    log(folder, [*rows, {"kimg": 60.0, "score": 0.5}], half='{"kimg": 60.1, "p_re')
    assert last_alarms([folder]) == {folder: ["discriminator at chance"]}


def test_rows_that_were_trained_anew_are_not_counted(tmp_path: Path) -> None:
    """After a killed training the log goes on from the checkpoint that was gone back to."""
    folder = write(tmp_path, 1, 0.5)
    collapsed = [{"kimg": 40.0, "score": 0.5, "diversity": 0.1}]
    good = [{"kimg": 35.0, "score": 0.5, "diversity": 0.9}]
    log(folder, [*wins(0, 300, 0.8), *collapsed])
    assert last_alarms([folder]) == {folder: ["mode collapse within prompts"]}
    log(folder, [*wins(0, 300, 0.8), *collapsed, *good, *wins(360, 380, 0.8)])
    assert last_alarms([folder]) == {folder: []}


def test_a_log_without_measurements_leaves_those_of_the_record(tmp_path: Path) -> None:
    folder = write(tmp_path, 1, 0.5, {"ticks": [{"score": 0.5, "diversity": 0.1}]})
    log(folder, wins(0, 10, 0.8))
    assert last_alarms([folder]) == {folder: ["mode collapse within prompts"]}


@pytest.mark.parametrize(
    ("seed", "changes", "says"),
    [
        (2, {"recipe": {"gamma": 2.0}}, "recipe is {'gamma': 1.0} in "),
        (2, {"data": "photos"}, "data is scenes in "),
        (2, {"budget": {"minutes": 5.0}}, "budget is {'minutes': 40.0} in "),
        (2, {"text": {"source": "openai/clip"}}, "text_source is None in "),
        (
            2,
            {"finished": False},
            "is not finished; continue with: gandiff train gan --seed 2 --resume",
        ),
        (2, {"ticks": []}, "has no measurement"),
        (2, {"seed": 1}, "have the same seed: [1, 1]"),
    ],
)
def test_what_is_no_spread_over_seeds_is_refused(
    tmp_path: Path, seed: int, changes: dict[str, Any], says: str
) -> None:
    folders = [write(tmp_path, 1, 0.5), write(tmp_path, seed, 0.5, changes)]
    with pytest.raises(RequestError) as refused:
        over_seeds(folders)
    assert says in str(refused.value)


def test_one_training_or_none_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write(tmp_path, 1, 0.5))]) == 2
    assert "a spread needs two trainings or more, got 1" in capsys.readouterr().err
    assert main([str(tmp_path), str(tmp_path)]) == 2
    assert "has no training.json" in capsys.readouterr().err


def test_folders_of_a_diffusion_model_have_a_table_and_their_own_alarms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What rings for a GAN says nothing here, and the reverse."""
    ticks = [
        {"kimg": k, "score": 0.1, "caption_gain": 0.0, "r_v": 0.9} for k in (1.0, 2.0, 3.0, 4.0)
    ]
    facts: dict[str, Any] = {"family": "diffusion", "ticks": ticks}
    folders = [write(tmp_path, i, 0.1, facts) for i in (1, 2)]
    assert last_alarms(folders) == {folder: ["captions ignored"] for folder in folders}
    assert main([str(folder) for folder in folders]) == 0
    said = capsys.readouterr().out
    assert "caption_gain" in said
    assert "seed-1: captions ignored at the end" in said
    gans = [write(tmp_path, i, 0.1, {"ticks": ticks}) for i in (1, 2)]
    assert last_alarms(gans) == {folder: ["memorising"] for folder in gans}


def test_families_do_not_mix(tmp_path: Path) -> None:
    folders = [write(tmp_path, 1, 0.5), write(tmp_path, 2, 0.5, {"family": "diffusion"})]
    with pytest.raises(RequestError, match=r"family is gan in .* and diffusion in"):
        over_seeds(folders)


def test_the_old_name_of_the_command_still_works(tmp_path: Path) -> None:
    folders = [str(write(tmp_path, i, 0.5)) for i in (1, 2)]
    for module in ("gan.over_seeds", "over_seeds"):
        whole = [sys.executable, "-m", f"gandiff.experiments.training.{module}", *folders]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0].split()[-2:] == ["mean", "sd"]
