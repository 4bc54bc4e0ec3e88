"""Points of a sweep are joined in the order of the setting that they lie along."""

import dataclasses

from gandiff.reports.figures import draw_figures
from gandiff.reports.reading import load_run
from gandiff.reports.sweeps import sweep_lines


def entry(**settings):
    return {"type": "diffusers", "scheduler_options": {}, **settings}


def test_lines_follow_the_steps_and_part_by_everything_else():
    points = {
        f"sd-{solver}-{steps}": entry(num_inference_steps=steps, scheduler=solver, guidance_scale=g)
        for solver, g in (("ddim", 3.0), ("euler", 3.0))
        for steps in (50, 10, 20)
    }
    lonely = {"sd-lonely": entry(num_inference_steps=5, scheduler="lcm", guidance_scale=1.0)}
    comparison = {
        "generators": {**points, **lonely, "gan": {"type": "gan"}},
        "sweeps": {"sd": [*points, *lonely, "gone"]},
    }
    assert sweep_lines(comparison) == [
        ["sd-ddim-10", "sd-ddim-20", "sd-ddim-50"],
        ["sd-euler-10", "sd-euler-20", "sd-euler-50"],
    ]


def test_other_numbers_make_lines_and_words_do_not():
    def lines(*points):
        named = {f"p{i}": point for i, point in enumerate(points)}
        return sweep_lines({"generators": named, "sweeps": {"p": list(named)}})

    assert lines(entry(guidance_scale=3), entry(guidance_scale=1)) == [["p1", "p0"]]
    nested = [entry(scheduler_options={"eta": eta}) for eta in (0.5, 0.1, 0.9)]
    assert lines(*nested) == [["p1", "p0", "p2"]]
    assert lines(entry(scheduler="ddim"), entry(scheduler="euler")) == []
    assert lines(entry(flag=True), entry(flag=False)) == []
    assert lines(entry(num_inference_steps=None), entry(num_inference_steps=3)) == []
    assert sweep_lines({}) == []


def test_figures_join_the_points_of_a_sweep(run_folder):
    run = load_run(run_folder)
    plain = draw_figures(run)
    steps = {"dpm-4": 4, "dpm-10": 10, "ddim-20": 20}
    comparison = {
        **run.record.comparison,
        "generators": {name: entry(num_inference_steps=count) for name, count in steps.items()},
        "sweeps": {"sd": list(steps)},
    }
    record = dataclasses.replace(run.record, comparison=comparison)
    drawn = draw_figures(dataclasses.replace(run, record=record))
    said = "Lines join the points of a sweep."
    planes = [d.name for d in drawn if said in d.caption]
    assert planes == [
        "alignment_against_time",
        "distribution_against_time",
        "diversity_against_alignment",
    ]
    assert not any(said in d.caption for d in plain)
    for before, after in zip(plain, drawn, strict=True):
        assert (before.png != after.png) == (after.name in planes)
