"""Commands for a first comparison: write a file of what there is, or compare without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from annotated_types import Ge

from gandiff.common.errors import RequestError
from gandiff.common.options import option
from gandiff.experiments.cli.invocation import this_command
from gandiff.experiments.cli.options import Given, read_weights, takes
from gandiff.experiments.cli.output import (
    Json,
    echo_json,
    echo_warnings,
    examples,
    one_line,
    show_path,
)
from gandiff.experiments.cli.run import StageOptions, echo_summary

if TYPE_CHECKING:
    from gandiff.experiments.start.start import Request

app = typer.Typer()
_FORM = "[NAME=]MODEL[,KEY=VALUE...]"
_WHAT = (
    "A shipped name, a folder (of weights, a pipeline or images), the hub id of a diffusers "
    "pipeline, or module:factory, with settings behind commas"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstOptions:
    """What a first comparison is made of, besides models."""

    prompts: str | None = option(
        None,
        "Prompts: .txt with one a line, .csv, .tsv, .jsonl, or a suite's name. [default: what "
        "metadata.jsonl or .csv in a folder says; scenes for models of scenes]",
        metavar="FILE",
    )
    reference: Path | None = option(None, "Real images, for FID and the like.", metavar="FOLDER")
    samples: Annotated[int, Ge(1)] | None = option(
        None, "Images of each prompt. [default: 4, or what folders have]", metavar="N"
    )
    weights: list[str] | None = option(
        None, "Where an encoder's weights lie; may be repeated.", metavar="ENCODER=FILE"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitOptions(FirstOptions):
    """What ``init`` takes."""

    folders: list[str] | None = option(
        None,
        "Images that were made elsewhere; may be repeated.",
        names=("--folder",),
        metavar="[NAME=]FOLDER[,KEY=VALUE...]",
    )
    pipelines: list[str] | None = option(
        None,
        "A pipeline of diffusers, by folder or hub id; may be repeated.",
        names=("--pipeline",),
        metavar="[NAME=]PIPELINE[,KEY=VALUE...]",
    )
    out: Path = option(Path("comparison.yaml"), "The file to write.", metavar="FILE.yaml")
    overwrite: bool = option(False, "Write over a file that is there.")
    quiet: bool = option(False, "The name of the file alone.", names=("--quiet", "-q"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareModelsOptions(StageOptions, FirstOptions):
    """What ``compare-models`` takes: that, and what every run does."""


@app.command(
    epilog=examples(
        "gandiff init",
        "gandiff init --folder midjourney --pipeline sdxl-turbo --prompts prompts.txt",
        "gandiff init runs/my-gan runs/my-diffusion --out mine.yaml",
    )
)
@takes(InitOptions)
def init(
    given: Given,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar=_FORM, help=f"{_WHAT}. [default: the two that ship]"),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a comparison file for what you have, with comments.

    How the files of a folder are named, how many images each prompt has and what can be measured is
    looked up; the file is checked as gandiff validate does before it is written.
    """
    from gandiff.experiments.start.start import save_start

    out = given["out"]
    made = save_start(_request(given, models or ()), out, overwrite=given["overwrite"])
    echo_warnings(made.seen.remarks)
    if as_json:
        generators = list(made.comparison.generators)
        echo_json({"path": out, "generators": generators, "facts": made.seen.facts})
        return
    typer.echo(show_path(out))
    if not given["quiet"]:
        for fact in made.seen.facts:
            typer.echo(one_line(fact))
        typer.echo(f"next: gandiff run {show_path(out)} --limit 8")


@app.command(
    "compare-models",
    epilog=examples(
        "gandiff compare-models gan-scenes diffusion-scenes --limit 8",
        "gandiff compare-models runs/my-gan runs/my-diffusion",
        "gandiff compare-models turbo=stabilityai/sdxl-turbo midjourney --prompts prompts.txt "
        "--reference photos",
    ),
)
@takes(CompareModelsOptions)
def compare_models(
    given: Given,
    models: Annotated[
        list[str], typer.Argument(metavar=f"{_FORM}...", help=f"{_WHAT}; two or more.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Compare models without a file: images, speed, scores and report.

    The same command again continues, and keeps what is there. The comparison file that gandiff init
    would write is in the run folder, by default runs/A-vs-B; two runs are compared by gandiff
    compare. The exit code is that of gandiff run.
    """
    from gandiff.experiments import api
    from gandiff.experiments.runs.target import RUNS
    from gandiff.experiments.start.start import start

    if len(models) < 2:
        raise RequestError(
            f"compare-models takes two models or more, got {models[0]!r} alone; gandiff init "
            f"{models[0]} writes a comparison of one"
        )
    request = _request(given, models)
    made = start(request, overrides=given["overrides"] or (), limit=given["limit"])
    folder = given["out"] or RUNS / made.comparison.name
    summary = api.run_comparison(
        made.comparison,
        folder,
        command=this_command(),
        quiet=given["quiet"],
        remarks=made.seen.remarks,
        left_out=made.left_out,
    )
    echo_summary(summary, as_json)


def _request(given: Mapping[str, Any], models: Sequence[str]) -> Request:
    from gandiff.experiments.start.start import Request

    return Request(
        models=models,
        pipelines=given.get("pipelines") or (),
        folders=given.get("folders") or (),
        weights=read_weights(given["weights"]),
        **{name: given[name] for name in ("prompts", "reference", "samples")},
    )
