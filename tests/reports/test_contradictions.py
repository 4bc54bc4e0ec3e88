"""Over random results no sentence, bold mark, key number, difference, order and figure of a report
contradict each other, and every number of a sentence is one that was measured.
"""

from __future__ import annotations

import collections
import re
from typing import Any

import numpy as np
import pytest
from random_runs import LATENCY, METRICS, OTHER, RATE, random_run
from verdict_helpers import ALIGNMENT

from gandiff.reports import figures
from gandiff.reports.cards import key_cards
from gandiff.reports.comparing import (
    find_difference,
    goodness,
    goodness_interval,
    lookup,
    separated,
)
from gandiff.reports.difference_table import DISAGREES, difference_table
from gandiff.reports.figures import Plane, pareto_front
from gandiff.reports.ranking import ranking
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import RunData
from gandiff.reports.table import wide_tables
from gandiff.reports.verdict import verdict

TABLES, CHUNKS = 1000, 4
SUBTRACTION = re.compile(r" (-?[\d,.]+)[^\d;]*? against (-?[\d,.]+)[^\d;]*? for \w+, (-?[\d,.]+) ")
NUMBER = re.compile(r"(?<![\w.-])-?\d[\d,]*(?:\.\d+)?")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_in_a_report_contradicts_anything_else(chunk, run_folder, monkeypatch):
    monkeypatch.setattr(figures, "_against_time", lambda plane, axis: plane)
    monkeypatch.setattr(figures, "_diversity_alignment", lambda plane: plane)
    like = load_run(run_folder)
    for seed in range(chunk, TABLES, CHUNKS):
        run = random_run(seed, like)
        try:
            check(run)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def check(run: RunData) -> None:
    sentences = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    tables = wide_tables(run)
    columns = {c.metric: c for table in tables for c in table.columns}
    notes = " ".join(note for table in tables for note in table.notes)
    best: dict[str, list[str]] = collections.defaultdict(list)  # no table of what none measured
    for m, column in columns.items():
        best[m] = [n for n, c in zip(run.generators, column.cells, strict=True) if c.best]
    for metric, column in columns.items():
        check_column(run, metric, column, best[metric])
    measured = {}
    for card in key_cards(run, sentences):
        check_card(run, card, columns[card.metric], notes)
        if card.metric == RATE:
            check_throughput(run, card, best[RATE], sentences)
        said = next((s for s in sentences if s.topic == card.title.lower()), None)
        if said is None or said.topic not in ("alignment", "distribution", "diversity"):
            continue
        measured[said.topic] = card.metric
        assert card.winner == said.winner
        assert [line.generator for line in card.lines if line.wins] == (
            [said.winner] if said.winner else []
        )
        check_sentence(run, said, card.metric, best[card.metric])
    speed = next(s for s in sentences if s.topic == "speed")
    check_speed(run, speed, best[LATENCY])
    check_differences(run)
    check_order(run, sentences, measured)
    for plane in figures._planes(run):
        check_plane(plane, best)  # type: ignore[arg-type]


def check_card(run: RunData, card: Any, column: Any, notes: str) -> None:
    """A key number is what the table says, and the marks on its scale are what its notes say."""
    cells = dict(zip(run.generators, column.cells, strict=True))
    for line in card.lines:
        assert (line.value, line.interval) == (
            cells[line.generator].value,
            cells[line.generator].interval,
        )
    for mark in card.marks:
        assert f"{column.label} {mark.value}" in notes
    (first, *_) = (cell.result for cell in cells.values() if cell.result is not None)
    assert (card.target is None) == (first.target is None)
    places = [n for line in card.lines for n in (line.at, line.start, line.end)]
    places += [mark.at for mark in (*card.marks, card.target) if mark is not None]
    assert all(0 <= place <= 100 for place in places if place is not None)


