"""What the small files of a pipeline say of how it was made; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.models.diffusion.card import StatedPoint, stated_point
from gandiff.models.diffusion.classes import called_class
from gandiff.models.diffusion.families import (
    BY_CLASS,
    BY_ID,
    BY_SCHEDULER,
    DISTILLED_OF_CLASS,
    GUIDANCE_OF,
    LCM,
    LCM_LORA,
    MEAN_FLOW,
    SCHNELL,
    DiffusionFamily,
    Guidance,
    Published,
    family_in_words,
)
from gandiff.models.diffusion.parts import INDEX
from gandiff.models.weights import front_matter

CARD = "README.md"
_PARTS = ("unet", "transformer", "vae", "vqvae", "scheduler", "guider")
_FLUX = ("FluxPipeline", "FluxControlPipeline", "FluxFillPipeline")
SMALL_FILES = (
    "unet/config.json",
    "transformer/config.json",
    "vae/config.json",
    "vqvae/config.json",
    "scheduler/scheduler_config.json",
    "guider/guider_config.json",
    CARD,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """The class that a pipeline is loaded as, its configuration and what its card says.

    ``hub_id`` is where it comes from, if that is known; never a path. ``changed`` says that other
    weights than its own are put in (a LoRA, a file of their own).
    """

    class_name: str
    hub_id: str | None = None
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    denoiser: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    vae: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scheduler: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    guider: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    bases: tuple[str, ...] = ()  # the models that its card says it was made from
    stated: StatedPoint = dataclasses.field(default_factory=StatedPoint)  # by its card
    card_problem: str | None = None
    words: str = ""  # title and tags of its card, and the hub id
    changed: bool = False

    def of_class(self, class_name: str) -> Evidence:
        """The same of a pipeline that is loaded as another class."""
        return dataclasses.replace(self, class_name=class_name)

    @property
    def guidance(self) -> Guidance:
        """What a guidance scale means to it."""
        meaning = GUIDANCE_OF.get(self.class_name, "cfg")
        embeds = self.denoiser.get("guidance_embeds")
        if meaning in ("true_cfg", "guider") and embeds:
            return "embedded"
        if self.class_name in _FLUX and embeds is False:
            return "ignored"
        if self.class_name == "Flux2KleinPipeline" and self.config.get("is_distilled"):
            return "ignored"
        if meaning == "cfg" and self.denoiser.get("time_cond_proj_dim") is not None:
            return "embedded"
        return meaning


def read_evidence(
    folder: Path, hub_id: str | None = None, *, changed: bool = False, as_saved: bool = False
) -> Evidence:
    """Collect it from a pipeline directory, or from the cached files of a hub repository."""
    config = _json(folder / INDEX)
    saved = str(config.get("_class_name"))
    title, front = _card(folder / CARD)
    stated, card_problem = stated_point(front)
    tags = [str(tag) for tag in _list(front.get("tags"))]
    return Evidence(
        class_name=saved if as_saved else called_class(saved, config.keys()),
        hub_id=hub_id or _known_origin(config),
        config=config,
        denoiser=_json(folder / "unet/config.json") or _json(folder / "transformer/config.json"),
        vae=_json(folder / "vae/config.json") or _json(folder / "vqvae/config.json"),
        scheduler=_json(folder / "scheduler/scheduler_config.json"),
        guider=_json(folder / "guider/guider_config.json"),
        bases=tuple(str(base) for base in _list(front.get("base_model"))),
        stated=stated,
        card_problem=card_problem,
        words=" ; ".join([title, *tags, (hub_id or "").partition("/")[2]]),
        changed=changed,
    )


def evidence_of_pipe(pipe: Any) -> Evidence:
    """The same from a loaded pipeline, where no small files were there before."""
    parts = {name: getattr(getattr(pipe, name, None), "config", None) for name in _PARTS}
    known = {name: dict(config) for name, config in parts.items() if config is not None}
    scheduler = known.get("scheduler", {})
    if scheduler:
        scheduler = {**scheduler, "_class_name": type(pipe.scheduler).__name__}
    return Evidence(
        class_name=type(pipe).__name__,
        config=dict(pipe.config),
        denoiser=known.get("unet") or known.get("transformer") or {},
        vae=known.get("vae") or known.get("vqvae") or {},
        scheduler=scheduler,
        guider=known.get("guider", {}),
    )


def published(seen: Evidence) -> tuple[Published, str] | None:
    """What the checkpoint was made for and what says so; None where nothing does but its call.

    A ``Published`` without steps is of a model that was distilled, nobody knows for how many.
    """
    if seen.hub_id is not None and seen.hub_id in BY_ID:
        return BY_ID[seen.hub_id], "table"
    known, stated = _known(seen), seen.stated
    if stated == StatedPoint():
        return known
    made = known[0] if known is not None else Published()
    steps = made.steps if stated.num_inference_steps is None else stated.num_inference_steps
    scale = made.guidance if stated.guidance_scale is None else stated.guidance_scale
    own = {"steps": steps, "guidance": scale}
    most = {f"most_{k}": max(v, getattr(made, f"most_{k}") or v) for k, v in own.items() if v}
    allowed: dict[str, Any] = {k: v for k, v in most.items() if getattr(made, k) is not None}
    return dataclasses.replace(made, steps=steps, guidance=scale, **allowed), "card"


def _known(seen: Evidence) -> tuple[Published, str] | None:
    """What everything but its own words on steps and guidance says."""
    if (made := _by_config(seen)) is not None:
        return made, "config"
    for base in seen.bases:
        if base in BY_ID:
            return BY_ID[base], "card"
    family: DiffusionFamily | None = family_in_words(seen.words)
    return None if family is None else (Published(family=family), "card")


def is_doubtful(seen: Evidence) -> bool:
    """Whether a plain and a distilled checkpoint would look the same, and this may be either.

    Turbo and Lightning checkpoints of Stable Diffusion space their steps from the end as hardly
    any other does; Z-Image and its Turbo differ in nothing but their weights; FLUX without guidance
    is schnell, or had its guidance taken out again.
    """
    if seen.class_name in ("ZImagePipeline", "FluxPipeline"):
        return seen.class_name == "ZImagePipeline" or seen.guidance == "ignored"

    spacing = seen.scheduler.get("timestep_spacing") == "trailing"
    euler = str(seen.scheduler.get("_class_name")).startswith("Euler")
    zero_snr = seen.scheduler.get("rescale_betas_zero_snr")
    return spacing and euler and not zero_snr


def _by_config(seen: Evidence) -> Published | None:
    if seen.class_name in BY_CLASS:
        return BY_CLASS[seen.class_name]
    if seen.config.get("is_distilled"):
        return DISTILLED_OF_CLASS.get(seen.class_name, Published(family="distilled"))
    if seen.denoiser.get("use_meanflow"):
        return MEAN_FLOW
    shifts = seen.scheduler.get("use_dynamic_shifting")
    if seen.class_name == "FluxPipeline" and seen.guidance == "ignored" and not shifts:
        return SCHNELL
    made = BY_SCHEDULER.get(str(seen.scheduler.get("_class_name")))
    if seen.denoiser.get("time_cond_proj_dim") is not None:
        return LCM if made in (None, LCM_LORA) else made
    return made


def _known_origin(config: Mapping[str, Any]) -> str | None:
    """What diffusers noted as the origin when it saved; a path cannot be an id of the table."""
    origin = config.get("_name_or_path")
    return origin if origin in BY_ID else None


def _card(path: Path) -> tuple[str, Mapping[str, Any]]:
    """The first heading of a model card, and its front matter."""
    if not path.is_file():
        return "", {}
    text = path.read_text(encoding="utf-8", errors="replace")
    body = re.sub(r"\A---.*?^---", "", text, flags=re.DOTALL | re.MULTILINE)
    heading = re.search(r"^#\s+(.+)$", body, re.MULTILINE)
    return heading[1] if heading else "", front_matter(path)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _json(path: Path) -> Mapping[str, Any]:
    return read_json(path, GeneratorError) if path.is_file() else {}
