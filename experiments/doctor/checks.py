"""What ``gandiff doctor`` looks at: versions, devices, weights, and known numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gandiff.common.files import PACKAGE, file_sha256
from gandiff.models.weights import combined_sha256

PACKAGES = (
    *("torch", "torchvision", "diffusers", "transformers", "open-clip-torch", "torchmetrics"),
    *("torch-fidelity", "safetensors", "numpy", "pandas", "matplotlib"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One thing looked at; ``ok`` is None where there is nothing to judge.

    ``wrong`` marks a number that came out other than it was recorded: measurements made here are
    not to be trusted.
    """

    name: str
    ok: bool | None
    detail: str
    wrong: bool = False


def look() -> list[Check]:
    """Everything at once; nothing is downloaded."""
    return [_python(), *_packages(), *_devices(), *_shipped(), *_outside(), *_golden()]


def _golden() -> list[Check]:
    from gandiff.experiments.doctor.golden import compare_golden

    return [
        Check(name=found.name, ok=found.same, detail=found.detail, wrong=not found.same)
        for found in compare_golden()
    ]


def _python() -> Check:
    return Check(
        name="python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}"
    )


def _packages() -> list[Check]:
    checks = []
    for package in PACKAGES:
        try:
            checks.append(Check(name=package, ok=True, detail=version(package)))
        except PackageNotFoundError:
            checks.append(
                Check(name=package, ok=False, detail=f"not installed; pip install {package}")
            )
    return checks


def _devices() -> list[Check]:
    try:
        import torch
    except ImportError as error:
        return [Check(name="devices", ok=False, detail=f"torch cannot be imported: {error}")]
    found = [Check(name="cpu", ok=True, detail=f"{torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(i)
            detail = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
            found.append(Check(name=f"cuda:{i}", ok=True, detail=detail))
    else:
        found.append(Check(name="cuda", ok=None, detail="no CUDA device"))
    if torch.backends.mps.is_available():
        found.append(Check(name="mps", ok=True, detail="Apple GPU"))
    return found


def _shipped() -> list[Check]:
    checks = []
    for kind, names in (
        ("models", ("gan-scenes", "diffusion-scenes")),
        ("evaluate", ("scene-classifier-a", "scene-classifier-b", "scene-clip")),
    ):
        for name in names:
            folder = PACKAGE / kind / "pretrained" / name
            files = sorted(folder.rglob("*.safetensors"))
            if not files:
                checks.append(
                    Check(
                        name=name, ok=False, detail="its weights are missing; install gandiff anew"
                    )
                )
                continue
            size = sum(file.stat().st_size for file in files) / 1e6
            # As run.json and the protocols name them: a generator's files as one, a judge's file.
            digest = str(combined_sha256(folder)) if kind == "models" else file_sha256(files[0])
            checks.append(Check(name=name, ok=True, detail=f"{size:.1f} MB, sha256 {digest[:16]}"))
    return checks


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _outside() -> list[Check]:
    """Weights that do not ship and are fetched when first used: where they would lie."""
    try:
        import torch.hub
        from huggingface_hub import constants
    except ImportError:
        return []  # said among the packages
    cache, hub = Path(torch.hub.get_dir()) / "checkpoints", Path(constants.HF_HUB_CACHE)
    inception = next(iter(sorted(cache.glob("weights-inception-2015-12-05-*.pth"))), None)
    models = sorted(hub.glob("models--*"))
    return [
        Check(
            name="encoder inception",
            ok=inception is not None,
            detail=str(
                inception or f"not in {cache}; fetched when first used, or --weights inception=FILE"
            ),
        ),
        Check(
            name="hub cache",
            ok=None,
            detail=f"{len(models)} models in {hub}"
            if models
            else f"nothing in {hub}; folders work offline",
        ),
    ]
