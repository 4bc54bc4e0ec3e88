"""Training of the scene judges: two classifiers and a scene CLIP. Once good they are frozen.

The judges see every (shape, colour) pair, from seeds of their own, and also pictures that are
blurred, noised and resampled, since generators make such pictures too.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gandiff.common.errors import RequestError
from gandiff.evaluate.extractors.scenes import SIDE, SceneClassifierNet, heads_of
from gandiff.experiments.scenes.facts import LABELS
from gandiff.experiments.scenes.suite import training_batch
from gandiff.experiments.training.averaging import anneal, descend, to_tensor
from gandiff.experiments.training.checkpoints import CHECKPOINT, Stateful, clear_training
from gandiff.experiments.training.checks import check_request
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.judges.scene_clip import train_clip
from gandiff.experiments.training.judges.shared import (
    degraded_batch,
    judge_seeds,
    save_judge,
    targets,
)
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.request import TrainingRequest

DESIGNS: dict[str, dict[str, Any]] = {
    "a": {"design": "residual", "width": 24, "features": 96},
    "b": {"design": "plain", "width": 24, "features": 96},
}
_SHARE = {"a": 0.216, "b": 0.42, "clip": 0.364}  # of the budget
_SEED = {"a": 1000, "b": 0, "clip": 5000}  # added to the request's: no two judges see the same
_SEEDS = 1000  # so many requests stay apart from each other's judges


def train(request: TrainingRequest) -> Path:
    """Train all judges into ``request.out`` (a folder that gets one folder each); returns it.

    Raises ``RequestError`` before anything is written if the request cannot work.
    """
    folders = [part_of(request, name).out.name for name in (*DESIGNS, "clip")]
    check_request(request, *(f"{folder}/{CHECKPOINT}" for folder in folders))
    if request.data != "scenes" or request.resolution != SIDE:
        raise RequestError(
            f"the judges are trained on scenes at {SIDE} px; leave out --data and --resolution"
        )
    if not 0 <= request.seed < _SEEDS:
        raise RequestError(f"--seed must be from 0 to {_SEEDS - 1} for judges, got {request.seed}")
    with claim(request.out, [request.out / folder for folder in folders], overwrite=True):
        if not request.resume:  # what an older training left would be taken for parts of this one
            for name in (*DESIGNS, "clip"):
                clear_training(part_of(request, name).out)
        for name in DESIGNS:
            train_classifier(part_of(request, name), name)
        train_clip(part_of(request, "clip"))
    return request.out


def part_of(request: TrainingRequest, name: str) -> TrainingRequest:
    """One judge's share of the request: its folder, minutes and seed."""
    out = request.out / ("scene-clip" if name == "clip" else f"scene-classifier-{name}")
    minutes, seed = request.minutes * _SHARE[name], request.seed + _SEED[name]
    resume = request.resume and (out / CHECKPOINT).is_file()
    return dataclasses.replace(request, out=out, minutes=minutes, seed=seed, resume=resume)


def train_classifier(request: TrainingRequest, name: str) -> Path:
    """Train classifier ``a`` or ``b`` and save it."""
    torch.manual_seed(request.seed)
    heads = heads_of(LABELS)
    net = SceneClassifierNet(heads=heads, **DESIGNS[name]).to(request.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-4)
    size = max(request.batch_size, 128)
    parts: dict[str, Stateful] = {"net": net, "optimizer": optimizer}
    loop = Loop(request, f"scene classifier {name}", parts, size=size)

    def step() -> tuple[int, dict[str, float]]:
        anneal(optimizer, loop.fraction, loop.progress.steps, start=3e-3, end=1e-5)
        pictures, batch = degraded_batch(request, loop.progress.position, size)
        logits = net(pictures)
        wanted = targets(batch.scenes)
        losses = [F.cross_entropy(logits[k], wanted[k].to(request.device)) for k in logits]
        loss = torch.stack(losses).sum()
        descend(optimizer, loss)
        return size, {"loss": float(loss.detach())}

    net.train()
    loop.run(step)
    accuracy = check_classifier(net, request)
    config = {**DESIGNS[name], "heads": heads, "labels": LABELS}
    save_judge(request.out, net, config, loop.record(batch_size=size, validation=accuracy))
    return request.out


@torch.inference_mode()
def check_classifier(net: nn.Module, request: TrainingRequest, n: int = 4000) -> dict[str, float]:
    """Accuracy on clean validation scenes: each head, and all at once."""
    net.eval()
    right: dict[str, list[Tensor]] = {}
    for start in range(0, n, 500):
        seeds = judge_seeds("judge_validation", request.seed, start, min(500, n - start))
        batch = training_batch(seeds, request.resolution)
        wanted = targets(batch.scenes)
        logits = net(to_tensor(batch.images, request.device))
        for kind, values in logits.items():
            right.setdefault(kind, []).append(values.argmax(1).cpu() == wanted[kind])
    joined = {k: torch.cat(v) for k, v in right.items()}
    everything = torch.stack(list(joined.values())).all(0)
    return {k: float(v.float().mean()) for k, v in {"all": everything, **joined}.items()}
