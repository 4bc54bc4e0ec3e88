"""Guidance by a CLIP model: fakes are pulled to their captions in its space.

It makes CLIP scores of the same family of models worthless as a measure, so a model that judges is
refused, and the record names the one that guided.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gandiff.evaluate.extractors.clip import SCENES, open_encoder
from gandiff.evaluate.result import MetricError
from gandiff.experiments.errors import RequestError
from gandiff.models.gan.losses import angular_distance


def check_guidance(model: str) -> None:
    """Raise ``RequestError`` for a model that judges."""
    folder = Path(model.removeprefix("local-dir:"))
    same = folder.is_dir() and (folder / "open_clip_config.json").is_file()
    if model == "scenes" or (same and _weights(folder) == _weights(SCENES)):
        raise RequestError(
            "the scene CLIP judges and must not guide: a generator that was trained on its scores "
            "makes them worthless; give another CLIP model"
        )


def _weights(folder: Path) -> bytes | None:
    file = folder / "open_clip_model.safetensors"
    return file.read_bytes() if file.is_file() else None


class Guidance:
    """A frozen CLIP model; ``loss`` is differentiable with respect to the pictures."""

    def __init__(self, model: str, device: str) -> None:
        check_guidance(model)
        name = f"local-dir:{model}" if Path(model).is_dir() else model
        try:
            self.encoder = open_encoder(name="clip", variant=name, source=None, device=device)
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
        seen = self._network.encode_image((x * 0.5 + 0.5 - self._mean) / self._std)
        return angular_distance(seen.float(), text).sum() / rows
