"""What a reader needs beside the scores: models, environment, how to repeat, what went wrong."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.common.finished_training import phases
from gandiff.common.run_record import COMPARISON_FILE
from gandiff.evaluate.result import split_metric
from gandiff.reports.curves import training_curves
from gandiff.reports.palette import FAMILY_NAMES
from gandiff.reports.run_data import GeneratorFacts, RunData
from gandiff.reports.values import show_bytes, show_count, show_duration

Pairs = list[tuple[str, str]]
UNKNOWN = "not known"
_LATER_STAGES = ("time", "score", "report")  # commands that make no image
_UNITS = {"": "none", "x": "times that of real images"}
_SHARED = 0.05  # of the cores used by others, from which on speeds were not measured alone


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What the numbers of one metric depend on, for the generators that share it."""

    generators: tuple[str, ...]
    fields: Pairs


def training_rows(run: RunData) -> list[tuple[str, Pairs]]:
    """Return, for each model, its title and what is known of how it was trained."""
    rows = []
    for curve in training_curves(run.generators):
        facts, record = curve.facts, curve.record
        pairs = _known(
            {
                "Family": family_name(facts),
                "Parameters": _maybe(show_count, facts.parameters),
                "Resolution": _maybe(lambda px: f"{px} px", facts.info.get("resolution")),
                "Text read by": facts.info.get("conditioning"),
                "Images seen in training": _images(facts, record),
                "Training time": _maybe(show_duration, facts.training_seconds),
                "Trained on": facts.training_device,
                "Training seed": record.get("seed"),
                "Training command": _commands(record),
                "Source": facts.info.get("source"),
                "Licence": facts.info.get("licence"),
                "Weights (sha256)": facts.weights_sha256,
            }
        )
        rows.append((curve.title, pairs))
    return rows


def _images(facts: GeneratorFacts, record: Mapping[str, Any]) -> str | None:
    """How many, for each network where they are several."""
    each = [f"{show_count(one.images)} by the {name}" for name, one in phases(record).items()]
    return ", ".join(each) or _maybe(show_count, facts.info.get("training_images"))


def _commands(record: Mapping[str, Any]) -> str | None:
    """The command of each start: the last one alone would not lead there."""
    starts = [start["command"] for start in record.get("commands", [])]
    return ", then ".join(starts) or record.get("command")


def family_name(facts: GeneratorFacts) -> str:
    """Return the family as a reader knows it."""
    return FAMILY_NAMES.get(facts.family, facts.family)


def _maybe(show: Any, value: Any) -> str | None:
    return None if value is None else str(show(value))


def _known(pairs: Mapping[str, Any]) -> Pairs:
    return [(name, UNKNOWN if value in (None, "") else str(value)) for name, value in pairs.items()]


def settings_text(facts: GeneratorFacts) -> str:
    """Return the settings of a generator on one line."""
    settings = dict(facts.info.get("settings") or {})
    resolved = settings.pop("resolved", None)
    resolved = resolved if isinstance(resolved, Mapping) else {}
    stages = settings.pop("stages", None) or []
    lines = [
        f"{key} = {value}{_origin(resolved.get(key))}"
        for key, value in settings.items()
        if value is not None and value != {}
    ]
    shown = [f"stage {n}: {_stage(stage)}" for n, stage in enumerate(stages, 1)]
    return "; ".join([", ".join([*lines, *_operating_point(resolved)]), *shown])


def _stage(stage: Any) -> str:
    """The settings of a stage of a cascade on one line."""
    if not isinstance(stage, Mapping):
        return str(stage)
    given = {k: v for k, v in stage.items() if k != "resolved" and v not in (None, {}, False, [])}
    return ", ".join(f"{key} = {value}" for key, value in given.items())


_ORIGINS = {
    "card": "its card",
    "config": "its configuration",
    "extra": "extra",
    "file": "native, in the comparison file",
    "signature": "the default of its call",
    "table": "what its makers say",
}


def _origin(source: object) -> str:
    known = isinstance(source, str) and source in _ORIGINS
    return f" ({_ORIGINS[str(source)]})" if known else ""


def _operating_point(resolved: Mapping[str, Any]) -> Iterator[str]:
    """What it was made for, and what else its call was given that nobody set."""
    native = resolved.get("native") or {}
    if native.get("unknown"):
        yield f"native point not known: {native['unknown']}"
    yield from (f"{key} = {value!r} (sent)" for key, value in (resolved.get("sent") or {}).items())
    for name, value in (resolved.get("rewriting") or {}).items():
        yield f"prompts rewritten ({name}): {'yes' if value else 'no'}"


def environment_rows(run: RunData) -> Pairs:
    """Return the machine and the code that the run was made with; threads and other work are those
    of timing.
    """
    machine = run.record.environment
    git = machine.git or {}
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    cores = f", {machine.cores} cores" if machine.cores else ""
    return _known(
        {
            "Device": " ".join(filter(None, (machine.device, _bracketed(machine.device_name)))),
            "Driver": machine.driver or "none",
            "Processor": f"{machine.cpu}{cores}" if machine.cpu else None,
            "Memory": _maybe(show_bytes, machine.memory_bytes),
            "Threads": timing_threads(run),
            "Shared with other work": timing_shared(run),
            "System": machine.platform,
            "Python": machine.python,
            "Git commit": f"{git['commit']}{dirty}" if git.get("commit") else None,
            "Started": run.record.created,
            "Finished": run.record.finished,
        }
    )


