"""Classes of the installed diffusers, read from its source.

Importing diffusers takes seconds and torch; its source says the same in a tenth of a second, also
of classes whose own requirements are not installed.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import functools
import importlib.util
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPAQUE: Any = ...  # a default that is computed, and where there is none
_MODULES = {"opencv": "cv2"}  # of packages that are called otherwise
_TYPES = {**vars(typing), **vars(collections.abc)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Argument:
    """An argument of a call: ``default`` is plain data, ``required`` says that there is none."""

    annotation: str
    default: Any
    required: bool

    @property
    def is_needed(self) -> bool:
        """Whether the call cannot do without: many have None as a default that they do not take."""
        may_be_none = "None" in self.annotation or "Optional" in self.annotation
        return self.required or (self.default is None and not may_be_none)

    @property
    def is_plain(self) -> bool:
        """Whether a comparison file can hold a value of it."""
        return self.hint is not OPAQUE and "Callable" not in self.annotation

    @property
    def hint(self) -> Any:
        """The annotation as a type; ``OPAQUE`` for one that no plain data has, such as a tensor."""
        try:
            return eval(self.annotation, dict(_TYPES)) if self.annotation else Any
        except (NameError, AttributeError, TypeError, SyntaxError):
            return OPAQUE


def class_node(name: str, near: Path | None = None) -> ast.ClassDef | None:
    """The class of this name; of several that in the nearest file."""
    paths = class_files().get(name, [])
    if near is not None:
        paths = sorted(paths, key=lambda path: (path != near, path.parent != near.parent))
    return _classes(paths[0]).get(name) if paths else None


def method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A method of a class or of the first base that has it."""
    own = (part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == name)
    if (function := next(own, None)) is not None:
        return function
    for base in node.bases:
        parent = class_node(base.id) if isinstance(base, ast.Name) else None
        if parent is not None and (function := method(parent, name)) is not None:
            return function
    return None


def arguments_of(function: ast.FunctionDef | None) -> dict[str, Argument]:
    """The arguments of a method by name; nothing without one."""
    if function is None:
        return {}
    listed = function.args
    places = [*listed.posonlyargs, *listed.args]
    padding = [None] * (len(places) - len(listed.defaults))
    pairs = [*zip(places, [*padding, *listed.defaults], strict=True)]
    pairs += zip(listed.kwonlyargs, listed.kw_defaults, strict=True)
    return {
        place.arg: Argument(
            annotation=ast.unparse(place.annotation) if place.annotation else "",
            default=literal(default),
            required=default is None,
        )
        for place, default in pairs
        if place.arg != "self"
    }


@functools.cache
def bases_of(name: str) -> frozenset[str]:
    """The names of all classes that a class is derived from, as far as diffusers' pipelines and
    schedulers say; none for a class that is not among them.
    """
    node = class_node(name)
    direct = {ast.unparse(base).rpartition(".")[2] for base in node.bases} if node else set()
    return frozenset(direct).union(*(bases_of(base) for base in direct - {name}))


@functools.cache
def built_with(name: str) -> Mapping[str, Argument] | None:
    """What a class is built with; None if the installed diffusers has no such class."""
    node = class_node(name)
    return None if node is None else arguments_of(method(node, "__init__"))


def literal(default: ast.expr | None) -> Any:
    """An expression as plain data; ``OPAQUE`` for none and for one that has to be computed."""
    try:
        return ast.literal_eval(default) if default is not None else OPAQUE
    except ValueError:
        return OPAQUE


@functools.cache
def missing_packages(name: str) -> tuple[str, ...]:
    """The packages without which diffusers has a stand-in alone for a class of this name."""
    for path in sorted((_root() / "utils").glob("dummy_*_objects.py")):
        node = _classes(path).get(name)
        for part in node.body if node else ():
            if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "_backends":
                named = {p: _MODULES.get(p, p) for p in ast.literal_eval(part.value)}
                return tuple(p for p, m in named.items() if importlib.util.find_spec(m) is None)
    return ()


def _root() -> Path:
    """The folder of diffusers; one that does not exist where it is not installed."""
    package = importlib.util.find_spec("diffusers")
    return Path((package and package.origin) or "/no diffusers/at all").parent


@functools.cache
def class_files() -> Mapping[str, list[Path]]:
    """Where the classes of pipelines and schedulers stand, by their names."""
    root = _root()
    files = [*(root / "pipelines").rglob("*.py"), *(root / "schedulers").rglob("*.py")]
    places: dict[str, list[Path]] = {}
    for path in sorted(files):
        for match in re.finditer(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            places.setdefault(match[1], []).append(path)
    return places


@functools.cache
def _classes(path: Path) -> Mapping[str, ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
