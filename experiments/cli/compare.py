"""Commands on finished runs: compare one with another, and plan the next one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gandiff.common.errors import RequestError
from gandiff.common.run_record import OFF_NATIVE
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
    from gandiff.experiments.compare.change import MetricChange
    from gandiff.experiments.compare.power import PairPower
    from gandiff.experiments.compare.runs import RunComparison

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
        '"fid>+1.0 or clip_score<-0.005".',
    ),
]


@app.command(
    epilog=examples(
        "gandiff compare runs/before runs/after",
        'gandiff compare runs/before runs/after --metrics "fid,clip_score" --json',
        'gandiff compare runs/before runs/after --fail-if "fid>+1.0 or clip_score<-0.005"',
        "gandiff compare runs/gan runs/diffusion --generators gan=ddim-20",
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
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No table, only the conditions that hold.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two scored runs: B - A for every generator and metric.

    Numbers that were measured differently are refused. The exit code is 1 if a condition of
    --fail-if holds.
    """
    from gandiff.experiments import api

    pairs = None
    if generators is not None:
        pairs = read_pairs("--generators", generators.split(","), "A=B,...")
    compared = api.compare_runs(
        run_a,
        run_b,
        metrics=_names(metrics, "--metrics"),
        generators=pairs,
        fail_if=fail_if,
    )
    echo_warnings(compared.warnings)
    if as_json:
        echo_json(compared)
    elif not quiet:
        _echo_changes(compared)
    _echo_conditions(compared, as_json)
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


def _echo_changes(compared: RunComparison) -> None:
    echo_table(
        ("generator", "metric", "A", "B", "B - A", "95% interval", "better", "B is", "how"),
        [
            (
                f"{change.generator} {OFF_NATIVE}"
                if change.generator in compared.off_native
                else change.generator,
                change.metric,
                number(change.a),
                number(change.b),
                _signed(change.difference),
                _interval(change),
                "-" if change.direction == "none" else change.direction,
                "-" if change.verdict == "unknown" else change.verdict,
                change.how,
            )
            for change in compared.changes
        ],
    )


def _echo_conditions(compared: RunComparison, as_json: bool) -> None:
    for judged in compared.conditions:
        change = judged.change
        interval = f" (95% interval {_interval(change)})" if change.low is not None else ""
        what = f"{change.metric} of {change.generator} changed by {_signed(change.difference)}"
        if judged.outcome == "holds" and not as_json:
            typer.echo(f"failed: {judged.condition}: {one_line(what)}{interval}")
        elif judged.outcome == "not shown":
            said = f"{judged.condition}: {what}{interval}, which is not wholly beyond"
            echo_warnings([f"not shown: {said}"])


def _echo_pairs(pairs: list[PairPower], quiet: bool) -> None:
    header = ("a", "b", "metric", "a - b", "sd", "prompts", "detectable", "prompts needed")
    echo_table(
        () if quiet else header,
        [
            (
                pair.a,
                pair.b,
                pair.metric,
                _signed(pair.difference),
                number(pair.deviation),
                pair.prompts,
                number(pair.detectable),
                pair.needed or "-",
            )
            for pair in pairs
        ],
    )


def _interval(change: MetricChange) -> str:
    if change.low is None:
        return "-"
    return f"{_signed(change.low)} to {_signed(change.high)}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4g}" if value else "0"
