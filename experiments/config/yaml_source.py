"""YAML read with the line of every field, and fields overridden by dotted paths."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gandiff.common.errors import RequestError, dotted, show
from gandiff.common.names import did_you_mean
from gandiff.common.validation import FieldPath


@dataclasses.dataclass(kw_only=True)
class Document:
    """Plain data and where each field was written; ``origin`` is the file's name as given.

    ``written`` are the fields that others were made of, which errors are about.
    """

    origin: str
    data: dict[str, Any]
    places: dict[FieldPath, str] = dataclasses.field(default_factory=dict)
    written: dict[FieldPath, FieldPath] = dataclasses.field(default_factory=dict)

    def where(self, field: FieldPath) -> str:
        """Say where a field stands, or the nearest one around it: ``file.yaml:12``."""
        for length in range(len(field), -1, -1):
            if field[:length] in self.places:
                return self.places[field[:length]]
        return self.origin

    def error(self, field: FieldPath, problem: str) -> RequestError:
        """Make the error for a field, with its place and its path."""
        for length in range(len(field), 0, -1):
            if field[:length] in self.written:
                field = (*self.written[field[:length]], *field[length:])
                break
        name = f"{dotted(field)}: " if field else ""
        return RequestError(f"{self.where(field)}: {name}{problem}")


def parse_document(text: str, origin: str) -> Document:
    """Read one YAML mapping; raises ``RequestError`` with the line of whatever is wrong."""
    yaml = YAML(typ="safe", pure=True)
    reader = _Reader(origin, yaml.constructor)
    try:
        node = yaml.compose(text)
        data = None if node is None else reader.read(node, ())
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RequestError(f"{origin}{line}: this is not valid YAML: {error.problem}") from None
    except YAMLError as error:
        problem = str(error).splitlines()[0]
        raise RequestError(f"{origin}: this is not valid YAML: {problem}") from None
    if not isinstance(data, dict):
        raise RequestError(
            f"{origin}: must be a comparison (fields such as 'generators:' and 'metrics:'), "
            f"got {'nothing' if node is None else show(data)}"
        )
    return Document(origin=origin, data=data, places=reader.places)


def write_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML that ``parse_document`` reads back."""
    stream = io.StringIO()
    yaml = YAML(pure=True)
    yaml.width = 4096  # one line a field, however long
    yaml.dump(data, stream)
    return stream.getvalue()


class _Reader:
    """Turns the nodes of a file into plain data and keeps the line of each field."""

    def __init__(self, origin: str, constructor: Any) -> None:
        self.origin = origin
        self.constructor = constructor
        self.places: dict[FieldPath, str] = {}
        self.open: list[Node] = []  # the nodes around the one that is read

    def read(self, node: Node, path: FieldPath) -> Any:
        self.places.setdefault(path, self.line(node))
        if node in self.open:
            raise self.fail(node, path, "an alias (*) refers to what it stands in")
        self.open.append(node)
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode):
                return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
            return self.scalar(node, path)
        finally:
            self.open.pop()

    def mapping(self, node: MappingNode, path: FieldPath) -> dict[str, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise self.fail(key, path, "a field name must be plain text")
            if key.value in lines:
                first = f"given twice; the first is in line {lines[key.value]}"
                raise self.fail(key, (*path, key.value), first)
            lines[key.value] = key.start_mark.line + 1
        self.constructor.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key, value in node.value:  # merged keys (<<) come first, so that own ones replace them
            inner = (*path, key.value)
            self.places[inner] = self.line(key)
            data[key.value] = self.read(value, inner)
        return data

    def scalar(self, node: Node, path: FieldPath) -> Any:
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        # YAML 1.2 has neither dates nor 1_000, which ruamel reads as well.
        if kind in ("str", "timestamp") or (kind in ("int", "float") and "_" in node.value):
            return node.value
        if kind not in ("int", "float", "bool", "null"):
            raise self.fail(node, path, f"the tag {node.tag} means nothing here")
        try:
            value = self.constructor.construct_object(node)
        except (ValueError, KeyError) as error:
            raise self.fail(node, path, f"cannot read {node.value!r}: {error}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise self.fail(node, path, f"must be a finite number, got {node.value}")
        return value

    def line(self, node: Node) -> str:
        return f"{self.origin}:{node.start_mark.line + 1}"

    def fail(self, node: Node, path: FieldPath, problem: str) -> RequestError:
        name = f"{dotted(path)}: " if path else ""
        return RequestError(f"{self.line(node)}: {name}{problem}")


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
            f"{origin}: must be FIELD=VALUE, such as generators.gan.truncation_psi=0.7"
        )
    value = _parse_value(text, origin)
    here: Any = document.data
    path: FieldPath = ()
    while True:
        key, parts = _next_key(here, path, parts, origin)
        path = (*path, key)
        if not parts:
            _check_once(document, path, origin)
        document.places[path] = origin
        if not parts:
            break
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
        here = here[key]
    here[key] = value
    for field in [f for f in document.places if f[: len(path)] == path]:
        document.places[field] = origin


def _check_once(document: Document, path: FieldPath, origin: str) -> None:
    """Refuse to take back what another ``--set`` of the same command says."""
    for field, place in document.places.items():
        if field[: len(path)] == path and place.startswith("--set ") and place != origin:
            raise RequestError(
                f"{place} and {origin} contradict each other: give a field one value"
            )


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
        raise RequestError(f"{origin}: must have one value")
    return document.data["value"]


def _next_key(
    here: Any, path: FieldPath, parts: list[str], origin: str
) -> tuple[str | int, list[str]]:
    if isinstance(here, list):
        if parts[0].isdecimal() and int(parts[0]) < len(here):
            return int(parts[0]), parts[1:]
        raise RequestError(
            f"{origin}: {dotted(path)} is a list of {len(here)}; its positions are whole numbers "
            f"from 0, got {parts[0]!r}"
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
            f"{origin}: no generator is named {parts[0]!r}{did_you_mean(parts[0], map(str, here))}"
        )
    return parts[0], parts[1:]
