"""Settings checked against annotations, all in one way (pydantic) and with one style of error.

pydantic is imported on first use. What is wrong raises ``SettingError`` with the path of the field
and one sentence: "must be between 0 and 2, got 3.5", "missing required field".
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform, no_type_check

from gandiff.common.errors import SettingError, show
from gandiff.common.names import did_you_mean

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
FieldPath = tuple[str | int, ...]

# Every dataclass that a file is read into carries this: unknown fields are errors, nothing is
# converted ("20" is not a number and 1 is not true, since a file that says so is mistaken), and the
# docstrings below the fields become the descriptions in the JSON schema.
PYDANTIC = {
    "extra": "forbid",
    "strict": True,
    "allow_inf_nan": False,
    "use_attribute_docstrings": True,
}

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "bool": "true or false",
    **dict.fromkeys(("tuple", "list"), "a list"),
    **dict.fromkeys(("dict", "mapping", "dataclass"), "a mapping of names to values"),
    "none": "nothing (null)",
}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Build the checker of an annotation, once."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
def settings_class(cls: type[T]) -> type[T]:
    """Make a frozen dataclass that checks its fields by their annotations when it is made.

    Fields that depend on each other are checked in ``__post_init__``, which raises ``ValueError``.
    pydantic is imported with the first instance, so that the class itself costs nothing.
    """
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    made.__pydantic_config__ = PYDANTIC  # type: ignore[attr-defined]

    @no_type_check  # run-time type checkers, which tests switch on, leave wrong types to pydantic
    @functools.wraps(made.__init__)
    def __init__(self, **values):
        from pydantic import ValidationError
        from pydantic_core import ArgsKwargs

        try:
            given = ArgsKwargs((), values)
            adapter(made).validator.validate_python(given, self_instance=self)
        except ValidationError as error:
            raise _setting_error(error, made) from None

    made.__init__ = __init__  # type: ignore[method-assign]
    return made


def validate(kind: type[T], data: Mapping[str, Any]) -> T:
    """Read plain data into a dataclass; raises ``SettingError`` for the first thing wrong."""
    from pydantic import ValidationError

    refuse_unknown_fields(kind, data)
    try:
        # Strictness is meant for JSON: there a list may become a tuple and a mapping a dataclass.
        return cast(T, adapter(cast(Any, kind)).validate_json(json.dumps(data), strict=True))
    except ValidationError as error:
        raise _setting_error(error, kind) from None


def check_arguments(
    function: Callable[..., Any], arguments: Mapping[str, Any], reserved: Iterable[str] = ()
) -> dict[str, inspect.Parameter]:
    """Check plain data against the signature of a callable, and return what may be given.

    ``reserved`` parameters are passed by the caller. Annotations that no plain data can be checked
    against are left to the callable itself.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):  # some compiled callables have none; they check for themselves
        return {}
    known = {
        name: p
        for name, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and name not in reserved
    }
    hints = field_hints(function.__init__ if inspect.isclass(function) else function)
    kind = dataclasses.make_dataclass(
        "Arguments",
        [
            (name, _checkable(hints.get(name, Any)))
            if p.default is p.empty
            else (name, _checkable(hints.get(name, Any)), dataclasses.field(default=None))
            for name, p in known.items()
        ],
        kw_only=True,
        namespace={"__pydantic_config__": PYDANTIC},
    )
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in reserved:
            if name in arguments:
                refuse_unknown_fields(kind, {name: None})
        arguments = {name: value for name, value in arguments.items() if name in known}
    validate(kind, arguments)
    return known


