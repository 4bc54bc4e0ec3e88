"""Modules and their code: which are somebody's own, what they import and read, their tokens."""

from __future__ import annotations

import ast
import dis
import functools
import importlib.util
import io
import sys
import sysconfig
import tokenize
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import CodeType, ModuleType

_STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
# A run says itself when these have another version than the images were made with.
_NOTED = ("gandiff", "torch", "numpy", "PIL", "diffusers", "transformers")


def is_local(module: ModuleType | None) -> bool:
    """Whether a module is somebody's own: neither installed, nor Python's, nor gandiff's.

    What is typed into a notebook is.
    """
    if module is None or module.__name__.partition(".")[0] == "gandiff":
        return False
    file = getattr(module, "__file__", None)
    return module.__name__ == "__main__" if file is None else _is_local_file(file)


def _is_local_file(file: str) -> bool:
    installed = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return not installed and not file.startswith(_STANDARD)


def local_source(name: str) -> Path | None:
    """The source of a module that may not be imported yet; None unless it is local."""
    top, _, rest = name.partition(".")
    if top in sys.modules:
        file = getattr(sys.modules[top], "__file__", None)
        local = is_local(sys.modules[top])
    else:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        file = spec.origin if spec is not None and spec.has_location else None
        local = file is not None and _is_local_file(file)
    if not local or file is None or not file.endswith(".py"):
        return None
    if not rest:
        return Path(file)
    below = Path(file).parent.joinpath(*rest.split("."))
    choices = (below.with_name(f"{below.name}.py"), below / "__init__.py")
    return next((choice for choice in choices if choice.is_file()), None)


def tokens(text: str) -> Iterator[str]:
    """A source in tokens, without comments and what is only layout."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            layout = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            yield tokenize.tok_name[token.type] if layout else token.string


def imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """The modules that a source may import, by their full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(name, package) if node.level else name
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def version_of(module: ModuleType) -> str:
    """The version of the package of an installed module, where a run does not note it anyway."""
    top = module.__name__.partition(".")[0]
    if top in _NOTED or top in sys.stdlib_module_names:
        return ""
    if names := _distributions().get(top):
        return ", ".join(f"{name} {version(name)}" for name in sorted(set(names)))
    return str(getattr(sys.modules.get(top), "__version__", ""))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def imports_of(code: CodeType) -> set[str]:
    """The modules that a function imports when it runs."""
    return _instructions(code, "IMPORT_NAME")


def _instructions(code: CodeType, *operations: str) -> set[str]:
    return {str(i.argval) for i in dis.get_instructions(code) if i.opname in operations}


def globals_of(code: CodeType) -> set[str]:
    """The globals that code reads, with that of the functions inside of it."""
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    own = _instructions(code, "LOAD_GLOBAL", "LOAD_NAME")
    return own.union(*(globals_of(one) for one in inner))
