"""What a run folder holds: the names of its files, the columns of its tables, and ``run.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gandiff.common.errors import RequestError, SettingError
from gandiff.common.files import read_json
from gandiff.common.renamed import current_facts
from gandiff.common.validation import check_value

SCHEMA = 1  # of run.json
OFF_NATIVE = "†"  # in tables, behind a generator that runs far from what it was made for

RECORD = "run.json"
COMPARISON_FILE = "comparison.yaml"  # as it was given
PROMPTS = "prompts.jsonl"
SOURCES = "sources"  # a folder: the pictures that prompts bring along, by content
IMAGES = "images"  # a folder for each generator
UNCOMPOSITED = "uncomposited"  # the same places: images before known pixels were put back
LOG = "images.jsonl"  # a line for each image
INPUTS = "inputs.jsonl"  # a line for each file outside of the run that was read
TRACES = "traces/traces.json"
TIMING, SCORES = "timing.parquet", "scores.parquet"
RESULTS, DIFFERENCES = "results.parquet", "differences.parquet"
CATEGORIES = "categories.parquet"
ANCHORS = "anchors.parquet"  # what real images, noise and plain grounds get
DESCRIPTIONS = "metrics.json"  # what each metric of the results says of itself
REPORT = "report/report.html"
TASKS = "tasks.json"  # in a folder of runs, one of each task of a comparison: their names

COLUMNS = {
    TIMING: ("generator", "round", "phase", "batch_size", "warmups", "repeat", "seconds"),
    SCORES: (
        *("key", "generator", "prompt_id", "sample", "category", "metric", "value", "denominator"),
    ),
    RESULTS: (
        *("generator", "metric", "value", "low", "high", "unit", "direction", "target"),
        *("images", "references", "protocol", "note"),
    ),
    CATEGORIES: ("generator", "metric", "category", "value", "low", "high", "prompts"),
    ANCHORS: ("anchor", "metric", "value", "low", "high", "images", "references"),
    DIFFERENCES: (
        *("a", "b", "metric", "difference", "low", "high", "win_rate", "p_value", "prompts"),
        *("clusters", "effect_size", "p_holm", "prompts_needed", "detectable"),
        *("farther", "farther_low", "farther_high"),
        *("ratio", "ratio_low", "ratio_high"),
    ),
}

_Part = TypeVar("_Part")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteFacts:
    """Which prompts a run is on; ``prompts`` is their number."""

    name: str = ""
    version: str | None = None
    source: str | None = None
    licence: str | None = None
    sha256: str | None = None
    prompts: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and the software; ``git`` is the commit and whether the code was changed."""

    python: str | None = None
    platform: str | None = None
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    device: str | None = None
    device_name: str | None = None
    driver: str | None = None
    packages: Mapping[str, str] = dataclasses.field(default_factory=dict)
    git: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorPlan:
    """What decides a generator's pixels, and the growing numbers of prompts of each planning.

    ``samples`` are those per prompt of each planning, where they are not the same for all.
    ``assumed`` is what an older version did not record of the identity and was taken to be so.
    ``kept_from`` is the name of the generator whose results of before these are; nothing is made
    of it any more.
    """

    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    segments: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()
    assumed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kept_from: str = ""

    def areas(self, samples: int) -> tuple[tuple[int, int], ...]:
        """The numbers of prompts and samples of each planning; ``samples`` where none are said."""
        each = self.samples or (samples,) * len(self.segments)
        return tuple(zip(self.segments, each, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What the images are made on, and the plan of each generator."""

    device: str | None = None
    generators: Mapping[str, GeneratorPlan] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """How many images of a generator were planned, and what became of them."""

    planned: int = 0
    ok: int = 0
    failed: int = 0
    filtered: int = 0

    @property
    def pending(self) -> int:
        """Images that were planned and are not there yet."""
        return max(0, self.planned - self.ok - self.failed - self.filtered)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reported:
    """What the last report said, and the mark of the tables that it was written from."""

    scored: str | None = None
    verdict: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """``run.json``. What an older version did not write has a default; ``other`` is what this
    version does not know, and is written back as it was.
    """

    schema: int = SCHEMA
    name: str = ""
    status: str = "done"  # running, done, failed or interrupted
    error: str | None = None
    command: str = ""  # of the last start
    commands: tuple[str, ...] = ()  # of each start that made or measured something
    created: str | None = None
    finished: str | None = None
    base: str = "."  # the folder that relative paths of the comparison start from
    comparison: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headline: tuple[str, ...] = ()  # the generators that the verdict is about, two at most
    suite: SuiteFacts = SuiteFacts()
    generators: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, ImageCounts] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by axis, with why
    unmade: Mapping[str, str] = dataclasses.field(default_factory=dict)  # why a generator stopped
    environment: Environment = Environment()
    plan: Plan = Plan()
    # What the stages after the images add; absent until then.
    costs: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    scored: str | None = None  # hash of what the tables were made from
    scored_from: Mapping[str, str] = dataclasses.field(default_factory=dict)  # hash of each part
    scoring_files: tuple[str, ...] = ()  # files of encoders, outside of the run, that were read
    scoring_warnings: tuple[str, ...] = ()
    reported: Reported = Reported()
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data in the layout of the file."""
        data = dataclasses.asdict(self)
        other = data.pop("other")
        for planned in data["plan"]["generators"].values():
            for field in ("samples", "assumed", "kept_from"):
                if not planned[field]:
                    del planned[field]
        for stage in _LATER:
            if getattr(self, stage) == getattr(_EMPTY, stage):
                del data[stage]
        return {**data, **other}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunRecord:
        """Read what ``to_json`` or an older version wrote."""
        given = {key: value for key, value in data.items() if value is not None}
        plan = given.get("plan", {})
        planned = {n: _part(GeneratorPlan, p) for n, p in plan.get("generators", {}).items()}
        parts = {
            "suite": _part(SuiteFacts, given.get("suite")),
            "environment": _part(Environment, given.get("environment")),
            "reported": _part(Reported, given.get("reported")),
            "counts": {n: _part(ImageCounts, c) for n, c in given.get("counts", {}).items()},
            "generators": {
                n: current_facts(facts or {}) for n, facts in given.get("generators", {}).items()
            },
            "plan": Plan(device=plan.get("device"), generators=planned),
            "other": {k: v for k, v in data.items() if k not in _fields(cls)},
        }
        return _part(cls, {**given, **parts})


_EMPTY = RunRecord()
_LATER = (
    "commands",
    "left_out",
    "unmade",
    "costs",
    "scored",
    "scored_from",
    "scoring_files",
    "scoring_warnings",
    "reported",
)


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run folder; raises ``RequestError`` if there is none to be read."""
    path = folder / RECORD
    if not path.is_file():
        give = "give the folder of a run, such as runs/scenes"
        if (folder / TASKS).is_file():
            give = "it holds a run of each of several tasks; give the folder of one"
        raise RequestError(f"no {RECORD} in {folder}; {give}")
    raw = read_json(path)
    try:
        record = RunRecord.from_json(raw)
        check_value(RunRecord, record.to_json())
    except (SettingError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"{path} is damaged ({error}); restore it or give another run"
        ) from error
    if record.schema != SCHEMA:
        raise RequestError(
            f"{path} has schema {record.schema!r}; this version reads schema {SCHEMA}"
        )
    return record


def _fields(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _part(cls: type[_Part], data: Mapping[str, Any] | None) -> _Part:
    """A dataclass from the fields of it that the data has; lists become tuples."""
    known = {k: v for k, v in (data or {}).items() if k in _fields(cls) and v is not None}
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})
