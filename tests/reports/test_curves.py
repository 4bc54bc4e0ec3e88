"""What training reported: every diagnostic on a panel of its own scale, whatever the record has."""

from __future__ import annotations

import dataclasses
import json

import pytest
from matplotlib import pyplot as plt

from gandiff.models.weights import PRETRAINED
from gandiff.reports.curves import draw_curves, training_curves
from gandiff.reports.facts import training_rows
from gandiff.reports.health import draw_health, training_health
from gandiff.reports.palette import FAMILY_COLOURS, Look
from gandiff.reports.plotting import STYLE, settle, stacked
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import GeneratorFacts

FIRST = {
    "match_loss_real": 3.5,
    "caption_accuracy": 0.53,
    "energy_score": 2.0,
    "g_grad_norm": 2.7,
    "d_loss": 14.8,
}
GAN = {  # in the order in which a training reports them
    **{**FIRST, "p_real_above_fake": 0.72, "d_grad_norm": 72.0, "r1": 3400.0, "r2": 780.0},
    **{
        "caption_accuracy_adversarial": 0.6,
        "gamma": 1.0,
        "g_loss": 23.0,
        "match_loss_fake": 2.9,
        "guidance": 0.4,
    },
}


def facts(record):
    return {"gan": GeneratorFacts(name="gan", family="gan", info={"training": record})}


def curve_of(**values):
    rows = [
        {"seconds": 40.0 * k, "kimg": k, **{n: v / k for n, v in values.items()}} for k in (1, 2, 3)
    ]
    (curve,) = training_curves(facts({"curve": rows}))
    return curve


def named(axes):
    return [line.get_label() for line in axes.get_lines()]


def test_every_diagnostic_of_a_gan_has_a_panel_that_says_what_it_is(panels):
    losses, shares, slopes = panels(draw_curves, curve_of(**GAN))
    assert losses.get_ylabel() == "loss"
    assert named(losses) == [
        *("d loss", "g loss", "matching loss (real)", "matching loss (fake)"),
        *("energy score", "guidance"),
    ]
    assert shares.get_ylabel() == "share of pairs"
    assert named(shares) == [
        *("real above fake", "right caption (matching head)", "right caption (adversarial head)"),
        "guessing",
    ]
    low, high = shares.get_ylim()
    assert low < 0.5
    assert 1.0 < high < 1.1
    assert slopes.get_ylabel() == "penalty, gradient norm"
    assert {"R1", "R2"} < set(named(slopes))
    assert len(named(slopes)) == 4
    (r1,) = (line for line in slopes.get_lines() if line.get_label() == "R1")
    assert r1.get_ydata().tolist() == pytest.approx([3400.0, 1700.0, 3400 / 3])
    styles = {(line.get_linestyle(), line.get_color()) for line in losses.get_lines()}
    assert len(styles) == 6  # no two lines look the same


def test_a_wide_scale_has_numbers_that_can_be_read(panels):
    axes = panels(draw_curves, curve_of(**GAN))[-1]
    assert axes.get_yscale() == "log"
    numbers = [text.get_text() for text in axes.get_yticklabels() if text.get_text()]
    assert [float(number.replace(",", "")) for number in numbers] == axes.get_yticks().tolist()


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"loss": 0.9, "mse": 1.1}, ["loss"]),
        ({"vae_loss": 0.5}, ["loss"]),
        ({"psnr_db": 30.0, "loss": 0.2}, ["loss", "as reported"]),
        ({"caption_accuracy": 0.9}, ["share of pairs"]),
        ({f"thing_{i}": 1.0 + i for i in range(40)}, ["as reported"]),
        ({"gamma": 1.0, "lr": 0.1}, []),
    ],
)
def test_other_trainings_have_the_panels_that_they_fill(panels, values, labels):
    curve = curve_of(**values)
    assert list(curve.panels) == labels
    if labels:
        axes = panels(draw_curves, curve)
        assert [one.get_ylabel() for one in axes] == labels
        assert all(2 <= len(one.get_lines()) <= 12 for one in axes if len(values) > 2)


