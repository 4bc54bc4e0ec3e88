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


def in_turn(
    jobs: Sequence[Mapping[str, Any]], limit: float = LIMIT
) -> Generator[dict[str, Any], None, None]:
    """What ``measure_generator`` says of each job, or a ``problem``; each in its own process.

    Libraries take longer to import than most generators to time. So processes import them at once
    and then wait, idle: where it can be done one for all jobs of a type, which makes a child for
    each in its turn; else one for each job, as many at once as there are cores.
    """
    shared = all(can_fork(job) for job in jobs)
    step = len(jobs) if shared else os.cpu_count() or 1
    for start in range(0, len(jobs), max(1, step)):
        group = jobs[start : start + step]
        keys: list[Hashable] = [job["type"] if shared else i for i, job in enumerate(group)]
        with contextlib.ExitStack() as stack:
            processes = {
                key: stack.enter_context(contextlib.closing(Process(job)))
                for key, job in dict(zip(keys, group, strict=True)).items()
            }
            for process in processes.values():
                process.get_ready(limit)
            for key, job in zip(keys, group, strict=True):
                yield processes[key].measure(job, limit)


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
