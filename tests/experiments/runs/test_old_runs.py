"""A run folder of the first version, cut to one generator and four prompts, with the new code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_helpers import images, log_lines, record

from gandiff.common.run_record import RunRecord
from gandiff.experiments import api
from gandiff.experiments.plugins.registry import current_type, recorded_type
from gandiff.experiments.runs import provenance
from gandiff.experiments.runs.open import load_run
from gandiff.experiments.runs.replay import replay
from gandiff.experiments.timing import processes
from gandiff.reports import reading

OLD = Path(__file__).parent / "old_run"
FORMER, NEW = "gandiff.experiments.scene_oracle:paint", "gandiff.experiments.scenes.oracle:sample"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the run, with a field that this version does not know."""
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    (folder / "run.json").write_text(json.dumps({**record(OLD), "of_tomorrow": [1]}))
    return folder


def comparison(folder: Path, type_: str) -> Path:
    """The comparison file of the run, with the generator called by this name."""
    text = (OLD / "comparison.yaml").read_text()
    assert FORMER in text
    file = folder / "oracle.yaml"
    file.write_text(text.replace(FORMER, type_))
    return file


def test_it_is_read(run: Path) -> None:
    opened = load_run(run)
    assert opened.record.headline == ("oracle",)
    assert opened.record.counts["oracle"].ok == 8
    assert not opened.missing("oracle")
    assert [job.key for batch in opened.batches["oracle"] for job in batch.jobs] == [
        line["key"] for line in log_lines(run)
    ]
    assert reading.load_run(run).generators["oracle"].planned == 8


@pytest.mark.parametrize("type_", [FORMER, NEW])
def test_it_is_continued_without_making_or_timing_anything_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    there = RunRecord.from_json(record(run)).environment
    monkeypatch.setattr(provenance, "environment", lambda device: there)
    monkeypatch.setattr(processes, "subprocess", None)
    log, before = (run / "images.jsonl").read_bytes(), record(run)
    written = {path: path.stat().st_mtime_ns for path in run.glob("images/*/*")}

    summary = api.run(comparison(tmp_path, type_), out=run, quiet=True)
    assert (run / "images.jsonl").read_bytes() == log
    assert {path: path.stat().st_mtime_ns for path in run.glob("images/*/*")} == written
    after = record(run)
    for kept in ("costs", "plan", "created", "of_tomorrow", "headline", "counts"):
        assert after[kept] == before[kept]
    assert before["generators"]["oracle"].pop("abilities") == ["text"]
    assert after["generators"]["oracle"].pop("abilities") == ["text_to_image"]
    # Said by now where the generator is described again.
    assert after["generators"]["oracle"].pop("yardstick", "real scenes").startswith("real scenes")
    assert after["generators"] == before["generators"]
    assert after["status"] == "done"
    assert summary.warnings == []
    values = summary.to_frame().set_index("metric").value
    assert values["scene_accuracy/all"] > 0.9
    assert values["latency_seconds"] == np.median(before["costs"]["oracle"]["phases"][0]["seconds"])
    assert summary.report is not None
    assert "oracle" in summary.report.read_text(encoding="utf-8")


def test_an_image_that_is_missing_is_made_as_it_was(run: Path, tmp_path: Path) -> None:
    *kept, lost = log_lines(run)
    (run / lost["path"]).unlink()
    (run / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    api.run(comparison(tmp_path, NEW), out=run, until="generate", quiet=True)
    assert [line["key"] for line in log_lines(run)] == [line["key"] for line in log_lines(OLD)]
    for path in images(OLD):
        assert (np.asarray(Image.open(run / path)) == np.asarray(Image.open(OLD / path))).all()
    assert replay(run, lost["key"]).same


def test_the_oracle_is_known_by_all_its_names() -> None:
    for name in (FORMER, "gandiff.experiments.scenes.oracle:paint", NEW):
        assert (current_type(name), recorded_type(name)) == (NEW, FORMER)
    assert current_type("gan") == recorded_type("gan") == "gan"
