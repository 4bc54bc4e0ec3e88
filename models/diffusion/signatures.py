"""The defaults of a pipeline's call: of a class by its name, without diffusers, and of a class that
is loaded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from gandiff.models.diffusion.class_source import OPAQUE
from gandiff.models.diffusion.classes import pipeline_class


def class_defaults(name: str) -> Mapping[str, Any]:
    """The arguments of the call of a class with their defaults, ``OPAQUE`` where there is none that
    can be read; empty if the installed diffusers has no such class.
    """
    known = pipeline_class(name)
    return {key: a.default for key, a in known.arguments.items()} if known is not None else {}


def call_defaults(cls: type) -> Mapping[str, Any]:
    """The same of a class that is loaded."""
    call: Any = cls.__call__
    return _defaults(call)


@functools.cache  # every batch asks
def _defaults(call: Any) -> Mapping[str, Any]:
    return {
        name: OPAQUE if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(call).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }
