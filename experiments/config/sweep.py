"""Sweeps: a generator that is written once and compared at several operating points.

``sweep`` beside the settings of a generator is a grid, setting to values, or a list of points::

    sweep: {scheduler: [ddim, euler], num_inference_steps: [10, 20]}    # four generators
    sweep: [{num_inference_steps: 10}, {num_inference_steps: 50, guidance_scale: 3}]    # two
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gandiff.common.errors import show
from gandiff.common.validation import FieldPath
from gandiff.experiments.config.yaml_source import Document

KEY = "sweep"
MOST = 1000  # points of one sweep: more is a slip
LONGEST = 64  # letters of a name
# How a name says what a point is, in this order; any other setting is written out.
_WORDS = {
    "scheduler": "{}",
    "num_inference_steps": "{}steps",
    "guidance_scale": "g{}",
    "truncation_psi": "psi{}",
}

Sweeps = dict[str, tuple[str, ...]]  # the generators that each sweep stands for


class _Set(NamedTuple):
    """One setting of a point, such as ``("scheduler_options", "eta")``, and where it is written."""

    setting: tuple[str, ...]
    value: Any
    written: FieldPath


def expand_sweeps(document: Document) -> Sweeps:
    """Put the points of every sweep in the place of its generator, and say which they are.

    What is wrong with a setting of a point is an error at the line where it was written. Raises
    the document's error for a sweep that cannot be read and for names that clash.
    """
    generators = document.data.get("generators")
    if not isinstance(generators, dict):
        return {}
    sweeps: Sweeps = {}
    expanded: dict[str, Any] = {}
    for name, config in generators.items():
        if not isinstance(config, dict) or KEY not in config:
            expanded[name] = config
            continue
        points = _points(document, name, config)
        for point in points:
            if point in generators or point in expanded:
                problem = f"its point {point!r} has the name of another generator; rename one"
                raise document.error(("generators", name, KEY), problem)
        expanded |= points
        sweeps[name] = tuple(points)
    document.data["generators"] = expanded
    return sweeps


def for_points(assignment: str, sweeps: Mapping[str, Sequence[str]]) -> list[str]:
    """A ``--set`` of a sweep that a run has recorded, as one for each of its points."""
    for name, points in sweeps.items():
        if (rest := assignment.strip().removeprefix(f"generators.{name}.")) != assignment.strip():
            return [f"generators.{point}.{rest}" for point in points]
    return [assignment]


def _points(document: Document, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    field: FieldPath = ("generators", name, KEY)
    sweep = config[KEY]
    if isinstance(sweep, Mapping) and sweep:
        chosen = _grid(document, field, sweep, config)
    elif isinstance(sweep, Sequence) and not isinstance(sweep, str) and sweep:
        chosen = [_listed(document, (*field, i), item) for i, item in enumerate(sweep)]
    else:
        raise document.error(
            field,
            "must say which settings take which values, such as "
            f"{{num_inference_steps: [10, 20, 50]}}, or list points, got {show(sweep)}",
        )
    points: dict[str, Any] = {}
    names: dict[str, str] = {}
    for point in chosen:
        full = point_name(name, [(one.setting[-1], one.value) for one in point])
        if full.casefold() in names:
            raise document.error(point[-1].written, f"the point {full!r} is given twice")
        names[full.casefold()] = full
        points[full] = _settings(document, name, config, point)
        _note_places(document, name, full, point)
    return points


def _grid(
    document: Document, field: FieldPath, sweep: Mapping[str, Any], config: Mapping[str, Any]
) -> list[list[_Set]]:
    axes: dict[tuple[str, ...], list[_Set]] = {}
    for setting, values, written in _leaves(sweep, field):
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise document.error(written, f"must be a list of values, got {show(values)}")
        _check_setting(document, setting, written, axes)
        if _is_given(config, setting):
            raise document.error(
                field[:-1] + setting, "is swept, so that one value is not used; leave it out"
            )
        axes[setting] = [_Set(setting, value, (*written, i)) for i, value in enumerate(values)]
    for one in itertools.chain(*axes.values()):
        _check_value(document, one)
    if (count := math.prod(map(len, axes.values()))) > MOST:
        raise document.error(field, f"makes {count:,} generators; must be at most {MOST:,}")
    return [list(point) for point in itertools.product(*axes.values())]


def _listed(document: Document, field: FieldPath, item: Any) -> list[_Set]:
    if not isinstance(item, Mapping) or not item:
        problem = (
            f"must be the settings of a point, such as {{guidance_scale: 3}}, got {show(item)}"
        )
        raise document.error(field, problem)
    point: dict[tuple[str, ...], _Set] = {}
    for leaf in _leaves(item, field):
        one = _Set(*leaf)
        _check_setting(document, one.setting, one.written, point)
        _check_value(document, one)
        point[one.setting] = one
    return list(point.values())


def _leaves(
    given: Mapping[str, Any], written: FieldPath, inside: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, FieldPath]]:
    """The settings in a mapping: those within others are ``a.b: 1`` or ``a: {b: 1}``."""
    for key, value in given.items():
        setting, place = (*inside, *str(key).split(".")), (*written, key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, place, setting)
        else:
            yield setting, value, place


def _check_setting(
    document: Document,
    setting: tuple[str, ...],
    written: FieldPath,
    others: Collection[tuple[str, ...]],
) -> None:
    if setting in others:
        raise document.error(written, "is given twice")
    if setting[0] in ("type", "timing", KEY):
        problem = (
            f"{setting[0]} cannot be swept; it stands beside 'sweep:' and holds for all points"
        )
        raise document.error(written, problem)


def _check_value(document: Document, one: _Set) -> None:
    if one.value is not None and not isinstance(one.value, str | int | float):
        problem = f"must be a text, a number, true, false or null, got {show(one.value)}"
        raise document.error(one.written, problem)


def _is_given(config: Mapping[str, Any], setting: Sequence[str]) -> bool:
    here: Any = config
    for key in setting:
        if not isinstance(here, Mapping) or key not in here:
            return False
        here = here[key]
    return True


def _settings(
    document: Document, name: str, config: Mapping[str, Any], point: Sequence[_Set]
) -> dict[str, Any]:
    settings = copy.deepcopy({key: value for key, value in config.items() if key != KEY})
    for one in point:
        here = settings
        for key in one.setting[:-1]:
            if here.get(key) is None:
                here[key] = {}
            here = here[key]
            if not isinstance(here, dict):
                problem = f"{key} of {name} is {show(here)} and has no settings inside"
                raise document.error(one.written, problem)
        here[one.setting[-1]] = one.value
    return settings


def _note_places(document: Document, name: str, full: str, point: Sequence[_Set]) -> None:
    """Have errors about a point name what was written."""
    written, expanded = ("generators", name), ("generators", full)
    document.written[expanded] = (*written, KEY)
    settings = document.data["generators"][name]
    document.written |= {(*expanded, key): (*written, key) for key in settings if key != KEY}
    document.written[*expanded, "type"] = (*written, "type")
    document.written |= {(*expanded, *one.setting): one.written for one in point}


def point_name(name: str, settings: Iterable[tuple[str, Any]]) -> str:
    """``sd-ddim-20steps-g3``: letters that files, ``--set`` and reports take."""
    known = list(_WORDS)
    ordered = sorted(
        settings, key=lambda one: known.index(one[0]) if one[0] in known else len(known)
    )
    return safe_name(f"{name}-{'-'.join(_said(*one) for one in ordered)}")


def safe_name(text: str) -> str:
    """A text as the name of a generator, shortened so that two long ones still differ."""
    full = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).rstrip(".")
    if len(full) > LONGEST:
        digest = hashlib.sha256(full.encode()).hexdigest()[:6]
        full = f"{full[: LONGEST - 7]}-{digest}"
    return full


def _said(key: str, value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = {None: "default", True: "true", False: "false"}.get(value) if not is_number else None
    text = text or str(value).rstrip("/").rpartition("/")[2]
    if key in _WORDS:
        return _WORDS[key].format(text) if is_number or key == "scheduler" else f"{key}-{text}"
    return f"{key}{text}" if is_number else f"{key}-{text}"
