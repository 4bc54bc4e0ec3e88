"""Tables for the documentation, each made from the code that it is about."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cells import code, table
from pipelines import pipeline_tables

if TYPE_CHECKING:
    from gandiff.evaluate.result import About
    from gandiff.experiments.training.recipes import Recipe

ROOT = Path(__file__).parents[1]
_LOGGED = ("loss", "share of pairs", "penalty, gradient norm")
_NESTED = ("suite", "reference", "timing", "report")


def comparison_tables() -> dict[str, str]:
    """The fields of a comparison file and the settings of each built-in generator."""
    from gandiff.experiments.config.schema import comparison_schema
    from gandiff.experiments.plugins.registry import GENERATORS

    schema = comparison_schema()
    definitions = schema["$defs"]
    tables = {"comparison-file": _fields(schema)}
    for name in _NESTED:
        tables[f"comparison-{name}"] = _fields(definitions[f"{name.capitalize()}Config"])
    for name in GENERATORS:
        tables[f"generator-{name}"] = _fields(definitions[name], leave_out=("type", "timing"))
    return tables


def _fields(schema: Mapping[str, Any], leave_out: Sequence[str] = ()) -> str:
    required = schema.get("required", ())
    rows = [
        (
            code(name),
            _kind(field),
            "required" if name in required else _default(field),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
        if name not in leave_out
    ]
    return table(("field", "kind", "default", "meaning"), rows)


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is None or isinstance(default, dict):
        return ""
    if isinstance(default, list):
        return code("[" + ", ".join(map(str, default)) + "]")
    return code(str(default).lower() if isinstance(default, bool) else default)


def _kind(field: Mapping[str, Any]) -> str:
    """What a value of the field looks like, in a few words, from its JSON schema."""
    if "anyOf" in field:
        kinds = [_kind(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field:
        return ", ".join(code(value) for value in field["enum"])
    if "$ref" in field:
        return "mapping"
    if field.get("type") == "array":
        return "list" if "items" not in field else f"list of {_kind(field['items'])}"
    kinds = {
        "integer": "whole number",
        "string": "text",
        "object": "mapping",
        "boolean": "`true`, `false`",
    }
    return kinds.get(field.get("type", ""), field.get("type", "")) + _range(field)


def _range(field: Mapping[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    words = ((low, "≥"), (above, ">"), (high, "≤"), (below, "<"))
    return "".join(f" {sign} {value:g}" for value, sign in words if value is not None)


def recipe_table() -> dict[str, str]:
    """The numbers of the recipes of all trainings; ``--set`` changes them."""
    from gandiff.experiments.training.control.recipe import ControlRecipe
    from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
    from gandiff.experiments.training.gan.recipe import GanRecipe

    return {
        "recipe": _recipes(GanRecipe),
        "diffusion-recipe": _recipes(DiffusionRecipe),
        "control-recipe": _recipes(ControlRecipe),
    }


def _recipes(cls: type[Recipe]) -> str:
    from gandiff.experiments.training.recipes import recipe_of

    meanings = attribute_docstrings(cls)
    recipes = [recipe_of(cls, name) for name in cls.named]
    rows = [
        (
            code(field.name),
            *(_number(getattr(recipe, field.name)) for recipe in recipes),
            meanings.get(field.name, ""),
        )
        for field in dataclasses.fields(cls)
    ]
    return table(("name", *cls.named, "meaning"), rows)


def command_pages() -> dict[str, str]:
    """Every command of the program with its help, arguments and options."""
    import typer

    from gandiff.experiments.cli import app

    parts = []
    for words, command in _commands("gandiff", typer.main.get_command(app)):
        rows = [(_called(one), _given(one), one.help or "") for one in command.params]
        says = inspect.cleandoc(command.help or "").replace("<", "&lt;")
        parts.append(f"## {words}\n\n{says}\n\n{table(('', 'default', 'meaning'), rows)}")
    return {"commands": "\n".join(parts)}


def _called(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    return code(", ".join(parameter.opts) if is_option else parameter.name.upper())


def _commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield words, command
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(f"{words} {name}", one)


def _given(parameter: Any) -> str:
    if parameter.required:
        return "required"
    nothing = any(parameter.default is one for one in (None, False))
    return "" if nothing else code(_number(parameter.default))


def _number(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"{one:g}" for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def attribute_docstrings(kind: type) -> dict[str, str]:
    """The docstring below each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(text.value, ast.Constant)
            found[field.target.id] = inspect.cleandoc(str(text.value.value))
    return found


