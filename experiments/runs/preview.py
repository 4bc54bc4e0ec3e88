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
    return generator.preview(requests_of(comparison, suite.prompts), _beyond(comparison, suite))


def wrong_settings(name: str, seen: Preview) -> list[str]:
    """What is certainly wrong with a generator, each with the field of the comparison."""
    return [f"generators.{name}.{setting}: {text}" for setting, text in seen.problems]


def requests_of(
    comparison: Comparison, prompts: Sequence[Prompt], start: int = 0
) -> Iterator[GenerationRequest]:
    """What a run asks a generator for, from the prompt at the place ``start`` on."""
    samples = comparison.samples_per_prompt
    seeds = plan_seeds(comparison.seed, (p.id for p in prompts), samples)
    for prompt in prompts[start:]:
        for sample in range(samples):
            yield request_for(prompt, sample, seeds[prompt.id, sample])


def _beyond(comparison: Comparison, suite: PromptSuite) -> Iterator[GenerationRequest]:
    """What it would be asked for without the limit; nothing is opened before the first is drawn."""
    if comparison.suite.limit is None:
        return
    unlimited = dataclasses.replace(comparison.suite, limit=None)
    try:
        begun = [prompt.id for prompt in suite.prompts]
        prompts = open_suite(**vars(unlimited), base=comparison.folder, begun=begun).prompts
    except RequestError:
        return
    if prompts[: len(suite.prompts)] == suite.prompts:
        yield from requests_of(comparison, prompts, len(suite.prompts))
