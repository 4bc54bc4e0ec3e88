"""Other people's FID and KID of two folders, with the weights that are given: what ours is held
against.

Each function calls a package as its README does, on the CPU. Only where a package cannot be given
weights (pytorch-fid and clean-fid fetch theirs) the network is handed over in its place.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

Numbers = dict[str, float]
_BATCH = 32


def torch_fidelity(folder: Path, reference: Path, weights: Path, subset_size: int = 100) -> Numbers:
    """FID by TensorFlow's resize, and KID as the mean over random subsets, of all if there are
    fewer.
    """
    import torch_fidelity

    fewest = min(len(list(place.iterdir())) for place in (folder, reference))
    with _silenced():
        found = torch_fidelity.calculate_metrics(
            input1=str(folder),
            input2=str(reference),
            cuda=False,
            fid=True,
            kid=True,
            kid_subset_size=min(subset_size, fewest),
            feature_extractor_weights_path=str(weights),
            batch_size=_BATCH,
            cache=False,
            verbose=False,
        )
    return {
        "fid": float(found["frechet_inception_distance"]),
        "kid": float(found["kernel_inception_distance_mean"]),
    }


def torchmetrics(folder: Path, reference: Path, weights: Path) -> Numbers:
    """FID by torch's antialiased resize."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(
        feature=2048, feature_extractor_weights_path=str(weights), normalize=False
    )
    metric.set_dtype(torch.float64)
    for place, real in ((folder, False), (reference, True)):
        for batch in _batches(place):
            metric.update(batch, real=real)
    return {"fid": float(metric.compute())}


def pytorch_fid(folder: Path, reference: Path, weights: Path) -> Numbers:
    """FID by torch's resize without antialiasing."""
    import torch
    from pytorch_fid import fid_score, inception

    state = torch.load(weights, weights_only=True)
    with (
        mock.patch.object(inception, "load_state_dict_from_url", return_value=state),
        _silenced(),
    ):
        found = fid_score.calculate_fid_given_paths(
            [str(folder), str(reference)], _BATCH, "cpu", 2048, num_workers=0
        )
    return {"fid": float(found)}


def clean_fid(folder: Path, reference: Path, weights: Path, mode: str = "clean") -> Numbers:
    """FID by PIL's bicubic filter (``clean``) or by one of its two legacy modes."""
    import torch
    from cleanfid import fid

    with _silenced():
        found = fid.compare_folders(
            str(folder),
            str(reference),
            _clean_fid_network(weights, mode),
            mode=mode,
            num_workers=0,
            batch_size=_BATCH,
            device=torch.device("cpu"),
            verbose=False,
        )
    return {"fid": float(found)}


def _clean_fid_network(weights: Path, mode: str) -> Callable[[Any], Any]:
    """The network that clean-fid would fetch for a mode; takes pixels 0..255."""
    import torch
    from pytorch_fid import inception
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x as resize,
    )

    from gandiff.evaluate.extractors.inception import LAYERS

    if mode == "legacy_pytorch":
        state = torch.load(weights, weights_only=True)
        with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
            network = inception.InceptionV3(output_blocks=[3], resize_input=False).eval()
        return lambda x: network(x / 255)[0].flatten(1)
    owned = FeatureExtractorInceptionV3(
        "clean-fid", ["2048"], feature_extractor_weights_path=str(weights)
    )
    layers = torch.nn.Sequential(*[getattr(owned, layer) for layer in LAYERS])
    # TensorFlow's resize leaves a picture of 299 px as it is, so it serves both modes.
    return lambda x: layers(
        (resize(x.float(), size=(299, 299), align_corners=False) - 128) / 128
    ).flatten(1)


def _batches(folder: Path) -> Iterator[Any]:
    """Images as tensors, n 3 h w, one call a size as torchmetrics cannot mix them."""
    import torch

    from gandiff.evaluate.features.images import image_records, read_image

    waiting: list[np.ndarray] = []
    for record in image_records(folder):
        pixels = read_image(record).pixels
        if waiting and (len(waiting) == _BATCH or waiting[0].shape != pixels.shape):
            yield torch.from_numpy(np.stack(waiting)).permute(0, 3, 1, 2)
            waiting = []
        waiting.append(pixels)
    yield torch.from_numpy(np.stack(waiting)).permute(0, 3, 1, 2)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


PEERS: dict[str, tuple[str, Callable[..., Numbers], Sequence[str]]] = {
    # name: (package, function, what it measures)
    "torch-fidelity": ("torch_fidelity", torch_fidelity, ("fid", "kid")),
    "torchmetrics": ("torchmetrics", torchmetrics, ("fid",)),
    "clean-fid": ("cleanfid", clean_fid, ("fid",)),
    "pytorch-fid": ("pytorch_fid", pytorch_fid, ("fid",)),
}
