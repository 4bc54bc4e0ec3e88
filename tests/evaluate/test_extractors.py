"""The real loading code on small models with random weights, saved in the real formats."""

import json
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.evaluate.extractors import clip as clip_module
from gandiff.evaluate.features.encoders import ImageTextExtractor, open_extractor


def noise(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> ImageTextExtractor:
    found = open_extractor(f"clip:local-dir:{clip_folder}", {}, "cpu")
    assert isinstance(found, ImageTextExtractor)
    return found


def test_clip_equals_open_clip(clip: ImageTextExtractor, clip_folder: Path) -> None:
    import open_clip
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip_folder}")
    images = [noise(i) for i in range(3)]
    batch = torch.stack([preprocess(Image.fromarray(image)) for image in images])
    with torch.inference_mode():
        expected = model.eval().encode_image(batch).numpy()
        words = model.encode_text(tokenizer(["a star", "a ring"])).numpy()
    np.testing.assert_allclose(clip.features(images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        clip.texts(["a star", "a ring"]).features, words, rtol=1e-5, atol=1e-6
    )


def test_clip_features_do_not_depend_on_the_batch(clip: ImageTextExtractor) -> None:
    images = [noise(0), noise(1, 20, 70), noise(2, 1, 1), noise(3)]
    together = clip.features(images)
    alone = np.concatenate([clip.features([image]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert np.abs(together[0] - together[3]).max() > 1e-3


def test_long_prompts_are_flagged_and_keep_their_end_token(clip: ImageTextExtractor) -> None:
    # 8 places hold 6 words. A tokenizer that cuts off the end token as well gives all long prompts
    # one embedding, that of the start token (torchmetrics #2883).
    six = "red red red red red star"
    prompts = [six, six + " here", "blue blue blue blue blue ring here now", "star"]
    found = clip.texts(prompts)
    assert found.truncated.tolist() == [False, True, True, False]
    np.testing.assert_allclose(found.features[0], found.features[1], rtol=1e-5, atol=1e-6)
    assert np.abs(found.features[1] - found.features[2]).max() > 1e-3


def test_clip_protocol_names_file_and_preprocessing(
    clip: ImageTextExtractor, clip_folder: Path
) -> None:
    protocol = clip.protocol()
    assert protocol["weights_sha256"] == file_sha256(clip_folder / "open_clip_model.safetensors")
    assert protocol["resize"] == "open_clip_bicubic_32x32_shortest"
    assert protocol["crop"] == "centre"
    json.dumps(protocol)


def test_clip_folder_can_take_the_place_of_published_weights(clip_folder: Path) -> None:
    found = open_extractor("clip", {"clip": str(clip_folder)}, "cpu")
    assert found.features([noise(0)]).shape == (1, 16)


def test_a_file_for_a_published_model_keeps_its_quirks(tmp_path: Path) -> None:
    file = tmp_path / "vit.safetensors"
    name, options, weights = clip_module._resolve("ViT-B-32/openai", str(file))
    assert (name, weights) == ("ViT-B-32", file)
    assert options["force_quick_gelu"] is True  # open_clip itself only warns
    assert options["image_mean"][0] == pytest.approx(0.48145466)
    import open_clip

    assert options.keys() < signature(open_clip.create_model_and_transforms).parameters.keys()
    assert (
        clip_module._resolve("ViT-B-32/laion2b_s34b_b79k", str(file))[1]["force_quick_gelu"]
        is False
    )


def test_clip_errors(tmp_path: Path, clip_folder: Path) -> None:
    config = (clip_folder / "open_clip_config.json").read_text()

    def message(name: str) -> str:
        with pytest.raises(MetricError) as error:
            open_extractor(name, {}, "cpu")
        return str(error.value)

    assert "no model 'ViT-B-3'; did you mean 'ViT-B-32'" in message("clip:ViT-B-3/openai")
    assert "no weights 'opanai' for ViT-B-32; did you mean 'openai'" in message(
        "clip:ViT-B-32/opanai"
    )
    assert "open_clip_config.json is missing" in message(f"clip:local-dir:{tmp_path}")
    (tmp_path / "open_clip_config.json").write_text("[]")
    assert "expected a JSON object" in message(f"clip:local-dir:{tmp_path}")
    (tmp_path / "open_clip_config.json").write_text("{}")
    assert "has no 'model_cfg'" in message(f"clip:local-dir:{tmp_path}")
    (tmp_path / "open_clip_config.json").write_text(config)
    assert "open_clip_model.safetensors is missing" in message(f"clip:local-dir:{tmp_path}")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"rubbish")
    assert "open_clip_model.safetensors cannot be read" in message(f"clip:local-dir:{tmp_path}")


def test_missing_published_weights_say_how_to_give_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import open_clip

    def unreachable(settings: dict[str, Any]) -> str:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(open_clip, "download_pretrained", unreachable)
    with pytest.raises(
        MetricError,
        match=r"weights of the CLIP model ViT-B-32/openai are missing.*"
        r"--weights clip:ViT-B-32/openai=PATH",
    ):
        open_extractor("clip", {}, "cpu")


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("tiny-dino")
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=28
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder


def test_dinov2_is_batch_invariant_and_labelled(dino_folder: Path) -> None:
    encoder = open_extractor(f"dinov2:{dino_folder}", {}, "cpu")
    images = [noise(0), noise(1, 20, 70), noise(2, 1, 1)]
    together = encoder.features(images)
    alone = np.concatenate([encoder.features([image]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert together.shape == (3, 16)
    protocol = encoder.protocol()
    assert protocol["weights_sha256"] == file_sha256(dino_folder / "model.safetensors")
    assert (protocol["resize"], protocol["crop"]) == ("pil_bicubic_224", "none")


def test_dinov2_equals_transformers_on_ready_images(dino_folder: Path) -> None:
    from transformers import Dinov2Model

    image = noise(0, 224, 224)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = torch.from_numpy(((image / 255 - mean) / std).transpose(2, 0, 1)[None]).float()
    with torch.inference_mode():
        expected = Dinov2Model.from_pretrained(dino_folder)(x).last_hidden_state[:, 0].numpy()
    found = open_extractor("dinov2", {"dinov2": str(dino_folder)}, "cpu").features([image])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dinov2_errors(tmp_path: Path) -> None:
    with pytest.raises(
        MetricError, match=r"model\.safetensors does not exist.*--weights dinov2=FOLDER"
    ):
        open_extractor(f"dinov2:{tmp_path}", {}, "cpu")
    with pytest.raises(MetricError, match="cannot load DINOv2 from 'facebook/dinov2-large'"):
        open_extractor("dinov2", {}, "cpu")


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The FID network with random weights."""
    return toys.save_toy_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


@pytest.mark.parametrize(
    "resize", ["legacy_tensorflow", pytest.param("torchmetrics_antialias", marks=pytest.mark.slow)]
)
def test_inception_equals_its_owners_network(inception_file: Path, resize: str) -> None:
    from torchmetrics.image.fid import NoTrainInceptionV3

    name = "inception" if resize == "legacy_tensorflow" else f"inception:{resize}"
    encoder = open_extractor(name, {"inception": str(inception_file)}, "cpu")
    images = [noise(0), noise(1, 30, 50)]
    network = NoTrainInceptionV3(
        "x", ["2048"], str(inception_file), antialias=resize == "torchmetrics_antialias"
    )
    expected = [
        network(torch.from_numpy(image).permute(2, 0, 1)[None]).numpy()[0] for image in images
    ]
    found = encoder.features(images)
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-3, atol=1e-5)
    protocol = encoder.protocol()
    assert protocol["resize"] == resize
    assert protocol["weights"] == "other"
    assert protocol["weights_sha256"] == file_sha256(inception_file)


def test_inception_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        MetricError, match=r"no resize filter 'legacy_tensorfow'; did you mean 'legacy_tens"
    ):
        open_extractor("inception:legacy_tensorfow", {}, "cpu")
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"rubbish")
    with pytest.raises(MetricError, match=r"bad\.pth is not a plain state dict"):
        open_extractor("inception", {"inception": str(bad)}, "cpu")
    torch.save({"conv.weight": torch.zeros(1)}, bad)
    with pytest.raises(MetricError, match=r"bad\.pth does not hold the FID Inception network"):
        open_extractor("inception", {"inception": str(bad)}, "cpu")

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no route to the host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(
        MetricError, match=r"weights-inception-2015-12-05-6726825d\.pth is not there"
    ):
        open_extractor("inception", {}, "cpu")


def test_a_pickle_with_code_is_refused_without_running_it(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"x": Harm()}, tmp_path / "harm.pth")
    with pytest.raises(MetricError, match="is not a plain state dict"):
        open_extractor("inception", {"inception": str(tmp_path / "harm.pth")}, "cpu")
    assert not (tmp_path / "ran").exists()


def test_scene_judges_are_encoders(judge_folder: Path) -> None:
    encoder = open_extractor("scenes", {"scenes": str(judge_folder)}, "cpu")
    images = [noise(0, 32, 32), noise(1, 48, 64), noise(2, 32, 32)]
    found = encoder.features(images)
    alone = np.concatenate([encoder.features([image]) for image in images])
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5)
    assert found.shape == (3, 12)
    protocol = encoder.protocol()
    assert protocol["weights_sha256"] == file_sha256(judge_folder / "model.safetensors")
    assert protocol["resize"] == "torch_bilinear_antialias_32"


@pytest.mark.slow
def test_compiled_inception_equals_the_plain_one(inception_file: Path) -> None:
    weights = {"inception": str(inception_file)}
    images = [noise(i) for i in range(37)]  # a whole batch and a part of one
    plain = open_extractor("inception", weights, "cpu").features(images)
    encoder = open_extractor("inception", weights, "cpu", compile=True)
    np.testing.assert_allclose(encoder.features(images), plain, rtol=1e-3, atol=1e-4)
    assert encoder.compile_seconds > 0
