"""Checkpoints: the whole state of a training in one file that cannot run code."""

from __future__ import annotations

import contextlib
import io
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from gandiff.common.errors import RequestError
from gandiff.common.files import write_atomically
from gandiff.common.renamed import current_names, current_networks
from gandiff.experiments.training.identity import plain, same_data
from gandiff.experiments.training.progress import LOG, TENSORBOARD
from gandiff.experiments.training.records import CHECKPOINT as CHECKPOINT
from gandiff.experiments.training.records import RECORD
from gandiff.models.gan.config import CONFIG, WEIGHTS
from gandiff.models.gan.model import CARD

BEST = "checkpoint-best.pt"
CONTROLNET = "diffusion_pytorch_model.safetensors"  # of a ControlNet, as diffusers names it
SAMPLES, BEST_FOLDER = "samples", "best"
_MODEL = (CONFIG, WEIGHTS, CONTROLNET, CARD, "model_index.json")


@runtime_checkable
class Stateful(Protocol):
    """Modules, optimisers and averages: whatever a checkpoint must hold."""

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take a state back."""


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write through a temporary name: the previous file survives until the new one is complete.

    Raises ``OSError`` if the disk is full, and then leaves nothing behind.
    """
    # Through memory, so that a full disk is an OSError as everywhere else.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_atomically(path, buffer.getbuffer(), durable=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: ``label``, ``progress``, ``state``; it cannot run code."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise RequestError(f"{path} is no checkpoint that can be read; delete it") from error
    if not isinstance(saved, dict) or not {"label", "progress", "state"} <= set(saved):
        raise RequestError(
            f"{path} is not a checkpoint of gandiff; delete it or give another --out"
        )
    current = {"progress": current_names(saved["progress"])}
    if saved.get("networks") is not None:
        current["networks"] = current_networks(saved["label"], saved["networks"])
    return saved | current


def refuse_another(
    path: Path, saved: Mapping[str, Any], label: str, asked: Mapping[str, Any]
) -> None:
    """Raise ``RequestError`` if a checkpoint is of another training than the one asked for."""
    if saved["label"] != label:
        raise RequestError(
            f"{path} is a checkpoint of {saved['label']!r}, not of {label!r}; give another --out"
        )
    before = saved.get("asked")
    if before is None:
        return
    for name, same in (
        ("data", same_data(before, asked)),
        ("seed", before["seed"] == asked["seed"]),
        # Which older ones do not say.
        ("resolution", before.get("resolution", asked["resolution"]) == asked["resolution"]),
    ):
        if not same:
            raise RequestError(
                f"{path} is of a training with --{name} {before[name]}, not {asked[name]}; "
                "give what it was started with, or another --out"
            )


def restore(
    path: Path,
    saved: Mapping[str, Any],
    parts: Mapping[str, Stateful],
    networks: Mapping[str, object] | None = None,
) -> None:
    """Give every part its state back; raises ``RequestError`` if one does not fit.

    ``networks`` is what the networks are now; it says which number of theirs differs.
    """
    refuse_other_networks(path, saved, networks or {})
    try:
        for name, part in parts.items():
            part.load_state_dict(saved["state"][name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise RequestError(
            f"{path} does not fit the {saved['label']} asked for; "
            "use the --resolution and --data that it was started with"
        ) from error


def refuse_other_networks(
    path: Path, saved: Mapping[str, Any], networks: Mapping[str, object], *, partly: bool = False
) -> None:
    """Raise ``RequestError`` if a checkpoint is of other networks than these.

    ``partly``: what is not named is not known yet, and not looked at.
    """
    before = saved.get("networks")
    if before is None:
        return
    if partly:
        before = {name: value for name, value in before.items() if name in networks}
    differs = describe_difference(before, networks)
    if differs:
        raise RequestError(
            f"{path} holds another {saved['label']} than is asked for: {differs}; "
            "use the options that it was started with, or another --out"
        )


def describe_difference(saved: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """Which fields of two configurations differ, in words; empty if none does."""
    names = [*wanted, *(name for name in saved if name not in wanted)]
    missing = "nothing"
    return "; ".join(
        f"{name} is {saved.get(name, missing)} there and {wanted.get(name, missing)} here"
        for name in names
        if plain(saved.get(name, missing)) != plain(wanted.get(name, missing))
    )


def describe_changes(
    starts: Sequence[Mapping[str, Any]],
    recipe: Mapping[str, object],
    options: Mapping[str, object],
) -> list[str]:
    """What a training has now that its last start had not, as far as that says.

    Neither is read from the checkpoint: options that are left out are the usual.
    """
    start = starts[-1] if starts else {}
    asked = (("recipe", "another recipe", recipe), ("options", "other options", options))
    differ = {what: describe_difference(start.get(key, now), now) for key, what, now in asked}
    return [f"{what} than it had: {differs}" for what, differs in differ.items() if differs]


def numbered(folder: Path) -> list[Path]:
    """The checkpoints kept beside the latest one, oldest first."""
    return sorted(folder.glob("checkpoint-[0-9]*.pt"), key=lambda path: path.name)


def clear_training(folder: Path) -> None:
    """Remove what an older training left, before a new one begins in its folder.

    A checkpoint that stayed would be resumed, a record would say that the new one is finished,
    and TensorBoard would draw both trainings as one.
    """
    clear_model(folder)
    names = (CHECKPOINT, BEST, RECORD, LOG)
    unfinished = folder.glob("checkpoint*.tmp")  # of a process that was killed while it wrote
    for old in (*(folder / name for name in names), *numbered(folder), *unfinished):
        old.unlink(missing_ok=True)
    for old in (folder / TENSORBOARD).glob("events.out.tfevents.*"):
        old.unlink()


def clear_model(folder: Path) -> None:
    """Remove the model that an older training made, before a part that it needs changes.

    With another text encoder beside it, it would load, and draw anything but the captions. Where no
    training of ours has been, files of these names are somebody's.
    """
    if not any((folder / name).is_file() for name in (RECORD, CHECKPOINT)):
        return
    for name in _MODEL:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / BEST_FOLDER, ignore_errors=True)
    own = ("reals", "neighbours", "truncation", "guidance", "control")
    for pattern in ("kimg-*.png", *(f"{name}.png" for name in own)):
        for picture in (folder / SAMPLES).glob(pattern):  # others are somebody's
            picture.unlink()
    with contextlib.suppress(OSError):  # if nothing is left in it
        (folder / SAMPLES).rmdir()


def keep_latest(folder: Path, keep: int, images: int) -> None:
    """Keep a copy of the latest checkpoint under its number of images; drop all but ``keep - 1``.

    A hard link where the file system has them: no second copy is written.
    """
    if keep > 1:
        copy = folder / f"checkpoint-{images:010d}.pt"
        copy.unlink(missing_ok=True)
        try:
            copy.hardlink_to(folder / CHECKPOINT)
        except OSError:
            write_atomically(copy, (folder / CHECKPOINT).read_bytes())
    for old in numbered(folder)[: -(keep - 1) or None]:
        old.unlink(missing_ok=True)
