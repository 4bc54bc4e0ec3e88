"""Put LoRAs into a loaded pipeline, all of each or none; needs peft, as diffusers does."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.hub import first_line
from gandiff.models.diffusion.source_settings import Lora

# What follows the name of a module in the name of a tensor that changes it.
_TENSOR = re.compile(r"\.(?:lora|lokr|hada)_.*$")


def add_loras(pipe: Any, loras: Sequence[Lora], files: Sequence[Path], *, fuse: bool) -> None:
    """Load the file of each LoRA and let all act with their weights.

    ``fuse`` adds them to the weights of the networks and drops them. Raises ``GeneratorError`` for
    a pipeline that takes none, and for a LoRA of which a part does not fit: diffusers would load
    the rest, or nothing at all, and warn.
    """
    if not hasattr(pipe, "load_lora_weights"):
        raise GeneratorError(f"{type(pipe).__name__} takes no LoRA in diffusers; leave loras out")
    names = [lora.name or f"lora_{number}" for number, lora in enumerate(loras, 1)]
    for name, file in zip(names, files, strict=True):
        _load(pipe, name, file)
    pipe.set_adapters(names, adapter_weights=[lora.weight for lora in loras])
    if fuse:
        pipe.fuse_lora(adapter_names=names)
        pipe.unload_lora_weights()


def _load(pipe: Any, name: str, file: Path) -> None:
    read: dict[str, Any] = {}
    convert = pipe.lora_state_dict

    def remembered(*arguments: Any, **options: Any) -> Any:
        converted = convert(*arguments, **options)
        read.update(converted[0] if isinstance(converted, tuple) else converted)
        return converted

    # The names in the file as diffusers understands them, whichever tool they come from.
    pipe.lora_state_dict = remembered
    try:
        with _no_log():
            pipe.load_lora_weights(
                str(file), adapter_name=name, use_safetensors=file.suffix == ".safetensors"
            )
    except Exception as error:  # each format has errors of its own
        raise GeneratorError(
            f"the LoRA {file} cannot be put into this {type(pipe).__name__}: {_reason(error)}"
        ) from error
    finally:
        del pipe.lora_state_dict
    asked = set(_asked_modules(pipe, read))
    changed = set(_changed_modules(pipe, name))
    if unused := sorted(asked - changed):
        which = "none" if not asked & changed else f"{len(asked & changed)}"
        peft = any("base_model.model." in layer for layer in unused)
        why = (
            "has the names of peft; save it with save_lora_weights of diffusers"
            if peft
            else ("is for another model")
        )
        raise GeneratorError(
            f"{which} of the {len(asked)} layers that the LoRA {file} changes are in this "
            f"{type(pipe).__name__}, {unused[0]} is not: it {why}"
        )
    if not changed:
        raise GeneratorError(f"the LoRA {file} changes no layer of this {type(pipe).__name__}")


def _asked_modules(pipe: Any, state: Mapping[str, Any]) -> Iterator[str]:
    """The layers that a LoRA is for, such as ``unet.mid_block.attentions.0.proj_in``."""
    from diffusers import utils

    names: Any = utils

    groups: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        network, _, inner = key.partition(".")
        known = isinstance(pipe.components.get(network), torch.nn.Module)
        groups.setdefault(network if known else "", {})[inner if known else key] = tensor
    for network, tensors in groups.items():
        if network.startswith("text_encoder"):
            tensors = names.convert_state_dict_to_peft(
                names.convert_state_dict_to_diffusers(tensors)
            )
            if not hasattr(pipe.components[network], "text_model"):  # newer transformers
                tensors = {key.removeprefix("text_model."): tensors[key] for key in tensors}
        elif network and not any("lora_A" in key for key in tensors):
            tensors = names.convert_unet_state_dict_to_peft(tensors)
        for key in tensors:
            if (module := _TENSOR.sub("", key)) != key or not network:
                yield f"{network}.{module}".strip(".")


def _changed_modules(pipe: Any, name: str) -> Iterator[str]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for part, network in pipe.components.items():
        if isinstance(network, torch.nn.Module):
            for path, module in network.named_modules():
                if isinstance(module, BaseTunerLayer) and name in _adapters(module):
                    yield f"{part}.{path}"


def _adapters(module: Any) -> set[str]:
    return {key for layer in module.adapter_layer_names for key in getattr(module, layer)}


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Keep quiet what diffusers logs as an error besides raising it."""
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """The line that says what is wrong: a size that does not fit, where it is one."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line.startswith("size mismatch")), first_line(error))
