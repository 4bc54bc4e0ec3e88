import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.evaluate.numerics.paired import holm, paired_difference, paired_means
from gandiff.evaluate.numerics.statistics import (
    bootstrap_over_groups,
    bootstrap_ratio,
    deviation,
    independent_difference,
    jackknife_interval,
    jackknife_over_groups,
    partition_groups,
    student_t,
)
from gandiff.evaluate.result import Interval


def names(groups: int, samples: int) -> list[str]:
    return [f"p{i}" for i in range(groups) for _ in range(samples)]


@pytest.mark.parametrize(
    ("freedom", "expected"), [(4, 2.7764), (9, 2.2622), (19, 2.0930), (99, 1.9842)]
)
def test_student_t_is_the_table_value(freedom: int, expected: float) -> None:
    assert student_t(0.95, freedom) == pytest.approx(expected, rel=5e-5)


def test_bootstrap_keeps_the_samples_of_a_prompt_together() -> None:
    # Four equal samples a prompt are one observation: the interval must be that of single samples.
    rng = np.random.default_rng(0)
    single = rng.normal(size=40)
    one = bootstrap_over_groups(single, names(40, 1), seed=1)
    four = bootstrap_over_groups(np.repeat(single, 4), names(40, 4), seed=1)
    assert (four.low, four.high) == pytest.approx((one.low, one.high))
    independent = bootstrap_over_groups(np.repeat(single, 4), names(160, 1), seed=1)
    assert independent.high - independent.low < 0.6 * (four.high - four.low)


def test_bootstrap_leaves_nan_out_and_weighs_images() -> None:
    values = np.array([1.0, np.nan, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, np.nan])
    found = bootstrap_over_groups(values, names(11, 1), seed=0)
    assert found.value == np.nanmean(values)
    assert found.low < found.value < found.high


def test_bootstrap_is_a_function_of_its_seed() -> None:
    values = np.random.default_rng(0).normal(size=60)
    first = bootstrap_over_groups(values, names(20, 3), seed=3)
    assert first == bootstrap_over_groups(values, names(20, 3), seed=3)
    assert first != bootstrap_over_groups(values, names(20, 3), seed=4)


def test_few_prompts_have_no_interval() -> None:
    found = bootstrap_over_groups(np.arange(8.0), names(4, 2), seed=0)
    assert (found.value, found.low, found.high) == (3.5, None, None)


def test_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="all are NaN"):
        bootstrap_over_groups(np.array([np.nan]), ["a"], seed=0)


@pytest.mark.parametrize(("prompts", "samples"), [(12, 4), (60, 2)])
def test_bootstrap_covers_the_truth(prompts: int, samples: int) -> None:
    rng = np.random.default_rng(prompts)
    hits = 0
    for trial in range(300):
        centres = rng.normal(0.3, 1.0, size=(prompts, 1))
        values = (centres + rng.normal(0, 0.5, size=(prompts, samples))).ravel()
        found = bootstrap_over_groups(values, names(prompts, samples), seed=trial, resamples=600)
        hits += found.low <= 0.3 <= found.high
    assert 0.91 <= hits / 300 <= 0.99


def test_ratio_of_sums_is_not_the_mean_of_ratios() -> None:
    found = bootstrap_ratio(np.array([1.0, 9.0]), np.array([1.0, 3.0]), seed=0)
    assert found.value == 2.5


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=20)
    found = jackknife_over_groups(lambda kept: values[kept].mean(), names(20, 1), seed=0)
    reach = student_t(0.95, 19) * values.std(ddof=1) / np.sqrt(20)
    assert found.high - found.value == pytest.approx(reach)


def test_jackknife_of_few_parts_has_no_interval() -> None:
    assert jackknife_interval(1.0, np.array([1.0, 2.0])).low is None
    assert jackknife_over_groups(lambda kept: 0.0, names(3, 9), seed=0).low is None


