"""All that can be said of a comparison without making, fetching or loading anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.words import agree, counted
from gandiff.evaluate.features.weights import forbidden, missing_weights
from gandiff.evaluate.metric import Metric, PlannedSets
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.metrics import unused_encoders
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import make_generator, make_metric
from gandiff.experiments.prompts.suites import PromptSuite
from gandiff.experiments.prompts.tasks import for_task, wrong_size
from gandiff.experiments.runs.open import open_configured
from gandiff.experiments.runs.preview import nobody_able, preview, wrong_settings
from gandiff.experiments.scoring.edits import brought
from gandiff.experiments.scoring.references import count_reference
from gandiff.models.tasks import inability
from gandiff.reports.sentence import listed


@dataclasses.dataclass(kw_only=True)
class Findings:
    """What is certainly wrong, what a reader should know, and what is there; each a sentence."""

    problems: list[str] = dataclasses.field(default_factory=list)
    remarks: list[str] = dataclasses.field(default_factory=list)
    facts: list[str] = dataclasses.field(default_factory=list)


def look(comparison: Comparison) -> Findings:
    """Look at prompts, folders of images, reference images, sizes and encoders' weights.

    Raises ``RequestError`` without prompts; the problems are what a run would refuse.
    """
    suite = open_configured(comparison)
    suite = for_task(suite, comparison.task, comparison.folder)
    seen = check_sizes(comparison, suite)
    seen.facts.insert(0, f"prompts: {len(suite.prompts)} of {suite.name}")
    _look_at_generators(comparison, suite, seen)
    _look_at_weights(comparison, seen)
    return seen


def check_sizes(comparison: Comparison, suite: PromptSuite) -> Findings:
    """Whether there will be enough images for every metric.

    What only a limit on the prompts makes too few is a remark: that is how one tries things out. So
    is a metric of facts where the prompts state none.
    """
    seen = Findings()
    try:
        references = count_reference(comparison)
    except RequestError as error:
        return Findings(problems=[str(error)])
    asked = comparison.reference.images if comparison.reference else None
    if references is not None:
        seen.facts.append(f"reference: {counted(references, 'image')}")
        if asked is not None and references < asked:
            there = f"{references} {agree(references, 'are there')}"
            seen.remarks.append(f"reference.images: {asked} asked for, {there}")
    planned = _planned(comparison, suite, references)
    for field, metric in _metrics(comparison):
        if said := metric.shortage(planned):
            by_limit = planned.images > 1 and not metric.shortage(_unlimited(comparison, planned))
            mild = by_limit or metric.optional or metric.needs_facts
            (seen.remarks if mild else seen.problems).append(f"{field}: {said}")
    return seen


def shortages(comparison: Comparison) -> dict[str, str | None]:
    """Why each metric of a comparison cannot be measured on what is planned; None if it can."""
    suite = open_configured(comparison)
    planned = _planned(comparison, suite, count_reference(comparison))
    return {str(metric.spec): metric.shortage(planned) for _, metric in _metrics(comparison)}


def by_axis(reasons: Mapping[str, str]) -> dict[str, str]:
    """What was left out, by the axis that it would have stood for, each reason cut to its core."""
    found: dict[str, dict[str, list[str]]] = {}
    for metric, why in reasons.items():
        one = make_metric(MetricSpec.parse(metric))
        for_these = not (one.needs_facts or one.needs_edit or one.tasks)
        if for_these and (axis := one.describe().axis):
            core = why.removeprefix(f"{metric} ").partition(": ")[0].partition("; ")[0]
            found.setdefault(axis, {}).setdefault(core, []).append(metric)
    return {
        axis: "; ".join(
            f"{listed(metrics)} {agree(len(metrics), 'were')} left out: {core}"
            for core, metrics in alike.items()
        )
        for axis, alike in found.items()
    }


def refuse(problems: Sequence[str]) -> None:
    """Raise ``RequestError`` that names all problems, if there are any."""
    if problems:
        raise RequestError("; ".join(problems))


def _planned(comparison: Comparison, suite: PromptSuite, references: int | None) -> PlannedSets:
    samples = comparison.samples_per_prompt
    return PlannedSets(
        images=len(suite.prompts) * samples,
        samples=samples,
        prompts=len(suite.prompts),
        texts=len({prompt.text for prompt in suite.prompts}),
        facts=any(prompt.expected for prompt in suite.prompts),
        task=comparison.task,
        edits=brought(suite, comparison.task),
        references=references,
    )


def _unlimited(comparison: Comparison, planned: PlannedSets) -> PlannedSets:
    """The same without ``--limit``."""
    if comparison.suite.limit is None:
        return planned
    config = dataclasses.replace(comparison.suite, limit=None)
    suite = open_configured(dataclasses.replace(comparison, suite=config))
    return _planned(comparison, suite, planned.references)


def _metrics(comparison: Comparison) -> Iterator[tuple[str, Metric]]:
    """Each metric, with the field that names it."""
    for place, text in enumerate(comparison.metrics):
        yield f"metrics.{place}", make_metric(MetricSpec.parse(text))


def _look_at_generators(comparison: Comparison, suite: PromptSuite, seen: Findings) -> None:
    task, unable = comparison.task, dict[str, str]()
    for name, config in comparison.generators.items():
        looks = config.type in ("folder", "diffusers")  # what others say needs their weights
        if config.type == "python" or not (looks or task != "text_to_image"):
            continue
        try:
            made = make_generator(name, config.type, config.settings, comparison.folder)
        except RequestError as error:
            seen.problems.append(str(error))
            continue
        if reason := inability(made.info, task):
            unable[name] = reason
            seen.remarks.append(f"{name} {reason}")
        elif problem := wrong_size(suite, made.info):
            seen.problems.append(f"generators.{name}: {problem}")
        if reason or not looks:
            continue
        said = preview(made, comparison, suite)
        seen.problems += wrong_settings(name, said)
        seen.remarks += [f"{name}: {remark}" for remark in made.info.remarks]
        seen.facts.append(f"{name}: {said.summary}")
    if unable.keys() == comparison.generators.keys():
        seen.problems.append(nobody_able(task, unable))


def _look_at_weights(comparison: Comparison, seen: Findings) -> None:
    seen.remarks += unused_encoders(comparison)
    for field, metric in _metrics(comparison):
        for encoder in metric.encoders:
            try:
                missing = missing_weights(encoder, comparison.encoders)
            except MetricError as error:
                (seen.remarks if metric.optional else seen.problems).append(f"{field}: {error}")
                continue
            if missing is not None:
                reason = forbidden(missing.url)
                how = f"they cannot be fetched ({reason})" if reason else "a run fetches them"
                seen.remarks.append(f"{field}: {missing.what}; {how} from {missing.url}")
