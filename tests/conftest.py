"""What holds for every test: no network, no window, no more threads than cores; shapes of arrays
are checked at every call.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Modules whose annotations have shapes; those of the others are checked by mypy, and to check them
# at run time, too, would double the time of many tests.
_SOURCES = Path(__file__).parents[1] / "src"
_WITH_SHAPES = [
    ".".join(path.relative_to(_SOURCES).with_suffix("").parts)
    for folder in (_SOURCES / "gandiff").iterdir()
    for path in folder.rglob("*.py")
    if "jaxtyping" in path.read_text(encoding="utf-8")
]
install_import_hook(_WITH_SHAPES, "beartype.beartype")

# Toy generators for all tests, as a plugin and as ``import toys``. Appended, so that no folder of
# tests hides a package of the same name.
sys.path.append(str(Path(__file__).parent))
pytest_plugins = ["toys", "families.fixture"]

# Programs that tests start share what is compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Read by libraries when they are imported, so set before any test module is.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers are the parallelism; torch and BLAS inherit this, and so do subprocesses.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an accelerator where there is none; torch is asked only if need be."""
    waiting = [item for item in items if item.get_closest_marker("gpu")]
    if not waiting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in waiting:
            item.add_marker(pytest.mark.skip(reason="needs an accelerator"))


@pytest.fixture(scope="module", autouse=True)
def _what_is_loaded_is_no_garbage() -> None:
    """Let the collections that follow look at what a file makes, and not at all libraries, which
    takes a second whenever a generator is unloaded.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, and as users do: without the tracebacks of GANDIFF_DEBUG."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANDIFF_DEBUG", raising=False)
    return tmp_path
