"""The validate command: check a comparison file without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandiff.experiments.cli.options import Overrides, Target, Weights, read_weights
from gandiff.experiments.cli.output import (
    Json,
    Quiet,
    echo_json,
    echo_warnings,
    examples,
    one_line,
)

if TYPE_CHECKING:
    from gandiff.experiments.config.types import Comparison
    from gandiff.experiments.scoring.look import Findings

app = typer.Typer()


@app.command(
    epilog=examples(
        "gandiff validate scenes",
        "gandiff validate runs/scenes --deep",
        "gandiff validate mine.yaml --set samples_per_prompt=2 --json",
    )
)
def validate(
    target: Target,
    overrides: Overrides = None,
    weights: Weights = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Load the pipelines of diffusers and try them, too."),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check a comparison file, or that of a run, without running it.

    Its shape, its names and its settings are checked, and all that can be looked up without making
    or fetching anything: prompts, files of folders and pipelines, reference images, weights of
    encoders, whether there are enough images for each metric.
    """
    from gandiff.common.errors import RequestError
    from gandiff.experiments import api
    from gandiff.experiments.runs.trial import try_comparison

    found = api.validate(target, overrides or [], read_weights(weights))
    said = {name: f"{name}: " if name else "" for name in found}
    echo_warnings(
        f"{said[name]}{line}" for name, (_, seen) in found.items() for line in seen.remarks
    )
    if problems := [f"{said[n]}{line}" for n, (_, seen) in found.items() for line in seen.problems]:
        raise RequestError("; ".join(problems))
    for comparison, _ in found.values() if deep else ():
        try_comparison(comparison, quiet=quiet)
    if as_json:
        tasks = {name: _plain(*one) for name, one in found.items()}
        echo_json(tasks.get("", {"tasks": tasks}))
        return
    for name, (comparison, seen) in found.items() if not quiet else ():
        task = f", task {name}," if name else ""
        typer.echo(f"{target}{task} is valid: {', '.join(comparison.generators)}")
        for fact in seen.facts:
            typer.echo(one_line(f"{said[name]}{fact}"))


def _plain(comparison: Comparison, seen: Findings) -> dict[str, Any]:
    """A comparison and what was found of it, as plain data."""
    from gandiff.experiments.config.types import comparison_to_dict

    checks = {"facts": seen.facts, "warnings": seen.remarks}
    return {**comparison_to_dict(comparison), "checks": checks}
