"""Sentences about speed, training cost and images that are missing."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.run_data import GeneratorFacts
from gandiff.reports.sentence import Index, Sentence, listed
from gandiff.reports.values import scale_of, show_duration, show_ratio, show_value

LATENCY, THROUGHPUT, TRAINING = "latency_seconds", "images_per_second", "training_seconds"
_LEVEL = 1.005  # ratios nearer to 1 than this read "1.00 times"


def _known(index: Index, name: str, metric: str) -> MetricResult | None:
    result = index.get((name, metric))
    return result if result is not None and result.value else None


def speed_sentence(index: Index, names: Sequence[str]) -> Sentence:
    """Say how many times faster the faster of one or two generators is."""
    found = [(name, r) for name in names if (r := _known(index, name, LATENCY)) is not None]
    if len(found) < len(names):
        return _speed_gap(index, names, found)
    rates = _rates(index, names)
    if len(found) == 1:
        name, only = found[0]
        text = f"{name} takes {show_value(only)} for one image{rates}."
        return Sentence("speed", text, "single")
    (fast, one), (slow, two) = sorted(found, key=lambda item: item[1].value or 0.0)
    ratio = (two.value or 0.0) / (one.value or 1.0)
    times = f"{show_value(one)} for one image against {show_value(two)}"
    bounds = _ratio_bounds(one, two)
    if ratio < _LEVEL or (bounds is not None and bounds[0] <= 1):
        how = "are equally fast" if ratio < _LEVEL else "do not clearly differ in speed"
        text = f"{names[0]} and {names[1]} {how}: {times}{_rates(index, [fast, slow])}."
        return Sentence("speed", text, "tie" if ratio < _LEVEL else "undecided")
    text = (
        f"{fast} is {show_ratio(ratio)} times as fast as {slow}: "
        f"{times}{_between(bounds)}{_rates(index, [fast, slow])}."
    )
    return Sentence("speed", text, "better", fast)


def _between(bounds: tuple[float, float] | None) -> str:
    if bounds is None:
        return ""
    return (
        f" ({show_ratio(bounds[0])} to {show_ratio(bounds[1])} times by the ends of both intervals)"
    )


def _ratio_bounds(fast: MetricResult, slow: MetricResult) -> tuple[float, float] | None:
    """The widest interval that both intervals allow for slow / fast."""
    ends = (fast.low, fast.high, slow.low, slow.high)
    if fast.low and fast.high and slow.low and slow.high and all(e and e > 0 for e in ends):
        return slow.low / fast.high, slow.high / fast.low
    return None


def _rates(index: Index, names: Sequence[str]) -> str:
    found = [_known(index, name, THROUGHPUT) for name in names]
    known = [r for r in found if r is not None]
    if not known or len(known) < len(names):
        return ""
    scales = [scale_of(r) for r in known]
    numbers = [s.number(r.value or 0.0) for s, r in zip(scales, known, strict=True)]
    return f", and {' against '.join(numbers)} images a second at the best batch size"


def _speed_gap(
    index: Index, names: Sequence[str], found: Sequence[tuple[str, MetricResult]]
) -> Sentence:
    if not found:
        return Sentence("speed", "Speed was not measured.", "not measured")
    name, result = found[0]
    other = next(n for n in names if n != name)
    gap = index.get((other, LATENCY))
    why = f" ({gap.note.rstrip('.')})" if gap is not None and gap.note else ""
    text = (
        f"Speed was not measured for {other}{why}, so it is not compared; "
        f"{name} takes {show_value(result)} for one image."
    )
    return Sentence("speed", text, "not measured")


def training_sentence(index: Index, facts: Sequence[GeneratorFacts]) -> Sentence:
    """Say how long training took, and how the two compare if the device was the same."""
    seconds = [_training_seconds(index, fact) for fact in facts]
    names = [fact.name for fact in facts]
    known = [(f, s) for f, s in zip(facts, seconds, strict=True) if s is not None]
    if not known:
        of = names[0] if len(names) == 1 else f"neither {names[0]} nor {names[1]}"
        verb = "is not known" if len(names) == 1 else "is known"
        return Sentence("training", f"The training cost of {of} {verb}.", "not measured")
    if len(facts) == 2 and len(known) == 2:
        return _training_of_two(known[0], known[1])
    known_ones = [f"{f.name} took {show_duration(s)} to train{_on(f)}" for f, s in known]
    unknown = [name for name in names if name not in {f.name for f, _ in known}]
    rest = f"; the training cost of {listed(unknown)} is not known" if unknown else ""
    return Sentence("training", f"{known_ones[0]}{rest}.", "not measured" if unknown else "single")


def _training_seconds(index: Index, fact: GeneratorFacts) -> float | None:
    row = _known(index, fact.name, TRAINING)
    return row.value if row is not None else fact.training_seconds


def _on(fact: GeneratorFacts) -> str:
    return f" on {fact.training_device}" if fact.training_device else ""


def _in_brackets(fact: GeneratorFacts) -> str:
    return f" ({fact.training_device})" if fact.training_device else ""


def _training_of_two(
    first: tuple[GeneratorFacts, float], second: tuple[GeneratorFacts, float]
) -> Sentence:
    (cheap, less), (dear, more) = sorted((first, second), key=lambda item: item[1])
    a, b = first[0], second[0]
    if a.weights_sha256 and a.weights_sha256 == b.weights_sha256:
        text = f"{a.name} and {b.name} are one model, trained for {show_duration(less)}{_on(a)}."
        return Sentence("training", text, "tie")
    if cheap.training_device != dear.training_device:
        text = (
            f"{a.name} took {show_duration(first[1])} to train{_on(a)} and {b.name} "
            f"{show_duration(second[1])}{_on(b)}, which different devices make incomparable."
        )
        return Sentence("training", text, "note")
    if less <= 0 or more / less < _LEVEL:
        text = f"{a.name} and {b.name} took equally long to train: {show_duration(less)}{_on(a)}."
        return Sentence("training", text, "tie")
    text = (
        f"{cheap.name} took {show_duration(less)} to train and {dear.name} {show_duration(more)}, "
        f"{show_ratio(more / less)} times as long{_in_brackets(dear)}."
    )
    return Sentence("training", text, "better", cheap.name)


def missing_sentence(facts: Sequence[GeneratorFacts]) -> Sentence | None:
    """Say which of the planned images are missing; None if there are all."""
    parts = [_missing(fact) for fact in facts if fact.ok < fact.planned]
    if not parts:
        return None
    text = f"{listed(parts)}; scores cover only the images that exist."
    return Sentence("coverage", text, "note")


def _missing(fact: GeneratorFacts) -> str:
    share = 100 * fact.ok / fact.planned
    # Never round a gap away: 4,999 of 5,000 is not 100.0 %.
    shown = "99.9" if share > 99.95 else f"{share:.1f}"
    kinds = (("failed", fact.failed), ("filtered", fact.filtered), ("not made yet", fact.pending))
    why = listed([f"{count:,} {kind}" for kind, count in kinds if count])
    return f"{fact.name} made {fact.ok:,} of {fact.planned:,} images ({shown} %, {why})"
