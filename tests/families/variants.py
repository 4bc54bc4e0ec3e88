"""Other classes around the networks of a family: perturbed-attention guidance (PAG), and what was
made of Stable Diffusion in 2023.
"""

from __future__ import annotations

from typing import Any

import toys

from families import dits, flows, unets


def of_class(name: str, pipe: Any, **more: Any) -> Any:
    """The parts of a pipeline as one of the class ``name``; ``more`` are settings of its own."""
    import diffusers

    cls = getattr(diffusers, name)
    taken = set().union(*cls._get_signature_keys(cls))
    settings = {"requires_safety_checker": False} if "requires_safety_checker" in taken else {}
    parts = {key: part for key, part in pipe.components.items() if key in taken}
    return cls(**parts, **settings, **more)


def stable_diffusion(name: str, scheduler: str = "DDIMScheduler") -> Any:
    """Stable Diffusion as another class of pipelines."""
    return of_class(name, unets.with_scheduler(scheduler, clip_sample=False))


def pag(name: str) -> Any:
    """A pipeline with perturbed-attention guidance: a third pass of a network without attention."""
    builders = {
        "StableDiffusionPAGPipeline": toys.build_pipeline,
        "StableDiffusionXLPAGPipeline": unets.sdxl,
        "StableDiffusion3PAGPipeline": flows.sd3,
        "HunyuanDiTPAGPipeline": dits.hunyuan_dit,
        "PixArtSigmaPAGPipeline": lambda: dits.pixart("PixArtSigmaPipeline"),
        "SanaPAGPipeline": dits.sana,
    }
    return of_class(name, builders[name]())
