"""A directory that is no pipeline is called by its name, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings


def refusal(folder: Path, **settings: object) -> str:
    with pytest.raises(GeneratorError) as caught:
        DiffusersGenerator(name="toy", settings=DiffusersSettings(pipeline=str(folder), **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lora(folder: Path) -> None:
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"
    save_file({name: torch.zeros(1, 1)}, folder / "pytorch_lora_weights.safetensors")


def adapter_of_peft(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def control_net(folder: Path) -> None:
    from diffusers import ControlNetModel

    sizes = {"block_out_channels": (8,), "down_block_types": ("DownBlock2D",)}
    ControlNetModel(**sizes, norm_num_groups=4, layers_per_block=1).save_pretrained(folder)


def network(folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    UNet2DConditionModel(
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        mid_block_type=None,
        norm_num_groups=4,
    ).save_pretrained(folder)


def language_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": ["CLIPTextModel"]}')


def our_gan(folder: Path) -> None:
    (folder / "config.json").write_text('{"model": "gandiff.gan"}')


def checkpoint(folder: Path) -> None:
    name = "model.diffusion_model.input_blocks.0.0.weight"
    save_file({name: torch.zeros(1)}, folder / "v1-5-pruned.safetensors")


def modular(folder: Path) -> None:
    (folder / "modular_model_index.json").write_text("{}")


def cached(folder: Path) -> None:
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model_index.json").write_text("{}")


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lora, "it holds a LoRA (pytorch_lora_weights.safetensors), which changes a pipeline"),
        (adapter_of_peft, "it holds a LoRA (adapter_config.json)"),
        (control_net, "it holds a ControlNet (ControlNetModel), give the folder of the whole"),
        (network, "it holds a single network (UNet2DConditionModel), give the folder of the whole"),
        (language_model, "it holds a model of transformers (CLIPTextModel), not a pipeline"),
        (our_gan, "it holds a GAN of gandiff; write type: gan"),
        (checkpoint, "it holds the single file v1-5-pruned.safetensors; if that is a whole model"),
        (modular, "it holds a modular pipeline"),
        (cached, "the pipeline lies further inside; give "),
    ],
)
def test_what_is_no_pipeline_is_called_by_its_name(
    tmp_path: Path, fill: Callable[[Path], None], message: str
) -> None:
    fill(tmp_path)
    said = refusal(tmp_path)
    assert said.startswith(f"{tmp_path} has no model_index.json: ")
    assert message in said


def test_a_part_of_a_pipeline_leads_to_the_whole(toy_pipeline: Path) -> None:
    assert f"it is a part of a pipeline; give {toy_pipeline}" in refusal(toy_pipeline / "unet")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith(
        "; expected a directory saved by the save_pretrained of diffusers"
    )


def test_the_refiner_is_known_by_its_settings(toy_pipeline_copy: Path) -> None:
    index = toy_pipeline_copy / "model_index.json"
    index.write_text(
        json.dumps({**json.loads(index.read_text()), "requires_aesthetics_score": True})
    )
    assert "which refines an image" in refusal(toy_pipeline_copy)


def test_a_part_that_the_class_needs_and_the_index_does_not_name(toy_pipeline_copy: Path) -> None:
    index = toy_pipeline_copy / "model_index.json"
    index.write_text(
        json.dumps({k: v for k, v in json.loads(index.read_text()).items() if k != "vae"})
    )
    assert "which needs 'vae', and its model_index.json does not name that" in refusal(
        toy_pipeline_copy
    )


def test_code_beside_a_part_is_refused(toy_pipeline_copy: Path) -> None:
    index = toy_pipeline_copy / "model_index.json"
    changed = {**json.loads(index.read_text()), "unet": ["my_unet", "MyUNet"]}
    index.write_text(json.dumps(changed))
    (toy_pipeline_copy / "unet" / "my_unet.py").write_text("class MyUNet: ...")
    assert "brings its own Python code" in refusal(toy_pipeline_copy)


def test_a_variant_in_shards_is_found(toy_pipeline_copy: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = toy_pipeline_copy / "unet"
    whole = UNet2DConditionModel.from_pretrained(unet)
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    whole.save_pretrained(unet, variant="fp16", max_shard_size="100KB")
    assert len(list(unet.glob("*.fp16-*.safetensors"))) > 1
    assert "set variant: fp16" in refusal(toy_pipeline_copy)
    settings = DiffusersSettings(pipeline=str(toy_pipeline_copy), variant="fp16")
    generator = DiffusersGenerator(name="toy", settings=settings)
    generator.load()
    generator.unload()
    next(unet.glob("*.fp16-00001-*.safetensors")).unlink()
    assert "is missing" in refusal(toy_pipeline_copy, variant="fp16")
