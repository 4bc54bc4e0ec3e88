"""Load a text-to-image pipeline from a directory or the hub, or say what is missing."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gandiff.common.devices import check_device, number_format
from gandiff.common.errors import GeneratorError
from gandiff.common.hub_cache import quick_hub
from gandiff.common.words import with_article
from gandiff.models.diffusion.controlnets import check_fits
from gandiff.models.diffusion.counting import modules, tokenizers
from gandiff.models.diffusion.hub import first_line
from gandiff.models.diffusion.loras import add_loras
from gandiff.models.diffusion.parts import pipelines, variant_of
from gandiff.models.diffusion.patching import replaced
from gandiff.models.diffusion.placing import put_on, quantized
from gandiff.models.diffusion.readers import read_pipeline
from gandiff.models.diffusion.replacements import (
    check_has_network,
    network_options,
    put_weights,
    read_network,
)
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source import Source
from gandiff.models.tokenizer import check_tokenizer


def load_pipeline(source: Source, settings: DiffusersSettings, device: str, dtype: str) -> Any:
    """Load the pipeline at ``source``, ready to be called.

    A ControlNet beside it is its ``controlnet``, which is no component of it. Its progress bar is
    off, it has no safety checker (that would blank images, which the scores would take for drawn
    ones), and no watermark. Raises ``GeneratorError`` naming what is missing or does not fit. The
    global random state is left as it was.
    """
    place = check_device(device, GeneratorError)
    options: dict[str, Any] = {
        "dtype": number_format(settings.dtype or dtype, place, GeneratorError),
        "use_safetensors": None if settings.allow_pickle else True,
        "safety_checker": None,
        "requires_safety_checker": False,
        "add_watermarker": False,
        "variant": settings.variant,
        "local_files_only": settings.local_files_only,
        **quantized(settings.quantization, source),
    }
    asking = contextlib.nullcontext() if source.page is None else quick_hub()
    with quiet(), torch.random.fork_rng(devices=[]), _clear_errors(source.name):
        with asking, _no_gaps(source.name):
            pipe = read_pipeline(source, options)
        if not source.as_saved:
            _check_call(pipe, source.name)
        _check_text(pipe, source.name)
        _put_parts(pipe, source, settings)
        for part in pipelines(pipe):
            part.set_progress_bar_config(disable=True)
        pipe = put_on(pipe, place, settings.offload)
        if "controlnet" in source.more:
            pipe.controlnet = _controlnet(source.more["controlnet"], pipe, options).to(place)
        return pipe


def _controlnet(part: Source, pipe: Any, options: Mapping[str, Any]) -> Any:
    """The ControlNet that is used beside a pipeline, in the variant of that where it has it."""
    own = {} if part.directory is None else {variant_of(f) for f in part.directory.iterdir()}
    variant = options["variant"] if options["variant"] in own else None
    with _clear_errors(part.name, "ControlNet"):
        network = read_network(part, {**network_options(options), "variant": variant})
    base = pipe.components.get("unet") or pipe.components["transformer"]
    check_fits(network.config, base.config, part.name)
    return network.eval()


def _put_parts(pipe: Any, source: Source, settings: DiffusersSettings) -> None:
    """Put the weights of single networks and the LoRAs into a pipeline."""
    for name in ("unet", "transformer"):
        part = source.more.get(name)
        if part is not None:
            check_has_network(pipe, name)
        if part is not None and part.file is not None:
            put_weights(pipe, name, part.file, allow_pickle=settings.allow_pickle)
    if settings.loras:
        files = [Path(source.more[f"loras.{i}"].name) for i in range(len(settings.loras))]
        add_loras(pipe, settings.loras, files, fuse=bool(settings.fuse_loras))


def images_of(output: Any) -> Any:
    """The images that a call gave; some pipelines name the field in the singular."""
    return output.images if hasattr(output, "images") else output.image


def pictures_of(output: Any) -> list[npt.NDArray[Any]]:
    """The same as arrays; what is transparent is laid over white, as in files of images."""
    return [_over_white(np.asarray(image)) for image in images_of(output)]


def _over_white(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype == np.uint8:
        return image
    alpha = image[..., 3:]
    return np.asarray(image[..., :3] * alpha + (1 - alpha))


def flags_of(output: Any, count: int) -> list[bool]:
    """Which of the images a safety checker has found fault with; none where there is no checker."""
    for field in ("nsfw_content_detected", "nsfw_detected"):
        if (flags := getattr(output, field, None)) is not None:
            return [bool(flag) for flag in flags]
    return [False] * count


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and advice of diffusers and transformers for a while."""
    import diffusers.utils.logging as ours
    import transformers.utils.logging as theirs

    with contextlib.ExitStack() as stack:
        for module in (ours, theirs):
            if module.is_progress_bar_enabled():
                module.disable_progress_bar()
                stack.callback(module.enable_progress_bar)
            # Not the level of the logger: to change that makes every logger forget what it knows.
            for handler in module.get_logger().handlers:
                level = max(handler.level, logging.ERROR)
                stack.enter_context(replaced(handler, "level", level))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", FutureWarning)  # that an argument of theirs will go one day
        yield


