"""What the trainings of the judges share: their scenes, degraded pictures, and what is saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gandiff.experiments.scenes.facts import LABELS, Scenes, scene_seeds
from gandiff.experiments.scenes.suite import SceneBatch, training_batch
from gandiff.experiments.training.averaging import noise_at, to_tensor
from gandiff.experiments.training.cards import judge_card, write_card
from gandiff.experiments.training.records import RECORD, write_json
from gandiff.experiments.training.request import TrainingRequest

_STRETCH_BITS = 24  # pictures of a split that belong to one seed


def targets(scenes: Scenes) -> dict[str, Tensor]:
    """Class indices for every head; the head's last class stands for what is not there."""
    out = {"count": scenes.count - 1, "background": scenes.background}
    out["relation"] = np.where(scenes.relation < 0, len(LABELS["relation"]), scenes.relation)
    for kind in ("shape", "colour", "size"):
        values = getattr(scenes, kind)
        out[f"{kind}_0"] = values[:, 0]
        out[f"{kind}_1"] = np.where(values[:, 1] < 0, len(LABELS[kind]), values[:, 1])
    return {k: torch.from_numpy(v.astype(np.int64)) for k, v in out.items()}


def judge_seeds(split: str, seed: int, start: int, count: int) -> np.ndarray:
    """Seeds of a judge's own stretch of its split."""
    return scene_seeds(split, (seed << _STRETCH_BITS) + start, count)


def degraded_batch(request: TrainingRequest, position: int, n: int) -> tuple[Tensor, SceneBatch]:
    """n training scenes from a position of a judge's stretch; half of the pictures degraded."""
    seeds = judge_seeds("judge_train", request.seed, position, n)
    batch = training_batch(seeds, request.resolution)
    pictures = degrade(to_tensor(batch.images, "cpu"), noise_at(request.seed, position))
    return pictures.to(request.device), batch


def degrade(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, resample or add noise to a random half of the pictures, as generators do unasked."""
    n, side = x.shape[0], x.shape[-1]
    kind = torch.rand(n, generator=generator)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    mix = torch.rand(n, 1, 1, 1, generator=generator)
    small = int(torch.randint(side // 2, side, (1,), generator=generator))
    resampled = F.interpolate(
        F.interpolate(x, (small, small), mode="bilinear", antialias=True),
        (side, side),
        mode="bilinear",
    )
    noised = x + torch.randn(x.shape, generator=generator) * (0.25 * mix)
    pick = kind.view(-1, 1, 1, 1)
    x = torch.where(pick < 0.17, torch.lerp(x, blurred, mix), x)
    x = torch.where((pick >= 0.17) & (pick < 0.34), resampled, x)
    x = torch.where((pick >= 0.34) & (pick < 0.5), noised, x)
    return x.clamp(-1, 1)


def save_judge(
    folder: Path,
    net: nn.Module,
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    prefix: str = "",
) -> None:
    """Write weights, config, training record and card; not the training state.

    ``prefix`` begins the names of the first two.
    """
    from safetensors.torch import save_file

    weights = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    save_file(weights, folder / f"{prefix}model.safetensors")
    write_json(folder / f"{prefix}config.json", config)
    write_json(folder / RECORD, record)
    write_card(folder, judge_card(folder.name, record))
