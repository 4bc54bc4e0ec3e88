"""The tables of pipelines and of their solvers, made from what their toys show (measured.json)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from cells import code, table
from measure import MEASURED

_BATCH = {
    "several images in one call fail": "one by one: two in a call fail",
    "an image depends on the others": "one by one: they depend on each other",
    "the class takes one prompt": "one by one: takes one prompt",
    "the class takes one generator": "one by one: takes one generator",
    "the class draws what": "one by one: one seed for all its language model writes",
}


def pipeline_tables() -> dict[str, str]:
    """How each family is run without settings, what an image costs, which solvers draw."""
    known: Mapping[str, dict[str, Any]] = json.loads(MEASURED.read_text(encoding="utf-8"))
    head = ("toy", "class", "family", "steps", "guidance", "meaning", "size", "NFE", "in a batch")
    rows = [(name, *_row(facts)) for name, facts in known.items()]
    return {"pipelines": table(head, rows), "family-solvers": _solvers(known)}


def _row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        code(facts["class"].replace(" + ", "` + `")),
        facts["family"],
        _numbers(facts["steps"]),
        _numbers(facts["guidance"]),
        code(facts["meaning"]),
        _size(facts["class"].split(" + ")[-1]),
        _nfe(facts),
        _batch(facts["one_by_one"]),
    )


def _numbers(values: Sequence[float | None]) -> str:
    return " + ".join("-" if value is None else f"{value:g}" for value in values)


def _size(name: str) -> str:
    """Width and height of the images of a class in px, where it does not leave them to the
    configuration of its networks.
    """
    from gandiff.models.diffusion.evidence import Evidence
    from gandiff.models.diffusion.signatures import class_defaults
    from gandiff.models.diffusion.size import own_sizes

    sizes = own_sizes(Evidence(class_name=name), class_defaults(name))
    return f"{sizes[0][1]} x {sizes[0][0]}" if sizes else "by its network"


def _nfe(facts: Mapping[str, Any]) -> str:
    parts = [f"{count} {name}" for name, count in facts["nfe_by_network"].items()]
    return f"{facts['nfe']}" + (f" ({', '.join(parts)})" if parts else "")


def _batch(remark: str | None) -> str:
    if remark is None:
        return "the same"
    return next(words for start, words in _BATCH.items() if start in remark)


def _solvers(known: Mapping[str, dict[str, Any]]) -> str:
    toys = defaultdict(list)
    for name, facts in known.items():
        toys[tuple(facts["solvers"])].append(name)
    ordered = sorted(toys.items(), key=lambda item: -len(item[0]))
    most = max(map(len, toys))
    rows = [(", ".join(names), _listed(solvers, most)) for solvers, names in ordered]
    return table(("toys", "solvers that draw"), rows)


def _listed(solvers: Sequence[str], most: int) -> str:
    if not solvers:
        return "none but their own"
    return f"all {most}" if len(solvers) == most else ", ".join(map(code, solvers))
