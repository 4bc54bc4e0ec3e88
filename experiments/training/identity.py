"""When two trainings are the same: what was asked for counts, by value, not the command's text."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.assignments import read_value
from gandiff.common.files import expanded
from gandiff.common.options import flag
from gandiff.experiments.training.precision import resolve_precision
from gandiff.experiments.training.request import TrainingRequest, chosen_device

_NO_MATTER = {"out", "resume", "overwrite", "tensorboard", "quiet", "command"}


def training_digest(
    request: TrainingRequest, recipe: Mapping[str, object], captions_sha256: str | None
) -> str:
    """Sha256 of what decides a training: request, recipe and data (the captions of a folder).

    Where it writes, and what it shows meanwhile, makes no difference.
    """
    values = dataclasses.asdict(request)
    asked = {name: value for name, value in values.items() if name not in _NO_MATTER}
    if request.kimg is not None:  # which takes the place of the minutes
        del asked["minutes"]
    if not request.compile:  # older trainings do not know it
        del asked["compile"]
    asked["device"] = request.device.partition(":")[0]  # of several processes each has its own
    asked["data"] = captions_sha256 or request.data
    text = json.dumps(plain([asked, recipe]), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def data_identity(request: TrainingRequest, captions_sha256: str | None) -> dict[str, Any]:
    """What cannot change when a training is resumed: it would see other pictures."""
    return {
        "data": Path(request.data).name,
        "seed": request.seed,
        "resolution": request.resolution,
        "captions_sha256": captions_sha256,
    }


def stated_options(request: TrainingRequest) -> dict[str, Any]:
    """What may change when a training is resumed, and changes what its steps compute."""
    names = ("batch_size", "accumulate", "processes", "compile", "monitor")
    return {
        **{name: getattr(request, name) for name in names},
        "dtype": resolve_precision(request.dtype, request.device),
        "device": request.device.partition(":")[0],  # of several processes each has its own
    }


def stated_start(
    request: TrainingRequest, recipe: Mapping[str, object] | None, captions_sha256: str | None
) -> dict[str, Any]:
    """What a start of a training was asked for with."""
    start: dict[str, Any] = {"command": request.command, "options": stated_options(request)}
    if recipe:
        digest = training_digest(request, recipe, captions_sha256)
        start |= {"recipe": dict(recipe), "digest": digest}
    return start


def plain(value: Any) -> Any:
    """Values as they compare: 5 is 5.0, and a tuple, which JSON does not have, is a list."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return float(value) if type(value) is int else value


def recorded_digest(
    recorded: Mapping[str, Any], request: TrainingRequest, captions_sha256: str | None
) -> str | None:
    """The digest of a start or a record, as far as it says; None where it does not.

    Older ones have none: it follows from their recipe and the options of their command, which
    Python did not write. Their data are taken for those of ``request`` if they lie there.
    """
    if "digest" in recorded:
        return str(recorded["digest"])
    asked = _asked_by(str(recorded.get("command", "")), request)
    if asked is None or "recipe" not in recorded:
        return None
    if same_place(asked.data, request.data):
        asked = dataclasses.replace(asked, data=request.data)
    return training_digest(
        asked, recorded["recipe"], captions_sha256 if asked.data == request.data else None
    )


def _asked_by(command: str, request: TrainingRequest) -> TrainingRequest | None:
    """What a command line of ``gandiff train gan`` asks for; None for another."""
    program, *words = shlex.split(command) or [""]
    if (program, words[:2]) != ("gandiff", ["train", "gan"]):
        return None
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for field in dataclasses.fields(TrainingRequest):
        if field.name not in _NO_MATTER:
            parser.add_argument(flag(field.name), default=argparse.SUPPRESS)
    given, _ = parser.parse_known_args(words)
    values = {name: read_value(TrainingRequest, name, text) for name, text in vars(given).items()}
    values["device"] = chosen_device(values.get("device", "auto"))
    return TrainingRequest(out=request.out, **values)


def same_place(before: str | None, now: str | None) -> bool:
    """Whether two names are the same, or two paths lead to the same place.

    A folder may be called like the scenes, which are no place.
    """
    if before == now or None in (before, now) or "scenes" in (before, now):
        return before == now
    a, b = expanded(str(before)), expanded(str(now))
    return a.exists() and b.exists() and a.samefile(b)


def same_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether data, by ``data`` (the folder's name) and ``captions_sha256``, are the same.

    A folder keeps its captions where it is moved to, and its name where pictures are added.
    """
    a, b = (one.get("captions_sha256") for one in (before, now))
    if a is not None and a == b:
        return True
    kinds_differ = "captions_sha256" in before and (a is None) != (b is None)
    return bool(before["data"] == now["data"]) and not kinds_differ
