"""The table of pipeline classes, made from what is known of them."""

from __future__ import annotations

from cells import code, table

# Classes of which random-weight toys are held to plain diffusers (tests/models/test_families.py).
TRIED = (
    *("AuraFlow", "Bria", "Chroma", "CogView3Plus", "CogView4", "ErnieImage", "Flux", "Flux2"),
    *("Flux2Klein", "HiDreamImage", "HunyuanDiT", "HunyuanImage", "Ideogram4", "IF"),
    *("Kandinsky3", "Kandinsky5T2I", "KandinskyV22Combined", "Krea2", "LatentConsistencyModel"),
    *("LongCatImage", "Lumina", "Lumina2", "NucleusMoEImage", "OvisImage", "PixArtAlpha"),
    *("PixArtSigma", "PRX", "QwenImage", "Sana", "SanaSprint", "StableCascadeCombined"),
    *("StableDiffusion", "StableDiffusion3", "StableDiffusionXL", "UnCLIP", "ZImage"),
)


def pipeline_tables() -> dict[str, str]:
    """What classes of pipelines do without settings, and what a guidance scale means to them."""
    from gandiff.models.diffusion.families import BY_CLASS, GUIDANCE_OF
    from gandiff.models.diffusion.signatures import class_defaults

    rows = []
    for name in sorted(f"{short}Pipeline" for short in TRIED):
        defaults = class_defaults(name)
        meaning = GUIDANCE_OF.get(name, "cfg")
        scale = {"true_cfg": "true_cfg_scale"}.get(meaning, "guidance_scale")
        family = BY_CLASS[name].family if name in BY_CLASS else "diffusion"
        numbers = (defaults.get("num_inference_steps"), defaults.get(scale))
        rows.append((code(name), family, *map(_plain_number, numbers), code(meaning)))
    head = ("class", "family", "steps", "guidance", "meaning of guidance")
    return {"pipelines": table(head, rows)}


def _plain_number(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "-"