@given(st.integers(1, 60), st.integers(1, 3), st.integers(2, 25))
def test_parts_hold_whole_groups_and_are_equal(groups: int, samples: int, parts: int) -> None:
    labels = partition_groups(names(groups, samples), parts, seed=0).reshape(groups, samples)
    assert (labels == labels[:, :1]).all()
    sizes = np.bincount(labels[:, 0])
    assert len(sizes) == min(parts, groups)
    assert sizes.max() - sizes.min() <= 1


def test_paired_difference_uses_common_prompts_only() -> None:
    a = np.array([1.0, 3.0, 5.0, np.nan])
    b = np.array([1.0, 1.0, 9.0])
    found = paired_difference(a, ["x", "x", "y", "z"], b, ["x", "y", "z"])
    assert found.prompts == 2
    assert found.difference == pytest.approx(2.5)  # x: 2 - 1, y: 5 - 1
    assert found.win_rate == 1.0
    assert found.low is None


def test_paired_difference_is_antisymmetric() -> None:
    rng = np.random.default_rng(5)
    groups = names(30, 2)
    a, b = rng.normal(0.4, 1, 60), rng.normal(0, 1, 60)
    ab = paired_difference(a, groups, b, groups, seed=2)
    ba = paired_difference(b, groups, a, groups, seed=2)
    assert ab.difference == pytest.approx(-ba.difference)
    assert ab.low == pytest.approx(-ba.high, abs=0.05)
    assert ab.win_rate == pytest.approx(1 - ba.win_rate)
    assert ab.p_value == ba.p_value


def test_the_effect_size_is_the_mean_over_the_deviation_of_the_prompts() -> None:
    # By hand: x 2 - 1, y 5 - 1, z 0 - 1 make 1, 4, -1: mean 4/3, variance 38/3 / 2.
    a = np.array([1.0, 3.0, 5.0, 0.0])
    found = paired_difference(a, ["x", "x", "y", "z"], np.ones(3), ["x", "y", "z"])
    assert found.deviation == pytest.approx((19 / 3) ** 0.5)
    assert found.effect_size == pytest.approx(4 / 3 / (19 / 3) ** 0.5)
    scaled = paired_difference(7 * a, ["x", "x", "y", "z"], np.full(3, 7.0), ["x", "y", "z"])
    assert scaled.effect_size == pytest.approx(found.effect_size)
    assert scaled.deviation == pytest.approx(7 * found.deviation)


def test_prompts_that_do_not_vary_have_no_effect_size() -> None:
    # 0.3 - 0.1 has rounding errors, which are no variation.
    found = paired_difference(np.full(9, 0.3), names(9, 1), np.full(9, 0.1), names(9, 1))
    assert (found.deviation, found.effect_size) == (0.0, None)
    alone = paired_difference(np.ones(2), ["x", "x"], np.zeros(1), ["x"])
    assert (alone.deviation, alone.effect_size) == (None, None)
    assert deviation(np.full(10, 0.1)) == 0.0


def test_an_independent_difference_adds_variances_and_keeps_sides() -> None:
    a, b = Interval(value=10.0, low=7.0, high=14.0), Interval(value=4.0, low=0.0, high=7.0)
    found = independent_difference(a, b)
    # a below and b above bound it from below: 3 and 3; from above 4 and 4.
    assert found.value == 6.0
    assert found.low == pytest.approx(6 - 18**0.5)
    assert found.high == pytest.approx(6 + 32**0.5)
    turned = independent_difference(b, a)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert independent_difference(a, Interval(value=1.0)) == Interval(value=9.0)


