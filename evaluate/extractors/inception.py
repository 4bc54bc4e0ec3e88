"""Inception-v3 as FID knows it: the 2015 TensorFlow graph with 1008 classes, its last pooling
layer.

The network is torch-fidelity's (``FeatureExtractorInceptionV3``); Heusel et al. 2017 for the
metric.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, UInt8

from gandiff.evaluate.checks import did_you_mean
from gandiff.evaluate.extractors.torch_inference import brief, exact_inference, file_sha256
from gandiff.evaluate.features import FeatureExtractor, by_size
from gandiff.evaluate.result import MetricError

# torch-fidelity's file, named after the first digits of its sha256
_FILE = "weights-inception-2015-12-05-6726825d.pth"
_SHA256_START = "6726825d"
# How images come to 299 x 299: TensorFlow 1's bilinear filter without antialiasing (torch-fidelity,
# TTUR), or torch's bilinear filter with it (torchmetrics from 1.8). The two give different numbers.
RESIZES = ("legacy_tensorflow", "torchmetrics_antialias")


class Inception(FeatureExtractor):
    """The FID network, 2048 features."""

    def __init__(self, name: str, weights: Path, resize: str, device: str) -> None:
        self.name = name
        self._resize = resize
        self._device = device
        self._sha256 = file_sha256(weights)
        _check_file(weights)
        try:
            self._network = _network(weights, resize).to(device)
        except RuntimeError as error:
            raise MetricError(
                f"the file {weights} does not hold the FID Inception network: {brief(error)}"
            ) from error

    def protocol(self) -> dict[str, Any]:
        """``weights`` says whether these are the weights that published FIDs use."""
        known = self._sha256.startswith(_SHA256_START)
        return {
            "encoder": "inception",
            "weights": "fid-2015-12-05" if known else "other",
            "weights_sha256": self._sha256,
            "resize": self._resize,
            "crop": "none",
        }

    def features(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, "n 2048"]:
        """The last pooling layer (``pool3``)."""
        return by_size(images, self._encode)

    def _encode(self, images: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 2048"]:
        import torch

        batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(self._device)
        with exact_inference():
            found = self._network(batch)
        # torch-fidelity's network returns a tuple, torchmetrics' the layer alone
        layer = found[0] if isinstance(found, tuple) else found
        return cast("np.ndarray[Any, Any]", layer.float().cpu().numpy())


def open_encoder(*, name: str, variant: str, source: str | None, device: str) -> Inception:
    """``variant`` names the resize protocol; ``source`` is a weights file (else torch's cache,
    else a download).
    """
    resize = variant or RESIZES[0]
    if resize not in RESIZES:
        raise MetricError(f"inception cannot resize by {resize!r}. {did_you_mean(resize, RESIZES)}")
    return Inception(name, Path(source) if source else _owners_file(), resize, device)


def _owners_file() -> Path:
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    if path.exists():
        return path
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            URL_INCEPTION_V3, str(path), hash_prefix=_SHA256_START, progress=False
        )
    except (OSError, RuntimeError) as error:
        raise MetricError(
            f"the FID weights are missing: {path} is not there and {URL_INCEPTION_V3} cannot be "
            f"reached ({error}); fetch that file and give it with --weights inception=FILE"
        ) from error
    return path


def _check_file(path: Path) -> None:
    """Refuse a pickle with code in it: the network's own loader would run it."""
    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise MetricError(
            f"the file {path} is not a plain state dict of Inception weights "
            f"({brief(error)}); --weights inception=FILE takes {_FILE}"
        ) from error


def _network(weights: Path, resize: str) -> Any:
    if resize == "torchmetrics_antialias":
        from torchmetrics.image.fid import NoTrainInceptionV3

        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights), antialias=True)
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )
