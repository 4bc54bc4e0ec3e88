"""Sentences about what training took: a fact beside the verdict, never a win."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from gandiff.common.finished_training import phases
from gandiff.reports.comparing import LEVEL
from gandiff.reports.cost_sentences import known_cost
from gandiff.reports.run_data import GeneratorFacts
from gandiff.reports.sentence import Index, Sentence, listed
from gandiff.reports.values import show_count, show_duration, show_ratio

TRAINING = "training_seconds"
_UNEQUAL = 1.2  # times the training of another model, from which on two families are not compared


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """What is known of a model's training; ``units`` are threads or, on an accelerator, processes
    that ran side by side, ``images`` those that the network which generates was shown, and None
    means not known.
    """

    name: str
    seconds: float | None
    images: int | None
    device: str | None
    units: int | None
    weights_sha256: str | None

    @classmethod
    def of(cls, index: Index, fact: GeneratorFacts) -> TrainingCost:
        """From the results and from what the model says of itself."""
        record = fact.info.get("training") or {}
        row = known_cost(index, fact.name, TRAINING)
        processes = _count(record.get("processes")) or 1
        on_cpu = fact.training_device in (None, "cpu")
        threads = _count(record.get("threads")) if on_cpu else 1
        generating = phases(record).get("denoiser")
        return cls(
            name=fact.name,
            seconds=row.value if row is not None else fact.training_seconds,
            images=generating.images if generating else _count(fact.info.get("training_images")),
            device=fact.training_device,
            units=threads and threads * processes,
            weights_sha256=fact.weights_sha256,
        )

    @property
    def device_minutes(self) -> float | None:
        """Time in minutes times what ran side by side."""
        return self.seconds / 60 * self.units if self.seconds and self.units else None

    @property
    def on(self) -> str:
        """Where, with the number of threads."""
        if not self.device:
            return ""
        threads = f" ({self.units} thread{'s' if self.units != 1 else ''})" if self.units else ""
        return f"{self.device}{threads if self.device == 'cpu' else ''}"


def _count(value: object) -> int | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and value > 0 else None  # type: ignore[call-overload, operator]


def premise(index: Index, facts: Sequence[GeneratorFacts]) -> Sentence | None:
    """The line above the verdict where one of two models was trained on more than 1.2 times the
    images or device-minutes of the other. Device-minutes are the budget: where they can be compared
    and are alike, images are no matter, since a step of one family costs more than one of another.
    """
    costs = [TrainingCost.of(index, fact) for fact in facts]
    if len(costs) != 2 or _same_model(costs):
        return None
    a, b = costs
    unequal = [_More.of(a, b, "on", "images", a.images, b.images, show_count)]
    minutes = (a.device_minutes, b.device_minutes)
    if a.device and a.device == b.device and all(minutes):
        longer = _More.of(a, b, "for", "device-minutes", *minutes, _minutes)
        if longer is None:
            return None
        unequal.append(longer)
    parts = [part for part in unequal if part is not None]
    if not parts:
        return None
    if len({part.more for part in parts}) == 1:
        said = f"{parts[0].more} was trained {listed([p.how for p in parts])} as {parts[0].less}"
    else:
        said = listed([f"{p.more} was trained {p.how} as {p.less}" for p in parts])
    text = f"{said}: this compares two models as they were trained, not two families."
    return Sentence("premise", text, "note")


def _minutes(number: int | float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


@dataclasses.dataclass(frozen=True)
class _More:
    """Who was trained more, by how much, and than whom."""

    more: str
    less: str
    how: str

    @classmethod
    def of(
        cls,
        a: TrainingCost,
        b: TrainingCost,
        by: str,
        what: str,
        ours: int | float | None,
        theirs: int | float | None,
        show: Callable[[int | float], str],
    ) -> _More | None:
        """None where it is not known of both, or not more than 1.2 times."""
        if not ours or not theirs or max(ours, theirs) <= _UNEQUAL * min(ours, theirs):
            return None
        large, small = max(ours, theirs), min(ours, theirs)
        more, less = (a, b) if ours > theirs else (b, a)
        factors = "threads \u00d7 time: " if what == "device-minutes" and a.device == "cpu" else ""
        how = (
            f"{by} {show_ratio(large / small)} times as many {what} "
            f"({factors}{show(large)} against {show(small)})"
        )
        return cls(more.name, less.name, how)


def _same_model(costs: Sequence[TrainingCost]) -> bool:
    return bool(costs[0].weights_sha256) and costs[0].weights_sha256 == costs[1].weights_sha256


def training_sentence(index: Index, facts: Sequence[GeneratorFacts]) -> Sentence:
    """Say how long training took, and what is not known of it."""
    costs = [TrainingCost.of(index, fact) for fact in facts]
    known, names = [cost for cost in costs if cost.seconds], [cost.name for cost in costs]
    if not known:
        of = names[0] if len(names) == 1 else f"neither {names[0]} nor {names[1]}"
        verb = "is not known" if len(names) == 1 else "is known"
        return Sentence("training", f"The training cost of {of} {verb}.", "not measured")
    if len(known) == 2:
        return _training_of_two(known[0], known[1])
    unknown = [cost.name for cost in costs if not cost.seconds]
    rest = f"; the training cost of {listed(unknown)} is not known" if unknown else ""
    text = f"{_took(known[0])}{rest}."
    return Sentence("training", text, "not measured" if unknown else "single")


def _took(cost: TrainingCost, other: TrainingCost | None = None) -> str:
    first, *rest = (
        (one.name, show_duration(one.seconds or 0.0), f" on {one.on}" if one.on else "")
        for one in (cost, other)
        if one is not None
    )
    second = "".join(f" and {name} {duration}{on}" for name, duration, on in rest)
    return f"{first[0]} took {first[1]} to train{first[2]}{second}"


def _training_of_two(a: TrainingCost, b: TrainingCost) -> Sentence:
    short, long = sorted((a.seconds or 0.0, b.seconds or 0.0))
    on = f" on {a.on}" if a.on else ""
    if _same_model([a, b]):
        text = f"{a.name} and {b.name} are one model, trained for {show_duration(short)}{on}."
        return Sentence("training", text, "tie")
    if a.device != b.device:
        text = f"{_took(a, b)}, which different devices make incomparable."
        return Sentence("training", text, "note")
    if long / short < LEVEL and a.units == b.units:
        text = f"{a.name} and {b.name} took equally long to train: {show_duration(short)}{on}."
        return Sentence("training", text, "tie")
    missing = "" if a.units and b.units else "; how many threads ran is not known of both"
    return Sentence("training", f"{_took(a, b)}{missing}.", "note")
