"""Sentences about speed and images that are missing."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.common.words import counted
from gandiff.evaluate.result import MetricResult
from gandiff.reports.comparing import LEVEL, find_difference
from gandiff.reports.run_data import DifferenceRow, GeneratorFacts
from gandiff.reports.sentence import Index, Sentence, listed, reason
from gandiff.reports.values import scale_of, show_value

Side = tuple[str, MetricResult]  # a generator and what it took
LATENCY, THROUGHPUT = "latency_seconds", "images_per_second"


def known_cost(index: Index, name: str, metric: str) -> MetricResult | None:
    """The row on a cost, if it was measured and is not 0."""
    result = index.get((name, metric))
    return result if result is not None and result.value else None


def speed_sentence(
    index: Index, names: Sequence[str], differences: Sequence[DifferenceRow] = ()
) -> Sentence:
    """Say how many times faster the faster of one or two generators is."""
    found = [(name, r) for name in names if (r := known_cost(index, name, LATENCY)) is not None]
    if len(found) < len(names):
        return _speed_gap(index, names, found)
    rates = _rates(index, names)
    if len(found) == 1:
        name, only = found[0]
        text = f"{name} takes {show_value(only)} for one image{rates}."
        return Sentence("speed", text, "single")
    (fast, one), (slow, two) = sorted(found, key=lambda item: item[1].value or 0.0)
    turns = find_difference(differences, slow, fast, LATENCY)
    ratio = apart = (two.value or 0.0) / (one.value or 1.0)
    if turns is not None and turns.ratio is not None:
        ratio = turns.ratio
    ends = _ratio_bounds(one, two) if turns is None else _ratio_in_turns(turns)
    scales = [scale_of(r) for r in (one, two)]
    times = f"{scales[0](one.value or 0.0)} for one image against {scales[1](two.value or 0.0)}"
    by_what = _by_what(ends, turns, [(fast, one), (slow, two)])
    rest = f"{times} ({by_what}){_rates(index, [fast, slow], differences)}."
    if ends is not None and ends[0] > 1 and apart >= LEVEL:
        text = f"{fast} is about {two_digits(ratio)} times as fast as {slow}: {rest}"
        return Sentence("speed", text, "better", fast)
    if ends is not None and ends[0] > 1 / LEVEL and ends[1] < LEVEL:
        return Sentence("speed", f"{fast} and {slow} are equally fast: {rest}", "tie")
    clear = "do not clearly differ in speed" if ends is not None else "are not compared in speed"
    return Sentence("speed", f"{fast} and {slow} {clear}: {rest}", "undecided")


def _ratio_in_turns(turns: DifferenceRow) -> tuple[float, float] | None:
    """The interval of slow / fast over the rounds in which both were timed."""
    if turns.ratio_low is None or turns.ratio_high is None:
        return None
    return turns.ratio_low, turns.ratio_high


def _by_what(
    ends: tuple[float, float] | None, turns: DifferenceRow | None, sides: Sequence[Side]
) -> str:
    """What the comparison of two times stands on, and where that is 1."""
    if ends is None:
        few = "calls were timed" if turns is None else "rounds were measured"
        return f"too few {few} for an interval{_how_few(sides) if turns is None else ''}"
    low, high = map(two_digits, ends)
    if turns is None:
        apart = f"{low} to {high} times by the ends of both intervals"
        return apart if ends[0] > 1 else "their intervals overlap"
    return f"95 % interval of the ratio {low} to {high}, measured in turns{_unsure(ends)}"


def _how_few(sides: Sequence[Side]) -> str:
    """Who was timed in too few calls of one round, and what measures more; empty where the run
    does not say it.
    """
    few = [(name, result.protocol) for name, result in sides if result.low is None]
    said = [
        f"{name} in {counted(protocol['calls'], 'call')} of one round"
        for name, protocol in few
        if isinstance(protocol.get("calls"), int) and len(protocol.get("rounds") or [0]) == 1
    ]
    if not said or len(said) < len(few):
        return ""
    more = "timing.rounds=3 measures three rounds, as runs of 64 prompts or more do"
    return f": {listed(said)}; {more}"


def _unsure(ends: tuple[float, float]) -> str:
    """What an interval of a ratio that should be above 1 says against it."""
    if ends[0] > 1:
        return ""
    return f", which {'contains 1' if ends[1] >= 1 else 'points another way than the values'}"


def two_digits(ratio: float) -> str:
    """A ratio as no more than is known of it: two significant digits, three near 1, and as many as
    it takes to differ from 1.
    """
    for digits in range(3 if 0.9 < ratio < 2 else 2, 10):
        shown = float(f"{ratio:.{digits}g}")
        if shown != 1 or ratio == 1:
            break
    return f"{shown:,.12f}".rstrip("0").rstrip(".")


def _ratio_bounds(fast: MetricResult, slow: MetricResult) -> tuple[float, float] | None:
    """The widest interval that both intervals allow for slow / fast."""
    ends = (fast.low, fast.high, slow.low, slow.high)
    if fast.low and fast.high and slow.low and slow.high and all(e and e > 0 for e in ends):
        return slow.low / fast.high, slow.high / fast.low
    return None


def _rates(index: Index, names: Sequence[str], differences: Sequence[DifferenceRow] = ()) -> str:
    """Images a second, in the order of the names, with the ratio of two that were measured in the
    same rounds; said with a "but" where the order turns round.
    """
    found = [(n, r) for n in names if (r := known_cost(index, n, THROUGHPUT)) is not None]
    if not found or len(found) < len(names):
        return ""
    turned = len(found) == 2 and (found[0][1].value or 0.0) < (found[1][1].value or 0.0)
    ordered = found[::-1] if turned else found
    numbers = [scale_of(r).number(r.value or 0.0) for _, r in ordered]
    apart = (ordered[0][1].value or 0.0) / (ordered[-1][1].value or 1.0)
    ratio = _ratio_of_rates([name for name, _ in ordered], differences, apart)
    if turned:
        (more, _), (less, _) = ordered
        return (
            f", but at the best batch size {more} makes {numbers[0]} images a second and {less} "
            f"{numbers[1]}{ratio}"
        )
    return f", and {' against '.join(numbers)} images a second at the best batch size{ratio}"


def _ratio_of_rates(
    names: Sequence[str], differences: Sequence[DifferenceRow], apart: float
) -> str:
    """How many times the rate of the second of two the first has, in brackets; empty where that
    was not measured in the same rounds, or in too few for an interval. ``apart`` is the ratio of
    the two rates themselves.
    """
    turns = find_difference(differences, names[0], names[1], THROUGHPUT) if len(names) > 1 else None
    ends = None if turns is None else _ratio_in_turns(turns)
    if turns is None or turns.ratio is None or ends is None:
        return ""
    low, high = map(two_digits, ends)
    said = f"95 % interval of the ratio {low} to {high}{_unsure(ends)}"
    if ends[0] > 1 and apart < LEVEL:
        said += ", but the two rates are level"
    return f" ({two_digits(turns.ratio)} times, {said})"


def _speed_gap(
    index: Index, names: Sequence[str], found: Sequence[tuple[str, MetricResult]]
) -> Sentence:
    if not found:
        gaps = (index.get((name, LATENCY)) for name in names)
        notes = (gap.note if gap and gap.note else "" for gap in gaps)
        reasons = dict.fromkeys(map(reason, notes))
        why = f" ({only})" if len(reasons) == 1 and (only := next(iter(reasons))) else ""
        return Sentence("speed", f"Speed was not measured{why}.", "not measured")
    name, result = found[0]
    other = next(n for n in names if n != name)
    gap = index.get((other, LATENCY))
    why = f" ({reason(gap.note)})" if gap is not None and gap.note else ""
    text = (
        f"Speed was not measured for {other}{why}, so it is not compared; "
        f"{name} takes {show_value(result)} for one image."
    )
    return Sentence("speed", text, "not measured")


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
    waiting = f"not made: {fact.unmade.rstrip('.')}" if fact.unmade else "not made yet"
    kinds = (("failed", fact.failed), ("filtered", fact.filtered), (waiting, fact.pending))
    why = listed([f"{count:,} {kind}" for kind, count in kinds if count])
    return f"{fact.name} made {fact.ok:,} of {counted(fact.planned, 'image')} ({shown} %, {why})"
