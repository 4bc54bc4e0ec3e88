"""What the code behind a generator is, as a hash: its source, and the values that it reads."""

from __future__ import annotations

import ast
import copyreg
import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any

from gandiff.common.files import file_sha256
from gandiff.experiments.plugins.modules import (
    globals_of,
    imported_names,
    imports_of,
    is_local,
    local_source,
    tokens,
    version_of,
)

# Attributes of a class that say nothing of what it does, or that only Python itself can read.
_PASSIVE = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"}
# Code reads what it knows from such files, if a value that it uses names one.
DATA_ENDINGS = (
    *(".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".onnx", ".gguf", ".pkl", ".pickle"),
    *(".npz", ".npy", ".h5", ".msgpack", ".model", ".json", ".yaml", ".yml", ".toml", ".txt"),
    *(".csv", ".tsv", ".png", ".jpg", ".jpeg", ".webp", ".ttf", ".otf", ".py"),
)


class Unidentified(Exception):
    """Something whose content cannot be hashed; the message says what."""


def code_identity(made: Any) -> str:
    """Say which code stands behind a callable or an object, and with which values.

    That is a hash of the source of its module and of the local modules imported there, of the code
    that runs (which may be older than the source), of defaults, closures and attributes, and of
    the globals that it reads. Installed packages count by their version. An attribute ``version``
    takes the place of all that. Raises ``Unidentified`` for what cannot be hashed.
    """
    named = getattr(made, "version", None)
    if isinstance(named, (str, int, float)):
        return f"version {named}"
    if isinstance(made, BuiltinFunctionType):
        raise Unidentified(f"{made.__name__} is not written in Python")
    walk = _Walk()
    try:
        walk.visit(made)
    except Unidentified:
        raise
    except Exception as error:  # whatever a value does when it is looked at
        raise Unidentified(f"{type(error).__name__}: {error}") from error
    return walk.digest.hexdigest()


class _Walk:
    """Feeds a hash with everything that can be reached; what was seen before, by its number."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no id is given twice
        self._files: set[Path] = set()

    def visit(self, value: Any) -> None:
        """Feed one value and what it holds."""
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self._plain(value)
        elif id(value) in self._seen:
            self._say("seen", str(self._seen[id(value)]))
        else:
            self._seen[id(value)] = len(self._seen)
            self._alive.append(value)
            self._look(value)

    def _say(self, *words: str) -> None:
        for word in words:
            data = word.encode("utf-8", "surrogatepass")
            self.digest.update(b"%d:" % len(data) + data)

    def _plain(self, value: Any) -> None:
        self._say(type(value).__name__, repr(value))
        if isinstance(value, str) and value.lower().endswith(DATA_ENDINGS):
            self._file(Path(value))

    def _file(self, path: Path) -> None:
        try:
            self._say("file", file_sha256(path))
        except (OSError, ValueError):
            self._say("no file")

    def _look(self, value: Any) -> None:
        for kinds, look in _LOOKS:
            if isinstance(value, kinds):
                look(self, value)
                return
        if hasattr(value, "__wrapped__"):  # functools.cache and its like
            self.visit(value.__wrapped__)
        elif hasattr(value, "detach") and hasattr(value, "cpu"):
            self._tensor(value)
        elif hasattr(value, "dtype") and hasattr(value, "tobytes"):
            self._array(value)
        else:
            self._object(value)

    def _many(self, values: Iterable[Any]) -> None:
        listed = list(values)
        self._say("many", str(len(listed)))
        for one in listed:
            self.visit(one)

    def _set(self, values: Iterable[Any]) -> None:
        self._say("set", *sorted(map(_hash_alone, values)))

    def _mapping(self, values: Mapping[Any, Any]) -> None:
        self._say("mapping", str(len(values)))
        for key, one in values.items():
            self.visit(key)
            self.visit(one)

    def _function(self, function: FunctionType) -> None:
        if not self._whole_module(function):
            return
        self._code(function.__code__)
        self.visit(function.__defaults__)
        self.visit(function.__kwdefaults__)
        self.visit({k: v for k, v in vars(function).items() if k != "__wrapped__"})
        for cell in function.__closure__ or ():
            try:
                self.visit(cell.cell_contents)
            except ValueError:
                self._say("empty cell")
        for name in sorted(globals_of(function.__code__)):
            if name in function.__globals__:
                self._say(name)
                self.visit(function.__globals__[name])

    def _code(self, code: CodeType) -> None:
        self._say("code", code.co_name, code.co_code.hex(), repr(code.co_flags))
        self._say(*code.co_names, "", *code.co_varnames, "", *code.co_freevars, "")
        for one in code.co_consts:
            if isinstance(one, CodeType):
                self._code(one)
            else:
                self.visit(one)
        for name in sorted(imports_of(code)):
            self._imported(name)

    def _method(self, method: MethodType) -> None:
        self._say("method")
        self.visit(method.__func__)
        self.visit(method.__self__)

    def _partial(self, made: functools.partial[Any]) -> None:
        self._say("partial")
        for part in (made.func, made.args, made.keywords, vars(made)):
            self.visit(part)

    def _class(self, cls: type) -> None:
        if not self._whole_module(cls):
            return
        self._say("class", cls.__qualname__)
        for base in cls.__bases__:
            self.visit(base)
        for name, value in vars(cls).items():
            dunder = name.startswith("__") and name.endswith("__")
            if name in _PASSIVE or name.startswith("_abc_"):
                continue
            if not dunder or isinstance(value, (FunctionType, classmethod, staticmethod)):
                self._say(name)
                self.visit(value)

    def _whole_module(self, made: Any) -> bool:
        """Say the module that something is from; False if that says all, as it is installed."""
        module = sys.modules.get(made.__module__ or "")
        self._say(made.__qualname__)
        if module is None or module.__name__ == "__main__":
            return True
        if not is_local(module):
            self._say(module.__name__, version_of(module))
            return False
        self._source(module)
        return True

    def _module(self, module: ModuleType) -> None:
        self._say("module", module.__name__)
        if not is_local(module):
            self._say(version_of(module))
            return
        self._source(module)
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and callable(value):
                self._say(name)
                self.visit(value)

    def _source(self, module: ModuleType) -> None:
        """The source of a module without its comments, and of local ones that it imports."""
        file = Path(str(getattr(module, "__file__", None)))
        if file.suffix != ".py" or not file.is_file():
            raise Unidentified(f"the module {module.__name__} has no source in Python")
        self._source_file(file, module.__package__ or "")

    def _source_file(self, file: Path, package: str) -> None:
        if file in self._files:
            return
        self._files.add(file)
        text = file.read_text(encoding="utf-8")
        self._say("source", *tokens(text))
        for name in imported_names(ast.parse(text), package):
            self._imported(name)

    def _imported(self, name: str) -> None:
        file = local_source(name)
        if file is not None:
            package = name if file.stem == "__init__" else name.rpartition(".")[0]
            self._source_file(file, package)

    def _array(self, value: Any) -> None:
        self._say("array", str(value.dtype), str(value.shape))
        if value.dtype.hasobject:
            self._many(value.ravel().tolist())
        else:
            self.digest.update(value.tobytes())

    def _tensor(self, value: Any) -> None:
        plain = value.detach().cpu().contiguous()
        self._say("tensor", str(plain.dtype), str(tuple(plain.shape)))
        import torch

        self.digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())

    def _descriptor(self, value: Any) -> None:
        self._say(type(value).__name__)
        for name in ("fget", "fset", "__func__", "func"):
            self.visit(getattr(value, name, None))

    def _builtin(self, function: BuiltinFunctionType) -> None:
        self._say("builtin", function.__name__)
        self.visit(function.__self__)

    def _path(self, path: Path) -> None:
        self._say("path", str(path))
        self._file(path)

    def _object(self, value: Any) -> None:
        """Any other object: its class, and its attributes or what pickle would keep of it."""
        cls = type(value)
        self.visit(cls)
        if is_local(sys.modules.get(cls.__module__)) and hasattr(value, "__dict__"):
            for name, one in sorted(vars(value).items()):
                self._say(name)
                self.visit(one)
            return
        reduce: Callable[[Any], Any] | None = copyreg.dispatch_table.get(cls)
        try:
            reduced = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception as error:
            raise Unidentified(f"a {cls.__qualname__} cannot be hashed ({error})") from error
        if isinstance(reduced, str):
            self._say(reduced)
            return
        for part in reduced:
            self.visit(list(part) if isinstance(part, Iterator) else part)


_LOOKS: tuple[tuple[Any, Callable[[_Walk, Any], None]], ...] = (
    ((list, tuple), _Walk._many),
    ((set, frozenset), _Walk._set),
    ((dict, MappingProxyType), _Walk._mapping),
    (FunctionType, _Walk._function),
    (MethodType, _Walk._method),
    (BuiltinFunctionType, _Walk._builtin),
    (type, _Walk._class),
    (ModuleType, _Walk._module),
    (functools.partial, _Walk._partial),
    ((property, classmethod, staticmethod, functools.cached_property), _Walk._descriptor),
    (Path, _Walk._path),
)


def _hash_alone(value: Any) -> str:
    walk = _Walk()
    walk.visit(value)
    return walk.digest.hexdigest()
