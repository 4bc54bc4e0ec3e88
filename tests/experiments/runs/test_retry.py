"""Failures are tried again, within bounds; what was made keeps its bytes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from run_helpers import TOY, calls, images, log_lines, make, record, write_comparison

from gandiff.experiments.runs.replay import replay
from gandiff.experiments.runs.retry import ATTEMPTS, most_common_reason

FLAKY = f"{Path(__file__).parents[1] / 'flaky_generator.py'}:Flaky"
PROMPTS = ["a", "b", "c", "d", "e"]


class Case:
    """A comparison of a flaky generator and a toy in a folder of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.faults, self.log = folder / "faults", folder / "flaky.log"
        flaky = {"type": FLAKY, "faults": str(self.faults), "log": str(self.log), **settings}
        generators = {"flaky": flaky, "toy": {"type": TOY, "log": str(folder / "toy.log")}}
        self.file = write_comparison(folder, PROMPTS, generators=generators)
        self.folder = folder / "run"

    def make(self, retry: bool | None = None, **faults: str) -> list[str]:
        """Make what is to be made while these prompts fail; returns the new calls."""
        self.faults.write_text(json.dumps(faults))
        before = len(calls(self.log))
        make(self.file, retry=retry)
        return calls(self.log)[before:]

    def states(self) -> list[tuple[str, str | None, int]]:
        """What became of the prompts: by the first sample of each."""
        lines = {e["path"] or e["key"]: e for e in log_lines(self.folder)}
        mine = [e for e in lines.values() if e["generator"] == "flaky" and e["sample"] == 0]
        ordered = sorted(mine, key=lambda e: e["prompt_id"])
        return [(e["status"], e["reason"], e["attempts"]) for e in ordered]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    case = Case(tmp_path_factory.mktemp("undisturbed"))
    case.make()
    return images(case.folder)


