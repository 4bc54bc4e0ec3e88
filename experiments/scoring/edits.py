"""The pictures and facts of edits beside the images of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.common.files import file_sha256
from gandiff.evaluate.metric import EditRecord, ImageRecord
from gandiff.experiments.prompts.sources import Source
from gandiff.experiments.prompts.suites import Prompt, PromptSuite
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import ImageEntry, beside
from gandiff.models.generator import Task

_SAID = ("caption_before", "changed", "kept")


def edit_records(run: Run) -> Mapping[str, EditRecord]:
    """What each prompt's images began from and were to become; none of a run of text alone.

    Raises ``RequestError`` for a copy of a picture that is gone.
    """
    if run.comparison.task == "text_to_image":
        return {}
    return {prompt.id: _record(prompt) for prompt in run.suite.prompts}


def with_uncomposited(
    edit: EditRecord | None, entry: ImageEntry, folder: Path
) -> EditRecord | None:
    """The record with what an image was before known pixels were put back, if that is there."""
    if edit is None or entry.path is None or entry.uncomposited is None:
        return edit
    path = folder / beside(entry.path)
    before = ImageRecord(path=path, sha256=entry.uncomposited, group=entry.prompt_id)
    return dataclasses.replace(edit, uncomposited=before)


def brought(suite: PromptSuite, task: Task) -> frozenset[str]:
    """The fields of ``EditRecord`` that a prompt of a suite brings along."""
    if task == "text_to_image":
        return frozenset()
    fields = {name for prompt in suite.prompts for name in _pictures(prompt)}
    said = {name for prompt in suite.prompts for name in _SAID if (prompt.edit or {}).get(name)}
    return frozenset(fields | said)


def _pictures(prompt: Prompt) -> dict[str, Source]:
    """Its pictures by the field of a record; a mask says where the result may differ."""
    given = prompt.pictures()
    mask = given.pop("mask", None)
    return {"region": mask, **given} if mask is not None else given


def _record(prompt: Prompt) -> EditRecord:
    fields: dict[str, Any] = {name: (prompt.edit or {}).get(name) for name in _SAID}
    fields |= {name: _picture(prompt, name, source) for name, source in _pictures(prompt).items()}
    return EditRecord(**fields)


def _picture(prompt: Prompt, field: str, source: Source) -> ImageRecord:
    assert source.copy is not None  # for_task gives each its place in the run
    try:
        return ImageRecord(path=source.copy, sha256=file_sha256(source.copy), group=prompt.id)
    except OSError as error:
        raise RequestError(
            f"the {field} of prompt {prompt.id!r} cannot be read: {source.copy}: "
            f"{error.strerror or error}; the comparison file, run again, restores it"
        ) from None
