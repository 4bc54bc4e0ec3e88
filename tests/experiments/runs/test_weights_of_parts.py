"""Everything that a generator is put together from decides whether its images are still valid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from run_helpers import images, make, record, write_comparison
from safetensors.torch import load_file, save_file

ToyFamily = Callable[[str], dict[str, Any]]


def change(file: Path) -> None:
    """Change the last byte of a file of weights, or the sampling in a small file."""
    if file.suffix == ".json":
        data = json.loads(file.read_text())
        file.write_text(json.dumps({**data, "beta_end": 0.013}))
        return
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def scaled(file: Path, factor: float) -> None:
    weights = {key: tensor * factor for key, tensor in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


def identity(settings: dict[str, Any], base: Path) -> dict[str, Any]:
    from gandiff.common.contents import ContentLedger
    from gandiff.common.run_record import Plan
    from gandiff.experiments.config.load import comparison_from_dict
    from gandiff.experiments.runs.identity import identities

    data = {"name": "c", "generators": {"toy": {"type": "diffusers", **settings}}, "metrics": []}
    comparison = comparison_from_dict(data, base=base)
    return dict(identities(comparison, {}, "cpu", Plan(), ContentLedger())["toy"])


@pytest.fixture
def parts(toy_family: ToyFamily, toy_pipeline: Path, tmp_path: Path) -> Path:
    """A folder with toys of everything that a generator may be put together from."""
    here = tmp_path / "here"
    cascade = toy_family("if")["stages"]
    for name, source in zip(("I", "II"), cascade, strict=False):
        shutil.copytree(source, here / name)
    pair = toy_family("kandinsky-2.2")
    shutil.copytree(pair["pipeline"], here / "decoder")
    shutil.copytree(pair["prior"], here / "prior")
    shutil.copytree(toy_pipeline, here / "sd")
    save_file({"unet.a.lora_A.weight": torch.ones(2, 2)}, here / "lora.safetensors")
    shutil.copy(
        here / "sd" / "unet" / "diffusion_pytorch_model.safetensors", here / "u.safetensors"
    )
    return here


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "stages": (
        {"stages": ["I", {"pipeline": "II", "num_inference_steps": 3}]},
        (f"I/{WEIGHTS}", f"II/{WEIGHTS}", "II/scheduler/scheduler_config.json"),
    ),
    "prior": (
        {"pipeline": "decoder", "prior": "prior"},
        (
            "prior/prior/diffusion_pytorch_model.safetensors",
            "prior/scheduler/scheduler_config.json",
            f"decoder/{WEIGHTS}",
        ),
    ),
    "loras": (
        {"pipeline": "sd", "loras": [{"path": "lora.safetensors", "weight": 0.5}]},
        ("lora.safetensors", f"sd/{WEIGHTS}"),
    ),
    "unet": ({"pipeline": "sd", "unet": "u.safetensors"}, ("u.safetensors",)),
    "single file": (
        {"pipeline": "u.safetensors", "config": "sd"},
        ("u.safetensors", "sd/scheduler/scheduler_config.json"),
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_one_byte_of_a_part_is_another_generator(parts: Path, case: str) -> None:
    settings, files = SETTINGS[case]
    before = identity(settings, parts)
    assert before == identity(settings, parts)
    moved = parts.with_name("there")
    shutil.copytree(parts, moved)
    assert identity(settings, moved) == before  # where it lies does not matter
    for file in files:
        change(moved / file)
        after = identity(settings, moved)
        assert after != before, file
        before = after


def test_the_prior_that_a_model_card_names_counts(parts: Path) -> None:
    (parts / "decoder" / "README.md").write_text(f"---\nprior:\n- {parts / 'prior'}\n---\n")
    before = identity({"pipeline": "decoder"}, parts)
    change(parts / "prior" / "prior" / "diffusion_pytorch_model.safetensors")
    after = identity({"pipeline": "decoder"}, parts)
    assert (before["weights"], before["settings"]) == (after["weights"], after["settings"])
    assert before["files"].keys() == after["files"].keys() == {"prior"}
    assert before["files"] != after["files"]


def test_settings_that_nobody_gave_leave_old_runs_alone(toy_pipeline: Path) -> None:
    from gandiff.common.run_record import GeneratorPlan
    from gandiff.experiments.runs.resume import standing_of

    now = identity({"pipeline": str(toy_pipeline)}, toy_pipeline.parent)
    new = ("stages", "prior", "config", "unet", "transformer", "loras", "fuse_loras", "dtype")
    new = (*new, "offload", "quantization")
    settings = {key: value for key, value in now["settings"].items() if key not in new}
    assert len(settings) == len(now["settings"]) - len(new)
    old = GeneratorPlan(identity={**now, "settings": settings})
    assert standing_of("toy", old, now).changes == ()
    gone = {**now, "weights": None, "settings": {**now["settings"], "pipeline": "/gone"}}
    assert standing_of("toy", old, gone).changes == ()


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """A LoRA of the toy's U-Net that changes what it draws."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = toys.build_pipeline().unet
    unet.add_adapter(LoraConfig(r=4, init_lora_weights=False, target_modules=["to_v"]))
    StableDiffusionPipeline.save_lora_weights(tmp_path, get_peft_model_state_dict(unet))
    return tmp_path / "pytorch_lora_weights.safetensors"


def test_a_run_says_that_a_lora_has_changed(tmp_path: Path, toy_pipeline: Path, lora: Path) -> None:
    """And makes the images again; finished images stay when the file has gone."""
    toy = {"type": "diffusers", "pipeline": str(toy_pipeline), "num_inference_steps": 2}
    changes = {"generators": {"toy": {**toy, "loras": [lora.name]}}, "samples_per_prompt": 1}
    file = write_comparison(tmp_path, 2, **changes, timing="off", batch_size=2)
    run = make(file)
    first, before = images(run), record(run)["generators"]["toy"]["weights_sha256"]
    assert images(make(file)) == first
    scaled(lora, 3.0)
    run = make(file)
    now = record(run)
    assert any("toy: the file of loras.0.path has changed" in line for line in now["warnings"])
    assert now["generators"]["toy"]["weights_sha256"] != before
    assert {k.replace("toy@1", "toy"): v for k, v in images(run).items() if "@1" in k} == first
    fresh = {k: v for k, v in images(run).items() if "@1" not in k}
    assert fresh.keys() == first.keys()
    assert all(fresh[k] != first[k] for k in fresh)


def test_images_stay_when_the_weights_have_gone(parts: Path) -> None:
    from gandiff.common.run_record import GeneratorPlan
    from gandiff.experiments.runs.resume import standing_of

    (parts / "lora.safetensors").rename(parts / "lora2.safetensors")
    settings = {"pipeline": "sd", "unet": "u.safetensors", "loras": ["lora2.safetensors"]}
    before = identity(settings, parts)
    now = identity({**settings, "loras": [str(parts / "lora2.safetensors")]}, parts)
    now["settings"] |= {"unet": "/gone/u.safetensors"}
    del now["files"]["unet"]
    planned = GeneratorPlan(identity=before)
    assert standing_of("toy", planned, now).changes == ()
    now["settings"] |= {"num_inference_steps": 9}
    assert standing_of("toy", planned, now).changes
