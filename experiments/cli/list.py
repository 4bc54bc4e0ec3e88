"""The list commands: what a comparison file may name, and the prompts of a suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from gandiff.common.errors import RequestError
from gandiff.common.names import did_you_mean
from gandiff.experiments.cli.output import Json, Quiet, echo_json, echo_table, examples

app = typer.Typer()
KINDS = ("comparisons", "generators", "metrics", "encoders", "suites")


@app.command("list", epilog=examples("gandiff list generators", "gandiff list metrics --json"))
def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the shipped comparisons, or what a comparison file may name."""
    names = _named(kind)
    if as_json:
        echo_json(names)
    elif quiet:
        echo_table((), [(name,) for name in names])
    else:
        echo_table((), list(names.items()))


@app.command(
    epilog=examples("gandiff suites", "gandiff suites scenes --head 5", "gandiff suites --json")
)
def suites(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A suite's name, or a file of prompts.")
    ] = None,
    head: Annotated[int, typer.Option(min=0, metavar="N", help="Show the first N prompts.")] = 10,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the prompt suites, or show one."""
    if name is None:
        list_names("suites", quiet, as_json)
        return
    from gandiff.experiments.prompts.suites import open_suite

    suite = open_suite(name)
    prompts = suite.prompts[:head]
    facts = vars(suite.describe())
    if as_json:
        echo_json({**facts, "head": prompts})
        return
    if not quiet:
        echo_table((), [(name, value) for name, value in facts.items() if value is not None])
        typer.echo("")
    echo_table((), [(prompt.id, prompt.category or "-", prompt.text) for prompt in prompts])


def _named(kind: str) -> Mapping[str, str]:
    from gandiff.evaluate.features.encoders import encoder_names
    from gandiff.experiments.config.paths import comparison_names
    from gandiff.experiments.plugins import registry as plugins

    listings = {
        "comparisons": comparison_names,
        "generators": plugins.generator_types,
        "metrics": plugins.metric_types,
        "encoders": encoder_names,
        "suites": plugins.suite_names,
    }
    if kind not in listings:
        raise RequestError(f"there are no {kind!r} to list{did_you_mean(kind, KINDS)}")
    return listings[kind]()