def test_the_shipped_gan_shows_all_of_its_record():
    record = (PRETRAINED / "gan-scenes" / "training.json").read_text(encoding="utf-8")
    (curve,) = training_curves(facts(json.loads(record)))
    drawn = {key for panel in curve.panels.values() for key in panel}
    assert drawn == set(curve.lines)
    assert drawn >= {
        "r1",
        "r2",
        "d_grad_norm",
        "g_grad_norm",
        "g_loss",
        "match_loss_fake",
        "p_real_above_fake",
    }


@pytest.fixture
def health_of(run_folder):
    """Return a function from a training record to its health."""
    run = load_run(run_folder)

    def health(record):
        (found,) = training_health(dataclasses.replace(run, generators=facts(record)))
        return found

    return health


def ticks(**measured):
    rows = [{"kimg": 10.0 * k, **{n: v / k for n, v in measured.items()}} for k in (1, 2, 3)]
    return {"ticks": rows}


def test_reverse_kl_is_drawn_over_images_shown(panels, health_of):
    measured = health_of(ticks(all=0.9, fd=4000.0, reverse_kl=0.9))
    shares, distance, kl = panels(draw_health, measured)
    assert (shares.get_ylabel(), distance.get_ylabel()) == ("share or ratio", "Fréchet distance")
    assert kl.get_ylabel() == "reverse KL (nats)"
    (line,) = kl.get_lines()
    assert line.get_xdata().tolist() == [10.0, 20.0, 30.0]
    assert line.get_ydata().tolist() == pytest.approx([0.9, 0.45, 0.3])
    assert kl.get_xlabel() == "thousand images shown"


def test_long_labels_stand_beside_their_own_panels(health_of):
    measured = health_of(ticks(caption_gain=0.4, fd=3.0, reverse_kl=0.9))
    with plt.rc_context(STYLE):
        figure, panels = stacked([1.4] * 3)
        draw_health(panels, measured, Look(FAMILY_COLOURS["gan"], "o", "gan"))
        settle(figure)
        labels = [one.yaxis.label.get_window_extent() for one in panels]
        frames = [one.get_window_extent() for one in panels]
    plt.close(figure)
    assert "saved by the" in panels[0].get_ylabel()
    for label, frame in zip(labels, frames, strict=True):
        assert frame.y0 - 4 < label.y0 < label.y1 < frame.y1 + 4


def test_what_ticks_do_not_measure_has_no_panel(panels, health_of):
    (only,) = panels(draw_health, health_of(ticks(fd=3.0)))
    assert only.get_ylabel() == "Fréchet distance"
    found = health_of(ticks(score=1.0, variation=0.4, fd=2.0)).panels
    assert [list(panel) for panel in found] == [["variation"], ["fd"]]
    assert health_of(ticks(score=1.0)).panels == []


def test_the_sweep_tells_the_reverse_kl(health_of):
    sweep = [{"truncation_psi": psi, "reverse_kl": 0.4 - 0.3 * psi} for psi in (0.0, 1.0)]
    shown = health_of({"truncation": sweep}).sweep
    assert shown.head == ["psi", "reverse KL (nats)"]
    assert shown.rows == [["0", "0.400"], ["1", "0.100"]]


def test_a_training_is_told_by_the_command_of_each_start(run_folder):
    run = load_run(run_folder)
    starts = [{"command": "gandiff train gan"}, {"command": "gandiff train gan --resume"}]
    told = []
    for record in ({"commands": starts, "command": "the last"}, {"command": "the only one"}):
        ((_, rows),) = training_rows(dataclasses.replace(run, generators=facts(record)))
        told.append(dict(rows)["Training command"])
    assert told == ["gandiff train gan, then gandiff train gan --resume", "the only one"]
