"""Settings that cannot work are refused before the first image of any generator."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import toys
from run_helpers import TOY, calls, images, log_lines, make, record, write_comparison

from gandiff.common.errors import EnvironmentFailure, RequestError
from gandiff.experiments import api
from gandiff.experiments.cli.app import main
from gandiff.models.diffusion.pipeline import DiffusersGenerator

Family = Callable[[str], dict[str, Any]]
STEPS = {"num_inference_steps": 3, "guidance_scale": 2.0}


def comparison(folder: Path, model: dict[str, Any], **changes: Any) -> Path:
    """A toy that comes first, and a pipeline."""
    generators = {
        "toy": {"type": TOY, "log": str(folder / "toy.log")},
        "model": {"type": "diffusers", **STEPS, **model},
    }
    chosen = {"prompts": toys.PROMPTS[:3], "generators": generators, "batch_size": 2, **changes}
    chosen["report"] = {"trace_prompts": 0}
    return write_comparison(folder, **chosen)


def refusal(file: Path) -> str:
    with pytest.raises(RequestError) as caught:
        api.run(file, out=file.parent / "run", until="generate", quiet=True)
    assert calls(file.parent / "toy.log") == []
    assert not (file.parent / "run").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("family", "settings", "batch_size", "message"),
    [
        (
            "sd",
            {"extra": {"callback_on_step_end_tensor_inputs": ["nothing"]}},
            2,
            "without extra.callback_on_step_end_tensor_inputs it works: change that",
        ),
        ("sd", {"extra": {"clip_skip": 99}}, 1, "without extra.clip_skip it works: change that"),
        (
            "cogview4",
            {"height": 40, "width": 40},
            2,
            "without height and width it works: change that",
        ),
        # which keeps an estimate for each step and one more, and Heun's method makes more of them
        (
            "semantic",
            {"scheduler": "heun"},
            1,
            "without scheduler and scheduler_options it works: change that",
        ),
    ],
)
def test_settings_that_fail_every_image_are_refused(
    tmp_path: Path,
    toy_family: Family,
    family: str,
    settings: dict[str, Any],
    batch_size: int,
    message: str,
) -> None:
    model = {**toy_family(family), **settings}
    said = refusal(comparison(tmp_path, model, batch_size=batch_size))
    assert said.startswith("generators.model: ")
    assert message in said


def test_every_stage_of_a_cascade_is_tried(tmp_path: Path, toy_family: Family) -> None:
    first, second, third = toy_family("if")["stages"]
    wrong = {"pipeline": third, "extra": {"noise_level": 10**6}}
    said = refusal(comparison(tmp_path, {"stages": [first, second, wrong]}))
    assert "noise_level" in said


def test_the_exit_status_is_two_with_one_line(
    tmp_path: Path, toy_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"pipeline": str(toy_pipeline), "extra": {"clip_skip": 99}}
    file = comparison(tmp_path, model)
    capsys.readouterr()
    assert main(["run", str(file), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_weights_that_do_not_load_are_refused_before_the_first_image(
    tmp_path: Path, toy_pipeline_copy: Path
) -> None:
    config = toy_pipeline_copy / "unet" / "config.json"
    config.write_text(config.read_text().replace('"out_channels": 4', '"out_channels": 5'))
    said = refusal(comparison(tmp_path, {"pipeline": str(toy_pipeline_copy)}))
    assert said.startswith("generator 'model' cannot be loaded")


def test_the_images_are_those_of_a_run_without_a_trial(tmp_path: Path, toy_pipeline: Path) -> None:
    model = {"pipeline": str(toy_pipeline), "scheduler": "euler_ancestral"}
    file = comparison(tmp_path, model)
    api.run(file, out=tmp_path / "run", until="generate", quiet=True)
    assert images(tmp_path / "run") == images(make(file, out="without"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pipelines that are read from the disk."""
    from gandiff.models.diffusion import loading

    gc.collect()  # what tests before have left in cycles is loaded still
    read: list[str] = []
    real = loading.load_pipeline

    def noted(source: Any, *rest: Any) -> Any:
        read.append(Path(source.name).name)
        return real(source, *rest)

    monkeypatch.setattr(loading, "load_pipeline", noted)
    return read


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The prompts of each call of a pipeline that only tries."""
    made: list[list[str]] = []
    real = DiffusersGenerator._with

    def noted(self: Any, settings: Any) -> Any:
        assert settings.num_inference_steps == 3
        other = real(self, settings)
        generate = other.generate

        def called(requests: Sequence[Any]) -> Any:
            made.append([request.prompt for request in requests])
            return generate(requests)

        other.generate = called
        return other

    monkeypatch.setattr(DiffusersGenerator, "_with", noted)
    return made


def test_a_trial_costs_two_calls_and_no_second_load(
    tmp_path: Path,
    toy_pipeline: Path,
    loads: list[str],
    trials: list[list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = comparison(tmp_path, {"pipeline": str(toy_pipeline)})
    api.run(file, out=tmp_path / "run", until="generate", quiet=False)
    assert [len(prompts) for prompts in trials] == [1, 2]
    assert len(set(trials[1])) == 2
    assert len(loads) == 1
    assert "model: its settings work (tried in " in capsys.readouterr().err

    loads.clear()
    trials.clear()
    api.run(file, out=tmp_path / "run", until="generate", quiet=True)
    assert (loads, trials) == ([], [])


def test_one_pipeline_is_loaded_at_a_time_and_the_first_is_kept(
    tmp_path: Path, toy_pipeline_copy: Path, toy_family: Family, loads: list[str]
) -> None:
    generators = {  # a copy, which no other test has loaded
        "sd": {"type": "diffusers", "pipeline": str(toy_pipeline_copy), **STEPS},
        "xl": {"type": "diffusers", **toy_family("sdxl"), **STEPS},
    }
    file = write_comparison(
        tmp_path, toys.PROMPTS[:2], generators=generators, report={"trace_prompts": 0}
    )
    api.run(file, out=tmp_path / "run", until="generate", quiet=True)
    assert loads == ["sdxl", toy_pipeline_copy.name, "sdxl"]


def test_a_machine_that_fails_is_no_wrong_request(
    tmp_path: Path, toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(DiffusersGenerator, "_with", full)
    file = comparison(tmp_path, {"pipeline": str(toy_pipeline)})
    with pytest.raises(EnvironmentFailure, match="memory ran out"):
        api.run(file, out=tmp_path / "run", until="generate", quiet=True)


def test_images_that_depend_on_their_batch_are_made_alone(
    tmp_path: Path, toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import UNet2DConditionModel

    forward = UNet2DConditionModel.forward

    def leaking(self: Any, sample: Any, *rest: Any, **more: Any) -> Any:
        return forward(self, sample + sample.mean(0, keepdim=True) * 3, *rest, **more)

    monkeypatch.setattr(UNet2DConditionModel, "forward", leaking)
    file = comparison(tmp_path, {"pipeline": str(toy_pipeline), "guidance_scale": 1.0})
    api.run(file, out=tmp_path / "run", until="generate", quiet=True)
    said = "an image depends on the others in its batch"
    assert any(said in line for line in record(tmp_path / "run")["warnings"])
    key = next(line["key"] for line in log_lines(tmp_path / "run") if line["generator"] == "model")
    assert api.replay(tmp_path / "run", key).same


@pytest.mark.parametrize("most", [1, 0])
def test_what_cannot_be_drawn_together_is_drawn_one_by_one(
    tmp_path: Path, toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """And refused where a single image fails as well."""
    from diffusers import StableDiffusionPipeline

    model = {"pipeline": str(toy_pipeline)}
    expected = images(make(comparison(tmp_path, model, batch_size=1), out="alone"))
    check = StableDiffusionPipeline.check_inputs

    def few(self: Any, prompt: list[str], *rest: Any, **more: Any) -> Any:
        if len(prompt) > most:
            raise ValueError(f"not {len(prompt)}")
        return check(self, prompt, *rest, **more)

    monkeypatch.setattr(StableDiffusionPipeline, "check_inputs", few)
    (tmp_path / "toy.log").unlink()
    file = comparison(tmp_path, model)
    if most == 0:
        assert refusal(file) == "generators.model: not 1"
        return
    summary = api.run(file, out=tmp_path / "run", until="generate", quiet=True)
    assert summary.images == {"ok": 12}
    assert images(tmp_path / "run") == expected
    said = "several images in one call fail, so each is made in a call of its own (not 2)"
    assert any(said in line for line in record(tmp_path / "run")["warnings"])


def test_a_prompt_that_fails_alone_does_not_stop_the_others(
    tmp_path: Path, toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import StableDiffusionPipeline

    check = StableDiffusionPipeline.check_inputs

    def picky(self: Any, prompt: list[str], *rest: Any, **more: Any) -> Any:
        if toys.PROMPTS[0] in prompt:
            raise ValueError("not this one")
        return check(self, prompt, *rest, **more)

    monkeypatch.setattr(StableDiffusionPipeline, "check_inputs", picky)
    file = comparison(tmp_path, {"pipeline": str(toy_pipeline)})
    summary = api.run(file, out=tmp_path / "run", until="generate", quiet=True)
    assert summary.images == {"ok": 10, "failed": 2}


def test_randomness_from_outside_is_refused(
    tmp_path: Path, toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from diffusers import UNet2DConditionModel

    forward = UNet2DConditionModel.forward

    def noisy(self: Any, sample: Any, *rest: Any, **more: Any) -> Any:
        return forward(self, sample + torch.randn_like(sample), *rest, **more)

    monkeypatch.setattr(UNet2DConditionModel, "forward", noisy)
    said = refusal(comparison(tmp_path, {"pipeline": str(toy_pipeline)}))
    assert "the same prompt and seed give different images" in said


def test_validate_says_what_will_run_and_tries_it_if_asked(
    tmp_path: Path, toy_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = comparison(tmp_path, {"pipeline": str(toy_pipeline), "scheduler": "euler"})
    assert main(["validate", str(file)]) == 0
    said = capsys.readouterr().out
    assert "model: StableDiffusionPipeline with euler, 3 steps, guidance 2" in said
    before = sorted(tmp_path.iterdir())
    assert main(["validate", str(file), "--deep"]) == 0
    assert "model: its settings work" in capsys.readouterr().err
    wrong = ["--set", "generators.model.extra={clip_skip: 99}"]
    assert main(["validate", str(file), *wrong]) == 0
    assert main(["validate", str(file), *wrong, "--deep"]) == 2
    assert "without extra.clip_skip it works" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_validate_names_a_pipeline_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = comparison(tmp_path, {"pipeline": "some-org/some-model"})
    assert main(["validate", str(file)]) == 2
    assert "hub pipeline 'some-org/some-model'" in capsys.readouterr().err