def test_what_failed_once_is_made_at_the_next_start(
    tmp_path: Path, undisturbed: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case(tmp_path)
    assert len(case.make(c="busy")) == 3
    written = {p: p.stat().st_mtime_ns for p in case.folder.glob("images/*/*")}
    assert len(written) == 18
    assert case.make() == ["00003_0 00003_1 00004_0 00004_1"]  # the batch, by the very same call
    assert images(case.folder) == undisturbed
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert case.states()[2] == ("ok", None, 2)
    assert len(calls(tmp_path / "toy.log")) == 3
    assert record(case.folder)["warnings"] == []
    keys = [line["key"] for line in log_lines(case.folder)]
    assert len(keys) == len(set(keys)) == 20
    assert case.make() == []


def test_what_failed_twice_for_the_same_reason_is_left_until_asked_for(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    case = Case(tmp_path)
    case.make(b="too dark")
    assert len(case.make(b="too dark")) == 1
    assert case.make(b="too dark") == []
    assert case.states()[1] == ("failed", "too dark", 2)
    assert record(case.folder)["warnings"] == [
        "flaky: 2 of 10 images failed (too dark)",
        "flaky: 2 images failed 2 times and are not tried again unless --retry asks for it",
    ]
    assert len(case.make(retry=True)) == 1
    assert images(case.folder) == undisturbed


def test_other_reasons_are_tried_a_few_times_and_no_more(tmp_path: Path) -> None:
    case = Case(tmp_path)
    tries = [len(case.make(a=f"request {i} was lost")) for i in range(ATTEMPTS + 3)]
    assert tries == [3, *[1] * (ATTEMPTS - 1), 0, 0, 0]
    assert case.states()[0] == ("failed", f"request {ATTEMPTS - 1} was lost", ATTEMPTS)


def test_failures_are_left_alone_on_request(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.make(a="busy")
    assert case.make(retry=False) == []
    assert len(case.make()) == 1


def test_a_batch_that_raised_is_made_again(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    case = Case(tmp_path)
    case.make(c="raise an alarm")
    assert [state for state, _, _ in case.states()] == ["ok", "ok", "failed", "failed", "ok"]
    case.make()
    assert images(case.folder) == undisturbed


@pytest.mark.parametrize("fault", ["raise an alarm", "refused"])
def test_where_images_cost_money_only_failures_are_asked_for(
    tmp_path: Path, undisturbed: dict[str, str], fault: str
) -> None:
    case = Case(tmp_path, cost="request")
    assert case.make(c=fault) == [
        "00001_0 00001_1 00002_0 00002_1",
        "00003_0 00003_1 00004_0 00004_1",
        "00005_0 00005_1",
    ]
    again = ["00003_0", "00003_1"] + (["00004_0", "00004_1"] if fault != "refused" else [])
    assert case.make(c=fault) == again
    # Alone, the prompt that is refused takes no other one with it.
    assert [state for state, _, _ in case.states()] == ["ok", "ok", "failed", "ok", "ok"]
    assert case.make(c=fault) == []
    assert case.make(retry=True) == ["00003_0", "00003_1"]
    assert images(case.folder) == undisturbed
    for line in log_lines(case.folder):
        assert replay(case.folder, line["key"]).same


def test_a_service_that_is_down_is_not_asked_image_by_image(tmp_path: Path) -> None:
    case = Case(tmp_path, cost="request")
    down = dict.fromkeys(PROMPTS, "raise: no connection")
    assert len(case.make(**down)) == 3
    assert case.make(**down) == [
        *("00001_0", "00001_1", "00002_0", "00002_1"),
        *("00003_0", "00003_1", "00004_0", "00004_1"),
        *("00005_0", "00005_1"),
    ]
    assert case.make(**down) == []


@pytest.mark.parametrize("batch_size", [5, 10])
def test_after_three_failures_alike_the_rest_share_a_call(tmp_path: Path, batch_size: int) -> None:
    case = Case(tmp_path, cost="request")
    text = case.file.read_text()
    assert "batch_size: 4" in text
    case.file.write_text(text.replace("batch_size: 4", f"batch_size: {batch_size}"))
    down = dict.fromkeys(PROMPTS, "raise: no connection")
    case.make(**down)
    made = case.make(**down)
    assert [len(call.split()) for call in made] == [1, 1, 1, batch_size - 3] * (10 // batch_size)
    assert case.states() == [("failed", "RuntimeError: raise: no connection", 2)] * 5


REASONS = st.sampled_from([None, "dark", "busy", "raise an alarm"])


@settings(max_examples=10, deadline=None)
@given(
    starts=st.lists(st.lists(REASONS, min_size=5, max_size=5), min_size=1, max_size=8),
    cost=st.sampled_from(["compute", "request"]),
)
def test_whatever_fails_when_tries_are_bounded_and_good_images_stay(
    tmp_path_factory: pytest.TempPathFactory, starts: list[list[str | None]], cost: str
) -> None:
    case = Case(tmp_path_factory.mktemp("any"), cost=cost)
    good: dict[str, str] = {}
    tried: dict[str, list[str]] = {}  # the reasons of each failed image so far
    for reasons in starts:
        faults = {p: r for p, r in zip(PROMPTS, reasons, strict=True) if r}
        before = {e["key"]: e for e in log_lines(case.folder)} if case.folder.exists() else {}
        case.make(**faults)
        assert good.items() <= images(case.folder).items()
        good = images(case.folder)
        lines = log_lines(case.folder)
        assert len({e["key"] for e in lines}) == len(lines) == 20
        for entry in (e for e in lines if e["generator"] == "flaky"):
            known = tried.setdefault(entry["key"], [])
            left = len(known) >= ATTEMPTS or (len(known) > 1 and known[-1] == known[-2])
            was_failed = before.get(entry["key"], {"status": "failed"})["status"] == "failed"
            assert (entry != before.get(entry["key"])) == (was_failed and not left)
            if was_failed and not left and entry["status"] == "failed":
                known.append(entry["reason"])
    case.make(retry=True)
    assert record(case.folder)["counts"]["flaky"]["ok"] == 10


def test_good_images_keep_their_bytes_where_a_generator_does_not_repeat_itself(
    tmp_path: Path,
) -> None:
    case = Case(tmp_path, steady=False)
    case.make(c="busy")
    first = images(case.folder)
    case.make()
    after = images(case.folder)
    assert len(after) == 20
    assert {path: after[path] for path in first} == first
    (said,) = record(case.folder)["warnings"]
    assert said.startswith("flaky does not repeat itself: ")


def test_what_could_not_be_loaded_is_tried_at_each_start(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    case = Case(tmp_path)
    for _ in range(3):
        assert case.make(load="the weights lie elsewhere") == []
    assert record(case.folder)["unmade"] == {
        "flaky": "cannot be loaded: OSError: the weights lie elsewhere"
    }
    case.make()
    assert images(case.folder) == undisturbed
    assert "unmade" not in record(case.folder)


def test_good_images_need_no_weights_where_a_failure_cannot_be_tried_again(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.make(c="busy")
    before = images(case.folder)
    assert case.make(load="gone") == []
    assert images(case.folder) == before
    assert record(case.folder)["warnings"] == [
        "flaky: cannot be loaded: OSError: gone",
        "flaky: 2 of 10 images failed (busy)",
    ]
    assert case.states()[2] == ("failed", "busy", 1)


def test_files_that_appear_are_found_however_often_they_were_missed(tmp_path: Path) -> None:
    made = toys.save_toy_images(tmp_path / "made", [f"{i:05d}_0.png" for i in (1, 2)])
    file = write_comparison(
        tmp_path,
        5,
        generators={"made": {"type": "folder", "folder": str(made)}},
        samples_per_prompt=1,
    )
    for _ in range(4):
        folder = make(file)
        log = (folder / "images.jsonl").read_bytes()
        assert record(folder)["counts"]["made"]["failed"] == 3
    make(file)
    assert (folder / "images.jsonl").read_bytes() == log  # nothing new is nothing to write
    before = images(folder)
    toys.save_toy_images(made, ["00004_0.png"])
    make(file)
    assert images(folder).keys() - before.keys() == {"images/made/00004_0.png"}
    assert before.items() <= images(folder).items()
    assert record(folder)["counts"]["made"] == {"planned": 5, "ok": 3, "failed": 2, "filtered": 0}


def test_logs_of_earlier_versions_are_read(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.make(c="busy")
    log = case.folder / "images.jsonl"
    new = ("asked", "attempts", "earlier_reason")
    lines = [{k: v for k, v in line.items() if k not in new} for line in log_lines(case.folder)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        assert replay(case.folder, line["key"]).same  # fails for the reason that is recorded
    case.make(c="busy")
    assert case.states()[2] == ("failed", "busy", 2)
    assert case.make(c="busy") == []


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (["out of range"], "out of range"),
        (["out of range", "out of range"], "out of range"),
        (
            [f"no file test-{i:05d}_0.png in /made" for i in range(43)],
            "no file test-00000_0.png in /made, and so on",
        ),
        (
            [
                "no file 1_0.png in /made",
                "no file 2_0.png in /made",
                "black",
                "black",
                "torn 4.png",
            ],
            "no file 1_0.png in /made, and so on, and 2 other reasons",
        ),
    ],
)
def test_reasons_are_counted_by_their_kind(reasons: list[str], said: str) -> None:
    """A file that is missing is no reason of its own for each of its images."""
    entries: Any = [SimpleNamespace(reason=reason) for reason in reasons]
    assert most_common_reason(entries) == said
