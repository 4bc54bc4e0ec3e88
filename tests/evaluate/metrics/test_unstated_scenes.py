"""Variation in what prompts leave open, on rendered scenes before the shipped judge."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gandiff.evaluate.metric import ImageRecord, MetricInput
from gandiff.evaluate.metrics.unstated import UnstatedAttributes

Make = Callable[..., MetricInput]


def test_real_scenes_before_the_shipped_judge(make_input: Make, tmp_path: Path) -> None:
    """Rendered scenes of the suite's prompts, drawn twice: one drawing beside the other."""
    from PIL import Image

    from gandiff.experiments.scenes.captions import matching_scenes
    from gandiff.experiments.scenes.render import render
    from gandiff.experiments.scenes.suite import scene_suite

    sets: dict[int, list[ImageRecord]] = {0: [], 1: []}
    for p, prompt in enumerate(scene_suite("test", 100)):
        for side, records in sets.items():
            pictures = render(matching_scenes(prompt["expected"], 4, 2 * p + side), 32)
            for k, picture in enumerate(pictures):
                path = tmp_path / f"{side}-{p}-{k}.png"
                Image.fromarray(picture).save(path)
                records.append(
                    ImageRecord(
                        path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                        group=prompt["id"], sample=k, expected=prompt["expected"],
                    )
                )  # fmt: skip
    data = dataclasses.replace(make_input(np.zeros((2, 2))), images=sets[0], matched=sets[1])
    found = UnstatedAttributes().measure(data).results
    rows = {row.metric.removeprefix("unstated/"): row for row in found}
    assert {name for name in rows if name.startswith("coverage_")} == {
        f"coverage_{kind}" for kind in ("colour", "size", "background", "relation", "count")
    }
    assert rows["coverage"].low < 1 < rows["coverage"].high
    assert rows["coverage"].value == pytest.approx(1, abs=0.1)
    assert rows["reverse_kl"].low < 0 < rows["reverse_kl"].high
    assert rows["reverse_kl"].value == pytest.approx(0, abs=0.05)
