"""Prompts and where they come from: built in, installed, or a file that somebody published."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.common.files import expanded
from gandiff.common.names import did_you_mean
from gandiff.common.run_record import SuiteFacts
from gandiff.common.subsets import drawn_order
from gandiff.common.words import agree, counted
from gandiff.experiments.plugins.registry import suite_factory, suite_names
from gandiff.experiments.plugins.shipped import SUITES
from gandiff.experiments.prompts.files import ENDINGS, read_prompt_file
from gandiff.experiments.prompts.sources import TRUTHS, Source, source_of
from gandiff.models.generator import Task
from gandiff.models.tasks import PICTURES

SAFE_ID = re.compile(r"\w[\w.+@ -]*", re.UNICODE)
SCENES_PROMPTS = 128
_ID_BYTES = 120  # leaves room for the sample number and the ending in a file name of 255 bytes


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One text to make images of; ``expected`` are the facts that it states, for metrics.

    The others are for edits: the pictures that a task takes, and how far its result may go (above 0
    and at most 1; None leaves that to the comparison); then what metrics alone see: a right result
    (``target``), where it may differ from the init image (``region``), and in ``edit`` what is said
    of it (``instruction``, ``caption_before``, ``expected_before``, ``changed``, ``kept``).
    """

    id: str
    text: str
    category: str | None = None
    tags: tuple[str, ...] = ()
    negative_prompt: str | None = None
    expected: Mapping[str, Any] | None = None
    init_image: Source | None = None
    mask: Source | None = None
    control_image: Source | None = None
    strength: float | None = None
    target: Source | None = None
    region: Source | None = None
    edit: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Write it as a line of ``prompts.jsonl``; what is for edits stands there if it is there,
        and the pixels never.
        """
        without: dict[str, Any] = dict.fromkeys((*PICTURES, *TRUTHS))
        text = dataclasses.replace(self, **without)
        row = {**dataclasses.asdict(text), "tags": list(self.tags)}
        edit: dict[str, Any] = {name: source.to_dict() for name, source in self.pictures().items()}
        said = {"strength": self.strength, "edit": self.edit}
        edit |= {name: value for name, value in said.items() if value is not None}
        return {k: v for k, v in row.items() if k not in _EDIT} | edit

    def sources(self) -> dict[str, Source]:
        """The pictures that a generator sees, by the field of a request that each becomes."""
        return {name: one for name, one in self.pictures().items() if name in PICTURES}

    def pictures(self) -> dict[str, Source]:
        """All pictures that it brings along, by field."""
        given = {name: getattr(self, name) for name in (*PICTURES, *TRUTHS)}
        return {name: source for name, source in given.items() if source is not None}

    def seen(self) -> list[Any]:
        """What a generator sees of it, as plain data: pictures by their hash."""
        pictures = {name: source.sha256 for name, source in self.sources().items()}
        edit = {**pictures, "strength": self.strength} if pictures else None
        return [self.id, self.text, self.negative_prompt, *filter(None, [edit])]


_EDIT = (*PICTURES, *TRUTHS, "strength", "edit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptSuite:
    """Prompts in order, and where they are from. Ids are unique and safe as file names."""

    name: str
    prompts: tuple[Prompt, ...]
    version: str | None = None
    source: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        check_prompts(self.prompts, self.source or self.name)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of what a generator sees: ids, texts, negative prompts and pictures, in order."""
        seen = [prompt.seen() for prompt in self.prompts]
        return hashlib.sha256(json.dumps(seen, ensure_ascii=False).encode()).hexdigest()

    def describe(self) -> SuiteFacts:
        """Say what ``run.json`` records of a suite."""
        return SuiteFacts(
            name=self.name,
            version=self.version,
            source=self.source,
            licence=self.licence,
            sha256=self.sha256,
            prompts=len(self.prompts),
        )


def open_suite(
    name: str,
    *,
    split: str = "test",
    prompts: int | None = None,
    limit: int | None = None,
    base: Path = Path(),
    begun: Sequence[str] = (),
    task: Task = "text_to_image",
    **edits: Any,
) -> PromptSuite:
    """Open a suite by name or path: exactly the first ``prompts`` of it, then at most ``limit`` of
    those. ``edits`` are the options of ``scene-edits`` alone.

    Where prompts have categories, the limited ones are drawn with the same share of each; a larger
    limit only adds some. ``begun`` are the ids that a run already has, which come first. Of a file
    the columns for ``task`` are read; the pictures that they name are not (``for_task`` does that).
    Raises ``RequestError`` for an unknown name, an unreadable file, no prompts, fewer than asked
    for, and ids that are given twice or cannot be file names.
    """
    found = find_suite(name, base)
    if isinstance(found, Path):
        suite = PromptSuite(
            name=found.stem,
            source=str(found),
            prompts=tuple(Prompt(**row) for row in read_prompt_file(found, task)),
        )
    elif found == "scenes":
        suite = _scenes(split, prompts or SCENES_PROMPTS)
    elif found == "scene-edits":
        suite = _scene_edits(split, prompts or SCENES_PROMPTS, task, edits)
    else:
        suite = _installed(found, split, prompts)
    if prompts is not None and len(suite.prompts) < prompts:
        raise RequestError(
            f"the suite {name} has {counted(len(suite.prompts), 'prompt')}; {prompts} "
            f"{agree(prompts, 'were asked for')}"
        )
    chosen = _in_order(suite.prompts[:prompts], limit is not None, begun)
    return dataclasses.replace(suite, prompts=tuple(chosen[:limit]))


