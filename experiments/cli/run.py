"""Commands that make a run, or one stage of it: run, generate, time, report, replay."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from annotated_types import Ge

from gandiff.common.options import option
from gandiff.experiments.cli.invocation import this_command
from gandiff.experiments.cli.options import Given, Target, Weights, read_weights, takes
from gandiff.experiments.cli.output import (
    Json,
    Overwrite,
    Quiet,
    echo_json,
    echo_warnings,
    examples,
    one_line,
    show_path,
)

if TYPE_CHECKING:
    from gandiff.experiments.api import RunSummary, Stage

app = typer.Typer()
Retry = Annotated[
    bool | None,
    typer.Option(
        "--retry/--no-retry",
        help="Try all failed images again, or none; otherwise those that did not fail twice for "
        "the same reason.",
        show_default=False,
    ),
]

DropChanged = Annotated[
    bool,
    typer.Option(
        "--drop-changed",
        help="Drop what generators made before they were changed, which is kept as NAME@1.",
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageOptions:
    """What every command takes that works on a run."""

    out: Path | None = option(None, "The run folder (default: runs/<name>).")
    limit: Annotated[int, Ge(1)] | None = option(
        None, "Take N prompts only, some of each category.", metavar="N"
    )
    overrides: list[str] | None = option(
        None, "Override a field; may be repeated.", names=("--set",), metavar="KEY=VALUE"
    )
    quiet: bool = option(False, "No progress on stderr.", names=("--quiet", "-q"))


@app.command(
    epilog=examples(
        "gandiff run scenes",
        "gandiff run scenes --limit 8 --out runs/small",
        "gandiff run mine.yaml --set generators.gan.truncation_psi=0.7 --stop-after generate",
        "gandiff run runs/mine --retry",
    )
)
@takes(StageOptions)
def run(
    stage: Given,
    target: Target,
    stop_after: Annotated[
        Literal["generate", "time", "score"] | None,
        typer.Option(help="Leave out the later stages."),
    ] = None,
    retry: Retry = None,
    weights: Weights = None,
    allow_pickle: Annotated[
        bool,
        typer.Option("--allow-pickle", help="Load pickled weights, which may run any code."),
    ] = False,
    drop_changed: DropChanged = False,
    *,
    as_json: Json = False,
) -> None:
    """Run a whole comparison: plan, generate, time, score, report.

    What is there and valid already is kept, so the same command continues a run that was stopped. A
    run folder is continued as it was recorded. The exit code is 1 if a generator that can do the
    task made no image or a metric could not be measured.
    """
    from gandiff.experiments import api

    changes = list(stage["overrides"] or [])
    if allow_pickle:
        changes += _allow_pickle(target, changes)
    options = {**stage, "overrides": changes, "encoders": read_weights(weights)}
    options |= {"retry": retry, "drop_changed": drop_changed}
    until = stop_after or "report"
    summary = api.run(target, until=until, command=this_command(), **options)
    echo_summary(summary, as_json)


@app.command(
    epilog=examples(
        "gandiff generate scenes",
        "gandiff generate runs/scenes",
    )
)
@takes(StageOptions)
def generate(
    stage: Given,
    target: Target,
    retry: Retry = None,
    drop_changed: DropChanged = False,
    *,
    as_json: Json = False,
) -> None:
    """Make the images of a run that are not there yet, and try failed ones again."""
    run_stage(target, "generate", as_json, retry=retry, drop_changed=drop_changed, **stage)


@app.command(
    epilog=examples(
        "gandiff time runs/scenes",
        "gandiff time runs/scenes --set timing.repeats=30",
    )
)
@takes(StageOptions)
def time(stage: Given, target: Target, *, as_json: Json = False) -> None:
    """Measure the speed and memory of a run's generators.

    Each round loads each in a process of its own; what was measured already is kept.
    """
    run_stage(target, "time", as_json, **stage)


@app.command(
    epilog=examples(
        "gandiff report runs/scenes",
        "gandiff report runs/scenes --set report.gallery_prompts=50",
        "gandiff report runs/scenes --latex paper/results.tex --pdf-figures",
    )
)
@takes(StageOptions)
def report(
    stage: Given,
    target: Target,
    latex: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write verdict, tables and protocol as LaTeX, too."),
    ] = None,
    pdf_figures: Annotated[
        bool, typer.Option("--pdf-figures", help="Write the figures as PDF, too.")
    ] = False,
    overwrite: Overwrite = False,
    *,
    as_json: Json = False,
) -> None:
    """Write the report of a run.

    It is written from the results, so no model is loaded.
    """
    from gandiff.common.outputs import claim_file
    from gandiff.reports.document import ForPapers
    from gandiff.reports.latex import is_ours

    papers = ForPapers(latex=latex, pdf_figures=pdf_figures)
    with contextlib.ExitStack() as claimed:
        if latex is not None:
            claim = claim_file(latex, ".tex", is_ours, overwrite=overwrite, option="--latex")
            claimed.enter_context(claim)
        run_stage(target, "report", as_json, papers=papers, **stage)
        if latex is not None and not as_json:
            typer.echo(f"LaTeX: {show_path(latex)}")


@app.command(
    epilog=examples("head -n 1 runs/scenes/images.jsonl", "gandiff replay runs/scenes KEY")
)
def replay(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The key of an image, from images.jsonl.")
    ],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make an image of a run again and compare.

    The whole batch that was planned for it is made, as in the run. The exit code is 0 if the image
    is the same and 1 if it is not.
    """
    from gandiff.experiments import api

    result = api.replay(run_folder, key)
    if as_json:
        echo_json(result)
    elif result.same:
        typer.echo(f"the same: {show_path(result.path)}")
    elif result.max_difference is None:
        typer.echo(f"different: {show_path(result.path)} (one of the two is not an image)")
    else:
        typer.echo(
            f"different: {show_path(result.path)} (by up to {result.max_difference} of 255 levels)"
        )
    raise typer.Exit(0 if result.same else 1)


