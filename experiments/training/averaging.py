"""Averages of weights, schedules, and other small numerics that trainings share."""

from __future__ import annotations

import copy
import ctypes
import math
import sys
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)


class Ema:
    """Exponential moving average of a module's weights with a half-life in images.

    While few images were seen the half-life is a twentieth of them, so that the start is forgotten.
    """

    def __init__(self, module: nn.Module, halflife_images: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.halflife = halflife_images

    @torch.no_grad()
    def update(self, module: nn.Module, batch: int, images: int) -> None:
        """Move towards the module's weights; buffers are copied."""
        decay = 0.5 ** (batch / max(min(self.halflife, images * 0.05), 1e-8))
        theirs: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(list(self.module.parameters()), theirs, 1 - decay)
        for kept, new in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(new)


def cosine(fraction: float, start: float, end: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


@runtime_checkable
class Grouped(Protocol):
    """An optimiser, or several as one."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters with their settings."""


def set_lr(optimizer: Grouped, lr: float) -> None:
    """Set the learning rate of every group, times the group's own ``scale``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)


def anneal(
    optimizer: Grouped,
    fraction: float,
    steps: int,
    *,
    start: float,
    end: float,
    warmup: int = 50,
) -> None:
    """Set the learning rate: cosine in the fraction spent, after a linear rise over ``warmup``."""
    set_lr(optimizer, cosine(fraction, start, end) * min(1.0, (steps + 1) / warmup))


def descend(
    optimizer: torch.optim.Optimizer, loss: Tensor, clip: Iterable[Tensor] | None = None
) -> None:
    """One step down the gradient of a loss, whose norm over ``clip`` is cut at 1."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(clip, 1.0)
    optimizer.step()


def gradients(module: nn.Module) -> list[Tensor]:
    """The gradients of those parameters of a module that have one."""
    return [p.grad for p in module.parameters() if p.grad is not None]


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm of all tensors together; not finite if one of them is not."""
    listed = list(tensors)
    if not listed:
        return 0.0
    return float(torch.stack([part.float() for part in torch._foreach_norm(listed)]).norm())


def noise_at(seed: int, position: int) -> torch.Generator:
    """What is random at one position of the data of a training with this seed.

    Both are mixed first: torch's generator on the CPU looks at the low 32 bits of a seed alone.
    """
    (mixed,) = np.random.SeedSequence([seed, position]).generate_state(1)
    return torch.Generator().manual_seed(int(mixed))


def to_tensor(images: Any, device: str) -> Tensor:
    """uint8 NHWC pictures to float32 NCHW in [-1, 1]."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
    return pixels.div_(127.5).sub_(1).contiguous()


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks for the next step, where it is glibc.

    It would otherwise return every large tensor to the system and fetch it again page by page,
    which costs a training on a CPU about a tenth of its time.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
