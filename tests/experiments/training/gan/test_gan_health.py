"""Alarms of a GAN's training: each rings for its illness and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gandiff.experiments.training.gan.alarms import alarms

HEALTHY_TICK = {
    "score": 0.5,
    "diversity": 0.9,
    "unstated_coverage": 0.9,
    "fd": 100.0,
    "r_v": 0.05,
}
HEALTHY_LOSSES = {"p_real_above_fake": 0.8, "caption_accuracy": 0.95, "r1": 1.0}
Rows = list[dict[str, float]]


def ticks(count: int = 10, **changes: Any) -> Rows:
    """Rising scores; a change is a value for every tick, or a function of its place."""
    rows = []
    for k in range(count):
        row = {**HEALTHY_TICK, "score": 0.05 * k}
        row |= {n: v(k) if callable(v) else v for n, v in changes.items()}
        rows.append(row)
    return rows


def losses(count: int = 40, **changes: Any) -> Rows:
    rows = []
    for k in range(count):
        row = dict(HEALTHY_LOSSES)
        row |= {n: v(k) if callable(v) else v for n, v in changes.items()}
        rows.append(row)
    return rows


ILL: dict[str, tuple[Rows, Rows, str]] = {
    "discriminator too strong": (
        ticks(score=lambda k: 0.4 if k > 3 else 0.1 * k),
        losses(p_real_above_fake=0.995),
        "--set gamma=",
    ),
    "discriminator at chance": (
        ticks(),
        losses(p_real_above_fake=0.51),
        "lower gamma (--set gamma=",
    ),
    "captions ignored": (
        ticks(),
        losses(caption_accuracy=0.52),
        "start again in another --out, with more --minutes or with --set d_warmup=0.15",
    ),
    "mode collapse within prompts": (ticks(unstated_coverage=0.1), losses(), "raise the weight"),
    "memorising": (ticks(r_v=0.7), losses(), "--augment"),
    "getting worse": (
        ticks(fd=lambda k: 100.0 if k < 5 else 400.0),
        losses(),
        "4.0 times that of the best tick",
    ),
    "gradient penalty spike": (ticks(), losses(r1=lambda k: 30.0 if k == 39 else 1.0), "R1 is 30"),
}


def test_a_healthy_training_is_left_in_peace() -> None:
    assert alarms(ticks(), losses(), 0.5) == []
    assert alarms([], [], 0.5) == []


@pytest.mark.parametrize("name", ILL)
def test_each_illness_rings_its_own_alarm(name: str) -> None:
    sick_ticks, sick_losses, advice = ILL[name]
    (alarm,) = alarms(sick_ticks, sick_losses, 0.5)
    assert alarm.name == name
    assert advice in alarm.text
    assert "\n" not in alarm.text


def test_winning_always_is_fine_while_the_score_rises() -> None:
    assert alarms(ticks(), losses(p_real_above_fake=1.0), 0.5) == []


@pytest.mark.parametrize(
    "name", ["discriminator at chance", "captions ignored", "mode collapse within prompts"]
)
def test_little_is_expected_of_the_beginning(name: str) -> None:
    sick_ticks, sick_losses, _ = ILL[name]
    assert alarms(sick_ticks, sick_losses, 0.1) == []


@pytest.mark.parametrize(
    ("changes", "rings"),
    [
        ({"variation": 0.01}, True),
        ({"variation": 0.2}, False),  # captions that say much leave no more than this
        ({"variation": 0.01, "score": -5.0, "fd": 5.0}, True),
        ({"diversity": 0.2}, True),
        ({"diversity": 0.3}, False),
    ],
)
def test_pictures_of_one_prompt_that_are_alike_ring_on_any_data(
    changes: dict[str, float], rings: bool
) -> None:
    bare: Rows = [{"score": -100.0 + k, "fd": 100.0 - k} for k in range(10)]
    bare[-1] |= changes
    found = alarms(bare, losses(), 0.5)
    assert [one.name for one in found] == ["mode collapse within prompts"] * rings
    assert all(f"({next(iter(changes))})" in one.text for one in found)


def test_records_of_other_data_ring_where_they_can() -> None:
    """Pictures in files have no stated facts; what is not measured is not judged."""
    bare = [{"score": -100.0 + k, "fd": 100.0 - k} for k in range(10)]
    assert alarms(bare, losses(), 0.5) == []
