"""How fast the denoiser trains on this CPU, beside a plain loop over the same networks.

    python -m gandiff.experiments.benchmarks.diffusion_training
    python -m gandiff.experiments.benchmarks.diffusion_training --resolutions 32 --compiled

Both learn from the same cached latents in the same batches. The plain loop is what most scripts
are: float32, AdamW without fused updates, tensors in NCHW order, captions encoded at every step.
Sampling is compared with the bare sum of the U-Net's forward passes that it is made of.
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
import tempfile
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gandiff.experiments.benchmarks.turns import by_turns, seconds_of
from gandiff.experiments.data.captioned import SceneImages
from gandiff.experiments.training.averaging import keep_freed_memory
from gandiff.experiments.training.diffusion import latents
from gandiff.experiments.training.diffusion.denoiser import Parts
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.trainer import DiffusionTrainer
from gandiff.experiments.training.precision import Resolved
from gandiff.experiments.training.ranks import SINGLE_PROCESS
from gandiff.experiments.training.request import Precision, TrainingRequest
from gandiff.models.diffusion.networks import build_vae
from gandiff.models.text import TextEncoder, build_text_encoder
from gandiff.models.tokenizer import build_tokenizer

_STEPS, _CAPTIONS, _PASSES = 4, 2000, 20
_RECIPE = DiffusionRecipe(  # AdamW for both, so that the same is computed
    optimizer="adamw", cached_images=512, solver="ddim", sampling_steps=_PASSES, guidance=1.0
)


def build_trainer(
    folder: Path, resolution: int, batch: int, dtype: Precision, *, compiled: bool
) -> DiffusionTrainer:
    """A training on scenes, whose autoencoder has learned nothing."""
    torch.manual_seed(0)
    size: dict[str, Any] = {"resolution": resolution, "batch_size": batch}
    request = TrainingRequest(out=folder, dtype=dtype, compile=compiled, quiet=True, **size)
    data = SceneImages(resolution)
    tokenizer = build_tokenizer(data.captions(_CAPTIONS))
    encoder = TextEncoder(build_text_encoder(tokenizer), tokenizer)
    vae = build_vae(resolution, _RECIPE.factor).eval().requires_grad_(False)
    cached = latents.ensure(vae, _RECIPE, data, request, SINGLE_PROCESS)
    latents.centre(vae, cached)
    parts = Parts(vae, cached, encoder, {})
    return DiffusionTrainer(request, _RECIPE, parts, data, SINGLE_PROCESS)


class PlainLoop:
    """The same step as scripts write it."""

    def __init__(self, ours: DiffusionTrainer) -> None:
        torch.manual_seed(0)
        self.ours = ours
        copied = copy.deepcopy(ours.ema.module)  # which has no hints of position
        self.unet: Any = copied.to(memory_format=torch.contiguous_format).requires_grad_(True)
        self.unet.train()
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=1e-3, fused=False)
        self.average = [p.detach().clone() for p in self.unet.parameters()]
        self.position = 0

    def step(self) -> None:
        """One update."""
        x, noise, t, captions = self.ours.draw(self.position)
        noising, n = self.ours.noising, len(captions)
        tokens = self.ours.encoder(captions).tokens
        guess = self.unet(noising.add(x, noise, t), t, encoder_hidden_states=tokens).sample
        errors = (guess - noising.target(x, noise, t)).square().mean((1, 2, 3))
        self.optimizer.zero_grad()
        torch.autograd.backward((errors * noising.weights[t]).mean())
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            for kept, new in zip(self.average, self.unet.parameters(), strict=True):
                kept.lerp_(new, 0.001)
        self.position += n


def _ours(trainer: DiffusionTrainer) -> None:
    for _ in range(_STEPS):
        shown, _ = trainer.step()
        trainer.loop.progress.images += shown
        trainer.loop.progress.steps += 1


def _plain(loop: PlainLoop) -> None:
    for _ in range(_STEPS):
        loop.step()


def training_row(trainer: DiffusionTrainer, pairs: int) -> str:
    """Images a second, and the ratio to the plain loop, with its middle half."""
    _ours(trainer)  # compiles, if it is to
    captions = list(itertools.chain.from_iterable(trainer.latents.captions))
    for start in range(0, len(captions), 64):  # as after the first pass
        trainer.tokens(captions[start : start + 64])
    works = (functools.partial(_ours, trainer), functools.partial(_plain, PlainLoop(trainer)))
    sides = [functools.partial(seconds_of, work) for work in works]
    request = trainer.request
    how = f"{request.dtype}{', compiled' if request.compile else ''}"
    resolution, shown = request.resolution, request.batch_size * _STEPS
    a, b = by_turns(sides, pairs, f"training at {resolution} px, {how}")
    low, middle, high = np.quantile(b / a, [0.25, 0.5, 0.75])
    return (
        f"{resolution:>4} px  training, {how:<18} {shown / np.median(a):>6.0f} images/s   "
        f"plain loop {shown / np.median(b):>5.0f}   {middle:.2f} times ({low:.2f}-{high:.2f})"
    )


def sampling_row(trainer: DiffusionTrainer, pairs: int) -> str:
    """Seconds for one picture, and their ratio to those of the U-Net's passes alone."""
    unet, shape = trainer.ema.module, (1, *trainer.latents.values.shape[1:])
    x, tokens = torch.randn(shape), trainer.encoder(["a red star"]).tokens
    t = torch.tensor([500])

    def passes() -> None:
        with torch.inference_mode():
            for _ in range(_PASSES):
                unet(x, t, encoder_hidden_states=tokens)

    works = (functools.partial(trainer.sample, ["a red star"]), passes)
    sides = [functools.partial(seconds_of, work) for work in works]
    resolution = trainer.request.resolution
    a, b = by_turns(sides, pairs, f"sampling at {resolution} px")
    return (
        f"{resolution:>4} px  sampling {np.median(a):>27.3f} s/image    "
        f"{np.median(a / b):.2f} times its {_PASSES} passes"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows of each resolution."""
    parser = argparse.ArgumentParser(description="How fast the denoiser trains and samples.")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--compiled", action="store_true", help="also the compiled U-Net")
    chosen = parser.parse_args(argv)
    keep_freed_memory()
    print(f"batch {chosen.batch}, {torch.get_num_threads()} threads")
    ways = itertools.product(typing.get_args(Resolved), (False, True)[: 1 + chosen.compiled])
    for resolution, (dtype, fast) in itertools.product(chosen.resolutions, list(ways)):
        with tempfile.TemporaryDirectory(prefix="gandiff-") as folder:
            trainer = build_trainer(Path(folder), resolution, chosen.batch, dtype, compiled=fast)
            print(training_row(trainer, chosen.pairs), flush=True)
            if dtype == "float32" and not fast:
                print(sampling_row(trainer, chosen.pairs), flush=True)


if __name__ == "__main__":
    main()
