"""What ticks measure of a generator that is trained on the pictures in a folder."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from gandiff.common.errors import RequestError
from gandiff.evaluate.features.encoders import check_encoder, open_extractor
from gandiff.evaluate.metrics.manifold import manifold_values
from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.monitors.base import Monitor, spread

_REAL, _PER_PROMPT = 1000, 4  # pictures, at most
_THUMBNAIL = 8  # px
_NEAREST = 5
_ENOUGH = 50  # held-out pictures, below which a distance to them says little


class FileMonitor(Monitor):
    """Distribution and variation, in the features of an encoder or of thumbnails of 8 px.

    Thumbnails need no weights; they see colour and layout, nothing fine. Captions and the pictures
    beside are held-out ones, or those of training where fewer than 50 are held out. The score is
    the negative Fréchet distance.
    """

    def __init__(self, data: CaptionedImages, encoder: str | None, device: str = "cpu") -> None:
        self._encoder = open_extractor(check_encoder(encoder), {}, device) if encoder else None
        held = data.held_out(_REAL)
        # Those of training, beside which the held-out ones are others.
        self._others = data if len(held.images) >= _ENOUGH else None
        if self._others is None:
            held = data.batch(0, min(_REAL, data.count or _REAL))
        if len(held.images) < 2:
            raise RequestError(f"{data.name} has one image, but measuring needs two")
        self.per_prompt = _PER_PROMPT
        prompts = list(dict.fromkeys(held.captions))[: max(1, _REAL // _PER_PROMPT)]
        self.captions = [prompt for prompt in prompts for _ in range(_PER_PROMPT)]
        self._real = self._features(held.images)
        self.references, self.dimensions = self._real.shape
        self._spread = spread(self._real, len(self._real))
        self._rounding = 1e-5 * float(np.abs(self._real).max())
        self._stats = GaussianStats.of(self._real)

    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        """``variation`` is that within prompts relative to that among all real pictures."""
        features = self._features(pictures)
        fd = frechet_distance(GaussianStats.of(features), self._stats)
        measured = {"fd": fd}
        if self._spread > self._rounding:  # pictures that are all the same have nothing to vary
            measured["variation"] = spread(features, self.per_prompt) / self._spread
        if min(len(features), len(self._real)) > _NEAREST:
            precision, recall, _, covered = manifold_values(features, self._real, _NEAREST)
            measured |= {"precision": precision, "recall": recall, "coverage": covered}
        return -fd, measured

    def real_against_real(self) -> dict[str, Any]:
        """What pictures of training get: their distribution, since they are of other prompts."""
        if self._others is None:
            return {}
        most = self._others.count or len(self.captions)  # a folder may have shrunk
        row = self.at_setting(self._others.batch(0, min(len(self.captions), most)).images)
        return {name: value for name, value in row.items() if name not in ("score", "variation")}

    def _features(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
        if self._encoder is not None:
            return self._encoder.features(list(pictures))
        return thumbnails(pictures)


def thumbnails(pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
    """Pictures of 8 px by averaging, as vectors of numbers from 0 to 1."""
    n, h, w, _ = pictures.shape
    block = h // _THUMBNAIL
    parts = pictures.reshape(n, _THUMBNAIL, block, _THUMBNAIL, w // _THUMBNAIL, 3)
    vectors: np.ndarray = (parts.mean((2, 4)) / 255).reshape(n, -1).astype(np.float32)
    return vectors
