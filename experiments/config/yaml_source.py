"""YAML read with the line of every field, and fields overridden by dotted paths."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from gandiff.common.errors import RequestError, dotted, show
from gandiff.common.names import did_you_mean

FieldPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain scalars: no yes/no/on/off, no dates, no octal 010, and 1e-3 is a number."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


@dataclasses.dataclass(kw_only=True)
class Document:
    """Plain data and where each field was written; ``origin`` is the file's name as given."""

    origin: str
    data: dict[str, Any]
    places: dict[FieldPath, str] = dataclasses.field(default_factory=dict)

    def where(self, field: FieldPath) -> str:
        """Say where a field stands, or the nearest one around it: ``file.yaml:12``."""
        for length in range(len(field), -1, -1):
            if field[:length] in self.places:
                return self.places[field[:length]]
        return self.origin

    def error(self, field: FieldPath, problem: str) -> RequestError:
        """Make the error for a field, with its place and its path."""
        name = f"{dotted(field)}: " if field else ""
        return RequestError(f"{self.where(field)}: {name}{problem}")


def parse_document(text: str, origin: str) -> Document:
    """Read one YAML mapping; raises ``RequestError`` with the line of whatever is wrong."""
    reader = _Reader(origin)
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            found = "nothing" if node is None else show(reader.read(loader, node, ()))
            raise RequestError(
                f"{origin}: expected a comparison (fields such as 'generators:' and 'metrics:'), "
                f"found {found}"
            )
        data = reader.read(loader, node, ())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RequestError(f"{origin}{line}: this is not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise RequestError(
            f"{origin}: this is not valid YAML: {str(error).splitlines()[0]}"
        ) from None
    finally:
        if loader is not None:
            loader.dispose()
    return Document(origin=origin, data=data, places=reader.places)


class _Reader:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.places: dict[FieldPath, str] = {}
        self.open: list[int] = []

    def read(self, loader: _Loader, node: yaml.Node, path: FieldPath) -> Any:
        self.places.setdefault(path, f"{self.origin}:{node.start_mark.line + 1}")
        if id(node) in self.open:
            raise self.fail(node, path, "an alias (*) refers to what it stands in")
        self.open.append(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(loader, node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(loader, item, (*path, i)) for i, item in enumerate(node.value)]
            return self.scalar(loader, node, path)
        finally:
            self.open.pop()

    def mapping(self, loader: _Loader, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.fail(key, path, "a field name must be plain text")
            line = key.start_mark.line + 1
            if key.value in seen and key.value != "<<":
                raise self.fail(
                    key, (*path, key.value), f"given twice; the first is in line {seen[key.value]}"
                )
            seen[key.value] = line
        loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key, value in node.value:  # merged keys (<<) come first, so that own ones replace them
            inner = (*path, key.value)
            self.places[inner] = f"{self.origin}:{key.start_mark.line + 1}"
            data[key.value] = self.read(loader, value, inner)
        return data

    def scalar(self, loader: _Loader, node: yaml.Node, path: FieldPath) -> Any:
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise self.fail(node, path, f"the tag {node.tag} means nothing here")
        if node.tag == "tag:yaml.org,2002:int":
            return int(node.value, 16 if "x" in node.value else 10)
        try:
            value = loader.construct_object(node)
        except ValueError as error:
            raise self.fail(node, path, f"cannot read {node.value!r}: {error}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise self.fail(node, path, f"expected a finite number, found {node.value}")
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise self.fail(node, path, f"expected text or a number, found {node.tag[18:]}")
        return value

    def fail(self, node: yaml.Node, path: FieldPath, problem: str) -> RequestError:
        name = f"{dotted(path)}: " if path else ""
        return RequestError(f"{self.origin}:{node.start_mark.line + 1}: {name}{problem}")


def apply_override(document: Document, assignment: str) -> None:
    """Set one field from ``path.to.field=value``; the value is read as YAML.

    Names may hold dots themselves (``generators.sd-1.5.guidance_scale=3``): the longest one that
    exists is taken.
    """
    origin = f"--set {assignment}"
    target, equals, text = assignment.partition("=")
    parts = [part.strip() for part in target.split(".")]
    if not equals or not all(parts):
        raise RequestError(
            f"{origin}: expected FIELD=VALUE, such as generators.gan.truncation_psi=0.7"
        )
    value = _parse_value(text, origin)
    here: Any = document.data
    path: FieldPath = ()
    while True:
        key, parts = _next_key(here, path, parts, origin)
        path = (*path, key)
        document.places[path] = origin
        if not parts:
            break
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
        here = here[key]
    here[key] = value
    for field in [f for f in document.places if f[: len(path)] == path]:
        document.places[field] = origin


def _parse_value(text: str, origin: str) -> Any:
    try:
        document = parse_document(f"value: {text}" if text.strip() else "value:", origin)
    except RequestError as error:
        detail = str(error).removeprefix(origin).lstrip(":0123456789")
        raise RequestError(
            f"{origin}: cannot read the value{detail}; "
            "quote it if it is text with special characters"
        ) from None
    if set(document.data) != {"value"}:
        raise RequestError(f"{origin}: expected one value")
    return document.data["value"]


def _next_key(
    here: Any, path: FieldPath, parts: list[str], origin: str
) -> tuple[str | int, list[str]]:
    if isinstance(here, list):
        if parts[0].isdecimal() and int(parts[0]) < len(here):
            return int(parts[0]), parts[1:]
        raise RequestError(
            f"{origin}: {dotted(path)} is a list of {len(here)}; expected a position from 0, "
            f"found {parts[0]!r}"
        )
    if not isinstance(here, dict):
        raise RequestError(
            f"{origin}: {dotted(path)} is {show(here)} and has no field {parts[0]!r}"
        )
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in here:
            return ".".join(parts[:length]), parts[length:]
    if path == ("generators",):
        # A name that does not exist would start a new generator with neither type nor settings.
        raise RequestError(
            f"{origin}: no generator is named {parts[0]!r}{did_you_mean(parts[0], _names(here))}"
        )
    return parts[0], parts[1:]


def _names(here: Mapping[str, Any] | Sequence[str]) -> list[str]:
    return [str(name) for name in here]