def name_tables() -> dict[str, str]:
    """What a comparison file may name."""
    from gandiff.evaluate.features import encoders
    from gandiff.experiments.plugins.registry import GENERATORS

    ways = {"resize": encoders.RESIZES, "crop": encoders.CROPS, "alpha": encoders.ALPHAS}
    rows = [
        (code(name), code(first), ", ".join(map(code, rest)))
        for name, (first, *rest) in ways.items()
    ]
    return {
        "generators": _named("type", {name: entry.says for name, entry in GENERATORS.items()}),
        "encoders": _named("encoder", encoders.encoder_names()),
        "encoder-parameters": table(("parameter", "default", "or"), rows),
    }


def metric_tables() -> dict[str, str]:
    """What each metric says of itself, and the costs that are measured without being asked for."""
    from gandiff.evaluate.cost_descriptions import COSTS
    from gandiff.evaluate.result import MetricSpec
    from gandiff.experiments.plugins.registry import metric_class
    from gandiff.experiments.plugins.shipped import METRICS

    rows = []
    for name in METRICS:
        metric: Any = metric_class(MetricSpec(name))
        rows.append((code(name), metric.about.meaning, _parameters(metric), _better(metric.about)))
    costs = [(code(name), about.meaning, _better(about)) for name, about in COSTS.items()]
    return {
        "metrics": table(("metric", "what it says", "parameters", "better"), rows),
        "costs": table(("cost", "what it says", "better"), costs),
    }


def measurement_tables() -> dict[str, str]:
    """What a generator's training logs and measures at ticks, and the alarms."""
    from gandiff.common.measurements import MEASUREMENTS

    kinds: dict[str, list[tuple[str, ...]]] = {"logged": [], "measured": [], "measured-once": []}
    for one in MEASUREMENTS.values():
        places = one.places.split()
        # What the bar shows is of training batches.
        logged = "logged" if one.panel in _LOGGED or "bar" in places else "measured"
        rows = kinds["measured-once" if "once" in places else logged]
        rows.append((code(one.name), one.meaning, one.healthy, ", ".join(one.alarms)))
    head = ("measured", "says", "healthy", "alarm")
    return {name: table(head, rows) for name, rows in kinds.items()}


def _parameters(metric: Callable[..., Any]) -> str:
    parameters = inspect.signature(metric).parameters.values()
    return ", ".join(
        code(one.name if one.default in (None, "") else f"{one.name}={_number(one.default)}")
        for one in parameters
        if one.kind is one.KEYWORD_ONLY
    )


def _better(about: About) -> str:
    if about.target is not None:
        return f"near {about.target:g}"
    return "" if about.direction == "none" else about.direction


def _named(kind: str, names: Mapping[str, str]) -> str:
    return table((kind, "what it is"), [(code(name), says) for name, says in names.items()])


_ROOMS = ("experiments", "evaluate", "models", "reports", "src/gandiff/common")


def rooms() -> dict[str, str]:
    """Every folder of the package: what its docstring says, and its files."""
    found = [
        package
        for room in _ROOMS
        for package in sorted((ROOT / room).rglob("__init__.py"))
        if "__pycache__" not in package.parts
    ]
    rows = []
    for package in found:
        says = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
        files = sorted(path.stem for path in package.parent.glob("*.py") if path != package)
        folder = package.parent.relative_to(ROOT).as_posix()
        rows.append((code(f"{folder}/"), says.split("\n\n")[0], " ".join(files)))
    return {"rooms": table(("folder", "what it does", "files"), rows)}


SOURCES: Sequence[Callable[[], dict[str, str]]] = (
    comparison_tables,
    recipe_table,
    command_pages,
    name_tables,
    pipeline_tables,
    metric_tables,
    measurement_tables,
    rooms,
)


def all_tables() -> dict[str, str]:
    """Every table by its name."""
    return {name: text for source in SOURCES for name, text in source().items()}
