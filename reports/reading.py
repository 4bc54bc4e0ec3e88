"""Reading a run folder; what is missing is empty, what is broken is left out with a notice."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from gandiff.common.run_record import (
    ANCHORS,
    CATEGORIES,
    DESCRIPTIONS,
    DIFFERENCES,
    LOG,
    PROMPTS,
    RESULTS,
    SCORES,
    TRACES,
    ImageCounts,
    RunRecord,
    read_record,
)
from gandiff.evaluate.result import DIRECTIONS, About, Direction, MetricResult
from gandiff.reports.ground import Anchor
from gandiff.reports.papers import named_as_in_papers
from gandiff.reports.run_data import (
    CategoryScore,
    DifferenceRow,
    GeneratorFacts,
    ImageLine,
    ResultRow,
    RunData,
    Score,
)

Row = Mapping[str, Any]
_Kind = TypeVar("_Kind")


def load_run(folder: Path) -> RunData:
    """Read a run folder; raises ``RequestError`` if it holds no readable ``run.json``."""
    record = read_record(folder)
    notices: list[str] = []
    abouts = _descriptions(folder / DESCRIPTIONS, notices)
    table = _table(folder / RESULTS, notices)
    results = _aligned([ResultRow(str(row["generator"]), _result(row, abouts)) for row in table])
    abouts |= {row.result.metric: row.result.about for row in results if row.result.about}
    rows = _read(DifferenceRow, _table(folder / DIFFERENCES, notices))
    names = dict.fromkeys([*record.generators, *(row.generator for row in results)])
    return RunData(
        folder=folder,
        record=record,
        generators={name: _facts(name, record) for name in names},
        prompts=list(_lines(folder / PROMPTS, notices)),
        images=_last_lines(_read(ImageLine, _lines(folder / LOG, notices))),
        results=results,
        differences=[row.reaching_0() for row in rows],
        scores=_read(Score, _with_value(_table(folder / SCORES, notices))),
        traces=_traces(folder / TRACES, notices),
        notices=notices,
        abouts=abouts,
        categories=_read(CategoryScore, _with_value(_table(folder / CATEGORIES, notices))),
        anchors=_read(Anchor, _with_value(_table(folder / ANCHORS, notices))),
    )


def _aligned(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows, all that have no value named as those of other generators that have one.

    What could not be measured for a generator is a single row, though it may have several numbers
    for others, and is called in another way where the protocol decides on the name.
    """
    known = {row.result.metric: row.result for row in rows if row.result.value is not None}
    have = {(row.generator, row.result.metric) for row in rows}
    aligned = []
    for row in rows:
        metric = row.result.metric
        if row.result.value is not None:
            aligned.append(row)
            continue
        numbers = [m for m in known if m == metric or m.startswith(f"{metric}/")]
        for number in numbers or [metric]:
            if number == metric or (row.generator, number) not in have:
                about = known[number].about if number in known else row.result.about
                result = dataclasses.replace(row.result, metric=number, about=about)
                aligned.append(ResultRow(row.generator, result))
    return aligned


def _facts(name: str, record: RunRecord) -> GeneratorFacts:
    info, counts = record.generators.get(name, {}), record.counts.get(name, ImageCounts())
    row = {**info, **vars(counts), "name": name, "family": info.get("family") or "other"}
    facts = _read(GeneratorFacts, [row])[0]
    return dataclasses.replace(facts, info=info, unmade=record.unmade.get(name, ""))


def _result(row: Row, abouts: Mapping[str, About]) -> MetricResult:
    try:
        protocol = json.loads(row.get("protocol") or "{}")
    except ValueError:
        protocol = row["protocol"]
    # What training took used to count as better where it was lower.
    direction = None if row["metric"] == "training_seconds" else row.get("direction")
    result = dataclasses.replace(
        _read(MetricResult, [row])[0],
        about=abouts.get(str(row["metric"])),
        direction=cast(Direction, direction if direction in DIRECTIONS else "none"),
        protocol=protocol if isinstance(protocol, dict) else {"as written": protocol},
    )
    return named_as_in_papers(result)


def _read(kind: type[_Kind], rows: Iterable[Row]) -> list[_Kind]:
    """Dataclasses from rows, by the types of their fields; older tables lack the later columns."""
    fields = dataclasses.fields(cast(Any, kind))
    readers = {f.name: _READERS[f.type] for f in fields if f.type in _READERS}
    missing = dataclasses.MISSING
    usual = {f.name: f.default for f in fields if f.type == "float" and f.default is not missing}
    return [
        kind(**{name: read(row.get(name, usual.get(name))) for name, read in readers.items()})
        for row in rows
    ]


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    "str": lambda value: str(value or ""),
    "str | None": lambda value: str(value) if value else None,
    "int": lambda value: _whole(value) or 0,
    "int | None": _whole,
    "float": float,
    "float | None": _number,
}


def _with_value(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if _number(row.get("value")) is not None)


def _descriptions(path: Path, notices: list[str]) -> dict[str, About]:
    said = _json(path, notices)
    known = said.items() if isinstance(said, dict) else ()
    return {m: About.from_dict(m, about) for m, about in known if isinstance(about, dict)}


def _json(path: Path, notices: list[str]) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notices.append(f"{path.name} cannot be read and is left out ({error})")
        return None


def _lines(path: Path, notices: list[str]) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                value = json.loads(line)
            except ValueError:
                notices.append(f"line {number} of {path.name} cannot be read and is left out")
                continue
            if isinstance(value, dict):
                yield value


def _last_lines(images: Iterable[ImageLine]) -> list[ImageLine]:
    """The last line of each image: one that failed and was made again has two for a while."""
    return list({image.key or place: image for place, image in enumerate(images)}.values())


def _table(path: Path, notices: list[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return cast(list[dict[str, Any]], pq.read_table(path).to_pylist())
    except (OSError, pa.ArrowException) as error:
        notices.append(f"{path.name} cannot be read and is left out ({error})")
        return []


def _traces(path: Path, notices: list[str]) -> list[dict[str, Any]]:
    traces = _json(path, notices)
    return [t for t in traces if isinstance(t, dict)] if isinstance(traces, list) else []
