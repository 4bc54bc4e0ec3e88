"""All metrics over real files, real (small, random) encoders and the cache, as a run uses them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.alignment import ClipScore, SceneAccuracy
from gandiff.evaluate.metrics.diversity import PromptDiversity, Vendi
from gandiff.evaluate.metrics.frechet import FrechetDistance
from gandiff.evaluate.metrics.mmd import KernelDistance

Write = Callable[..., ImageRecord]


def write_set(write_image: Write, prefix: str, seed: int, tint: int) -> list[ImageRecord]:
    rng = np.random.default_rng(seed)
    expected = {"objects": [{"shape": "star", "colour": "red", "size": None}], "held_out": False}
    return [
        write_image(
            f"{prefix}{prompt}_{sample}.png",
            rng.integers(0, tint, (32, 32, 3), dtype=np.uint8),
            group=f"p{prompt}",
            prompt=f"a star, number {prompt}",
            sample=sample,
            expected=expected,
        )
        for prompt in range(6)
        for sample in range(3)
    ]


def all_metrics(judge: Path) -> list[Metric]:
    return [
        FrechetDistance(encoder="scenes"),
        KernelDistance(encoder="scenes_b"),
        Vendi(encoder="clip:scenes"),
        PromptDiversity(encoder="scenes"),
        ClipScore(model="scenes"),
        SceneAccuracy(judge=str(judge)),
    ]


@pytest.fixture
def measure(
    write_image: Write, clip_folder: Path, judge_folder: Path, tmp_path: Path
) -> Callable[..., list[MetricOutput]]:
    weights = {
        "scenes": str(judge_folder),
        "scenes_b": str(judge_folder),
        "clip:scenes": str(clip_folder),
    }
    made = write_set(write_image, "made", 0, 256)
    real = write_set(write_image, "real", 1, 200)

    def measure(folder: Path | None, batch_size: int) -> list[MetricOutput]:
        features = FeatureCache(folder, weights=weights, batch_size=batch_size)
        data = MetricInput(images=made, reference=real, matched=real, features=features, seed=3)
        return [metric.measure(data) for metric in all_metrics(judge_folder)]

    return measure


def test_rows_are_complete_and_can_be_written(measure: Callable[..., list[MetricOutput]]) -> None:
    outputs = measure(None, 32)
    for row in (row for output in outputs for row in output.results):
        assert row.value is not None
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
        assert row.images == 18
        assert len(row.protocol["weights_sha256"]) == 64
        json.dumps(dict(row.protocol))
    names = {name for output in outputs for name in output.per_image}
    assert {"clip_score(model=scenes)", "diversity(encoder=scenes)"} < names
    assert all(len(v) == 18 for output in outputs for v in output.per_image.values())


def test_batches_and_the_cache_do_not_change_a_number(
    measure: Callable[..., list[MetricOutput]], tmp_path: Path
) -> None:
    first = measure(None, 32)
    for again in (measure(tmp_path / "f", 5), measure(tmp_path / "f", 32)):
        for a, b in zip(first, again, strict=True):
            for row_a, row_b in zip(a.results, b.results, strict=True):
                assert row_b.value == pytest.approx(row_a.value, rel=1e-4, abs=1e-7)
                assert row_b.protocol == row_a.protocol
