"""Which facts that a prompt states an image does not show, by a metric that looks for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gandiff.evaluate.result import split_metric
from gandiff.reports.run_data import RunData

Place = tuple[str, str, int]  # generator, prompt, sample


@dataclasses.dataclass(frozen=True)
class WrongFacts:
    """``metric`` says whether all facts are right; empty where no metric looks for facts."""

    metric: str = ""
    by_image: Mapping[Place, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, run: RunData, preferred: str | None) -> WrongFacts:
        """Of the first metric with facts, or of ``preferred`` if it has any."""
        words = {m: run.about(m).fact for m in dict.fromkeys(score.metric for score in run.scores)}
        judged = dict.fromkeys(_whole(metric) for metric, fact in words.items() if fact)
        if not judged:
            return cls()
        metric = _whole(preferred or "")
        metric = metric if metric in judged else next(iter(judged))
        wrong: dict[Place, tuple[str, ...]] = {}
        for score in run.scores:
            if score.value < 1.0 and words[score.metric] and _whole(score.metric) == metric:
                place = (score.generator, score.prompt_id, score.sample)
                wrong[place] = (*wrong.get(place, ()), words[score.metric])
        return cls(f"{metric}/all", wrong)


def _whole(metric: str) -> str:
    base, parameters, _ = split_metric(metric)
    return base + parameters
