"""Where numbers stop being finite in a call: which network gives the first, and when."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from gandiff.models.diffusion.counting import modules
from gandiff.models.diffusion.loading import quiet
from gandiff.models.generator import Generation
from gandiff.models.pixels import NOT_FINITE


def explain(
    made: Sequence[Generation], pipe: Any, call: Callable[[int], Any]
) -> Iterator[Generation]:
    """Give the generations back; one that is not finite says in its reason where that began.

    It takes one more call for each of those; ``call`` makes the image at a place again.
    """
    for place, one in enumerate(made):
        if one.image is None and NOT_FINITE in str(one.reason):
            where = first_not_finite(pipe, functools.partial(call, place))
            one = dataclasses.replace(one, reason=f"{one.reason} ({where})")
        yield one


def first_not_finite(pipe: Any, call: Callable[[], Any]) -> str:
    """Make a call and say which network of a pipeline gives NaN or infinity first."""
    first: list[str] = []
    calls = Counter[str]()

    def look(name: str, module: Any, given: Any, output: Any) -> None:
        calls[name] += 1
        if not first and not all(torch.isfinite(one).all() for one in _tensors(output)):
            first.append(f"first in what the {name} gives, at its evaluation {calls[name]}")

    with quiet(), contextlib.ExitStack() as stack:
        for name, network in modules(pipe).items():
            decoder = getattr(network, "decoder", None)  # of an autoencoder, which is not called
            module = decoder if isinstance(decoder, torch.nn.Module) else network
            hook = module.register_forward_hook(functools.partial(look, name))
            stack.callback(hook.remove)
        with contextlib.suppress(Exception):  # what was wrong is known
            call()
    return first[0] if first else "every network gives finite numbers, so it is the solver"


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in what a network gives that may hold such numbers."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif hasattr(value, "sample"):
        yield from _tensors(value.sample)