def check_column(run: RunData, metric: str, column: Any, best: list[str]) -> None:
    """Cells say what was measured, and one is bold only if it leads and no difference denies it."""
    index = lookup(run.results)
    for name, cell in zip(run.generators, column.cells, strict=True):
        result = index[name, metric]
        if result.value is None:
            assert (cell.value, cell.interval, cell.best) == ("not measured", "", False)
            continue
        digits = 2 if metric in (LATENCY, RATE) else None
        assert is_one_of(NUMBER.findall(cell.value)[0], [result.value], digits)
        assert all(is_one_of(end, [result.low, result.high], digits)
                   for end in NUMBER.findall(cell.interval))  # fmt: skip
    for name in best:
        mine = index[name, metric]
        for other in set(run.generators) - {name}:
            theirs = index[other, metric]
            if theirs.value is None:
                continue
            assert goodness(mine) > goodness(theirs)  # type: ignore[operator]
            pair = next((d if d.a == name else d.flipped() for d in run.differences
                         if d.metric == metric and {d.a, d.b} == {name, other}), None)  # fmt: skip
            if pair is None:
                assert goodness_interval(mine)[0] > goodness_interval(theirs)[1]  # type: ignore[index]
            elif pair.ratio is not None:
                fewer = pair if mine.direction == "lower" else pair.flipped()
                assert fewer.ratio_high < 1  # type: ignore[operator]
            elif mine.direction == "target":
                assert pair.farther_high < 0  # type: ignore[operator]
            else:
                assert pair.low > 0 if mine.direction == "higher" else pair.high < 0  # type: ignore[operator]


def check_sentence(run: RunData, said: Any, metric: str, best: list[str]) -> None:
    """The sentence and the bold mark agree, and each of its numbers was measured."""
    index, (a, b) = lookup(run.results), run.headline
    one, two = index[a, metric], index[b, metric]
    both = one.value is not None and two.value is not None
    assert (said.outcome == "not measured") == (not both)
    if said.winner:
        assert {a, b}.isdisjoint(set(best) - {said.winner})
        winner, loser = (one, two) if said.winner == a else (two, one)
        assert goodness(winner) > goodness(loser)  # type: ignore[operator]
    if both:
        assert not {a, b} & set(best) or said.winner in best
        if len(run.generators) == 2:
            assert best == ([said.winner] if said.winner else [])
        if said.outcome == "tie":
            assert one.value == two.value
    known = [*measured(run, metric), 95.0, 30.0, len(run.prompts), one.target, 512.0]
    if both:
        known.append(goodness(one) - goodness(two))  # type: ignore[operator]
    for d in run.differences:
        if d.metric == metric and {d.a, d.b} == {a, b}:
            known += [d.p_value, 0.0001]
            disagree = d.p_value is not None and d.p_value < 0.05 and d.low <= 0 <= d.high
            by_interval = "has the 95 % interval" in said.text
            assert ("p = " in said.text or "p below" in said.text) == (
                disagree and by_interval and one.target is None
            )
    if "says the opposite" in said.text or "say the opposite" in said.text:
        known += [index[name, other].value for name in (a, b) for other in METRICS]
    if "other judge" in said.text:
        known += measured(run, OTHER)
    for text in NUMBER.findall(said.text):
        assert is_one_of(text, known), f"{text} in {said.text!r} was not measured"
    check_opposites(run, said, metric)
    if both and metric == ALIGNMENT:
        check_other_judge(run, said)
    if said.winner:
        check_subtraction(said, one.target)


def measured(run: RunData, metric: str) -> list[float | None]:
    """What was measured of the headline's two by one metric, and of images that are no one's."""
    index = lookup(run.results)
    both = [index[name, metric] for name in run.headline]
    known = [x.value for x in run.anchors if x.metric == metric]
    for one in both:
        known += [one.value, one.low, one.high, *(goodness_interval(one) or ())]
    for d in run.differences:
        if d.metric == metric and {d.a, d.b} == set(run.headline):
            known += [d.difference, d.low, d.high, d.farther, d.farther_low, d.farther_high]
    return known


def check_other_judge(run: RunData, said: Any) -> None:
    """What is said of the other judge is what its own row and test say."""
    index, (a, b) = lookup(run.results), run.headline
    one, two = index[a, OTHER], index[b, OTHER]
    there = one.value is not None and two.value is not None
    assert ("other judge" in said.text) == there
    if not there:
        return
    pair = find_difference(run.differences, a, b, OTHER)
    first = separated(one, two, pair, run.ground)
    second = separated(two, one, pair and pair.flipped(), run.ground)
    better = a if first else b if second else None
    same, opposite = "the other judge says the same", "but the other judge says the opposite"
    assert (same in said.text) == (better is not None and better == said.winner)
    assert (opposite in said.text) == (None not in (better, said.winner) and better != said.winner)
    alone = f"but by the other judge {better} is better" in said.text
    assert alone == (better is not None and said.winner is None)
    open_ = re.search("(but )?by the other judge (it is undecided|they are level)", said.text)
    assert (open_ is not None) == (better is None), said.text
    assert open_ is None or bool(open_[1]) == bool(said.winner)


