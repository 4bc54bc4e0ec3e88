"""A diffusion model over solvers, steps and guidance: what is drawn, and what cannot be."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from gandiff.common.finished_training import settings_table
from gandiff.reports.figures import draw_figures
from gandiff.reports.operating_points import OperatingPoints, draw_operating_points
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import GeneratorFacts
from gandiff.reports.values import show_number

SOLVERS = ("ddim", "dpmsolver++", "euler", "unipc")


def row(solver, steps, guidance, **measured):
    return {
        "solver": solver,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        **measured,
    }


def points():
    over_steps = [
        row(name, n, 2.0, all=1 - 1 / (n + k), fd=100 / n, pictures=400)
        for k, name in enumerate(SOLVERS, 1)
        for n in (1, 2, 5, 10, 20, 50)
    ]
    over_guidance = [
        row("dpmsolver++", 10, g, all=0.5, fd=9 + g, pictures=400) for g in (1, 1.5, 3, 5)
    ]
    return over_steps + over_guidance


def test_there_is_a_line_for_each_solver_and_a_panel_for_each_measurement_and_setting(panels):
    drawn = panels(draw_operating_points, OperatingPoints.of({"operating_points": points()}))
    assert [axes.get_ylabel() for axes in drawn] == ["all facts right", "Fréchet distance"] * 2
    assert [axes.get_xlabel() for axes in drawn] == [
        *["steps (log scale)"] * 2,
        *["guidance scale"] * 2,
    ]
    for axes in drawn[:2]:
        lines = axes.get_lines()
        assert [line.get_label() for line in lines] == list(SOLVERS)
        assert all(line.get_xdata().tolist() == [1, 2, 5, 10, 20, 50] for line in lines)
    for axes in drawn[2:]:
        (line,) = axes.get_lines()
        assert line.get_xdata().tolist() == [1, 1.5, 2, 3, 5]


def test_the_order_of_the_rows_does_not_matter():
    shuffled = points()
    random.Random(3).shuffle(shuffled)
    assert OperatingPoints.of({"operating_points": shuffled}) == OperatingPoints.of(
        {"operating_points": points()}
    )


def test_the_caption_says_what_is_held_fixed():
    assert OperatingPoints.of({"operating_points": points()}).caption == (
        "Steps at guidance 2; guidance in 10 steps of dpmsolver++. On validation captions, at the "
        "end of its training, 400 pictures each."
    )
    ddim = [row("ddim", 20, g, all=0.5, pictures=400) for g in (1, 3)]
    both = {"operating_points": points() + ddim, "real_against_real": {"fd": 3.0, "pictures": 400}}
    assert OperatingPoints.of(both).caption == (
        "Steps at guidance 2; guidance in 20 steps of ddim and 10 steps of dpmsolver++. On "
        "validation captions, at the end of its training, 400 pictures each. The dotted line is "
        "what real pictures get against others."
    )


def test_a_solver_has_one_line_in_each_panel_that_looks_the_same(panels):
    ddim = [row("ddim", 20, g, all=0.5, fd=8.0 + g) for g in (1, 3)]
    drawn = panels(draw_operating_points, OperatingPoints.of({"operating_points": points() + ddim}))
    for axes in drawn[2:]:
        found = {line.get_label(): line for line in axes.get_lines()}
        assert list(found) == ["ddim", "dpmsolver++"]
        for line in drawn[0].get_lines():
            if line.get_label() in found:
                same = found[line.get_label()]
                assert (line.get_color(), line.get_linestyle()) == (
                    same.get_color(),
                    same.get_linestyle(),
                )


def test_real_pictures_are_a_line_and_the_last_row(panels):
    record = {
        "operating_points": points(),
        "real_against_real": {"all": 1.0, "fd": 2.5, "pictures": 400, "references": 400},
    }
    drawn = panels(draw_operating_points, OperatingPoints.of(record))
    levels = [line.get_ydata()[0] for axes in drawn for line in axes.get_lines()[-1:]]
    assert levels == [1.0, 2.5] * 2
    assert settings_table(record, show_number).rows[-1] == ["real pictures", "", "", "1.00", "2.50"]
    assert len(settings_table(record, show_number).rows) == len(points()) + 1


@pytest.mark.parametrize(
    ("counts", "has_fd"),
    [
        ({}, True),  # of the GAN's truncation, which had 1,000
        ({"pictures": 80}, False),
        ({"pictures": 192}, True),
        ({"pictures": 96, "dimensions": 96}, True),
        ({"pictures": 95, "dimensions": 96}, False),
        ({"pictures": 400, "references": 95, "dimensions": 96}, False),
    ],
)
def test_no_distance_of_fewer_pictures_than_features_have_dimensions(counts, has_fd):
    rows = [row("ddim", n, 2.0, all=0.5, fd=9.0) | counts for n in (1, 2, 5)]
    record = {"operating_points": rows, "real_against_real": {"all": 1.0, "fd": 2.0, **counts}}
    table, found = settings_table(record, show_number), OperatingPoints.of(record)
    assert ("Fréchet distance" in table.head) == has_fd
    assert {len(cells) for cells in table.rows} == {len(table.head)}
    assert (("fd", "num_inference_steps") in found.panels) == has_fd
    assert ("fd" in found.real) == has_fd


def test_the_table_names_the_solver_where_records_do():
    table = settings_table({"operating_points": points()}, show_number)
    assert table.head == ["solver", "steps", "guidance", "all facts right", "Fréchet distance"]
    assert table.rows[0] == ["ddim", "1", "2", "0.500", "100"]
    large = settings_table({"operating_points": [row("ddim", 1, 2.0, fd=3218.4)]}, show_number)
    assert large.rows[0][-1] == "3,218"  # as in the tables of results, and not 3.22e+03
    before = [{k: v for k, v in one.items() if k != "solver"} for one in points()]
    assert settings_table({"operating_points": before}, show_number).head[0] == "steps"


@pytest.mark.parametrize(
    "rows",
    [
        None,
        "none",
        [],
        [3, None],
        [row("ddim", 10, 2.0, all=0.5)],
        [row("ddim", -1, 2.0, all=0.5), row("ddim", 0, 2.0, all=0.5)],
        [row("ddim", math.nan, 2.0, all=0.5), row("ddim", math.inf, math.nan, all=0.5)],
        [row("ddim", "x", 2.0, all=0.5), row("ddim", 3, None, all=0.5)],
        [row("ddim", n, 2.0, all=math.nan, fd=math.inf) for n in (1, 2)],
    ],
)
def test_rows_that_say_nothing_draw_nothing(rows, run_folder):
    record = {"operating_points": rows}
    assert OperatingPoints.of(record).panels == []
    facts = {"gan": GeneratorFacts(name="gan", info={"training": record})}
    run = dataclasses.replace(
        load_run(run_folder), generators=facts, results=[], scores=[], categories=[]
    )
    assert draw_figures(run) == []
