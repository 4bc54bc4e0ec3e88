"""What a training refuses, before anything is written."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from gandiff.common.devices import check_device
from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import expanded
from gandiff.common.options import check_options
from gandiff.common.outputs import check_folder
from gandiff.evaluate.features.encoders import check_encoder
from gandiff.experiments.data.captioned import CaptionedImages, FileImages, open_data
from gandiff.experiments.data.files import list_captioned
from gandiff.experiments.data.record import read_data_record
from gandiff.experiments.training.checkpoints import read_checkpoint
from gandiff.experiments.training.compiling import check_compiler
from gandiff.experiments.training.progress import check_tensorboard
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.records import (
    RECORD,
    TEXT_LABEL,
    TEXT_RECORD,
    read_record,
)
from gandiff.experiments.training.request import TrainingRequest

T = TypeVar("T")
_JUDGE_SIDE = 32  # px, of the scenes that the judges read


def check_request(request: TrainingRequest, *checkpoints: str) -> None:
    """Raise ``RequestError`` for what cannot work.

    ``checkpoints`` are the files below ``request.out`` that ``--resume`` can continue from; one of
    them is enough.
    """
    check_options(request)
    parts = request.accumulate * request.processes
    if request.batch_size % parts:
        raise RequestError(
            f"--batch-size {request.batch_size} does not divide into {parts} parts "
            f"(--accumulate {request.accumulate} x --processes {request.processes})"
        )
    if request.tensorboard:
        check_tensorboard()
    check_device(request.device)
    if request.compile:
        check_compiler(request.device)
    if request.processes > 1 and request.device.startswith("cuda"):
        gpus = torch.cuda.device_count() if request.device == "cuda" else 1
        if request.processes > gpus:
            raise RequestError(
                f"--processes {request.processes} --device {request.device}: each process needs a "
                f"GPU of its own, and there {'are' if gpus != 1 else 'is'} {gpus}; give fewer "
                "processes, or --device cpu"
            )
    if request.processes > 1 and request.device.startswith("mps"):
        raise RequestError(
            f"--processes {request.processes} --device {request.device}: several processes can "
            "share a batch on CUDA or on the CPU alone; give --processes 1, or --device cpu"
        )
    check_folder(request.out)
    if request.resume and not any((request.out / name).is_file() for name in checkpoints):
        raise RequestError(
            f"--resume found no {checkpoints[-1]} in {request.out}; start without --resume"
        )


def check_monitor(request: TrainingRequest) -> None:
    """Raise ``RequestError`` for an encoder that cannot measure this training, by its name alone.

    Scenes at the judges' size are measured by a judge, which cannot be replaced.
    """
    name = request.monitor
    if name is None:
        return
    if judged(request) and name != "scenes":
        raise RequestError(
            f"--monitor {name}: scenes at {request.resolution} px are measured by their judge; "
            "leave out --monitor, or train at another --resolution"
        )
    try:
        encoder = check_encoder(name)
    except MetricError as error:
        raise RequestError(f"--monitor {name}: {error}") from error
    if encoder.partition("+")[0] == "lpips":
        raise RequestError(
            "--monitor lpips: it is a distance between two images and has no features; give an "
            "encoder that has, such as inception"
        )


def judged(request: TrainingRequest) -> bool:
    """Whether the training is of scenes at the size that the judges read."""
    return request.data == "scenes" and request.resolution == _JUDGE_SIDE


def check_data(request: TrainingRequest) -> None:
    """Raise ``RequestError`` for data that are not there, without opening a picture.

    For the process that starts others: the first of them says everything else.
    """
    with _silence():
        if request.data == "scenes":
            open_data(request.data, request.resolution, request.seed)
        else:
            list_captioned(expanded(request.data))


def open_checked(request: TrainingRequest, ranks: Ranks = SINGLE_PROCESS) -> CaptionedImages:
    """Open the data; raises ``RequestError`` if there is none or less than one batch of it.

    The first process opens them before the others: it alone warns, and what it leaves in the cache
    of decoded pictures is found there.
    """
    data = rank_zero_first(ranks, lambda: _open(request))
    if data is None:
        with _silence():
            data = _open(request)
    return data


def _open(request: TrainingRequest) -> CaptionedImages:
    data = open_recorded(request)
    data.require(request.batch_size)
    return data


def open_recorded(request: TrainingRequest) -> CaptionedImages:
    """Open the data; resumed, held-out pictures are those of before, and what changed is said."""
    before = read_data_record(request.out) if request.resume else None
    data = open_data(request.data, request.resolution, request.seed, before)
    if before is not None and isinstance(data, FileImages) and data.record != before:
        print(
            f"warning: {request.data} has changed since the training in {request.out} began: "
            f"{data.record.changes[-1]}; what was held out before still is, new images are "
            "trained on, and the result is not that of either data alone",
            file=sys.stderr,
        )
    return data


def rank_zero_first(ranks: Ranks, work: Callable[[], T]) -> T | None:
    """What the first process makes while the others wait, which get None.

    If it fails the others end without a word: the first one says why.
    """
    if not ranks.first:
        (well,) = ranks.broadcast(0.0)
        if not well:
            raise SystemExit
        return None
    well = 0.0
    try:
        done = work()
        well = 1.0
        return done
    finally:
        ranks.broadcast(well)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Drop what is said on stderr: another process says it."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def refuse_unfinished(request: TrainingRequest, *checkpoints: str) -> None:
    """Raise ``RequestError`` if a fresh training would overwrite one that is not finished.

    ``checkpoints`` are the files below ``request.out`` that one training leaves. It is finished if
    the record that a training writes at its end counts the images of all of them.
    """
    if request.resume:
        return
    saved = [read_checkpoint(p) for name in checkpoints if (p := request.out / name).is_file()]
    held = sum(one["progress"].get("images", 0) for one in saved)
    labels = ", ".join(one["label"] for one in saved)
    record = read_record(request.out / (TEXT_RECORD if labels == TEXT_LABEL else RECORD))
    if held > (record.get("images", 0) if record.get("finished", True) else 0):
        raise RequestError(
            f"{request.out} holds a training that is not finished ({labels}, "
            f"{held / 1000:,.1f} kimg); continue with --resume, give another --out, or start again "
            "with --overwrite"
        )
