"""What the denoiser learns from: pictures as latents, encoded once and kept on the disk.

In pixel space they are kept as they are. Both with all captions that a picture has.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gandiff.common.files import write_atomically
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.averaging import to_tensor
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.weights import digest
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import captions_digest
from gandiff.models.diffusion.networks import centre_latents

FILE = "latents.safetensors"
_AT_ONCE = 64  # pictures
_A_MINUTE = 2000  # pictures that a training of a minute can make use of


@dataclasses.dataclass(frozen=True)
class Latents:
    """n pictures as they are denoised: mean 0 and standard deviation 1, or pixels as uint8, and
    all captions of each.

    ``mean`` and ``std`` are those that the autoencoder's own had; nothing in pixel space.
    """

    values: Tensor  # n c h w, float16, or uint8 in pixel space
    captions: list[list[str]]
    mean: Tensor | None
    std: float

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

    Those of another autoencoder or of other data are made again, which is said. Resumed, they are
    of as many pictures as the denoiser has learned from, unless files were added or taken away, and
    have the mean and scale that it knows.
    """
    path = request.out / "state" / FILE
    key = _key(vae, recipe, data, request)
    if ranks.first and _differs(path, key, request):
        _make(path, key, vae, recipe, data, request)
    ranks.broadcast(0.0)  # the others wait until they are there
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
    if wrong is not None:
        why = "cannot be read" if not before else f"was made of another {wrong}"
        print(f"warning: {path} {why}; it is made again", file=sys.stderr)
    return wrong is not None


def count(recipe: DiffusionRecipe, data: CaptionedImages, request: TrainingRequest) -> int:
    """How many pictures are encoded: no more than there are, nor than the budget can show.

    A denoiser that is resumed says how many of an endless stream it had.
    """
    denoiser = request.out / CHECKPOINT
    if request.resume and data.count is None and denoiser.is_file():
        before = read_checkpoint(denoiser).get("networks", {})
        if "latents" in before:
            return int(before["latents"])
    shown = _A_MINUTE * request.minutes if request.kimg is None else 1000 * request.kimg
    most = recipe.cached_images if data.count is None else data.count
    return max(min(most, round(shown)), min(request.batch_size, most))


def _make(
    path: Path,
    key: dict[str, str],
    vae: Any,
    recipe: DiffusionRecipe,
    data: CaptionedImages,
    request: TrainingRequest,
) -> None:
    from tqdm import tqdm

    parts, captions = [], list[Sequence[str]]()
    n = count(recipe, data, request)
    starts = range(0, n, _AT_ONCE)
    for start in tqdm(starts, desc="encoding", disable=request.quiet, unit="batch"):
        batch = data.batch(start, min(_AT_ONCE, n - start))
        captions += batch.every or [[caption] for caption in batch.captions]
        if recipe.space == "pixel":
            parts.append(torch.from_numpy(batch.images).permute(0, 3, 1, 2).contiguous())
        else:
            parts.append(encode(vae, batch.images, request.device))
    values = torch.cat(parts)
    mean, std = torch.zeros(values.shape[1]), torch.ones(1)
    if recipe.space == "latent":
        mean, std = _moments(path, key) or _moments_of(values)
        values = ((values - mean[None, :, None, None]) / std).half().contiguous()
    texts = torch.frombuffer(bytearray(json.dumps(captions).encode()), dtype=torch.uint8)
    tensors = {"values": values, "mean": mean, "std": std, "captions": texts}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, safetensors.torch.save(tensors, metadata=key))


def _moments_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of each channel (c,) and standard deviation of all that is left (1,) of n c h w."""
    mean = values.mean((0, 2, 3))
    return mean, (values - mean[None, :, None, None]).std().view(1).clamp(min=1e-6)


def _moments(path: Path, key: Mapping[str, str]) -> tuple[Tensor, Tensor] | None:
    """Those of latents that this autoencoder made of earlier data, which its denoiser knows."""
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("autoencoder") == key["autoencoder"]:
                return file.get_tensor("mean"), file.get_tensor("std")
    except (SafetensorError, OSError):
        pass
    return None


def _read(path: Path) -> Latents:
    tensors = safetensors.torch.load_file(path)
    texts = json.loads(bytes(tensors["captions"].tolist()))
    # Earlier versions wrote one for each scene.
    captions = [[one] if isinstance(one, str) else list(one) for one in texts]
    values = tensors["values"]
    pixels = values.dtype == torch.uint8
    return Latents(values, captions, None if pixels else tensors["mean"], float(tensors["std"]))


def centre(vae: Any, latents: Latents) -> None:
    """Let the autoencoder make latents as these are, so that plain diffusers decodes them."""
    if latents.mean is not None:
        centre_latents(vae, latents.mean.to(vae.device), latents.std)
