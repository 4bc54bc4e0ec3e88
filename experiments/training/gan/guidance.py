"""Guidance by a CLIP model: fakes are pulled to their captions in its space.

It makes CLIP scores of the same family of models worthless as a measure, so a model that judges is
refused, and the record names the one that guided.
"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gandiff.common.errors import MetricError, RequestError
from gandiff.evaluate.extractors.clip import SCENES, _resolve, open_encoder
from gandiff.models.gan.losses import angular_distance


def check_guidance(model: str) -> None:
    """Raise ``RequestError`` for a model that judges, is not known or has no weights.

    Nothing is loaded; published weights that are not in the cache are fetched.
    """
    folder = Path(model.removeprefix("local-dir:"))
    if model == "scenes" or (folder.is_dir() and _same_weights(folder, SCENES)):
        raise RequestError(
            "the scene CLIP judges and must not guide: a generator that was trained on its scores "
            "makes them worthless; give another CLIP model"
        )
    try:
        _resolve(_variant(model), None)
    except MetricError as error:
        raise RequestError(f"--guidance {model}: {error}") from error


def _variant(model: str) -> str:
    """How the encoder ``clip`` names it."""
    return f"local-dir:{model}" if Path(model).is_dir() else model


def _same_weights(folder: Path, other: Path) -> bool:
    a, b = (path / "open_clip_model.safetensors" for path in (folder, other))
    return a.is_file() and filecmp.cmp(a, b, shallow=False)


class Guidance:
    """A frozen CLIP model; ``loss`` is differentiable with respect to the pictures."""

    def __init__(self, model: str, device: str) -> None:
        check_guidance(model)
        variant = _variant(model)
        try:
            self.encoder = open_encoder(name="clip", variant=variant, source=None, device=device)
        except MetricError as error:
            raise RequestError(f"--guidance {model}: {error}") from error
        self.device = device
        network: Any = self.encoder._network
        network.requires_grad_(False)
        self._network = network
        settings = network.visual.preprocess_cfg
        size = settings["size"]
        self._size = (size, size) if isinstance(size, int) else tuple(size)
        self._mean, self._std = (
            torch.tensor(settings[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std")
        )

    def loss(
        self, pictures: Float[Tensor, "n 3 h w"], captions: Sequence[str], rows: int
    ) -> Float[Tensor, ""]:
        """Squared angle between pictures in [-1, 1] and captions, summed, over ``rows``."""
        text = torch.from_numpy(self.encoder.texts(list(captions)).features).to(self.device)
        x = F.interpolate(
            pictures, self._size, mode="bilinear", antialias=True, align_corners=False
        )
        features = self._network.encode_image((x * 0.5 + 0.5 - self._mean) / self._std)
        return angular_distance(features.float(), text).sum() / rows
