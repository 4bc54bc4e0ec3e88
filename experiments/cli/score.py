"""The score command: the metrics of a run, or of two plain folders of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gandiff.experiments.cli.output import Json, Quiet, echo_json, echo_table, examples
from gandiff.experiments.cli.runs import Out, run_stage

if TYPE_CHECKING:
    from gandiff.evaluate.result import MetricResult


def register(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    app.command(
        epilog=examples(
            "gandiff score runs/scenes",
            'gandiff score my-images --reference photos --metrics "fid,kid(encoder=inception)"',
            "gandiff score my-images --reference photos --metrics fid "
            "--weights inception=inception.pt --json",
        )
    )(score)


def score(
    target: Annotated[
        Path,
        typer.Argument(metavar="RUN_OR_FOLDER", help="A run folder, its YAML file, or images."),
    ],
    reference: Annotated[
        Path | None, typer.Option(help="A folder of real images to compare a folder with.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="For a folder: metrics with commas between (gandiff list metrics)."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="ENCODER=FILE", help="For a folder: where an encoder's weights lie."),
    ] = None,
    device: Annotated[str, typer.Option(help="For a folder: cpu, cuda, mps or auto.")] = "cpu",
    out: Out = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure the images of a run, or of a folder.

    A folder is compared with a folder of real images; a run says itself what to measure.
    """
    is_run = target.is_file() or (target / "run.json").is_file()
    _check_options(target, is_run, metrics, folder_only=(reference, metrics, weights or None))
    if is_run:
        run_stage(target, "score", out, quiet, as_json)
        return
    assert metrics is not None  # _check_options has seen to it
    from gandiff.experiments import api

    results = api.score_folders(
        target,
        reference=reference,
        metrics=metrics,
        weights=_weights(weights or []),
        device=device,
        quiet=quiet,
    )
    if as_json:
        echo_json(results)
    else:
        _echo_results(results)


def _check_options(
    target: Path, is_run: bool, metrics: str | None, folder_only: Sequence[object]
) -> None:
    from gandiff.experiments.errors import RequestError

    if is_run and any(option is not None for option in folder_only):
        raise RequestError(
            f"{target} is a run, which says itself what to measure; --reference, --metrics and "
            "--weights are for a plain folder of images"
        )
    if not target.exists():
        raise RequestError(
            f"no such folder or file: {target}; give a run, its YAML file, or images"
        )
    if not is_run and metrics is None:
        raise RequestError(
            f"{target} is no run folder (it has no run.json); to score it as a folder of images "
            'say what to measure, such as --reference FOLDER --metrics "fid,kid"'
        )


def _weights(pairs: Sequence[str]) -> dict[str, str]:
    from gandiff.experiments.errors import RequestError

    files: dict[str, str] = {}
    for pair in pairs:
        encoder, equals, file = pair.partition("=")
        if not (encoder and equals and file):
            raise RequestError(f"cannot read --weights {pair!r}; write ENCODER=FILE")
        if encoder in files:
            raise RequestError(f"--weights names {encoder!r} twice; give each encoder one file")
        files[encoder] = file
    return files


def _echo_results(results: Sequence[MetricResult]) -> None:
    echo_table(
        ("metric", "value", "95% interval", "unit", "better", "images", "references", "note"),
        [
            (
                row.metric,
                _number(row.value),
                f"{_number(row.low)} to {_number(row.high)}" if row.low is not None else "-",
                row.unit or "-",
                f"near {row.target:g}" if row.target is not None else row.direction,
                "-" if row.images is None else row.images,
                "-" if row.references is None else row.references,
                row.note or "",
            )
            for row in results
        ],
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
