"""Metrics of torchmetrics by name, held against torchmetrics itself."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gandiff.common.errors import MetricError
from gandiff.evaluate.checks import set_sha256
from gandiff.evaluate.features.images import image_records, read_pixels
from gandiff.evaluate.metric import ImageRecord, MetricInput
from gandiff.evaluate.metrics.torchmetrics_bridge import TorchmetricsMetric
from gandiff.evaluate.numerics.proportions import OVER_PROMPTS
from gandiff.evaluate.result import MetricSpec

Make = Callable[..., MetricInput]
Write = Callable[..., ImageRecord]


def smooth(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Some shapes that PSNR and SSIM can tell apart: a few waves of colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = sum(
        np.sin(2 * np.pi * (rng.uniform(-3, 3) * x + rng.uniform(-3, 3) * y) + rng.uniform(0, 6))
        for _ in range(4)
    )
    tint = rng.uniform(0.3, 1, 3)
    return np.clip(128 + 30 * waves[..., None] * tint, 0, 255).astype(np.uint8)


@pytest.fixture
def data(make_input: Make, write_image: Write) -> MetricInput:
    """Two samples of eight prompts, of two sizes, with real images of the same prompts."""

    def records(prefix: str, first: int) -> list[ImageRecord]:
        return [
            write_image(
                f"{prefix}{p}-{k}.png",
                smooth(first + 2 * p + k, 40 if p % 3 else 64),
                group=f"p{p}",
                sample=k,
            )
            for p in range(8)
            for k in range(2)
        ]

    made, real = records("made", 0), records("real", 100)
    return dataclasses.replace(
        make_input(np.zeros((2, 2))), images=made, matched=real, reference=real
    )


def unit(records: list[ImageRecord], kind: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Each image alone, 0 to 1 or as it is."""
    batches = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None] for p in read_pixels(records)]
    return [b if kind == torch.uint8 else b.to(kind) / 255 for b in batches]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("PeakSignalNoiseRatio", {"data_range": 1.0}),
        ("StructuralSimilarityIndexMeasure", {"data_range": 1.0}),
        ("StructuralSimilarityIndexMeasure", {"data_range": 1.0, "kernel_size": 7}),
        ("SpectralAngleMapper", {}),
    ],
)
def test_pairs_equal_torchmetrics(data: MetricInput, name: str, params: dict[str, Any]) -> None:
    import torchmetrics.image

    same = [i for i in range(16) if i // 2 % 3]  # one size, so that torchmetrics can take them
    images, real = ([x[i] for i in same] for x in (list(data.images), list(data.matched or ())))
    metric = TorchmetricsMetric(name, **params)
    output = metric.measure(dataclasses.replace(data, images=images))
    row = output.results[0]
    owners = getattr(torchmetrics.image, name)(**params)
    expected = float(owners(torch.cat(unit(images)), torch.cat(unit(real))))
    assert row.value == pytest.approx(expected, rel=1e-5)
    assert row.metric == str(MetricSpec.of(f"torchmetrics:{name}", **params))
    assert MetricSpec.parse(row.metric) == metric.spec
    higher = {True: "higher", False: "lower"}[owners.higher_is_better]
    assert (row.direction, row.low, row.images, row.references) == (higher, None, 10, 10)
    assert row.note == "no interval: torchmetrics gives one value for all images"
    assert row.protocol["class"] == name
    assert row.protocol["parameters"] == params
    assert row.protocol["torchmetrics"] == torchmetrics.__version__
    assert row.protocol["reference_sha256"] == set_sha256(real)
    json.dumps(row.protocol)


def test_mixed_sizes_take_one_update_each(data: MetricInput) -> None:
    import torchmetrics.image

    owners = torchmetrics.image.PeakSignalNoiseRatio(data_range=1.0)
    for image, real in zip(unit(list(data.images)), unit(list(data.matched or ())), strict=True):
        owners.update(image, real)
    row = TorchmetricsMetric("PeakSignalNoiseRatio", data_range=1.0).measure(data).results[0]
    assert row.value == pytest.approx(float(owners.compute()), rel=1e-5)


def test_data_range_scales_the_pixels(data: MetricInput) -> None:
    values = [
        TorchmetricsMetric("StructuralSimilarityIndexMeasure", data_range=top)
        .measure(data)
        .results[0]
        for top in (1.0, 255.0)
    ]
    # its variances are E[x^2] - E[x]^2 in float32, hence no closer
    assert values[0].value == pytest.approx(values[1].value, rel=1e-3)
    assert [row.protocol["input"] for row in values] == ["0 to 1", "0 to 255"]


def test_real_images_are_their_own_best_match(data: MetricInput) -> None:
    metric = TorchmetricsMetric("StructuralSimilarityIndexMeasure", data_range=1.0)
    same = dataclasses.replace(data, images=list(data.matched or ()))
    assert metric.measure(same).results[0].value == pytest.approx(1.0)
    assert metric.measure(data).results[0].value < 0.9


def test_a_value_for_each_image_gives_an_interval(data: MetricInput) -> None:
    import torchmetrics.functional.image as functional

    metric = TorchmetricsMetric(
        "StructuralSimilarityIndexMeasure", data_range=1.0, reduction="none"
    )
    output = metric.measure(data)
    row, values = output.results[0], output.per_image[str(metric.spec)]
    expected = [
        float(functional.structural_similarity_index_measure(a, b, data_range=1.0))
        for a, b in zip(unit(list(data.images)), unit(list(data.matched or ())), strict=True)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert row.value == pytest.approx(np.mean(expected), rel=1e-4)
    assert row.low < row.value < row.high
    assert row.protocol["interval"] == OVER_PROMPTS
    turned = metric.measure(dataclasses.replace(data, images=list(data.images)[::-1]))
    np.testing.assert_allclose(turned.per_image[str(metric.spec)][::-1], values, rtol=1e-4)


def test_images_without_a_counterpart_are_counted(data: MetricInput) -> None:
    extra = dataclasses.replace(data.images[0], sample=9)
    metric = TorchmetricsMetric(
        "StructuralSimilarityIndexMeasure", data_range=1.0, reduction="none"
    )
    output = metric.measure(dataclasses.replace(data, images=[extra, *data.images]))
    assert output.results[0].images == 16
    assert output.results[0].note == "1 image has no real counterpart and was left out"
    assert np.isnan(output.per_image[str(metric.spec)]).tolist() == [True] + [False] * 16


def test_images_alone(data: MetricInput) -> None:
    import torchmetrics.image

    owners = torchmetrics.image.TotalVariation(reduction="mean")
    for image in unit(list(data.images)):
        owners.update(image)
    metric = TorchmetricsMetric("TotalVariation", reduction="mean")
    row = metric.measure(dataclasses.replace(data, matched=None, reference=None)).results[0]
    assert row.value == pytest.approx(float(owners.compute()), rel=1e-5)
    assert (row.direction, row.references) == ("lower", None)
    assert "reference_sha256" not in row.protocol
    assert not metric.needs_reference
    assert not metric.compares_sets


def test_folders_are_paired_by_relative_path(make_input: Make, tmp_path: Path) -> None:
    from PIL import Image

    for side, first in (("a", 0), ("b", 50)):
        (tmp_path / side / "sub").mkdir(parents=True)
        for i, name in enumerate(("x.png", "sub/x.png")):
            Image.fromarray(smooth(first + i)).save(tmp_path / side / name)
    images, real = (image_records(tmp_path / side) for side in ("a", "b"))
    data = dataclasses.replace(make_input(np.zeros((2, 2))), images=images, reference=real[::-1])
    metric = TorchmetricsMetric("PeakSignalNoiseRatio", data_range=1.0)
    by_path = {r.group: r for r in real}
    both = dataclasses.replace(data, reference=[by_path[i.group] for i in images])
    assert metric.measure(data).results[0].value == metric.measure(both).results[0].value
    (tmp_path / "b" / "x.png").rename(tmp_path / "b" / "y.png")
    (tmp_path / "b" / "sub" / "x.png").rename(tmp_path / "b" / "sub" / "y.png")
    with pytest.raises(MetricError, match=r"reference image of the same relative path, and found"):
        metric.measure(dataclasses.replace(data, reference=image_records(tmp_path / "b")))


class Inception(torch.nn.Module):
    """A small network in the place of Inception: uint8 images to 64 features."""

    num_features = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        weight = torch.randn(3 * 64, 64, generator=torch.Generator().manual_seed(0)) / 14
        self.weight = torch.nn.Parameter(weight, requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        small = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 8)
        return small.flatten(1) @ self.weight


@pytest.fixture
def inception(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fid", "kid", "inception", "mifid"):
        monkeypatch.setattr(f"torchmetrics.image.{module}.NoTrainInceptionV3", Inception)


@pytest.mark.usefixtures("inception")
def test_sets_of_uint8_images(data: MetricInput) -> None:
    import torchmetrics.image

    metric = TorchmetricsMetric("FrechetInceptionDistance", feature=64)
    assert metric.needs_reference
    assert metric.compares_sets
    row = metric.measure(data).results[0]
    owners = torchmetrics.image.FrechetInceptionDistance(feature=64)
    for images, real in ((data.reference, True), (data.images, False)):
        for image in unit(list(images or ()), torch.uint8):
            owners.update(image, real=real)
    assert row.value == pytest.approx(float(owners.compute()), rel=1e-3)
    assert row.value > 0.01
    assert (row.direction, row.references, row.protocol["input"]) == ("lower", 16, "uint8")
    with pytest.raises(MetricError, match="compares with reference images and there are none"):
        metric.measure(dataclasses.replace(data, reference=None))


@pytest.mark.usefixtures("inception")
def test_a_mean_with_its_deviation_repeats(data: MetricInput) -> None:
    metric = TorchmetricsMetric("KernelInceptionDistance", feature=64, subset_size=8, subsets=5)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second = (metric.measure(data).results[0] for _ in range(2))
    assert first.value == second.value
    assert "sd over subsets" in first.note
    assert torch.equal(torch.random.get_rng_state(), before)
    other = metric.measure(dataclasses.replace(data, seed=9)).results[0]
    assert other.value != first.value
    score = TorchmetricsMetric("InceptionScore", feature=64, splits=2)
    assert score.compares_sets
    row = score.measure(data).results[0]
    assert row.value >= 1
    assert row.direction == "higher"


@pytest.mark.usefixtures("inception")
def test_what_the_class_complains_of_is_one_line(data: MetricInput) -> None:
    with pytest.raises(MetricError, match="KernelInceptionDistance failed: ValueError: Argument"):
        TorchmetricsMetric("KernelInceptionDistance", feature=64).measure(data)  # 1000 a subset
    tiny = TorchmetricsMetric("MultiScaleStructuralSimilarityIndexMeasure", data_range=1.0)
    with pytest.raises(MetricError, match=r"MultiScale.* failed: ValueError: ") as refused:
        tiny.measure(data)
    assert "\n" not in str(refused.value)


def test_errors(data: MetricInput, write_image: Write) -> None:
    metric = TorchmetricsMetric("PeakSignalNoiseRatio", data_range=1.0)
    with pytest.raises(MetricError, match="needs at least 1 image and found none"):
        metric.measure(dataclasses.replace(data, images=[]))
    with pytest.raises(MetricError, match="compares each image with a real one of the same prompt"):
        metric.measure(dataclasses.replace(data, matched=None, reference=None))
    other = write_image("other.png", smooth(0, 8, 8), group="p0")
    with pytest.raises(MetricError, match=r"one size, and .*other\.png has 8x8 and .* 48x64 px"):
        metric.measure(dataclasses.replace(data, images=[other]))
    full = TorchmetricsMetric(
        "StructuralSimilarityIndexMeasure", data_range=1.0, return_full_image=True
    )
    same = dataclasses.replace(data, images=data.images[2:6])
    with pytest.raises(
        MetricError, match="gave 1 and 4x3x40x48 values; choose parameters with which it gives"
    ):
        full.measure(same)


def test_missing_weights_are_one_line(
    data: MetricInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("no network\nat all")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    metric = TorchmetricsMetric("LearnedPerceptualImagePatchSimilarity", net_type="squeeze")
    with pytest.raises(MetricError, match=r"weights there\?\): OSError: no network$"):
        metric.measure(data)
