from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gandiff.common import devices
from gandiff.experiments.runs import provenance
from gandiff.models.weights import PRETRAINED

SHIPPED = {  # what runs recorded of the weights
    "gan-scenes": "849e35f989f138ce40b6c39350249328e9b9a496b9092378d41d6e44b53bbdf6",
    "diffusion-scenes": "14a50b746bb9c83f3b3cd88afc03dca7d2cd61b16b714d5b8809ff98c60379e7",
}


def test_the_machine_and_the_software_are_recorded() -> None:
    found = provenance.environment("cpu")
    assert found.cores >= 1
    assert found.memory_bytes > 2**28
    assert found.cpu
    assert found.device == "cpu"
    assert found.packages.keys() >= {"gandiff", "numpy", "pillow", "torch"}
    assert found.python
    assert found.platform


@pytest.mark.parametrize(("name", "recorded"), SHIPPED.items())
def test_runs_of_the_shipped_generators_stay_valid(name: str, recorded: str) -> None:
    """If a shipped file changes and the numbers in it do not, ``models/weights.py`` says so."""
    assert provenance.fingerprint({"weights": str(PRETRAINED / name)}) == recorded


def test_the_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert provenance.git_state(tmp_path) is None
    git("init", "-q")
    assert provenance.git_state(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    assert provenance.git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "a").write_text("2")
    assert provenance.git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "model.safetensors").write_bytes(b"one")
    (folder / "config.json").write_text("{}")
    first = provenance.fingerprint({"weights": str(folder)})
    assert first is not None
    for name in ("README.md", "scores.json", "units.npz", ".cache"):
        (folder / name).write_text("says something about the weights")
    assert provenance.fingerprint({"pipeline": str(folder)}) == first
    folder.rename(tmp_path / "moved")
    assert provenance.fingerprint({"weights": str(tmp_path / "moved")}) == first
    (tmp_path / "moved" / "unet" / "model.safetensors").write_bytes(b"two")
    assert provenance.fingerprint({"weights": str(tmp_path / "moved")}) != first


@pytest.mark.parametrize("settings", [{}, {"pipeline": "org/name"}, {"weights": 3}])
def test_what_is_not_on_this_machine_has_no_fingerprint(settings: dict[str, object]) -> None:
    assert provenance.fingerprint(settings) is None


def test_where_weights_lie_does_not_decide_the_pixels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"one")

    def of(name: str) -> dict[str, object]:
        settings = {"weights": str(tmp_path / name), "truncation_psi": 1.0}
        return provenance.identity("gan", settings, "float32", "cpu")

    assert of("a") == of("b")
    hub = provenance.identity("diffusers", {"pipeline": "org/name"}, "float32", "cpu")
    assert hub["settings"] == {"pipeline": "org/name"}


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, True, "cuda")],
)
def test_auto_takes_the_accelerator_that_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, device: str
) -> None:
    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: cuda),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert devices.resolve_device("auto") == device
    assert devices.resolve_device("cpu") == "cpu"
