"""What is read in slices stays in slices: memory does not grow with the number of images."""

import tracemalloc

import numpy as np
import pytest

from gandiff.evaluate.checks import remarks
from gandiff.evaluate.numerics.frechet import frechet_replicates
from gandiff.evaluate.numerics.gaussian import GaussianStats

WIDTH = 32


class Endless:
    """Features that exist only while they are looked at."""

    def __init__(self, count: int) -> None:
        self.shape = (count, WIDTH)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        assert stop - start <= 10_000, "asked for all rows at once"
        rng = np.random.default_rng(start)
        return rng.normal(size=(stop - start, WIDTH)).astype(np.float32)


def peak_bytes(count: int) -> int:
    reference = GaussianStats.of(Endless(5000))
    groups = [""] * count
    names = [str(i) for i in range(200)]
    for i in range(count):
        groups[i] = names[i % 200]
    rows = Endless(count)
    tracemalloc.start()
    try:
        found = frechet_replicates(rows, reference, groups, 0).at_infinity()
        assert found.low is not None
        assert remarks([], None, rows) == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(120)
def test_the_frechet_distance_of_100_000_images_needs_no_more_memory() -> None:
    few, many = peak_bytes(10_000), peak_bytes(100_000)
    features = 90_000 * WIDTH * 4
    labels = 90_000 * 24  # a part's number for each image, and work arrays of it
    assert many - few < labels + features // 20
