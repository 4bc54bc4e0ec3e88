"""ControlNets in training: what a step sees and changes, resuming, what is written and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import control_helpers
import pytest
import torch
import toys
from safetensors.torch import load_file

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.training.control import train as control
from gandiff.experiments.training.control.base import open_base
from gandiff.experiments.training.control.recipe import ControlRecipe
from gandiff.experiments.training.control.trainer import ControlTrainer
from gandiff.experiments.training.diffusion.finished import find_base
from gandiff.experiments.training.diffusion.weights import digest
from gandiff.experiments.training.loop import Loop
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import GenerationRequest

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return control_helpers.save_base(tmp_path_factory.mktemp("base") / "pipeline")


@pytest.fixture(autouse=True)
def _few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PROMPTS", 8)


def weights(one: ControlTrainer) -> dict[str, Any]:
    return {name: value.clone() for name, value in one.net.state_dict().items()}


def test_the_network_begins_as_the_encoder_of_the_pipeline_and_gives_nothing(
    tmp_path: Path, base: Path
) -> None:
    made = control_helpers.trainer(tmp_path, base)
    theirs = made.base.unet.state_dict()
    copied = [name for name in made.net.state_dict() if name in theirs]
    assert any("down_blocks" in name and "attn2" in name for name in copied)
    assert any("add_embedding" in name for name in copied)
    for name in copied:
        assert torch.equal(made.net.state_dict()[name], theirs[name]), name
    part = made.part(0, 4, slice(0, 4))
    down, middle = made.net(
        part.x, part.t, part.tokens, controlnet_cond=part.control, return_dict=False
    )
    assert not any(one.any() for one in (*down, middle))


def test_a_relative_path_of_two_names_is_no_hub_id(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent.parent)
    opened, whole = (
        open_base(find_base(name), "cpu") for name in (f"{base.parent.name}/{base.name}", str(base))
    )
    assert opened.facts() == whole.facts()


def test_a_step_works_on_what_its_position_says_however_it_is_divided(
    tmp_path: Path, base: Path
) -> None:
    made = control_helpers.trainer(tmp_path, base)
    whole = made.part(40, 4, slice(0, 4))
    halves = [made.part(40, 4, slice(a, a + 2)) for a in (0, 2)]
    for name in ("x", "noise", "t", "tokens", "control"):
        parts = torch.cat([getattr(half, name) for half in halves])
        torch.testing.assert_close(getattr(whole, name), parts)
    assert not torch.equal(whole.x, made.part(44, 4, slice(0, 4)).x)


def test_accumulation_changes_nothing_but_rounding(tmp_path: Path, base: Path) -> None:
    whole = control_helpers.trainer(tmp_path / "a", base)
    parts = control_helpers.trainer(tmp_path / "b", base, accumulate=2)
    losses = [one.step()[1] for one in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_loss_falls_and_the_pipeline_stays_as_it_is(tmp_path: Path, base: Path) -> None:
    made = control_helpers.trainer(tmp_path, base, lr=1e-2, kimg=0.4)
    before = digest(made.base.unet), digest(made.base.vae), digest(made.encoder.model)
    first = float(made.errors(made.part(0, 64, slice(0, 64))).mean())
    made.loop.run(made.step)
    last = float(made.errors(made.part(0, 64, slice(0, 64))).mean())
    assert last < 0.95 * first
    assert (digest(made.base.unet), digest(made.base.vae), digest(made.encoder.model)) == before


def test_a_training_goes_on_exactly(tmp_path: Path, base: Path) -> None:
    whole = control_helpers.trainer(tmp_path / "whole", base)
    whole.loop.run(whole.step)
    half = control_helpers.trainer(tmp_path / "half", base)

    def stopped_after_four() -> tuple[int, dict[str, float]]:
        half.loop._asked = half.loop.progress.steps == 3
        return half.step()

    with pytest.raises(KeyboardInterrupt):
        half.loop.run(stopped_after_four)
    assert half.loop.progress.steps == 4
    resumed = control_helpers.trainer(tmp_path / "half", base, resume=True)
    resumed.loop.run(resumed.step)
    assert resumed.loop.progress.resumed == 1
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_another_condition_or_pipeline_cannot_be_resumed(tmp_path: Path, base: Path) -> None:
    made = control_helpers.trainer(tmp_path, base)
    made.loop.save()
    asked = made.request.__class__(**{**vars(made.request), "resume": True})
    recipe = ControlRecipe(pipeline=str(base), condition="depth")
    with pytest.raises(RequestError, match="condition is outline there and depth here"):
        ControlTrainer(asked, recipe, made.base, made.data, made.ranks)
    with torch.no_grad():
        made.base.unet.conv_out.bias.add_(1)
    with pytest.raises(RequestError, match="unet is "):
        ControlTrainer(asked, made.recipe, made.base, made.data, made.ranks)


@pytest.mark.parametrize("condition", ["outline", "depth"])
def test_what_is_trained_controls_pictures(
    tmp_path: Path, base: Path, condition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import diffusers

    kind: Any = diffusers.ControlNetModel
    out = tmp_path / "mine"
    command = f"train control --condition {condition} --pipeline {base} --resolution 16"
    command += f" --kimg 0.032 --batch-size 4 --ticks 2 --seed 1 --quiet --out {out}"
    assert main(command.split()) == 0, capsys.readouterr().err
    record = json.loads((out / "training.json").read_text())
    assert record["recipe"]["condition"] == condition
    assert record["finished"]
    assert all("control_iou" in tick for tick in record["ticks"])
    assert record["control"].keys() == {"with it", "without it"}
    card = (out / "README.md").read_text()
    assert f"by the {condition} of scenes" in card
    assert "| with it |" in card
    for name in ("control.png", "reals.png"):
        assert (out / "samples" / name).is_file()
    kept = load_file(out / WEIGHTS)
    assert {value.dtype for value in kept.values()} == {torch.float16}
    network = kind.from_pretrained(out)
    assert sum(p.numel() for p in network.parameters()) == sum(v.numel() for v in kept.values())
    settings = DiffusersSettings(pipeline=str(base), controlnet=str(out))
    generator = DiffusersGenerator(name="mine", settings=settings)
    assert "control" in generator.info.abilities
    generator.load()
    picture = toys.edit_pictures(16)["control_image"]
    request = GenerationRequest(prompt="a star", seed=1, task="control", control_image=picture)
    assert generator.generate([request])[0].status == "ok"


REFUSED = {
    "other data": (["--data", "photos"], "is trained on scenes, whose outlines and depth are"),
    "another size": (["--resolution", "64"], "makes images of 16 px; give --resolution 16"),
    "no condition": (["--condition", "edges"], "condition: must be one of outline, depth"),
    "no pipeline": (["--pipeline", "nowhere"], "there is no such folder, and no pipeline of that"),
    "a GAN": (["--pipeline", "gan-scenes"], "must hold a pipeline that gandiff train diffusion"),
    "no number": (["--set", "gamma=1"], "a recipe has no field 'gamma'"),
    "parts": (["--accumulate", "3"], "does not divide into 3 parts"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_is_refused_in_a_line(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    more, said = REFUSED[what]
    out = tmp_path / "out"
    command = ["train", "control", "--kimg", "0.032", "--batch-size", "4", "--out", str(out)]
    for option, value in (("--resolution", "16"), ("--pipeline", str(base))):
        command += [] if option in more else [option, value]
    assert main([*command, *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not out.exists() or not any(out.iterdir())


def test_a_record_of_another_version_is_refused(tmp_path: Path, base: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    record = json.loads((copy / "training.json").read_text())
    record["recipe"]["wings"] = 2
    (copy / "training.json").write_text(json.dumps(record))
    with pytest.raises(RequestError, match="is not one of this version"):
        control.train(
            control_helpers.request(tmp_path / "out", resolution=16),
            ControlRecipe(pipeline=str(copy)),
        )


def test_a_loop_says_what_it_trains(tmp_path: Path, base: Path) -> None:
    made = control_helpers.trainer(tmp_path, base)
    assert isinstance(made.loop, Loop)
    assert made.loop.networks["condition"] == "outline"
