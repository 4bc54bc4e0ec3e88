"""Callables named as ``module:factory``, and settings checked against their signatures."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from gandiff.common.errors import RequestError, SettingError, show
from gandiff.common.names import did_you_mean
from gandiff.models.generator import Generator

_PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_GIVEN = ("prompts", "seeds", "name")  # what gandiff passes itself


def load_target(target: str, base: Path) -> Callable[..., Any]:
    """Find ``package.module:factory`` or ``path/to/file.py:factory``; paths and modules start at
    ``base``.

    Raises ``SettingError`` for field ``type`` when the module or the name in it is not there.
    """
    module_name, _, name = target.rpartition(":")
    module = _module(module_name, base, target)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = (
                [n for n in vars(found) if not n.startswith("_")]
                if hasattr(found, "__dict__")
                else []
            )
            raise SettingError(
                ("type",), f"{module_name} has no {part!r}{did_you_mean(part, public)}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise SettingError(("type",), f"{target} is {show(found)}; expected something to call")
    return found  # type: ignore[no-any-return]


def check_factory(factory: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings against a signature and fill in its defaults, where they are plain data."""
    parameters = bind_settings(factory, settings)
    resolved = dict(settings)
    for key, parameter in parameters.items():
        plain = isinstance(parameter.default, (str, int, float, bool, type(None), list, dict))
        if key not in resolved and plain and parameter.default is not parameter.empty:
            resolved[key] = parameter.default
    return resolved


def bind_settings(
    factory: Callable[..., Any], settings: Mapping[str, Any]
) -> dict[str, inspect.Parameter]:
    """Check that a callable takes these keywords, that none is missing, and plain types fit.

    Returns the parameters that can be set. Raises ``SettingError`` naming the setting.
    """
    parameters = _parameters(factory)
    known = {
        key: p
        for key, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and key not in _GIVEN
    }
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in settings:
        if key not in known and not (open_ended and key not in _GIVEN):
            raise SettingError((key,), f"unknown setting{did_you_mean(key, known)}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in settings:
            raise SettingError((key,), "this setting is needed and is not there")
    hints = _hints(factory)
    for key, value in settings.items():
        wanted = hints.get(key)
        if wanted in _PLAIN and not _fits(value, wanted):
            raise SettingError((key,), f"expected {_PLAIN[wanted]}, found {show(value)}")
    return known


def wants(factory: Callable[..., Any], *names: str) -> bool:
    """Say whether a callable has parameters of these names."""
    return set(names) <= set(_parameters(factory))


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (ValueError, TypeError):
        # Some compiled callables do not tell; then whatever is given is passed on.
        return {"settings": inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)}


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    function: Any = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(function)
    except Exception:  # names that exist only for type checkers; the factory then checks for itself
        return {}


def _fits(value: Any, wanted: type) -> bool:
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


def _module(name: str, base: Path, target: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _module_file((base / Path(name).expanduser()).resolve(), target)
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
    name = f"gandiff_user_{path.stem}_{abs(hash(path)):x}"
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
    """A generator, or a function ``(prompts, seeds) -> images``, as a generator; raises
    ``RequestError``.
    """
    if isinstance(made, Generator):
        return made
    if callable(made):
        from gandiff.models.callable import CallableGenerator

        return CallableGenerator(name=name, function=made)
    raise RequestError(
        f"generator {name!r} has the type {type(made).__name__}; expected a Generator, "
        "a function (prompts, seeds) -> images, or a mapping such as {'type': 'gan'}"
    )
