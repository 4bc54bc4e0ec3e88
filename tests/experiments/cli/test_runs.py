"""``gandiff runs``: the runs in a folder with what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gandiff.experiments.cli.app import main


def save(folder: Path, **facts: object) -> None:
    folder.mkdir(parents=True)
    text = json.dumps({"schema": 1, "name": folder.name, **facts})
    (folder / "run.json").write_text(text, encoding="utf-8")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, one that is broken, and a folder that is none."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs")
    reported = {"scored": "x", "verdict": ["On alignment, gan is better: 1 against 0.", "More."]}
    save(folder / "old", status="done", created="2026-11-01T10:00:00", reported=reported)
    save(folder / "new", status="interrupted", created="2026-11-02T10:00:00")
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{", encoding="utf-8")
    (folder / "notes").mkdir()
    return folder


def test_the_latest_comes_first_with_its_verdict(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "runs/new  interrupted  2026-11-02T10:00:00",
        "runs/old  done  2026-11-01T10:00:00",
        "  On alignment, gan is better: 1 against 0.",
        "  More.",
    ]
    assert lines[4].startswith("runs/broken  unreadable")
    assert "run.json" in lines[5]
    assert len(lines) == 6


def test_quiet_gives_the_folders_and_json_all(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "runs", "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines() == ["runs/new", "runs/old", "runs/broken"]
    assert main(["runs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["folder"] for one in found] == ["runs/new", "runs/old", "runs/broken"]
    assert found[1]["verdict"][1] == "More."


def test_no_folder_and_no_run_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().err.strip() == f"there is no run in {tmp_path}"
    assert main(["runs", str(tmp_path / "none")]) == 2
    assert "is no folder; start a run with: gandiff run FILE" in capsys.readouterr().err
