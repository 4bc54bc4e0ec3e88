"""A perfect generator of scenes: it draws a scene that the caption was written for.

In a comparison, ``type: gandiff.experiments.scenes.oracle:sample`` gives the value of every metric
that a perfect model of scenes would get, beside the models: the Fréchet distance of real scenes to
real scenes at the same number, full accuracy, a diversity ratio near one. ``:reconstruct`` gives
what the autoencoder of a latent diffusion model leaves of that: no denoiser in it does better.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import scene_suite
from gandiff.models.pixels import to_uint8
from gandiff.models.weights import require_weights


def sample(
    prompts: Sequence[str],
    seeds: Sequence[int],
    split: str = "test",
    known: int = 2000,
    resolution: int = 32,
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A scene for each prompt, which must be among the first ``known`` of the suite's split.

    Raises ``LookupError`` for any other prompt: it does not understand words.
    """
    facts = _facts(split, known)
    images = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        if prompt not in facts:
            raise LookupError(
                f"{prompt!r} is not among the first {known} prompts of the suite 'scenes', split "
                f"{split!r}; the oracle only looks prompts up"
            )
        images.append(render(matching_scenes(facts[prompt], 1, seed), resolution)[0])
    return images


def reconstruct(
    pipeline: str = "diffusion-scenes",
    split: str = "test",
    known: int = 2000,
    resolution: int = 32,
) -> Callable[[Sequence[str], Sequence[int]], list[UInt8[np.ndarray, "h w 3"]]]:
    """Make a function that draws the same scenes, encoded and decoded by a pipeline's autoencoder.

    ``pipeline`` is one that ships, or a folder. Raises ``GeneratorError`` if it is not there or has
    no ``AutoencoderKL``; the function raises ``LookupError`` as ``sample`` does.
    """
    folder = require_weights(pipeline)
    index = folder / "model_index.json"
    held = read_json(index).get("vae") if index.is_file() else None
    if held != ["diffusers", "AutoencoderKL"]:
        raise GeneratorError(
            f"pipeline must be a folder with an AutoencoderKL as its vae, got {folder}"
        )

    @functools.cache
    def autoencoder() -> Any:
        library: Any = importlib.import_module("diffusers")  # its classes carry no types
        vae = library.AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)
        return vae.eval().requires_grad_(False)

    def reconstructed(
        prompts: Sequence[str], seeds: Sequence[int]
    ) -> list[UInt8[np.ndarray, "h w 3"]]:
        scenes = sample(prompts, seeds, split, known, resolution)
        # One by one: in a batch the last bits differ.
        return [_through(autoencoder(), scene) for scene in scenes]

    left = f"real scenes through the autoencoder of {Path(pipeline).name}"
    shows = f"{left}, the best that any denoiser in it can do"
    vars(reconstructed).update(_FACTS, yardstick=shows)
    return reconstructed


_FACTS: Mapping[str, Any] = {"family": "other", "resolution": 32, "cost": "compute"}
vars(sample).update(_FACTS, yardstick="real scenes of the captions, what a perfect model would get")


def _through(vae: Any, scene: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    import torch

    with torch.inference_mode():
        x = torch.from_numpy(scene).permute(2, 0, 1)[None].float() / 127.5 - 1
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample
    return to_uint8(y[0].permute(1, 2, 0).numpy(), -1.0, 1.0)


@functools.cache
def _facts(split: str, known: int) -> Mapping[str, Any]:
    return {one["text"]: one["expected"] for one in scene_suite(split, known)}
