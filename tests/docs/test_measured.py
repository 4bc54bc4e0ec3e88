"""What docs/measured.json says of pipeline families is what their toys show.

All of it is ``slow``; SD and FLUX stand for the others in the suite.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import families
import pages
import pytest
from families import measure

Toys = Callable[[str], dict[str, Any]]
MEASURED = json.loads((pages.ROOT / "docs" / "measured.json").read_text(encoding="utf-8"))
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def each(*names: str) -> pytest.MarkDecorator:
    """Parametrise by family: those named in the suite, all others slow."""
    marks = {name: () if name in names else pytest.mark.slow for name in families.FAMILIES}
    return pytest.mark.parametrize("name", [pytest.param(n, marks=m) for n, m in marks.items()])


def test_every_family_is_measured() -> None:
    assert list(MEASURED) == list(families.FAMILIES)


@each("sd")
def test_native_calls_are_as_measured(toy_family: Toys, name: str) -> None:
    made = measure.native_call(toy_family(name))
    known = {key: value for key, value in MEASURED[name].items() if key != "solvers"}
    assert made == known, f"run: python docs/measure.py {name}"


@pytest.mark.timeout(1200)
@each("flux")
def test_solvers_draw_as_measured(toy_family: Toys, name: str) -> None:
    drew = measure.solvers(toy_family(name), name)
    assert drew == MEASURED[name]["solvers"], f"run: python docs/measure.py {name}"