def run_stage(target: Path, stage: Stage, as_json: bool, **options: Any) -> None:
    """Run one stage of a run and print what came of it; ``options`` are those of ``api.stage``."""
    from gandiff.experiments import api

    chosen = {**options, "overrides": options["overrides"] or ()}
    summary = api.stage(target, stage, command=this_command(), **chosen)
    echo_summary(summary, as_json)


def echo_summary(summary: RunSummary, as_json: bool) -> None:
    """Print what a run says and where it lies; its warnings go to stderr.

    The exit code is 1 if something that was asked for was not made or measured.
    """
    echo_warnings(w for w in summary.warnings if not _is_said(w, summary.problems))
    if as_json:
        echo_json(summary)
    else:
        _echo_text(summary)
    for problem in summary.problems:
        typer.echo(f"error: {one_line(problem)}", err=True)
    if summary.problems:
        raise typer.Exit(1)


def _is_said(warning: str, problems: Sequence[str]) -> bool:
    """Whether a problem says the same, with the name and the reason."""
    parts = (problem.partition(" made no image: ") for problem in problems)
    return warning in problems or any(
        why and warning.startswith(f"{name}: ") and why in warning for name, _, why in parts
    )


def _echo_text(summary: RunSummary) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in summary.images.items())
    typer.echo(f"run: {show_path(summary.folder)}" + (f" (images: {counts})" if counts else ""))
    if summary.report is not None:
        typer.echo(f"report: {show_path(summary.report)}")
    if summary.verdict:
        typer.echo("")
    for sentence in summary.verdict:
        typer.echo(one_line(sentence))


def _allow_pickle(target: Path, overrides: list[str]) -> list[str]:
    """Overrides that set ``allow_pickle`` for every generator that knows the setting."""
    from gandiff.experiments.runs.target import find_target

    comparison = find_target(target, overrides=overrides).comparison
    sweep_of = {point: name for name, points in comparison.sweeps.items() for point in points}
    known = (n for n, entry in comparison.generators.items() if "allow_pickle" in entry.settings)
    names = dict.fromkeys(sweep_of.get(name, name) for name in known)
    return [f"generators.{name}.allow_pickle=true" for name in names]
