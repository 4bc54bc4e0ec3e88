"""Fresh processes in which generators are timed one after another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Hashable, Mapping, Sequence
from typing import Any

LIMIT = 1800.0  # s that one generator may take


class Processes:
    """Processes for rounds of jobs. Libraries take longer to import than most generators to time,
    so they are imported before the clocks start, and where it can be done once for all rounds.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Process] = {}

    def in_turn(
        self, jobs: Sequence[Mapping[str, Any]], limit: float = LIMIT
    ) -> Generator[dict[str, Any], None, None]:
        """What ``measure_generator`` says of each job, or a ``problem``; each in its own process.

        Where it can be done, one process for all jobs of a type makes a child for each, and stays
        for the next round; else each job has one, as many at once as there are cores.
        """
        if all(can_fork(job) for job in jobs):
            new = {job["type"]: job for job in jobs if job["type"] not in self._kept}
            self._kept |= _started(new, limit)
            for job in jobs:
                yield self._kept[job["type"]].measure(job, limit)
            return
        step = os.cpu_count() or 1
        for start in range(0, len(jobs), step):
            group = dict(enumerate(jobs[start : start + step]))
            with contextlib.ExitStack() as stack:
                processes = _started(group, limit)
                for process in processes.values():
                    stack.callback(process.close)
                for number, job in group.items():
                    yield processes[number].measure(job, limit)

    def close(self) -> None:
        """End those that stayed."""
        for process in self._kept.values():
            process.close()


def _started(jobs: Mapping[Any, Mapping[str, Any]], limit: float) -> dict[Hashable, Process]:
    """Processes for jobs by their key, all with their imports."""
    processes: dict[Hashable, Process] = {}
    try:
        for key, job in jobs.items():
            processes[key] = Process(job)
        for process in processes.values():
            process.get_ready(limit)
    except BaseException:
        for process in processes.values():
            process.close()
        raise
    return processes


def can_fork(job: Mapping[str, Any]) -> bool:
    """Whether a child of a process with all imports can do it: a CUDA driver that one of them has
    begun to use is of no use to the child, and macOS has no safe ``fork``.
    """
    return job["device"] == "cpu" and sys.platform == "linux"


class Process:
    """A process with the imports of a job's type, which loads and times generators when asked."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._first = dict(job)
        self._start()

    def _start(self) -> None:
        self._late = False
        self._open = contextlib.ExitStack()
        self._said = self._open.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gandiff.experiments.timing.measure"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            start_new_session=True,  # so that its children can be ended with it
        )
        self._ask(self._first)

    def get_ready(self, limit: float) -> None:
        """Wait until the libraries are imported; what goes wrong there is the answer later."""
        self._answer(limit)

    def measure(self, job: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Let it load and time a generator now; a new process takes the place of one that died."""
        if self._process.poll() is not None:
            self.close()
            self._start()
            self.get_ready(limit)
        self._ask(job)
        answer = self._answer(limit)
        if self._late:
            return {"problem": f"it took longer than {limit:g} s"}
        if not answer:
            return {"problem": self._last_words(self._process.wait())}
        found: dict[str, Any] = json.loads(answer)
        if (code := found.pop("exit_code", None)) is not None:
            return {"problem": self._last_words(code)}
        return {**found, "own_process": True}

    def close(self) -> None:
        """End it and its children, whatever they do."""
        self._kill()
        with contextlib.suppress(BrokenPipeError), self._process:  # which closes the pipes
            pass
        self._open.close()

    def _last_words(self, code: int) -> str:
        self._said.seek(0)
        lines = self._said.read().strip().splitlines() or [f"exit code {code}"]
        return lines[-1][:300]

    def _ask(self, job: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and has no answer
            print(json.dumps({**job, "fork": can_fork(job)}), file=self._process.stdin, flush=True)

    def _answer(self, limit: float) -> str:
        """The next line, empty if there is none in time."""
        assert self._process.stdout is not None
        timer = threading.Timer(limit, self._give_up)
        timer.start()
        try:
            return self._process.stdout.readline()
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        if self._process.poll() is None and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
