"""Which number format a training computes in."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from gandiff.experiments.training.request import Precision


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


class Precise:
    """A context in which networks compute in bf16, or in float32 as they are.

    Never float16: its range is too small for modulated convolutions and for second derivatives.
    """

    def __init__(self, dtype: Precision, device: str) -> None:
        self.kind = device.partition(":")[0]
        self.bfloat16 = dtype == "bfloat16" or (dtype == "auto" and fast_bfloat16(device))

    @property
    def name(self) -> str:
        """The format, for the record."""
        return "bfloat16" if self.bfloat16 else "float32"

    def __call__(self) -> AbstractContextManager[None]:
        """Enter the format."""
        context: AbstractContextManager[None] = torch.autocast(
            self.kind, dtype=torch.bfloat16, enabled=self.bfloat16
        )
        return context
