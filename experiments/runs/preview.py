"""What generators can say of a run before its first image, for ``run`` and ``validate`` alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from gandiff.common.errors import RequestError
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.suites import Prompt, PromptSuite, open_suite
from gandiff.experiments.runs.plan import plan_seeds, request_for
from gandiff.models.generator import GenerationRequest, Generator, Preview


def preview(generator: Generator, comparison: Comparison, suite: PromptSuite) -> Preview:
    """Let a generator look at every request of a run, and at those that ``--limit`` leaves out."""
    return generator.preview(_requests(comparison, suite.prompts), _unlimited(comparison, suite))


def wrong_settings(name: str, seen: Preview) -> list[str]:
    """What is certainly wrong with a generator, each with the field of the comparison."""
    return [f"generators.{name}.{setting}: {text}" for setting, text in seen.problems]


def _requests(comparison: Comparison, prompts: Sequence[Prompt]) -> Iterator[GenerationRequest]:
    samples = comparison.samples_per_prompt
    seeds = plan_seeds(comparison.seed, (p.id for p in prompts), samples)
    for prompt in prompts:
        for sample in range(samples):
            yield request_for(prompt, sample, seeds[prompt.id, sample])


def _unlimited(comparison: Comparison, suite: PromptSuite) -> Iterator[GenerationRequest]:
    """Those of the whole suite, if there is a limit; nothing is opened before one is drawn."""
    if comparison.suite.limit is None:
        return
    unlimited = dataclasses.replace(comparison.suite, limit=None)
    try:
        prompts = open_suite(**vars(unlimited), base=comparison.folder).prompts
    except RequestError:
        return
    planned = {(r.prompt_id, r.sample): r for r in _requests(comparison, suite.prompts)}
    for request in _requests(comparison, prompts):
        yield planned.get((request.prompt_id, request.sample), request)
