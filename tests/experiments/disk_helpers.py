"""Disks that are small or read-only: file systems in memory, which only root may mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(at: Path, megabytes: float) -> Iterator[Path]:
    """A folder with room for so much; skips the test where it cannot be made."""
    at.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={round(megabytes * 1024)}k", "tmpfs", str(at)]
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def make_read_only(disk: Path, read_only: bool = True) -> None:
    """Write-protect a small disk, or lift that."""
    how = "ro" if read_only else "rw"
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def resize(disk: Path, megabytes: float) -> None:
    """Give a small disk another size."""
    size = f"remount,size={round(megabytes * 1024)}k"
    subprocess.run(["mount", "-o", size, str(disk)], check=True)
