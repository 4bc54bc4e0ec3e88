"""Whether a run folder can be resumed: the same images are asked for, or more of the kind."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, show
from gandiff.common.files import read_lines
from gandiff.common.run_record import PROMPTS, RECORD, Plan, RunRecord, read_record
from gandiff.experiments.config.paths import WEIGHTS
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.suites import Prompt, PromptSuite, prompt_from_dict
from gandiff.experiments.runs.provenance import identity
from gandiff.models.generator import Generator

Identity = Mapping[str, Any]

# Fields that decide the pixels or which images share a batch; all others may change from run to
# run.
_FIXED = ("seed", "samples_per_prompt", "batch_size", "dtype")


def identities(
    comparison: Comparison,
    objects: Mapping[str, Generator],
    device: str,
    plan: Plan,
) -> dict[str, Identity]:
    """Say of every generator what decides its pixels, as plain data.

    Weights that are no longer on this machine are taken to be those that were recorded: finished
    images can be scored without them.
    """
    current: dict[str, Identity] = {}
    for name, config in comparison.generators.items():
        if name in objects:
            info = objects[name].info
            now = {
                "type": "python",
                "settings": dict(info.settings),
                "weights": info.weights_sha256,
                "dtype": comparison.dtype,
                "device": device,
            }
        else:
            now = identity(config.type, config.settings, comparison.dtype, device)
        now = json.loads(json.dumps(now, default=str))
        recorded = dict(plan.generators[name].identity) if name in plan.generators else None
        # A Python object of an earlier process cannot be asked what it was.
        gone = config.type == "python" and name not in objects
        current[name] = recorded if recorded and (gone or _lost_weights(recorded, now)) else now
    return current


def recorded_prompts(folder: Path) -> tuple[Prompt, ...]:
    """The prompts of a run, in its order; none where nothing was begun."""
    if not (folder / RECORD).is_file():
        return ()
    # A run that was killed between writing the prompts and run.json may have more rows.
    rows = itertools.islice(read_lines(folder / PROMPTS), read_record(folder).suite.prompts)
    return tuple(prompt_from_dict(row) for row in rows)


def check_continuation(
    folder: Path,
    record: RunRecord,
    comparison: Comparison,
    suite: PromptSuite,
    current: Mapping[str, Identity],
) -> None:
    """Refuse a folder with other images; more prompts, generators and metrics only continue it.

    Raises ``RequestError`` naming what differs.
    """
    old = record.comparison
    new = {field: getattr(comparison, field) for field in _FIXED}
    differences = [
        f"{field} is {show(old[field])} there and {show(new[field])} here"
        for field in _FIXED
        if old[field] != new[field]
    ]
    for name, planned in record.plan.generators.items():
        differences += _generator_differences(name, planned.identity, current.get(name))
    differences += _prompt_differences(suite, recorded_prompts(folder))
    differences = list(dict.fromkeys(differences))
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise RequestError(
            f"{folder} holds another comparison: {differences[0]}{more}; choose another --out, or "
            "delete that folder"
        )


def _lost_weights(recorded: Identity, now: Identity) -> bool:
    def without(side: Identity) -> Identity:
        kept = {k: v for k, v in side["settings"].items() if k not in WEIGHTS}
        return {**side, "settings": kept, "weights": None}

    lost = now["weights"] is None and recorded["weights"] is not None
    return lost and without(now) == without(recorded)


def _generator_differences(name: str, old: Identity, new: Identity | None) -> list[str]:
    field = f"generators.{name}"
    if new is None:
        return [f"{field} is there and not here"]
    if old["type"] != new["type"]:
        return [f"{field}.type is {show(old['type'])} there and {show(new['type'])} here"]
    if old["weights"] != new["weights"]:
        return [f"{field} has other weights there than here"]
    return [
        f"{where} is {show(a.get(key))} there and {show(b.get(key))} here"
        for where_, a, b in ((field, old["settings"], new["settings"]), ("", old, new))
        for key in sorted(a.keys() | b.keys())
        if key != "settings" and a.get(key) != b.get(key)
        for where in (f"{where_}.{key}" if where_ else key,)
    ]


def _prompt_differences(suite: PromptSuite, recorded: Sequence[Prompt]) -> list[str]:
    if len(recorded) > len(suite.prompts):
        return [f"it has {len(recorded)} prompts and {len(suite.prompts)} are asked for here"]
    for old, prompt in zip(recorded, suite.prompts, strict=False):
        seen = (old.id, old.text, old.negative_prompt)
        if seen != (prompt.id, prompt.text, prompt.negative_prompt):
            here = f"{prompt.id!r}, {show(prompt.text)}, here"
            return [f"prompt {old.id!r} is {show(old.text)} there, and {here}"]
    return []
