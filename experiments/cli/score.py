"""The score command: the metrics of a run, or of two plain folders of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandiff.common.errors import RequestError
from gandiff.common.words import counted
from gandiff.experiments.cli.options import Given, Overrides, Weights, read_weights, takes
from gandiff.experiments.cli.output import (
    Json,
    Overwrite,
    echo_json,
    echo_table,
    echo_warnings,
    examples,
    number,
    one_line,
)
from gandiff.experiments.cli.run import run_stage
from gandiff.experiments.scoring.encoding import FOLDER_METRICS, Encoding

if TYPE_CHECKING:
    from gandiff.evaluate.result import MetricResult
    from gandiff.experiments.scoring.folders import FolderScores

app = typer.Typer()
Out = Annotated[Path | None, typer.Option(help="The run folder (default: runs/<name>).")]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Take N prompts only, some of each category.", metavar="N"),
]


@app.command(
    epilog=examples(
        "gandiff score runs/scenes",
        'gandiff score my-images --reference photos --metrics "fid,kid"',
        "gandiff score my-images --reference photos.npz --metrics fid "
        "--weights inception=inception.pth --json",
    )
)
@takes(Encoding)
def score(
    encoding: Given,
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
        typer.Option(
            help="For a folder: metrics with commas between (gandiff list metrics); "
            f"{FOLDER_METRICS} unless given."
        ),
    ] = None,
    weights: Weights = None,
    *,
    out: Out = None,
    limit: Limit = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure the images of a run, or of a folder.

    A folder is compared with a folder of real images, or with a file of their statistics (gandiff
    stats, pytorch-fid). A run says itself what to measure.
    """
    is_run = _is_run(target)
    only = [encoding[name] for name in ("cache", "max_images", "compile")]
    only = [reference, metrics is not None, *only]
    _check_options(target, is_run, has_metrics=bool(reference or metrics), only_folders=any(only))
    if not is_run and any([out, limit is not None, overrides]):
        raise RequestError(
            f"{target} is a folder of images, not a run, to which --set, --limit and --out belong; "
            "use --metrics and --max-images"
        )
    if is_run:
        asked: dict[str, Any] = {"out": out, "limit": limit, "overrides": overrides or ()}
        asked["encoders"] = read_weights(weights)
        run_stage(target, "score", as_json, quiet=encoding["quiet"], **asked)
        return
    from gandiff.experiments.scoring.folders import measure_folders

    chosen = Encoding(weights=read_weights(weights), **encoding)
    named = FOLDER_METRICS if metrics is None else metrics
    _echo_scores(measure_folders(target, reference, named, chosen), as_json)


@app.command(
    epilog=examples(
        "gandiff stats photos --out photos.npz",
        "gandiff stats photos --encoder inception:clean --weights inception=inception.pth "
        "--out photos.npz",
    )
)
@takes(Encoding)
def stats(
    encoding: Given,
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
    overwrite: Overwrite = False,
    *,
    as_json: Json = False,
) -> None:
    """Write the statistics of a folder of images, to compare many others with.

    The file holds mean and covariance as pytorch-fid reads them, the features, and the protocol.
    """
    from gandiff.experiments.scoring.folders import write_folder_statistics

    chosen = Encoding(weights=read_weights(weights), **encoding)
    written = write_folder_statistics(
        folder, out, encoder, chosen, keep_features=keep_features, overwrite=overwrite
    )
    echo_warnings(written.warnings)
    if as_json:
        echo_json(written)
    else:
        kept = "with features" if written.features else "without features"
        typer.echo(f"{written.path}: {counted(written.images, 'image')}, {written.encoder}, {kept}")


def _is_run(target: Path) -> bool:
    from gandiff.experiments.config.paths import named_comparison

    if target.is_dir():
        return (target / "run.json").is_file()
    return target.is_file() or named_comparison(target) is not None


def _check_options(target: Path, is_run: bool, *, has_metrics: bool, only_folders: bool) -> None:
    if target.is_file() and target.suffix.lower() not in (".yaml", ".yml"):
        more = "; a file of statistics is given as --reference" * (target.suffix == ".npz")
        raise RequestError(
            f"{target} is a file; give the folder of the images to measure, or a run folder or its "
            f"YAML file{more}"
        )
    if is_run and only_folders:
        raise RequestError(
            f"{target} is a run, which says itself what to measure; --reference, --metrics "
            "and the like are for a plain folder of images"
        )
    if not is_run and not target.exists():
        raise RequestError(
            f"no such folder or file: {target}; give a run, its YAML file, or images"
        )
    if not is_run and not has_metrics:
        raise RequestError(
            f"{target} is no run folder (it has no run.json); to score it as a folder of images "
            f"give --reference FOLDER (measures {FOLDER_METRICS}), or --metrics, such as vendi"
        )


def _echo_scores(scores: FolderScores, as_json: bool) -> None:
    """Rows to stdout, the rest to stderr; exit code 1 if something could not be measured."""
    if as_json:
        echo_json(scores.results)
    else:
        _echo_results(scores.results)
    echo_warnings(scores.warnings)
    for row in scores.unmeasured:
        typer.echo(f"error: {row.metric}: {one_line(row.note or 'not measured')}", err=True)
    if scores.unmeasured:
        raise typer.Exit(1)


def _echo_results(results: Sequence[MetricResult]) -> None:
    echo_table(
        ("metric", "value", "95% interval", "unit", "better", "images", "references", "note"),
        [
            (
                row.metric,
                number(row.value),
                f"{number(row.low)} to {number(row.high)}" if row.low is not None else "-",
                row.unit or "-",
                f"near {row.target:g}" if row.target is not None else row.direction,
                "-" if row.images is None else row.images,
                "-" if row.references is None else row.references,
                row.note or "",
            )
            for row in results
        ],
    )
