"""ControlNets: whether one goes with a pipeline, from their small files and once both are loaded.

ControlNet: Zhang, Rao and Agrawala 2023 (arXiv:2302.05543).
"""

from __future__ import annotations

from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.words import with_article
from gandiff.models.diffusion.additions import config_of
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.task_classes import CONTROLNETS

# What must be the same in both networks: a ControlNet adds to the features inside of the other.
_SAME = (
    *("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"),
    *("joint_attention_dim", "caption_projection_dim", "pooled_projection_dim"),
    *("num_attention_heads",),
)


def check_controlnet(part: Source, called: str) -> None:
    """Raise ``GeneratorError`` for a ControlNet that a pipeline class does not take."""
    wanted = CONTROLNETS.get(called)
    if wanted is None:
        known = ", ".join(CONTROLNETS)
        raise GeneratorError(
            f"controlnet goes with {known}, and the pipeline is {with_article(called)}; leave "
            "controlnet out"
        )
    config = read_json(config_of(part), GeneratorError)
    kind = str(config.get("_class_name"))
    if kind != wanted:
        raise GeneratorError(
            f"controlnet: {part.name} holds {with_article(kind)}, and {with_article(called)} takes "
            f"{with_article(wanted)}; give one that was saved as that"
        )
    reads, more = config.get("conditioning_channels", 3), config.get("extra_conditioning_channels")
    if reads != 3 or more:
        wrong = f"{more} channels beside those of a picture" if more else f"{reads} channels"
        raise GeneratorError(
            f"controlnet: {part.name} reads {wrong}, and is given a picture, which has 3; give one "
            "that reads pictures alone"
        )


def check_fits(network: Any, pipe: Any, name: str) -> None:
    """Raise ``GeneratorError`` unless a ControlNet was made for the network of the pipeline."""
    base = pipe.components.get("unet") or pipe.components["transformer"]
    for key in _SAME:
        own, wanted = network.config.get(key), base.config.get(key)
        if None not in (own, wanted) and _plain(own) != _plain(wanted):
            raise GeneratorError(
                f"controlnet: {name} was made for another network than that of the pipeline: its "
                f"{key} is {own}, and must be {wanted}"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