def check_values(hints: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Check plain data against annotations by name; one that cannot be checked takes anything."""
    fields = [(name, _checkable(hints[name])) for name in arguments]
    namespace = {"__pydantic_config__": PYDANTIC}
    validate(dataclasses.make_dataclass("Values", fields, namespace=namespace), arguments)


def check_value(hint: Any, value: Any) -> Any:
    """The value that an annotation makes of one, ``1`` of ``"1"``; raises ``SettingError``."""
    from pydantic import ValidationError

    try:
        return adapter(hint).validate_python(value)
    except ValidationError as error:
        raise _setting_error(error, hint) from None


def bounds(hint: Any) -> dict[str, int | float]:
    """The bounds in an annotation by their names: ``ge``, ``gt``, ``le``, ``lt``."""
    return {
        name: getattr(mark, name)
        for option in (hint, *typing.get_args(hint))
        for mark in getattr(option, "__metadata__", ())
        for name in _BOUNDS
        if getattr(mark, name, None) is not None
    }


def field_names(kind: type) -> list[str]:
    """List the fields of a dataclass that a file may set."""
    return [f.name for f in dataclasses.fields(cast(Any, kind)) if not f.metadata.get("internal")]


def refuse_unknown_fields(kind: type, names: Iterable[str]) -> None:
    """Raise ``SettingError`` for the first name that a dataclass has no field of."""
    known = field_names(kind)
    for name in names:
        if name not in known:
            raise SettingError((name,), f"unknown field{did_you_mean(name, known)}")


def _setting_error(error: ValidationError, kind: Any) -> SettingError:
    problems = error.errors(include_url=False)
    order = ["unexpected_keyword_argument", "", "missing"]
    first = min(problems, key=lambda p: order.index(p["type"] if p["type"] in order else ""))
    field = tuple(part for part in first["loc"] if part != "[key]")
    field = tuple(part for part in field if not str(part).startswith("function-"))
    hint: Any = kind
    for part in field[:-1]:
        hint = _inside(hint, part)
    if first["type"] == "unexpected_keyword_argument":
        kinds = [option for option in alternatives(hint) if dataclasses.is_dataclass(option)]
        names = [name for option in kinds for name in field_names(cast(type, option))]
        return SettingError(field, f"unknown field{did_you_mean(str(field[-1]), names)}")
    more = f" ({len(problems) - 1} more follow)" if len(problems) > 1 else ""
    hint = _inside(hint, field[-1]) if field else hint
    return SettingError(field, _explain(dict(first), hint) + more)


def _explain(problem: Mapping[str, Any], hint: Any) -> str:
    code, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    got = f", got {show(value)}"
    if code.startswith("missing"):
        return "missing required field"
    if code == "value_error":
        return str(context["error"])
    if code == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        near = near if "did you mean" in near else ""
        return f"must be one of {', '.join(choices)}{got}{near}"
    if code in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"must be {_range(hint)}{got}"
    if code == "multiple_of":
        return f"must be a multiple of {context['multiple_of']}{got}"
    if code == "string_pattern_mismatch":
        return f"must be text that is not empty{got}"
    if code == "too_short":
        least, has = context["min_length"], context["actual_length"]
        return f"must have at least {least} item{'s' * (least > 1)}, got {has}"
    kind = _KINDS.get(code.partition("_")[0])
    return (
        f"must be {kind}{got}" if kind else f"{problem['msg'].replace('Input should', 'must')}{got}"
    )


def _range(hint: Any) -> str:
    """``between 0 and 2``, ``at least 1``: from what the annotation says, not one bound alone."""
    shown = {name: f"{value:.10g}" for name, value in bounds(hint).items()}
    if shown.keys() == {"ge", "le"}:
        return f"between {shown['ge']} and {shown['le']}"
    return " and ".join(f"{_BOUNDS[name]} {value}" for name, value in shown.items())


def _checkable(hint: Any) -> Any:
    try:
        adapter(hint)
    except Exception:  # whatever a stranger's annotation raises: it is not one for plain data
        return Any
    return hint


def _inside(hint: Any, part: str | int) -> Any:
    """The annotation of a field of a dataclass, or of a value in a mapping or list."""
    for option in alternatives(hint):
        if dataclasses.is_dataclass(option):
            return field_hints(option).get(str(part))
        inner = [arg for arg in typing.get_args(option) if arg is not Ellipsis]
        if inner:
            fixed = typing.get_origin(option) is tuple and isinstance(part, int)
            return inner[int(part) if fixed and int(part) < len(inner) else -1]
    return None


def alternatives(hint: Any) -> list[Any]:
    """The plain annotations behind ``Annotated`` and unions."""
    inner = typing.get_args(hint)
    if hasattr(hint, "__metadata__"):
        return alternatives(inner[0])
    if typing.get_origin(hint) in (typing.Union, type(int | str)):
        return [option for arg in inner for option in alternatives(arg)]
    return [hint]


def field_hints(annotated: Any) -> dict[str, Any]:
    """The annotations of a class or a function by name; none where they cannot be read."""
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except Exception:  # names that exist for type checkers only
        return {}
