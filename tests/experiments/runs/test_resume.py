"""Runs in processes of their own that are killed or interrupted, and gone on with."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from run_helpers import calls, images, log_lines, write_comparison

from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import open_run

PROMPTS = 40  # x 2 samples in batches of 4: 20 batches for each of two generators
SCRIPT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.runs.open import open_run
from gandiff.experiments.runs.generate import generate_images

with open_run(load_comparison(sys.argv[1]), Path(sys.argv[2])) as run:
    print("open", flush=True)
    generate_images(run, quiet=True)
"""


def start(file: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(file), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(file: Path, folder: Path) -> None:
    process = start(file, folder)
    _, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems


def complete_batches(folder: Path, generator: str) -> set[int]:
    """Batches that are safe on the disk: all lines in the log and all files there."""
    log = folder / "images.jsonl"
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    entries = [json.loads(line) for line in text.split("\n")[:-1]]
    count = Counter(e["batch"] for e in entries if e["generator"] == generator)
    assert all((folder / e["path"]).is_file() for e in entries)  # lines only after their files
    return {batch for batch, lines in count.items() if lines == 4}


def made_batches(log: Path) -> list[int]:
    return [(int(call.split("_")[0]) - 1) // 2 for call in calls(log)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(write_comparison(folder, PROMPTS), folder / "run")
    found = images(folder / "run")
    assert len(found) == 2 * 2 * PROMPTS
    return found


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_and_gone_on_with(
    tmp_path: Path, undisturbed: dict[str, str], seed: int
) -> None:
    rng = random.Random(seed)
    file, folder = write_comparison(tmp_path, PROMPTS), tmp_path / "run"
    text = file.read_text().replace("toy.log", "toy.log\n    delay: 0.005")
    file.write_text(text)
    safe: dict[str, set[int]] = {"toy": set(), "other": set()}
    made: dict[str, list[int]] = {"toy": [], "other": []}
    kills = 0
    for _ in range(3):
        process = start(file, folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        for name in safe:
            log = tmp_path / f"{name}.log"
            again = made_batches(log)
            assert not set(again) & safe[name], "a complete batch was made twice"
            made[name] += again
            log.unlink(missing_ok=True)
            done = complete_batches(folder, name)
            assert safe[name] <= done, "a complete batch was lost"
            safe[name] = done
    assert kills > 0
    finish(file, folder)
    for name in safe:
        assert not set(made_batches(tmp_path / f"{name}.log")) & safe[name]
    assert images(folder) == undisturbed
    assert not list(folder.rglob("*.tmp"))
    lines = log_lines(folder)
    assert len(lines) == len({line["key"] for line in lines}) == len(undisturbed)
    assert {line["path"]: line["sha256"] for line in lines} == undisturbed
    assert json.loads((folder / "run.json").read_text())["status"] == "done"


def test_ctrl_c_ends_at_once_and_keeps_the_work(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    file, folder = write_comparison(tmp_path, PROMPTS), tmp_path / "run"
    text = file.read_text()
    slow = text.replace("toy.log", "toy.log\n    delay: 0.05")
    file.write_text(slow)
    process = start(file, folder)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 20
    while not complete_batches(folder, "toy") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, problems = process.communicate(timeout=20)
    assert process.returncode not in (0, -signal.SIGKILL)
    assert "KeyboardInterrupt" in problems
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["error"]) == ("interrupted", None)
    done = complete_batches(folder, "toy")
    assert done
    assert record["counts"]["toy"]["ok"] == 4 * len(done)
    (tmp_path / "toy.log").unlink()
    finish(file, folder)
    assert not set(made_batches(tmp_path / "toy.log")) & done
    assert images(folder) == undisturbed


def make(file: Path, folder: Path) -> None:
    with open_run(load_comparison(file), folder) as run:
        generate_images(run, quiet=True)


def die_at(file: Path, folder: Path, moment: int, when: str) -> bool:
    """Make a run in a forked process that dies at one of its file operations; False if it lived."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
    left = moment
    real = {"replace": os.replace, "fsync": os.fsync}

    def dying(name: str):  # type: ignore[no-untyped-def]
        def operation(*arguments):  # type: ignore[no-untyped-def]
            nonlocal left
            left -= 1
            if left < 0 and when == "torn" and name == "fsync":
                # What a power cut may leave of the last write.
                os.ftruncate(arguments[0], max(0, os.fstat(arguments[0]).st_size - 30))
            if left < 0 and when != "after":
                os._exit(77)
            real[name](*arguments)
            if left < 0:
                os._exit(77)

        return operation

    try:
        os.replace, os.fsync = dying("replace"), dying("fsync")
        make(file, folder)
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_dying_at_each_file_operation(tmp_path: Path, when: str) -> None:
    def comparison(name: str) -> Path:
        return write_comparison(tmp_path / name, prompts=5)

    make(comparison("whole"), tmp_path / "whole" / "run")
    expected = images(tmp_path / "whole" / "run")
    moment, deaths = 0, 0
    while True:
        base = tmp_path / str(moment)
        file = comparison(str(moment))
        if not die_at(file, base / "run", moment, when):
            break
        deaths += 1
        safe = {name: complete_batches_of(base / "run", name) for name in ("toy", "other")}
        for name in safe:
            (base / f"{name}.log").unlink(missing_ok=True)
        make(file, base / "run")
        for name, batches in safe.items():
            assert not set(made_batches(base / f"{name}.log")) & batches
        assert images(base / "run") == expected
        lines = log_lines(base / "run")
        assert len(lines) == len({line["key"] for line in lines}) == len(expected)
        assert not list((base / "run").rglob("*.tmp"))
        moment += 4
    assert deaths > 8


def complete_batches_of(folder: Path, generator: str) -> set[int]:
    """As ``complete_batches``, for five prompts: the third batch has two images."""
    found = complete_batches(folder, generator)
    log = folder / "images.jsonl"
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    entries = [json.loads(line) for line in text.split("\n")[:-1]]
    last = [e for e in entries if e["generator"] == generator and e["batch"] == 2]
    return found | ({2} if len(last) == 2 else set())
