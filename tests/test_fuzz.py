"""Whatever is asked for, of whatever files: one line says what is wrong, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import fuzzing
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gandiff.experiments.cli import main

ANSWERS = ("draw", "replay", "compare")  # whose exit code 1 may be an answer and not an error
QUIET = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Made where the tries are, since a run knows where its pictures came from.
    place = fuzzing.build_place(tmp_path_factory.mktemp("fuzz") / "place")
    with working_in(place), warnings.catch_warnings():
        warnings.simplefilter("default")
        fuzzing.finish_place(place)
    return Path(shutil.copytree(place, place.with_name("base")))


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def problem_of(attempt: fuzzing.Try, code: int, out: str, err: str) -> str | None:
    """What is wrong with how a command ended; None if it ended as every command must."""
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if "Traceback" in out + err or "a mistake in gandiff" in err:
        return "a traceback, or an error that gandiff did not expect"
    said = any(line.startswith("error: ") for line in err.splitlines())
    is_answer = code == 1 and attempt.arguments[0] in ANSWERS and (out or err)
    if code and not said and not is_answer:
        return "no line that begins with 'error: '"
    if code == 0 and "--json" in attempt.arguments and "--help" not in attempt.arguments:
        json.loads(out)
    return None


def check_tries(base: Path, data: st.DataObject, lines: Sequence[str], codes: Counter[int]) -> None:
    """One try in a copy of the place, which the exit code is counted of."""
    place = base.with_name("place")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place)
    attempt = data.draw(fuzzing.tries(place, lines))
    out, err = io.StringIO(), io.StringIO()
    with working_in(place), warnings.catch_warnings():
        warnings.simplefilter("default")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(attempt.arguments)
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
    codes[code] += 1
    problem = problem_of(attempt, code, out.getvalue(), err.getvalue())
    assert problem is None, f"{problem}: {attempt}\nexit {code}\n{err.getvalue()[-2000:]}"


def run_tries(base: Path, lines: Sequence[str], count: int) -> Counter[int]:
    codes: Counter[int] = Counter()

    @settings(QUIET, max_examples=count)
    @given(st.data())
    def every_try_ends_well(data: st.DataObject) -> None:
        check_tries(base, data, lines, codes)

    every_try_ends_well()
    return codes


@pytest.fixture(autouse=True)
def as_users_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANDIFF_DEBUG", raising=False)


def test_any_command_on_any_files_ends_in_one_line(base: Path) -> None:
    codes = run_tries(base, fuzzing.LINES, 40)
    assert codes[0] + codes[1] >= sum(codes.values()) / 2, codes


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_thousand_tries(base: Path) -> None:
    codes = run_tries(base, [*fuzzing.LINES * 2, *fuzzing.SLOW_LINES], 2000)
    assert codes[0] + codes[1] >= sum(codes.values()) / 2, codes
