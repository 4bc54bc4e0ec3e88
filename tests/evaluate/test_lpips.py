"""LPIPS against torchmetrics, on an AlexNet of random weights that is saved as torchvision's."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.features.encoders import (
    PairExtractor,
    check_encoder,
    encoder_names,
    open_extractor,
)
from gandiff.evaluate.metric import ImageRecord, MetricInput
from gandiff.evaluate.metrics.diversity import PromptDiversity
from gandiff.evaluate.metrics.frechet import FrechetDistance

Write = Callable[..., ImageRecord]


def noise(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The convolutions of an AlexNet of random weights under the names of torchvision's file."""
    layers = {
        0: (64, 3, 11),
        3: (192, 64, 5),
        6: (384, 192, 3),
        8: (256, 384, 3),
        10: (256, 256, 3),
    }
    draw = torch.Generator().manual_seed(0)
    state = {}
    for place, (channels, before, side) in layers.items():
        weight = torch.randn(channels, before, side, side, generator=draw)
        state[f"features.{place}.weight"] = weight * (2 / (before * side**2)) ** 0.5
        state[f"features.{place}.bias"] = torch.randn(channels, generator=draw) / 10
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def lpips(alexnet: Path) -> PairExtractor:
    found = open_extractor("lpips", {"lpips": str(alexnet)}, "cpu")
    assert isinstance(found, PairExtractor)
    return found


def distances(lpips: PairExtractor, images: list[np.ndarray]) -> np.ndarray:
    return lpips.distances([lpips.prepare(image) for image in images])


