"""Where a result comes from: the machine, the packages, the commit, the weights."""

from __future__ import annotations

import datetime
import functools
import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gandiff.common.devices import accelerator_name, cpu_name, usable_cores
from gandiff.common.files import PACKAGE
from gandiff.common.run_record import Environment
from gandiff.experiments.config.paths import (
    WEIGHTS,
    local_weights,
    named_weights,
    without_places,
)
from gandiff.experiments.plugins.registry import recorded_type
from gandiff.models.diffusion.places import local_path
from gandiff.models.gan.units import UNITS
from gandiff.models.weights import original_sha256

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


def environment(device: str) -> Environment:
    """Record the machine and the software; ``device`` is what the generators run on (cpu, cuda,
    mps).

    Package versions come from their metadata, so nothing is imported, except for what an
    accelerator is called.
    """
    import psutil

    name, driver = accelerator_name(device)
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu_name(),
        cores=usable_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        device=device,
        device_name=name,
        driver=driver,
        packages={name: known for name in PACKAGES if (known := _version(name))},
        git=git_state(PACKAGE),
    )


def git_state(folder: Path) -> dict[str, Any] | None:
    """Say which commit the code is at and whether it was changed since; None outside git."""
    if "site-packages" in folder.parts:
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
    return None if path is None else content(path)


def content(path: Path) -> str:
    """Hash a file, or all below a folder that can change what is drawn: names and contents."""
    files = [path] if path.is_file() else _weight_files(path)
    total = hashlib.sha256()
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        total.update(f"{name}\0{original_sha256(file)}\n".encode())
    return total.hexdigest()


def identity(type_: str, settings: Mapping[str, Any], dtype: str, device: str) -> dict[str, Any]:
    """Collect what decides a generator's pixels besides the request.

    Where the weights lie does not matter, only what they are.
    """
    weights = fingerprint(settings)
    kept = {k: v for k, v in settings.items() if weights is None or k not in WEIGHTS}
    kept = without_places(kept, local_parts(type_, settings))
    return {
        "type": recorded_type(type_),
        "settings": kept,
        "weights": weights,
        "dtype": dtype,
        "device": device,
    }


def local_parts(type_: str, settings: Mapping[str, Any]) -> dict[str, Path]:
    """The further weights on this machine that settings have put together with those of
    ``fingerprint``, by their place in the settings.
    """
    named = dict(named_weights(type_, settings))
    paths = {place: local_path(name) for place, name in named.items() if place not in WEIGHTS}
    return {place: path for place, path in paths.items() if path is not None}


def changed_packages(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Say which packages are not those that earlier images were made with."""
    changed = [
        f"{name} {before[name]} (now {now.get(name, 'not installed')})"
        for name in ("torch", "diffusers", "transformers", "numpy", "pillow")
        if name in before and before[name] != now.get(name)
    ]
    return (f"some images were made with {', '.join(changed)}",) if changed else ()


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _weight_files(folder: Path) -> list[Path]:
    # The model card and the scores beside the weights say things about them and change nothing; a
    # dissection of a GAN is a part of its identity where its units paint.
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and file.suffix not in (".md", ".log", ".png", ".jpg")
        and file.name not in ("scores.json", UNITS)
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
