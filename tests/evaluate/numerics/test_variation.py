import math

import numpy as np
import pytest

from gandiff.evaluate.numerics.variation import (
    corrected_kl,
    expected_distinct,
    further_values,
    reverse_kl,
)


def test_rarefaction_of_known_sets() -> None:
    assert expected_distinct("aabb", 4) == 2
    assert expected_distinct("aabb", 1) == 1
    # two of aabb: both alike in 2 of 6 pairs
    assert expected_distinct("aabb", 2) == pytest.approx(1 + 4 / 6)
    # 7 equally likely values, 4 draws: 7 (1 - (6/7)^4) of them on average
    rng = np.random.default_rng(0)
    found = [expected_distinct(list(rng.integers(0, 7, 9)), 4) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(7 * (1 - (6 / 7) ** 4), rel=0.005)
    assert further_values("aab", "abcd") == pytest.approx((1, 2))
    assert further_values("a", "abc") is None


def test_reverse_kl_of_known_tables() -> None:
    even = np.array([1e9, 1e9])
    # KL((3/4, 1/4) || (1/2, 1/2)) = 3/4 ln 3/2 + 1/4 ln 1/2
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert reverse_kl(np.array([3.0, 1.0]), even) == pytest.approx(expected, rel=1e-6)
    assert reverse_kl(np.array([5.0, 0.0]), even) == pytest.approx(math.log(2), rel=1e-6)
    assert reverse_kl(np.array([7.0, 7.0]), even) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(reverse_kl(np.array([1.0, 1.0]), np.array([9.0, 0.0])))


def test_corrected_kl_takes_off_the_bias_of_few_images() -> None:
    rng = np.random.default_rng(0)
    tables = [rng.multinomial(3, np.full(8, 1 / 8), size=(2, 20)) for _ in range(400)]
    plain = [reverse_kl(made.sum(axis=0) * 1.0, real.sum(axis=0) * 1.0) for made, real in tables]
    fixed = [corrected_kl([(made, real)]).value for made, real in tables]
    assert np.mean(plain) > 0.08
    assert abs(np.mean(fixed)) < 3 * np.std(fixed) / 20 + 0.003