def _bracketed(text: str | None) -> str:
    return f"({text})" if text else ""


def timing_threads(run: RunData) -> str | None:
    """How many threads torch computed with when generators were timed; None if not recorded."""
    counts = sorted({int(n) for n in _of_timing(run, "threads")})
    return " or ".join(map(str, counts)) or None


def timing_shared(run: RunData) -> str | None:
    """Whether other programs used the cores while generators were timed; None if not recorded."""
    shares = _of_timing(run, "others_busy")
    if not shares:
        return None
    most = f"other programs kept at most {100 * max(shares):.0f} % of the cores busy in a round"
    return f"{'no' if max(shares) < _SHARED else 'yes'}: {most} of timing"


def _of_timing(run: RunData, field: str) -> list[float]:
    """What the rounds of timing say of a field, of all generators."""
    costs = run.record.costs.values()
    rounds = [one for cost in costs for one in cost.get("rounds") or () if isinstance(one, Mapping)]
    return [float(one[field]) for one in rounds if isinstance(one.get(field), (int, float))]


def package_rows(run: RunData) -> Pairs:
    """Return the versions of the packages."""
    return list(run.record.environment.packages.items())


def suite_rows(run: RunData) -> Pairs:
    """Return what the prompts are and how the seeds come about."""
    suite, comparison = run.record.suite, run.record.comparison
    name = f"{suite.name} {suite.version or ''}".strip()
    return _known(
        {
            "Prompt suite": name,
            "Suite from": suite.source,
            "Suite licence": suite.licence,
            "Suite sha256": suite.sha256,
            "Prompts": suite.prompts or len(run.prompts) or None,
            "Samples a prompt": comparison.get("samples_per_prompt"),
            "Run seed": comparison.get("seed"),
        }
    )


def commands(run: RunData) -> list[tuple[str, str]]:
    """Return what to type to repeat the run or one image of it, each with what it does."""
    git = run.record.environment.git or {}
    folder = shlex.quote(str(run.folder))
    lines = []
    if git.get("commit"):
        lines.append(("take the same code", f"git checkout {shlex.quote(str(git['commit']))}"))
    first, *later = making_commands(run)
    how = "run it all again" if _is_typed(first) else "call it again from Python"
    lines.append((how, first))
    lines += [("then", command) for command in later]
    key = next((image.key for image in run.images if image.is_ok), None)
    if key:
        lines.append(
            (
                "make the batch of one image again and compare",
                f"gandiff replay {folder} {shlex.quote(str(key))}",
            )
        )
    lines.append(("write this report again", f"gandiff report {folder}"))
    return lines


def making_commands(run: RunData) -> list[str]:
    """The commands that made the run, the first of which makes images.

    Runs of earlier versions recorded the last start alone, which may only have scored or reported:
    then the comparison in the folder is what makes it again.
    """
    recorded = list(run.record.commands or filter(None, [run.record.command]))
    if not recorded or _stage_of(recorded[0]) in _LATER_STAGES:
        folder = shlex.quote(str(run.folder))
        recorded.insert(0, f"gandiff run {folder}/{COMPARISON_FILE}")
    return [command for command in recorded if _stage_of(command) != "report"]


def _is_typed(command: str) -> bool:
    return command.startswith(("gandiff ", "python -m gandiff "))


def _stage_of(command: str) -> str:
    """The name of the subcommand; empty for a call from Python."""
    words = command.removeprefix("python -m ").split()
    return words[1] if _is_typed(command) and len(words) > 1 else ""


def failure_reasons(run: RunData) -> list[tuple[str, str, str, int]]:
    """Count images without success by generator, status and reason, most frequent first."""
    counted = Counter(
        (image.generator, str(image.status), image.reason or "no reason given")
        for image in run.images
        if not image.is_ok
    )
    return [(*key, count) for key, count in counted.most_common()]


def protocols(run: RunData) -> Iterator[tuple[str, str, list[Protocol]]]:
    """Yield each metric with its label and its protocols; generators that agree share one."""
    grouped: dict[str, dict[tuple[tuple[str, str], ...], list[str]]] = {}
    for row in run.results:
        result = row.result
        fields = _known(
            {
                "images": result.images,
                "reference images": result.references,
                "unit": _UNITS.get(result.unit, result.unit),
                **result.protocol,
                **({"note": result.note} if result.note else {}),
            }
        )
        grouped.setdefault(result.metric, {}).setdefault(tuple(fields), []).append(row.generator)
    for metric, groups in grouped.items():
        parameters = split_metric(metric)[1]
        shared = [Protocol(tuple(names), list(fields)) for fields, names in groups.items()]
        yield metric, f"{run.about(metric).label} {parameters}".strip(), shared
