"""What a person may set, described once at the field of a dataclass: help, bounds, who takes it.

The command line makes its options of the fields (``gandiff.experiments.cli.options``), Python gets
the same checks by ``check_bounds``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from gandiff.common.errors import RequestError

_KEY = "option"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """How one field looks as an option.

    ``minimum`` and ``maximum`` belong to the range, ``above`` does not. ``names`` replace the name
    that the field gives (``--batch-size`` of ``batch_size``). ``only`` are the kinds of command
    that take it; empty means all.
    """

    help: str
    minimum: int | float | None = None
    maximum: int | float | None = None
    above: int | float | None = None
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


def check_bounds(settings: Any) -> None:
    """Raise ``RequestError`` for the first number out of its bounds; None and text have none."""
    for field, one in options_of(settings):
        value = getattr(settings, field.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        # Written so that NaN, which compares false with everything, is refused.
        if one.above is not None and not value > one.above:
            wanted = f"above {one.above:g}"
        elif one.minimum is not None and not value >= one.minimum:
            wanted = f"at least {one.minimum:g}"
        elif one.maximum is not None and not value <= one.maximum:
            wanted = f"at most {one.maximum:g}"
        else:
            continue
        raise RequestError(f"{flag(field.name)} must be {wanted}, got {value}")
