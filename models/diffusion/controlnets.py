"""ControlNets: whether one goes with a pipeline, from their small files and once both are loaded.

ControlNet: Zhang, Rao and Agrawala 2023 (arXiv:2302.05543).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.words import with_article
from gandiff.models.diffusion.additions import config_of
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.task_classes import CONTROLNETS, MODES, ONE_TASK

_NETWORKS = ("unet", "transformer")
# Its card replaces the image processor of the pipeline; nothing in its files says so.
_SCALED = "stable-diffusion-3.5-large-controlnet-canny"
# What must be the same in both networks: a ControlNet adds to the features inside of the other.
_SAME = (
    *("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"),
    *("addition_time_embed_dim", "projection_class_embeddings_input_dim"),
    *("joint_attention_dim", "caption_projection_dim", "pooled_projection_dim"),
    *("num_attention_heads",),
)


def check_controlnet(source: Source, settings: DiffusersSettings) -> None:
    """Raise ``GeneratorError`` for a ControlNet that a pipeline does not take, and for a
    ``control_mode`` that it does not have, from what the small files of both say.
    """
    part, called = source.more["controlnet"], source.generating
    config = read_json(config_of(part), GeneratorError)
    _check_class(config, part.name, called)
    reads, more = config.get("conditioning_channels", 3), config.get("extra_conditioning_channels")
    if reads != 3 or more:
        wrong = f"{more} channels beside those of a picture" if more else f"{reads} channels"
        raise GeneratorError(
            f"controlnet: {part.name} reads {wrong}, and is given a picture, which has 3; give one "
            "that reads pictures alone"
        )
    if part.name.endswith(_SCALED):
        raise GeneratorError(
            f"controlnet: {part.name} reads edges on a scale that its model card computes beside "
            "diffusers, whose class would give it another; give another ControlNet"
        )
    check_fits(config, _network_config(source, settings), part.name)
    _check_mode(config, part.name, settings.control_mode)


def _check_class(config: Mapping[str, Any], name: str, called: str) -> None:
    wanted = CONTROLNETS.get(called)
    if wanted is None:
        known = ", ".join(CONTROLNETS)
        does = f", whose one task is {ONE_TASK[called]}" if called in ONE_TASK else ""
        raise GeneratorError(
            f"controlnet goes with {known}, and the pipeline is {with_article(called)}{does}; "
            "leave controlnet out"
        )
    kind = str(config.get("_class_name"))
    if kind not in wanted:
        raise GeneratorError(
            f"controlnet: {name} holds {with_article(kind)}, and {with_article(called)} takes "
            f"{' or '.join(map(with_article, wanted))}; give one that was saved as that"
        )


def _check_mode(config: Mapping[str, Any], name: str, mode: int | None) -> None:
    """A mode that is missing would fail in every call, one that is not taken have no effect."""
    modes = next((config[key] for key in MODES if isinstance(config.get(key), int)), None)
    if modes is None and mode is not None:
        raise GeneratorError(
            f"control_mode is for a ControlNet of several kinds of control images (union), and "
            f"{name} is for one; leave control_mode out"
        )
    if modes is not None and (mode is None or mode >= modes):
        got = "is missing" if mode is None else f"is {mode}"
        raise GeneratorError(
            f"control_mode {got}, and {name} is for {modes} kinds of control images (union); set "
            f"it to the number of yours, 0 to {modes - 1}, as the model card lists them"
        )


def check_fits(config: Mapping[str, Any], base: Mapping[str, Any], name: str) -> None:
    """Raise ``GeneratorError`` unless a ControlNet was made for the network of the pipeline, by
    the configurations of both; what one of them does not say is not judged.
    """
    # Those of Stable Diffusion 3.5 read no text, and say a width of it all the same.
    reads_text = config.get("joint_attention_dim", ...) is not None
    for key in _SAME if reads_text else set(_SAME) - {"caption_projection_dim"}:
        own, wanted = config.get(key), base.get(key)
        if None not in (own, wanted) and _plain(own) != _plain(wanted):
            raise GeneratorError(
                f"controlnet: {name} was made for another network than that of the pipeline: its "
                f"{key} is {own}, and must be {wanted}; give one for this pipeline"
            )


def _network_config(source: Source, settings: DiffusersSettings) -> Mapping[str, Any]:
    """What the small files say of the network of a pipeline, or of that in place of it; nothing
    where they are not here.
    """
    for name in _NETWORKS:
        own = source.more.get(name)
        if own is not None and own.file is None:
            return read_json(config_of(own), GeneratorError)
    base = source.more.get("config", source)
    parts = {} if base.index is None else base.index.parts
    for name in _NETWORKS:
        if name in parts:
            with contextlib.suppress(GeneratorError):  # it shows when the networks are loaded
                file = config_of(base, name, local=settings.local_files_only)
                return read_json(file, GeneratorError)
    return {}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
