"""The hash of the code behind a generator: what changes it, and what does not."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gandiff.experiments.plugins.source import Unidentified, code_identity

MODULE = '''
import numpy as np
from {helper} import shade
LEVEL = 3
TABLE = np.arange(4)
def scale(x):
    return x * LEVEL
def make(prompts, seeds, gain=1):
    """Words."""
    return [scale(shade(s)) + TABLE[0] + gain for s in seeds]
class Base:
    step = 2
class Painter(Base):
    def __init__(self, width):
        self.width = width
    def __call__(self, prompts, seeds):
        return [scale(self.width) for s in seeds]
    @property
    def twice(self):
        return 2 * self.width
def maker(depth):
    def inner(prompts, seeds):
        return [depth for s in seeds]
    return inner
def late(prompts, seeds):
    import {late}
    return {late}.value
'''


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A module with its helpers, written to files and imported by names of their own."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = {"main": "src_main", "helper": "src_helper", "late": "src_late"}

    def write(old: str = "", new: str = "", helper: str = "s + 1", late: str = "7") -> Any:
        text = MODULE.format(**names)
        assert old in text
        (tmp_path / "src_main.py").write_text(text.replace(old, new))
        (tmp_path / "src_helper.py").write_text(f"def shade(s):\n    return {helper}\n")
        (tmp_path / "src_late.py").write_text(f"value = {late}\n")
        for name in names.values():
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("src_main")

    yield write
    for name in names.values():
        sys.modules.pop(name, None)


FORMS: dict[str, Callable[[Any], Any]] = {
    "function": lambda m: m.make,
    "partial": lambda m: functools.partial(m.make, gain=2),
    "instance": lambda m: m.Painter(4),
    "method": lambda m: m.Painter(4).__call__,
    "closure": lambda m: m.maker(3),
    "class": lambda m: m.Painter,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_code_has_the_same_hash(load: Callable[..., Any], form: str) -> None:
    of = FORMS[form]
    first = code_identity(of(load()))
    assert code_identity(of(load())) == first
    # Neither comments nor empty lines nor the place in the file are code.
    assert code_identity(of(load("LEVEL = 3", "# a level\n\nLEVEL = 3  # three"))) == first


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "change",
    [
        {"old": "LEVEL = 3", "new": "LEVEL = 4"},
        {"old": "np.arange(4)", "new": "np.arange(5)"},
        {"old": "x * LEVEL", "new": "x + LEVEL"},
        {"old": "step = 2", "new": "step = 3"},
        {"helper": "s + 2"},
        {"late": "8"},
    ],
    ids=str,
)
def test_a_change_anywhere_in_local_code_is_seen(
    load: Callable[..., Any], form: str, change: dict[str, str]
) -> None:
    of = FORMS[form]
    assert code_identity(of(load())) != code_identity(of(load(**change)))


def test_values_are_part_of_it(load: Callable[..., Any]) -> None:
    module = load()
    made = [
        module.make,
        functools.partial(module.make, gain=2),
        functools.partial(module.make, gain=3),
        functools.partial(module.make, gain=np.float32(3)),
        functools.partial(module.make, gain=np.arange(2)),
        functools.partial(module.make, gain=torch.arange(2)),
        functools.partial(
            module.make, gain=torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
        ),
        functools.partial(module.make, gain={1, 2}),
        functools.partial(module.make, gain={"a": 1, "b": 2}),
        functools.partial(module.make, gain={"b": 2, "a": 1}),  # a loop over it sees the order
        module.Painter(4),
        module.Painter(5),
        module.maker(3),
        module.maker([3]),
        module.maker(np.random.default_rng(0)),
        module.maker(np.random.default_rng(1)),
    ]
    hashes = [code_identity(one) for one in made]
    assert len(set(hashes)) == len(made)
    module.LEVEL = 30  # set from outside: the source is the same
    assert code_identity(module.make) != hashes[0]


def test_code_that_runs_counts_beside_its_source(load: Callable[..., Any], tmp_path: Path) -> None:
    module = load()
    first = code_identity(module.make)
    path = tmp_path / "src_main.py"
    path.write_text(path.read_text().replace("x * LEVEL", "x - LEVEL"))
    edited = code_identity(module.make)  # not imported again
    again = code_identity(load("x * LEVEL", "x - LEVEL").make)
    assert len({first, edited, again}) == 3


def typed_in(text: str) -> Any:
    """What a notebook's cell defines: there is no file."""
    scope: dict[str, Any] = {"__name__": "__main__", "np": np}
    exec(text, scope)
    return scope["f"]


CELL = """
k = {k}
def helper(s):
    return s % {level}
def f(prompts, seeds):
    return [helper(s) * k for s in seeds]
"""


def test_functions_of_a_notebook() -> None:
    first = code_identity(typed_in(CELL.format(k=1, level=256)))
    assert code_identity(typed_in("# again\n\n" + CELL.format(k=1, level=256))) == first
    assert code_identity(typed_in(CELL.format(k=1, level=20))) != first
    assert code_identity(typed_in(CELL.format(k=2, level=256))) != first
    unread = "other = 5\n" + CELL.format(k=1, level=256)
    assert code_identity(typed_in(unread)) == first


def test_a_file_that_a_value_names_is_read(tmp_path: Path) -> None:
    weights = tmp_path / "style.pt"
    text = f"path = {str(weights)!r}\ndef f(prompts, seeds):\n    return open(path)\n"
    missing = code_identity(typed_in(text))
    weights.write_bytes(b"one")
    one = code_identity(typed_in(text))
    weights.write_bytes(b"two")
    assert len({missing, one, code_identity(typed_in(text))}) == 3


def test_a_version_takes_the_place_of_the_source() -> None:
    f, g = typed_in(CELL.format(k=1, level=256)), typed_in(CELL.format(k=1, level=20))
    f.version = g.version = "3"
    assert code_identity(f) == code_identity(g) == "version 3"
    g.version = "4"
    assert code_identity(g) == "version 4"


@pytest.mark.parametrize(
    "value", [threading.Lock(), (i for i in range(3)), sys.stdout], ids=lambda v: type(v).__name__
)
def test_what_cannot_be_hashed_is_refused(value: Any) -> None:
    def f(prompts: list[str], seeds: list[int]) -> list[Any]:
        return [value for _ in seeds]

    with pytest.raises(Unidentified):
        code_identity(f)


def test_a_function_in_c_is_refused() -> None:
    with pytest.raises(Unidentified, match="sorted is not written in Python"):
        code_identity(sorted)


def test_cycles_end() -> None:
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert code_identity(even) != code_identity(odd)
