"""How a training went: what the record of a model becomes, and records that say nothing."""

from __future__ import annotations

import dataclasses

import pytest

from gandiff.reports.document import write_report
from gandiff.reports.figures import draw_figures
from gandiff.reports.health import training_health
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import GeneratorFacts


@pytest.fixture(scope="module")
def run(run_folder):
    return load_run(run_folder)


def of(record):
    return {"gan": GeneratorFacts(name="gan", info={"training": record})}


def test_one_model_has_one_health_however_many_generators_use_it(run):
    (health,) = training_health(run)
    assert health.title.startswith("gan")
    assert len(health.ticks) == 24
    assert health.line("fd")[:2] == [(14.5, 4000.0), (29.0, 2000.0)]
    assert health.line("nothing") == []
    assert health.events == [(130.5, "discriminator too strong: raise gamma & <b>wait</b>")]
    _, head, rows = health.sweep
    assert list(head) == ["psi", "all facts right", "Fréchet distance"]
    assert [row[0] for row in rows] == ["0", "0.5", "1"]
    assert "0.97 times that of held-out pictures" in health.neighbours


def test_the_report_tells_alarms_and_the_sweep(make_run):
    report = write_report(make_run(prompts=3, generators=("gan", "ddim-20")))
    page = report.html.read_text(encoding="utf-8")
    assert (
        "at 130 thousand images: discriminator too strong: raise gamma &amp; &lt;b&gt;wait" in page
    )
    assert "Truncation of gan" in page
    assert "<b>wait</b>" not in page
    text = report.markdown.read_text(encoding="utf-8")
    assert "### gan: alarms, truncation, neighbours" in text
    assert "| psi | all facts right | Fréchet distance |" in text


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"ticks": None, "events": None, "truncation": None, "neighbours": None},
        {"ticks": [3, "x", {"score": 1.0}], "events": ["x"], "truncation": [{}], "neighbours": []},
    ],
)
def test_records_that_say_nothing_give_nothing(run, record):
    assert training_health(dataclasses.replace(run, generators=of(record))) == []


def test_a_tick_alone_is_no_picture(run):
    one = {"ticks": [{"kimg": 3.0, "fd": 2.0, "note": "x"}]}
    changed = dataclasses.replace(run, generators=of(one), results=[], scores=[], categories=[])
    (health,) = training_health(changed)
    assert health.ticks == [{"kimg": 3.0, "fd": 2.0}]
    assert draw_figures(changed) == []


def test_a_diffusion_model_shows_its_errors_operating_points_and_ceiling(run):
    ticks = [
        {"kimg": 2.0 * k, "score": 0.1 * k, "mse_low": 0.9, "mse_high": 0.1, "caption_gain": 0.01}
        for k in (1, 2, 3)
    ]
    points = [
        {"num_inference_steps": n, "guidance_scale": 2.0, "all": 0.5 + n / 100, "fd": 9.0}
        for n in (5, 10)
    ]
    seen = {"psnr_db": 30.84, "psnr_db_worst": 25.0, "same": 0.977, "all": 0.989, "images": 512.0}
    record = {"ticks": ticks, "operating_points": points, "autoencoder": {"reconstruction": seen}}
    changed = dataclasses.replace(run, generators=of(record), results=[], scores=[], categories=[])
    (health,) = training_health(changed)
    assert health.heading == "gan: alarms, steps and guidance, ceiling"
    assert health.sweep.head == ["steps", "guidance", "all facts right", "Fréchet distance"]
    assert health.sweep.rows == [["5", "2", "0.550", "9.00"], ["10", "2", "0.600", "9.00"]]
    assert (
        "30.8 dB; of scenes their judge sees 97.7% exactly as before, and 98.9%" in health.ceiling
    )
    assert health.panels == [
        {"mse_low": "little noise", "mse_high": "much noise"},
        {"caption_gain": "error saved by the caption"},
    ]
    assert [figure.title for figure in draw_figures(changed)] == [
        "Health of gan in training",
        "Steps, solvers and guidance of gan",
    ]
    assert health.line("caption_gain")[0] == (2.0, 0.01)
