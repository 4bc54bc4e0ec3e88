"""Put something else in the place of a method or a class for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give one object another method; what it had itself, or that of its class, comes back."""
    had, before = name in vars(owner), vars(owner).get(name)
    vars(owner)[name] = value  # past the checks of modules and pipelines, which have none to make
    try:
        yield
    finally:
        if had:
            vars(owner)[name] = before
        else:
            del vars(owner)[name]


@contextlib.contextmanager
def of_class(owner: Any, cls: type) -> Iterator[None]:
    """Let an object be of another class, for methods that Python looks up there alone."""
    before = type(owner)
    owner.__class__ = cls
    try:
        yield
    finally:
        owner.__class__ = before
