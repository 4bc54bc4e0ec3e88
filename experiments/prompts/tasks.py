"""A suite for a task: the pictures that it takes, read and checked before anything is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gandiff.common.errors import RequestError, show
from gandiff.experiments.prompts.sources import (
    TRUTHS,
    Field,
    Pixels,
    Source,
    copy_name,
    pixels_sha256,
    read_file,
)
from gandiff.experiments.prompts.suites import Prompt, PromptSuite
from gandiff.models.generator import GeneratorInfo, Task
from gandiff.models.tasks import (
    PICTURES,
    SOURCES,
    check_control,
    check_mask,
    size_of,
    takes_strength,
)

_RESTORE = "; the comparison file, run again, restores it"


def for_task(
    suite: PromptSuite, task: Task, folder: Path, recorded: Sequence[Prompt] = ()
) -> PromptSuite:
    """The suite with the pictures that a task takes, and with nothing else of the kind.

    ``folder`` is that of the run, which will keep copies. ``recorded`` are the prompts that it has
    already: a picture whose file is gone since is taken to be what was recorded under that name.
    Raises ``RequestError`` for the first picture that is missing or does not fit.
    """
    _need_columns(suite, task)
    known = {prompt.id: prompt for prompt in recorded}
    prompts, problems, first = [], list[str](), dict[Field, _First]()
    for prompt in suite.prompts:
        try:
            prompts.append(_prepared(prompt, task, folder, known.get(prompt.id), first))
        except ValueError as error:
            problems.append(f"{_name(suite)}: prompt {prompt.id!r}: {error}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RequestError(f"{problems[0]}{more}")
    return dataclasses.replace(suite, prompts=tuple(prompts))


def strength_of(prompt: Prompt, task: Task, strength: float | None) -> float | None:
    """How far an edit may go: as the prompt says, else the comparison's ``strength``."""
    if not takes_strength(task):
        return None
    return strength if prompt.strength is None else prompt.strength


def source_differences(old: Prompt, new: Prompt) -> Iterator[str]:
    """What two prompts of one id bring along that is not the same, a phrase for each."""
    for field in PICTURES:
        before, after = (getattr(one, field) for one in (old, new))
        if getattr(before, "sha256", None) != getattr(after, "sha256", None):
            yield f"the {field} of prompt {old.id!r} is another picture here"
    if old.strength != new.strength:
        yield (
            f"the strength of prompt {old.id!r} is {show(old.strength)} there and "
            f"{show(new.strength)} here"
        )


def _need_columns(suite: PromptSuite, task: Task) -> None:
    for field in SOURCES[task]:
        if not any(getattr(prompt, field) for prompt in suite.prompts):
            raise RequestError(
                f"{_name(suite)}: no prompt has {field}, which the task {task} takes; in a .csv, "
                f".tsv or .jsonl file of prompts the column {field} names a picture; the suite "
                "scene-edits has them all"
            )


def _name(suite: PromptSuite) -> str:
    return suite.source or suite.name


class _First(NamedTuple):
    """The size that the pictures of a suite have, and the prompt that says so."""

    size: str
    prompt: str


def _prepared(
    prompt: Prompt,
    task: Task,
    folder: Path,
    recorded: Prompt | None,
    first: dict[Field, _First],
) -> Prompt:
    """The prompt with its pictures as they are read now; raises ``ValueError``."""
    fields: dict[str, Any] = dict.fromkeys((*PICTURES, *TRUTHS))
    pixels: dict[Field, Pixels] = {}
    for field in (*SOURCES[task], *_truths(task)):
        source: Source | None = getattr(prompt, field)
        if source is None and field in PICTURES:
            raise ValueError(f"it has no {field}, which the task {task} takes")
        if source is not None:
            pixels[field], fields[field] = _read(source, folder, getattr(recorded, field, None))
    for field, array in pixels.items():
        try:
            _check(field, array, pixels, prompt, first)
            # Runs of before took any control image.
            if field == "control_image" and getattr(recorded, field, None) != fields[field]:
                check_control(array)
        except ValueError as error:
            name = " ".join(filter(None, [field, fields[field].origin]))
            raise ValueError(f"{name} {error}") from None
    strength = prompt.strength if takes_strength(task) else None
    if strength is not None:
        check_strength(strength)
    return dataclasses.replace(prompt, **fields, strength=strength)


