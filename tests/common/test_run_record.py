from __future__ import annotations

import json
from pathlib import Path

import pytest

from gandiff.common.errors import RequestError
from gandiff.common.run_record import ImageCounts, RunRecord, read_record

WRITTEN = {
    "schema": 1,
    "name": "scenes",
    "status": "interrupted",
    "error": None,
    "command": "gandiff run scenes.yaml",
    "created": "2026-11-28T16:06:59+00:00",
    "finished": None,
    "base": "/somewhere",
    "comparison": {"name": "scenes", "seed": 0},
    "headline": ["gan", "ddim-20"],
    "suite": {
        **{"name": "scenes", "version": "1", "source": None, "licence": None},
        **{"sha256": "ab", "prompts": 128},
    },
    "generators": {"gan": {"family": "gan"}},
    "counts": {"gan": {"planned": 4, "ok": 3, "failed": 1, "filtered": 0}},
    "warnings": ["one failed"],
    "environment": {
        **{"python": "3.11.7", "platform": "Linux", "cpu": "x", "cores": 2, "memory_bytes": 5},
        **{"device": "cpu", "device_name": None, "driver": None, "packages": {"numpy": "2.4"}},
        "git": None,
    },
    "plan": {"device": "cpu", "generators": {"gan": {"identity": {"a": 1}, "segments": [64, 128]}}},
}
LATER = {
    "costs": {"gan": {"load_seconds": 1.0}},
    "scored": "cd",
    "scoring_warnings": ["odd"],
    "reported": {"scored": "cd", "verdict": ["gan is better."]},
}


@pytest.mark.parametrize("data", [WRITTEN, WRITTEN | LATER, WRITTEN | {"of_tomorrow": [1, None]}])
def test_a_record_is_written_back_as_it_was_read(data: dict[str, object]) -> None:
    again = json.loads(json.dumps(RunRecord.from_json(data).to_json()))
    assert again == data
    assert list(again) == list(data)


def test_what_an_older_version_did_not_write_has_a_default() -> None:
    record = RunRecord.from_json({"schema": 1, "generators": {"gan": None}, "counts": {"gan": {}}})
    assert record.status == "done"
    assert record.counts["gan"] == ImageCounts()
    assert record.generators == {"gan": {}}
    assert record.suite.prompts == 0
    assert record.plan.generators == {}
    assert record.reported.verdict == ()


def test_a_folder_without_a_record_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no run\.json in .*give the folder of a run"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(RequestError, match="has schema 2; this version reads schema 1"):
        read_record(tmp_path)
