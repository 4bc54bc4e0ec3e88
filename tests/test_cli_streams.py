"""Where output goes: to what is not UTF-8, to a reader that leaves, to nothing at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROMPTS = "a snowman ☃ and a dragon 東京 🐉\na crème brûlée\n"
pytestmark = pytest.mark.usefixtures("empty_folder")


def gandiff(command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A shell's command line, in which ``gandiff`` is the program as a module."""
    return subprocess.run(
        ["bash", "-c", command.replace("gandiff", f"{sys.executable} -m gandiff")],
        capture_output=True,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.fixture
def prompts(empty_folder: Path) -> str:
    (empty_folder / "emoji.txt").write_text(PROMPTS, encoding="utf-8")
    return "emoji.txt"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_letters_that_the_output_lacks_are_replaced(encoding: str, prompts: str) -> None:
    shown = gandiff(f"gandiff suites {prompts} --quiet", PYTHONIOENCODING=encoding)
    assert (shown.returncode, shown.stderr) == (0, b"")
    if encoding != "ascii":  # for which typer writes UTF-8
        first, second = shown.stdout.decode(encoding).splitlines()
        assert "a snowman ? and a dragon ?? ?" in first
        assert "crème" in second
    printed = gandiff(f"gandiff suites {prompts} --json", PYTHONIOENCODING=encoding)
    assert printed.returncode == 0
    texts = [prompt["text"] for prompt in json.loads(printed.stdout.decode(encoding))["head"]]
    assert texts == PROMPTS.splitlines()


def test_errors_with_such_letters_are_one_line(prompts: str) -> None:
    for encoding in ("latin-1", "ascii"):
        failed = gandiff("gandiff suites 東京.txt", PYTHONIOENCODING=encoding)
        assert failed.returncode == 2
        assert failed.stderr.startswith(b"error: ")
        assert failed.stderr.count(b"\n") == 1


def test_names_that_are_not_unicode_are_shown(empty_folder: Path) -> None:
    failed = subprocess.run(
        [sys.executable, "-m", "gandiff", "run", b"caf\xe9.yaml"], capture_output=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr.startswith(b"error: ")
    assert b"Traceback" not in failed.stderr


def test_a_reader_that_leaves(prompts: str) -> None:
    shown = gandiff(
        "yes 'a red star' | head -n 20000 > many.txt; "
        "gandiff suites many.txt --head 20000 --quiet | head -n 1; echo ${PIPESTATUS[0]}"
    )
    assert shown.stdout.split()[-1:] == [b"1"]
    assert shown.stderr == b""


def test_a_stream_that_is_closed_or_full(prompts: str) -> None:
    closed = gandiff(f"gandiff suites {prompts} >&-")
    assert (closed.returncode, closed.stderr) == (0, b"")
    assert gandiff("gandiff suites none.txt 2>&-").returncode == 2
    full = gandiff(f"gandiff suites {prompts} >/dev/full")
    assert full.returncode == 1
    assert full.stderr.startswith(b"error: the disk is full")
    assert full.stderr.count(b"\n") == 1


def test_no_home_and_no_folder_for_temporary_files(prompts: str, empty_folder: Path) -> None:
    del prompts
    command = f"env -i {sys.executable} -m gandiff validate scenes --quiet"
    kept: dict[str, Any] = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    bare = subprocess.run(
        command.replace("env -i", f"env -i PYTHONPATH={kept['PYTHONPATH']}").split(),
        capture_output=True,
        check=False,
    )
    assert bare.returncode == 0
    lines = bare.stderr.splitlines()
    assert all(line.startswith(b"warning: dpmpp-4: runs off its native") for line in lines), lines
    nowhere = gandiff("gandiff validate '~nobody-here/x.yaml'", TMPDIR="/nowhere", HOME="/nowhere")
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith(b"error: ")
