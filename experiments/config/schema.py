"""The JSON schema of comparison files, for editors that complete and check YAML while one types."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from gandiff.common.validation import adapter
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import GENERATORS

INTERNAL = ("base", "text", "sweeps")
_SWITCH = [{"enum": ["on", "off"], "type": "string"}, {"type": "boolean"}]

_NOTHING = {"type": "null"}
_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_SWEEP = {
    "description": "Operating points: settings with lists of values (all combinations), or a list "
    "of settings. Each becomes a generator; they share what is loaded.",
    "anyOf": [
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "anyOf": [{"type": "array", "items": _SCALAR, "minItems": 1}, {"type": "object"}]
            },
        },
        {"type": "array", "minItems": 1, "items": {"type": "object", "minProperties": 1}},
    ],
}


def comparison_schema() -> dict[str, Any]:
    """Build the JSON schema (draft 2020-12) from the types that the file is read into.

    Installed generator types and ``module:factory`` are allowed with any settings; the built-in
    ones with theirs.
    """
    schema = adapter(Comparison).json_schema()
    for name in INTERNAL:
        del schema["properties"][name]
    definitions = schema["$defs"]
    timing = {**definitions.pop("GeneratorConfig")["properties"]["timing"], "anyOf": _SWITCH}
    for type_, entry in GENERATORS.items():
        definitions[type_] = _generator(type_, entry.settings, entry.says)
        definitions |= definitions[type_].pop("$defs")
        definitions[type_]["properties"] |= {"timing": timing, "sweep": _SWEEP}
    definitions["other"] = {
        "description": "An installed generator type, or module:factory.",
        "properties": {
            "type": {"type": "string", "not": {"enum": list(GENERATORS)}},
            "timing": timing,
            "sweep": _SWEEP,
        },
        "required": ["type"],
        "type": "object",
    }
    schema["properties"]["generators"]["additionalProperties"] = {
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in (*GENERATORS, "other")]
    }
    # A suite may be written as its bare name, and the run is named after the file if nothing else
    # is said.
    suite = schema["properties"]["suite"]
    schema["properties"]["suite"] = {
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/SuiteConfig"}],
        "description": suite.get("description", ""),
    }
    schema["properties"]["timing"] = {
        "anyOf": [*_SWITCH, {"$ref": "#/$defs/TimingConfig"}],
        "description": schema["properties"]["timing"].get("description", ""),
    }
    schema["properties"]["tasks"] = _tasks(schema["properties"])
    schema["required"] = [name for name in schema["required"] if name != "name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gandiff comparison",
        **_without_titles({k: v for k, v in schema.items() if k != "title"}),
    }


def _tasks(fields: Iterable[str]) -> dict[str, Any]:
    """What each of several tasks may have: any field, and of generators a part of one."""
    own = {name: {"$ref": f"#/properties/{name}"} for name in fields if name != "name"}
    task = {"type": "object", "properties": own | {"generators": {"type": "object"}}}
    return {
        "description": "Several tasks in one file, a run of each: the name of each, and the fields "
        "that take the place of what stands above. A name that is no task needs `task`.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [{**task, "additionalProperties": False}, _NOTHING]},
    }


def _generator(type_: str, target: str, says: str) -> dict[str, Any]:
    module, _, name = target.partition(":")
    kind = getattr(importlib.import_module(module), name)
    made, one_of = adapter(kind).json_schema(), getattr(kind, "ONE_OF", ())
    choices = [[field] for field in one_of] or [made.get("required", [])]
    # A sweep may give them.
    swept = [{"required": fields} for fields in (*choices, ["sweep"])] if any(choices) else []
    return {
        "description": says[:1].upper() + says[1:] + ".",
        "properties": {"type": {"const": type_}, **made["properties"]},
        "required": ["type"],
        **({"anyOf": swept} if swept else {}),
        "additionalProperties": False,
        "type": "object",
        "$defs": made.get("$defs", {}),
    }


def _without_titles(value: Any) -> Any:
    """Leave out the titles that pydantic makes from names: they say nothing new."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_titles(item)
        for key, item in value.items()
        if not (key == "title" and isinstance(item, str))
    }
