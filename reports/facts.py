"""What a reader needs beside the scores: models, environment, how to repeat, what went wrong."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.reports.curves import training_curves
from gandiff.reports.glossary import split_metric, term
from gandiff.reports.palette import FAMILY_NAMES
from gandiff.reports.run_data import GeneratorFacts, RunData
from gandiff.reports.values import show_bytes, show_count, show_duration

Pairs = list[tuple[str, str]]
UNKNOWN = "not known"


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
                "Images seen in training": _maybe(show_count, facts.info.get("training_images")),
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
    settings = facts.info.get("settings") or {}
    return ", ".join(f"{key} = {value}" for key, value in settings.items() if value is not None)


def environment_rows(run: RunData) -> Pairs:
    """Return the machine and the code that the run was made with."""
    found = run.record.get("environment") or {}
    git = found.get("git") or {}
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    cores = f", {found['cores']} cores" if found.get("cores") else ""
    return _known(
        {
            "Device": found.get("device"),
            "Driver": found.get("driver") or "none",
            "Processor": f"{found['cpu']}{cores}" if found.get("cpu") else None,
            "Memory": _maybe(show_bytes, found.get("memory_bytes")),
            "System": found.get("platform"),
            "Python": found.get("python"),
            "Git commit": f"{git['commit']}{dirty}" if git.get("commit") else None,
            "Started": run.record.get("created"),
            "Finished": run.record.get("finished"),
        }
    )


def package_rows(run: RunData) -> Pairs:
    """Return the versions of the packages."""
    packages = (run.record.get("environment") or {}).get("packages") or {}
    return [(str(name), str(version)) for name, version in packages.items()]


def suite_rows(run: RunData) -> Pairs:
    """Return what the prompts are and how the seeds come about."""
    suite = run.record.get("suite") or {}
    comparison = run.record.get("comparison") or {}
    name = f"{suite.get('name', '')} {suite.get('version') or ''}".strip()
    return _known(
        {
            "Prompt suite": name,
            "Suite from": suite.get("source"),
            "Suite licence": suite.get("licence"),
            "Suite sha256": suite.get("sha256"),
            "Prompts": suite.get("prompts") or len(run.prompts) or None,
            "Samples a prompt": comparison.get("samples_per_prompt"),
            "Run seed": comparison.get("seed"),
        }
    )


def commands(run: RunData) -> list[tuple[str, str]]:
    """Return what to type to repeat the run or one image of it, each with what it does."""
    git = (run.record.get("environment") or {}).get("git") or {}
    folder = shlex.quote(str(run.folder))
    lines = []
    if git.get("commit"):
        lines.append(("take the same code", f"git checkout {shlex.quote(str(git['commit']))}"))
    again = f"gandiff run {folder}/comparison.yaml"
    lines.append(("run it all again", str(run.record.get("command") or again)))
    key = next((i.get("key") for i in run.images if i.get("status", "ok") == "ok"), None)
    if key:
        lines.append(
            (
                "make the batch of one image again and compare",
                f"gandiff replay {folder} {shlex.quote(str(key))}",
            )
        )
    lines.append(("write this report again", f"gandiff report {folder}"))
    return lines


def failure_reasons(run: RunData) -> list[tuple[str, str, str, int]]:
    """Count images without success by generator, status and reason, most frequent first."""
    counted = Counter(
        (str(i.get("generator")), str(i.get("status")), str(i.get("reason") or "no reason given"))
        for i in run.images
        if i.get("status", "ok") != "ok"
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
                "unit": result.unit or "none",
                **result.protocol,
                **({"note": result.note} if result.note else {}),
            }
        )
        grouped.setdefault(result.metric, {}).setdefault(tuple(fields), []).append(row.generator)
    for metric, groups in grouped.items():
        parameters = split_metric(metric)[1]
        shared = [Protocol(tuple(names), list(fields)) for fields, names in groups.items()]
        yield metric, f"{term(metric).label} {parameters}".strip(), shared
