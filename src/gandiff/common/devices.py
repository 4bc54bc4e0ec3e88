"""The processors of this machine and what they are called."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gandiff.common.errors import GandiffError, RequestError
from gandiff.common.names import did_you_mean

if TYPE_CHECKING:
    import torch

_KINDS = ("cpu", "cuda", "mps")
_FORMATS = ("float32", "bfloat16", "float16")


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


def check_device(device: str, error: type[GandiffError] = RequestError) -> str:
    """Return the device that a name means here: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ``auto``.

    Raises ``error`` for any other name, and for a device that torch does not see on this machine.
    """
    device = resolve_device(device)
    if device == "cpu":  # nothing heavy is imported to say so
        return device
    kind = device.partition(":")[0]
    if kind not in _KINDS:
        near = did_you_mean(kind, _KINDS)
        near = near if "did you mean" in near else ""
        raise error(f"no device is named {device!r}; must be cpu, cuda, cuda:1 or mps{near}")
    here = _devices_here()
    if device not in here and f"{device}:0" not in here:
        use = "use one of these" if here[1:] else "use cpu"
        raise error(
            f"device {device!r} is not on this machine, where torch sees {', '.join(here)}; {use}"
        )
    return device


def _devices_here() -> list[str]:
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{i}" for i in range(cuda)), *mps]


def number_format(name: str, device: str, error: type[GandiffError]) -> torch.dtype:
    """Torch's number format of this name; raises ``error`` if it is unknown, or if this device
    cannot compute in it, which is tried.
    """
    import torch

    if name not in _FORMATS:
        raise error(f"no number format is named {name!r}; use {', '.join(_FORMATS)}")
    kind: torch.dtype = getattr(torch, name)
    try:
        picture = torch.ones(1, 1, 4, 4, device=device, dtype=kind)
        torch.nn.functional.conv2d(picture, picture).sum().item()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError) as problem:
        why = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise error(f"torch cannot compute in {name} on {device!r} here: {why}") from problem
    return kind


def usable_cores() -> int:
    """Count the cores that this process may use; a container may give fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """What the processor calls itself."""
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


def accelerator_name(device: str) -> tuple[str | None, str | None]:
    """The name of the CUDA device and its driver's version; None each where there is none."""
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
