"""Where a result comes from: the machine, the packages, the commit, the weights."""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gandiff.experiments.config.paths import WEIGHTS, local_weights

PACKAGES = (
    "gandiff",
    "accelerate",
    "diffusers",
    "huggingface-hub",
    "numpy",
    "open-clip-torch",
    "pandas",
    "pillow",
    "safetensors",
    "tokenizers",
    "torch",
    "torch-fidelity",
    "torchvision",
    "transformers",
)


def environment(device: str) -> dict[str, Any]:
    """Record the machine and the software; ``device`` is what the generators run on (cpu, cuda,
    mps).

    Package versions come from their metadata, so nothing is imported, except for what an
    accelerator is called.
    """
    import psutil

    name, driver = _accelerator(device)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": usable_cores(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "device": device,
        "device_name": name,
        "driver": driver,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git": git_state(Path(__file__).resolve().parent),
    }


def resolve_device(device: str) -> str:
    """Turn ``auto`` into the accelerator that there is, else the CPU; other names stay."""
    if device != "auto":
        return device
    try:
        import torch
    except ImportError:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable_cores() -> int:
    """Count the cores that this process may use; a container may give fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_state(folder: Path) -> dict[str, Any] | None:
    """Say which commit the code is at and whether it was changed since; None outside git."""
    if folder.name == "experiments" and "site-packages" in folder.parts:
        return None  # an installed copy inside somebody else's repository has no commit of its own
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)}


def fingerprint(settings: Mapping[str, Any]) -> str | None:
    """Hash the weights that settings name, if they lie on this machine: file names and contents.

    A hub id has no fingerprint before it is fetched; its revision is among the settings.
    """
    path = local_weights(settings)
    if path is None:
        return None
    files = [path] if path.is_file() else _weight_files(path)
    total = hashlib.sha256()
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


def identity(type_: str, settings: Mapping[str, Any], dtype: str, device: str) -> dict[str, Any]:
    """Collect what decides a generator's pixels besides the request.

    Where the weights lie does not matter, only what they are.
    """
    found = fingerprint(settings)
    kept = {k: v for k, v in settings.items() if found is None or k not in WEIGHTS}
    return {"type": type_, "settings": kept, "weights": found, "dtype": dtype, "device": device}


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _weight_files(folder: Path) -> list[Path]:
    # The model card and the scores beside the weights say things about them and change nothing.
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and file.suffix not in (".md", ".log", ".png", ".jpg")
        and file.name != "scores.json"
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


@functools.cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        try:
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    return platform.processor() or platform.machine()


def _accelerator(device: str) -> tuple[str | None, str | None]:
    if not device.startswith("cuda"):
        return None, None
    import torch

    if not torch.cuda.is_available():
        return None, None
    return torch.cuda.get_device_name(), _nvidia_driver()


def _nvidia_driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    return next((word for word in text.split() if word[:1].isdigit() and "." in word), None)
