"""Fresh processes in which generators are timed one after another."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

LIMIT = 1800.0  # s that one generator may take


def in_turn(
    jobs: Sequence[Mapping[str, Any]], limit: float = LIMIT
) -> Generator[dict[str, Any], None, None]:
    """What ``measure_generator`` says of each job, or a ``problem``; each in its own process.

    Libraries take longer to import than most generators to time. So as many processes as there are
    cores import them at once; then each of these waits for its turn, idle.
    """
    cores = os.cpu_count() or 1
    for start in range(0, len(jobs), cores):
        group = jobs[start : start + cores]
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(contextlib.closing(Process(job))) for job in group]
            for process in processes:
                process.get_ready(limit)
            for process in processes:
                yield process.measure(limit)


class Process:
    """A process that makes the generator of a job, and loads and times it when it is asked to."""

    def __init__(self, job: Mapping[str, Any]) -> None:
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
        )
        self._ask(json.dumps(dict(job)))

    def get_ready(self, limit: float) -> None:
        """Wait until the libraries are imported; what goes wrong there is the answer later."""
        self._answer(limit)

    def measure(self, limit: float) -> dict[str, Any]:
        """Let it load and time its generator now."""
        self._ask("go")
        answer = self._answer(limit)
        if answer:
            return {**json.loads(answer), "own_process": True}
        if self._late:
            return {"problem": f"it took longer than {limit:g} s"}
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines() or [f"exit code {code}"]
        return {"problem": lines[-1][:300]}

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError), self._process:  # which closes the pipes
            pass
        self._open.close()

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and has no answer
            print(line, file=self._process.stdin, flush=True)

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
        self._process.kill()
