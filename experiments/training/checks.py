"""What a training refuses, before anything is written."""

from __future__ import annotations

from gandiff.experiments.datasets import CaptionedImages, open_data
from gandiff.experiments.errors import RequestError, did_you_mean
from gandiff.experiments.training.progress import check_tensorboard
from gandiff.experiments.training.request import TrainingRequest


def check_request(request: TrainingRequest, *checkpoints: str) -> None:
    """Raise ``RequestError`` for what cannot work.

    ``checkpoints`` are the files below ``request.out`` that ``--resume`` can go on from; one of
    them is enough.
    """
    for name in ("minutes", "kimg"):
        value = getattr(request, name)
        if value is not None and not value > 0:
            raise RequestError(f"--{name} must be above 0, got {value}")
    for name in ("batch_size", "accumulate", "processes", "ticks", "keep"):
        if getattr(request, name) < 1:
            option = name.replace("_", "-")
            raise RequestError(f"--{option} must be at least 1, got {getattr(request, name)}")
    parts = request.accumulate * request.processes
    if request.batch_size % parts:
        raise RequestError(
            f"--batch-size {request.batch_size} does not divide into {parts} parts "
            f"(--accumulate {request.accumulate} x --processes {request.processes})"
        )
    if request.tensorboard:
        check_tensorboard()
    check_device(request.device)
    if request.out.exists() and not request.out.is_dir():
        raise RequestError(f"--out {request.out} is a file; give a folder")
    if request.resume and not any((request.out / name).is_file() for name in checkpoints):
        raise RequestError(
            f"--resume found no {checkpoints[-1]} in {request.out}; start without --resume"
        )


def check_device(device: str) -> None:
    """Raise ``RequestError`` for a device that is unknown or not here."""
    import torch

    kind = device.partition(":")[0]
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind not in here:
        raise RequestError(f"no device is named {device!r}{did_you_mean(kind, here)}")
    if not here[kind]:
        raise RequestError(f"--device {device}: torch finds no such device here; use cpu")


def open_checked(request: TrainingRequest) -> CaptionedImages:
    """Open the data; raises ``RequestError`` if there is none or less than one batch of it."""
    data = open_data(request.data, request.resolution, request.seed)
    data.require(request.batch_size)
    return data
