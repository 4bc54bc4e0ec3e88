"""What cannot be swept, and trials that cannot work, are refused before hours are spent."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_helpers import FakeTraining
from training_helpers import request

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.sweep import sweep_recipes


def test_trials_that_cannot_make_such_pictures_are_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the last value, which would be trained after hours of the first."""
    fake = FakeTraining({})
    monkeypatch.setattr(diffusion, "train", fake)
    line = ["train", "diffusion", "--quiet", "--out", str(tmp_path / "out"), "--sweep"]
    assert main([*line, "factor=2,16"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --resolution 32: 3 levels of channels halve 2 cells a side too")
    assert said.count("\n") == 1
    assert main([*line, "factor=2,8", "--resolution", "36"]) == 2
    assert "--resolution 36: a diffusion model needs a multiple of 8" in capsys.readouterr().err
    assert main([*line, "kl=1e-5,1e-4", "--space", "pixel"]) == 2
    assert capsys.readouterr().err.startswith("error: kl does nothing with space=pixel")
    assert fake.calls == []


UNSWEPT = {
    "channels=32,80,64": "--sweep channels: channels is a list, whose commas would be those",
    "betas=0,0.9": "--sweep betas: betas is a list, whose commas would be those",
    "guidance=1,2,4": "--sweep guidance: guidance changes how pictures are sampled and",
    "sampling_steps=5,9": "compare it at several values in a comparison file (sweep: {num_",
    "solver=ddim,unipc": "every trial would be the same model; train one, and compare it",
}


@pytest.mark.parametrize("text", UNSWEPT)
def test_what_is_no_number_of_the_training_is_not_swept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    fake = FakeTraining({})
    monkeypatch.setattr(diffusion, "train", fake)
    assert main(["train", "diffusion", "--sweep", text, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert UNSWEPT[text] in said
    assert said.count("\n") == 1
    name, _, values = text.partition("=")
    with pytest.raises(RequestError, match=f"--sweep {name}: "):
        sweep_recipes(request(tmp_path), DiffusionRecipe(), name, values.split(","))
    assert fake.calls == []
    assert not (tmp_path / "out").exists()
