"""Which classes of torchmetrics can be named, and what their parameters and images must be."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from gandiff.common.errors import MetricError, RequestError
from gandiff.evaluate.metric import ImageRecord, MetricInput
from gandiff.evaluate.metrics.torchmetrics_bridge import TorchmetricsMetric
from gandiff.evaluate.metrics.torchmetrics_classes import use_of
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.plugins.registry import make_metric, metric_types

Make = Callable[..., MetricInput]
Write = Callable[..., ImageRecord]


def test_lpips_gets_its_range() -> None:
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity as Owners

    assert (use_of(Owners, {}).low, use_of(Owners, {}).high) == (-1, 1)
    assert use_of(Owners, {"normalize": True}).low == 0


def test_every_class_that_takes_images_is_found() -> None:
    """Those that need no weights are built, the others wait until they are measured."""
    import torchmetrics.image

    params = {
        "PeakSignalNoiseRatio": {"data_range": 1.0},
        "PeakSignalNoiseRatioWithBlockedEffect": {"data_range": 1.0},
    }
    impossible = ("QualityWithNoReference", "SpatialDistortionIndex", "PerceptualPathLength")
    for name in torchmetrics.image.__all__:
        if name in impossible:
            with pytest.raises(
                MetricError, match=f"torchmetrics:{name} cannot be used here: it ta"
            ):
                TorchmetricsMetric(name)
        else:
            assert TorchmetricsMetric(name, **params.get(name, {})).spec.name.endswith(name)


def test_names_and_parameters_are_checked_at_once() -> None:
    with pytest.raises(MetricError, match=r"no image metric 'StructuralSimilarity'; did you mean"):
        TorchmetricsMetric("StructuralSimilarity")
    with pytest.raises(MetricError, match=r"CLIPScore cannot be used here: use clip_score"):
        TorchmetricsMetric("CLIPScore")
    with pytest.raises(MetricError, match=r"no parameter 'range'.*did you mean 'data_range'"):
        TorchmetricsMetric("PeakSignalNoiseRatio", range=1.0)
    with pytest.raises(MetricError, match="PeakSignalNoiseRatio needs the parameter 'data_range'"):
        TorchmetricsMetric("PeakSignalNoiseRatio")
    with pytest.raises(MetricError, match="TotalVariation cannot be built: ValueError: Expected"):
        TorchmetricsMetric("TotalVariation", reduction="median")


def test_named_in_a_comparison() -> None:
    spec = MetricSpec.parse("torchmetrics:StructuralSimilarityIndexMeasure(data_range=1.0)")
    metric = make_metric(spec)
    assert isinstance(metric, TorchmetricsMetric)
    assert metric.spec == spec
    assert "torchmetrics:NAME" in metric_types()
    with pytest.raises(RequestError, match="torchmetrics has no image metric 'PSNR'"):
        make_metric(MetricSpec.parse("torchmetrics:PSNR"))


def test_dicts_and_tensors_of_a_class_become_rows(
    make_input: Make, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchmetrics
    import torchmetrics.multimodal

    class Quality(torchmetrics.Metric):
        higher_is_better = True
        feature_network = "none"

        def __init__(self, data_range: float = 1.0, prompts: tuple[str, ...] = ("quality",)):
            super().__init__()
            assert prompts == ("noisiness",)
            self.seen: list[torch.Tensor] = []

        def update(self, images: torch.Tensor) -> None:
            self.seen += [image.mean() for image in images]

        def compute(self) -> dict[str, torch.Tensor]:
            means = torch.stack(self.seen)
            return {"mean": means.mean(), "each": means, "nothing": torch.tensor(float("nan"))}

    monkeypatch.setattr(torchmetrics.multimodal, "CLIPImageQualityAssessment", Quality)
    pictures = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    images = [write_image(f"{i}.png", picture) for i, picture in enumerate(pictures)]
    data = dataclasses.replace(make_input(np.zeros((2, 2))), images=images)
    spec = MetricSpec.parse("torchmetrics:CLIPImageQualityAssessment(prompts=noisiness)")
    output = make_metric(spec).measure(data)
    rows = {row.metric.rpartition("/")[2]: row for row in output.results}
    assert set(rows) == {"mean", "each", "nothing"}
    assert rows["mean"].value == pytest.approx(rows["each"].value)
    assert rows["mean"].low is None
    assert rows["each"].low is not None
    assert list(output.per_image) == [f"{spec}/each"]
    assert rows["nothing"].value is None
    assert rows["nothing"].note == "not measured: torchmetrics gave nan"
