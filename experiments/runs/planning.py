"""The plan of a run and how it grows: more prompts, more samples, more generators."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from gandiff.common.contents import ContentLedger
from gandiff.common.devices import resolve_device
from gandiff.common.run_record import INPUTS, RECORD, Plan, RunRecord, read_record
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.suites import PromptSuite
from gandiff.experiments.runs.identity import identities
from gandiff.experiments.runs.mend import Mending, mend, with_kept
from gandiff.experiments.runs.plan import Batch, plan_batches, plan_seeds
from gandiff.experiments.runs.resume import check_continuation
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import RunStore
from gandiff.models.generator import Generator


def planned_run(
    comparison: Comparison,
    suite: PromptSuite,
    store: RunStore,
    objects: Mapping[str, Generator],
    *,
    trusted: bool = False,
    makes_images: bool = False,
    keeps: bool = True,
) -> Run:
    """A run with its plan, which a folder may hold in part; nothing is written.

    ``trusted`` is the comparison that the folder records. Raises ``RequestError`` if the folder
    holds another one. ``makes_images`` and ``keeps`` say what becomes of changed generators
    (``mend``).
    """
    known = (store.folder / RECORD).is_file()
    record = read_record(store.folder) if known else RunRecord()
    device: str = comparison.device
    if device == "auto":
        # What the run began on: the images that are still missing must be equal to the others.
        device = record.plan.device or resolve_device(device)
    ledger = ContentLedger(store.folder / INPUTS)
    before = record.comparison.get("samples_per_prompt", comparison.samples_per_prompt)
    if trusted:
        mending = Mending(plans=record.plan.generators)
    else:
        recorded = recorded_comparison(store.folder, record) if known else None
        comparison = _with_what_is_kept(comparison, recorded, record)
        if known:
            check_continuation(store.folder, record, comparison, suite, device)
        now = identities(comparison, objects, device, record.plan, ledger, makes_images)
        mending = mend(store.folder, record, now, makes_images=makes_images, keeps=keeps)
        comparison = with_kept(comparison, recorded, mending)
    plan = Plan(device=device, generators=mending.plans)
    plan = grown(plan, len(suite.prompts), before, comparison.samples_per_prompt)
    return Run(
        comparison=comparison,
        suite=suite,
        device=device,
        store=store,
        ledger=ledger,
        batches=batches_of(comparison, suite, plan),
        record=dataclasses.replace(record, plan=plan),
        objects=objects,
        mending=mending,
    )


def recorded_comparison(folder: Path, record: RunRecord) -> Comparison:
    """The comparison that a run was made from, with the results of before that it keeps."""
    return comparison_from_dict(
        record.comparison, base=record.base, origin=str(folder / RECORD), trusted=True
    )


def _with_what_is_kept(
    comparison: Comparison, recorded: Comparison | None, record: RunRecord
) -> Comparison:
    """The comparison with the results of before that the run has kept so far."""
    if recorded is None:
        return comparison
    plans = record.plan.generators
    kept = {name: recorded.generators[name] for name, plan in plans.items() if plan.kept_from}
    return dataclasses.replace(comparison, generators={**comparison.generators, **kept})


def grown(plan: Plan, prompts: int, before: int, samples: int) -> Plan:
    """The plan with every generator that is still made extended to so many prompts and samples.

    ``before`` is the number of samples of the plannings that name none.
    """
    plans = {}
    for name, planned in plan.generators.items():
        areas = planned.areas(before)
        if not planned.kept_from and (not areas or areas[-1] != (prompts, samples)):
            areas = (*areas, (prompts, samples))
        each = tuple(k for _, k in areas)
        plans[name] = dataclasses.replace(
            planned,
            segments=tuple(p for p, _ in areas),
            samples=() if set(each) == {samples} else each,
        )
    return dataclasses.replace(plan, generators=plans)


def batches_of(
    comparison: Comparison, suite: PromptSuite, plan: Plan
) -> dict[str, tuple[Batch, ...]]:
    """The batches of every generator of a plan."""
    samples = comparison.samples_per_prompt
    areas = {name: planned.areas(samples) for name, planned in plan.generators.items()}
    history = max(areas.values(), key=len, default=())[:-1]
    ids = [prompt.id for prompt in suite.prompts]
    seeds = plan_seeds(comparison.seed, ids, samples, areas=history)
    return {
        name: plan_batches(
            generator=name,
            identity=planned.identity,
            prompts=suite.prompts[: areas[name][-1][0]],
            seeds=seeds,
            areas=areas[name],
            batch_size=comparison.batch_size,
            key_name=planned.kept_from or None,
            task=comparison.task,
            strength=comparison.strength,
        )
        for name, planned in plan.generators.items()
    }
