"""What the command line prints: results for people and, with --json, for programs."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest

from gandiff.evaluate.result import MetricResult
from gandiff.experiments import api
from gandiff.experiments.cli import main
from gandiff.experiments.cli.output import echo_table, one_line, plain
from gandiff.experiments.runs.replay import Replay
from gandiff.experiments.scoring import folders
from gandiff.experiments.scoring.encoding import Encoding
from gandiff.experiments.scoring.folders import FolderScores

SCENES = str(Path(__file__).parents[1] / "experiments" / "comparisons" / "scenes.yaml")
VERDICT = ["The GAN is faster.", "Alignment is undecided."]
pytestmark = pytest.mark.usefixtures("empty_folder")


def test_a_run_prints_its_verdict_and_where_the_report_lies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    calls: list[dict[str, Any]] = []

    def run(target: Path, **options: Any) -> api.RunSummary:
        calls.append({"target": target, **options})
        return api.RunSummary(
            folder=empty_folder / "runs" / "scenes",
            report=empty_folder / "runs" / "scenes" / "report" / "report.html",
            verdict=VERDICT,
            images={"ok": 7, "failed": 1},
            warnings=["one image was black"],
        )

    monkeypatch.setattr(api, "run", run)
    line = ["run", "x.yaml", "--limit", "2", "--stop-after", "score", "--set", "seed=1", "--set"]
    assert main([*line, "batch_size=2", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert calls == [
        {
            "target": Path("x.yaml"),
            "out": None,
            "limit": 2,
            "until": "score",
            "retry": None,
            "overrides": ["seed=1", "batch_size=2"],
            "encoders": {},
            "drop_changed": False,
            "quiet": True,
            "command": shlex.join(["gandiff", *line, "batch_size=2", "--quiet"]),
        }
    ]
    assert shown.err == "warning: one image was black\n"
    assert shown.out.splitlines() == [
        "run: runs/scenes (images: 7 ok, 1 failed)",
        "report: runs/scenes/report/report.html",
        "",
        *VERDICT,
    ]
    assert main([*line, "batch_size=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == VERDICT


def test_pickles_are_allowed_where_the_setting_exists(
    monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    changes: list[str] = []

    def run(_: Path, *, overrides: list[str], **__: Any) -> api.RunSummary:
        changes.extend(overrides)
        return api.RunSummary(folder=empty_folder, report=None, verdict=[], images={}, warnings=[])

    monkeypatch.setattr(api, "run", run)
    assert main(["run", SCENES, "--allow-pickle"]) == 0
    names = [change.removesuffix(".allow_pickle=true") for change in changes]
    assert names
    assert all(name.startswith("generators.") for name in names)
    assert not any("gan" in name.split(".", 1)[1] for name in names)


@pytest.mark.parametrize("same", [True, False])
def test_replay_exits_by_whether_the_image_is_the_same(
    same: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Replay(
        key="k",
        generator="gan",
        prompt="a star",
        prompt_id="x",
        sample=0,
        seed=1,
        batch=0,
        path=Path("a"),
        same=same,
        max_difference=0 if same else 3,
        different_values=0.0 if same else 0.5,
    )
    monkeypatch.setattr(api, "replay", lambda *_, **__: result)
    assert main(["replay", "runs/x", "k"]) == (0 if same else 1)
    assert ("the same" in capsys.readouterr().out) is same
    assert main(["replay", "runs/x", "k", "--json"]) == (0 if same else 1)
    assert json.loads(capsys.readouterr().out)["same"] is same


def test_scores_of_folders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    rows = [
        MetricResult(metric="fd(encoder=inception)", value=12.3456789, direction="lower", images=9),
        MetricResult(metric="vendi(encoder=scenes)", value=None, note="too few images"),
    ]
    given: list[Any] = []

    def measure_folders(_: Path, *options: Any) -> FolderScores:
        given[:] = options
        return FolderScores(results=rows, warnings=["one of 9 images is odd"])

    monkeypatch.setattr(folders, "measure_folders", measure_folders)
    (empty_folder / "real").mkdir()
    line = ["score", ".", "--reference", "real", "--metrics", "fid,vendi", "--weights", "clip=a=b"]
    assert main(line) == 1  # one of the two could not be measured; the other is printed
    assert given == [Path("real"), "fid,vendi", Encoding(weights={"clip": "a=b"})]
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "warning: one of 9 images is odd",
        "error: vendi(encoder=scenes): too few images",
    ]
    header, first, second = shown.out.splitlines()
    assert header.split()[:2] == ["metric", "value"]
    assert first.split()[:2] == ["fd(encoder=inception)", "12.346"]
    assert second.endswith("too few images")
    assert main([*line, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [row["value"] for row in printed] == [12.3456789, None]


@pytest.mark.parametrize("kind", ["generators", "metrics", "encoders", "suites"])
def test_lists_in_text_and_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["list", kind, "--json"]) == 0
    named = json.loads(capsys.readouterr().out)
    assert [line.split()[0] for line in lines] == list(named)
    assert named


def test_a_suite_shows_its_first_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suites", "scenes", "--head", "3", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["head"]) == 3
    assert shown["prompts"] >= 3
    assert main(["suites", "scenes", "--head", "2", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [p["id"] for p in shown["head"][:2]]


def test_validate_prints_the_resolved_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", SCENES, "--set", "samples_per_prompt=2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["samples_per_prompt"] == 2
    assert main(["validate", SCENES]) == 0
    assert "is valid" in capsys.readouterr().out


def test_doctor_looks_at_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert {"name", "ok", "detail", "wrong", "outdated"} == set(checks[0])
    assert any("torch" in check["name"].casefold() for check in checks)


def test_control_characters_never_reach_the_terminal() -> None:
    assert one_line("a\x1b[31m red\n\tb\x07") == "a\\x1b[31m red b\\x07"
    assert one_line("Crème brûlée 東京") == "Crème brûlée 東京"


def test_json_has_no_nan() -> None:
    assert plain({"a": math.nan, "b": (1, math.inf), "c": {"z", "y"}, "d": Path("e")}) == {
        "a": None,
        "b": [1, None],
        "c": ["y", "z"],
        "d": "e",
    }


def test_an_empty_table_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table((), [])
    assert capsys.readouterr().out == ""
