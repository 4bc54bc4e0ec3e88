"""ControlNets in comparison files: what ``validate`` refuses, and those of the hub's cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys
from families import edits, unets
from PIL import Image
from run_helpers import images, make, record

from gandiff.experiments.cli import main
from gandiff.experiments.config.yaml_source import write_yaml

SCALED = "stable-diffusion-3.5-large-controlnet-canny"
FIRST, SECOND = "c0ffee" + "0" * 34, "decade" + "1" * 34
Hub = Callable[[str, Path, str], Path]

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")


def others(folder: Path) -> None:
    """Save what a ControlNet can be taken for."""
    import diffusers

    sizes: dict[str, Any] = {"block_out_channels": (16, 32), "layers_per_block": 1}
    sizes |= {"norm_num_groups": 8, "cross_attention_dim": 32, "attention_head_dim": 2}
    small = {"conditioning_embedding_out_channels": (8, 8, 8)}
    diffusers.SparseControlNetModel(
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        motion_num_attention_heads=2,
        **sizes,
        **small,
    ).save_pretrained(folder / "sparse")
    diffusers.ControlNetXSAdapter.from_unet(
        toys.build_pipeline().unet, size_ratio=0.5, **small
    ).save_pretrained(folder / "xs")
    diffusers.T2IAdapter(channels=(16, 32), num_res_blocks=1, downscale_factor=4).save_pretrained(
        folder / "adapter"
    )


def rename(pipeline: Path, copy: Path, kind: str) -> None:
    """Copy a pipeline, and call it another class."""
    index = Path(shutil.copytree(pipeline, copy)) / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": kind}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pipelines and ControlNets of each family; ``union`` of SDXL and of FLUX, and others."""
    made = tmp_path_factory.mktemp("controlnets")
    for family in edits.BUILD:
        edits.save(family, made / family)
    for family in ("sdxl", "flux"):
        edits.union(edits.BUILD[family]()).save_pretrained(made / family / "union")
    for kind in ("FluxFillPipeline", "FluxControlPipeline"):
        edits.packed(kind).save_pretrained(made / kind)
    rename(made / "FluxFillPipeline", made / "misnamed", "FluxPipeline")
    rename(made / "FluxControlPipeline", made / "redraws", "FluxControlImg2ImgPipeline")
    others(made)
    shutil.copytree(made / "sd3/control", made / SCALED)
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Puts a folder into the hub's cache under an id, at a commit to which ``main`` moves."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(name: str, folder: Path, commit: str) -> Path:
        repo = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (repo / "refs").mkdir(parents=True, exist_ok=True)
        (repo / "refs" / "main").write_text(commit)
        return Path(shutil.copytree(folder, repo / "snapshots" / commit))

    return put


