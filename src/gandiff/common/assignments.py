"""Settings as text: ``name=value``, read by the annotation of a dataclass's field."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from typing import Any, cast

from gandiff.common.errors import SettingError
from gandiff.common.validation import (
    alternatives,
    check_value,
    field_hints,
    refuse_unknown_fields,
)

NONE = "none"  # None as text


def read_assignments(kind: type, assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` texts by the annotations of a dataclass's fields."""
    values = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise SettingError((), f"{assignment!r} must be NAME=VALUE, such as {_example(kind)}")
        values[name] = read_value(kind, name, text)
    return values


def read_value(kind: type, name: str, text: str) -> Any:
    """Read the value of one field of a dataclass from text; a pair has a comma between, and
    ``none`` is None where that is allowed.
    """
    refuse_unknown_fields(kind, {name: text})
    hint = field_hints(kind)[name]
    if text == NONE and takes_none(kind, name):
        return None
    several = [typing.get_args(o) for o in alternatives(hint) if typing.get_origin(o) is tuple]
    parts = text.split(",")
    if several and Ellipsis not in several[0] and len(parts) != len(several[0]):
        count = len(several[0])
        raise SettingError((name,), f"must be {count} values with commas between, got {text!r}")
    if several and not text:
        or_none = f", or {NONE}" if takes_none(kind, name) else ""
        problem = f"must be one or more values with commas between{or_none}, got {text!r}"
        raise SettingError((name,), problem)
    try:
        return check_value(hint, parts if several else text)
    except SettingError as error:
        raise SettingError((name, *error.field), error.problem) from None


def takes_list(kind: type, name: str) -> bool:
    """Whether the values of a dataclass's field are lists, which text writes with commas."""
    return any(
        typing.get_origin(option) is tuple for option in alternatives(field_hints(kind)[name])
    )


def takes_none(kind: type, name: str) -> bool:
    """Whether a dataclass's field may be None, which text writes as ``none``."""
    return type(None) in alternatives(field_hints(kind)[name])


def _example(kind: type) -> str:
    field = next(f for f in dataclasses.fields(cast(Any, kind)) if isinstance(f.default, float))
    return f"{field.name}={field.default}"
