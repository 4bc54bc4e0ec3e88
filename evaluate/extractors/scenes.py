"""The scene judges: classifiers that name every attribute of a scene, and whose features a Fréchet
distance uses.

Two designs, trained from different seeds on scenes that no generator sees, check one another. Their
label names and the slot rule come from ``config.json``, so this file needs nothing from the data
set's code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gandiff.common.errors import MetricError
from gandiff.common.intact import check_intact

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"
SIDE = 32  # px that the judges look at; other sizes are resized, bilinear with antialiasing
_SLOTS = ("shape", "colour", "size")


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        out: Tensor = x + self.body(x)
        return out


def _plain_trunk(width: int) -> nn.Sequential:
    """Design B: a plain stack of 3x3 convolutions with batch norm."""
    layers: list[nn.Module] = []
    widths = (width, 2 * width, 2 * width, 3 * width, 3 * width, 4 * width)
    strides = (1, 2, 1, 2, 1, 2)
    before = 3
    for after, stride in zip(widths, strides, strict=True):
        layers += [
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        before = after
    return nn.Sequential(*layers)  # n 4w 4 4


def _residual_trunk(width: int) -> nn.Sequential:
    """Design A: residual blocks with SiLU behind a 5x5 stem that halves the picture."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 5, stride=2, padding=2)]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        layers += [_Residual(before), nn.Conv2d(before, after, 2, stride=2)]
    layers += [_Residual(4 * width), nn.BatchNorm2d(4 * width), nn.SiLU()]
    return nn.Sequential(*layers)  # n 4w 4 4


_TRUNKS = {"plain": _plain_trunk, "residual": _residual_trunk}


class SceneClassifierNet(nn.Module):
    """Images to features to one set of logits per head."""

    def __init__(self, design: str, width: int, features: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = _TRUNKS[design](width)
        self.project = nn.Linear(4 * width * 16, features)
        self.heads = nn.ModuleDict({name: nn.Linear(features, n) for name, n in heads.items()})

    def embed(self, x: Float[Tensor, "n 3 32 32"]) -> Float[Tensor, "n d"]:
        """Features; x is in [-1, 1]."""
        out: Tensor = self.project(self.trunk(x).flatten(1))
        return out

    def forward(self, x: Float[Tensor, "n 3 32 32"]) -> dict[str, Tensor]:
        """Logits of every head; x is in [-1, 1]."""
        hidden = F.relu(self.embed(x))
        return {name: head(hidden) for name, head in self.heads.items()}


def to_input(
    images: UInt8[np.ndarray, "n h w 3"], device: str = "cpu"
) -> Float[Tensor, "n 3 32 32"]:
    """uint8 pictures of any size as the judges see them."""
    x = (
        torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
        / 127.5
        - 1
    )
    if x.shape[-2:] != (SIDE, SIDE):
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return x.contiguous()


class SceneClassifier:
    """A frozen judge. ``sha256`` is that of its weights file."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        config_file, weights_file = folder / "config.json", folder / "model.safetensors"
        for file in (config_file, weights_file):
            if not file.is_file():
                raise MetricError(
                    f"the scene judge {folder} lacks {file.name}; "
                    "train it with: gandiff train judges"
                )
        check_intact((config_file, weights_file), MetricError)
        self.name = folder.name
        self.sha256 = hashlib.sha256(weights_file.read_bytes()).hexdigest()
        self.device = device
        try:
            config = json.loads(config_file.read_text(encoding="utf-8"))
            self.labels: dict[str, list[str]] = config["labels"]
            self.net = SceneClassifierNet(
                config["design"], config["width"], config["features"], config["heads"]
            )
            self.net.load_state_dict(load_file(weights_file))
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise MetricError(
                f"{folder} is no scene judge that can be read: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error
        self.net.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def features(
        self, images: UInt8[np.ndarray, "n h w 3"], batch: int = 256
    ) -> Float[np.ndarray, "n d"]:
        """Penultimate features, float32."""
        parts = [
            self.net.embed(to_input(images[i : i + batch], self.device)).cpu().numpy()
            for i in range(0, len(images), batch)
        ]
        return (
            np.concatenate(parts)
            if parts
            else np.zeros((0, self.net.project.out_features), np.float32)
        )

    @torch.inference_mode()
    def predict(
        self, images: UInt8[np.ndarray, "n h w 3"], batch: int = 256
    ) -> list[dict[str, Any]]:
        """What each picture shows: count, background, objects in canonical order, relation (None
        for one).
        """
        out: list[dict[str, Any]] = []
        for i in range(0, len(images), batch):
            logits = self.net(to_input(images[i : i + batch], self.device))
            out += self._read({k: v.float().cpu().numpy() for k, v in logits.items()})
        return out

    def _read(self, logits: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        count = logits["count"].argmax(1) + 1
        best = {k: v.argmax(1) for k, v in logits.items()}
        for kind in (
            *(f"{k}_1" for k in _SLOTS),
            "relation",
        ):  # the last label says "no such object"
            best[kind] = logits[kind][:, :-1].argmax(1)
        return [
            {
                "count": int(count[i]),
                "background": self.labels["background"][best["background"][i]],
                "objects": [
                    {kind: self.labels[kind][best[f"{kind}_{slot}"][i]] for kind in _SLOTS}
                    for slot in range(count[i])
                ],
                "relation": self.labels["relation"][best["relation"][i]] if count[i] == 2 else None,
            }
            for i in range(len(count))
        ]


def load_classifier(source: str = "a", device: str = "cpu") -> SceneClassifier:
    """Load judge ``a`` or ``b``, or one from a folder with ``config.json`` and
    ``model.safetensors``.
    """
    folder = PRETRAINED / f"scene-classifier-{source}" if source in ("a", "b") else Path(source)
    if not folder.is_dir():
        raise MetricError(
            f"there is no scene judge at {folder}; train one with: gandiff train judges"
        )
    return SceneClassifier(folder, device)


def heads_of(labels: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Sizes of the heads for given labels; slot 1 and the relation have one more, for "none"."""
    heads = {
        "count": 2,
        "background": len(labels["background"]),
        "relation": len(labels["relation"]) + 1,
    }
    for kind in _SLOTS:
        heads |= {f"{kind}_0": len(labels[kind]), f"{kind}_1": len(labels[kind]) + 1}
    return heads
