"""The score command: the metrics of a run, or of two plain folders of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gandiff.experiments.cli.output import (
    Json,
    Quiet,
    echo_json,
    echo_table,
    examples,
    one_line,
)
from gandiff.experiments.cli.run import Out, run_stage

if TYPE_CHECKING:
    from gandiff.evaluate.result import MetricResult
    from gandiff.experiments.scoring.folders import FolderScores

app = typer.Typer()
Weights = Annotated[
    list[str] | None,
    typer.Option(metavar="ENCODER=FILE", help="For a folder: where an encoder's weights lie."),
]
Device = Annotated[str, typer.Option(help="For a folder: cpu, cuda, mps or auto.")]
BatchSize = Annotated[
    int, typer.Option(min=1, metavar="N", help="For a folder: images encoded at once.")
]
Compile = Annotated[
    bool, typer.Option("--compile", help="For a folder: compile Inception first (a minute).")
]
Cache = Annotated[
    Path | None, typer.Option(help="For a folder: keep features here for the next call.")
]
MaxImages = Annotated[
    int | None,
    typer.Option(min=2, metavar="N", help="For a folder: draw N images of each, always the same."),
]


@app.command(
    epilog=examples(
        "gandiff score runs/scenes",
        'gandiff score my-images --reference photos --metrics "fid,kid(encoder=inception)"',
        "gandiff score my-images --reference photos.npz --metrics fid "
        "--weights inception=inception.pth --json",
    )
)
def score(
    target: Annotated[
        Path,
        typer.Argument(metavar="RUN_OR_FOLDER", help="A run folder, its YAML file, or images."),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER_OR_NPZ", help="For a folder: real images, or their statistics."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="For a folder: metrics with commas between (gandiff list metrics)."),
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
    batch_size: BatchSize = 32,
    compile: Compile = False,
    cache: Cache = None,
    max_images: MaxImages = None,
    out: Out = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure the images of a run, or of a folder.

    A folder is compared with a folder of real images, or with a file of their statistics (gandiff
    stats, pytorch-fid). A run says itself what to measure.
    """
    is_run = _is_run(target)
    only = (reference, metrics, weights or None, cache, max_images, compile or None)
    _check_options(target, is_run, metrics, folder_only=only)
    if is_run:
        run_stage(target, "score", out, quiet, as_json)
        return
    assert metrics is not None  # _check_options has seen to it
    from gandiff.experiments import api

    found = api.folder_scores(
        target,
        reference=reference,
        metrics=metrics,
        weights=_weights(weights or []),
        device=device,
        batch_size=batch_size,
        compile=compile,
        cache=cache,
        max_images=max_images,
        quiet=quiet,
    )
    _echo_scores(found, as_json)


@app.command(
    epilog=examples(
        "gandiff stats photos --out photos.npz",
        "gandiff stats photos --encoder inception:clean --weights inception=inception.pth "
        "--out photos.npz",
    )
)
def stats(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="The file to write.")],
    encoder: Annotated[
        str, typer.Option(help="What encodes them (gandiff list encoders).")
    ] = "inception",
    keep_features: Annotated[
        bool,
        typer.Option(
            "--features/--no-features", help="Keep the features, which all but fd and fd_inf need."
        ),
    ] = True,
    weights: Weights = None,
    device: Device = "cpu",
    batch_size: BatchSize = 32,
    compile: Compile = False,
    cache: Cache = None,
    max_images: MaxImages = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the statistics of a folder of images, to be compared with again and again.

    The file holds mean and covariance as pytorch-fid reads them, the features, and the protocol.
    """
    from gandiff.experiments import api

    written = api.folder_statistics(
        folder,
        out,
        encoder=encoder,
        keep_features=keep_features,
        weights=_weights(weights or []),
        device=device,
        batch_size=batch_size,
        compile=compile,
        cache=cache,
        max_images=max_images,
        quiet=quiet,
    )
    _echo_warnings(written.warnings)
    if as_json:
        echo_json(written)
    else:
        kept = "with features" if written.features else "without features"
        typer.echo(f"{written.path}: {written.images} images, {written.encoder}, {kept}")


def _echo_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {one_line(warning)}", err=True)


def _is_run(target: Path) -> bool:
    from gandiff.experiments.config.paths import named_comparison

    if target.is_dir():
        return (target / "run.json").is_file()
    return target.is_file() or named_comparison(target) is not None


def _check_options(
    target: Path, is_run: bool, metrics: str | None, folder_only: Sequence[object]
) -> None:
    from gandiff.common.errors import RequestError

    if is_run and any(option is not None for option in folder_only):
        raise RequestError(
            f"{target} is a run, which says itself what to measure; --reference, --metrics, "
            "--weights and the like are for a plain folder of images"
        )
    if not is_run and not target.exists():
        raise RequestError(
            f"no such folder or file: {target}; give a run, its YAML file, or images"
        )
    if not is_run and metrics is None:
        raise RequestError(
            f"{target} is no run folder (it has no run.json); to score it as a folder of images "
            'say what to measure, such as --reference FOLDER --metrics "fid,kid"'
        )


def _weights(pairs: Sequence[str]) -> dict[str, str]:
    from gandiff.common.errors import RequestError

    files: dict[str, str] = {}
    for pair in pairs:
        encoder, equals, file = pair.partition("=")
        if not (encoder and equals and file):
            raise RequestError(f"cannot read --weights {pair!r}; write ENCODER=FILE")
        if encoder in files:
            raise RequestError(f"--weights names {encoder!r} twice; give each encoder one file")
        files[encoder] = file
    return files


def _echo_scores(found: FolderScores, as_json: bool) -> None:
    """Rows to stdout, the rest to stderr; exit code 1 if something could not be measured."""
    if as_json:
        echo_json(found.results)
    else:
        _echo_results(found.results)
    _echo_warnings(found.warnings)
    for row in found.unmeasured:
        typer.echo(f"error: {row.metric}: {one_line(row.note or 'not measured')}", err=True)
    if found.unmeasured:
        raise typer.Exit(1)


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
