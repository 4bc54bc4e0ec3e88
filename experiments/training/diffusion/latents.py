"""What the denoiser learns from: pictures as latents, encoded once and kept on the disk.

In pixel space they are kept as they are. Both with all captions that a picture has.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gandiff.common.errors import RequestError
from gandiff.common.files import write_atomically
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import to_tensor
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.checks import rank_zero_first
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.weights import digest
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import captions_digest
from gandiff.models.diffusion.networks import centre_latents

FILE = "latents.safetensors"
_AT_ONCE, _MANY = 64, 1024  # pictures
# Pictures that a training of a minute can make use of.
_A_MINUTE, _A_MINUTE_ON_GPU = 2_000, 100_000
_BYTES = 8  # for a number of a latent while they are made: in float32, in half, in the file
_FIRST = "first"  # in the file: how many pictures mean and scale are of


@dataclasses.dataclass(frozen=True)
class Latents:
    """n pictures as they are denoised: mean 0 and standard deviation 1, or pixels as uint8, and
    all captions of each.

    ``mean`` and ``std`` are those that the autoencoder's own had; nothing in pixel space. They are
    of the ``first`` so many, which were all that there were when the training began.
    """

    values: Tensor  # n c h w, float16, or uint8 in pixel space
    captions: list[list[str]]
    mean: Tensor | None
    std: float
    first: int

    def at(self, which: Tensor) -> Tensor:
        """Those at these places, as float32."""
        values = self.values[which].float()
        return values.div_(127.5).sub_(1) if self.values.dtype == torch.uint8 else values


def encode(vae: Any, pictures: Any, device: str) -> Tensor:
    """Pictures (uint8, n h w 3) as the autoencoder's cells, as they are; not yet centred."""
    with torch.inference_mode():
        return torch.as_tensor(vae.encode(to_tensor(pictures, device)).latent_dist.mode()).cpu()


def ensure(
    vae: Any, recipe: DiffusionRecipe, data: CaptionedImages, request: TrainingRequest, ranks: Ranks
) -> Latents:
    """The latents in ``request.out``, made by the first process if they are not there.

    Those of another autoencoder or of other data are made again, which is said. Resumed with a
    budget that can show more of them, they grow: those that are there keep their places and their
    bits, and all have the mean and scale that the denoiser knows. Raises ``RequestError`` rather
    than overwrite what a denoiser that is resumed has learned from.
    """
    path = request.out / "state" / FILE
    key = _key(vae, recipe, data, request)
    rank_zero_first(ranks, lambda: _make_sure(path, key, vae, recipe, data, request))
    return _read(path)


def _key(
    vae: Any, recipe: DiffusionRecipe, data: CaptionedImages, request: TrainingRequest
) -> dict[str, str]:
    known = captions_digest(data)
    # Earlier versions kept the first of several.
    several = {} if data.count is None else {"choice of captions": "all"}
    return several | {
        "autoencoder": "none" if recipe.space == "pixel" else digest(vae),
        "data": known or f"{request.data}, seed {request.seed}",
        "pictures": json.dumps(data.facts(), sort_keys=True),
        "resolution": str(request.resolution),
    }


def _differs(path: Path, key: Mapping[str, str], request: TrainingRequest) -> bool:
    """Whether latents must be made; says why where there are some."""
    if not path.is_file():
        return True
    try:
        with safe_open(path, framework="pt") as file:
            before = file.metadata() or {}
    except (SafetensorError, OSError):
        before = {}
    wrong = next((name for name, value in key.items() if before.get(name) != value), None)
    if wrong is None:
        return False
    resumed = request.resume and (request.out / CHECKPOINT).is_file()
    if before and resumed and wrong in ("autoencoder", "resolution"):
        raise RequestError(
            f"{path} was made of another {wrong}, and the denoiser in {request.out} learned from "
            "it; give what the training was started with, or another --out"
        )
    why = "cannot be read" if not before else f"was made of another {wrong}"
    print(f"warning: {path} {why}; it is made again", file=sys.stderr)
    return True


def count(recipe: DiffusionRecipe, data: CaptionedImages, request: TrainingRequest) -> int:
    """How many pictures are encoded: no more than there are, nor than the budget can show."""
    a_minute = _A_MINUTE if request.device == "cpu" else _A_MINUTE_ON_GPU
    shown = a_minute * request.minutes if request.kimg is None else 1000 * request.kimg
    there = recipe.cached_images if data.count is None else data.count
    most = min(there, recipe.cached_images)
    return max(min(most, round(shown)), min(request.batch_size, there))


def check_room(recipe: DiffusionRecipe, data: CaptionedImages, request: TrainingRequest) -> None:
    """Say how many pictures of a folder are learned from if not all; raise ``RequestError`` before
    anything is trained if memory cannot hold as many latents while they are made.
    """
    n = count(recipe, data, request)
    if data.count is not None and n < data.count and not request.quiet:
        why = "cached_images" if n == recipe.cached_images else "the budget"
        print(
            f"{n:,} of the {data.count:,} pictures are learned from, as many as {why} allows",
            file=sys.stderr,
        )
    side = request.resolution // recipe.cell
    each = recipe.depth * side**2 * (_BYTES if recipe.space == "latent" else 2)
    free = psutil.virtual_memory().available
    if n * each > free:
        raise RequestError(
            f"the latents of {n:,} pictures take {n * each / 2**30:,.1f} GiB of memory while they "
            f"are made, and {free / 2**30:,.1f} GiB are free; --set cached_images="
            f"{max(1, int(0.8 * free / each))} would fit"
        )


