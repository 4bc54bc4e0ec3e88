"""What a command is about: a comparison file, the name of a shipped one, or a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from gandiff.common.errors import RequestError
from gandiff.common.run_record import RECORD
from gandiff.experiments.config.load import change_comparison, load_comparison
from gandiff.experiments.config.paths import named_comparison
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.suites import PromptSuite
from gandiff.experiments.runs.open import load_run

RUNS = Path("runs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A comparison and the folder of its run; ``suite`` is the recorded one, None to open it."""

    comparison: Comparison
    folder: Path
    suite: PromptSuite | None = None
    is_as_recorded: bool = False  # nothing is to be changed in a run that is there


def find_target(
    target: Path,
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    encoders: Mapping[str, str] | None = None,
) -> Target:
    """Read a comparison file or what a run recorded, with fields overridden; ``encoders`` are
    places of weights, from the working directory.

    Another ``out`` beside a run folder begins a run of the same comparison there. Raises
    ``RequestError`` for a folder that is not a run.
    """
    if not target.is_dir() or (not (target / RECORD).is_file() and named_comparison(target)):
        comparison = load_comparison(target, overrides, limit, encoders)
        return Target(comparison=comparison, folder=out or RUNS / comparison.name)
    if not (target / RECORD).is_file():
        raise RequestError(
            f"{target} is a folder without {RECORD}, so it is not a run; give a run folder, such "
            "as runs/scenes, a comparison file (.yaml), or the name of a shipped one"
        )
    recorded = load_run(target)
    generators = recorded.comparison.generators.items()
    # What the run keeps of generators that have changed was not asked for, and stays without that.
    asked = dataclasses.replace(
        recorded.comparison, generators={n: g for n, g in generators if not recorded.is_kept(n)}
    )
    origin = str(target / RECORD)
    comparison = change_comparison(asked, overrides, limit, encoders, origin=origin)
    # The prompts may have been given from Python.
    same_suite = comparison.suite == asked.suite and comparison.task == asked.task
    return Target(
        comparison=comparison,
        folder=out or target,
        suite=recorded.suite if same_suite else None,
        is_as_recorded=comparison is asked and out in (None, target),
    )


def need_run(found: Target, target: Path) -> None:
    """Refuse a stage that works on images where there is no run yet."""
    if not (found.folder / RECORD).is_file():
        raise RequestError(
            f"there is no run in {found.folder} yet; start with: gandiff generate {target}"
        )