def check_subtraction(said: Any, target: float | None) -> None:
    """Who subtracts the two values gets the difference that is written, or reads why not."""
    text = re.sub(r" \(target [^)]*\)| \(in thousands\)", "", said.text)
    first, second, apart = SUBTRACTION.search(text).groups()  # type: ignore[union-attr]
    if "the two values alone: " in text:
        apart = NUMBER.findall(text.partition("the two values alone: ")[2])[0]
    decimals = min(len(n.partition(".")[2]) for n in (first, second, apart))
    a, b, written = (float(n.replace(",", "")) for n in (first, second, apart))
    a, b = (a, b) if target is None else (abs(a - target), abs(b - target))
    assert abs(abs(a - b) - written) <= 0.502 * 10.0**-decimals, said.text


def check_opposites(run: RunData, said: Any, metric: str) -> None:
    """A better is not silent of a metric of its axis by which the other is better."""
    if not said.winner:
        return
    index = lookup(run.results)
    (loser,) = set(run.headline) - {said.winner}
    axis = index[loser, metric].described.axis
    for other in (m for m in METRICS if m != metric):
        good, bad = index[loser, other], index[said.winner, other]
        pair = find_difference(run.differences, loser, said.winner, other)
        against = good.described.axis == axis and separated(good, bad, pair, run.ground)
        named = f"{good.described.label} (" in said.text and "the opposite" in said.text
        assert named == against, (other, said.text)


def check_speed(run: RunData, said: Any, best: list[str]) -> None:
    """The sentence on speed and the bold mark agree, an interval decides, each number was measured.

    Of two generators that were timed in the same rounds, the interval is that of their ratio.
    """
    index, (a, b) = lookup(run.results), run.headline
    one, two = index[a, LATENCY], index[b, LATENCY]
    both = one.value is not None and two.value is not None
    assert (said.outcome == "not measured") == (not both)
    rounds = next(
        (d for d in run.differences if d.metric == LATENCY and {d.a, d.b} == {a, b}), None
    )
    times = [95.0, 1.0, *(n for r in (one, two) for n in (r.value, r.low, r.high))]
    times += [index[name, RATE].value for name in (a, b)]
    rates = [d for d in run.differences if d.metric == RATE and {d.a, d.b} == {a, b}]
    ends = [d for d in (rounds and rounds.ratio_low, rounds and rounds.ratio_high) if d]
    of_times, _, of_rates = said.text.partition(" images a second")
    measured = bool(both and rates and rates[0].ratio_low is not None)
    assert ("of the ratio" in of_rates) == measured, said.text
    if measured:
        holds = rates[0].ratio_low <= 1 <= rates[0].ratio_high
        assert ("contains 1" in of_rates) == holds, said.text
    if "contains 1" in of_times and rounds is not None:
        assert min(ends) <= 1 <= max(ends)
    if said.outcome == "tie" and rounds is not None:
        assert min(ends) > 1 / 1.0051
        assert max(ends) < 1.0051
    ends += [rounds.ratio] if rounds is not None else []
    ends += [n for d in rates for n in (d.ratio, d.ratio_low, d.ratio_high) if n]
    if both and said.winner:
        winner, loser = (one, two) if said.winner == a else (two, one)
        assert winner.value < loser.value  # type: ignore[operator]
        if rounds is None:
            assert winner.high < loser.low  # type: ignore[operator]
        else:
            assert rounds.ratio_low > 1 or rounds.ratio_high < 1
            assert (rounds.ratio > 1) == (said.winner == rounds.b)
    if both:
        assert not {a, b} & set(best) or said.winner in best
        if len(run.generators) == 2:
            assert best == ([said.winner] if said.winner else [])
        for x, y in ((one, two), (two, one)):
            ends += [x.value / y.value, x.low / y.high, x.high / y.low]  # type: ignore[operator]
    ratios = [*ends, *(1 / end for end in ends)]
    for text in NUMBER.findall(said.text):
        known = is_one_of(text, times, digits=2) or is_one_of(text, ratios, digits=2)
        assert known, f"{text} in {said.text!r} was not measured"


