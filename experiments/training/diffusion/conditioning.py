"""Captions as the U-Net reads them: features of every place, padding and all, as pipelines do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gandiff.models.text import TextEncoder

_GROUP = 64  # captions that are encoded in one go and kept
_LIMIT = 1 << 30  # bytes that are kept


class CaptionTokens:
    """Features of captions at the tokenizer's full length, kept where the encoder is frozen.

    ``known`` captions are encoded in groups that never change, so features do not depend on what
    was asked before. Where they would take more than ``limit`` bytes, those of a call are encoded
    together. With ``trained`` nothing is kept, and gradients reach the encoder.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        known: Sequence[str],
        *,
        trained: bool = False,
        limit: int = _LIMIT,
    ) -> None:
        self._encoder, self._trained = encoder, trained
        self._known = list(dict.fromkeys(["", *known]))
        length = int(encoder.tokenizer.model_max_length)
        size = (len(self._known), length, encoder.width)
        self._keeps = not trained and 4 * size[0] * size[1] * size[2] <= limit
        self._place = {caption: i for i, caption in enumerate(self._known)}
        device = encoder.model.device
        self._kept = torch.empty(size if self._keeps else (0, *size[1:]), device=device)
        self._is_kept = torch.zeros(len(self._known), dtype=torch.bool)

    def __call__(self, captions: Sequence[str]) -> Float[Tensor, "n l d"]:
        """Features of each caption, an empty one included."""
        if self._trained:
            return self._encoder.features(captions).tokens
        if not self._keeps or any(caption not in self._place for caption in captions):
            with torch.no_grad():
                return self._encoder.features(captions).tokens
        places = torch.tensor([self._place[caption] for caption in captions])
        for start in sorted({i - i % _GROUP for i in places[~self._is_kept[places]].tolist()}):
            with torch.no_grad():
                group = self._known[start : start + _GROUP]
                self._kept[start : start + _GROUP] = self._encoder.features(group).tokens
            self._is_kept[start : start + _GROUP] = True
        return self._kept[places.to(self._kept.device)]
