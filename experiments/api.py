"""What gandiff can be asked to do, as functions; the command line is a thin layer over these."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from gandiff.common.errors import RequestError
from gandiff.common.run_record import REPORT, RESULTS
from gandiff.experiments.compare.power import power_of_run as power_of_run
from gandiff.experiments.compare.runs import compare_runs as compare_runs
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.config.metrics import name_encoders
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.factories import as_generator
from gandiff.experiments.plugins.shipped import SUITES
from gandiff.experiments.prompts.suites import PromptSuite, as_suite
from gandiff.experiments.runs.describe import default_metrics
from gandiff.experiments.runs.generate import generate_images, note_oddities
from gandiff.experiments.runs.open import load_run, note_seen, open_run
from gandiff.experiments.runs.provenance import now
from gandiff.experiments.runs.replay import replay as replay
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.summary import RunSummary as RunSummary
from gandiff.experiments.runs.target import RUNS, Target, find_target, need_run
from gandiff.experiments.runs.traces import make_traces
from gandiff.experiments.runs.trial import try_generators
from gandiff.experiments.scoring.look import Findings, by_axis, look, shortages
from gandiff.experiments.scoring.problems import (
    missing_images,
    missing_measurements,
    missing_timings,
)
from gandiff.experiments.scoring.report import check_report, report_run
from gandiff.experiments.scoring.score import check_scoring, score_run
from gandiff.experiments.several import do_tasks, find_tasks
from gandiff.experiments.timing.costs import say_who_is_not_timed
from gandiff.experiments.timing.time import time_run
from gandiff.models.generator import Generator
from gandiff.models.shared import findings_kept
from gandiff.models.tasks import TASKS
from gandiff.reports.document import NO_PAPERS, ForPapers

Stage = Literal["generate", "time", "score", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)  # in the order of a run


def validate(
    target: Path, overrides: Sequence[str] = (), encoders: Mapping[str, str] | None = None
) -> dict[str, tuple[Comparison, Findings]]:
    """Check a comparison file, or that of a run folder, and look up all that can be without making
    or fetching anything: what there is of each of its tasks, under ``""`` where it has one.

    Raises ``RequestError`` for a file that cannot be read; ``problems`` are what else is wrong.
    """
    how: dict[str, Any] = {"overrides": overrides, "encoders": encoders}
    tasks = find_tasks(target, **how)
    parts = {"": find_target(target, **how)} if tasks is None else tasks.parts
    return {name: (part.comparison, look(part.comparison)) for name, part in parts.items()}


def run(target: Path, *, until: Stage = "report", **options: Any) -> RunSummary:
    """Run a comparison file up to a stage, or continue a run folder as it was recorded.

    What is there and valid already is not done again. ``options`` are those of ``stage``.
    """
    return _run_target(STAGES[: STAGES.index(until) + 1], target, **options)


def stage(target: Path, stage: Stage, **options: Any) -> RunSummary:
    """Do one stage of a run folder, or of the run that a comparison file makes.

    ``options`` are ``out`` (the run folder), ``overrides`` (``field.path=value`` texts), ``limit``
    (the first N prompts only), ``encoders`` (weights by encoder) and ``papers`` (what a report is
    written as besides), and those of ``run_comparison``. They are subject to the same rules for a
    run folder as for a file: what decides the images that are there is fixed.
    """
    return _run_target((stage,), target, **options)


def run_comparison(
    comparison: Comparison, folder: Path, *, until: Stage = "report", **options: Any
) -> RunSummary:
    """Run a comparison up to a stage in a folder.

    ``options`` are ``quiet``, ``command``, ``retry`` (of failed images: True for all, False for
    none, None for those that did not fail twice for the same reason), and with ``suite`` and
    ``generators`` ready objects in place of what the comparison names. A generator that is not
    what it was is made again; its images of before are kept as ``name@1``, or go with
    ``drop_changed``. ``remarks`` are for the report's warnings, ``left_out`` says by axis of the
    verdict what was not asked for, and why.
    """
    return _do(STAGES[: STAGES.index(until) + 1], comparison, folder, **options)


def _run_target(
    stages: Sequence[Stage],
    target: Path,
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    encoders: Mapping[str, str] | None = None,
    papers: ForPapers = NO_PAPERS,
    **options: Any,
) -> RunSummary:
    how: dict[str, Any] = {"out": out, "overrides": overrides, "limit": limit, "encoders": encoders}
    if (tasks := find_tasks(target, **how)) is not None:

        def do(part: Target) -> RunSummary:
            return _run_found(stages, part, target, papers, options)

        quiet = options.get("quiet", False)
        with findings_kept():  # tasks have pictures in common
            return do_tasks(tasks, do, reports="report" in stages, quiet=quiet, papers=papers)
    return _run_found(stages, find_target(target, **how), target, papers, options)


def _run_found(
    stages: Sequence[Stage],
    where: Target,
    target: Path,
    papers: ForPapers,
    options: Mapping[str, Any],
) -> RunSummary:
    folder = where.folder
    if "generate" not in stages:
        need_run(where, target)
    if stages[0] == "report":
        if not (folder / RESULTS).is_file():
            raise RequestError(f"{folder} has no results yet; start with: gandiff score {folder}")
        if where.is_as_recorded:  # then nothing is to be locked or recorded
            opened = load_run(folder)
            return _summary(opened, report_run(opened, papers=papers), stages)
    return _do(stages, where.comparison, folder, suite=where.suite, papers=papers, **options)


def _do(
    stages: Sequence[Stage],
    comparison: Comparison,
    folder: Path,
    *,
    quiet: bool = False,
    command: str = "",
    retry: bool | None = None,
    drop_changed: bool = False,
    suite: PromptSuite | None = None,
    generators: Mapping[str, Generator] | None = None,
    papers: ForPapers = NO_PAPERS,
    remarks: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
) -> RunSummary:
    sentences: list[str] = []
    checks: list[Callable[[Run], None]] = [check_scoring] if "score" in stages else []
    if stages[0] == "report":
        checks = [check_report]
    if "generate" in stages:
        checks.append(functools.partial(try_generators, quiet=quiet, retry=retry))
    with open_run(
        comparison,
        folder,
        command=command,
        suite=suite,
        generators=generators,
        checks=checks,
        makes_images="generate" in stages,
        keep_changed=not drop_changed,
    ) as opened:
        if "generate" in stages:
            with findings_kept():  # samples of a prompt have their pictures in common
                generate_images(opened, quiet=quiet, retry=retry)
            make_traces(opened, quiet=quiet)
        else:
            note_oddities(opened)
        # Where it begins with one of these the images are still those of the scores.
        known = opened.record.scoring_warnings if stages[0] in ("time", "report") else ()
        note_seen(opened, [*remarks, *known], left_out)
        if "time" in stages:
            time_run(opened, quiet=quiet)
        if stages == ("time",):
            say_who_is_not_timed(opened)
        if "score" in stages:
            score_run(opened, quiet=quiet)
        if "report" in stages:
            opened.update(status="done", finished=now())  # which the report says, and it is last
            sentences = report_run(opened, again=stages[0] == "report", papers=papers)
        return _summary(opened, sentences, stages)


def _summary(opened: Run, sentences: list[str], stages: Sequence[Stage]) -> RunSummary:
    images = {
        status: sum(getattr(counts, status) for counts in opened.record.counts.values())
        for status in ("ok", "failed", "filtered")
    }
    return RunSummary(
        folder=opened.folder,
        report=opened.folder / REPORT if sentences else None,
        verdict=sentences,
        images={status: n for status, n in images.items() if n or status == "ok"},
        warnings=list(opened.record.warnings),
        problems=_problems(opened, stages),
    )


def _problems(opened: Run, stages: Sequence[Stage]) -> list[str]:
    """What these stages were asked for and is not there."""
    problems = missing_images(opened) if {"generate", "score"} & {*stages} else []
    if "score" in stages:
        problems += missing_measurements(opened)
    return problems + (missing_timings(opened) if stages == ("time",) else [])


def compare(
    *,
    generators: Mapping[str, Any],
    suite: Any = "scenes",
    metrics: Sequence[str] | None = None,
    out: Path | str = RUNS / "compare",
    quiet: bool = False,
    retry: bool | None = None,
    drop_changed: bool = False,
    **settings: Any,
) -> RunSummary:
    """Compare generators from Python.

    ``generators`` maps a name to a ``Generator``, to a function ``(prompts, seeds) -> images``, or
    to a mapping as in a comparison file (``{"type": "gan"}``). ``suite`` is a name, a file, a
    ``PromptSuite`` or a list of prompts. ``settings`` are the other fields of a comparison file
    (``samples_per_prompt``, ``seed``, ``batch_size`` ...). Calls of a function may cost money, so
    it is timed only where ``timing`` is given. Failed images are tried again by the next call into
    the same ``out`` unless they failed twice for the same reason; ``retry=True`` tries all of them,
    False none.

    Called again, what is there and valid is kept: more samples, prompts or generators are added. A
    Python object whose code or values have changed is made again; its attribute ``version``, if it
    has one, says when that is. What a mapping gave before it was changed is kept as ``name@1``, or
    goes with ``drop_changed``.
    """
    comparison, options = build(generators, suite, metrics, settings)
    options |= {"quiet": quiet, "retry": retry, "drop_changed": drop_changed}
    options["command"] = "gandiff.compare"
    return run_comparison(comparison, Path(out), **options)


def build(
    generators: Mapping[str, Any],
    suite: Any,
    metrics: Sequence[str] | None,
    settings: Mapping[str, Any],
) -> tuple[Comparison, dict[str, Any]]:
    """What ``compare`` was asked for: a comparison, and the objects as further options of a run."""
    if not generators:
        raise RequestError("compare() needs at least one generator: generators={'name': ...}")
    ready = {n: as_generator(n, g) for n, g in generators.items() if not isinstance(g, Mapping)}
    prompts = as_suite(suite)
    if prompts is not None:
        named: Mapping[str, Any] = {"name": "scenes"}
    else:
        named = suite if isinstance(suite, Mapping) else {"name": str(suite)}
    scenes, task = prompts is None and named.get("name") in SUITES, settings.get("task")
    if metrics is None and not scenes:
        raise RequestError(
            "compare() on prompts of your own needs metrics=[...], see: gandiff list metrics"
        )
    if prompts is not None and metrics is not None:  # the suite below is a stand-in
        metrics = name_encoders(metrics, scenes=_shows_scenes(prompts, settings.get("reference")))
    data = {
        "name": "compare",
        "suite": dict(named),
        "generators": {n: dict(g) for n, g in generators.items() if n not in ready},
        "metrics": default_metrics(task=task or TASKS[0]) if metrics is None else list(metrics),
        **({"reference": {"type": "scenes"}} if scenes else {}),
        **settings,
    }
    comparison = comparison_from_dict(data, origin="compare()", objects=ready)
    left_out: dict[str, str] = {}
    if metrics is None:  # of those that nobody asked for, the ones that can be measured
        short = shortages(comparison)
        possible = tuple(metric for metric, why in short.items() if why is None)
        comparison = dataclasses.replace(comparison, metrics=possible)
        left_out = by_axis({metric: why for metric, why in short.items() if why is not None})
    # The given order is the order of the report, whichever way each generator was given.
    points = [point for name in generators for point in comparison.sweeps.get(name, (name,))]
    ordered = {name: comparison.generators[name] for name in points}
    if "timing" in settings and comparison.timing.enabled:  # which is to ask for it
        paid = [name for name, one in ready.items() if one.info.cost == "request"]
        ordered |= {name: dataclasses.replace(ordered[name], timing="on") for name in paid}
    comparison = dataclasses.replace(comparison, generators=ordered)
    return comparison, {"suite": prompts, "generators": ready, "left_out": left_out}


def _shows_scenes(suite: PromptSuite, reference: object) -> bool:
    """Whether the pictures are rendered scenes, by what the prompts state or by the reference."""
    if isinstance(reference, Mapping) and reference.get("type") == "scenes":
        return True
    return all("objects" in (prompt.expected or {}) for prompt in suite.prompts)
