"""The list commands: what a comparison file may name, the prompts of a suite, and runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gandiff.common.errors import RequestError
from gandiff.common.names import did_you_mean
from gandiff.common.run_record import RECORD, TASKS, read_record
from gandiff.experiments.cli.output import (
    Json,
    Quiet,
    echo_json,
    echo_table,
    examples,
    one_line,
)

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
        echo_json({**facts, "head": [prompt.to_dict() for prompt in prompts]})
        return
    if not quiet:
        echo_table((), [(name, value) for name, value in facts.items() if value is not None])
        typer.echo("")
    echo_table((), [(prompt.id, prompt.category or "-", prompt.text) for prompt in prompts])


@app.command(epilog=examples("gandiff runs", "gandiff runs my-runs --json"))
def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the runs lie.")] = Path(
        "runs"
    ),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the runs in a folder, the latest first, with their verdicts."""
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder; start a run with: gandiff run FILE")
    below = [folder, *(tasks.parent for tasks in folder.glob(f"*/{TASKS}"))]
    records = (record for place in below for record in place.glob(f"*/{RECORD}"))
    found = sorted(
        (_summary(record.parent) for record in records),
        key=lambda one: one["started"] or "",
        reverse=True,
    )
    if as_json:
        echo_json(found)
        return
    for one in found:
        columns = [one["folder"], *([] if quiet else [one["status"], one["started"] or ""])]
        typer.echo("  ".join(map(one_line, columns)).rstrip())
        for sentence in () if quiet else one["verdict"]:
            typer.echo(f"  {one_line(sentence)}")
    if not found:
        typer.echo(f"there is no run in {folder}", err=True)


def _summary(folder: Path) -> dict[str, Any]:
    """What a list says of one run; one that cannot be read is no reason to list none."""
    try:
        record = read_record(folder)
    except RequestError as error:
        status, started, verdict = "unreadable", None, [str(error)]
    else:
        status, started, verdict = record.status, record.created, list(record.reported.verdict)
    return {"folder": str(folder), "status": status, "started": started, "verdict": verdict}


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
