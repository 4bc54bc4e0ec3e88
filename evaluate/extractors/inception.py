"""Inception-v3 as FID knows it: the 2015 TensorFlow graph with 1008 classes, its last pooling
layer.

The network is torch-fidelity's (``FeatureExtractorInceptionV3``); Heusel et al. 2017 for the
metric.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.evaluate.extractors.published import fetched, missing_file, torch_file
from gandiff.evaluate.extractors.resizing import to_inception
from gandiff.evaluate.extractors.torch_inference import brief, compiled, exact_inference, folded
from gandiff.evaluate.features.encoders import RESIZES, FeatureExtractor
from gandiff.evaluate.features.weights import Missing

if TYPE_CHECKING:
    from torch import Tensor

# torch-fidelity's file, named after the first digits of its sha256
_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_FILE}"
_SHA256_START = "6726825d"
_COMPILED = 32  # images in a batch of the compiled network: any other number would compile again
# The layers up to the features, in the order of the network's own forward pass.
LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d"),
    *("Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
)


class Inception(FeatureExtractor):
    """The FID network, 2048 features.

    Each batch norm is folded into the convolution before it and memory is laid out with channels
    last: the same features to 1e-5, in about 0.6 of the time on a CPU.
    """

    def __init__(
        self, name: str, weights: Path, resize: str, device: str, compile: bool = False
    ) -> None:
        import torch

        self.name = name
        self._resize = resize
        self._device = device
        self._sha256 = file_sha256(weights)
        self.files = (weights,)
        _check_file(weights)
        try:
            owned = _network(weights)
        except RuntimeError as error:
            raise MetricError(
                f"the file {weights} does not hold the FID Inception network: {brief(error)}"
            ) from error
        network = folded(torch.nn.Sequential(*[getattr(owned, layer) for layer in LAYERS]))
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._compile = compile
        self._compiled: Any = None

    def protocol(self) -> dict[str, Any]:
        """``weights`` says whether these are the weights that published FIDs use."""
        return {
            "encoder": "inception",
            "weights": "fid-2015-12-05" if self._published else "other",
            "weights_sha256": self._sha256,
            "resize": self._resize,
            "crop": "none",
        }

    @property
    def _published(self) -> bool:
        return self._sha256.startswith(_SHA256_START)

    def remarks(self) -> list[str]:
        """Other weights than the published ones give numbers that compare with nobody's FID."""
        if self._published:
            return []
        return [
            f"the Inception weights are not those of published FIDs (sha256 {self._sha256[:8]}..., "
            f"theirs begins with {_SHA256_START}): no number of theirs compares with these"
        ]

    def prepare(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "299 299 3"]:
        """Resized by the named protocol, scaled to about [-1, 1]."""
        return to_inception(image, self._resize)

    def encode(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n 2048"]:
        """The last pooling layer (``pool3``)."""
        import torch

        batch = torch.from_numpy(np.stack(prepared)).to(self._device)  # n h w 3 in memory
        with exact_inference(compiled=self._compile):
            found = self._run(batch.permute(0, 3, 1, 2)).flatten(1)
        return cast("np.ndarray[Any, Any]", found.float().cpu().numpy())

    def _run(self, batch: Float[Tensor, "n 3 299 299"]) -> Tensor:
        import torch

        parts = torch.split(batch, _COMPILED) if self._compile else (batch,)
        return torch.cat([self._chosen(part)(part) for part in parts])

    def _chosen(self, batch: Float[Tensor, "n 3 299 299"]) -> Callable[..., Tensor]:
        """The compiled network for whole batches, the plain one for what is left of them."""
        if not self._compile or len(batch) < _COMPILED:
            return cast("Callable[..., Tensor]", self._network)
        if self._compiled is None:
            started = time.perf_counter()
            self._compiled = compiled(self._network)
            self._compiled(batch)
            self.compile_seconds = time.perf_counter() - started
        return cast("Callable[..., Tensor]", self._compiled)


def open_encoder(
    *, name: str, variant: str, source: str | None, device: str, compile: bool = False
) -> Inception:
    """``variant`` names the resize protocol; ``source`` is a weights file (else torch's cache,
    else a download).
    """
    weights = (
        Path(source)
        if source
        else fetched(torch_file(_URL), _URL, missing(variant="", source=None))
    )
    if weights.is_dir():
        raise MetricError(f"{weights} is a folder; --weights inception=FILE takes {_FILE}")
    return Inception(name, weights, variant or RESIZES[0], device, compile)


def missing(*, variant: str, source: str | None) -> Missing | None:
    """What is missing of the weights on this machine."""
    file = torch_file(_URL)
    return None if source else missing_file(file, _URL, "the FID weights", "inception=FILE")


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


def _network(weights: Path) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )
