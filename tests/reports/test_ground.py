"""What is not called better whatever its interval says, and what stands beside a distance."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_helpers import ALIGNMENT, DIVERSITY, FD, both, pair, row

from gandiff.reports.comparing import lookup, separated
from gandiff.reports.ground import FEWEST, Anchor, Ground
from gandiff.reports.verdict import verdict

BOTH = [row(n, FD, v, 20.0, direction="lower") for n, v in (("gan", 412.0), ("ddim", 206.0))]


def real(metric, value, images=512):
    return Anchor(anchor="real", metric=metric, value=value, images=images)


def noise(metric, value, half=0.0):
    low, high = (None, None) if half is None else (value - half, value + half)
    return Anchor(anchor="noise", metric=metric, value=value, low=low, high=high)


def sentence(rows, differences=(), anchors=(), prompts=None, axis=1):
    ground = Ground.of(anchors, prompts)
    return verdict(rows, list(differences), both(), ("gan", "ddim"), ground)[axis]


def test_what_real_images_get_stands_beside_a_distance():
    said = sentence(BOTH, anchors=[real(FD, 205.0), noise(FD, 90_000.0)])
    assert said.winner == "ddim"
    assert said.text.endswith("do not overlap); 512 real images get 205.")


def test_too_few_images_for_the_dimensions_are_said():
    noted = [
        dataclasses.replace(one, result=dataclasses.replace(one.result, note="N < d: 16 images"))
        for one in BOTH
    ]
    assert sentence(noted).text.endswith(
        "; there are fewer images than dimensions, which biases all upwards."
    )


def test_where_few_images_are_left_of_many_prompts_nothing_is_better():
    few = [
        dataclasses.replace(one, result=dataclasses.replace(one.result, images=count))
        for one, count in zip(BOTH, (512, 20), strict=True)
    ]
    assert "20 prompts are too few to call one better" in sentence(few, prompts=128).text
    assert sentence(BOTH, prompts=128).winner == "ddim"


@pytest.mark.parametrize(("clusters", "winner"), [(None, "gan"), (30, "gan"), (29, None)])
def test_prompts_that_equal_pictures_tie_together_count_once(clusters, winner):
    rows = [row("gan", ALIGNMENT, 0.9, 0.01, direction="higher"),
            row("ddim", ALIGNMENT, 0.5, 0.01, direction="higher")]  # fmt: skip
    found = dataclasses.replace(pair(ALIGNMENT, 0.4, 0.1), clusters=clusters)
    for one in (found, found.flipped()):
        said = sentence(rows, [one], axis=0)
        assert said.winner == winner
        few = "equal pictures leave 29 of 40 prompts independent, too few to call one better"
        assert (few in said.text) == (winner is None)


def test_a_bias_of_either_side_is_said_whatever_the_outcome():
    biased = dataclasses.replace(BOTH[1].result, note="N < d: 16 images")
    rows = [BOTH[0], dataclasses.replace(BOTH[1], result=biased)]
    alone = verdict(rows[1:], [], both(), ("ddim",))
    same = [row(name, FD, 206.0, 20.0, direction="lower") for name in ("gan", "ddim")]
    for said in (sentence(rows), alone[0], sentence(rows[1:])):
        assert "there are fewer images than dimensions" in said.text
    assert sentence(same, anchors=[real(FD, 205.0)]).text.endswith("; 512 real images get 205.")


def test_none_of_two_that_are_no_better_than_noise_is_better():
    said = sentence(BOTH, anchors=[noise(FD, 200.0)])
    assert said.outcome == "undecided"
    assert "and neither is better than uniform noise, which gets 200." in said.text
    assert sentence(BOTH, anchors=[noise(FD, 207.0)]).winner == "ddim"
    accuracies = [
        row(name, ALIGNMENT, value, 0.001, direction="higher")
        for name, value in (("gan", 0.02), ("ddim", 0.04))
    ]
    assert sentence(accuracies, anchors=[noise(ALIGNMENT, 0.041)], axis=0).outcome == "undecided"
    assert sentence(accuracies, anchors=[noise(ALIGNMENT, 0.03)], axis=0).winner == "ddim"


@pytest.mark.parametrize(("prompts", "winner"), [(FEWEST - 1, None), (FEWEST, "ddim")])
def test_a_few_prompts_call_nothing_better(prompts, winner):
    said = sentence(BOTH, prompts=prompts)
    assert said.winner == winner
    if winner is None:
        assert "and 29 prompts are too few to call one better: it takes 30" in said.text
    few = dataclasses.replace(pair(FD, 206.0, 10.0), prompts=prompts)
    assert sentence(BOTH, [few]).winner == winner  # those of the pair count, where it has any
    assert sentence(BOTH, [few], prompts=1000).winner == winner


def test_what_something_costs_does_not_depend_on_prompts():
    rows = [row("gan", "parameters", 5.0), row("ddim", "parameters", 3.0)]
    (a, b) = (one.result for one in rows)
    assert separated(b, a, None, Ground(prompts=1)) == separated(b, a)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["higher", "lower", "target"]),
    st.floats(0.1, 2),
    st.floats(0.1, 2),
    st.floats(0.1, 2),
)
def test_noise_only_ever_takes_a_better_away(direction, x, y, of_noise):
    metric, target = FD, 1.0 if direction == "target" else None
    rows = [
        row(name, metric, value, 0.01, direction=direction, target=target)
        for name, value in (("gan", x), ("ddim", y))
    ]
    index = lookup(rows)
    a, b = index["gan", metric], index["ddim", metric]
    ground = Ground.of([noise(metric, of_noise)], 100)
    for one, other in ((a, b), (b, a)):
        if separated(one, other, None, ground):
            assert separated(one, other)
            nearest = abs(of_noise - 1) - min(abs(x - 1), abs(y - 1))
            best = {"higher": max(x, y) - of_noise, "lower": of_noise - min(x, y)}
            assert best.get(direction, nearest) > 0 or (direction == "target" and of_noise == 1)


def test_noise_is_most_diverse_and_stands_against_nothing_where_more_is_always_better():
    ground = Ground.of([noise(DIVERSITY, 9.0)], 100)
    few, many = (row(name, DIVERSITY, value, 0.01, direction="higher").result
                 for name, value in (("gan", 0.5), ("ddim", 0.9)))  # fmt: skip
    assert separated(many, few, None, ground)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([FD, DIVERSITY, "unstated/coverage"]),
    st.floats(0, 3),
    st.floats(0, 3),
    st.floats(0, 3),
)
def test_nothing_as_far_from_a_target_as_noise_is_better(metric, x, y, of_noise):
    a, b = (row(name, metric, value, 0.01, direction="target", target=1.0).result
            for name, value in (("gan", x), ("ddim", y)))  # fmt: skip
    ground = Ground.of([noise(metric, of_noise)], 100)
    beyond = of_noise != 1 and min(abs(x - 1), abs(y - 1)) >= abs(of_noise - 1)
    for one, other in ((a, b), (b, a)):
        assert separated(one, other, None, ground) == (separated(one, other) and not beyond)


@pytest.mark.parametrize(("half", "winner"), [(0.05, None), (0.75, "ddim"), (None, "ddim")])
def test_noise_that_is_near_a_target_by_chance_stands_against_nothing(half, winner):
    """Few readable pictures of noise leave its number open, or without any interval."""
    rows = [row(name, DIVERSITY, value, 0.01, direction="target", target=1.0)
            for name, value in (("gan", 0.5), ("ddim", 0.8))]  # fmt: skip
    anchors = [noise(DIVERSITY, 0.9, half)]
    assert sentence(rows, anchors=anchors, prompts=100, axis=2).winner == winner


@pytest.mark.parametrize(("copies", "winner"), [(0, "ddim"), (1, "ddim"), (6, None), (512, None)])
def test_a_distance_to_a_reference_that_holds_the_images_decides_nothing(copies, winner):
    rows = [row("gan", FD, 412.0, 20.0, direction="lower", images=512),
            row("ddim", FD, 3.0, 1.0, direction="lower", images=512,
                protocol={"reference_copies": copies})]  # fmt: skip
    said = sentence(rows, prompts=128)
    assert said.winner == winner
    copied = f"and {copies} of 512 images that get 3.00 are images of the reference"
    assert (copied in said.text) == (winner is None)


def test_less_variety_than_noise_has_is_said():
    rows = [row(name, DIVERSITY, value, 0.01, direction="target", target=1.0)
            for name, value in (("gan", 0.2), ("ddim", 0.3))]  # fmt: skip
    said = sentence(rows, anchors=[noise(DIVERSITY, 0.336)], axis=2)
    assert said.outcome == "undecided"
    assert "and neither is better than uniform noise, which gets 0.336." in said.text


@pytest.mark.parametrize("images", [64, 512, None])
def test_an_anchor_of_another_number_of_images_says_it_and_decides_on_no_set(images):
    rows = [dataclasses.replace(one, result=dataclasses.replace(one.result, images=512))
            for one in BOTH]  # fmt: skip
    anchor = dataclasses.replace(noise(FD, 200.0), images=images)
    ground = Ground.of([anchor], 128, [one.result for one in rows])
    said = verdict(rows, [], both(), ("gan", "ddim"), ground)[1]
    assert said.winner == ("ddim" if images == 64 else None)
    assert ground.marks(FD) == ([] if images == 64 else [("uniform noise", 200.0)])
    name = "uniform noise (n = 64)" if images == 64 else "uniform noise"
    assert ground.named(FD) == [(name, anchor)]


def test_what_is_measured_image_by_image_is_compared_at_any_number():
    rows = [row(name, ALIGNMENT, value, 0.001, direction="higher", images=512)
            for name, value in (("gan", 0.02), ("ddim", 0.04))]  # fmt: skip
    anchor = dataclasses.replace(noise(ALIGNMENT, 0.041), images=152)
    ground = Ground.of([anchor], 128, [one.result for one in rows])
    said = verdict(rows, [], both(), ("gan", "ddim"), ground)[0]
    assert "uniform noise, which gets 4.1 % (n = 152)" in said.text
    assert ground.marks(ALIGNMENT) == [("uniform noise (n = 152)", 0.041)]
