"""Commands that look and change nothing: validate, list, suites, doctor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gandiff.experiments.cli.output import (
    Json,
    Quiet,
    echo_json,
    echo_table,
    examples,
    one_line,
)

KINDS = ("generators", "metrics", "encoders", "suites")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    app.command(
        epilog=examples(
            "gandiff validate experiments/comparisons/scenes.yaml",
            "gandiff validate mine.yaml --set samples_per_prompt=2 --json",
        )
    )(validate)
    app.command("list", epilog=examples("gandiff list generators", "gandiff list metrics --json"))(
        list_names
    )
    app.command(
        epilog=examples("gandiff suites", "gandiff suites scenes --head 5", "gandiff suites --json")
    )(suites)
    app.command(epilog=examples("gandiff doctor", "gandiff doctor --json"))(doctor)


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The comparison, a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a field; may be repeated."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check a comparison file without running it.

    Its shape, its names and its settings are checked.
    """
    from gandiff.experiments import api
    from gandiff.experiments.config.load import comparison_to_dict

    comparison = api.validate(file, overrides or [])
    if as_json:
        echo_json(comparison_to_dict(comparison))
    elif not quiet:
        typer.echo(f"{file} is valid: {', '.join(comparison.generators)}")


def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List what a comparison file may name."""
    found = _named(kind)
    if as_json:
        echo_json(found)
    elif quiet:
        echo_table((), [(name,) for name in found])
    else:
        echo_table((), list(found.items()))


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
    from itertools import islice

    from gandiff.experiments.prompts.suites import open_suite

    suite = open_suite(name)
    prompts = list(islice(suite.prompts, head))
    facts = {
        "name": suite.name,
        "version": suite.version,
        "source": suite.source,
        "licence": suite.licence,
        "sha256": suite.sha256,
        "prompts": len(suite.prompts),
    }
    if as_json:
        echo_json({**facts, "head": prompts})
        return
    if not quiet:
        echo_table((), list(facts.items()))
        typer.echo("")
    echo_table((), [(prompt.id, prompt.category or "-", prompt.text) for prompt in prompts])


def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """Show versions, devices and weights, and compute known numbers anew.

    What is missing is no failure. A number that comes out other than it was recorded is: then a
    library has changed a value, and the exit code is 1.
    """
    from gandiff.experiments import api

    checks = api.doctor()
    wrong = [check for check in checks if check.wrong]
    if as_json:
        echo_json(checks)
    else:
        words = {True: "ok", False: "missing", None: "-"}
        shown = [check for check in checks if not quiet or check.ok is False]
        echo_table(
            (),
            [
                ("WRONG" if check.wrong else words[check.ok], check.name, one_line(check.detail))
                for check in shown
            ],
        )
    if wrong:
        names = ", ".join(check.name for check in wrong)
        typer.echo(
            f"error: {len(wrong)} golden values are not as recorded ({names}): a library that "
            "gandiff uses has changed; install the versions that pyproject.toml names",
            err=True,
        )
        raise typer.Exit(1)


def _named(kind: str) -> Mapping[str, str]:
    from gandiff.common.errors import RequestError
    from gandiff.common.names import did_you_mean
    from gandiff.experiments.plugins import registry as plugins

    if kind == "generators":
        return plugins.generator_types()
    if kind == "metrics":
        return plugins.metric_types()
    if kind == "encoders":
        from gandiff.evaluate.features.encoders import encoder_names

        return encoder_names()
    if kind == "suites":
        return plugins.suite_names()
    raise RequestError(f"there are no {kind!r} to list{did_you_mean(kind, KINDS)}")