class _Gaps(logging.Handler):
    """Collects the names of weights that transformers reports as missing from a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        for line in record.getMessage().splitlines():
            name, bar, status = line.partition("|")
            if bar and "MISSING" in status:
                self.names.append(name.strip())


@contextlib.contextmanager
def _no_gaps(source: str) -> Iterator[None]:
    """Refuse missing weights: transformers draws them at random and does no more than warn."""
    import transformers.utils.logging as theirs

    gaps = _Gaps()
    logger = theirs.get_logger("transformers")
    handlers, level = list(logger.handlers), logger.level
    logger.handlers = [gaps]
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers = handlers
        logger.setLevel(level)
    if gaps.names:
        raise _incomplete(source, gaps.names[0])


def _incomplete(source: str, what: str) -> GeneratorError:
    return GeneratorError(
        f"the weights files of {source} lack {what}: they are torn or of another model; "
        "copy the pipeline again"
    )


def _check_call(pipe: Any, source: str) -> None:
    """Refuse a pipeline whose call takes no prompt or cannot do without an image."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    name = type(pipe).__name__
    expected = "expected a text-to-image pipeline, such as StableDiffusionPipeline"
    if "prompt" not in parameters:
        raise GeneratorError(
            f"{source} holds {with_article(name)}, whose call takes no prompt; {expected}"
        )
    for other in ("image", "mask_image", "control_image", "video"):
        if other in parameters and parameters[other].default is inspect.Parameter.empty:
            raise GeneratorError(
                f"{source} holds {with_article(name)}, whose call needs {other!r}; {expected}"
            )


def _check_text(pipe: Any, source: str) -> None:
    """Refuse a tokenizer that does not fit its CLIP or T5 text encoder, and a CLIP text encoder
    that does not fit the U-Net.
    """
    networks = modules(pipe)
    for name, tokenizer in tokenizers(pipe).items():
        encoder: Any = networks.get(name)
        if encoder is not None and encoder.config.model_type.startswith(("clip", "t5")):
            part = name.replace("text_encoder", "tokenizer")
            check_tokenizer(tokenizer, encoder, os.path.join(source, part))
    width = getattr(getattr(networks.get("text_encoder"), "config", None), "hidden_size", None)
    reads = getattr(getattr(networks.get("unet"), "config", None), "cross_attention_dim", None)
    plain = type(pipe).__name__ == "StableDiffusionPipeline" and isinstance(reads, int)
    if (
        plain
        and getattr(pipe.unet.config, "encoder_hid_dim", None) is None
        and width not in (None, reads)
    ):
        raise GeneratorError(
            f"the U-Net of {source} reads text features of width {reads}, and its text encoder "
            f"gives {width}: they are parts of different models; copy the pipeline again"
        )


@contextlib.contextmanager
def _clear_errors(source: str, what: str = "pipeline") -> Iterator[None]:
    """Turn what the loaders raise for broken or missing files into one ``GeneratorError``."""
    try:
        yield
    except (GeneratorError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # every file format has errors of its own
        if "meta tensor" in str(error):  # where diffusers leaves what it does not find
            raise _incomplete(source, "some weights of its networks") from error
        kind = f"{what} directory" if os.path.isdir(source) else f"hub {what}"
        raise GeneratorError(f"cannot load the {kind} {source}: {first_line(error)}") from error
