"""The validate command: check a comparison file without running it."""

from __future__ import annotations

import typer

from gandiff.experiments.cli.options import File, Overrides
from gandiff.experiments.cli.output import Json, Quiet, echo_json, examples

app = typer.Typer()


@app.command(
    epilog=examples(
        "gandiff validate scenes",
        "gandiff validate mine.yaml --set samples_per_prompt=2 --json",
    )
)
def validate(
    file: File,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check a comparison file without running it.

    Its shape, its names and its settings are checked.
    """
    from gandiff.experiments.config.load import load_comparison
    from gandiff.experiments.config.types import comparison_to_dict

    comparison = load_comparison(file, overrides or [])
    if as_json:
        echo_json(comparison_to_dict(comparison))
    elif not quiet:
        typer.echo(f"{file} is valid: {', '.join(comparison.generators)}")
