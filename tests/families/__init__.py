"""Random-weight pipelines of every family of diffusers, small enough for a CPU.

Each is built of the real classes, saved by ``save_pretrained`` and loaded from the folder, so that
it takes the way that real weights take. ``families.save(name, folder)`` returns what a comparison
file says of it; the fixture ``toy_family`` does so once for all tests of a session. Prompts, seeds
and steps change what the toys draw; that a real model of the family draws well they do not show.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from families import cascades, chats, dits, flows, newest, older, packed, unets, variants


def _one_folder(folder: Path) -> dict[str, Any]:
    return {"pipeline": str(folder)}


def _with_prior(folder: Path) -> dict[str, Any]:
    return {"pipeline": str(folder / "decoder"), "prior": str(folder / "prior")}


def _stages(folder: Path) -> dict[str, Any]:
    return {"stages": [str(folder / stage) for stage in ("I", "II", "III")]}


@dataclasses.dataclass(frozen=True)
class Family:
    """How a toy of a family is built and called."""

    called: str
    """The class whose call makes images; of a cascade, that of its first stage."""
    build: Callable[[], Any]
    """Returns a pipeline, or several by the folder that each is saved to."""
    size: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Height and width where the pipeline's own size is large; otherwise it is left out."""
    settings: Callable[[Path], dict[str, Any]] = _one_folder
    """What a comparison file says of the saved folder beside the type."""
    needs: str | None = None
    """A package that is not among those of the tests."""


