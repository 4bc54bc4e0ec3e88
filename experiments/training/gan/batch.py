"""What one step of the GAN works on: pictures, captions right and wrong, noise.

What is random follows from the position in the data, so a resumed run sees what an undisturbed one
would, and several processes see what one would.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gandiff.experiments.data.captioned import CaptionedBatch, CaptionedImages
from gandiff.experiments.training.averaging import noise_at, to_tensor
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.text import TextFeatures


class Part(NamedTuple):
    """m rows of a batch of n: real pictures, noise, and k mismatched captions for each row."""

    real: Float[Tensor, "m 3 h w"]
    z: Float[Tensor, "m_and_s z"]  # one for each row, then second ones for s rows
    paired_rows: Tensor  # s; rows that two pictures are generated for
    text: TextFeatures  # of the m captions
    pooled: Float[Tensor, "n t"]  # of all captions of the batch
    own_index: Tensor  # m; which of those is whose
    mismatched: Float[Tensor, "m k t"]
    is_mismatch: Bool[Tensor, "m n_and_k"]  # True where a caption does not fit the real picture
    contradicts: Bool[Tensor, "m k"]  # True where a mismatched caption excludes the right one
    has_caption: Bool[Tensor, " m"]  # False where the caption was emptied
    draws: Float[Tensor, "3 m 8"]  # random numbers of augmentation: reals, fakes, second fakes
    captions: list[str]  # m

    @property
    def fake_draws(self) -> Float[Tensor, "m_and_s 8"]:
        """Random numbers of augmentation for the fakes and the second ones behind them."""
        return torch.cat([self.draws[1], self.draws[2][self.paired_rows]])


class Batches:
    """Draws the parts of a batch that are this process's, and the noise of all of it."""

    def __init__(
        self,
        request: TrainingRequest,
        recipe: GanRecipe,
        data: CaptionedImages,
        encode: Callable[[list[str]], TextFeatures],
        z_width: int,
        ranks: Ranks,
    ) -> None:
        self.request, self.recipe, self.data, self.ranks = request, recipe, data, ranks
        self._encode, self._z_width = encode, z_width

    def __call__(
        self, position: int, *, caption_dropout: float
    ) -> tuple[Float[Tensor, "n z"], list[Part]]:
        """The noise and the parts of the batch at a position of the data."""
        n, device = self.request.batch_size, self.request.device
        rows = self.ranks.shard(n)
        draw = noise_at(self.request.seed, position)
        dropped = torch.rand(n, generator=draw) < caption_dropout
        batch = self.data.batch(position, n, num_mismatched=self.recipe.num_mismatched, rows=rows)
        # An empty caption fits every picture.
        kept = zip(batch.captions, dropped.tolist(), strict=True)
        captions = ["" if drop else caption for caption, drop in kept]
        batch = batch._replace(captions=captions, fits=batch.fits | dropped.numpy())
        z, second_z = torch.randn(2, n, self._z_width, generator=draw).to(device)
        draws = torch.rand(3, n, 8, generator=draw)
        text, mismatched = self._features(batch, rows)
        real = to_tensor(batch.images, device)
        is_mismatch = torch.from_numpy(np.concatenate([~batch.fits, batch.is_mismatch], 1))
        is_mismatch = is_mismatch.to(device)
        contradicts = torch.from_numpy(batch.contradicts).to(device)
        index = torch.arange(rows.start, rows.stop, device=device)
        paired = index % 2 == 0 if self.recipe.uses_energy_score else index < 0
        parts = []
        edges = np.linspace(0, len(rows), self.request.accumulate + 1).astype(int)
        for a, b in itertools.pairwise(edges):
            if b == a:
                continue
            within = slice(rows.start + a, rows.start + b)
            part = Part(
                real=real[a:b],
                z=torch.cat([z[within], second_z[index[a:b][paired[a:b]]]]),
                paired_rows=paired[a:b].nonzero()[:, 0],
                text=text.at(rows[a:b]),
                pooled=text.pooled,
                own_index=index[a:b],
                mismatched=mismatched[a:b],
                is_mismatch=is_mismatch[a:b],
                contradicts=contradicts[a:b],
                has_caption=~dropped[within].to(device),
                draws=draws[:, within].to(device),
                captions=batch.captions[within],
            )
            parts.append(part)
        return z, parts

    def _features(self, batch: CaptionedBatch, rows: range) -> tuple[TextFeatures, Tensor]:
        flat = [text for row in batch.mismatched for text in row]
        features = self._encode(batch.captions + flat)
        n, k = len(batch.captions), self.recipe.num_mismatched
        mismatched = features.pooled[n:].view(len(rows), k, features.pooled.shape[1])
        return features.at(range(n)), mismatched
