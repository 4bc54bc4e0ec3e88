"""LoRAs and replaced networks: exactly what diffusers makes of them, or a refusal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file, save_file

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.common.validation import validate
from gandiff.models.diffusion.cascade import open_generator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generator

UNET = "unet/diffusion_pytorch_model.safetensors"
Weights = dict[str, torch.Tensor]
Change = Callable[[Weights], Weights]


def make(pipeline: object, **settings: Any) -> Generator:
    given = {"num_inference_steps": 2, "guidance_scale": 2.0, "pipeline": str(pipeline), **settings}
    return open_generator("toy", validate(DiffusersSettings, given))


def image(generator: Generator, dtype: str = "float32") -> np.ndarray:
    generator.load("cpu", dtype)
    made = generator.generate(toys.requests(1))[0]
    assert made.image is not None, made.reason
    return made.image


def plain(pipe: Any) -> np.ndarray:
    request = toys.requests(1)[0]
    drawn = pipe(
        prompt=request.prompt,
        generator=torch.Generator().manual_seed(request.seed),
        num_inference_steps=2,
        guidance_scale=2.0,
        output_type="np",
    )
    return np.rint(drawn.images[0] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two LoRAs of the toy's U-Net, as diffusers saves them."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    files = []
    for seed in (1, 2):
        unet = toys.build_pipeline().unet
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"]))
            for name, weight in unet.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.5)
        folder = tmp_path_factory.mktemp("lora")
        StableDiffusionPipeline.save_lora_weights(folder, get_peft_model_state_dict(unet))
        files.append(folder / "pytorch_lora_weights.safetensors")
    return files


@pytest.mark.parametrize("weights", [[1.0], [0.3], [0.5, -0.25]])
def test_loras_act_as_in_diffusers(
    toy_pipeline: Path, loras: list[Path], weights: list[float]
) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(toy_pipeline)
    names = ["a", "b"][: len(weights)]
    for name, file in zip(names, loras, strict=False):
        pipe.load_lora_weights(file, adapter_name=name)
    pipe.set_adapters(names, adapter_weights=weights)
    asked = [{"path": str(f), "weight": w} for f, w in zip(loras, weights, strict=False)]
    drawn = image(make(toy_pipeline, loras=asked))
    np.testing.assert_array_equal(drawn, plain(pipe))
    assert (drawn != image(make(toy_pipeline))).any()
    fused = image(make(toy_pipeline, loras=asked, fuse_loras=True))
    assert np.abs(fused.astype(int) - drawn).max() <= 1


def test_a_lora_is_a_file_or_the_one_in_a_folder(toy_pipeline: Path, loras: list[Path]) -> None:
    drawn = image(make(toy_pipeline, loras=[str(loras[0])]))
    np.testing.assert_array_equal(drawn, image(make(toy_pipeline, loras=[str(loras[0].parent)])))
    other = shutil.copy(loras[1], loras[0].with_name("other.safetensors"))
    asked = {"path": str(loras[0].parent), "file": "other.safetensors"}
    assert (image(make(toy_pipeline, loras=[asked])) != drawn).any()
    loras[0].rename(loras[0].with_name("renamed.safetensors"))
    try:
        with pytest.raises(GeneratorError, match=r"has other.safetensors, renamed.* as file"):
            make(toy_pipeline, loras=[str(loras[0].parent)])
    finally:
        loras[0].with_name("renamed.safetensors").rename(loras[0])
        Path(other).unlink()


RANK, ALPHA = 4, 1.0


@pytest.fixture(scope="module")
def text_loras(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Weights]]:
    """A LoRA of the toy's text encoder alone, in the names of diffusers and in those of other
    trainers with an alpha; each with what it adds to the weights of which module.
    """
    encoder = toys.build_pipeline().text_encoder
    draw = torch.Generator().manual_seed(3)
    ours, theirs = Weights(), Weights()
    added = {"diffusers": Weights(), "kohya": Weights()}
    for name, module in encoder.named_modules():
        inner = name.removeprefix("text_model.")
        if not inner.endswith(("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")):
            continue
        down = 0.3 * torch.randn(RANK, module.in_features, generator=draw)
        up = 0.3 * torch.randn(module.out_features, RANK, generator=draw)
        ours[f"text_encoder.text_model.{inner}.lora_A.weight"] = down
        ours[f"text_encoder.text_model.{inner}.lora_B.weight"] = up
        flat = f"lora_te_text_model_{inner.replace('.', '_')}"
        theirs |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        theirs[f"{flat}.alpha"] = torch.tensor(ALPHA)
        added["diffusers"][name] = up @ down
        added["kohya"][name] = ALPHA / RANK * (up @ down)
    folder = tmp_path_factory.mktemp("text")
    files = {name: folder / f"{name}.safetensors" for name in added}
    save_file(ours, files["diffusers"])
    save_file(theirs, files["kohya"])
    return {name: (file, added[name]) for name, file in files.items()}


@pytest.mark.parametrize("names", ["diffusers", "kohya"])
@pytest.mark.parametrize("weight", [1.0, -0.5])
def test_loras_of_the_text_encoder_are_added_to_its_weights(
    toy_pipeline: Path, text_loras: dict[str, tuple[Path, Weights]], names: str, weight: float
) -> None:
    from diffusers import StableDiffusionPipeline

    file, added = text_loras[names]
    pipe = StableDiffusionPipeline.from_pretrained(toy_pipeline)
    modules = dict(pipe.text_encoder.named_modules())
    with torch.no_grad():
        for name, matrix in added.items():
            modules[name].weight += weight * matrix
    asked = [{"path": str(file), "weight": weight}]
    drawn = image(make(toy_pipeline, loras=asked))
    assert np.abs(drawn.astype(int) - plain(pipe)).max() <= 1  # sums are rounded elsewhere
    assert np.abs(drawn.astype(int) - image(make(toy_pipeline))).mean() > 5
    fused = image(make(toy_pipeline, loras=asked, fuse_loras=True))
    assert np.abs(fused.astype(int) - drawn).max() <= 1


def renamed(old: str, new: str) -> Change:
    return lambda weights: {key.replace(old, new): tensor for key, tensor in weights.items()}


MISFITS: dict[str, tuple[Change, str]] = {
    "another model": (renamed("unet.", "transformer."), "none of the "),
    "no prefix": (renamed("unet.", ""), "none of the "),
    "saved by peft": (renamed("unet.", "base_model.model."), "save it with save_lora_weights"),
    "a block too many": (renamed("down_blocks.1", "down_blocks.7"), "unet.down_blocks.7.att"),
    "another width": (
        lambda weights: {k: torch.cat([t, t], dim=1) for k, t in weights.items()},
        "cannot be put into this StableDiffusionPipeline: size mismatch for",
    ),
    "no LoRA": (lambda weights: {"a.weight": torch.zeros(3)}, "cannot be put into this Stable"),
    "nothing": (lambda weights: {}, "changes no layer of this StableDiffusionPipeline"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_lora_that_fits_in_part_is_refused(
    toy_pipeline: Path, loras: list[Path], tmp_path: Path, case: str
) -> None:
    change, message = MISFITS[case]
    save_file(change(load_file(loras[0])), tmp_path / "bad.safetensors")
    generator = make(toy_pipeline, loras=[str(tmp_path / "bad.safetensors")])
    with pytest.raises(GeneratorError) as caught:
        generator.load()
    assert message in str(caught.value)
    assert "bad.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loras_that_are_not_there(toy_pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="there is no file of weights at"):
        make(toy_pipeline, loras=[str(tmp_path / "none.safetensors")])
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(GeneratorError, match=r"torn\.safetensors cannot be read"):
        make(toy_pipeline, loras=[str(tmp_path / "torn.safetensors")])
    with pytest.raises(SettingError, match="fuse_loras needs loras"):
        make(toy_pipeline, fuse_loras=True)
    with pytest.raises(SettingError, match=r"loras\.0\.path: missing required field"):
        make(toy_pipeline, loras=[{"weight": 1.0}])


def test_loras_that_the_hub_does_not_give_are_all_named(
    toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(GeneratorError) as caught:
        make(toy_pipeline, loras=["org/first", "org/second"], unet="org/third")
    said = str(caught.value)
    for kind, name in (("LoRA", "org/first"), ("LoRA", "org/second"), ("network", "org/third")):
        assert f"the hub {kind} '{name}'" in said
        assert f"give the path of a directory that holds the {kind}" in said
    with pytest.raises(GeneratorError, match=r"'org/one'.*'org/two'"):
        open_generator("toy", validate(DiffusersSettings, {"stages": ["org/one", "org/two"]}))
    with pytest.raises(GeneratorError, match=r"'org/decoder'.*'org/prior'"):
        make("org/decoder", prior="org/prior")


def test_without_peft_it_says_what_to_install(
    toy_pipeline: Path, loras: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    without = lambda name, *more: None if name == "peft" else real(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(GeneratorError, match="not installed: pip install peft"):
        make(toy_pipeline, loras=[str(loras[0])])


def test_pipelines_that_take_no_lora(
    toy_family: Callable[[str], dict[str, Any]], loras: list[Path]
) -> None:
    settings = {**toy_family("unclip"), "loras": [str(loras[0])]}
    generator = open_generator("toy", validate(DiffusersSettings, settings))
    with pytest.raises(GeneratorError, match="UnCLIPPipeline takes no LoRA in diffusers"):
        generator.load()


@pytest.fixture(scope="module")
def other_unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The U-Net of another seed, saved as a directory."""
    folder = tmp_path_factory.mktemp("unet")
    toys.build_pipeline(seed=5).unet.save_pretrained(folder)
    return folder


