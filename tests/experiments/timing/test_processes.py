"""Fresh processes to time in: each has its turn, and one that dies is a problem of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from run_helpers import TOY

from gandiff.experiments.timing import processes
from gandiff.experiments.timing.processes import Process, Processes

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
    "min_seconds": 0.0,
    "patience_seconds": 1.0,
    "fewest_repeats": 2,
}
TOY_JOB = {**JOB, "name": "toy", "type": TOY, "settings": {}}
BROKEN = {**JOB, "settings": {"weights": "nowhere"}}

WHERE = '''
import os
from collections.abc import Iterator
from gandiff.models.generator import Generation, Generator, GeneratorInfo
import numpy as np

class Where(Generator):
    """Has as many parameters as the number of its process."""

    def __init__(self, name):
        self.name = name

    @property
    def info(self):
        pid = os.getpid()
        return GeneratorInfo(name=self.name, family="gan", resolution=8, parameters=pid)

    def load(self, device="cpu", dtype="float32"):
        pass

    def generate(self, requests):
        return [Generation(image=np.zeros((8, 8, 3), np.uint8)) for _ in requests]
'''


@pytest.fixture(params=[True, False], ids=["forks", "starts"])
def forks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Children of one process where there is ``fork``, or a process for each."""
    if not request.param:
        monkeypatch.setattr(processes, "can_fork", lambda _: False)
    return bool(request.param)


def in_turn(jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with contextlib.closing(Processes()) as fresh:
        yield from fresh.in_turn(jobs)


def test_jobs_are_answered_in_their_order_whatever_becomes_of_one(forks: bool) -> None:
    first, broken, last = in_turn([JOB, BROKEN, JOB])
    for measured in (first, last):
        assert measured["own_process"] is True
        assert measured["parameters"] > 1e5
        assert [phase["batch_size"] for phase in measured["phases"]] == [1, 2]
        assert [len(phase["seconds"]) for phase in measured["phases"]] == [3, 3]
        # The libraries were there before the clock started.
        assert measured["load_seconds"] < 1.5
    assert "nowhere" in broken["problem"]


def test_each_is_timed_in_a_process_of_its_own(tmp_path: Path, forks: bool) -> None:
    file = tmp_path / "where.py"
    file.write_text(WHERE)
    job = {**TOY_JOB, "type": f"{file}:Where", "settings": {}}
    waiting = Process(job)
    with contextlib.closing(waiting):
        waiting.get_ready(60.0)
        assert waiting._process.poll() is None
        where = [measured["parameters"] for measured in in_turn([job, TOY_JOB, job])]
    assert len({*where, os.getpid(), waiting._process.pid}) == 5


def test_rounds_share_imports_and_no_process(tmp_path: Path, forks: bool) -> None:
    file = tmp_path / "where.py"
    file.write_text(WHERE)
    job = {**TOY_JOB, "type": f"{file}:Where", "settings": {}}
    with contextlib.closing(Processes()) as fresh:
        where = [found["parameters"] for _ in range(2) for found in fresh.in_turn([job, job])]
        kept = list(fresh._kept.values())
        assert len(kept) == forks
    assert len(set(where)) == 4
    assert all(process._process.returncode is not None for process in kept)


def test_one_that_dies_says_how_and_the_next_has_its_turn(forks: bool) -> None:
    killed = {**TOY_JOB, "prompts": ["KILL"]}
    ended = {**TOY_JOB, "prompts": ["INTERRUPT"]}
    answers = list(in_turn([killed, TOY_JOB, ended, TOY_JOB]))
    assert answers[0] == {"problem": "exit code -9"}
    assert answers[2].keys() == {"problem"}
    for measured in answers[1::2]:
        assert measured["parameters"] == 3


def _alive(group: int) -> list[psutil.Process]:
    """The processes of a group that have not ended; how soon those are forgotten is up to init."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            found += [process] if os.getpgid(process.pid) == group and not ended else []
    return found


def test_a_process_that_was_killed_is_replaced() -> None:
    process = Process(TOY_JOB)
    process.get_ready(60.0)
    process._process.kill()
    process._process.wait()
    assert process.measure(TOY_JOB, 60.0)["parameters"] == 3
    process.close()


def test_patience_ends_and_nothing_is_left_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = {**TOY_JOB, "settings": {"log": str(log), "delay": 600.0}}
    process = Process(slow)
    process.get_ready(60.0)
    assert process.measure(slow, 3.0) == {"problem": "it took longer than 3 s"}
    process._process.wait()
    assert not _alive(process._process.pid)  # nor its children
    assert process.measure(TOY_JOB, 60.0)["parameters"] == 3
    process.close()
    waiting = Process(TOY_JOB)
    waiting.close()
    assert waiting._process.returncode is not None
