"""The record beside a text encoder: what it was made from, and how many captions it cuts."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.experiments.data.captioned import CaptionedImages, FileImages
from gandiff.experiments.data.record import DATA_RECORD
from gandiff.experiments.training.checkpoints import clear_model
from gandiff.experiments.training.identity import same_place
from gandiff.experiments.training.records import TEXT_RECORD, read_record
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.text import TextEncoder, truncation_message

TEXT_PARTS = ("text_encoder", "tokenizer")  # folders
KEPT_TEXT = f"state/{TEXT_PARTS[0]}"  # as it was before a denoiser trained it along
ALL = 1 << 30  # captions
_CHUNK = 10_000  # captions that are read at once


class Difference(NamedTuple):
    """In what the text encoder that is there is not the one asked for, and what to do."""

    problem: str
    remedy: str


def difference(
    facts: Mapping[str, Any], request: TrainingRequest, data: CaptionedImages
) -> Difference | None:
    """What differs between a record and a request; None if nothing does.

    Records of older versions lack some fields: what they do not say is taken to be right.
    """
    if not facts.keys() & {"source", "data"}:
        return None
    before, now = facts.get("source"), request.text_encoder
    if not same_place(before, now):
        return _option("text-encoder", before, now)
    if now is not None:
        return None
    seed = facts.get("seed", request.seed)
    return _other_data(facts, request, data) or (
        _option("seed", seed, request.seed) if seed != request.seed else None
    )


def _other_data(
    facts: Mapping[str, Any], request: TrainingRequest, data: CaptionedImages
) -> Difference | None:
    before, now = facts.get("captions_sha256"), captions_digest(data)
    here = same_place(facts.get("data"), request.data)
    if (here and None in (before, now)) or (now is not None and before == now):
        return None
    if not here:
        return _option("data", facts.get("data"), request.data)
    # A resumed training keeps the text encoder that it knows, though the folder has changed.
    problem = f"was made from captions that {request.data} does not have now"
    return None if request.resume else Difference(problem, "")


def _option(name: str, before: object, now: object) -> Difference:
    made, asked = (
        f"without --{name}" if value is None else f"with --{name} {value}"
        for value in (before, now)
    )
    remedy = f"leave out --{name}" if before is None else f"give --{name} {before}"
    return Difference(f"was made {made} and is asked for {asked}", remedy)


def captions_digest(data: CaptionedImages) -> str | None:
    """The sha256 of all captions of a folder, wherever it lies; None for endless data."""
    if data.count is None:
        return None
    return hashlib.sha256("\n".join(data.captions(ALL)).encode()).hexdigest()


def made_facts(encoder: TextEncoder, data: CaptionedImages) -> dict[str, Any]:
    """What the record of a new text encoder says of the captions that it learns from."""
    digest = captions_digest(data)
    return cut_facts(encoder, data) | ({"captions_sha256": digest} if digest else {})


def keep_data(request: TrainingRequest, data: CaptionedImages) -> None:
    """Record in the training's folder which pictures there are, and which are held out."""
    if isinstance(data, FileImages):
        known = read_record(request.out / TEXT_RECORD).get("captions_sha256")
        recorded = (request.out / DATA_RECORD).is_file()
        if request.resume and not recorded and known not in (None, captions_digest(data)):
            print(
                f"warning: the captions of {request.data} have changed since the training in "
                f"{request.out} began, whose version did not record its images: some that were "
                "held out may be trained on now",
                file=sys.stderr,
            )
        data.record.write(request.out)
    else:
        (request.out / DATA_RECORD).unlink(missing_ok=True)


def cut_facts(encoder: TextEncoder, data: CaptionedImages) -> dict[str, Any]:
    """How many captions of a folder the encoder cuts, for the record and on stderr.

    Nothing for endless data. ``count`` and ``cut`` are captions, ``tokens`` what it reads of each.
    """
    if data.count is None:
        return {}
    texts, limit = data.captions(ALL), encoder.tokenizer.model_max_length
    chunks = (texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK))
    cut = sum(unread > 0 for chunk in chunks for unread in encoder.truncated(chunk))
    if cut:
        message = truncation_message(cut, len(texts), "caption", encoder.tokenizer)
        print(f"warning: {message}", file=sys.stderr)
    return {"captions": {"count": len(texts), "cut": cut, "tokens": limit}}


def clear(folder: Path) -> None:
    """Remove a text encoder, of which some files would stay beside those of another kind, what is
    kept of it, and the generator that was trained with it.
    """
    clear_model(folder)
    (folder / TEXT_RECORD).unlink(missing_ok=True)
    for part in (*TEXT_PARTS, KEPT_TEXT):
        shutil.rmtree(folder / part, ignore_errors=True)


def text_summary(folder: Path) -> dict[str, Any]:
    """What training the text encoder cost and reached, and how many captions it cuts."""
    record: dict[str, Any] = json.loads((folder / TEXT_RECORD).read_text(encoding="utf-8"))
    names = ("seconds", "images", "validation", "source", "captions")
    return {name: record[name] for name in names if name in record}