def _first_of(request: TrainingRequest) -> int:
    """How many pictures of endless data a denoiser that is resumed began with; 0 for none."""
    path = request.out / CHECKPOINT
    saved = read_checkpoint(path) if request.resume and path.is_file() else {}
    return int(saved.get("networks", {}).get("latents", 0))


def _make_sure(
    path: Path,
    key: dict[str, str],
    vae: Any,
    recipe: DiffusionRecipe,
    data: CaptionedImages,
    request: TrainingRequest,
) -> None:
    """Make those that are missing, behind those that are there."""
    there = None if _differs(path, key, request) else safetensors.torch.load(path.read_bytes())
    known = 0 if data.count is not None else _first_of(request)
    before = 0 if there is None else len(there["values"])
    n = max(count(recipe, data, request), known)
    if n <= before:
        return
    if before and not request.quiet:
        print(f"{path} grows from {before:,} to {n:,} pictures with the budget", file=sys.stderr)
    values, captions = _encoded(vae, recipe, data, request, range(before, n))
    moments = _moments(path, key)
    if recipe.space == "latent":
        moments = moments or _moments_of(values[: known or n])
        # In place: there are many.
        values = values.sub_(moments.mean[None, :, None, None]).div_(moments.std).half()
    moments = moments or _Moments(torch.zeros(values.shape[1]), torch.ones(1), known or n)
    if there is not None:
        values = torch.cat([there["values"], values])
        captions = _captions_of(there) + captions
    texts = torch.frombuffer(bytearray(json.dumps(captions).encode()), dtype=torch.uint8)
    tensors = {"values": values.contiguous(), "mean": moments.mean, "std": moments.std}
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = key | {_FIRST: str(moments.first)}
    write_atomically(path, safetensors.torch.save(tensors | {"captions": texts}, metadata))


def _encoded(
    vae: Any,
    recipe: DiffusionRecipe,
    data: CaptionedImages,
    request: TrainingRequest,
    which: range,
) -> tuple[Tensor, list[list[str]]]:
    """Pictures at these places, n c h w, not centred, with all captions of each.

    Batches lie at fixed places and are full: the last bits of one picture depend on their size.
    """
    from tqdm import tqdm

    values, captions = None, list[list[str]]()
    starts = range(which.start - which.start % _AT_ONCE, which.stop, _AT_ONCE)
    for start in tqdm(starts, desc="encoding", disable=request.quiet, unit="batch"):
        size = _AT_ONCE if data.count is None else min(_AT_ONCE, data.count - start)
        batch = data.batch(start, size)
        chosen = slice(max(which.start - start, 0), which.stop - start)
        captions += list(map(list, batch.every or [[text] for text in batch.captions]))[chosen]
        if recipe.space == "pixel":
            encoded = torch.from_numpy(batch.images).permute(0, 3, 1, 2).contiguous()
        else:
            encoded = encode(vae, batch.images, request.device)
        made = encoded[chosen]
        if values is None:
            values = torch.empty(len(which), *made.shape[1:], dtype=made.dtype)
        values[len(captions) - len(made) : len(captions)] = made
    assert values is not None
    return values, captions


class _Moments(NamedTuple):
    """Mean of each channel (c,), standard deviation of all that is left (1,), of so many."""

    mean: Tensor
    std: Tensor
    first: int


def _moments_of(values: Tensor) -> _Moments:
    """Those of n c h w."""
    mean = values.mean((0, 2, 3))
    # The standard deviation around each channel's mean, without a copy of all.
    squares = torch.zeros(1, dtype=torch.float64)
    for start in range(0, len(values), _MANY):
        apart = values[start : start + _MANY] - mean[None, :, None, None]
        squares += apart.double().square().sum()
    std = (squares / max(1, values.numel() - 1)).sqrt().float().clamp(min=1e-6)
    return _Moments(mean, std, len(values))


def _moments(path: Path, key: Mapping[str, str]) -> _Moments | None:
    """Those of latents that this autoencoder made, of earlier data or of fewer pictures, which its
    denoiser knows.
    """
    try:
        with safe_open(path, framework="pt") as file:
            before = file.metadata() or {}
            if before.get("autoencoder") == key["autoencoder"]:
                first = int(before.get(_FIRST, file.get_slice("values").get_shape()[0]))
                return _Moments(file.get_tensor("mean"), file.get_tensor("std"), first)
    except (SafetensorError, OSError):
        pass
    return None


def _read(path: Path) -> Latents:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        before = file.metadata() or {}
    values = tensors["values"]
    mean = None if values.dtype == torch.uint8 else tensors["mean"]
    first = int(before.get(_FIRST, len(values)))  # earlier versions had no more than these
    return Latents(values, _captions_of(tensors), mean, float(tensors["std"]), first)


def _captions_of(tensors: Mapping[str, Tensor]) -> list[list[str]]:
    texts = json.loads(bytes(tensors["captions"].tolist()))
    # Earlier versions wrote one for each scene.
    return [[one] if isinstance(one, str) else list(one) for one in texts]


def centre(vae: Any, latents: Latents) -> None:
    """Let the autoencoder make latents as these are, so that plain diffusers decodes them."""
    if latents.mean is not None:
        centre_latents(vae, latents.mean.to(vae.device), latents.std)
