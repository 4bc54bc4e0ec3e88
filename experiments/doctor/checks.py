"""What ``gandiff doctor`` looks at: versions, devices, weights, and known numbers."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from gandiff.common.files import PACKAGE, file_sha256
from gandiff.models.weights import combined_sha256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check; ``ok`` is None where there is nothing to judge.

    ``outdated`` marks a package of a version that gandiff does not support; ``wrong`` a number that
    differs from its record: measurements made here are not to be trusted.
    """

    name: str
    ok: bool | None
    detail: str
    outdated: bool = False
    wrong: bool = False


def run_checks() -> list[Check]:
    """All checks; nothing is downloaded."""
    return [_python(), *_packages(), *_devices(), *_shipped(), *_outside(), *_golden()]


def _golden() -> list[Check]:
    from gandiff.experiments.doctor.golden import compare_golden

    return [
        Check(name=value.name, ok=value.same, detail=value.detail, wrong=not value.same)
        for value in compare_golden()
    ]


def _python() -> Check:
    return Check(
        name="python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}"
    )


def _packages() -> list[Check]:
    """What gandiff's metadata requires, extras left out, beside what is installed."""
    needs = [Requirement(text) for text in requires("gandiff") or ()]
    return [_package(need) for need in needs if not need.marker or need.marker.evaluate()]


def _package(need: Requirement) -> Check:
    try:
        installed = version(need.name)
    except PackageNotFoundError:
        detail = f"not installed; pip install {need.name}"
        return Check(name=need.name, ok=False, detail=detail)
    if need.specifier.contains(installed, prereleases=True):
        return Check(name=need.name, ok=True, detail=installed)
    detail = f"{installed}, must be {need.specifier}; pip install '{need.name}{need.specifier}'"
    return Check(name=need.name, ok=False, detail=detail, outdated=True)


def _devices() -> list[Check]:
    try:
        import torch
    except ImportError as error:
        return [Check(name="devices", ok=False, detail=f"torch cannot be imported: {error}")]
    checks = [Check(name="cpu", ok=True, detail=f"{torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(i)
            detail = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
            checks.append(Check(name=f"cuda:{i}", ok=True, detail=detail))
    else:
        checks.append(Check(name="cuda", ok=None, detail="no CUDA device"))
    if torch.backends.mps.is_available():
        checks.append(Check(name="mps", ok=True, detail="Apple GPU"))
    return checks


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
                        name=name, ok=False, detail="its weights are missing; install gandiff again"
                    )
                )
                continue
            size = sum(file.stat().st_size for file in files) / 1e6
            # As run.json and the protocols name them: a generator's files as one, a judge's file.
            digest = str(combined_sha256(folder)) if kind == "models" else file_sha256(files[0])
            checks.append(Check(name=name, ok=True, detail=f"{size:.1f} MB, sha256 {digest[:16]}"))
    return checks


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
            name="weights of inception",
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
