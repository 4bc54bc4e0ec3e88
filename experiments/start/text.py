"""A comparison file with what may be said in it: comments are those of the settings themselves."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.experiments.config.schema import comparison_schema
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.config.yaml_source import write_yaml
from gandiff.experiments.runs.describe import about_metric

WIDTH = 100
# What is written as a comment where it is not set, with a value to start from.
DEFAULTS = {
    "seed": Comparison.seed,
    "device": Comparison.device,
    "dtype": Comparison.dtype,
    "batch_size": Comparison.batch_size,
    "timing": "off",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "gan": {"truncation_psi": 0.7},
    "diffusers": {"scheduler": "dpmsolver++", "num_inference_steps": 20, "guidance_scale": 5.0},
    "folder": {"pattern": "{prompt_id}_{sample}", "resize": 512, "source": "Midjourney"},
}


def write_text(data: Mapping[str, Any], left_out: Mapping[str, str], file: str) -> str:
    """The file of a comparison, which its commands call ``file``: ``data`` with comments, and as
    comments the usual fields that are not set. ``left_out`` are metrics with the reason why they
    stand as comments.
    """
    schema = comparison_schema()
    fields, kinds = schema["properties"], schema["$defs"]
    lines = [
        "# A comparison: which models, on which prompts, and how they are measured.",
        "#",
        f"#   gandiff validate {shlex.quote(file)}",
        f"#   gandiff run {shlex.quote(file)} --limit 8     a first look",
        f"#   gandiff run {shlex.quote(file)}",
        "#",
        "# Settings that stand behind a # have no effect; take the # away to set them.",
    ]
    for name, value in data.items():
        lines += ["", *_comment(fields[name]["description"])]
        if name == "generators":
            lines += ["generators:", *_generators(value, kinds)]
        elif name == "metrics":
            lines += _metrics(value, left_out)
        else:
            lines += _yaml(name, value)
    for name, value in DEFAULTS.items():
        if name not in data:
            lines += ["", *_comment(fields[name]["description"]), *_off(_yaml(name, value))]
    return "\n".join(lines) + "\n"


def _generators(
    generators: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, Any]
) -> Iterator[str]:
    for name, entry in generators.items():
        kind = kinds.get(entry["type"], kinds["other"])
        yield from _comment(kind["description"], 2)
        yield from _indented(_yaml(name, None), 2)
        for setting, value in entry.items():
            yield from _indented(_yaml(setting, value), 4)
        for setting, value in SETTINGS.get(entry["type"], {}).items():
            if setting not in entry and not ("mapping" in entry and setting == "pattern"):
                yield from _comment(kind["properties"][setting]["description"], 4)
                yield from _off(_indented(_yaml(setting, value), 4), 4)


def _metrics(metrics: list[str], left_out: Mapping[str, str]) -> Iterator[str]:
    yield "metrics:" if metrics else "metrics: []"
    for metric in (*metrics, *left_out):
        yield from _comment(about_metric(metric).meaning, 2)
        if metric in left_out:
            yield from _comment(f"Not measured: {left_out[metric]}", 2)
        item = _yaml("metrics", [metric])[1:]
        yield from _off(item, 2) if metric in left_out else item


def _yaml(name: str, value: Any) -> list[str]:
    first, *rest = write_yaml({name: value}).splitlines()
    return [first, *_indented(rest, 2 if isinstance(value, list) else 0)]


def _off(lines: list[str], columns: int = 0) -> list[str]:
    return [f"{' ' * columns}# {line[columns:]}" for line in lines]


def _indented(lines: list[str], columns: int) -> list[str]:
    return [f"{' ' * columns}{line}" for line in lines]


def _comment(text: str, columns: int = 0) -> list[str]:
    start = " " * columns + "# "
    plain = " ".join(text.replace("`", "").split())
    return textwrap.wrap(plain, WIDTH, initial_indent=start, subsequent_indent=start)
