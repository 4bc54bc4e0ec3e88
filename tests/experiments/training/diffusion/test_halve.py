"""A trained pipeline at half the size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gandiff.common.errors import RequestError
from gandiff.experiments.training.diffusion.halve import halve, main
from gandiff.models.weights import PRETRAINED

SHIPPED = PRETRAINED / "diffusion-scenes"
WEIGHTS = Path("unet", "diffusion_pytorch_model.safetensors")


def test_it_is_the_same_model_up_to_rounding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import diffusers

    out = tmp_path / "half"
    main([str(SHIPPED), str(out)])
    assert capsys.readouterr().out == f"{out}\n"
    assert {value.dtype for value in load_file(out / WEIGHTS).values()} == {torch.float16}
    pictures = []
    for folder in (SHIPPED, out):
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder)
        assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}
        pipe.set_progress_bar_config(disable=True)
        random = torch.Generator().manual_seed(0)
        made = pipe("a red star", num_inference_steps=5, generator=random, output_type="np")
        pictures.append(torch.from_numpy(made.images))
    torch.testing.assert_close(*pictures, atol=0.05, rtol=0)


def test_what_cannot_be_halved_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has no model_index"):
        halve(tmp_path, tmp_path / "half")
    folder = tmp_path / "large"
    shutil.copytree(SHIPPED, folder)
    with pytest.raises(RequestError, match="exists already; name another folder"):
        halve(SHIPPED, folder)
    weights = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    weights["conv_in.bias"][0] = 1e6
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(RequestError, match=r"conv_in\.bias has numbers that float16 cannot hold"):
        halve(folder, tmp_path / "half")
    assert not (tmp_path / "half").exists()