def write(place: Path, task: str = "control", **generator: Any) -> Path:
    """A comparison of one generator on two prompts with pictures."""
    rows = ["id,prompt,init_image,mask,control_image"]
    for i in range(2):
        for name, pixels in toys.edit_pictures(edits.SIDE, i).items():
            Image.fromarray(pixels).save(place / f"{name}-{i}.png")
        files = ",".join(f"{name}-{i}.png" for name in ("init_image", "mask", "control_image"))
        rows.append(f"p{i},a toy {i},{files}")
    (place / "prompts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    toy = {"type": "diffusers", "num_inference_steps": 3, "native": {"num_inference_steps": 3}}
    data = {
        "suite": "prompts.csv",
        "task": task,
        "samples_per_prompt": 1,
        "device": "cpu",
        "timing": "off",
        "generators": {"toy": {**toy, **generator}},
        "metrics": [],
    }
    file = place / "control.yaml"
    file.write_text(write_yaml(data), encoding="utf-8")
    return file


def refusal(capsys: pytest.CaptureFixture[str], file: Path) -> str:
    """The one line with which ``gandiff validate`` refuses a comparison, behind its warnings."""
    assert main(["validate", str(file)]) == 2
    said = capsys.readouterr()
    *warnings, line = said.err.splitlines()
    assert all(one.startswith("warning: ") for one in warnings)
    assert line.startswith("error: ")
    assert not said.out
    return line


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "union without a mode": (
        {"pipeline": "sdxl/pipeline", "controlnet": "sdxl/union"},
        "control_mode is missing, and {}/sdxl/union is for 3 kinds of control images (union); set "
        "it to the number of yours, 0 to 2, as the model card lists them",
    ),
    "union of FLUX without a mode": (
        {"pipeline": "flux/pipeline", "controlnet": "flux/union"},
        "control_mode is missing, and {}/flux/union is for 3 kinds",
    ),
    "mode that a union has not": (
        {"pipeline": "flux/pipeline", "controlnet": "flux/union", "control_mode": 3},
        "control_mode is 3, and {}/flux/union is for 3 kinds",
    ),
    "mode below 0": (
        {"pipeline": "flux/pipeline", "controlnet": "flux/union", "control_mode": -1},
        "control_mode: must be at least 0, got -1",
    ),
    "mode of a plain one": (
        {"pipeline": "flux/pipeline", "controlnet": "flux/control", "control_mode": 0},
        "control_mode is for a ControlNet of several kinds of control images (union), and "
        "{}/flux/control is for one; leave control_mode out",
    ),
    "mode alone": (
        {"pipeline": "flux/pipeline", "control_mode": 0},
        "control_mode needs controlnet",
    ),
    "mode in extra": (
        {"pipeline": "flux/pipeline", "controlnet": "flux/union", "extra": {"control_mode": 1}},
        "must not hold 'control_mode': gandiff gives that argument itself",
    ),
    "union for Stable Diffusion": (
        {"pipeline": "sd/pipeline", "controlnet": "sdxl/union", "control_mode": 0},
        "holds a ControlNetUnionModel, and a StableDiffusionPipeline takes a ControlNetModel; give "
        "one that was saved as that",
    ),
    "SparseControlNet": (
        {"pipeline": "sd/pipeline", "controlnet": "sparse"},
        "holds a SparseControlNetModel, and a StableDiffusionPipeline takes a ControlNetModel",
    ),
    "ControlNet-XS": (
        {"pipeline": "sd/pipeline", "controlnet": "xs"},
        "holds a ControlNetXSAdapter, and a StableDiffusionPipeline takes a ControlNetModel",
    ),
    "T2I-Adapter": (
        {"pipeline": "sdxl/pipeline", "controlnet": "adapter"},
        "holds a T2IAdapter, and a StableDiffusionXLPipeline takes a ControlNetModel or a "
        "ControlNetUnionModel",
    ),
    "that of another family": (
        {"pipeline": "sdxl/pipeline", "controlnet": "sd3/control"},
        "holds an SD3ControlNetModel, and a StableDiffusionXLPipeline takes",
    ),
    "that of another size": (
        {"pipeline": "sd/pipeline", "controlnet": "sdxl/control"},
        "{}/sdxl/control was made for another network than that of the pipeline: its "
        "cross_attention_dim is 64, and must be 32; give one for this pipeline",
    ),
    "edges of Stable Diffusion 3.5": (
        {"pipeline": "sd3/pipeline", "controlnet": SCALED},
        "reads edges on a scale that its model card computes beside diffusers, whose class would "
        "give it another; give another ControlNet",
    ),
    "several": (
        {"pipeline": "sd/pipeline", "controlnet": ["sd/control", "sd/zero"]},
        "controlnet: must be one directory or hub id, got a list of 2: a request has one control "
        "image; give each ControlNet to a generator of its own",
    ),
    "beside FLUX Fill": (
        {"pipeline": "FluxFillPipeline", "controlnet": "flux/control"},
        "the pipeline is a FluxFillPipeline, whose one task is inpaint; leave controlnet out",
    ),
    "beside FLUX Control": (
        {"pipeline": "FluxControlPipeline", "controlnet": "flux/control"},
        "the pipeline is a FluxControlPipeline, whose one task is control; leave controlnet out",
    ),
    "FLUX Fill for another task": (
        {"pipeline": "FluxFillPipeline"},
        "cannot do control: its abilities are inpaint",
    ),
    "FLUX Fill under another name": (
        {"pipeline": "misnamed"},
        "(FluxPipeline) takes 96 channels, and must take 16 (noise); its class must be the one",
    ),
    "FLUX Control that redraws": (
        {"pipeline": "redraws"},
        "holds a FluxControlImg2ImgPipeline, which needs a control image; expected a text-to-image",
    ),
    "not in the cache": (
        {"pipeline": "sd/pipeline", "controlnet": "some-org/scribble"},
        "cannot get config.json of the hub ControlNet 'some-org/scribble': it is not in the local "
        "cache, and the hub is not reachable or not allowed; give the path of a directory that "
        "holds the ControlNet, or run 'hf download some-org/scribble' once",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_validate_refuses_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    settings, said = REFUSED[what]
    places = {
        name: str(folder / value) if isinstance(value, str) and (folder / value).is_dir() else value
        for name, value in settings.items()
    }
    line = refusal(capsys, write(tmp_path, **places))
    assert said.format(folder) in line


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("control", {"pipeline": "sdxl/pipeline", "controlnet": "sdxl/union", "control_mode": 1}),
        ("control", {"pipeline": "FluxControlPipeline", "height": 32, "width": 32}),
        ("inpaint", {"pipeline": "FluxFillPipeline", "height": 32, "width": 32}),
    ],
)
def test_what_is_whole_is_valid_and_runs(
    folder: Path, tmp_path: Path, task: str, settings: dict[str, Any]
) -> None:
    places = {
        name: str(folder / value) if isinstance(value, str) else value
        for name, value in settings.items()
    }
    file = write(tmp_path, task, **places)
    assert main(["validate", str(file), "--deep", "--quiet"]) == 0
    assert record(make(file))["counts"]["toy"]["ok"] == 2


