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
    """A share of the batch: what is judged, and with which captions."""

    real: Float[Tensor, "m 3 h w"]
    z: Float[Tensor, "m_and_s z"]  # behind the pictures of all captions, second ones of some
    twice: Tensor  # s; rows whose caption is painted twice
    text: TextFeatures  # m captions
    captions: Float[Tensor, "n t"]  # all captions of the batch
    own: Tensor  # m; which of them is whose
    wrong: Float[Tensor, "m k t"]
    mismatch: Bool[Tensor, "m n_and_k"]  # True where a caption does not fit the real picture
    contradicts: Bool[Tensor, "m k"]  # True where a wrong caption excludes the right one
    told: Bool[Tensor, " m"]  # False where the caption is empty
    draws: Float[Tensor, "3 m 8"]  # the random numbers of augmentation: reals, fakes, second fakes
    words: list[str]  # the m captions


class Batches:
    """Draws the parts of a batch that are this process's, and the noise of all of it."""

    def __init__(
        self,
        request: TrainingRequest,
        recipe: GanRecipe,
        data: CaptionedImages,
        read: Callable[[list[str]], TextFeatures],
        z_width: int,
        ranks: Ranks,
    ) -> None:
        self.request, self.recipe, self.data, self.ranks = request, recipe, data, ranks
        self._read, self._z_width = read, z_width

    def __call__(self, at: int, *, silent: float) -> tuple[Float[Tensor, "n z"], list[Part]]:
        """The batch at a position, a share ``silent`` of its captions emptied."""
        n, device = self.request.batch_size, self.request.device
        rows = self.ranks.shard(n)
        draw = noise_at(self.request.seed, at)
        quiet = torch.rand(n, generator=draw) < silent
        batch = self.data.batch(at, n, wrong=self.recipe.mismatches, rows=rows)
        batch = _silence(batch, quiet.numpy())
        z, more = torch.randn(2, n, self._z_width, generator=draw).to(device)
        draws = torch.rand(3, n, 8, generator=draw)
        text, wrong = self._features(batch, rows)
        real = to_tensor(batch.images, device)
        mismatch = torch.from_numpy(np.concatenate([~batch.fit, batch.mismatch], 1)).to(device)
        contradicts = torch.from_numpy(batch.contradicts).to(device)
        every = torch.arange(rows.start, rows.stop, device=device)
        second = every % 2 == 0 if self.recipe.paints_twice else every < 0
        parts = []
        edges = np.linspace(0, len(rows), self.request.accumulate + 1).astype(int)
        for a, b in itertools.pairwise(edges):
            if b == a:
                continue
            within = slice(rows.start + a, rows.start + b)
            part = Part(
                real=real[a:b],
                z=torch.cat([z[within], more[every[a:b][second[a:b]]]]),
                twice=second[a:b].nonzero()[:, 0],
                text=text.rows(within),
                captions=text.pooled,
                own=every[a:b],
                wrong=wrong[a:b],
                mismatch=mismatch[a:b],
                contradicts=contradicts[a:b],
                told=~quiet[within].to(device),
                draws=draws[:, within].to(device),
                words=batch.captions[within],
            )
            parts.append(part)
        return z, parts

    def _features(self, batch: CaptionedBatch, rows: range) -> tuple[TextFeatures, Tensor]:
        flat = [text for row in batch.wrong for text in row]
        features = self._read(batch.captions + flat)
        n, k = len(batch.captions), self.recipe.mismatches
        wrong = features.pooled[n:].view(len(rows), k, features.pooled.shape[1])
        return features.rows(slice(0, n)), wrong


def _silence(batch: CaptionedBatch, silent: Bool[np.ndarray, " n"]) -> CaptionedBatch:
    """The batch with some captions empty; an empty caption fits every picture."""
    captions = ["" if quiet else c for c, quiet in zip(batch.captions, silent, strict=True)]
    return batch._replace(captions=captions, fit=batch.fit | silent[None, :])
