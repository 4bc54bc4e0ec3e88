"""What a user installs: the wheel that is built from the sdist, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

import gandiff

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "evaluate", "experiments", "reports", "src/gandiff/common")
SRC = str(ROOT / "src")
BENCHMARKS = "experiments/benchmarks/"


class Installed(NamedTuple):
    python: Path
    site_packages: Path
    sources: set[str]  # files of the package's folders when the wheel was built
    sdist: set[str]


def source_files() -> set[str]:
    """Every file of the package and of its benchmarks, relative to the root of the repository."""
    state = ROOT / "experiments" / "training" / "state"
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and state not in path.parents
    }


def call(*command: str | Path, **variables: str) -> str:
    """Run a command away from the repository; without PYTHONPATH, unless it is given."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the sdist, the wheel from the sdist, and install the wheel without its dependencies."""
    folder = tmp_path_factory.mktemp("packaging")
    sources = source_files()
    # Without --sdist or --wheel, build makes the wheel from the sdist and not from the checkout.
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT)
    (wheel,) = (folder / "dist").glob("*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
    call(sys.executable, "-m", "pip", "--python", python, *install)
    site = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return Installed(python, Path(site), sources, names)


def test_only_gandiff_is_installed(installed: Installed) -> None:
    names = {path.name for path in installed.site_packages.iterdir()}
    assert names == {"gandiff", f"gandiff-{gandiff.__version__}.dist-info"}


def test_every_file_of_the_package_is_installed(installed: Installed) -> None:
    package = installed.site_packages / "gandiff"
    expected = {
        name.removeprefix("src/gandiff/")
        for name in installed.sources
        if not name.startswith(BENCHMARKS)
    }
    assert {name for name in expected if not (package / name).is_file()} == set()
    assert (package / "py.typed").is_file()
    assert not (package / "tests").exists()
    assert not (package / "experiments" / "training" / "state").exists()


def test_benchmarks_stay_in_the_sources(installed: Installed) -> None:
    benchmarks = {name for name in installed.sources if name.startswith(BENCHMARKS)}
    assert f"{BENCHMARKS}overhead.py" in benchmarks
    assert installed.sources <= installed.sdist
    assert not (installed.site_packages / "gandiff" / BENCHMARKS).exists()
    call(sys.executable, "-m", "gandiff.experiments.benchmarks.overhead", "--help", PYTHONPATH=SRC)


@pytest.mark.parametrize(
    "pattern",
    [
        "reports/templates/*.*",
        "experiments/studio/templates/*.css",
        "experiments/studio/templates/*.j2",
        "experiments/comparisons/scenes.yaml",
        "experiments/comparison.schema.json",
        "models/pretrained/gan-scenes/model.safetensors",
        "models/pretrained/gan-scenes/README.md",
        "models/pretrained/gan-scenes/scores.json",
        "models/pretrained/gan-scenes/units.npz",
        "models/pretrained/diffusion-scenes/model_index.json",
        "models/pretrained/diffusion-scenes/unet/*.safetensors",
        "evaluate/pretrained/scene-clip/open_clip_config.json",
        "evaluate/pretrained/scene-clip/*.safetensors",
    ],
)
def test_data_files_are_installed(installed: Installed, pattern: str) -> None:
    assert list((installed.site_packages / "gandiff").glob(pattern))


def test_import_needs_no_dependency(installed: Installed) -> None:
    code = "import gandiff, gandiff.common.errors; print(gandiff.__version__, gandiff.__file__)"
    version, file = call(installed.python, "-c", code).split()
    assert version == gandiff.__version__
    assert Path(file) == installed.site_packages / "gandiff" / "__init__.py"


def test_the_command_works_on_the_installed_files(installed: Installed) -> None:
    # The dependencies come from here. A path in PYTHONPATH brings no .pth file to life, so the
    # editable install beside them stays out.
    dependencies = sysconfig.get_path("purelib")
    command = installed.python.with_name("gandiff")
    shown = call(command, "--help", PYTHONPATH=dependencies)
    assert "Examples:" in shown
    assert shown == call(installed.python, "-m", "gandiff", "--help", PYTHONPATH=dependencies)
    assert "scenes is valid" in call(command, "validate", "scenes", PYTHONPATH=dependencies)
    listed = call(command, "list", "comparisons", "--quiet", PYTHONPATH=dependencies)
    assert listed.split() == ["editing", "gpu", "scenes", "shipped"]
    code = "import gandiff.experiments.cli as cli; print(cli.__file__)"
    used = call(installed.python, "-c", code, PYTHONPATH=dependencies).strip()
    assert Path(used).is_relative_to(installed.site_packages)
