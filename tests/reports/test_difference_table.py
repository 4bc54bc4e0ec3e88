"""The table of paired differences: all pairs of few generators, the telling ones of many."""

import dataclasses
import itertools

import pytest

from gandiff.reports.difference_table import difference_table
from gandiff.reports.document import html_text
from gandiff.reports.markdown import markdown_text
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import DifferenceRow

ACCURACY = "scene_accuracy/all"


def of_so_many(run, count):
    """The run with so many generators, the later the more often right, and all their pairs."""
    names = [f"g{k}" for k in range(count)]
    like = next(r for r in run.results if r.result.metric == ACCURACY)
    values = [0.1 + 0.8 * k / count for k in range(count)]
    results = [
        dataclasses.replace(
            like, generator=n, result=dataclasses.replace(like.result, value=v, low=None, high=None)
        )
        for n, v in zip(names, values, strict=True)
    ]
    facts = run.generators["gan"]
    return dataclasses.replace(
        run,
        generators={n: dataclasses.replace(facts, name=n) for n in names},
        record=dataclasses.replace(run.record, headline=("g0", "g1")),
        results=results,
        differences=[
            DifferenceRow(a=a, b=b, metric=metric, difference=0.1, low=0.05, high=0.15, prompts=30)
            for metric in (ACCURACY, "without_results")
            for a, b in itertools.combinations(names, 2)
        ],
        images=[],
        scores=[],
        traces=[],
        categories=(),
    )


@pytest.mark.parametrize(("count", "rows"), [(2, 2), (8, 2 * 28), (9, 1 + 8 + 8), (40, 1 + 2 * 39)])
def test_of_many_generators_there_are_the_headline_and_those_with_the_best(run_folder, count, rows):
    run = of_so_many(load_run(run_folder), count)
    table = difference_table(run)
    assert len(table.rows) == rows
    pairs = {row[1:3] for row in table.rows if row[0] != "without results"}
    assert ("g0", "g1") in pairs
    assert {(f"g{k}", f"g{count - 1}") for k in range(count - 1)} <= pairs
    every = count * (count - 1)
    said = f"{rows:,} of {every:,} differences" if rows < every else ""
    assert table.left_out.startswith(said)
    assert bool(table.left_out) == (rows < every)
    assert len(difference_table(run, run.headline).rows) == 2


def test_page_and_markdown_show_the_same_and_say_what_is_left_out(run_folder):
    run = of_so_many(load_run(run_folder), 40)
    table = difference_table(run)
    for text in (html_text(run, [], []), markdown_text(run, [], [])):
        assert table.left_out in text
        assert text.count("0.100") + text.count("10.0 points") >= len(table.rows)
        assert len(text) < 2_000_000
