"""Whether a run folder can be resumed, and which of its generators are others now."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, show
from gandiff.common.files import read_lines
from gandiff.common.run_record import PROMPTS, RECORD, GeneratorPlan, RunRecord, read_record
from gandiff.common.words import agree, counted
from gandiff.experiments.config.paths import WEIGHTS, named_weights, without_places
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import check_settings
from gandiff.experiments.prompts.suites import Prompt, PromptSuite, prompt_from_dict
from gandiff.experiments.prompts.tasks import source_differences
from gandiff.experiments.runs.commits import COMMIT, same_repository
from gandiff.experiments.runs.identity import UNKNOWN_CODE, Identity
from gandiff.models.diffusion.guidance import SCALE, STEPS
from gandiff.models.diffusion.planned import LABELS

# Fields that decide the pixels of all generators or which images share a batch; those of edits
# are recorded only where they are set.
_FIXED = ("seed", "batch_size", "dtype", "task", "strength")
_UNSET = {"task": "text_to_image", "strength": None}
_LATER = ("code", "files")  # what older versions did not record of an identity


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What a generator is now, beside what the run folder has of it.

    ``asked`` says what the request has changed (type, settings), ``outside`` what has changed in
    the world (weights, files, code); nothing in both is the same generator. ``remark`` is what
    cannot be known.
    """

    identity: Identity
    assumed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    asked: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    remark: str | None = None

    @property
    def changes(self) -> tuple[str, ...]:
        """All that has changed."""
        return (*self.asked, *self.outside)


def standing_of(name: str, planned: GeneratorPlan | None, now: Identity) -> Standing:
    """Compare a generator with what was recorded of it.

    Weights, files and code that are no longer on this machine are taken to be what was recorded:
    finished images can be scored without them. What an older version did not record is taken to
    be as it is now, with a remark; a Python object is then made again.
    """
    if planned is None:
        return Standing(identity=now)
    old = planned.identity
    now, assumed, remark = _completed(name, planned, now)
    asked = [] if old["type"] == now["type"] else ["type"]
    before, after = dict(old["settings"]), dict(now["settings"])
    if not asked:
        now = _with_lost(old, now)
        after = dict(now["settings"])
    settings = _changed_settings(old, now)
    asked += [
        f"{key} was {show(before.get(key))} and is {show(after.get(key))}"
        for key in settings
        if not (key in WEIGHTS and old["weights"] != now["weights"])
    ]
    if "type" in asked:
        asked[0] = f"type was {show(old['type'])} and is {show(now['type'])}"
    known = {part: value for part, value in assumed.items() if part in now}
    outside = _outside({**known, **old}, now)
    if not asked and not outside:
        return Standing(identity=old, assumed=assumed, remark=remark)
    return Standing(identity=now, asked=tuple(asked), outside=tuple(outside))


def _with_lost(old: Identity, now: Identity) -> Identity:
    """What a generator is now with the weights that are no longer on this machine taken to be what
    was recorded, if nothing else was asked for.
    """
    recorded = {**dict.fromkeys(WEIGHTS, old["weights"]), **old.get("files", {})}
    gone = [p for p, _ in named_weights(now["type"], now["settings"]) if recorded.get(p)]
    left = without_places(now["settings"], gone)
    if not gone or _changed_settings(old, {**now, "settings": left}):
        return now
    files = {**{p: recorded[p] for p in gone if p not in WEIGHTS}, **now.get("files", {})}
    weights = now["weights"] or old["weights"]
    return {**now, "settings": left, "weights": weights, **({"files": files} if files else {})}


def _changed_settings(old: Identity, now: Identity) -> list[str]:
    """The settings that are others now; what only labels a pipeline decides nothing, and what its
    absence leaves open is taken to be what was recorded. A GAN's settings that an older version did
    not have are at their defaults.
    """
    before, after = old["settings"], now["settings"]
    if old["type"] == now["type"] == "gan":
        added = check_settings("gan", {}).items()
        before = {**{k: v for k, v in added if k not in WEIGHTS}, **before}
    apart: set[str] = set()
    if now["type"] == "diffusers":
        apart = {*LABELS, *(key for key in (STEPS, SCALE) if key not in before or key not in after)}
    names = (before.keys() | after.keys()) - apart
    return sorted(name for name in names if before.get(name) != after.get(name))