def test_equals_torchmetrics(
    lpips: PairExtractor, alexnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.functional.image import lpips as owners
    from torchvision.models import alexnet as build

    def random_alexnet(net: str, pretrained: bool = False) -> torch.nn.Module:
        network = build(weights=None)
        network.load_state_dict(torch.load(alexnet, weights_only=True), strict=False)
        return network.features

    monkeypatch.setattr(owners, "_get_tv_model_features", random_alexnet)
    images = [noise(0), noise(1), noise(2) // 3]
    found = distances(lpips, images)
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    pairs = ([0, 0, 1, 2], [1, 2, 2, 2])
    expected = owners.learned_perceptual_image_patch_similarity(
        batch[pairs[0]], batch[pairs[1]], net_type="alex", normalize=True, reduction="none"
    )
    np.testing.assert_allclose(found[pairs], expected.numpy(), rtol=1e-5, atol=1e-7)
    assert found[0, 1] > 0.05


def test_is_a_squared_distance(lpips: PairExtractor) -> None:
    images = [noise(i) for i in range(5)]
    found = distances(lpips, images)
    np.testing.assert_array_equal(np.diag(found), 0)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    roots = np.sqrt(found)
    for middle in range(5):
        assert (roots <= roots[:, [middle]] + roots[[middle], :] + 1e-6).all()


def test_does_not_depend_on_the_other_images(lpips: PairExtractor) -> None:
    images = [noise(i) for i in range(4)]
    pair = distances(lpips, images[:2])
    np.testing.assert_allclose(distances(lpips, images)[:2, :2], pair, rtol=1e-4)
    turned = distances(lpips, images[::-1])[::-1, ::-1]
    np.testing.assert_allclose(turned, distances(lpips, images), rtol=1e-4)


def test_grows_with_the_change(lpips: PairExtractor) -> None:
    image = noise(0).astype(int)
    changed = [
        np.clip(image + step * (noise(1).astype(int) - 128) // 128, 0, 255).astype(np.uint8)
        for step in (0, 4, 32, 128)
    ]
    apart = distances(lpips, changed)[0]
    assert apart[0] == 0
    assert (np.diff(apart) > 0).all()


def test_smallest_size(lpips: PairExtractor) -> None:
    assert np.isfinite(distances(lpips, [noise(0, 31, 31), noise(1, 31, 31)])).all()
    with pytest.raises(MetricError, match="needs images of 31 px or more a side and found 40x30"):
        lpips.prepare(noise(0, 30, 40))


def test_protocol_and_name(lpips: PairExtractor, alexnet: Path) -> None:
    assert lpips.protocol() == {
        "encoder": "lpips",
        "network": "alex",
        "weights_sha256": file_sha256(alexnet),
        "resize": "none",
        "crop": "none",
    }
    json.dumps(lpips.protocol())
    assert "lpips" in encoder_names()
    with pytest.raises(MetricError, match="cannot be written 'lpips:vgg'"):
        check_encoder("lpips:vgg")


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(url: str, path: str, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(MetricError) as refused:
        open_extractor("lpips", {}, "cpu")
    told = str(refused.value)
    assert f"{tmp_path}/hub/checkpoints/alexnet-owt-7be5be79.pth is not there" in told
    assert "no network" in told
    assert "--weights lpips=FILE" in told
    assert "\n" not in told


def test_weights_in_the_cache_are_found(
    alexnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(alexnet.read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = open_extractor("lpips", {}, "cpu")
    assert found.protocol()["weights_sha256"] == file_sha256(alexnet)


@pytest.mark.parametrize("content", [b"not a file of weights", b""])
def test_a_file_without_alexnet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.pth"
    path.write_bytes(content)
    with pytest.raises(MetricError, match=r"wrong\.pth does not hold torchvision's AlexNet"):
        open_extractor("lpips", {"lpips": str(path)}, "cpu")
    torch.save({"features.0.weight": torch.zeros(2)}, path)
    with pytest.raises(MetricError, match=r"AlexNet \(KeyError: 'features\.0\.bias'\)"):
        open_extractor("lpips", {"lpips": str(path)}, "cpu")


@pytest.fixture
def data(write_image: Write, alexnet: Path) -> MetricInput:
    """Three samples of two prompts; real images that differ twice as much."""

    def records(prefix: str, strength: int) -> list[ImageRecord]:
        return [
            write_image(
                f"{prefix}{p}-{k}.png",
                np.clip(
                    noise(p).astype(int) + strength * (noise(50 + 3 * p + k).astype(int) - 128), 0,
                    255,
                ).astype(np.uint8) if strength else noise(p),
                group=f"p{p}",
                prompt=f"p{p}",
                sample=k,
            )
            for p in range(6)
            for k in range(3)
        ]  # fmt: skip

    return MetricInput(
        images=records("made", 0),
        reference=None,
        matched=records("real", 1),
        features=FeatureCache(weights={"lpips": str(alexnet)}),
    )


def test_diversity_is_relative_to_real_images(data: MetricInput) -> None:
    metric = PromptDiversity(encoder="lpips")
    assert metric.optional
    assert metric.encoders == ("lpips",)
    assert str(metric.spec) == "diversity(encoder=lpips)"
    row = metric.measure(data).results[0]
    assert row.value == 0.0  # one picture a prompt
    assert (row.unit, row.target, row.protocol["distance"]) == ("x", 1.0, "LPIPS")
    same = dataclasses.replace(data, images=data.matched or ())
    assert metric.measure(same).results[0].value == pytest.approx(1.0)


def test_diversity_without_real_images_is_the_mean_of_lpips(
    data: MetricInput, lpips: PairExtractor
) -> None:
    from PIL import Image

    real = dataclasses.replace(data, images=data.matched or (), matched=None)
    output = PromptDiversity(encoder="lpips").measure(real)
    pictures = [np.asarray(Image.open(record.path)) for record in real.images]
    means = []
    for start in range(0, len(pictures), 3):
        apart = distances(lpips, pictures[start : start + 3])
        means.append(apart[np.triu_indices(3, 1)].mean())
    assert output.results[0].value == pytest.approx(np.mean(means), rel=1e-5)
    assert output.results[0].unit == "LPIPS"


def test_shipped_encoders_are_not_optional() -> None:
    shipped = ("scenes", "scenes_b", "clip:scenes")
    assert not any(PromptDiversity(encoder=name).optional for name in shipped)
    named = ("clip", "dinov2", "inception", "lpips", "lpips+centre")
    assert all(PromptDiversity(encoder=name).optional for name in named)


def test_mixed_sizes_are_refused(data: MetricInput, write_image: Write) -> None:
    other = write_image("other.png", noise(9, 64, 64), group="p0", sample=3)
    mixed = dataclasses.replace(data, images=[*data.images, other])
    with pytest.raises(MetricError, match=r"images of one size, .* have 48x40, 64x64; make them"):
        PromptDiversity(encoder="lpips").measure(mixed)
    alone = dataclasses.replace(other, group="p9")  # of another prompt: nothing to compare with
    output = PromptDiversity(encoder="lpips").measure(
        dataclasses.replace(data, images=[*data.images, alone])
    )
    assert np.isnan(output.per_image["diversity(encoder=lpips)"][-1])


def test_it_has_no_features(data: MetricInput) -> None:
    with pytest.raises(MetricError, match=r"no features; name it as diversity\(encoder=lpips\)"):
        FrechetDistance(encoder="lpips").measure(
            dataclasses.replace(data, reference=list(data.matched or ()))
        )
    with pytest.raises(MetricError, match="lpips is a distance itself; leave out 'distance'"):
        PromptDiversity(encoder="lpips", distance="cosine")
    data.images[0].path.unlink()
    with pytest.raises(MetricError, match=r"1 of 3 image files cannot be read: .*made0-0\.png"):
        PromptDiversity(encoder="lpips").measure(data)
