"""Count what a pipeline really does: evaluations of its denoiser, tokens that it never reads."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gandiff.models.diffusion.parts import PARTS_OF_COMBINED

# The networks that run once or more per step; a ControlNet only helps one of them.
DENOISERS = ("unet", "transformer", "transformer_2", "prior", "decoder", "super_res_first")
_TENSOR_NAMES = ("sample", "hidden_states", "x", "latents")


class DenoiserCounter:
    """Counts the images that pass through the denoisers of a pipeline while it is entered.

    Rows of the batch, not calls: classifier-free guidance doubles the batch, some pipelines call
    twice instead, and solvers of second order call nearly twice per step. ``rows / batch size`` is
    therefore the NFE of each image whatever the pipeline does.
    """

    def __init__(self, pipe: Any) -> None:
        self.rows = 0
        self._modules = [module for name, module in modules(pipe).items() if name in DENOISERS]
        self._hooks: list[Any] = []

    def __enter__(self) -> DenoiserCounter:
        self._hooks = [
            module.register_forward_pre_hook(self._count, with_kwargs=True)
            for module in self._modules
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        named = [kwargs[name] for name in _TENSOR_NAMES if name in kwargs]
        batch = (*args, *named)[0]
        self.rows += len(batch)  # a tensor with the images first, or a list of them


def truncated_tokens(pipe: Any, prompt: str, extra: Mapping[str, Any]) -> dict[str, int]:
    """Count, for each text encoder that cuts the prompt short, the tokens that it does not read."""
    unread = {}
    for name, tokenizer in tokenizers(pipe):
        limit = _limit(pipe, tokenizer, extra)
        length = len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])
        if length > limit:
            unread[name] = length - limit
    return unread


def tokenizers(pipe: Any) -> Iterator[tuple[str, Any]]:
    """Give the tokenizers of a pipeline under the names of their text encoders."""
    for name, component in _components(pipe):
        if name.startswith("tokenizer") and component is not None:
            yield name.replace("tokenizer", "text_encoder"), component


def modules(pipe: Any) -> dict[str, torch.nn.Module]:
    """Return the networks of a pipeline by name, each once."""
    networks: dict[str, torch.nn.Module] = {}
    for name, component in _components(pipe):
        if isinstance(component, torch.nn.Module) and component not in networks.values():
            networks[name if name not in networks else f"{name}_2"] = component
    return networks


def _components(pipe: Any) -> Iterator[tuple[str, Any]]:
    """The components of a pipeline and of those that it combines."""
    for part in (pipe, *(getattr(pipe, name) for name in PARTS_OF_COMBINED if hasattr(pipe, name))):
        yield from part.components.items()


def _limit(pipe: Any, tokenizer: Any, extra: Mapping[str, Any]) -> int:
    """Say how many tokens the pipeline reads: fixed for CLIP, an argument of the call for T5."""
    limit = int(tokenizer.model_max_length)
    if "CLIP" in type(tokenizer).__name__:
        return limit
    parameter = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    default = parameter.default if parameter is not None else None
    chosen = extra.get("max_sequence_length", default)
    return min(limit, chosen) if isinstance(chosen, int) else limit
