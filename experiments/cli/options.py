"""Command-line options made of the fields of a dataclass; see ``gandiff.common.options``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from gandiff.common.errors import RequestError
from gandiff.common.options import flag, options_of
from gandiff.common.validation import bounds

Target = Annotated[
    Path,
    typer.Argument(metavar="RUN_OR_FILE", help="A run folder, a YAML file, or a shipped name."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a field; may be repeated."),
]

Weights = Annotated[
    list[str] | None,
    typer.Option(metavar="ENCODER=FILE", help="Where an encoder's weights lie; may be repeated."),
]


def _whole(prompts: list[str]) -> list[str]:
    """Refuse bytes that are not UTF-8, which Python keeps as halves of surrogate pairs."""
    for prompt in prompts:
        try:
            prompt.encode()
        except UnicodeEncodeError:
            raise RequestError(f"a prompt must be UTF-8 text, got {prompt!a}") from None
    return prompts


Prompts = Annotated[
    list[str], typer.Argument(metavar="PROMPT...", help="What to draw.", callback=_whole)
]
Given = dict[str, Any]  # by the name of the field


def takes(
    owner: type[Any], kind: str = "", **defaults: object
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a dataclass, all that a command of this ``kind`` takes.

    The command gets their values by name (``Given``) as its first argument. In its help they stand
    between its own positional and its own keyword-only parameters. ``defaults`` replace those of
    the fields; with None an option may be left out.
    """
    hints = typing.get_type_hints(owner)
    annotated = typing.get_type_hints(owner, include_extras=True)
    options: list[Parameter] = []
    for field, described in options_of(owner, kind):
        hint, default = hints[field.name], defaults.get(field.name, field.default)
        limits = bounds(annotated[field.name])
        names = described.names or ((flag(field.name),) if hint is bool else ())  # no --no-name
        info = typer.Option(
            default,
            *names,
            help=described.help,
            min=limits.get("ge"),
            max=limits.get("le"),
            metavar=described.metavar,
        )
        if default is None:
            hint |= None
        options.append(Parameter(field.name, Parameter.KEYWORD_ONLY, default=info, annotation=hint))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()

        def call(**given: Any) -> None:
            command({one.name: given.pop(one.name) for one in options}, **given)

        arguments = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own]
        last = [one.kind is Parameter.KEYWORD_ONLY for one in own].count(False)
        together = [*arguments[:last], *options, *arguments[last:]]
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__signature__ = inspect.Signature(together)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in together}
        return call

    return decorate


def read_weights(pairs: list[str] | None) -> dict[str, str]:
    """The places of weights by encoder; raises ``RequestError``."""
    return read_pairs("--weights", pairs or [], "ENCODER=FILE")


def read_pairs(option: str, pairs: Iterable[str], form: str) -> dict[str, str]:
    """Read the ``A=B`` texts of an option; raises ``RequestError`` unless all are new pairs."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise RequestError(f"cannot read {option} {pair!r}; write {form}")
        if name in values:
            raise RequestError(f"{option} names {name!r} twice")
        values[name] = value
    return values
