"""Devices that are unknown, not here or of no use: one check, for every command and generator."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
import toys

from gandiff.common.devices import check_device, number_format
from gandiff.common.errors import GeneratorError, MetricError, RequestError
from gandiff.evaluate.features.encoders import open_extractor
from gandiff.experiments.cli import main
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.settings import GanSettings

UNKNOWN = ["meta", "xpu", "hpu", "gpu", "CUDA", "", "cuda0", " cpu", "tpu:0"]
ABSENT = ["cuda", "cuda:0", "cuda:7", "cuda:-1", "cuda:x", "cuda:", "mps", "mps:1", "cpu:1"]


@pytest.fixture(autouse=True)
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("device", UNKNOWN)
def test_unknown_names(device: str) -> None:
    with pytest.raises(RequestError, match=r"no device is named .*; must be cpu, cuda, cuda:1 or"):
        check_device(device)


@pytest.mark.parametrize("device", ABSENT)
def test_devices_that_are_not_here(device: str) -> None:
    with pytest.raises(MetricError, match=r"not on this machine, where torch sees cpu; use cpu"):
        check_device(device, MetricError)


def test_devices_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check_device("cpu"), check_device("auto")] == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for device in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert check_device(device) == device
    with pytest.raises(RequestError, match="sees cpu, cuda:0, cuda:1, mps; use one of these"):
        check_device("cuda:2")


def test_number_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("float32", "bfloat16"):
        assert number_format(name, "cpu", GeneratorError) is getattr(torch, name)
    for name in ("float64", "int8", "Tensor", ""):
        with pytest.raises(GeneratorError, match=r"no number format is named .*; use float32"):
            number_format(name, "cpu", GeneratorError)

    def refuse(*_: object) -> None:
        raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'\nmore")

    monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
    with pytest.raises(
        GeneratorError, match="cannot compute in float16 on 'cpu' here: \"slow_conv"
    ) as e:
        number_format("float16", "cpu", GeneratorError)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("device", ["cuda", "meta", "mps", "cuda:7"])
def test_no_generator_and_no_encoder_gets_as_far_as_torch(
    device: str, toy_pipeline: Path, toy_gan: Path
) -> None:
    settings = DiffusersSettings(pipeline=str(toy_pipeline), num_inference_steps=2)
    for generator in (
        DiffusersGenerator("a", settings),
        GanGenerator("b", GanSettings(weights=str(toy_gan))),
    ):
        with pytest.raises(GeneratorError, match="device"):
            generator.load(device)
    with pytest.raises(MetricError, match="device"):
        open_extractor("scenes", {}, device)


RUN = """
suite: prompts.txt
samples_per_prompt: 1
device: DEVICE
metrics: ["vendi(encoder=scenes)"]
generators: {one: {GENERATOR}}
"""
GENERATORS = {
    "gan": "type: gan",
    "diffusers": "type: diffusers, pipeline: diffusion-scenes",
    "folder": "type: folder, folder: images",
}
COMMANDS = [
    "run c.yaml",
    "generate c.yaml",
    "score images --reference images --metrics fd(encoder=scenes) --device DEVICE",
    "stats images --out s.npz --encoder scenes --device DEVICE",
    "draw 'a star' --out d.png --device DEVICE",
    *(f"train {kind} --minutes 0.01 --out t --device DEVICE" for kind in ("gan", "diffusion")),
    *(f"train {kind} --minutes 0.01 --out t --device DEVICE" for kind in ("text", "judges")),
    "train gan --sweep gamma=1,2 --minutes 0.01 --out t --device DEVICE",
]


@pytest.mark.parametrize("device", ["cuda", "mps", "cuda:7", "xpu"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_before_it_writes(
    command: str, device: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toys.save_toy_images(empty_folder / "images", ["00001_0.png", "00002_0.png"])
    (empty_folder / "prompts.txt").write_text("a red star\na blue ring\n")
    for generator in GENERATORS.values() if "c.yaml" in command else ("",):
        text = RUN.replace("DEVICE", device).replace("GENERATOR", generator)
        (empty_folder / "c.yaml").write_text(text)
        assert main(shlex.split(command.replace("DEVICE", device))) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert device in said
        assert "cpu" in said
        assert sorted(p.name for p in empty_folder.iterdir()) == ["c.yaml", "images", "prompts.txt"]


def test_a_run_of_another_machine_is_scored_on_the_cpu(
    empty_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toys.save_toy_images(empty_folder / "images", ["00001_0.png", "00002_0.png"])
    (empty_folder / "prompts.txt").write_text("a red star\na blue ring\n")
    text = RUN.replace("DEVICE", "cuda").replace("GENERATOR", GENERATORS["folder"])
    (empty_folder / "c.yaml").write_text(text)
    with monkeypatch.context() as there:  # looking images up needs no CUDA
        there.setattr(torch.cuda, "is_available", lambda: True)
        there.setattr(torch.cuda, "device_count", lambda: 1)
        there.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
        assert main(["generate", "c.yaml", "--quiet", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["score", "run", "--quiet"]) == 0
    assert "scored on cpu: device 'cuda' is not on this machine" in capsys.readouterr().err
    assert main(["report", "run", "--quiet"]) == 0
    assert "Vendi score" in (empty_folder / "run" / "report" / "report.md").read_text()
