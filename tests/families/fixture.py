"""The fixture of toys by family, a pytest plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import families


@pytest.fixture(scope="session")
def toy_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Give the settings of a family's toy, which is saved once: read it, change a copy."""
    root = tmp_path_factory.mktemp("families")
    made: dict[str, dict[str, Any]] = {}

    def settings(name: str) -> dict[str, Any]:
        if (needs := families.FAMILIES[name].needs) is not None:
            pytest.importorskip(needs)
        if name not in made:
            made[name] = families.save(name, Path(root) / name)
        return dict(made[name])

    return settings
