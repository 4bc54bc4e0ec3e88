"""Plain data from a file checked against a dataclass, with errors that a person can act on."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gandiff.common.errors import SettingError, show
from gandiff.common.names import did_you_mean

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

# Every dataclass that a file is read into carries this: unknown fields are errors, and the
# docstrings below the fields become the descriptions in the JSON schema.
PYDANTIC = {"extra": "forbid", "use_attribute_docstrings": True}

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of names to values",
    "mapping_type": "a mapping of names to values",
    "dataclass_type": "a mapping of names to values",
    "dataclass_exact_type": "a mapping of names to values",
    "none_required": "nothing (null)",
}
_BOUND = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Build the checker of a dataclass once; pydantic is imported here and nowhere earlier."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def validate(kind: type[T], data: Mapping[str, Any]) -> T:
    """Read a mapping into a dataclass; raises ``SettingError`` for the first thing that is wrong.

    Nothing is converted: "20" is no number and 1 is not true, since a file that says so is
    mistaken.
    """
    from pydantic import ValidationError

    names = field_names(kind)
    for key in data:
        if key not in names:
            raise SettingError((key,), f"unknown field{did_you_mean(key, names)}")
    try:
        # Strictness is meant for JSON: there a list may become a tuple and a mapping a dataclass.
        checker = adapter(cast(Any, kind))
        return cast(T, checker.validate_json(json.dumps(data), strict=True))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        order = ["unexpected_keyword_argument", "", "missing"]
        first = min(problems, key=lambda p: order.index(p["type"] if p["type"] in order else ""))
        field, text = _explain(dict(first), kind)
        more = f" ({len(problems) - 1} more follow)" if len(problems) > 1 else ""
        raise SettingError(field, text + more) from None


def field_names(kind: type) -> list[str]:
    """List the fields of a dataclass that a file may set."""
    return [f.name for f in dataclasses.fields(kind) if not f.metadata.get("internal")]


def _explain(problem: Mapping[str, Any], kind: type) -> tuple[tuple[str | int, ...], str]:
    field = tuple(part for part in problem["loc"] if not str(part).startswith("function-"))
    code, found, ctx = problem["type"], problem["input"], problem.get("ctx", {})
    if code in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return field, "this field is needed and is not there"
    if code == "unexpected_keyword_argument":
        return field, f"unknown field{did_you_mean(str(field[-1]), _siblings(kind, field[:-1]))}"
    if code == "literal_error":
        choices = re.findall(r"'([^']*)'", str(ctx.get("expected", "")))
        expected = f"expected one of {', '.join(choices)}"
        near = did_you_mean(found, choices) if isinstance(found, str) else ""
        return field, f"{expected}, found {show(found)}{near if 'did you mean' in near else ''}"
    if code in _BOUND:
        key, words = _BOUND[code]
        return field, f"expected {words} {ctx[key]}, found {show(found)}"
    if code == "too_short":
        least = ctx["min_length"]
        return (
            field,
            f"expected at least {least} item{'s' * (least > 1)}, found {ctx['actual_length']}",
        )
    if code == "value_error":
        return field, f"{ctx['error']}"
    if code in ("extra_forbidden", "no_such_attribute"):
        return field, "unknown field"
    expected = _EXPECTED.get(code, "")
    said = (
        f"expected {expected}" if expected else problem["msg"].replace("Input should", "it should")
    )
    return field, f"{said}, found {show(found)}"


def _siblings(kind: Any, path: tuple[str | int, ...]) -> list[str]:
    for part in path:
        hints = _hints(kind) if dataclasses.is_dataclass(kind) else {}
        kind = next((k for k in _members(hints.get(str(part)))), None)
    return field_names(kind) if isinstance(kind, type) else []


def _hints(kind: Any) -> dict[str, Any]:
    import typing

    return typing.get_type_hints(kind)


def _members(hint: Any) -> list[type]:
    import typing

    options = typing.get_args(hint) or (hint,)
    return [option for option in options if dataclasses.is_dataclass(option)]  # type: ignore[misc]