def _truths(task: Task) -> Sequence[Field]:
    """What metrics can use besides; a region where there is an init image and no mask says it."""
    pictures = SOURCES[task]
    has_region = "init_image" in pictures and "mask" not in pictures
    return [one for one in TRUTHS if pictures and (one == "target" or has_region)]


def _check(
    field: Field,
    array: np.ndarray,
    pixels: Mapping[Field, np.ndarray],
    prompt: Prompt,
    first: dict[Field, _First],
) -> None:
    """Raise ``ValueError`` for a picture that does not fit the others."""
    if field in ("mask", "region"):
        check_mask(array, pixels["init_image"])
        return
    size, other = first.setdefault(field, _First(size_of(array), prompt.id))
    if size_of(array) != size:  # images of one generator have one size
        raise ValueError(
            f"is {size_of(array)}, and that of prompt {other!r} {size}; must be of one size"
        )
    given = next(iter(pixels))
    if field == "target" and size_of(pixels[given]) != size:
        raise ValueError(
            f"is {size}, and the {given} {size_of(pixels[given])}; must be of its size"
        )


def wrong_size(suite: PromptSuite, info: GeneratorInfo) -> str | None:
    """Why the pictures of a suite do not fit those that a generator makes; None where they do or
    where that is not known. ``for_task`` has read them: those of a field have one size.
    """
    side = info.resolution
    for field, source in suite.prompts[0].sources().items():
        if side and source.size and source.size != (side, side):
            width, height = source.size
            scenes = suite.name == "scene-edits"
            mend = f"set suite.resolution: {side}" if scenes else "resize the pictures"
            return (
                f"its images are {side}x{side} px, and the {field} of the prompts "
                f"{width}x{height} px; must be of one size ({mend})"
            )
    return None


def check_strength(value: float) -> None:
    """Raise ``ValueError`` for a strength that is none."""
    if not (math.isfinite(value) and 0 < value <= 1):
        raise ValueError(f"strength must be above 0 and at most 1, got {value:g}")


def _read(source: Source, folder: Path, recorded: Source | None) -> tuple[Pixels, Source]:
    """The pixels, and the source with their hash and the place of the copy."""
    if recorded is not None and recorded.origin == source.origin and _is_gone(source, recorded):
        source = recorded
    if source.pixels is not None:
        pixels = source.pixels
    else:
        try:
            pixels = read_file(source)
        except ValueError as error:
            restore = _RESTORE if source.file is None else ""
            raise ValueError(f"{source.field}: {error}{restore}") from None
    sha256 = pixels_sha256(pixels)
    if source.sha256 not in (None, sha256):
        problem = "is not the picture that the run was planned with"
        raise ValueError(f"{source.field}: {source.copy} {problem}{_RESTORE}")
    file = source.copy if source.file is None else source.file
    copy = folder / copy_name(sha256)
    size = (pixels.shape[1], pixels.shape[0])
    return pixels, dataclasses.replace(source, sha256=sha256, copy=copy, file=file, size=size)


def _is_gone(source: Source, recorded: Source) -> bool:
    """Whether a file is gone of which the run has a copy."""
    there = recorded.copy is not None and recorded.copy.is_file()
    return there and source.file is not None and not source.file.exists()


def pictures_of(prompt: Prompt) -> dict[str, Any]:
    """The pictures that a prompt brings along, read, by the field of a request that each becomes;
    raises ``RequestError`` where one is gone.
    """
    return {name: source.read() for name, source in prompt.sources().items()}
