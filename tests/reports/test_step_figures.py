"""Quality against steps: what is joined by a line, and that no whiskers cover each other."""

import dataclasses
import math

import pytest

from gandiff.reports.palette import FAMILY_COLOURS, Look
from gandiff.reports.plotting import Point
from gandiff.reports.reading import load_run
from gandiff.reports.step_figures import side_by_side, step_drawings

LOOK = Look(FAMILY_COLOURS["gan"], "o", "gan")


def of_run(steps, scheduler="dpmsolver++", first=995.0, guidance=2.0):
    """Settings as a run records them: what was asked for, and what the solver made of it."""
    native = {"family": "diffusion", "steps": 10, "guidance": 4.0, "most_steps": 10}
    return {
        "pipeline": "diffusion-scenes",
        "scheduler": scheduler,
        "scheduler_options": {},
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "stages": None,
        "resolved": {"num_inference_steps": "set", "guidance": "cfg", "native": native},
        "scheduler_class": f"{scheduler} scheduler",
        "solver_steps": steps,
        "first_timestep": first,
    }


@pytest.fixture
def drawn(run_folder):
    """Return a function that draws a run with the given settings."""
    run = load_run(run_folder)

    def draw(**settings):
        facts = {
            name: dataclasses.replace(
                one, info={**one.info, "settings": settings.get(name.replace("-", "_"), {})}
            )
            for name, one in run.generators.items()
        }
        return list(step_drawings(dataclasses.replace(run, generators=facts)))

    return draw


@pytest.mark.parametrize(
    ("four", "ten", "is_line"),
    [
        (of_run(4), of_run(10), True),
        (of_run(4, first=751.0), of_run(10, first=901.0), True),  # of leading timestep spacing
        (of_run(4, guidance=4.0), of_run(10), False),
        (of_run(4, "ddim"), of_run(10), False),
        (of_run(4), of_run(4), False),
    ],
)
def test_a_line_joins_what_differs_in_its_steps_alone(drawn, four, ten, is_line):
    drawings = drawn(dpm_4=four, dpm_10=ten, ddim_20=of_run(20, "ddim", 999.0, 3.0))
    assert [d.name for d in drawings] == ["steps_alignment", "steps_distribution"]
    for drawing in drawings:
        assert ("Lines join generators that differ in their steps alone" in drawing.caption) == (
            is_line
        )
        assert len(drawing.values) == 5
        assert sum(": steps 1," in said for said in drawing.values) == 2  # where they stand or not
        assert "Generators of equally many steps stand side by side." in drawing.caption


def test_points_of_equally_many_steps_stand_side_by_side_and_others_where_they_are():
    def at(*steps):
        found = side_by_side([Point(f"p{k}", float(x), 0.5, LOOK) for k, x in enumerate(steps)])
        return [point.x for point in found]

    assert at(1, 4, 20) == [1, 4, 20]
    assert at(1, 1) == [1, 1]  # there is no scale to be a share of
    a, b, four, twenty = at(1, 1, 4, 20)
    assert a < 1 < b
    assert a * b == pytest.approx(1)
    assert math.log(b / a) == pytest.approx(0.04 * math.log(20))
    assert [four, twenty] == [4, 20]
    many = at(*[19] * 40, 20, 1)  # of a crowd none comes near the next number of steps
    assert many == sorted(many[:40]) + many[40:]
    assert many[39] < 19.5 < many[40]
    first, _, middle, last = at(5, 1, 5, 5)
    assert first < middle == 5 < last