def test_a_controlnet_of_the_cache_is_read_at_its_commit(
    folder: Path, tmp_path: Path, hub: Hub
) -> None:
    """As a pipeline of the hub: the commit is recorded, and what has moved is made again."""
    hub("toy-org/lines", folder / "sd/control", FIRST)
    own = {"pipeline": str(folder / "sd/pipeline")}
    run = make(write(tmp_path, **own, controlnet="toy-org/lines"))
    identity = record(run)["plan"]["generators"]["toy"]["identity"]
    assert identity["commit of controlnet"] == FIRST
    there = write(tmp_path, **own, controlnet=str(folder / "sd/control"))
    assert images(make(there, out="there")) == images(run)
    before = images(run)
    hub("toy-org/lines", folder / "sd/zero", SECOND)
    again = make(write(tmp_path, **own, controlnet="toy-org/lines"))
    assert any(
        "the hub's commit of controlnet was c0ffee0000 and is decade1111" in line
        for line in record(again)["warnings"]
    )
    identity = record(again)["plan"]["generators"]["toy"]["identity"]
    assert identity["commit of controlnet"] == SECOND
    assert set(before.values()) < set(images(again).values())


@pytest.mark.parametrize("pipeline", ["there", "in the cache"])
def test_a_controlnet_of_the_cache_is_checked_as_one_on_the_disk(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: Hub, pipeline: str
) -> None:
    hub("toy-org/lines", folder / "sdxl/control", FIRST)
    hub("toy-org/adapter", folder / "adapter", FIRST)
    hub("toy-org/pipeline", folder / "sd/pipeline", SECOND)
    base = str(folder / "sd/pipeline") if pipeline == "there" else "toy-org/pipeline"
    line = refusal(capsys, write(tmp_path, pipeline=base, controlnet="toy-org/lines"))
    assert "toy-org/lines was made for another network than that of the pipeline" in line
    line = refusal(capsys, write(tmp_path, pipeline=base, controlnet="toy-org/adapter"))
    assert "toy-org/adapter holds a T2IAdapter" in line


def test_a_download_without_weights_is_refused_before_the_first_image(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], hub: Hub
) -> None:
    there = hub("toy-org/lines", folder / "sd/control", FIRST)
    (there / "diffusion_pytorch_model.safetensors").unlink()
    own = {"pipeline": str(folder / "sd/pipeline"), "controlnet": "toy-org/lines"}
    assert main(["validate", str(write(tmp_path, **own)), "--deep", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot load the hub ControlNet toy-org/lines" in line


def test_a_network_in_place_of_the_own_is_what_a_controlnet_must_fit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = unets.unet(block_out_channels=(8, 32), norm_num_groups=4)
    other.save_pretrained(tmp_path / "unet")
    own = {"pipeline": str(folder / "sd/pipeline"), "controlnet": str(folder / "sd/control")}
    line = refusal(capsys, write(tmp_path, **own, unet=str(tmp_path / "unet")))
    assert "block_out_channels is [16, 32], and must be [8, 32]" in line
