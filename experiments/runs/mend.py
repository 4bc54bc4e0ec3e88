"""How a run folder is mended: what becomes of generators that are others now."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from gandiff.common.run_record import IMAGES, UNCOMPOSITED, GeneratorPlan, RunRecord
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.runs.commits import COMMIT
from gandiff.experiments.runs.identity import Identity
from gandiff.experiments.runs.plan import Batch
from gandiff.experiments.runs.resume import Standing, refuse, standing_of
from gandiff.experiments.runs.store import RunStore

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mending:
    """What becomes of the generators of a run folder.

    ``renamed`` maps the name that results have to the one that they get, ``dropped`` are names
    whose results go. ``plans`` are those of the past, under the names that they get.
    """

    plans: Mapping[str, GeneratorPlan] = dataclasses.field(default_factory=dict)
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    changed: frozenset[str] = frozenset()  # others now, but nothing is made in this stage

    def of(self, recorded: Mapping[str, _T]) -> dict[str, _T]:
        """Something that is recorded by the names of generators, by the names that they get."""
        left = {name: value for name, value in recorded.items() if name not in self.dropped}
        return {self.renamed.get(name, name): value for name, value in left.items()}

    def move(self, store: RunStore, batches: Mapping[str, Sequence[Batch]]) -> None:
        """Move and remove the images; killed in between, the same request does the rest."""
        if not self.renamed and not self.dropped:
            return
        for images in (store.folder / IMAGES, store.folder / UNCOMPOSITED):
            for name in self.dropped:
                shutil.rmtree(images / name, ignore_errors=True)
            for before, after in self.renamed.items():
                if (images / before).is_dir() and not (images / after).exists():
                    (images / before).rename(images / after)
        store.align(
            [job for planned in batches.values() for batch in planned for job in batch.jobs]
        )


def mend(
    folder: Path,
    record: RunRecord,
    now: Mapping[str, Identity],
    *,
    makes_images: bool,
    keeps: bool,
) -> Mending:
    """Decide what becomes of every generator of a run folder.

    One that has changed is made again. Its old results are kept as ``name@1`` (and so on), unless
    it is a Python object, which nobody can make again, or ``keeps`` is False; what was kept before
    goes, too, then. One that is again what it was gets its kept results back. A stage that makes no
    images goes by what is there: raises ``RequestError`` if other settings are asked for.
    """
    old = _with_commits(record)
    stands = {n: standing_of(n, old.get(n), i) for n, i in now.items() if not _is_kept(old, n)}
    changed = {name: one for name, one in stands.items() if one.changes}
    unknown = [one.remark for one in stands.values() if one.remark]
    if not makes_images:
        differences = [f"generators.{n}: {why}" for n, one in changed.items() for why in one.asked]
        refuse(folder, differences, "make its images first: gandiff generate")
        said = [f"{n}: {', '.join(one.changes)} since it was made" for n, one in changed.items()]
        return Mending(
            plans=_complete(old, stands), remarks=(*said, *unknown), changed=frozenset(changed)
        )
    mending = _replaced(old, changed, keeps)
    remarks = (*mending.remarks, *unknown)
    return dataclasses.replace(mending, plans=_complete(mending.plans, stands), remarks=remarks)


def _with_commits(record: RunRecord) -> dict[str, GeneratorPlan]:
    """The plans, with the commits that older versions noted among the facts alone."""
    plans = dict(record.plan.generators)
    for name, plan in plans.items():
        kind, _, commit = str(record.generators.get(name, {}).get("weights_sha256")).partition(":")
        part = f"{COMMIT}pipeline"
        if kind == "hub" and plan.identity["type"] == "diffusers" and part not in plan.identity:
            plans[name] = dataclasses.replace(plan, assumed={part: commit, **plan.assumed})
    return plans


def _replaced(
    old: Mapping[str, GeneratorPlan], changed: Mapping[str, Standing], keeps: bool
) -> Mending:
    """The plans without those of generators that have changed, which are kept or dropped."""
    plans, renamed, remarks = dict(old), dict[str, str](), list[str]()
    dropped = [] if keeps else [name for name in old if _is_kept(old, name)]
    for name, one in changed.items():
        why = ", ".join(one.changes)
        if not keeps or "python" in (old[name].identity["type"], one.identity["type"]):
            dropped.append(name)
            remarks.append(f"{name}: {why}; its images of before were dropped and are made again")
            continue
        kept, again = _next_name(name, old), _former(name, one, old)
        renamed[name] = kept
        plans[kept] = dataclasses.replace(plans.pop(name), kept_from=name)
        remarks.append(f"{name}: {why}; its images of before are kept as {kept}")
        if again is not None:
            renamed[again] = name
            plans[name] = dataclasses.replace(plans.pop(again), kept_from="")
            remarks[-1] += f", and those of {again}, which are of the same, are used again"
    for name in dropped:
        del plans[name]
    return Mending(plans=plans, renamed=renamed, dropped=tuple(dropped), remarks=tuple(remarks))


def _complete(
    plans: Mapping[str, GeneratorPlan], stands: Mapping[str, Standing]
) -> dict[str, GeneratorPlan]:
    """The plans of all that is asked for, in that order, and behind them what is kept."""
    complete = {}
    for name, one in stands.items():
        plan = plans.get(name, GeneratorPlan(identity=one.identity))
        complete[name] = dataclasses.replace(plan, assumed=one.assumed or plan.assumed)
    return {**complete, **{name: plan for name, plan in plans.items() if plan.kept_from}}


def with_kept(comparison: Comparison, recorded: Comparison | None, mending: Mending) -> Comparison:
    """The comparison with the generators of before that are kept, behind those that are asked
    for.
    """
    if recorded is None:
        return comparison
    there = mending.of(recorded.generators)
    kept = {name: there[name] for name, plan in mending.plans.items() if plan.kept_from}
    asked = {n: config for n, config in comparison.generators.items() if n in mending.plans}
    return dataclasses.replace(comparison, generators={**asked, **kept})


def _is_kept(plans: Mapping[str, GeneratorPlan], name: str) -> bool:
    return name in plans and bool(plans[name].kept_from)


def _next_name(name: str, plans: Mapping[str, GeneratorPlan]) -> str:
    number = 1
    while f"{name}@{number}" in plans:
        number += 1
    return f"{name}@{number}"


def _former(name: str, one: Standing, plans: Mapping[str, GeneratorPlan]) -> str | None:
    """The kept results of the very generator that is asked for now."""
    kept = (n for n, plan in plans.items() if plan.kept_from == name)
    return next((n for n in kept if not standing_of(n, plans[n], one.identity).changes), None)
