"""Edits side by side: the picture before, what was given with it, and what each generator made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.common.run_record import IMAGES, UNCOMPOSITED
from gandiff.reports.gallery import Picture, chosen_prompts, picture_of
from gandiff.reports.run_data import ImageLine, RunData
from gandiff.reports.thumbnails import data_uri, thumbnail
from gandiff.reports.wrong_facts import WrongFacts

MOST = 10  # prompts
_GIVEN = {"init_image": "before", "mask": "mask", "control_image": "given", "target": "target"}


@dataclasses.dataclass(frozen=True)
class Made:
    """What a generator made of an edit; ``before`` is that before known pixels were put back."""

    generator: str
    picture: Picture
    before: str | None


@dataclasses.dataclass(frozen=True)
class ShownEdit:
    """One prompt: what is asked for, the pictures that were given by their names, and results."""

    text: str
    caption: str
    category: str
    given: Mapping[str, str | None]
    made: tuple[Made, ...]


@dataclasses.dataclass(frozen=True)
class ShownEdits:
    """The edits that a report shows, the names of the given pictures, and the generators."""

    task: str
    edits: tuple[ShownEdit, ...] = ()
    given: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    has_before: bool = False  # whether some were made before known pixels were put back


def shown_edits(run: RunData, preferred: str | None = None, most: int = MOST) -> ShownEdits:
    """The first sample of some prompts, all kinds of edits in turn; none of a run of text alone."""
    task = str(run.record.comparison.get("task") or "text_to_image")
    if task == "text_to_image":
        return ShownEdits(task)
    places = {(i.generator, i.prompt_id): i for i in run.images if i.sample == 0}
    wrong = WrongFacts.of(run, preferred)
    edits = tuple(_edit(run, prompt, places, wrong) for _, prompt in chosen_prompts(run)[:most])
    return ShownEdits(
        task,
        edits,
        tuple(name for name in _GIVEN.values() if any(edit.given.get(name) for edit in edits)),
        tuple(run.generators),
        any(made.before for edit in edits for made in edit.made),
    )


def _edit(
    run: RunData,
    prompt: Mapping[str, Any],
    places: Mapping[tuple[str, str], ImageLine],
    wrong: WrongFacts,
) -> ShownEdit:
    said = prompt.get("edit")
    said = said if isinstance(said, Mapping) else {}
    caption, identity = str(prompt.get("text") or ""), str(prompt.get("id"))
    instruction = str(said.get("instruction") or "")
    return ShownEdit(
        text=instruction or caption,
        caption=caption if instruction else "",
        category=str(prompt.get("category") or ""),
        given={name: _uri(run, _path(prompt, field)) for field, name in _GIVEN.items()},
        made=tuple(_made(run, identity, places, wrong)),
    )


def _made(
    run: RunData,
    identity: str,
    places: Mapping[tuple[str, str], ImageLine],
    wrong: WrongFacts,
) -> Iterator[Made]:
    for name in run.generators:
        line = places.get((name, identity))
        facts: Sequence[str] = wrong.by_image.get((name, identity, 0), ())
        picture, _ = picture_of(run, line, 0, tuple(facts))
        before = None
        if line is not None and line.uncomposited and line.path:
            before = _uri(run, f"{UNCOMPOSITED}{line.path.removeprefix(IMAGES)}")
        yield Made(name, picture, before)


def _path(prompt: Mapping[str, Any], field: str) -> object:
    source = prompt.get(field)
    return source.get("path") if isinstance(source, Mapping) else None


def _uri(run: RunData, relative: object) -> str | None:
    file = run.file(relative)
    png = None if file is None else thumbnail(file)
    return None if png is None else data_uri(png)
