"""Count what a pipeline really does: evaluations of its denoisers, whatever they are called."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gandiff.models.diffusion.patching import replaced

AUTOREGRESSIVE = " (autoregressive)"
# What the networks of diffusers call the noise level that they are given.
_TIMES = {"timestep", "timesteps", "t", "r", "timestep_ratio", "timestep_img", "vision_timesteps"}
_HELPERS = ("ControlNet", "Adapter")  # run beside a denoiser and are part of its evaluation


class DenoiserCounter:
    """Counts the images that pass through the denoisers of a pipeline each time it is entered.

    Rows of the batch, not calls: classifier-free guidance doubles the batch, some pipelines call
    twice instead, and solvers of second order call nearly twice per step. ``rows / batch size`` is
    therefore the NFE of each image whatever the pipeline does. ``rows`` is by network: priors and
    stages count, each under its own name. What a language model writes before the denoising starts
    is counted in ``written``, in tokens.
    """

    def __init__(self, pipe: Any) -> None:
        self.rows: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        networks = denoisers(pipe)
        self._networks = [
            (n, m, next(iter(inspect.signature(m.forward).parameters))) for n, m in networks.items()
        ]
        self._writers = {n: m for n, m in modules(pipe).items() if _writes(m, networks)}
        self._writing: set[str] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> DenoiserCounter:
        self.rows, self.written = Counter(), Counter()
        for name, network, first in self._networks:
            self._watch(network, functools.partial(self._count, name, first))
        for name, writer in self._writers.items():
            self._watch(writer, functools.partial(self._count_written, name))
            generate = self._marked(name, writer.generate)
            self._stack.enter_context(replaced(writer, "generate", generate))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def nfe(self, images: int) -> int:
        """Evaluations of the denoisers for each of so many images."""
        return round(self.rows.total() / images)

    def per_image(self, images: int) -> dict[str, int]:
        """The same by network, and tokens that were written, under marked names; empty where one
        network did it all.
        """
        counts = dict(self.rows) | {n + AUTOREGRESSIVE: rows for n, rows in self.written.items()}
        several = len(counts) > 1
        return {name: round(rows / images) for name, rows in counts.items() if several}

    def _watch(self, module: Any, see: Any) -> None:
        self._stack.callback(module.register_forward_pre_hook(see, with_kwargs=True).remove)

    def _count(
        self, name: str, first: str, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.rows[name] += _rows(args[0] if args else kwargs[first])

    def _count_written(
        self, name: str, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if name in self._writing:
            ids = next((v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor)), None)
            self.written[name] += 1 if ids is None else len(ids)

    def _marked(self, name: str, generate: Any) -> Any:
        @functools.wraps(generate)
        def marked(*args: Any, **kwargs: Any) -> Any:
            self._writing.add(name)
            try:
                return generate(*args, **kwargs)
            finally:
                self._writing.discard(name)

        return marked


def denoisers(pipe: Any) -> dict[str, torch.nn.Module]:
    """Return the networks of a pipeline that take a noise level, or are built to denoise, by name.

    By what they are, since pipelines call them as they like (``unconditional_transformer``,
    ``prior_prior``, ``super_res_last``). One inside another counts once, as the outer one; one
    inside an autoencoder (a consistency decoder) counts under the name of its place.
    """
    named = {}
    for name, module in modules(pipe).items():
        if _denoises(module):
            named[name] = module
        elif _is_of_diffusers(module) and not _helps(module):
            inner = ((f"{name}.{place}", part) for place, part in module.named_modules() if place)
            outermost: list[str] = []
            for place, part in inner:
                nested = any(place.startswith(f"{outer}.") for outer in outermost)
                if not nested and _is_of_diffusers(part) and _denoises(part):
                    outermost.append(place)
                    named[place] = part
    return named


def modules(pipe: Any) -> dict[str, torch.nn.Module]:
    """Return the networks of a pipeline by name, each once; equal names get a number."""
    networks: dict[str, torch.nn.Module] = {}
    for name, component in components(pipe):
        if isinstance(component, torch.nn.Module):
            _add(networks, name, component)
    return networks


def components(pipe: Any) -> Iterator[tuple[str, Any]]:
    """The components of a pipeline and of those that it is made of."""
    for part in parts(pipe):
        yield from getattr(part, "components", {}).items()


def parts(pipe: Any) -> list[Any]:
    """A pipeline and the pipelines that it holds: a prior and a decoder, the stages of a cascade,
    in the order in which it holds them.
    """
    from diffusers import DiffusionPipeline

    held = []
    for value in vars(pipe).values():
        several = value if isinstance(value, (list, tuple)) else (value,)
        held += [part for part in several if isinstance(part, DiffusionPipeline)]
    return [pipe, *held]


def tokenizers(pipe: Any) -> dict[str, Any]:
    """Return the tokenizers of a pipeline under the names of their text encoders, each once."""
    named: dict[str, Any] = {}
    for name, component in components(pipe):
        # A processor holds one; some tokenizers hold another object by that name, which is none.
        held = (component, getattr(component, "tokenizer", None))
        tokenizer = next((one for one in held if hasattr(one, "convert_tokens_to_ids")), None)
        if tokenizer is not None:
            _add(named, name.replace("tokenizer", "text_encoder"), tokenizer)
    return named


def _add(named: dict[str, Any], name: str, component: Any) -> None:
    if not any(component is other for other in named.values()):
        names = (name, *(f"{name}_{number}" for number in range(2, len(named) + 3)))
        named[next(free for free in names if free not in named)] = component


def _denoises(module: torch.nn.Module) -> bool:
    cls = type(module)
    if _helps(module):
        return False
    made_to = cls.__module__.startswith(
        ("diffusers.models.unets.", "diffusers.models.transformers.")
    )
    taken = set(inspect.signature(module.forward).parameters)
    return (made_to and _is_of_diffusers(module)) or bool(taken & _TIMES)


def _helps(module: torch.nn.Module) -> bool:
    return any(word in type(module).__name__ for word in _HELPERS)


def _is_of_diffusers(module: torch.nn.Module) -> bool:
    from diffusers import ModelMixin

    return isinstance(module, ModelMixin)


def _writes(module: Any, networks: Mapping[str, torch.nn.Module]) -> bool:
    return callable(getattr(module, "generate", None)) and module not in networks.values()


def _rows(batch: Any) -> int:
    """The images in what a network is given: a tensor with them first, or a list of them."""
    if isinstance(batch, torch.Tensor) and batch.ndim < 2:
        return 1  # one image as a sequence of its own
    return len(batch)
