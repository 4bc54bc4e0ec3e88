"""What the call of a pipeline class takes, read from the files of diffusers without importing it.

Plans and ``gandiff validate`` need the defaults of a call; importing diffusers takes seconds.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

OPAQUE: Any = ...  # a default that is computed, or no default at all

# Decoders that diffusers loads together with their prior, as another class.
_COMBINED = {
    "KandinskyPipeline": "KandinskyCombinedPipeline",
    "KandinskyV22Pipeline": "KandinskyV22CombinedPipeline",
    "StableCascadeDecoderPipeline": "StableCascadeCombinedPipeline",
    "WuerstchenDecoderPipeline": "WuerstchenCombinedPipeline",
}


def text_class(class_name: str) -> str:
    """The class that a pipeline saved as ``class_name`` is loaded as to make images from text."""
    plain = class_name.replace("Img2Img", "")
    return _COMBINED.get(plain, plain)


@functools.cache
def class_defaults(class_name: str) -> Mapping[str, Any]:
    """The arguments of the call of a class of diffusers with their defaults, ``OPAQUE`` where there
    is none that can be read; empty if diffusers has no such class.
    """
    for tree in _modules_with(class_name):
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        if (call := _call(class_name, classes)) is not None:
            return dict(_arguments(call.args))
    return {}


def call_defaults(cls: type) -> Mapping[str, Any]:
    """The same of a class that is loaded."""
    call: Any = cls.__call__
    return {
        name: OPAQUE if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(call).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


def _modules_with(class_name: str) -> Iterator[ast.Module]:
    spec = importlib.util.find_spec("diffusers")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(root, "pipelines").rglob("pipeline_*.py")):
            source = file.read_bytes()
            if f"class {class_name}(".encode() in source:
                yield ast.parse(source)


def _call(name: str, classes: Mapping[str, ast.ClassDef]) -> ast.FunctionDef | None:
    """The definition of ``__call__``, which may be that of a class above in the same file."""
    if name not in classes:
        return None
    for node in classes[name].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__call__":
            return node
    bases = [base.id for base in classes[name].bases if isinstance(base, ast.Name)]
    return next((call for base in bases if (call := _call(base, classes)) is not None), None)


def _arguments(given: ast.arguments) -> Iterator[tuple[str, Any]]:
    missing = [None] * (len(given.args) - len(given.defaults))
    defaults = [*missing, *given.defaults, *given.kw_defaults]
    for argument, default in zip([*given.args, *given.kwonlyargs], defaults, strict=True):
        if argument.arg != "self":
            yield argument.arg, _literal(default)


def _literal(node: ast.expr | None) -> Any:
    try:
        return OPAQUE if node is None else ast.literal_eval(node)
    except ValueError:
        return OPAQUE