def recorded_prompts(folder: Path) -> tuple[Prompt, ...]:
    """The prompts of a run, in its order; none where nothing was begun."""
    if not (folder / RECORD).is_file():
        return ()
    # A run that was killed between writing the prompts and run.json may have more rows.
    rows = itertools.islice(read_lines(folder / PROMPTS), read_record(folder).suite.prompts)
    return tuple(prompt_from_dict(row, folder.absolute()) for row in rows)


def check_continuation(
    folder: Path,
    record: RunRecord,
    comparison: Comparison,
    suite: PromptSuite,
    device: str,
) -> None:
    """Refuse a folder with other images; more prompts, samples, generators and metrics only
    continue it.

    Raises ``RequestError`` naming what differs.
    """
    old = {**_UNSET, **record.comparison}
    new = {field: getattr(comparison, field) for field in _FIXED}
    differences = [
        f"{field} is {show(old[field])} there and {show(new[field])} here"
        for field in _FIXED
        if old[field] != new[field]
    ]
    if record.plan.device not in (None, device):
        differences.append(f"device is {show(record.plan.device)} there and {show(device)} here")
    if comparison.samples_per_prompt < old["samples_per_prompt"]:
        there, here = old["samples_per_prompt"], comparison.samples_per_prompt
        differences.append(f"samples_per_prompt is {there} there and {here} here")
    differences += [
        f"generators.{name} is there and not here"
        for name in record.plan.generators
        if name not in comparison.generators
    ]
    differences += _prompt_differences(suite, recorded_prompts(folder))
    refuse(folder, differences)


def refuse(
    folder: Path, differences: Sequence[str], way_out: str = "choose another --out, or delete it"
) -> None:
    """Raise ``RequestError`` that names the first difference and the way out, if there is any."""
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise RequestError(f"{folder} holds another comparison: {differences[0]}{more}; {way_out}")


def _completed(
    name: str, planned: GeneratorPlan, now: Identity
) -> tuple[Identity, Mapping[str, Any], str | None]:
    """The identity of now with what only one of the two sides says, what was assumed of that."""
    old, made = planned.identity, dict(now)
    assumed, remark = dict(planned.assumed), None
    commits = [part for part in {**old, **made} if part.startswith(COMMIT)]
    for part in (*_LATER, *commits):
        if part in old and part not in made:
            if part in _LATER or same_repository(part, old, made):
                made[part] = old[part]
        elif part in made and part not in old and old["type"] != "python":
            current = made.pop(part)
            if assumed.setdefault(part, current) != current:
                made[part] = current
            elif part == "code":
                remark = (
                    f"{name}: its images were made by a version of gandiff that did not record the "
                    "code of generators; whether that has changed since is not known "
                    f"(to make them again, delete images/{name} in the run folder)"
                )
    return made, assumed, remark


def _outside(old: Identity, now: Identity) -> list[str]:
    changes = []
    if old["weights"] != now["weights"]:
        changes.append("its weights have changed")
    if old.get("code") != now.get("code"):
        code = str(now.get("code"))
        why = code.removeprefix(UNKNOWN_CODE).partition(": ")[2]
        changes.append(
            f"its code cannot be identified ({why}); with an attribute `version` it can"
            if code.startswith(UNKNOWN_CODE)
            else "its code has changed"
        )
    before, after = old.get("files", {}), now.get("files", {})
    for part in (
        p for p in {**old, **now} if p.startswith(COMMIT) and same_repository(p, old, now)
    ):
        was, is_now = (str(side.get(part))[:10] for side in (old, now))
        if was != is_now:
            changes.append(f"the hub's {part} was {was} and is {is_now}")
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return [*changes, *(f"the file of {key} has changed" for key in changed)]


def _prompt_differences(suite: PromptSuite, recorded: Sequence[Prompt]) -> list[str]:
    if len(recorded) > len(suite.prompts):
        return [
            f"it has {counted(len(recorded), 'prompt')} and {len(suite.prompts)} "
            f"{agree(len(suite.prompts), 'are asked for')} here"
        ]
    for old, prompt in zip(recorded, suite.prompts, strict=False):
        seen = (old.id, old.text, old.negative_prompt)
        if seen != (prompt.id, prompt.text, prompt.negative_prompt):
            here = f"{prompt.id!r}, {show(prompt.text)}, here"
            return [f"prompt {old.id!r} is {show(old.text)} there, and {here}"]
        if others := list(source_differences(old, prompt)):
            return others
    return []
