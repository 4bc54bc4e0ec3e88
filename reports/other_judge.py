"""What a second judge says of two generators, by the test that the first one's verdict had."""

from __future__ import annotations

from collections.abc import Sequence

from gandiff.common.words import counted
from gandiff.reports.comparing import doubt, find_difference, is_level, paired_gain, separated
from gandiff.reports.deciding import Side, two_intervals
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.sentence import Index, Sentence
from gandiff.reports.values import (
    adding_up,
    distinguish,
    scale_of,
    scale_of_differences,
    show_value,
)

OTHER_JUDGE, AGREEMENT = "other_judge", "agreement"  # rows of a metric that a judge measures


def other_judge(
    index: Index,
    metric: str,
    names: tuple[str, str],
    differences: Sequence[DifferenceRow],
    ground: Ground,
    said: Sentence,
) -> str:
    """Whether another judge says of two generators what ``said`` says, with the numbers of its
    test, and how far the judges agree; to follow the sentence, empty where no other judged.
    """
    base = metric.rpartition("/")[0]
    names = names[::-1] if said.winner == names[1] else names  # in the order of the sentence
    one, two = (index.get((name, f"{base}/{OTHER_JUDGE}")) for name in names)
    if not base or one is None or one.value is None or two is None or two.value is None:
        return ""
    first, second, pair = (
        (names[0], one),
        (names[1], two),
        find_difference(differences, *names, one.metric),
    )
    text = _says(first, second, pair, ground, said)
    same = [index.get((name, f"{base}/{AGREEMENT}")) for name in names]
    if all(row is not None and row.value is not None for row in same):
        a, b = (show_value(row) for row in same if row is not None)
        text += f"; the judges agree on {a} and {b} of their images"
    return f"; {text}"


def _says(
    first: Side, second: Side, pair: DifferenceRow | None, ground: Ground, said: Sentence
) -> str:
    (a, one), (b, two) = first, second
    turned = None if pair is None else pair.flipped()
    if separated(one, two, pair, ground):
        return f"{_better(a, said)} ({_numbers(first, second, pair)})"
    if separated(two, one, turned, ground):
        return f"{_better(b, said)} ({_numbers(second, first, turned)})"
    but = "but " if said.winner else ""
    if is_level(one, two, pair):
        return f"{but}by the other judge they are level ({show_value(one)} for both)"
    too = ", too" if said.outcome == "undecided" else ""
    against = doubt(ground, one, two, pair)
    why = f"; {against}" if against and against not in said.text else ""
    return f"{but}by the other judge it is undecided{too} ({_numbers(first, second, pair)}{why})"


def _better(name: str, said: Sentence) -> str:
    """What it means beside ``said`` that the other judge calls a generator better."""
    if said.winner is None:
        return f"but by the other judge {name} is better"
    return f"{'' if said.winner == name else 'but '}the other judge says " + (
        "the same" if said.winner == name else "the opposite"
    )


def _numbers(first: Side, second: Side, pair: DifferenceRow | None) -> str:
    """Two values, and their paired difference with its interval or both intervals."""
    (a, one), (b, two) = first, second
    values = (one.value or 0.0, two.value or 0.0)
    scale = distinguish(scale_of(one, two), values)
    gain = paired_gain(one, pair)
    if gain is None:
        intervals = two_intervals(one, two)
        test = f"; {intervals}" if intervals else ""
        return f"{a} {scale(values[0])}, {b} {scale(values[1])}{test}"
    raw = gain if one.direction == "higher" else gain.flipped
    apart = scale_of_differences(one, raw.value, raw.low, raw.high)
    if not raw.low <= 0 <= raw.high:
        apart = distinguish(apart, (0.0, raw.low), (0.0, raw.high))
    written = adding_up(scale, apart, values, raw.value)
    scale, apart = written or (scale, apart)
    # Where one of the two lacks images, the difference is not that of the two values.
    on = (
        "" if written or gain.prompts is None else f"on the same {counted(gain.prompts, 'prompt')} "
    )
    return (
        f"{a} {scale(values[0])}, {b} {scale(values[1])}; {on}{apart(raw.value)}, "
        f"{apart.number(raw.low)} to {apart.number(raw.high)}"
    )