SMALL = {"height": 32, "width": 32}
FAMILIES: dict[str, Family] = {
    "sd": Family(
        "StableDiffusionPipeline",
        lambda: unets.with_scheduler("PNDMScheduler", skip_prk_steps=True),
    ),
    "sd-v": Family(
        "StableDiffusionPipeline",
        lambda: unets.with_scheduler(
            "DDIMScheduler", prediction_type="v_prediction", clip_sample=False
        ),
    ),
    "sd-zero-snr": Family(
        "StableDiffusionPipeline",
        lambda: unets.with_scheduler(
            "DDIMScheduler",
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        ),
    ),
    "sd-turbo": Family(
        "StableDiffusionPipeline",
        lambda: unets.with_scheduler("EulerDiscreteScheduler", timestep_spacing="trailing"),
    ),
    "lcm": Family("LatentConsistencyModelPipeline", unets.consistency),
    "sdxl": Family("StableDiffusionXLPipeline", unets.sdxl),
    "sdxl-turbo": Family(
        "StableDiffusionXLPipeline",
        lambda: unets.sdxl("EulerAncestralDiscreteScheduler", timestep_spacing="trailing"),
    ),
    "sd3": Family("StableDiffusion3Pipeline", flows.sd3),
    "flux": Family("FluxPipeline", flows.flux, SMALL),
    "flux-schnell": Family("FluxPipeline", lambda: flows.flux(guidance=False), SMALL),
    "qwen-image": Family("QwenImagePipeline", flows.qwen_image, SMALL),
    "if": Family("IFPipeline", cascades.deepfloyd, settings=_stages),
    "kandinsky-2.2": Family(
        "KandinskyV22CombinedPipeline", cascades.kandinsky22, SMALL, _with_prior
    ),
    "stable-cascade": Family(
        "StableCascadeCombinedPipeline",
        cascades.stable_cascade,
        {"height": 128, "width": 128},
        _with_prior,
    ),
    "unclip": Family("UnCLIPPipeline", cascades.unclip),
    "z-image": Family("ZImagePipeline", packed.z_image, SMALL),
    "z-image-turbo": Family("ZImagePipeline", lambda: packed.z_image(turbo=True), SMALL),
    "flux2": Family("Flux2Pipeline", packed.flux2, SMALL),
    "klein": Family("Flux2KleinPipeline", packed.klein, SMALL),
    "klein-base": Family("Flux2KleinPipeline", lambda: packed.klein(distilled=False), SMALL),
    "pixart-alpha": Family("PixArtAlphaPipeline", lambda: dits.pixart("PixArtAlphaPipeline")),
    "pixart-sigma": Family("PixArtSigmaPipeline", lambda: dits.pixart("PixArtSigmaPipeline")),
    "sana": Family("SanaPipeline", dits.sana, {"height": 512, "width": 512}),
    "sana-sprint": Family(
        "SanaSprintPipeline", lambda: dits.sana(sprint=True), {"height": 1024, "width": 1024}
    ),
    "chroma": Family("ChromaPipeline", packed.chroma, SMALL),
    "lumina2": Family("Lumina2Pipeline", dits.lumina2, SMALL),
    "cogview4": Family("CogView4Pipeline", dits.cogview4, SMALL),
    "hidream": Family("HiDreamImagePipeline", packed.hidream),
    "aura-flow": Family("AuraFlowPipeline", dits.aura_flow, SMALL),
    "hunyuan-dit": Family("HunyuanDiTPipeline", dits.hunyuan_dit, {"height": 1024, "width": 1024}),
    "hunyuan-image": Family(
        "HunyuanImagePipeline", chats.hunyuan_image, {"height": 64, "width": 64}
    ),
    "kandinsky-3": Family("Kandinsky3Pipeline", unets.kandinsky3, {"height": 64, "width": 64}),
    "kandinsky-5": Family(
        "Kandinsky5T2IPipeline", chats.kandinsky5, {"height": 1024, "width": 1024}
    ),
    "bria": Family("BriaPipeline", packed.bria, SMALL),
    "prx": Family("PRXPipeline", dits.prx, {"height": 256, "width": 256}),
    "cogview3": Family("CogView3PlusPipeline", dits.cogview3, SMALL),
    "lumina": Family("LuminaPipeline", dits.lumina, SMALL),
    "ernie-image": Family("ErnieImagePipeline", chats.ernie, SMALL),
    "longcat": Family("LongCatImagePipeline", chats.longcat, SMALL),
    "ovis": Family("OvisImagePipeline", chats.ovis, SMALL),
    "krea2": Family("Krea2Pipeline", chats.krea2, SMALL),
    "krea2-distilled": Family("Krea2Pipeline", lambda: chats.krea2(distilled=True), SMALL),
    "ideogram4": Family("Ideogram4Pipeline", chats.ideogram4, SMALL),
    "nucleus": Family("NucleusMoEImagePipeline", chats.nucleus, SMALL),
    "wuerstchen": Family(
        "WuerstchenCombinedPipeline",
        cascades.wuerstchen,
        {"height": 128, "width": 128},
        _with_prior,
    ),
    "qwen-image-2.1": Family("QwenImage21Pipeline", newest.qwen_image21, SMALL),
    "glm-image": Family("GlmImagePipeline", newest.glm_image, SMALL),
    "omnigen": Family("OmniGenPipeline", newest.omnigen, SMALL),
    "fibo": Family("BriaFiboPipeline", newest.fibo, SMALL),
    "fibo-2": Family("BriaFibo2Pipeline", newest.fibo2, SMALL),
    "prx-pixel": Family("PRXPixelPipeline", newest.prx_pixel, {"height": 1024, "width": 1024}),
    "dreamlite": Family("DreamLitePipeline", newest.dreamlite, SMALL),
    "dreamlite-mobile": Family(
        "DreamLiteMobilePipeline", lambda: newest.dreamlite(mobile=True), SMALL
    ),
    "klein-kv": Family("Flux2KleinKVPipeline", newest.klein_kv, SMALL),
    "kontext": Family("FluxKontextPipeline", newest.kontext, SMALL),
    "z-image-omni": Family("ZImageOmniPipeline", newest.z_image_omni, SMALL),
    "cosmos-2": Family("Cosmos2TextToImagePipeline", newest.cosmos2, SMALL),
    "kolors": Family("KolorsPipeline", newest.kolors, needs="sentencepiece"),
    "kolors-pag": Family(
        "KolorsPAGPipeline", lambda: newest.kolors("KolorsPAGPipeline"), needs="sentencepiece"
    ),
    "ldm": Family("LDMTextToImagePipeline", older.latent_diffusion, SMALL),
    "vq-diffusion": Family("VQDiffusionPipeline", older.vq_diffusion),
    "amused": Family("AmusedPipeline", older.amused),
    "alt-diffusion": Family("AltDiffusionPipeline", older.alt_diffusion),
    "kandinsky-2.1": Family("KandinskyCombinedPipeline", older.kandinsky21, SMALL, _with_prior),
    "stable-unclip": Family("StableUnCLIPPipeline", older.stable_unclip),
    "versatile-diffusion": Family(
        "VersatileDiffusionTextToImagePipeline", older.versatile_diffusion
    ),
    "unidiffuser": Family("UniDiffuserPipeline", older.unidiffuser),
    **{
        name: Family(cls, functools.partial(variants.pag, cls), size)
        for name, cls, size in (
            ("sd-pag", "StableDiffusionPAGPipeline", {}),
            ("sdxl-pag", "StableDiffusionXLPAGPipeline", {}),
            ("sd3-pag", "StableDiffusion3PAGPipeline", {}),
            ("hunyuan-dit-pag", "HunyuanDiTPAGPipeline", {"height": 1024, "width": 1024}),
            ("pixart-sigma-pag", "PixArtSigmaPAGPipeline", {}),
            ("sana-pag", "SanaPAGPipeline", {"height": 512, "width": 512}),
        )
    },
    **{
        name: Family(cls, functools.partial(variants.stable_diffusion, cls), size)
        for name, cls, size in (
            ("sag", "StableDiffusionSAGPipeline", {}),
            ("panorama", "StableDiffusionPanoramaPipeline", {"height": 256, "width": 320}),
            ("safe", "StableDiffusionPipelineSafe", {}),
            ("semantic", "SemanticStableDiffusionPipeline", {}),
            ("model-editing", "StableDiffusionModelEditingPipeline", {}),
        )
    },
    "paradigms": Family(
        "StableDiffusionParadigmsPipeline",
        lambda: variants.stable_diffusion(
            "StableDiffusionParadigmsPipeline", "DDIMParallelScheduler"
        ),
    ),
}


# Saved today, these are named after diffusers itself, which cannot load them; the files on the hub
# name the modules that the classes were in before diffusers moved them to ``deprecated``.
_MOVED = {
    "PaellaVQModel": "wuerstchen",
    "LearnedClassifierFreeSamplingEmbeddings": "vq_diffusion",
    "RobertaSeriesModelWithTransformation": "alt_diffusion",
    "UNetFlatConditionModel": "versatile_diffusion",
    "UnCLIPTextProjModel": "unclip",
    "UniDiffuserModel": "unidiffuser",
    "UniDiffuserTextDecoder": "unidiffuser",
    "WuerstchenDiffNeXt": "wuerstchen",
    "WuerstchenPrior": "wuerstchen",
}


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
