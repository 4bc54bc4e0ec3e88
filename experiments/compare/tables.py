"""The tables of a scored run, as what compares runs and plans them reads these."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import RequestError
from gandiff.common.names import did_you_mean
from gandiff.evaluate.numerics.paired import PairedMeans, paired_means
from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.models.tasks import PICTURES
from gandiff.reports.comparing import lookup
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import RunData, Score

Key = tuple[str, str]  # generator and metric


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """One metric of a generator's images, its denominators, and the prompt of each."""

    values: Float[np.ndarray, " n"]
    denominators: Float[np.ndarray, " n"]
    prompts: list[str]

    def among(self, prompts: Collection[str]) -> Scores:
        """Those of some prompts only."""
        kept = [i for i, prompt in enumerate(self.prompts) if prompt in prompts]
        return Scores(
            values=self.values[kept],
            denominators=self.denominators[kept],
            prompts=[self.prompts[i] for i in kept],
        )

    def paired_with(self, other: Scores) -> PairedMeans:
        """Both by prompt; ``ValueError`` where no prompt has both."""
        below = self.denominators, other.denominators
        return paired_means(self.values, self.prompts, other.values, other.prompts, below)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunTables:
    """The results and scores of a run; ``name`` is its folder as it was written."""

    name: str
    data: RunData
    results: Mapping[Key, MetricResult]
    scores: Mapping[Key, Scores]

    @property
    def metrics(self) -> list[str]:
        """Every row name of the results, once, in their order."""
        return list(dict.fromkeys(metric for _, metric in self.results))

    @property
    def generators(self) -> list[str]:
        """The generators that have results."""
        return list(dict.fromkeys(generator for generator, _ in self.results))

    @property
    def suite_sha256(self) -> str | None:
        """The hash of the prompts."""
        return self.data.record.suite.sha256

    @property
    def task(self) -> str:
        """What its generators were asked to do."""
        return str(self.data.record.comparison.get("task", "text_to_image"))

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers should know: the run was not finished, a file is broken."""
        status = self.data.record.status
        unfinished = [f"{self.name} is {status}; its numbers cover what there is"]
        notices = [f"{self.name}: {notice}" for notice in [*self.data.notices, *self.data.marks]]
        return [*(unfinished if status != "done" else []), *notices]

    def generator(self, name: str) -> str:
        """The name, if a generator is called so; raises ``RequestError``."""
        if name not in self.generators:
            near = did_you_mean(name, self.generators)
            raise RequestError(f"{self.name} has no generator {name!r}{near}")
        return name


def open_tables(folder: Path) -> RunTables:
    """Read a run; raises ``RequestError`` if it is none or has no results."""
    data = load_run(folder)
    if not data.results:
        why = f" ({'; '.join(data.notices)})" if data.notices else ""
        raise RequestError(f"{folder} has no results yet{why}; start with: gandiff score {folder}")
    by_metric: dict[Key, list[Score]] = {}
    for score in data.scores:
        by_metric.setdefault((score.generator, score.metric), []).append(score)
    scores = {
        key: Scores(
            values=np.array([one.value for one in members]),
            denominators=np.array([one.denominator for one in members]),
            prompts=[one.prompt_id for one in members],
        )
        for key, members in by_metric.items()
    }
    results = {
        key: dataclasses.replace(result, about=result.about or about_metric(result.metric))
        for key, result in lookup(data.results).items()
    }
    return RunTables(name=str(folder), data=data, results=results, scores=scores)


def common_prompts(a: RunTables, b: RunTables) -> frozenset[str]:
    """The ids of the prompts that are the same in two runs: id, text, negative prompt, pictures."""
    ours, theirs = ({_seen(prompt) for prompt in run.data.prompts} for run in (a, b))
    return frozenset(id_ for id_, *_ in ours & theirs)


def _seen(prompt: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a generator sees of a prompt as it was recorded, the id first."""
    pictures = [prompt.get(name) for name in PICTURES]
    known = [one.get("sha256") if isinstance(one, Mapping) else None for one in pictures]
    texts = (prompt.get("text"), prompt.get("negative_prompt"))
    return (str(prompt.get("id")), *texts, *known)
