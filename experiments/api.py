"""What gandiff can be asked to do, as functions; the command line is a thin layer over these."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gandiff.common.errors import RequestError
from gandiff.common.run_record import RECORD, REPORT, RESULTS, SCORES, Reported
from gandiff.experiments.compare.power import power_of_run as power_of_run
from gandiff.experiments.compare.runs import compare_runs as compare_runs
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.types import Comparison

if TYPE_CHECKING:
    import pandas as pd

    from gandiff.experiments.prompts.suites import PromptSuite
    from gandiff.experiments.runs.run import Run
    from gandiff.experiments.scoring.folders import FolderScores, WrittenStatistics
    from gandiff.models.generator import Generator

Stage = Literal["generate", "score", "report"]
RUNS = Path("runs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What became of a run: where it lies, what it says, and what was odd."""

    folder: Path
    report: Path | None
    verdict: list[str]
    images: dict[str, int]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **dataclasses.asdict(self),
            "folder": str(self.folder),
            "report": str(self.report) if self.report else None,
        }

    def to_frame(self) -> pd.DataFrame:
        """The results table: a row for each generator and metric."""
        import pandas as pd

        return pd.read_parquet(self.folder / RESULTS)

    def scores(self) -> pd.DataFrame:
        """The scores of every image: a row for each image and metric."""
        import pandas as pd

        return pd.read_parquet(self.folder / SCORES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """An image made again beside the recorded one.

    ``max_difference`` is in levels of 255; None if one of the two is no image.
    """

    key: str
    same: bool
    max_difference: int | None
    path: Path


def validate(path: Path, overrides: Sequence[str] = ()) -> Comparison:
    """Read a comparison file; raises ``RequestError`` that names file, line and field."""
    return load_comparison(path, overrides)


def run(
    target: Path,
    *,
    out: Path | None = None,
    limit: int | None = None,
    until: Stage = "report",
    overrides: Sequence[str] = (),
    quiet: bool = False,
    command: str = "",
) -> RunSummary:
    """Run a comparison file up to a stage; what is there and valid already is not done again."""
    comparison = load_comparison(target, overrides, limit)
    return run_comparison(
        comparison, out or RUNS / comparison.name, until=until, quiet=quiet, command=command
    )


def run_comparison(
    comparison: Comparison,
    folder: Path,
    *,
    until: Stage = "report",
    quiet: bool = False,
    command: str = "",
    suite: PromptSuite | None = None,
    generators: Mapping[str, Generator] | None = None,
) -> RunSummary:
    """Run a comparison up to a stage in a folder, with ready objects in place of what it names."""
    from gandiff.experiments.runs.generate import generate_images
    from gandiff.experiments.runs.open import open_run
    from gandiff.experiments.runs.provenance import now
    from gandiff.experiments.runs.traces import make_traces
    from gandiff.experiments.scoring.score import check_scoring, score_run

    check = None if until == "generate" else check_scoring
    with open_run(
        comparison, folder, command=command, suite=suite, generators=generators, check=check
    ) as opened:
        generate_images(opened, quiet=quiet)
        if until != "generate":
            make_traces(opened, quiet=quiet)
            score_run(opened, quiet=quiet)
        if until != "report":
            return _summary(opened, [])
        opened.update(status="done", finished=now())  # which the report says, and it comes last
        sentences = _write_report(opened, anew=False)
        return _summary(opened, sentences)


def stage(
    target: Path, stage: Stage, *, out: Path | None = None, quiet: bool = False, command: str = ""
) -> RunSummary:
    """Do one stage of a run folder, or of the run that a comparison file makes."""
    suite = None
    if (target / RECORD).is_file():
        folder = target
        comparison, suite = _recorded(target)
    else:
        comparison = load_comparison(target)
        folder = out or RUNS / comparison.name
    if stage == "generate":
        return run_comparison(
            comparison, folder, until="generate", quiet=quiet, command=command, suite=suite
        )
    if not (folder / RECORD).is_file():
        raise RequestError(
            f"there is no run in {folder} yet; start with: gandiff generate {target}"
        )
    if stage == "report":
        return _report_only(folder)
    return _score_only(comparison, suite, folder, quiet, command)


def _recorded(folder: Path) -> tuple[Comparison, PromptSuite]:
    """What a run was asked for; its prompts may have been given from Python."""
    from gandiff.experiments.runs.open import load_run

    recorded = load_run(folder)
    return recorded.comparison, recorded.suite


def _score_only(
    comparison: Comparison, suite: PromptSuite | None, folder: Path, quiet: bool, command: str
) -> RunSummary:
    from gandiff.experiments.runs.open import open_run
    from gandiff.experiments.scoring.score import check_scoring, score_run

    with open_run(comparison, folder, command=command, suite=suite, check=check_scoring) as opened:
        waiting = sum(len(opened.missing(name)) for name in opened.batches)
        if waiting:
            opened.warn(f"{waiting} batches of images are not made yet and not in the scores")
        score_run(opened, quiet=quiet)
        return _summary(opened, [])


def _report_only(folder: Path) -> RunSummary:
    from gandiff.experiments.runs.open import load_run

    if not (folder / RESULTS).is_file():
        raise RequestError(f"{folder} has no results yet; start with: gandiff score {folder}")
    opened = load_run(folder)
    return _summary(opened, _write_report(opened))


def _write_report(opened: Run, *, anew: bool = True) -> list[str]:
    """Write the report, return the verdict; ``anew=False`` keeps a report on the same tables."""
    from gandiff.experiments.scoring.describe import complete_descriptions
    from gandiff.reports.document import write_report

    complete_descriptions(opened.folder)
    scored, reported = opened.record.scored, opened.record.reported
    kept = (opened.folder / REPORT).is_file() and reported.scored == scored
    if anew or not kept:
        reported = Reported(scored=scored, verdict=write_report(opened.folder).verdict)
        opened.update(reported=reported)
    return list(reported.verdict)


def _summary(opened: Run, sentences: list[str]) -> RunSummary:
    report = opened.folder / REPORT
    images = {
        status: sum(getattr(counts, status) for counts in opened.record.counts.values())
        for status in ("ok", "failed", "filtered")
    }
    return RunSummary(
        folder=opened.folder,
        report=report if sentences else None,
        verdict=sentences,
        images={status: n for status, n in images.items() if n or status == "ok"},
        warnings=list(opened.record.warnings),
    )


def replay(run: Path, key: str, quiet: bool = False) -> ReplayResult:
    """Make the planned batch of one image again and compare it with the recorded image."""
    from gandiff.experiments.runs.replay import replay as replay_image

    found = replay_image(run, key)
    return ReplayResult(
        key=found.key,
        same=found.same,
        max_difference=found.largest_difference,
        path=found.path or run,
    )


def folder_scores(
    folder: Path | str,
    *,
    reference: Path | str | None = None,
    metrics: str | Sequence[str] = "fid,kid(encoder=inception)",
    **encoding: Any,
) -> FolderScores:
    """Measure a folder of images and say what was odd; see ``gandiff.score_folders``."""
    from gandiff.experiments.scoring.folders import Encoding, measure_folders

    return measure_folders(
        Path(folder),
        Path(reference) if reference is not None else None,
        metrics,
        Encoding(**encoding),
    )


def folder_statistics(
    folder: Path | str,
    out: Path | str,
    *,
    encoder: str = "inception",
    keep_features: bool = True,
    **encoding: Any,
) -> WrittenStatistics:
    """Write a folder's features, mean and covariance to a ``.npz`` file with their protocol."""
    from gandiff.experiments.scoring.folders import Encoding, write_folder_statistics

    return write_folder_statistics(
        Path(folder), Path(out), encoder, Encoding(**encoding), keep_features=keep_features
    )


def compare(
    *,
    generators: Mapping[str, Any],
    suite: Any = "scenes",
    metrics: Sequence[str] | None = None,
    out: Path | str = RUNS / "compare",
    quiet: bool = False,
    **settings: Any,
) -> RunSummary:
    """Compare generators from Python.

    ``generators`` maps a name to a ``Generator``, to a function ``(prompts, seeds) -> images``, or
    to a mapping as in a comparison file (``{"type": "gan"}``). ``suite`` is a name, a file, a
    ``PromptSuite`` or a list of prompts. ``settings`` are the other fields of a comparison file
    (``samples_per_prompt``, ``seed``, ``batch_size`` ...).
    """
    from gandiff.experiments.python_api import build

    comparison, prompts, ready = build(generators, suite, metrics, settings)
    return run_comparison(
        comparison,
        Path(out),
        suite=prompts,
        generators=ready,
        quiet=quiet,
        command="gandiff.compare",
    )


def doctor() -> list[Any]:
    """Look at versions, devices and weights; see ``gandiff.experiments.doctor.checks``."""
    from gandiff.experiments.doctor.checks import look

    return look()
