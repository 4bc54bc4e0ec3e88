"""Training of the text-conditioned GAN."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gandiff.experiments.datasets import CaptionedBatch, CaptionedImages
from gandiff.experiments.errors import RequestError
from gandiff.experiments.training import text
from gandiff.experiments.training.loop import (
    CHECKPOINT,
    Ema,
    Loop,
    Stateful,
    cosine,
    set_lr,
    to_tensor,
    write_json,
)
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.gan.losses import contrast, mismatch, relativistic, zero_centred_penalty
from gandiff.models.gan.networks import Discriminator, Generator, gan_config
from gandiff.models.text import TextEncoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """Numbers of the recipe.

    ``gamma`` weighs R1 and R2, which are taken every ``lazy`` steps and scaled up by it.
    """

    lr: float = 2e-3
    lr_end: float = 3e-4
    betas: tuple[float, float] = (0.0, 0.99)
    gamma: float = 0.1
    gamma_end: float = 0.02
    lazy: int = 8
    mismatch: float = 0.5
    contrast: float = 0.5
    ema_halflife_images: float = 6000.0


class _Words(NamedTuple):
    """What a batch's captions say: features of the right and the wrong ones, and what is sure."""

    right: Tensor  # n t
    wrong: Tensor  # n t
    certain: Tensor  # n; the wrong caption does not fit the picture
    fit: Tensor  # n n; caption j fits picture i


class GanTrainer:
    """Both networks, their optimisers and one step."""

    def __init__(
        self,
        request: TrainingRequest,
        recipe: GanRecipe,
        encoder: TextEncoder,
        data: CaptionedImages,
    ) -> None:
        torch.manual_seed(request.seed)
        self.request, self.recipe = request, recipe
        self.encoder = encoder.to(request.device, torch.float32)
        config = gan_config(request.resolution, encoder.width)
        self.g = Generator(config).to(request.device)
        self.d = Discriminator(config).to(request.device)
        self.ema = Ema(self.g, recipe.ema_halflife_images)
        self.data = data
        self.g_opt = torch.optim.Adam(self.g.parameters(), lr=recipe.lr, betas=recipe.betas)
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=recipe.lr, betas=recipe.betas)
        self.noise = torch.Generator().manual_seed(request.seed)
        parts: dict[str, Stateful] = {
            "g": self.g,
            "d": self.d,
            "ema": self.ema,
            "g_opt": self.g_opt,
            "d_opt": self.d_opt,
        }
        self.loop = Loop(request, "GAN", parts)

    def step(self) -> tuple[int, dict[str, float]]:
        """One update of the discriminator and one of the generator on the same fakes."""
        n, recipe, device = self.request.batch_size, self.recipe, self.request.device
        for optimizer in (self.g_opt, self.d_opt):
            set_lr(optimizer, cosine(self.loop.fraction, recipe.lr, recipe.lr_end))
        # The noise is drawn by position, so that a resumed run sees what an undisturbed one would.
        self.noise.manual_seed((self.request.seed << 40) + self.loop.images)
        z = torch.randn(n, self.g.config.z_width, generator=self.noise).to(device)
        batch = self.data.batch(self.loop.images, n)
        words = self._words(batch)
        f = self.g.map(z)
        fake = self.g(z, words.right)
        losses, real_logits = self._update_d(batch, fake.detach(), words)
        losses |= self._update_g(fake, real_logits, words)
        self.g.track_mean(f.detach())
        self.ema.update(self.g, n, self.loop.images + n)
        return n, losses

    def _words(self, batch: CaptionedBatch) -> _Words:
        device = self.request.device
        return _Words(
            right=self.encoder(batch.captions).pooled,
            wrong=self.encoder(batch.wrong).pooled,
            certain=torch.from_numpy(batch.wrong_certain).to(device),
            fit=torch.from_numpy(batch.fit).to(device),
        )

    def _update_d(
        self, batch: CaptionedBatch, fake: Tensor, words: _Words
    ) -> tuple[dict[str, float], Tensor]:
        recipe, penalise = self.recipe, self.loop.steps % self.recipe.lazy == 0
        real = to_tensor(batch.images, self.request.device).requires_grad_(penalise)
        fake = fake.requires_grad_(penalise)
        h_real, h_fake = self.d.features(real), self.d.features(fake)
        real_logits, fake_logits = (self.d.judge(h, words.right) for h in (h_real, h_fake))
        nce, loss = self._reading(h_real, real_logits, words)
        loss = relativistic(real_logits, fake_logits) + loss
        out = {
            "d_loss": float(loss.detach()),
            "p_real_above_fake": float((real_logits > fake_logits).float().mean()),
            "contrast_real": float(nce.detach()),
        }
        if penalise:
            r1 = zero_centred_penalty(real_logits, real)
            r2 = zero_centred_penalty(fake_logits, fake)
            gamma = cosine(self.loop.fraction, recipe.gamma, recipe.gamma_end)
            loss = loss + gamma * recipe.lazy * (r1 + r2)
            out |= {"r1": float(r1.detach()), "r2": float(r2.detach())}
        self.d_opt.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.d_opt.step()
        return out, real_logits.detach()

    def _reading(self, h: Tensor, logits: Tensor, words: _Words) -> tuple[Tensor, Tensor]:
        """The contrastive term, and the weighted sum of the terms that teach to read."""
        wrong_logits = self.d.judge(h, words.wrong)
        nce = contrast(self.d.judge.similarity(h, words.right), words.fit)
        mismatched = mismatch(logits, wrong_logits, words.certain)
        return nce, self.recipe.mismatch * mismatched + self.recipe.contrast * nce

    def _update_g(self, fake: Tensor, real_logits: Tensor, words: _Words) -> dict[str, float]:
        # The real logits date from before D's update: that saves a pass over the reals, and they
        # only weigh the gradient.
        self.d.requires_grad_(False)
        h = self.d.features(fake)
        fake_logits = self.d.judge(h, words.right)
        nce, loss = self._reading(h, fake_logits, words)
        loss = relativistic(fake_logits, real_logits) + loss
        self.g_opt.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.g_opt.step()
        self.d.requires_grad_(True)
        return {"g_loss": float(loss.detach()), "contrast_fake": float(nce.detach())}


