"""What the torch encoders share: exact arithmetic, faster networks, hashes of weight files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from torch import nn


@contextlib.contextmanager
def exact_inference(*, compiled: bool = False) -> Iterator[None]:
    """No gradients, and on CUDA no TF32 and no algorithm that varies from call to call.

    A ``compiled`` network takes its weights for constants under ``no_grad`` only: in inference
    mode the compiler leaves them variable, and nothing is gained.
    """
    import torch

    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with torch.no_grad() if compiled else torch.inference_mode(), flags:
        yield


def folded(network: nn.Module) -> nn.Module:
    """The same network in evaluation mode with every ``bn`` folded into the ``conv`` beside it.

    For a convolution W and a batch norm with mean m, variance v, scale g, shift b the two together
    are the convolution g W / sqrt(v + eps) with the bias b - g m / sqrt(v + eps).
    """
    import torch

    network.eval().requires_grad_(False)
    for module in network.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
            module.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(conv, norm)
            module.bn = torch.nn.Identity()
    return network


def compiled(network: nn.Module) -> Any:
    """The network through ``torch.compile`` for batches of one size, its weights as constants."""
    import torch

    return torch.compile(network, dynamic=False, options={"freezing": True})


def read_files(weights: Path) -> list[Path]:
    """A file of weights and the small files beside it: configuration, vocabulary; of a hub's cache
    also the note of the commit that is current.
    """
    beside = (p for p in weights.parent.iterdir() if p.suffix in (".json", ".txt", ".model"))
    files = [weights, *sorted(file for file in beside if file.is_file())]
    if weights.parent.parent.name == "snapshots":
        files += sorted((weights.parents[2] / "refs").glob("*"))
    return files


def by_size(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    encode: Callable[[UInt8[np.ndarray, "n h w 3"]], Float[np.ndarray, "n d"]],
) -> Float[np.ndarray, "n d"]:
    """Encode images of mixed sizes: one call per size, results in the order of the images."""
    places: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        places.setdefault(image.shape, []).append(index)
    rows: list[Float[np.ndarray, " d"]] = [np.empty(0, np.float32)] * len(images)
    for indices in places.values():
        encoded = encode(np.stack([images[index] for index in indices]))
        for index, row in zip(indices, encoded, strict=True):
            rows[index] = row
    return np.stack(rows).astype(np.float32, copy=False)


def brief(error: Exception) -> str:
    """The first line of what a library said, or the kind of error where it said nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