def covered_by_independent_difference(trials: int) -> float:
    """How often the interval of a difference of skewed means of unequal size holds the truth."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(trials):
        sides = [
            bootstrap_ratio(rng.exponential(mean, n), np.ones(n), trial + seed, resamples=600)
            for seed, (mean, n) in enumerate([(2.0, 60), (1.0, 25)])
        ]
        found = independent_difference(*sides)
        hits += found.low <= 1.0 <= found.high
    return hits / trials


def test_an_independent_difference_covers_the_truth() -> None:
    assert 0.9 <= covered_by_independent_difference(200) <= 0.99


@pytest.mark.slow
def test_an_independent_difference_covers_the_truth_in_many_trials() -> None:
    assert 0.92 <= covered_by_independent_difference(2000) <= 0.99


def test_ties_count_half_and_prove_nothing() -> None:
    found = paired_difference(np.ones(9), names(9, 1), np.ones(9), names(9, 1))
    assert (found.difference, found.win_rate, found.p_value) == (0.0, 0.5, 1.0)


def test_sign_flip_p_is_exact_for_few_prompts() -> None:
    # All 8 signs positive: 2 of 256 assignments are as extreme.
    found = paired_difference(np.full(8, 2.0), names(8, 1), np.ones(8), names(8, 1))
    assert found.p_value == 2 / 256
    # One of three against it, and prompts that do not differ: all 8 patterns have a
    # sum of at least |1 + 1 - 1|.
    a = np.array([1.0, 1.0, -1.0, *np.zeros(20)])
    assert paired_difference(a, names(23, 1), np.zeros(23), names(23, 1)).p_value == 1.0


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.5, 1.0]), min_size=6, max_size=40))
def test_an_interval_of_few_that_differ_holds_0_where_signs_do_not_deny_it(differences) -> None:
    a, groups = np.array(differences), names(len(differences), 1)
    found = paired_difference(a, groups, np.zeros(len(a)), groups, resamples=200)
    if found.p_value >= 0.05:
        assert found.low <= 0 <= found.high
    farther = paired_means(a + 9, groups, np.full(len(a), 9.0), groups).distance_difference(20.0)
    if found.p_value >= 0.05:  # all below the target: the distances differ by as much
        assert farther.low <= 0 <= farther.high


def test_of_means_on_two_sides_of_a_target_one_is_not_nearer_by_few_prompts() -> None:
    groups = names(64, 1)
    a, b = np.ones(64), np.ones(64)
    a[:4], b[3] = 1.5, 0.8
    means = paired_means(a, groups, b, groups)
    found, turned = means.distance_difference(1.0), means.distance_difference(0.0)
    assert found.low == 0.0 < found.value < found.high
    assert turned.low == 0.0 < turned.value  # both on one side: the same prompts, the same answer


@given(st.integers(0, 1000))
@settings(deadline=None)
def test_the_distance_from_a_target_is_denied_by_trades_as_counted_by_hand(seed) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 8))
    found = paired_means(a, names(8, 1), b, names(8, 1)).distance_difference(0.0, resamples=100)
    trades = itertools.product((False, True), repeat=8)
    apart = [abs(np.where(t, b, a).sum()) - abs(np.where(t, a, b).sum()) for t in trades]
    p = np.mean(np.abs(apart) >= abs(apart[0]) - 1e-9)
    assert p < 0.05 or found.low <= 0 <= found.high


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_of_equal_generators_of_which_few_prompts_differ_one_is_seldom_better(rate) -> None:
    rng, prompts = np.random.default_rng(0), 64
    groups, seen = names(prompts, 1), 0
    for turn in range(400):
        a, b = (rng.random((2, prompts)) > rate).astype(float)
        found = paired_difference(a, groups, b, groups, seed=turn, resamples=500, permutations=500)
        seen += not found.low <= 0 <= found.high
    assert seen / 400 <= 0.07


def test_p_values_are_uniform_without_a_difference() -> None:
    rng = np.random.default_rng(0)
    p = [
        paired_difference(
            rng.normal(size=25), names(25, 1), rng.normal(size=25), names(25, 1),
            seed=i, resamples=10, permutations=300,
        ).p_value
        for i in range(300)
    ]  # fmt: skip
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.085
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_no_common_prompt_is_an_error() -> None:
    with pytest.raises(ValueError, match="no prompt in common"):
        paired_difference(np.ones(1), ["a"], np.ones(1), ["b"])


def test_holm_by_hand() -> None:
    # Holm 1979's procedure: 4 * .005, 3 * .01, 2 * .03, and no later one below an earlier one.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


Race = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


def coverage_race(rng: np.random.Generator, prompts: int) -> tuple[np.ndarray, ...]:
    """One always shows a second value, one in 3 of 4 prompts, real pictures in 7 of 8."""
    real = (rng.random(prompts) < 7 / 8).astype(float)
    return np.ones(prompts), (rng.random(prompts) < 0.75).astype(float), real


def diversity_race(rng: np.random.Generator, prompts: int) -> tuple[np.ndarray, ...]:
    """A tenth above and below real pictures, which are few, too; prompts vary differently."""
    level = 1 + 0.1 * rng.normal(size=prompts)
    noise = 1 + 0.3 * rng.normal(size=(3, prompts))
    return 1.1 * level * noise[0], 0.9 * level * noise[1], level * noise[2]


@pytest.mark.parametrize("race", [coverage_race, diversity_race])
def test_of_ratios_equally_far_from_a_target_none_is_called_nearer(race: Race) -> None:
    """The real pictures are a sample as well: a fixed level below made one in six races decided."""
    rng, prompts, seen = np.random.default_rng(0), 64, 0
    labels = names(prompts, 1)
    for turn in range(200):
        a, b, real = race(rng, prompts)
        means = paired_means(a, labels, b, labels, (real, real))
        found = means.distance_difference(1.0, seed=turn, resamples=500, permutations=500)
        seen += not found.low <= 0 <= found.high
    assert seen / 200 <= 0.08


def test_a_ratio_that_is_a_fifth_farther_from_its_target_is_seen() -> None:
    rng, prompts, seen = np.random.default_rng(1), 64, 0
    labels = names(prompts, 1)
    for turn in range(100):
        level, noise = 1 + 0.3 * rng.normal(size=prompts), 1 + 0.2 * rng.normal(size=(3, prompts))
        real = level * noise[2]
        means = paired_means(
            level * noise[0] * 1.25, labels, level * noise[1], labels, (real, real)
        )
        found = means.distance_difference(1.0, seed=turn, resamples=500, permutations=500)
        seen += found.low > 0
    assert seen / 100 >= 0.8


@given(st.integers(0, 1000))
@settings(deadline=None)
def test_a_ratio_with_equal_denominators_is_a_mean(seed: int) -> None:
    """By value, interval, p value, wins and effect size, in whatever unit the denominators are."""
    a, b = np.random.default_rng(seed).normal(1, 0.3, size=(2, 12))
    labels, below = names(12, 1), np.full(12, 4.0)
    plain = paired_means(a, labels, b, labels)
    ratio = paired_means(4 * a, labels, 4 * b, labels, (below, below))
    ours, theirs = plain.difference(), ratio.difference()
    for field in dataclasses.fields(ours):
        expected = getattr(ours, field.name)
        assert getattr(theirs, field.name) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    near, far = plain.distance_difference(1.0), ratio.distance_difference(1.0)
    assert (near.value, near.low, near.high) == pytest.approx((far.value, far.low, far.high))


def test_values_above_what_is_below_decide_who_wins_a_prompt() -> None:
    """Twice as much over twice as much below is no win, and a ratio has that of the sums."""
    labels = names(8, 1)
    below = np.tile([1.0, 2.0], 4)
    means = paired_means(below[::-1], labels, below, labels, (below[::-1], below))
    found = means.difference()
    assert means.values == (1.0, 1.0)
    assert (found.difference, found.win_rate, found.p_value) == (0.0, 0.5, 1.0)
    with pytest.raises(ValueError, match="nothing is below one of the two sides"):
        paired_means(below, labels, below, labels, (0 * below, below))
