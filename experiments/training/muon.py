"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024).

All singular values of an update become about 1, so directions in which gradients are small are
learned as fast as the others. Updates are scaled to the size of AdamW's (Liu et al. 2025, "Muon is
scalable for LLM training", equation 4), so both share a learning rate. Torch's own (2.9 and later)
takes no convolutions, and one matrix at a time.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_MOMENTUM = 0.95
_ADAM_SIZE = 0.2  # root mean square of an update of AdamW, in learning rates
# A polynomial that brings singular values from (0, 1] to about 1, five times over.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_TIMES = 5


class Muon(torch.optim.Optimizer):
    """For weights of two dimensions or more: a convolution is a matrix with a row for each output.

    ``dtype`` is what matrices are made orthogonal in; bfloat16 will do where it is fast.
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay}
        super().__init__([dict(group) for group in groups], defaults)
        if any(p.ndim < 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon must have weights of two dimensions at least")
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all weights that have a gradient; those of one shape are worked on together.

        ``closure``, if there is one, is called first, and what it returns is.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    update = self._nesterov(weight).flatten(1)
                    by_shape[tuple(update.shape)].append((weight, update))
            for shape, members in by_shape.items():
                updates = torch.stack([update for _, update in members])
                step = group["lr"] * _ADAM_SIZE * math.sqrt(max(shape))
                for (weight, _), update in zip(members, self._orthogonal(updates), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(update.view(weight.shape), alpha=step)
        return loss

    def _nesterov(self, weight: nn.Parameter) -> Tensor:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM)

    def _orthogonal(self, updates: Float[Tensor, "k m n"]) -> Float[Tensor, "k m n"]:
        return orthogonal(updates.to(self._dtype)).float()


def orthogonal(matrices: Float[Tensor, "k m n"]) -> Float[Tensor, "k m n"]:
    """The matrices with singular values from about 0.7 to 1.2; what is 0 stays 0."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    x: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_TIMES):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    return x


class Together:
    """Several optimisers that take their steps at once, as if they were one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return list(itertools.chain.from_iterable(part.param_groups for part in self.parts))

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Move all weights."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of all, by their places."""
        return {str(i): part.state_dict() for i, part in enumerate(self.parts)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take all states back; raises ``KeyError`` where one is missing."""
        for i, part in enumerate(self.parts):
            part.load_state_dict(state_dict[str(i)])


def muon_and_adamw(
    network: nn.Module,
    *,
    edges: Sequence[str] = (),
    others: Iterable[Mapping[str, Any]] = (),
    dtype: torch.dtype = torch.float32,
) -> Together:
    """Muon for a network's matrices, AdamW for the rest of it and for ``others``.

    The rest are vectors and the layers named in ``edges``.
    """
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in network.named_parameters():
        inner = weight.ndim > 1 and name.split(".")[0] not in edges
        (matrices if inner else rest).append(weight)
    return Together(
        Muon([{"params": matrices}], dtype=dtype),
        torch.optim.AdamW([{"params": rest}, *map(dict, others)], fused=True),
    )
