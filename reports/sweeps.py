"""Which generators of a run are points of one sweep, and along which setting they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.reports.plotting import Point

_FIRST = ("num_inference_steps", "guidance_scale", "truncation_psi")  # which lines follow


def sweep_lines(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Names of points that differ in one number alone, by that number, two or more in a line.

    ``comparison`` is what a run records. The number is that of steps if it was swept, else guidance
    or truncation, else the first that was.
    """
    entries = comparison.get("generators") or {}
    lines = []
    for names in (comparison.get("sweeps") or {}).values():
        points = {name: dict(_flat(entries[name])) for name in names if name in entries}
        lines += _lines(points)
    return lines


def joined(lines: Sequence[Sequence[str]], points: Sequence[Point]) -> Iterator[list[Point]]:
    """The lines through those points that are there."""
    by_name = {point.name: point for point in points}
    for line in lines:
        there = [by_name[name] for name in line if name in by_name]
        if len(there) > 1:
            yield there


def _lines(points: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    keys = list(dict.fromkeys(key for settings in points.values() for key in settings))
    varied = [key for key in keys if len({repr(one.get(key)) for one in points.values()}) > 1]
    numbers = [key for key in varied if all(_is_number(one.get(key)) for one in points.values())]
    along = next((key for key in (*_FIRST, *numbers) if key in numbers), None)
    if along is None:
        return []
    lines: dict[str, list[str]] = {}
    for name, settings in sorted(points.items(), key=lambda point: point[1][along]):
        others = repr([settings.get(key) for key in varied if key != along])
        lines.setdefault(others, []).append(name)
    return [line for line in lines.values() if len(line) > 1]


def _flat(settings: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{inside}{key}.")
        else:
            yield f"{inside}{key}", value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
