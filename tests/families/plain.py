"""Plain diffusers with a saved toy: what our generator is held against. Nothing of ours in here."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# What reads or decodes; everything else that a pipeline holds and runs is a denoiser.
_READERS = ("text_encoder", "bert", "image_encoder", "vision_language_encoder", "safety_checker")
_DECODERS = ("vae", "movq", "vqgan", "text_proj")
MOVED = (
    *("alt_diffusion", "unclip", "unidiffuser", "versatile_diffusion", "vq_diffusion"),
    "wuerstchen",
)
_ROLES = ("prior_pipe", "decoder_pipe")
# They take a text and a generator, not lists of them.
ONE_A_CALL = (
    *("AmusedPipeline", "DreamLiteMobilePipeline", "DreamLitePipeline", "VQDiffusionPipeline"),
)
COMBINED = {
    "KandinskyPipeline": "KandinskyCombinedPipeline",
    "KandinskyV22Pipeline": "KandinskyV22CombinedPipeline",
    "StableCascadeDecoderPipeline": "StableCascadeCombinedPipeline",
    "WuerstchenDecoderPipeline": "WuerstchenCombinedPipeline",
}


class Plain:
    """Pipelines loaded by diffusers itself from the settings of a toy, and how they are called."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.size = {key: settings[key] for key in ("height", "width") if key in settings}
        folders = settings.get("stages") or [settings["pipeline"]]
        self.pipes = [_load(folder) for folder in folders]
        if "prior" in settings:
            self.pipes = [_combined(_load(settings["prior"]), self.pipes[0])]

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        together: bool = True,
        **arguments: Any,
    ) -> np.ndarray:
        """Levels (n, h, w, 3), 0 to 255, rounded; ``arguments`` go to every pipeline's call.

        All of one call, unless they are not to be made ``together``.
        """
        import torch

        if not together:
            pairs = zip(prompts, seeds, strict=True)
            return np.concatenate([self.draw([p], [s], **arguments) for p, s in pairs])

        noise: Any = [torch.Generator().manual_seed(seed) for seed in seeds]
        text: Any = list(prompts)
        if type(self.pipes[0]).__name__ in ONE_A_CALL:
            [noise], [text] = noise, text
        image: Any = None
        for stage, pipe in enumerate(self.pipes):
            last = stage == len(self.pipes) - 1
            output = pipe(
                prompt=text,
                generator=noise,
                output_type="np" if last else "pt",
                **({} if image is None else {"image": image}),
                **self.size,
                **arguments,
            )
            image = output.image if hasattr(output, "image") else output.images
        return np.rint(_over_white(np.asarray(image)) * 255).astype(int)

    @contextlib.contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count images that come out of denoisers, by the name of the network."""
        import torch

        rows: Counter[str] = Counter()
        hooks = []
        for pipe in self.pipes:
            parts = [pipe, *(getattr(pipe, role) for role in _ROLES if hasattr(pipe, role))]
            seen: set[int] = set()
            for name, part in ((n, p) for holder in parts for n, p in holder.components.items()):
                bare = name.removeprefix("prior_") if name != "prior_prior" else name
                reads = bare.startswith((*_READERS, *_DECODERS))
                is_network = isinstance(part, torch.nn.Module)
                if is_network and not reads and id(part) not in seen:
                    seen.add(id(part))
                    hooks.append(part.register_forward_hook(_counter(rows, name)))
        try:
            yield rows
        finally:
            for hook in hooks:
                hook.remove()


def _over_white(images: np.ndarray) -> np.ndarray:
    if images.shape[-1] == 3:
        return images
    colours, alpha = images[..., :3], images[..., 3:]
    return colours * alpha + 1.0 * (1 - alpha)


def _counter(rows: Counter[str], name: str) -> Any:
    def count(module: Any, inputs: Any, output: Any) -> None:
        while not hasattr(output, "shape") and not isinstance(output, list):
            output = output[0]
        rows[name] += len(output)

    return count


def _load(folder: str) -> Any:
    import diffusers

    with moved_modules():
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _combined(prior: Any, decoder: Any) -> Any:
    import diffusers

    parts = {f"prior_{name}": part for name, part in prior.components.items()}
    pipe = getattr(diffusers, COMBINED[type(decoder).__name__])(**decoder.components, **parts)
    # What was saved beside the parts, such as the scale of Wuerstchen's latents, is not theirs.
    pipe.prior_pipe.register_to_config(**_own_settings(prior))
    pipe.decoder_pipe.register_to_config(**_own_settings(decoder))
    for part in (pipe, pipe.prior_pipe, pipe.decoder_pipe):
        part.set_progress_bar_config(disable=True)
    return pipe


def _own_settings(pipe: Any) -> dict[str, Any]:
    kinds = (bool, int, float, str)
    named = {k: v for k, v in pipe.config.items() if not k.startswith("_")}
    return {k: v for k, v in named.items() if isinstance(v, kinds)}


@contextlib.contextmanager
def moved_modules() -> Iterator[None]:
    """Have modules that diffusers moved for a while where the files on the hub look for them: if
    they stayed there, our own loader would find them, too.
    """
    import importlib

    import diffusers.pipelines as pipelines

    for name in MOVED:
        moved = importlib.import_module(f"diffusers.pipelines.deprecated.{name}")
        setattr(pipelines, name, moved)
    try:
        yield
    finally:
        for name in MOVED:
            delattr(pipelines, name)
