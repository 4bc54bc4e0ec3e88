"""Which classes of torchmetrics can be named, and what their parameters and images must be."""

import pytest

from gandiff.evaluate.result import MetricError, MetricSpec
from gandiff.evaluate.torchmetrics_bridge import TorchmetricsMetric
from gandiff.evaluate.torchmetrics_classes import use_of
from gandiff.experiments.errors import RequestError
from gandiff.experiments.plugins import make_metric, metric_types


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
    with pytest.raises(MetricError, match=r"no image metric 'StructuralSimilarity'\. Did you mean"):
        TorchmetricsMetric("StructuralSimilarity")
    with pytest.raises(MetricError, match=r"CLIPScore cannot be used here: use clip_score"):
        TorchmetricsMetric("CLIPScore")
    with pytest.raises(MetricError, match=r"no parameter 'range'.*Did you mean 'data_range'"):
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
