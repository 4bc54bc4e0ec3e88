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
FILE = "diffusion_pytorch_model.safetensors"
WEIGHTS = Path("unet", FILE)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A pipeline with weights in float32, as it is trained, that float16 does not hold exactly."""
    folder = tmp_path / "whole"
    shutil.copytree(SHIPPED, folder)
    for part in ("unet", "vae"):
        path = folder / part / FILE
        weights = {name: value.float() * 1.0001 for name, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    return folder


def test_it_is_the_same_model_up_to_rounding(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import diffusers

    out = tmp_path / "half"
    main([str(whole), str(out)])
    assert capsys.readouterr().out == f"{out}\n"
    for part in ("unet", "vae"):
        before, after = (load_file(folder / part / FILE) for folder in (whole, out))
        assert before.keys() == after.keys()
        assert {value.dtype for value in before.values()} == {torch.float32}
        assert {value.dtype for value in after.values()} == {torch.float16}
        assert all(torch.equal(after[name], value.half()) for name, value in before.items())
        assert any((after[name].float() != value).any() for name, value in before.items())
        sizes = [(folder / part / FILE).stat().st_size for folder in (whole, out)]
        assert sizes[1] < 0.55 * sizes[0]
    pictures = []
    for folder in (whole, out):
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


@pytest.mark.parametrize("part", ["unet/config.json", str(WEIGHTS), f"vae/{FILE}"])
def test_a_pipeline_that_lacks_a_part_is_refused_in_a_line(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    out = tmp_path / "half"
    (whole / part).unlink()
    with pytest.raises(SystemExit) as ended:
        main([str(whole), str(out)])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"error: {whole / part} is missing, so {whole} is no whole diffusion model" in said
    assert not out.exists()


def test_weights_that_are_cut_off_are_refused(tmp_path: Path, whole: Path) -> None:
    (whole / WEIGHTS).write_bytes((whole / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(RequestError, match=r"safetensors cannot be read \(.*\); copy it again"):
        halve(whole, tmp_path / "half")
    assert not (tmp_path / "half").exists()