def _in_order(prompts: Sequence[Prompt], limited: bool, begun: Sequence[str]) -> Sequence[Prompt]:
    """The order in which prompts are taken: those of a run, then as drawn or as they stand."""
    ids = {prompt.id: prompt for prompt in prompts}
    if limited and any(prompt.category is not None for prompt in prompts):
        keys = [hashlib.sha256(prompt.id.encode()).hexdigest() for prompt in prompts]
        prompts = drawn_order(prompts, keys, [prompt.category for prompt in prompts])
    if not begun or not ids.keys() >= set(begun):
        return prompts
    return [*(ids[id_] for id_ in begun), *(p for p in prompts if p.id not in set(begun))]


def as_suite(prompts: Any) -> PromptSuite | None:
    """A suite or a list of prompts as a suite; None for what names one: a text, path or mapping.

    Raises ``RequestError`` for anything else.
    """
    if isinstance(prompts, PromptSuite):
        return prompts
    if isinstance(prompts, (str, Path, Mapping)):
        return None
    try:
        texts = [str(text) for text in prompts]
    except TypeError:
        raise RequestError(
            f"suite has the type {type(prompts).__name__}; "
            "expected a name, a file, a PromptSuite or a list of prompts"
        ) from None
    made = tuple(Prompt(id=f"{i:05d}", text=text) for i, text in enumerate(texts))
    return PromptSuite(name="prompts", prompts=made, source="a list of prompts")


def find_suite(name: str, base: Path = Path()) -> str | Path:
    """Tell a name from a path: the name of an installed suite, or an existing file.

    Raises ``RequestError`` when it is neither.
    """
    if name in SUITES:
        return name
    path = (base / expanded(name)).resolve()
    if path.suffix.lower() in ENDINGS or "/" in name or path.is_file():
        if path.is_file():
            return path
        siblings = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        near = did_you_mean(path.name, siblings) if siblings else ""
        raise RequestError(f"there is no prompt file {path}{near if 'mean' in near else ''}")
    if suite_factory(name) is not None:
        return name
    near = did_you_mean(name, suite_names())
    raise RequestError(
        f"no suite is named {name!r}{near} (a file needs one of {', '.join(ENDINGS)})"
    )


def prompt_from_dict(row: Mapping[str, Any], base: Path = Path()) -> Prompt:
    """A prompt as plain data: what ``Prompt.to_dict`` wrote in the run folder ``base``, or what a
    suite that is made by a program gives.

    Pictures are arrays in memory, paths from ``base``, or what was recorded of them, see
    ``source_of``.
    """
    fields = (*PICTURES, *TRUTHS)
    edit: dict[str, Any] = {name: source_of(name, row.get(name), base) for name in fields}
    strength = row.get("strength")
    edit["strength"] = None if strength is None else float(strength)
    return Prompt(**{**row, "tags": tuple(row.get("tags", ())), **edit})


def check_prompts(prompts: Sequence[Prompt], source: str) -> None:
    """Check that there are prompts and their ids are unique and safe; raises ``RequestError``."""
    if not prompts:
        raise RequestError(f"{source} has no prompts")
    folded: dict[str, str] = {}
    for number, prompt in enumerate(prompts, 1):
        unsafe = not SAFE_ID.fullmatch(prompt.id) or prompt.id.endswith((" ", "."))
        if unsafe or len(prompt.id.encode()) > _ID_BYTES:
            raise RequestError(
                f"{source}: the prompt id {prompt.id[:80]!r} (prompt {number}) cannot be a "
                "file name; expected letters, digits and _ . - + @, starting with a letter or digit"
            )
        if not prompt.text.strip():
            raise RequestError(f"{source}: prompt {prompt.id!r} has no text")
        other = folded.setdefault(prompt.id.casefold(), prompt.id)
        if number != len(folded):
            clash = f"beside {other!r}, which is the same file name"
            same = "twice" if other == prompt.id else clash
            raise RequestError(f"{source}: the prompt id {prompt.id!r} is given {same}")


def _scenes(split: str, count: int) -> PromptSuite:
    from gandiff.experiments.scenes import suite as scenes_suite

    try:
        rows = scenes_suite.scene_suite(split, count)
    except ValueError as error:
        raise RequestError(f"suite scenes: {error}") from None
    return PromptSuite(
        name="scenes",
        version=str(getattr(scenes_suite, "SUITE_VERSION", "1")),
        source=f"rendered scenes, {split} split",
        licence="Apache-2.0",
        prompts=tuple(prompt_from_dict(row) for row in rows),
    )


def _scene_edits(split: str, count: int, task: Task, options: Mapping[str, Any]) -> PromptSuite:
    from gandiff.experiments.prompts.scene_edits import scene_edit_rows

    rows = scene_edit_rows(split, count, task, **options)
    return PromptSuite(
        name="scene-edits",
        version="1",
        source=f"edits of rendered scenes, {split} split",
        licence="Apache-2.0",
        prompts=tuple(prompt_from_dict(row) for row in rows),
    )


def _installed(name: str, split: str, count: int | None) -> PromptSuite:
    factory = suite_factory(name)
    made: PromptSuite | Iterable[Mapping[str, Any]] = factory(split, count) if factory else ()
    if isinstance(made, PromptSuite):
        return made
    try:
        prompts = tuple(prompt_from_dict(row) for row in made)
    except (TypeError, ValueError, KeyError) as error:
        raise RequestError(f"the suite {name!r} gave rows that are no prompts: {error}") from None
    return PromptSuite(name=name, source=f"plugin {name}", prompts=prompts)