def train(request: TrainingRequest, recipe: GanRecipe | None = None) -> Path:
    """Train a GAN into ``request.out``: the text encoder if it is not there, then both networks.

    Raises ``RequestError`` before anything is written if the request cannot work.
    """
    from gandiff.experiments.training.checks import check_request, open_checked

    recipe = recipe or GanRecipe()
    check_request(request, CHECKPOINT)
    try:
        gan_config(request.resolution, 1)
    except ValueError as error:
        raise RequestError(f"--resolution {request.resolution}: {error}") from error
    data = open_checked(request)
    encoder = text.ensure(request, data)
    # Resumed while the text encoder trained, there is no state of the GAN yet.
    resume = request.resume and (request.out / CHECKPOINT).is_file()
    request = dataclasses.replace(request, resume=resume)
    trainer = GanTrainer(request, recipe, encoder, data)
    trainer.loop.run(trainer.step)
    save(request.out, trainer)
    return request.out


def save(folder: Path, trainer: GanTrainer) -> None:
    """Write the averaged generator, its config, the training record and the card."""
    from safetensors.torch import save_file

    from gandiff.experiments.training.cards import generator_card
    from gandiff.models.text import parameter_count

    g: Any = trainer.ema.module
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in g.state_dict().items()},
        folder / "model.safetensors",
    )
    write_json(folder / "config.json", {"model": "gandiff.gan", **dataclasses.asdict(g.config)})
    record = trainer.loop.record(
        recipe=dataclasses.asdict(trainer.recipe), text=text_record(folder)
    )
    write_json(folder / "training.json", record)
    summary = (
        f"A text-conditioned style-based GAN at {g.config.resolution} px: {parameter_count(g):,} "
        "parameters in the\n"
        f"generator and {parameter_count(trainer.encoder.model):,} in its text encoder. "
        "Relativistic loss with R1 and\n"
        "R2, wrong captions judged in both networks, and a contrastive term in the "
        "discriminator's own features."
    )
    (folder / "README.md").write_text(
        generator_card(folder.name, summary, record), encoding="utf-8"
    )


def text_record(folder: Path) -> dict[str, Any]:
    """What training the text encoder cost and reached."""
    import json

    record: dict[str, Any] = json.loads((folder / "text_training.json").read_text(encoding="utf-8"))
    return {k: record[k] for k in ("seconds", "images", "validation")}
