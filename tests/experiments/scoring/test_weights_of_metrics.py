"""Weights that a metric's own library keeps in its cache decide whether its values are valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from run_helpers import write_comparison

from gandiff.evaluate.metrics.torchmetrics_bridge import TorchmetricsMetric
from gandiff.experiments import api

FILE = "weights-inception-2015-12-05-6726825d.pth"
METRIC = "torchmetrics:FrechetInceptionDistance(feature=64)"


class Inception(torch.nn.Module):
    """A small network in the place of Inception, with its weights where torch-fidelity looks."""

    num_features = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        weight = torch.load(Path(torch.hub.get_dir()) / "checkpoints" / FILE)
        self.weight = torch.nn.Parameter(weight, requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 8)
        return small.flatten(1) @ self.weight


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the weights belong; nothing is there yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", Inception)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / FILE


def write(weights: Path, seed: int) -> None:
    torch.save(torch.randn(192, 64, generator=torch.Generator().manual_seed(seed)) / 14, weights)


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    for offset, folder in enumerate(("mj", "real")):
        (tmp_path / folder).mkdir()
        for i in range(4):
            pixels = np.random.default_rng(10 * offset + i).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i + 1:05d}_0.png")
    return write_comparison(
        tmp_path,
        4,
        generators={"mj": {"type": "folder", "folder": "mj"}},
        reference={"folder": "real"},
        metrics=[METRIC],
        samples_per_prompt=1,
    )


def score(file: Path, out: str = "run") -> tuple[Any, api.RunSummary]:
    summary = api.run(file, out=file.parent / out, until="score", quiet=True)
    table = pd.read_parquet(summary.folder / "results.parquet")
    return table[table.metric == METRIC].iloc[0], summary


def test_other_weights_are_measured_with(weights: Path, comparison: Path) -> None:
    write(weights, 0)
    first, _ = score(comparison)
    write(weights, 1)
    again, summary = score(comparison)
    new, _ = score(comparison, "fresh")
    assert again.value == new.value
    assert again.value != first.value
    assert any("the weights of encoders or judges have changed" in w for w in summary.warnings)
    assert again.protocol != first.protocol
    _, quiet = score(comparison)
    assert not any("measured again" in w for w in quiet.warnings)


def test_weights_that_have_appeared_are_taken(weights: Path, comparison: Path) -> None:
    none, summary = score(comparison)
    assert pd.isna(none.value)
    assert any("FrechetInceptionDistance" in problem for problem in summary.problems)
    write(weights, 0)
    row, summary = score(comparison)
    assert row.value > 0
    assert summary.problems == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("KernelInceptionDistance(subset_size=2)", FILE),
        ("InceptionScore", FILE),
        ("MemorizationInformedFrechetInceptionDistance", FILE),
        ("LearnedPerceptualImagePatchSimilarity(net_type=vgg)", "vgg16-397923af.pth"),
    ],
)
def test_which_files_a_class_reads(weights: Path, text: str, name: str) -> None:
    from gandiff.evaluate.result import MetricSpec

    spec = MetricSpec.parse(f"torchmetrics:{text}")
    metric = TorchmetricsMetric(spec.name.partition(":")[2], **dict(spec.params))
    assert metric.files() == []
    (weights.parent / name).write_bytes(b"weights")
    (weights.parent / "other-1234.pth").write_bytes(b"of somebody else")
    assert metric.files() == [weights.parent / name]


def test_clip_iqa_reads_from_the_hubs_cache(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from gandiff.evaluate.metrics.torchmetrics_classes import find_class, weights_of

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / "models--openai--clip-vit-base-patch16"
    file = repo / "snapshots" / ("a" * 40) / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    found = find_class("CLIPImageQualityAssessment")
    bound = {"model_name_or_path": "openai/clip-vit-base-patch16"}
    assert weights_of(found, bound) == [repo / "refs" / "main", file]