def check_throughput(run: RunData, card: Any, best: list[str], sentences: list[Any]) -> None:
    """The card on throughput decides as the table does, and the sentence on speed agrees."""
    both = all(lookup(run.results)[name, RATE].value is not None for name in run.headline)
    assert (card.outcome == "not measured") == (not both)
    assert (card.outcome == "") == (card.winner is not None)
    if not both:
        return
    assert not set(run.headline) & set(best) or card.winner in best
    if len(run.generators) == 2:
        assert best == ([card.winner] if card.winner else [])
    said = next(s.text for s in sentences if s.topic == "speed").partition("images a second")[2]
    if "of the ratio" in said:
        doubtful = any(text in said for text in ("contains 1", "points another way", "are level"))
        assert (card.winner is None) == doubtful, said


def is_one_of(text: str, known: list[Any], digits: int | None = None) -> bool:
    """Whether a written number is, up to its rounding, one of some or its negative, in any unit;
    ``digits`` are the significant ones of a time or a ratio, which may end in noughts.
    """
    number, unit = abs(float(text.replace(",", ""))), 10.0 ** -len(text.partition(".")[2])
    if digits is not None and number:
        unit = max(unit, 10.0 ** (np.floor(np.log10(number)) + 1 - digits))
    return any(
        abs(abs(one) * factor - number) <= 0.5 * unit * (1 + 1e-6) + 1e-9
        for one in known
        if one is not None
        for factor in (1.0, 100.0, 1e3, 1e-3, 1e6, 1e-6)
    )


def check_differences(run: RunData) -> None:
    """The written interval of a difference leaves out 0 where the measured one does, and a p value
    that differs from it is marked.
    """
    table = difference_table(run)
    p = table.head.index("p") if table else 0
    for difference, cells in zip(run.differences, table.rows if table else (), strict=True):
        found = [float(n.replace(",", "")) for n in NUMBER.findall(cells[4])]
        if difference.ratio is not None:
            shown = difference if difference.ratio >= 1 else difference.flipped()
            assert cells[1:3] == (shown.a, shown.b)
            assert bool(found) == (shown.ratio_low is not None), cells
            if found:
                assert (found[0] > 1) == (shown.ratio_low > 1), cells
                assert (found[1] < 1) == (shown.ratio_high < 1), cells
            continue
        low, high = found
        assert (low > 0) == (difference.low > 0), cells
        assert (high < 0) == (difference.high < 0), cells
        shown = cells[p].removesuffix(f" {DISAGREES}")
        marked = bool(shown) and (float(shown.split()[-1]) < 0.05) != (
            difference.low > 0 or difference.high < 0
        )
        assert (DISAGREES in cells[p]) == marked, cells


def check_order(run: RunData, sentences: list[Any], measured: dict[str, str]) -> None:
    """Conventions order by what the tables say, and no verdict goes against its own metric."""
    found, index = ranking(run), lookup(run.results)
    for convention in found.conventions if found else ():
        good = [goodness(index[name, convention.metric]) for name in convention.order]
        assert good == sorted(good, reverse=True)  # type: ignore[type-var]
        said = next(s for s in sentences if s.topic == "distribution")
        others = [name for name in run.headline if name != said.winner]
        if said.winner in convention.order and measured.get("distribution") == convention.metric:
            places = [convention.order.index(n) for n in (said.winner, *others)
                      if n in convention.order]  # fmt: skip
            assert places == sorted(places)


def check_plane(plane: Plane, best: dict[str, list[str]]) -> None:
    """Every generator is drawn where it was measured or named as left out, and none that is not on
    the front is both faster and better than another that is.
    """
    points = {point.name: point for point in plane.points()}
    left_out = plane.left_out()
    for name in plane.looks:
        if name in points:
            assert points[name].x == plane.index[name, plane.x].value
            assert points[name].y == plane.index[name, plane.y].value
        assert (name in points) != (name in left_out)
    if plane.x != LATENCY:
        return
    front = {point.name for point in pareto_front(list(points.values()), plane.result(plane.y))}
    good = {n: goodness(plane.index[n, plane.y]) for n in points}
    for name in front:
        assert not any(points[o].x <= points[name].x and good[o] > good[name] for o in points)  # type: ignore[operator]
    assert {name for name in best[plane.y] if name in points} <= front
