"""The table of pipeline classes, made from what is known of them."""

from __future__ import annotations

from cells import code, table

# Classes of which random-weight toys are held to plain diffusers (tests/models/test_families.py).
TRIED = (
    *("AltDiffusion", "Amused", "AuraFlow", "Bria", "BriaFibo", "BriaFibo2", "Chroma"),
    *("CogView3Plus", "CogView4", "Cosmos2TextToImage", "DreamLite", "DreamLiteMobile"),
    *("ErnieImage", "Flux", "Flux2", "Flux2Klein", "Flux2KleinKV", "FluxKontext", "GlmImage"),
    *("HiDreamImage", "HunyuanDiT", "HunyuanDiTPAG", "HunyuanImage", "IF", "Ideogram4"),
    *("Kandinsky3", "Kandinsky5T2I", "KandinskyCombined", "KandinskyV22Combined", "Kolors"),
    *("KolorsPAG", "Krea2", "LDMTextToImage", "LatentConsistencyModel", "LongCatImage"),
    *("Lumina", "Lumina2", "NucleusMoEImage", "OmniGen", "OvisImage", "PRX", "PRXPixel"),
    *("PixArtAlpha", "PixArtSigma", "PixArtSigmaPAG", "QwenImage", "QwenImage21", "Sana"),
    *("SanaPAG", "SanaSprint", "SemanticStableDiffusion", "StableCascadeCombined"),
    *("StableDiffusion", "StableDiffusion3", "StableDiffusion3PAG"),
    *("StableDiffusionModelEditing", "StableDiffusionPAG", "StableDiffusionPanorama"),
    *("StableDiffusionParadigms", "StableDiffusionPipelineSafe", "StableDiffusionSAG"),
    *("StableDiffusionXL",),
    *("StableDiffusionXLPAG", "StableUnCLIP", "UnCLIP", "UniDiffuser", "VQDiffusion"),
    *("VersatileDiffusionTextToImage", "WuerstchenCombined", "ZImage", "ZImageOmni"),
)


def pipeline_tables() -> dict[str, str]:
    """What classes of pipelines do without settings, and what a guidance scale means to them."""
    from gandiff.models.diffusion.families import BY_CLASS, GUIDANCE_OF
    from gandiff.models.diffusion.signatures import class_defaults

    rows = []
    for name in sorted(map(_class, TRIED)):
        defaults = class_defaults(name)
        meaning = GUIDANCE_OF.get(name, "cfg")
        scale = {"true_cfg": "true_cfg_scale"}.get(meaning, "guidance_scale")
        family = BY_CLASS[name].family if name in BY_CLASS else "diffusion"
        numbers = (defaults.get("num_inference_steps"), defaults.get(scale))
        rows.append((code(name), family, *map(_plain_number, numbers), code(meaning)))
    head = ("class", "family", "steps", "guidance", "meaning of guidance")
    return {"pipelines": table(head, rows)}


def _class(short: str) -> str:
    return short if "Pipeline" in short else f"{short}Pipeline"


def _plain_number(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "-"
