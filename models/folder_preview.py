"""What can be said of a folder of images before a run: what is missing, unused, given twice."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from gandiff.common.errors import GeneratorError
from gandiff.common.rows import find_metadata
from gandiff.common.words import agree, counted
from gandiff.models.generator import GenerationRequest, Preview
from gandiff.models.mapping import FileMapping, normal, read_mapping
from gandiff.models.names import Names
from gandiff.models.patterns import (
    DEFAULT_PATTERN,
    Assignment,
    better_pattern,
    name_by_pattern,
    shared_names,
)
from gandiff.models.settings import FolderSettings

_MORE_SAMPLES = 100  # per prompt, beyond those of a run: files that belong to prompts all the same


@dataclasses.dataclass(frozen=True)
class FolderLook:
    """A folder of images and what all requests of a run found in it; they come first."""

    folder: Path
    settings: FolderSettings
    files: Names
    mapping: FileMapping | None
    requests: Sequence[GenerationRequest]
    planned: int  # how many of the requests are of the run
    assignment: Assignment

    @property
    def pattern(self) -> str:
        """The pattern of file names, unless there is a mapping."""
        return self.settings.pattern or DEFAULT_PATTERN

    @functools.cached_property
    def used(self) -> set[str]:
        """Files that a request has."""
        return {file for file in self.assignment.files if file}

    @functools.cached_property
    def doubles(self) -> list[str]:
        """Files that are not used and differ from one that is in ending, case or zeros alone."""
        if self.mapping is not None:
            return []
        left = (name for name in self.files.names if name not in self.used)
        return [n for n in left if any(other in self.used for other in self.files.alike(n))]

    @functools.cached_property
    def unused(self) -> list[str]:
        """Files that belong to no prompt, nor to a sample that the run leaves out."""
        left = set(self.files.names).difference(self.used, self.doubles)
        if left and self.mapping is not None:
            left.difference_update(self.mapping.files_of(self.requests, self.files))
        elif left:
            left -= _of_more_samples(self, left)
        return [name for name in self.files.names if name in left]


def preview_folder(look: FolderLook) -> Preview:
    """Say what the look-up came to; what is certainly wrong names the setting."""
    there, planned = look.assignment.count(look.planned), look.planned
    where = look.settings.folder
    summary = f"{there} of {counted(planned, 'image')} found in {where}"
    guess, wrong = _guess(look) if look.unused or there < planned else ("", False)
    problems, remarks = list(_given_twice(look)), list(_of_the_mapping(look))
    missing = f"{summary}; {_first_missing(look)}" if there < planned else ""
    of = f"{len(look.unused)} of {counted(len(look.files.names), 'file')} in {where}"
    unused = _listed(f"{of} {agree(len(look.unused), 'belong to no prompt')}", look.unused)
    if there == 0 or wrong:
        problems.append("; ".join(filter(None, (missing, unused, guess))))
    else:
        # The guess stands behind what it explains.
        lines = [line for line in (missing, unused) if line]
        remarks += [
            f"{line}; {guess}" if guess and i == 0 else line for i, line in enumerate(lines)
        ]
    if doubles := look.doubles:
        others = counted(len(doubles), f"file in {where}", f"files in {where}")
        differ = agree(len(doubles), "differ from one in use in the ending or in case")
        remarks.append(_listed(f"{others} {differ}", doubles))
    first = look.assignment.first_sample or (look.mapping and look.mapping.first_sample)
    if first and not problems:
        remarks.append(f"the samples in {where} are counted from 1")
    field = "pattern" if look.mapping is None else "mapping"
    return Preview(summary=summary, problems=[(field, text) for text in problems], remarks=remarks)


def _listed(text: str, names: Sequence[str]) -> str:
    """A text with the first names that it is about; nothing where there are none."""
    named = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{text} ({named})" if names else ""


def _given_twice(look: FolderLook) -> Iterator[str]:
    """A pattern that gives several requests one file is wrong."""
    shared = shared_names(look.assignment) if look.mapping is None else {}
    for name, places in list(shared.items())[:1]:
        first, second = (_named(look.requests[place]) for place in places[:2])
        more = f" (and {counted(len(shared) - 1, 'more such file')})" if len(shared) > 1 else ""
        yield (
            f"{look.pattern!r} names {name} for {first} and for {second}{more}; "
            "every image needs a file of its own"
        )


def _named(request: GenerationRequest) -> str:
    return f"prompt {request.prompt_id}, sample {request.sample}"


def _of_the_mapping(look: FolderLook) -> Iterator[str]:
    """What is odd about a mapping, which may still be meant."""
    mapping = look.mapping
    if mapping is None:
        return
    owners: dict[str, set[str | None]] = defaultdict(set)
    for file, request in zip(look.assignment.files, look.requests, strict=True):
        if file is not None:
            owners[file].add(request.prompt_id)
    shared = [file for file, prompts in owners.items() if len(prompts) > 1]
    if shared:
        files = counted(len(shared), "file is", "files are")
        yield _listed(f"{files} given to several prompts by {mapping.path.name}", shared)
    texts = {r.prompt_id: r.prompt for r in look.requests if r.prompt_id is not None}
    other = [
        (id_, mapping.texts[normal(id_)], text)
        for id_, text in texts.items()
        if normal(text) != mapping.texts.get(normal(id_), normal(text))
    ]
    if other:
        id_, theirs, ours = other[0]
        yield (
            f"{len(other)} of {counted(len(texts), 'prompt')} "
            f"{agree(len(other), 'have another text')} in {mapping.path.name}: "
            f"{id_} is {theirs[:60]!r} there and {ours[:60]!r} here"
        )


def _of_more_samples(look: FolderLook, left: set[str]) -> set[str]:
    if "{sample" not in look.pattern:
        return set()
    prompts = list({request.prompt_id: request for request in look.requests}.values())
    following = 1 + max((request.sample for request in look.requests), default=-1)
    theirs: set[str] = set()
    for sample in range(following, following + _MORE_SAMPLES):
        before = len(theirs)
        for prompt in prompts:
            request = dataclasses.replace(prompt, sample=sample)
            with contextlib.suppress(LookupError):
                name = name_by_pattern(look.pattern, request, look.assignment.first_sample)
                theirs.update(left.intersection(look.files.alike(name)))
        if len(theirs) == before:
            break
    return theirs


def _first_missing(look: FolderLook) -> str:
    place = look.assignment.files[: look.planned].index(None)
    name = look.assignment.expected[place]
    near = look.files.nearest(name) if name else None
    if not name or f"no file {name}" not in look.assignment.reasons[place]:
        return look.assignment.reasons[place]
    return f"expected {name}" + (f", nearest is {near}" if near else "")


def _guess(look: FolderLook) -> tuple[str, bool]:
    """How the names may be meant instead, and whether the present way is certainly wrong.

    It is if another pattern finds more files and gives one of them to another prompt.
    """
    present, requests = look.assignment, look.requests
    best = better_pattern(look.files, requests, look.used)
    if best is not None:
        pattern, other = best
        theirs = _owners(other, requests)
        conflict = any(
            theirs.get(file, owner) != owner for file, owner in _owners(present, requests).items()
        )
        conflict = conflict and look.mapping is None  # a mapping knows what names need not say
        more = other.count() > present.count()
        # One more name at the beginning shifts them all; one more at the end is an unused file.
        earlier = "{index-1}" in pattern and theirs.keys() - look.used
        as_well = conflict and other.count() == present.count() and earlier
        if more or as_well:
            would = f"pattern {pattern!r} would find {other.count(look.planned)}"
            return _because(look, pattern) + would, more and conflict
    usual = find_metadata(look.folder) if look.mapping is None else None
    if usual is not None:
        with contextlib.suppress(GeneratorError):
            by_table = read_mapping(usual, look.folder).assign(look.files, requests)
            if by_table.count() > present.count():
                would = f"mapping {usual.name!r} would find {by_table.count(look.planned)}"
                return f"the pattern is used, not {usual.name}; {would}", False
    return "", False


def _because(look: FolderLook, pattern: str) -> str:
    if look.mapping is not None:
        return f"{look.mapping.path.name} is used, not a pattern; "
    step = -1 if "{index-1}" in pattern else int("{index+1}" in pattern)
    numbers = [int(n[0]) for r in look.requests if (n := re.search(r"\d+$", r.prompt_id or ""))]
    if not step or not numbers:
        return ""
    return f"names start at {min(numbers) + step}, prompts at {min(numbers)}; "


def _owners(assignment: Assignment, requests: Sequence[GenerationRequest]) -> dict[str, str | None]:
    pairs = zip(assignment.files, requests, strict=True)
    return {file: request.prompt_id for file, request in pairs if file is not None}
