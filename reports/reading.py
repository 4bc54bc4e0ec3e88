"""Reading a run folder; what is missing is empty, what is broken is left out with a notice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from gandiff.common.run_record import (
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
from gandiff.reports.run_data import (
    CategoryScore,
    DifferenceRow,
    GeneratorFacts,
    ResultRow,
    RunData,
    Score,
)

_REAL = (
    *("difference", "low", "high", "win_rate", "p_value"),
    *("effect_size", "p_holm", "detectable"),
)


def load_run(folder: Path) -> RunData:
    """Read a run folder; raises ``RequestError`` if it holds no readable ``run.json``."""
    record = read_record(folder)
    notices: list[str] = []
    abouts = _descriptions(folder / DESCRIPTIONS, notices)
    results = [
        ResultRow(str(r["generator"]), _result(r, abouts))
        for r in _table(folder / RESULTS, notices)
    ]
    return RunData(
        folder=folder,
        record=record,
        generators=_generators(record, results),
        prompts=list(_lines(folder / PROMPTS, notices)),
        images=list(_lines(folder / LOG, notices)),
        results=results,
        differences=[_difference(r) for r in _table(folder / DIFFERENCES, notices)],
        scores=_scores(folder / SCORES, notices),
        traces=_traces(folder / TRACES, notices),
        notices=notices,
        abouts=abouts,
        categories=_categories(folder / CATEGORIES, notices),
    )


def _generators(record: RunRecord, rows: list[ResultRow]) -> dict[str, GeneratorFacts]:
    names = dict.fromkeys([*record.generators, *(row.generator for row in rows)])
    counts, none = record.counts, ImageCounts()
    return {n: _facts(n, record.generators.get(n, {}), counts.get(n, none)) for n in names}


def _facts(name: str, info: Mapping[str, Any], count: ImageCounts) -> GeneratorFacts:
    return GeneratorFacts(
        name=name,
        family=str(info.get("family") or "other"),
        parameters=_whole(info.get("parameters")),
        training_seconds=_number(info.get("training_seconds")),
        training_device=_text(info.get("training_device")),
        weights_sha256=_text(info.get("weights_sha256")),
        info=info,
        **vars(count),
    )


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


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _result(row: dict[str, Any], abouts: Mapping[str, About]) -> MetricResult:
    try:
        protocol = json.loads(row.get("protocol") or "{}")
    except ValueError:
        protocol = {"as written": row["protocol"]}
    direction = row.get("direction")
    metric = str(row["metric"])
    return MetricResult(
        metric=metric,
        about=abouts.get(metric),
        value=_number(row.get("value")),
        low=_number(row.get("low")),
        high=_number(row.get("high")),
        unit=str(row.get("unit") or ""),
        direction=cast(Direction, direction if direction in DIRECTIONS else "none"),
        target=_number(row.get("target")),
        images=_whole(row.get("images")),
        references=_whole(row.get("references")),
        note=row.get("note") or None,
        protocol=protocol if isinstance(protocol, dict) else {"as written": protocol},
    )


def _difference(row: dict[str, Any]) -> DifferenceRow:
    # Older tables lack the later columns.
    numbers = {key: _number(row.get(key)) for key in _REAL}
    return DifferenceRow(
        a=str(row["a"]),
        b=str(row["b"]),
        metric=str(row["metric"]),
        prompts=_whole(row.get("prompts")),
        prompts_needed=_whole(row.get("prompts_needed")),
        **numbers,
    )


def _scores(path: Path, notices: list[str]) -> list[Score]:
    found = []
    for row in _table(path, notices):
        value = _number(row.get("value"))
        if value is not None:
            found.append(
                Score(
                    str(row["generator"]),
                    str(row["prompt_id"]),
                    int(row["sample"]),
                    str(row.get("category") or ""),
                    str(row["metric"]),
                    value,
                )
            )
    return found


def _categories(path: Path, notices: list[str]) -> list[CategoryScore]:
    return [
        CategoryScore(
            generator=str(row["generator"]),
            metric=str(row["metric"]),
            category=str(row.get("category") or ""),
            value=value,
            low=_number(row.get("low")),
            high=_number(row.get("high")),
            prompts=int(row["prompts"]),
        )
        for row in _table(path, notices)
        if (value := _number(row.get("value"))) is not None
    ]


def _traces(path: Path, notices: list[str]) -> list[dict[str, Any]]:
    traces = _json(path, notices)
    return [t for t in traces if isinstance(t, dict)] if isinstance(traces, list) else []
