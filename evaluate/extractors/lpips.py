"""LPIPS (Zhang et al. 2018, arXiv 1801.03924): a learned distance between two images.

Eq. 1: d(x, x0) = sum over layers l of 1/(H_l W_l) sum over places of |w_l * (y_l - y0_l)|^2, with
activations y of unit length over their channels. The layers' weights w_l^2 ship with torchmetrics,
the AlexNet below them with torchvision.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.evaluate.extractors.published import fetched, missing_file, torch_file
from gandiff.evaluate.extractors.torch_inference import brief, exact_inference
from gandiff.evaluate.features.encoders import PairExtractor
from gandiff.evaluate.features.weights import Missing

_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"  # torchvision's AlexNet
_SMALLEST = 31  # px: below it AlexNet's second pooling has nothing left
_EPSILON = 1e-8  # under the root of a length, as in the owners' code


class Lpips(PairExtractor):
    """The distance on AlexNet, ``net_type="alex"``: the variant that its authors recommend."""

    def __init__(self, name: str, backbone: Path, device: str) -> None:
        from torchmetrics.functional.image.lpips import _NoTrainLpips

        self.name = name
        self._device = device
        self._sha256 = file_sha256(backbone)
        self.files = (backbone,)
        state = _read(backbone)
        network = _NoTrainLpips(net="alex", pnet_rand=True)  # no download; the file comes next
        _load_backbone(network.net, state, backbone)
        self._network = network.requires_grad_(False).to(device)

    def protocol(self) -> dict[str, Any]:
        """Images are compared at their own size."""
        return {
            "encoder": "lpips",
            "network": "alex",
            "weights_sha256": self._sha256,
            "resize": "none",
            "crop": "none",
        }

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 h w"]:
        """Scaled to [-1, 1]."""
        if min(image.shape[:2]) < _SMALLEST:
            height, width = image.shape[:2]
            raise MetricError(
                f"LPIPS needs images of {_SMALLEST} px or more a side and found {width}x{height}"
            )
        return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1

    def distances(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n n"]:
        """LPIPS of every two of the images, which must be of one size."""
        sizes = sorted({(image.shape[2], image.shape[1]) for image in prepared})
        if len(sizes) > 1:
            listed = ", ".join(f"{width}x{height}" for width, height in sizes)
            raise MetricError(
                f"LPIPS compares images of one size, and those of one prompt have {listed}; make "
                "them one size, or use the encoder clip or dinov2, which resize"
            )
        network = self._network
        batch = torch.from_numpy(np.stack(prepared)).to(self._device)
        with exact_inference():
            total = torch.zeros(len(batch), len(batch), dtype=torch.float64, device=self._device)
            layers = network.net(network.scaling_layer(batch))
            for activations, lin in zip(layers, network.lins, strict=True):
                total += _layer_distances(activations, cast("Tensor", lin.model[-1].weight))
        return cast("np.ndarray[Any, Any]", total.cpu().numpy())


def _layer_distances(
    activations: Float[Tensor, "n c h w"], weights: Float[Tensor, "1 c 1 1"]
) -> Float[Tensor, "n n"]:
    lengths = torch.sqrt(_EPSILON + (activations**2).sum(dim=1, keepdim=True))
    places = activations.shape[2] * activations.shape[3]
    # The weights are squares, so with their root the layer's part is a squared Euclidean distance.
    rows = (activations / lengths * torch.sqrt(weights / places)).flatten(1)
    return torch.stack([((rows - row) ** 2).sum(dim=1, dtype=torch.float64) for row in rows])


def open_encoder(*, name: str, variant: str, source: str | None, device: str) -> Lpips:
    """``source`` is a file with torchvision's AlexNet (else torch's cache, else a download)."""
    del variant  # there is one
    weights = (
        Path(source)
        if source
        else fetched(torch_file(_URL), _URL, missing(variant="", source=None))
    )
    return Lpips(name, weights, device)


def missing(*, variant: str, source: str | None) -> Missing | None:
    """What is missing of the weights on this machine."""
    file = torch_file(_URL)
    return None if source else missing_file(file, _URL, "the weights of LPIPS", "lpips=FILE")


def _read(path: Path) -> dict[str, Any]:
    """The tensors of a weights file; a pickle with code in it is refused."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _no_backbone(path, error) from error
    if not isinstance(found, dict):
        raise _no_backbone(path, TypeError(f"it holds a {type(found).__name__}"))
    return found


def _load_backbone(network: Any, state: dict[str, Any], path: Path) -> None:
    """Put torchvision's AlexNet below the layers: its ``features.3`` is their ``slice2.3``."""
    try:
        network.load_state_dict(
            {name: state["features." + name.partition(".")[2]] for name in network.state_dict()}
        )
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise _no_backbone(path, error) from error


def _no_backbone(path: Path, error: Exception) -> MetricError:
    return MetricError(
        f"the file {path} does not hold torchvision's AlexNet ({type(error).__name__}: "
        f"{brief(error)}); --weights lpips=FILE takes a state dict as torchvision publishes it"
    )
