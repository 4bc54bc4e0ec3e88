"""DINOv2 (Oquab et al. 2023) through transformers; the class token after the last norm.

Stein et al. 2023 (arXiv 2306.04675) found its Fréchet distance, with ViT-L/14, nearest to human
judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.common.hub_cache import quick_hub
from gandiff.evaluate.extractors.published import missing_of_hub
from gandiff.evaluate.extractors.torch_inference import brief, exact_inference, read_files
from gandiff.evaluate.features.encoders import FeatureExtractor
from gandiff.evaluate.features.weights import Missing

DEFAULT_MODEL = "facebook/dinov2-large"
_FILE = "model.safetensors"
_SIDE = 224  # px, as in dgm-eval and EDM2; the position table is interpolated to it
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)  # of ImageNet, as in training
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class DinoV2(FeatureExtractor):
    """One DINOv2 model, from a folder or a hub id."""

    def __init__(self, name: str, source: str, device: str) -> None:
        self.name = name
        self._source = source
        self._device = device
        try:
            self._network, weights = _load(source)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise MetricError(
                f"cannot load DINOv2 from {source!r}: {_FILE} or config.json is missing or unfit "
                f"({brief(error)}); give a folder that holds both with "
                "--weights dinov2=FOLDER"
            ) from error
        self._sha256, self.files = file_sha256(weights), read_files(weights)
        self._network.eval().to(device)

    def protocol(self) -> dict[str, Any]:
        """Images are squeezed to a square, not cropped, as dgm-eval does."""
        return {
            "encoder": "dinov2",
            "model": Path(self._source).name if Path(self._source).is_dir() else self._source,
            "weights_sha256": self._sha256,
            "resize": f"pil_bicubic_{_SIDE}",
            "crop": "none",
        }

    def prepare(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "3 h w"]:
        """Resized to a square by PIL and normalised as ImageNet."""
        resized = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        scaled = (np.asarray(resized, dtype=np.float32) / 255 - _MEAN) / _STD
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def encode(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n d"]:
        """The class token."""
        import torch

        batch = torch.from_numpy(np.stack(prepared)).to(self._device)
        with exact_inference():
            found = self._network(pixel_values=batch).pooler_output
        return cast("np.ndarray[Any, Any]", found.float().cpu().numpy())


def open_encoder(*, name: str, variant: str, source: str | None, device: str) -> DinoV2:
    """``variant`` is a hub id or a folder, ``source`` a folder that takes its place."""
    return DinoV2(name, source or variant or DEFAULT_MODEL, device)


def missing(*, variant: str, source: str | None) -> Missing | None:
    """What is missing of the weights on this machine."""
    place = source or variant or DEFAULT_MODEL
    if Path(place).is_dir():
        return None  # what it lacks is said when it is read
    return missing_of_hub(
        place, (_FILE,), f"the weights of DINOv2 {place}", f"dinov2:{place}=FOLDER"
    )


def _load(source: str) -> tuple[Any, Path]:
    from transformers import Dinov2Model

    if Path(source).is_dir():
        weights = Path(source) / _FILE
        if not weights.is_file():
            raise OSError(f"{weights} does not exist")
    else:
        from huggingface_hub import hf_hub_download

        with quick_hub():
            weights = Path(hf_hub_download(source, _FILE))
            return Dinov2Model.from_pretrained(source, use_safetensors=True), weights
    return Dinov2Model.from_pretrained(source, use_safetensors=True), weights
