"""Random-weight pipelines of every family of diffusers, small enough for a CPU.

Each is built of the real classes, saved by ``save_pretrained`` and loaded from the folder, so that
it takes the way that real weights take. ``families.save(name, folder)`` returns what a comparison
file says of it; the fixture ``toy_family`` does so once for all tests of a session. Prompts, seeds
and steps change what the toys draw; that a real model of the family draws well they do not show.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from families import cascades, chats, dits, flows, packed, unets


def _one_folder(folder: Path) -> dict[str, Any]:
    return {"pipeline": str(folder)}


def _with_prior(folder: Path) -> dict[str, Any]:
    return {"pipeline": str(folder / "decoder"), "prior": str(folder / "prior")}


def _stages(folder: Path) -> dict[str, Any]:
    return {"stages": [str(folder / stage) for stage in ("I", "II", "III")]}


@dataclasses.dataclass(frozen=True)
class Family:
    """How a toy of a family is built and called."""

    build: Callable[[], Any]
    """Returns a pipeline, or several by the folder that each is saved to."""
    size: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Height and width where the pipeline's own size is large; otherwise it is left out."""
    settings: Callable[[Path], dict[str, Any]] = _one_folder
    """What a comparison file says of the saved folder beside the type."""


SMALL = {"height": 32, "width": 32}
FAMILIES: dict[str, Family] = {
    "sd": Family(lambda: unets.with_scheduler("PNDMScheduler", skip_prk_steps=True)),
    "sd-v": Family(
        lambda: unets.with_scheduler(
            "DDIMScheduler", prediction_type="v_prediction", clip_sample=False
        )
    ),
    "sd-zero-snr": Family(
        lambda: unets.with_scheduler(
            "DDIMScheduler",
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        )
    ),
    "sd-turbo": Family(
        lambda: unets.with_scheduler("EulerDiscreteScheduler", timestep_spacing="trailing")
    ),
    "lcm": Family(unets.consistency),
    "sdxl": Family(unets.sdxl),
    "sdxl-turbo": Family(
        lambda: unets.sdxl("EulerAncestralDiscreteScheduler", timestep_spacing="trailing")
    ),
    "sd3": Family(flows.sd3),
    "flux": Family(flows.flux, SMALL),
    "flux-schnell": Family(lambda: flows.flux(guidance=False), SMALL),
    "qwen-image": Family(flows.qwen_image, SMALL),
    "if": Family(cascades.deepfloyd, settings=_stages),
    "kandinsky-2.2": Family(cascades.kandinsky22, SMALL, _with_prior),
    "stable-cascade": Family(cascades.stable_cascade, {"height": 128, "width": 128}, _with_prior),
    "unclip": Family(cascades.unclip),
    "z-image": Family(packed.z_image, SMALL),
    "z-image-turbo": Family(lambda: packed.z_image(turbo=True), SMALL),
    "flux2": Family(packed.flux2, SMALL),
    "klein": Family(packed.klein, SMALL),
    "klein-base": Family(lambda: packed.klein(distilled=False), SMALL),
    "pixart-alpha": Family(lambda: dits.pixart("PixArtAlphaPipeline")),
    "pixart-sigma": Family(lambda: dits.pixart("PixArtSigmaPipeline")),
    "sana": Family(dits.sana, {"height": 512, "width": 512}),
    "sana-sprint": Family(lambda: dits.sana(sprint=True), {"height": 1024, "width": 1024}),
    "chroma": Family(packed.chroma, SMALL),
    "lumina2": Family(dits.lumina2, SMALL),
    "cogview4": Family(dits.cogview4, SMALL),
    "hidream": Family(packed.hidream),
    "aura-flow": Family(dits.aura_flow, SMALL),
    "hunyuan-dit": Family(dits.hunyuan_dit, {"height": 1024, "width": 1024}),
    "hunyuan-image": Family(chats.hunyuan_image, {"height": 64, "width": 64}),
    "kandinsky-3": Family(unets.kandinsky3, {"height": 64, "width": 64}),
    "kandinsky-5": Family(chats.kandinsky5, {"height": 1024, "width": 1024}),
    "bria": Family(packed.bria, SMALL),
    "prx": Family(dits.prx, {"height": 256, "width": 256}),
    "cogview3": Family(dits.cogview3, SMALL),
    "lumina": Family(dits.lumina, SMALL),
    "ernie-image": Family(chats.ernie, SMALL),
    "longcat": Family(chats.longcat, SMALL),
    "ovis": Family(chats.ovis, SMALL),
    "krea2": Family(chats.krea2, SMALL),
    "krea2-distilled": Family(lambda: chats.krea2(distilled=True), SMALL),
    "ideogram4": Family(chats.ideogram4, SMALL),
    "nucleus": Family(chats.nucleus, SMALL),
}


# Saved today, these are named after diffusers itself, which cannot load them; the files on the hub
# name the modules that the classes were in before diffusers moved them to ``deprecated``.
_MOVED = {"PaellaVQModel": "wuerstchen", "UnCLIPTextProjModel": "unclip"}


def _name_moved_modules(index: Path) -> None:
    parts = json.loads(index.read_text())
    for name, entry in parts.items():
        if isinstance(entry, list) and entry[1] in _MOVED:
            parts[name] = [_MOVED[entry[1]], entry[1]]
    index.write_text(json.dumps(parts, indent=2))


def save(name: str, folder: Path) -> dict[str, Any]:
    """Build the toy, save it below ``folder``, return its settings (``pipeline`` and the like).

    The global random state is left as it was; the same name gives the same weights each time.
    """
    import torch

    family = FAMILIES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = family.build()
    for part, pipe in (built if isinstance(built, dict) else {"": built}).items():
        pipe.save_pretrained(folder / part)
        _name_moved_modules(folder / part / "model_index.json")
    return {**family.settings(folder), **family.size}
