"""What a person may set, described once at the field of a dataclass: help, bounds, who takes it.

The command line makes its options of the fields (``gandiff.experiments.cli.options``), Python gets
the same checks by ``check_options``. Bounds are annotations: ``Annotated[int, Ge(1)]``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from gandiff.common.errors import RequestError, SettingError
from gandiff.common.validation import check_value

_KEY = "option"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """How one field looks as an option.

    ``names`` replace the name that the field gives (``--batch-size`` of ``batch_size``). ``only``
    are the kinds of command that take it; empty means all.
    """

    help: str
    names: tuple[str, ...] = ()
    metavar: str | None = None
    only: tuple[str, ...] = ()


def option(default: object, help: str, **details: Any) -> Any:
    """A dataclass field with a default that is an option; ``details`` are those of ``Option``."""
    return dataclasses.field(default=default, metadata=described(help, **details))


def described(help: str, **details: Any) -> dict[str, Option]:
    """Metadata of a dataclass field that is an option: for fields without a default."""
    return {_KEY: Option(help=help, **details)}


def options_of(owner: Any, kind: str = "") -> Iterator[tuple[dataclasses.Field[Any], Option]]:
    """A dataclass's fields that are options, those of one kind of command where it is named."""
    for field in dataclasses.fields(owner):
        one: Option | None = field.metadata.get(_KEY)
        if one and (not one.only or not kind or kind in one.only):
            yield field, one


def flag(name: str) -> str:
    """The option that a field is on the command line: ``batch_size`` is ``--batch-size``."""
    return f"--{name.replace('_', '-')}"


def check_options(settings: Any) -> None:
    """Raise ``RequestError`` for the first option whose value its annotation does not allow."""
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for field, _ in options_of(settings):
        try:
            check_value(hints[field.name], getattr(settings, field.name))
        except SettingError as error:
            raise RequestError(f"{flag(field.name)} {error.problem}") from None
