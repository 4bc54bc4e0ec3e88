"""Fresh processes to time in: each has its turn, and one that dies is a problem of its own."""

from __future__ import annotations

from typing import Any

import pytest

from gandiff.experiments.timing.processes import Process, in_turn

JOB: dict[str, Any] = {
    "name": "gan",
    "type": "gan",
    "settings": {"weights": "gan-scenes"},
    "base": ".",
    "device": "cpu",
    "dtype": "float32",
    "prompts": ["a red circle", "a blue square"],
    "warmup": 1,
    "repeats": 3,
    "batch_sizes": [2],
    "patience_seconds": 1.0,
}
BROKEN = {**JOB, "settings": {"weights": "nowhere"}}


def test_jobs_are_answered_in_their_order_whatever_becomes_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    first, broken, last = in_turn([JOB, BROKEN, JOB])
    for measured in (first, last):
        assert measured["own_process"] is True
        assert measured["parameters"] > 1e5
        assert [phase["batch_size"] for phase in measured["phases"]] == [1, 2]
        assert [len(phase["seconds"]) for phase in measured["phases"]] == [3, 3]
        # The libraries were there before the clock started.
        assert measured["load_seconds"] < 1.5
    assert "nowhere" in broken["problem"]


def test_nothing_is_measured_before_it_is_asked_for() -> None:
    process = Process(JOB)
    process.get_ready(60.0)
    assert process._process.poll() is None  # it waits
    assert process.measure(60.0)["parameters"] > 1e5
    assert process._process.wait() == 0
    process.close()


def test_a_process_that_was_killed_says_how_it_ended() -> None:
    process = Process(JOB)
    process.get_ready(60.0)
    process._process.kill()
    assert process.measure(60.0) == {"problem": "exit code -9"}
    process.close()


def test_patience_ends_and_nothing_is_left_behind() -> None:
    process = Process(JOB)
    process.get_ready(0.01)
    assert process.measure(0.01) == {"problem": "it took longer than 0.01 s"}
    process.close()
    waiting = Process(JOB)
    waiting.close()
    assert waiting._process.returncode is not None
