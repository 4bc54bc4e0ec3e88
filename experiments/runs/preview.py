"""What generators can say of a run before its first image, for ``run`` and ``validate`` alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from gandiff.common.errors import RequestError
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.suites import Prompt, PromptSuite, open_suite
from gandiff.experiments.prompts.tasks import strength_of
from gandiff.experiments.runs.plan import plan_seeds, request_for
from gandiff.models.generator import GenerationRequest, Generator, Preview, Task


def preview(generator: Generator, comparison: Comparison, suite: PromptSuite) -> Preview:
    """Let a generator look at every request of a run, and at those that ``--limit`` leaves out."""
    return generator.preview(_requests(comparison, suite.prompts), _unlimited(comparison, suite))


def wrong_settings(name: str, seen: Preview) -> list[str]:
    """What is certainly wrong with a generator, each with the field of the comparison."""
    return [f"generators.{name}.{setting}: {text}" for setting, text in seen.problems]


def nobody_able(task: Task, unable: Mapping[str, str]) -> str:
    """That no generator can do the task, with what each of them says."""
    reasons = "; ".join(f"{name} {reason}" for name, reason in unable.items())
    return f"no generator of this comparison can do the task {task}: {reasons}"


def _requests(
    comparison: Comparison, prompts: Sequence[Prompt], *, pictures: bool = True
) -> Iterator[GenerationRequest]:
    samples, task = comparison.samples_per_prompt, comparison.task
    seeds = plan_seeds(comparison.seed, (p.id for p in prompts), samples)
    for prompt in prompts:
        own = strength_of(prompt, task, comparison.strength)
        for sample in range(samples):
            seed = seeds[prompt.id, sample]
            yield request_for(prompt, sample, seed, task, own, pictures=pictures)


def _unlimited(comparison: Comparison, suite: PromptSuite) -> Iterator[GenerationRequest]:
    """Those of the whole suite, if there is a limit; nothing is opened before one is drawn."""
    if comparison.suite.limit is None:
        return
    unlimited = dataclasses.replace(comparison.suite, limit=None)
    try:
        prompts = open_suite(
            **vars(unlimited), base=comparison.folder, task=comparison.task
        ).prompts
    except RequestError:
        return
    own = _requests(comparison, suite.prompts, pictures=False)
    planned = {(request.prompt_id, request.sample): request for request in own}
    for request in _requests(comparison, prompts, pictures=False):
        yield planned.get((request.prompt_id, request.sample), request)
