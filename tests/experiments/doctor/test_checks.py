"""What ``gandiff doctor`` finds, here and on machines that lack things."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from gandiff.experiments.cli import main
from gandiff.experiments.doctor import checks as module
from gandiff.experiments.doctor.checks import Check, run_checks

PACKAGES = ("torch", "transformers", "diffusers", "open-clip-torch", "numpy", "pandas")
SHIPPED = ("gan-scenes", "diffusion-scenes", "scene-classifier-a", "scene-classifier-b")


def found(name: str) -> Check:
    (check,) = [check for check in run_checks() if check.name == name]
    return check


def test_everything_that_ships_is_here() -> None:
    checks = {check.name: check for check in run_checks()}
    assert len(checks) == len(run_checks())
    assert [name for name in (*SHIPPED, "scene-clip") if checks[name].ok is not True] == []
    assert [name for name in PACKAGES if checks[name].ok is not True] == []
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
        module.PACKAGE / "evaluate" / "pretrained", tmp_path / "evaluate" / "pretrained"
    )
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
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
        "its weights are missing; install gandiff again",
    )


def test_a_package_that_is_missing_or_outdated_is_named_with_its_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ["numpy>=2.0", "torch>=99,<100", "no-such-package>=1", 'scipy>=1; extra == "peers"']
    monkeypatch.setattr(module, "requires", lambda name: listed)
    monkeypatch.setattr(module, "_golden", list)
    assert found("numpy").ok is True
    detail = "not installed; pip install no-such-package"
    assert found("no-such-package") == Check(name="no-such-package", ok=False, detail=detail)
    assert [check for check in run_checks() if check.name == "scipy"] == []
    old = found("torch")
    assert (old.ok, old.outdated) == (False, True)
    assert old.detail.startswith(torch.__version__.partition("+")[0])
    assert old.detail.endswith("must be <100,>=99; pip install 'torch<100,>=99'")
    assert main(["doctor"]) == 0
    assert "outdated  torch " in capsys.readouterr().out


def test_fid_weights_are_looked_for_where_torch_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    absent = found("weights of inception")
    assert absent.ok is False
    assert f"not in {tmp_path / 'checkpoints'}" in absent.detail
    assert "--weights inception=FILE" in absent.detail
    file = tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    file.parent.mkdir()
    file.write_bytes(b"")
    assert found("weights of inception") == Check(
        name="weights of inception", ok=True, detail=str(file)
    )


def test_models_of_the_hub_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert found("hub cache").detail == f"nothing in {tmp_path}; folders work offline"
    (tmp_path / "models--a--b").mkdir()
    assert found("hub cache").detail == f"1 models in {tmp_path}"


def test_a_torch_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what the import system takes for "not there"
    checks = {check.name: check for check in run_checks()}
    assert checks["devices"].ok is False
    assert "torch cannot be imported" in checks["devices"].detail
    assert "cpu" not in checks