def test_another_unet_takes_the_place_of_the_pipelines_own(
    toy_pipeline: Path, other_unet: Path
) -> None:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(other_unet)
    drawn = plain(StableDiffusionPipeline.from_pretrained(toy_pipeline, unet=unet))
    file = other_unet / "diffusion_pytorch_model.safetensors"
    for place in (other_unet, file):
        np.testing.assert_array_equal(image(make(toy_pipeline, unet=str(place))), drawn)
    assert (image(make(toy_pipeline)) != drawn).any()


WRONG: dict[str, tuple[Change, str]] = {
    "missing": (
        lambda w: {k: t for k, t in w.items() if k != "conv_out.bias"},
        "lacks 1 of its",
    ),
    "unexpected": (lambda w: {**w, "more": torch.zeros(1)}, "has 1 that it has not (more)"),
    "shape": (lambda w: {**w, "conv_out.bias": torch.zeros(9)}, "conv_out.bias has the shape (9,)"),
    "another network": (lambda w: {"a.weight": torch.zeros(2)}, "a UNet2DConditionModel"),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit(
    toy_pipeline: Path, other_unet: Path, tmp_path: Path, case: str
) -> None:
    change, message = WRONG[case]
    weights = load_file(other_unet / "diffusion_pytorch_model.safetensors")
    save_file(change(weights), tmp_path / "bad.safetensors")
    with pytest.raises(GeneratorError) as caught:
        make(toy_pipeline, unet=str(tmp_path / "bad.safetensors")).load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_in_the_wrong_place(toy_pipeline: Path, other_unet: Path, tmp_path: Path) -> None:
    file = str(other_unet / "diffusion_pytorch_model.safetensors")
    with pytest.raises(GeneratorError, match="has no transformer; its network is the unet"):
        make(toy_pipeline, transformer=file).load()
    # diffusers drops what it is given for a part that the class does not have
    with pytest.raises(GeneratorError, match="has no transformer; its network is the unet"):
        make(toy_pipeline, transformer=str(other_unet)).load()
    with pytest.raises(GeneratorError, match="is a whole pipeline; give its folder"):
        make(toy_pipeline, unet=str(toy_pipeline))
    with pytest.raises(SettingError, match="give unet or transformer, not both"):
        make(toy_pipeline, unet=file, transformer=file)
    torch.save(load_file(file), tmp_path / "unet.bin")
    with pytest.raises(GeneratorError, match="is a pickle file"):
        make(toy_pipeline, unet=str(tmp_path / "unet.bin"))
    drawn = image(make(toy_pipeline, unet=str(tmp_path / "unet.bin"), allow_pickle=True))
    np.testing.assert_array_equal(drawn, image(make(toy_pipeline, unet=file)))


def test_a_number_format_of_its_own(toy_pipeline: Path) -> None:
    own = make(toy_pipeline, dtype="bfloat16")
    drawn = image(own)
    np.testing.assert_array_equal(drawn, image(make(toy_pipeline), "bfloat16"))
    assert own.info.settings["dtype"] == "bfloat16"
    np.testing.assert_array_equal(
        image(make(toy_pipeline, dtype="float32"), "bfloat16"), image(make(toy_pipeline))
    )


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_needs_an_accelerator(toy_pipeline: Path, offload: str) -> None:
    with pytest.raises(GeneratorError, match=f"offload: {offload} .* and the device is the CPU"):
        make(toy_pipeline, offload=offload).load()
    remarks = make(toy_pipeline, offload=offload).info.remarks
    assert any(f"(offload: {offload}), which its times include" in line for line in remarks)
    none = make(toy_pipeline, offload="none")
    assert image(none).std() > 1
    assert not any("offload" in line for line in none.info.remarks)


@pytest.mark.parametrize(
    ("backend", "package"),
    [("bitsandbytes_4bit", "bitsandbytes"), ("torchao", "torchao"), ("quanto", "optimum-quanto")],
)
def test_quantization_says_what_to_install(toy_pipeline: Path, backend: str, package: str) -> None:
    with pytest.raises(GeneratorError, match=f"not installed: pip install {package}$"):
        make(toy_pipeline, quantization={"backend": backend})
