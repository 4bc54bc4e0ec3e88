"""Callables named as ``module:factory``, and settings checked against their signatures."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from gandiff.common.errors import RequestError, SettingError, show
from gandiff.common.files import expanded, file_sha256
from gandiff.common.names import did_you_mean
from gandiff.common.validation import check_arguments
from gandiff.experiments.plugins.modules import is_local
from gandiff.models.generator import Generator

PASSED = ("prompts", "seeds", "name")  # parameters of a factory that gandiff passes itself


def load_target(target: str, base: Path) -> Callable[..., Any]:
    """Find ``package.module:factory`` or ``path/to/file.py:factory``; paths and modules start at
    ``base``.

    Raises ``SettingError`` for field ``type`` when the module or the name in it is not there.
    """
    module_name, _, name = target.rpartition(":")
    module = _module(module_name, base, target)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            public = [n for n in getattr(value, "__dict__", {}) if not n.startswith("_")]
            raise SettingError(
                ("type",), f"{module_name} has no {part!r}{did_you_mean(part, public)}"
            )
        value = getattr(value, part)
    if not callable(value):
        raise SettingError(("type",), f"{target} must be callable, got {show(value)}")
    return value  # type: ignore[no-any-return]


def check_factory(factory: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings against a signature and fill in its defaults, where they are plain data.

    Raises ``SettingError`` naming the setting.
    """
    defaults = {
        name: parameter.default
        for name, parameter in check_arguments(factory, settings, PASSED).items()
        if isinstance(parameter.default, (str, int, float, bool, type(None), list, dict))
    }
    return {**settings, **{k: v for k, v in defaults.items() if k not in settings}}


def wants(factory: Callable[..., Any], *names: str) -> bool:
    """Say whether a callable has parameters of these names."""
    try:
        return set(names) <= inspect.signature(factory).parameters.keys()
    except (ValueError, TypeError):  # some compiled callables have no signature
        return False


# The source that each module of somebody's own had when it was imported here.
_SOURCES: dict[str, tuple[Path, str]] = {}


@contextlib.contextmanager
def _current_sources() -> Iterator[None]:
    """Import what the files say now: modules that were imported here and have changed since go.

    No compiled files are written: Python takes one for current if the source has the same size and
    second, which quick changes have.
    """
    if any(not file.is_file() or file_sha256(file) != was for file, was in _SOURCES.values()):
        for name in _SOURCES:
            sys.modules.pop(name, None)
        _SOURCES.clear()
        importlib.invalidate_caches()
    before, written = set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        for name in set(sys.modules) - before:
            file = Path(str(getattr(sys.modules[name], "__file__", None)))
            if is_local(sys.modules[name]) and file.suffix == ".py" and file.is_file():
                _SOURCES[name] = (file, file_sha256(file))


def _module(name: str, base: Path, target: str) -> ModuleType:
    with _current_sources():
        return _import(name, base, target)


def _import(name: str, base: Path, target: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _module_file((base / expanded(name)).resolve(), target)
        folder = str(base.resolve())
        if folder not in sys.path:
            # Last, so that a file beside the comparison never hides an installed package; kept,
            # because such a file may import its neighbours later.
            sys.path.append(folder)
            importlib.invalidate_caches()
        return importlib.import_module(name)
    except SettingError:
        raise
    except ModuleNotFoundError as error:
        hint = (
            f"; looked in {base.resolve()} and in what is installed" if error.name == name else ""
        )
        raise SettingError(("type",), f"{target} cannot be imported: {error}{hint}") from error
    except Exception as error:
        raise SettingError(("type",), f"{target} cannot be imported: {error!r}") from error


def _module_file(path: Path, target: str) -> ModuleType:
    name = f"gandiff_user_{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SettingError(("type",), f"{target}: there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def as_generator(name: str, made: Any) -> Generator:
    """A generator, or a function ``(prompts, seeds) -> images``, as a generator."""
    if isinstance(made, Generator):
        return made
    if callable(made):
        from gandiff.models.callable import CallableGenerator

        return CallableGenerator(name=name, function=made)
    raise RequestError(
        f"generator {name!r} has the type {type(made).__name__}; expected a Generator, "
        "a function (prompts, seeds) -> images, or a mapping such as {'type': 'gan'}"
    )
