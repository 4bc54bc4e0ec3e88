"""What ``gandiff doctor`` finds, here and on machines that lack things."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from gandiff.experiments.doctor import checks as health
from gandiff.experiments.doctor.checks import Check, look

SHIPPED = ("gan-scenes", "diffusion-scenes", "scene-classifier-a", "scene-classifier-b")


def found(name: str) -> Check:
    (check,) = [check for check in look() if check.name == name]
    return check


def test_everything_that_ships_is_here() -> None:
    checks = {check.name: check for check in look()}
    assert len(checks) == len(look())
    assert [name for name in (*SHIPPED, "scene-clip") if checks[name].ok is not True] == []
    assert [name for name in health.PACKAGES if checks[name].ok is not True] == []
    assert checks["torch"].detail == torch.__version__.partition("+")[0] or checks[
        "torch"
    ].detail.startswith(torch.__version__.partition("+")[0])
    assert checks["cpu"].detail == f"{torch.get_num_threads()} threads"
    for check in checks.values():
        assert check.detail
        assert "\n" not in check.detail


def test_weights_are_told_by_their_size_and_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = found("scene-clip")
    shutil.copytree(
        health.PACKAGE / "evaluate" / "pretrained", tmp_path / "evaluate" / "pretrained"
    )
    monkeypatch.setattr(health, "PACKAGE", tmp_path)
    assert found("scene-clip") == real
    file = next((tmp_path / "evaluate" / "pretrained" / "scene-clip").glob("*.safetensors"))
    file.write_bytes(file.read_bytes() + b"x")
    assert found("scene-clip").detail != real.detail
    assert "MB, sha256 " in real.detail
    file.unlink()
    assert found("scene-clip").ok is False
    missing = found("gan-scenes")
    assert (missing.ok, missing.detail) == (
        False,
        "its weights are missing; install gandiff anew",
    )


def test_a_package_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PACKAGES", ("numpy", "no-such-package-here"))
    assert found("numpy").ok is True
    assert found("no-such-package-here") == Check(
        name="no-such-package-here",
        ok=False,
        detail="not installed; pip install no-such-package-here",
    )


def test_fid_weights_are_looked_for_where_torch_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    absent = found("encoder inception")
    assert absent.ok is False
    assert f"not in {tmp_path / 'checkpoints'}" in absent.detail
    assert "--weights inception=FILE" in absent.detail
    file = tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    file.parent.mkdir()
    file.write_bytes(b"")
    assert found("encoder inception") == Check(name="encoder inception", ok=True, detail=str(file))


def test_models_of_the_hub_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert found("hub cache").detail == f"nothing in {tmp_path}; folders work offline"
    (tmp_path / "models--a--b").mkdir()
    assert found("hub cache").detail == f"1 models in {tmp_path}"


def test_a_torch_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what the import system takes for "not there"
    checks = {check.name: check for check in look()}
    assert checks["devices"].ok is False
    assert "torch cannot be imported" in checks["devices"].detail
    assert "cpu" not in checks
