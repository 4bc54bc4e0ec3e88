"""What published pipelines were made for: steps, guidance and what a guidance scale means to them.

Numbers are those of the model cards. Where a class or an id is not in the tables, the defaults of
the pipeline's call are its native point.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

DiffusionFamily = Literal["diffusion", "distilled", "hybrid"]

# cfg:        classifier-free guidance, two evaluations a step above 1 (Ho & Salimans 2022)
# above_zero: the same written as 1 + scale, or switched on by any scale above 0
# embedded:   an input of a guidance-distilled network, no second evaluation (Meng et al. 2023)
# true_cfg:   classifier-free guidance that only runs where there is a negative prompt
# schedule:   a scale for each step
# guider:     a component of the pipeline guides
# stages:     each stage has a scale of its own, none is called guidance_scale
# ignored:    the network was distilled without guidance; a scale has no effect
Guidance = Literal[
    "cfg", "above_zero", "embedded", "true_cfg", "schedule", "guider", "stages", "ignored"
]

GUIDANCE_OF: Mapping[str, Guidance] = {
    "DreamLiteMobilePipeline": "ignored",
    "Flux2KleinKVPipeline": "ignored",
    "Flux2Pipeline": "embedded",
    "FluxControlPipeline": "embedded",
    "FluxFillPipeline": "embedded",
    "FluxKontextPipeline": "embedded",
    "FluxPipeline": "embedded",
    "HunyuanImagePipeline": "guider",
    "Ideogram4Pipeline": "schedule",
    "Krea2Pipeline": "above_zero",
    "LatentConsistencyModelPipeline": "embedded",
    "QwenImage21Pipeline": "true_cfg",
    "QwenImageLayeredPipeline": "true_cfg",
    "QwenImagePipeline": "true_cfg",
    "SanaSprintPipeline": "embedded",
    "StableCascadeCombinedPipeline": "stages",
    "UnCLIPPipeline": "stages",
    "WuerstchenCombinedPipeline": "stages",
    "ZImageOmniPipeline": "above_zero",
    "ZImagePipeline": "above_zero",
}


# Classes of which several images cannot be made in one call, and why.
ONE_A_CALL: Mapping[str, str] = {
    "AmusedPipeline": "takes one generator of random numbers",
    "DreamLiteMobilePipeline": "takes one prompt",
    "DreamLitePipeline": "takes one prompt",
    "GlmImagePipeline": "draws what its language model writes with the seed of the first image",
    "VQDiffusionPipeline": "takes one generator of random numbers",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """What a checkpoint was made for; None is what its pipeline does by itself.

    A guidance of 0 is none. ``most_steps`` and ``most_guidance`` are what its card still allows.
    """

    family: DiffusionFamily = "diffusion"
    steps: int | None = None
    guidance: float | None = None
    most_steps: int | None = None
    most_guidance: float | None = None


# Adversarial diffusion distillation: Sauer et al. 2023 (arXiv:2311.17042), in latents 2024
# (arXiv:2403.12015).
_ADD = Published(family="hybrid", steps=1, guidance=0.0, most_steps=4)
_LADD = Published(family="hybrid", steps=4, guidance=0.0, most_steps=4)
# Luo et al. 2023 (arXiv:2310.04378): the scale is an input of the network, 1 to 8 steps.
LCM = Published(family="distilled", steps=4, guidance=8.5, most_steps=8)
# The same as a LoRA (arXiv:2311.05556): no such input, a scale of 1 (none) to 2.
LCM_LORA = Published(family="distilled", steps=4, guidance=1.0, most_steps=8, most_guidance=2.0)
SCHNELL = _LADD
STEP_DISTILLED = Published(family="distilled", steps=4, guidance=0.0, most_steps=8)

BY_CLASS: Mapping[str, Published] = {
    "DreamLiteMobilePipeline": STEP_DISTILLED,
    "Flux2KleinKVPipeline": STEP_DISTILLED,
    "LatentConsistencyModelPipeline": LCM,
    # Consistency and adversarial losses (arXiv:2503.09641).
    "SanaSprintPipeline": Published(family="hybrid", steps=2, guidance=4.5, most_steps=4),
}
# Of a class whose config says ``is_distilled``.
DISTILLED_OF_CLASS: Mapping[str, Published] = {
    "Flux2KleinPipeline": STEP_DISTILLED,
    "Krea2Pipeline": Published(family="distilled", steps=8, guidance=0.0, most_steps=8),
}
MEAN_FLOW = Published(family="distilled", steps=8, guidance=3.25, most_steps=16)
BY_SCHEDULER: Mapping[str, Published] = {
    "FlowMatchLCMScheduler": Published(family="distilled"),
    "LCMScheduler": LCM_LORA,
    "SCMScheduler": Published(family="distilled"),
    "TCDScheduler": Published(family="distilled", steps=4, guidance=0.0, most_steps=8),
}
BY_ID: Mapping[str, Published] = {
    "Alpha-VLLM/Lumina-Image-2.0": Published(steps=50, guidance=4.0),
    "CompVis/ldm-text2im-large-256": Published(steps=50, guidance=6.0),
    "HiDream-ai/HiDream-I1-Dev": Published(
        family="distilled", steps=28, guidance=0.0, most_steps=28
    ),
    "HiDream-ai/HiDream-I1-Fast": Published(
        family="distilled", steps=16, guidance=0.0, most_steps=16
    ),
    "PixArt-alpha/PixArt-LCM-XL-2-1024-MS": Published(
        family="distilled", steps=4, guidance=0.0, most_steps=8
    ),
    "THUDM/CogView4-6B": Published(steps=50, guidance=3.5),
    "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers-Distilled": Published(
        family="distilled", steps=25, guidance=5.0, most_steps=50
    ),
    "Tongyi-MAI/Z-Image": Published(),
    "Tongyi-MAI/Z-Image-Turbo": Published(family="distilled", steps=8, guidance=0.0, most_steps=9),
    "baidu/ERNIE-Image-Turbo": Published(family="distilled", steps=8, guidance=1.0, most_steps=8),
    "black-forest-labs/FLUX.1-Canny-dev": Published(steps=50, guidance=30.0),
    "black-forest-labs/FLUX.1-Depth-dev": Published(steps=30, guidance=10.0),
    "black-forest-labs/FLUX.1-schnell": SCHNELL,
    "black-forest-labs/FLUX.2-klein-4B": STEP_DISTILLED,
    "black-forest-labs/FLUX.2-klein-9B": STEP_DISTILLED,
    "playgroundai/playground-v2.5-1024px-aesthetic": Published(steps=50, guidance=3.0),
    "stabilityai/sd-turbo": _ADD,
    "stabilityai/sdxl-turbo": _ADD,
    "stabilityai/stable-diffusion-3.5-large": Published(steps=28, guidance=3.5),
    "stabilityai/stable-diffusion-3.5-large-turbo": _LADD,
    "stabilityai/stable-diffusion-3.5-medium": Published(steps=40, guidance=4.5),
    "zai-org/CogView4-6B": Published(steps=50, guidance=3.5),
}

# In the id, the title or the tags of a checkpoint that no table knows.
_ADVERSARIAL = r"dmd2|sprint|schnell|nitro|ladd"
_FEW_STEPS = r"turbo|lcm|lightning|hyper|flash|dmd|tcd|klein|(?:step[-_ ]?)?distill(?:ed|ation)"
_WORDS = re.compile(
    rf"(?<![a-z])(?:(?P<hybrid>{_ADVERSARIAL})|{_FEW_STEPS}|\d+[-_ ]?steps?)(?![a-z])",
    re.IGNORECASE,
)


def family_in_words(text: str) -> DiffusionFamily | None:
    """What the name of a checkpoint says of how it was distilled; None if it says nothing."""
    words = list(_WORDS.finditer(text))
    if not words:
        return None
    return "hybrid" if any(word["hybrid"] for word in words) else "distilled"


# Prompts that a language model of the pipeline rewrites before they are read, by the argument of
# the call that does it, with the value that leaves them as they are.
REWRITING: Mapping[str, bool | None] = {
    "caption_upsample_temperature": None,
    "enable_prompt_enhancement": False,
    "enable_prompt_rewrite": False,
    "prompt_upsampling": False,
    "use_pe": False,
}
