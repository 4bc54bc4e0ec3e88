"""How the weights of a pipeline are kept: on which device, offloaded, in fewer bits."""

from __future__ import annotations

import importlib
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.names import did_you_mean
from gandiff.models.diffusion.hub import first_line
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.source_settings import Offload, Quantization

_DENOISERS = ("transformer", "transformer_2", "unet", "prior", "decoder")


def put_on(pipe: Any, device: str, offload: Offload | None) -> Any:
    """Put a pipeline on a device, or let it fetch its networks to there when it needs them.

    Raises ``GeneratorError`` where there is no accelerator to offload from.
    """
    if offload in (None, "none"):
        return pipe.to(device)
    if device == "cpu":
        raise GeneratorError(
            f"offload: {offload} keeps weights in memory until an accelerator needs them, and the "
            "device is the CPU; leave offload out, or run on an accelerator (--device cuda)"
        )
    start = pipe.enable_model_cpu_offload
    if offload == "sequential":
        start = pipe.enable_sequential_cpu_offload
    start(device=device)
    return pipe


def remarks(settings: DiffusersSettings) -> tuple[str, ...]:
    """What the reader of a run should know of how the weights were kept."""
    offload, quantization, lines = settings.offload, settings.quantization, list[str]()
    if offload not in (None, "none"):
        lines.append(
            f"its weights move to the accelerator within each call (offload: {offload}), which its "
            "times include"
        )
    if quantization is not None:
        parts = f" of {', '.join(quantization.components)}" if quantization.components else ""
        lines.append(f"its weights{parts} are kept in fewer bits ({quantization.backend})")
    return tuple(lines)


def quantized(settings: Quantization | None, source: Source) -> dict[str, Any]:
    """The arguments of ``from_pretrained`` that keep networks in fewer bits; none without settings.

    Raises ``GeneratorError`` for parts that the pipeline does not have, and for options that the
    backend refuses.
    """
    if settings is None:
        return {}
    if source.file is not None or source.index is None:
        raise GeneratorError("quantization needs a pipeline that is a directory or a hub id")
    import diffusers

    parts = source.index.parts
    chosen = settings.components or tuple(name for name in _DENOISERS if name in parts)
    for name in chosen:
        if name not in parts:
            raise GeneratorError(
                f"quantization.components: {source.name} has no {name!r}{did_you_mean(name, parts)}"
            )
    mapping = {name: _config(settings, parts[name][0]) for name in chosen}
    kind: Any = diffusers
    return {"quantization_config": kind.PipelineQuantizationConfig(quant_mapping=mapping)}


def _config(settings: Quantization, library: str) -> Any:
    """The configuration for a network of diffusers or transformers, which have each their own."""
    import diffusers
    import transformers

    owner: Any = diffusers if library == "diffusers" else transformers
    options = dict(settings.options)
    try:
        if settings.backend == "torchao":
            kinds = importlib.import_module("torchao.quantization")
            kind = str(options.pop("quant_type", "Int8WeightOnlyConfig"))
            return owner.TorchAoConfig(getattr(kinds, kind)(**options))
        if settings.backend == "quanto":
            key = "weights_dtype" if owner is diffusers else "weights"
            return owner.QuantoConfig(**{key: options.pop("weights_dtype", "int8")}, **options)
        bits = settings.backend.removeprefix("bitsandbytes_")
        return owner.BitsAndBytesConfig(**{f"load_in_{bits}": True}, **options)
    except Exception as error:  # each backend checks its options in a way of its own
        raise GeneratorError(f"quantization ({settings.backend}): {first_line(error)}") from error
