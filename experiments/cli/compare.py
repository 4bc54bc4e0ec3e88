"""Commands on finished runs: compare one with another, and plan the next one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gandiff.common.errors import RequestError
from gandiff.experiments.cli.options import read_pairs
from gandiff.experiments.cli.output import (
    Json,
    echo_json,
    echo_table,
    echo_warnings,
    examples,
    number,
    one_line,
)

if TYPE_CHECKING:
    from gandiff.experiments.compare.power import PairPower
    from gandiff.experiments.compare.runs import RunComparison
    from gandiff.reports.changes import Form

app = typer.Typer()
FAILED = 1
Mapped = Annotated[
    str | None,
    typer.Option(metavar="A=B,...", help="Who is compared with whom (default: by equal names)."),
]
FailIf = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITIONS",
        help="Exit with 1 if B - A lies beyond, with its whole interval: "
        '"fid>+1.0 or clip_score<-0.005"; speeds in percent: "latency_seconds>+50%".',
    ),
]


@app.command(
    epilog=examples(
        "gandiff compare runs/before runs/after",
        'gandiff compare runs/before runs/after --metrics "fid,clip_score" --json',
        'gandiff compare runs/before runs/after --fail-if "fid>+1.0 or clip_score<-0.005"',
        "gandiff compare runs/gan runs/diffusion --generators gan=ddim-20",
        "gandiff compare runs/before runs/after --all --html > changes.html",
    )
)
def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The run to compare with.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run that is judged.")],
    metrics: Annotated[
        str | None, typer.Option(help="Metrics with commas between (default: all in both).")
    ] = None,
    generators: Mapped = None,
    fail_if: FailIf = None,
    every: Annotated[
        bool, typer.Option("--all", help="All numbers, not only those that have changed.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it as Markdown, for issues and reviews.")
    ] = False,
    html: Annotated[
        bool, typer.Option("--html", help="Print it as a page of its own, to send.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No table, only the conditions that hold.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two scored runs: B - A for every generator and metric, and by category of prompts.

    One sentence sums it up; below are the numbers that have changed. Numbers that were measured
    differently are left out with a warning, and refused where --metrics or --fail-if names them.
    The exit code is 1 if a condition of --fail-if holds.
    """
    from gandiff.experiments import api

    forms = {"--json": as_json, "--markdown": markdown, "--html": html}
    chosen = [option for option, is_given in forms.items() if is_given]
    if len(chosen) > 1:
        raise RequestError(f"{' and '.join(chosen)} are two forms of one output; give one")
    pairs = None
    if generators is not None:
        pairs = read_pairs("--generators", generators.split(","), "A=B,...")
    names = _names(metrics, "--metrics")
    compared = api.compare_runs(run_a, run_b, metrics=names, generators=pairs, fail_if=fail_if)
    echo_warnings(compared.warnings)
    if as_json:
        echo_json(compared)
    else:
        form: Form | None = "markdown" if markdown else "html" if html else None
        _echo_changes(compared, every, form, quiet)
    _warn_of_not_shown(compared)
    raise typer.Exit(FAILED if compared.failed else 0)


@app.command(
    epilog=examples(
        "gandiff power runs/scenes --metric scene_accuracy --difference 0.02",
        "gandiff power runs/scenes --metric clip_score --difference 0.005 "
        "--generators gan,ddim-20 --power 0.9",
    )
)
def power(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A scored run folder.")],
    metric: Annotated[str, typer.Option(help="A metric that has a score of every image.")],
    difference: Annotated[float, typer.Option(help="The difference to see, in its unit.")],
    generators: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Which generators (default: all).")
    ] = None,
    power: Annotated[float, typer.Option(help="The chance to see it, 0.5 or more, below 1.")] = 0.8,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="The rows without their heading.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how many prompts it takes to see a difference between two generators.

    To see it is to get a 95 % interval of the paired difference that leaves out 0.
    """
    from gandiff.experiments import api

    chosen = _names(generators, "--generators")
    pairs = api.power_of_run(
        run, metric=metric, difference=difference, generators=chosen, power=power
    )
    if as_json:
        echo_json(pairs)
    else:
        _echo_pairs(pairs, quiet)


def _names(text: str | None, option: str) -> list[str] | None:
    """The names of an option, with commas between those outside parentheses."""
    if text is None:
        return None
    from gandiff.experiments.scoring.folders import split_metrics

    names = split_metrics(text)
    if not names:
        raise RequestError(f"{option} is empty; give names with commas between")
    return names


def _echo_changes(compared: RunComparison, every: bool, form: Form | None, quiet: bool) -> None:
    """Print what has changed, or everything, as text or in a form for others to read."""
    from gandiff.experiments.compare.page import changes_page

    page = changes_page(compared, every=every)
    if form is not None:
        typer.echo(page.written(form), nl=False)
        return
    if not quiet:
        typer.echo(one_line(page.summary))
        for table in page.tables:
            typer.echo(f"\n{table.title}:")
            echo_table(table.head, table.rows)
        for note in page.notes:
            typer.echo(f"\n{one_line(note)}")
    for condition in page.failed:
        typer.echo(f"failed: {one_line(condition)}")


def _warn_of_not_shown(compared: RunComparison) -> None:
    from gandiff.experiments.compare.page import condition_text

    for judged in compared.conditions:
        if judged.outcome == "not shown":
            said = condition_text(judged)
            echo_warnings([f"not shown: {said}, which is not wholly beyond"])


def _echo_pairs(pairs: list[PairPower], quiet: bool) -> None:
    from gandiff.experiments.compare.page import signed

    header = ("a", "b", "metric", "a - b", "sd", "prompts", "detectable", "prompts needed")
    echo_table(
        () if quiet else header,
        [
            (
                pair.a,
                pair.b,
                pair.metric,
                signed(pair.difference),
                number(pair.deviation),
                pair.prompts,
                number(pair.detectable),
                pair.needed or "-",
            )
            for pair in pairs
        ],
    )
