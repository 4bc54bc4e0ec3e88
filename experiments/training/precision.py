"""Which number format a training computes in."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from gandiff.experiments.training.request import Precision

Resolved = Literal["float32", "bfloat16"]


@functools.cache
def fast_bfloat16(device: str) -> bool:
    """Whether bf16 is faster than float32 there: processors without the instructions emulate it."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    if device != "cpu" or not cpuinfo.is_file():
        return False
    words = set(cpuinfo.read_text(encoding="utf-8").split())
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def resolve_precision(dtype: Precision, device: str) -> Resolved:
    """What ``auto`` means on a device.

    Never float16: its range is too small for modulated convolutions and for second derivatives.
    """
    if dtype == "auto":
        return "bfloat16" if fast_bfloat16(device) else "float32"
    return dtype


@contextlib.contextmanager
def autocast_context(precision: Resolved, device: str) -> Iterator[None]:
    """A context in which networks compute in bfloat16, or in float32 as they are."""
    kind, fast = device.partition(":")[0], precision == "bfloat16"
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(kind, dtype=torch.bfloat16, enabled=fast))
        if fast and kind == "cpu":
            # The gradient of torch's fused attention takes longer than all else in a small U-Net
            # there; by the plain formula it is no more than a part of it.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
