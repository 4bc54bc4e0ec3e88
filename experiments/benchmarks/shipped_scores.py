"""Writes ``scores.json`` and the table on the card of the shipped generators.

gandiff run experiments/comparisons/shipped.yaml
python -m gandiff.experiments.benchmarks.shipped_scores runs/shipped
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.common.files import PACKAGE, read_json, write_atomically
from gandiff.common.run_record import RESULTS, RunRecord, read_record
from gandiff.experiments.plugins.registry import current_type
from gandiff.experiments.training.cards import with_scores

PRETRAINED = PACKAGE / "models" / "pretrained"
_ORACLE = "gandiff.experiments.scenes.oracle:sample"
_CEILING = "gandiff.experiments.scenes.oracle:reconstruct"
_MACHINE = ("latency_seconds", "images_per_second", "load_seconds", "peak_memory_bytes")


def write_scores(run: Path) -> list[Path]:
    """Write the scores of every shipped generator in a run; returns the files.

    Raises ``RequestError`` if the run is not finished. Rows about the machine are left out.
    """
    import pandas as pd

    record = read_record(run)
    if record.status != "done" or not (run / RESULTS).is_file():
        raise RequestError(f"{run} is no finished run; start with: gandiff run FILE")
    table = pd.read_parquet(run / RESULTS)
    by_folder: dict[str, dict[str, Any]] = {}
    perfect, ceilings = {}, dict[str, Any]()
    asked = record.comparison["generators"]
    for name, facts in record.generators.items():
        settings = facts["settings"]
        folder = settings.get("weights") or settings.get("pipeline")
        rows: Any = table[table["generator"] == name].to_dict("records")
        type_ = current_type(asked[name].get("type", ""))
        if type_ == _ORACLE:
            perfect = _entry(facts, rows)["metrics"]
        if type_ == _CEILING:
            ceilings[str(folder)] = _entry(facts, rows)["metrics"]
        elif folder and (PRETRAINED / str(folder)).is_dir():
            by_folder.setdefault(str(folder), {})[name] = _entry(facts, rows)
    return [
        # What real scenes get in the place of a model, and real scenes through its autoencoder.
        _write(record, folder, entries, {"perfect": perfect, "ceiling": ceilings.get(folder, {})})
        for folder, entries in by_folder.items()
    ]


def _entry(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    metrics = {row["metric"]: _row(row) for row in rows if row["metric"] not in _MACHINE}
    accuracy = metrics.get("scene_accuracy/all", {}).get("value")
    return {
        "scene_accuracy_all": accuracy,
        "settings": facts["settings"],
        "weights_sha256": facts["weights_sha256"],
        "metrics": metrics,
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    def number(value: Any) -> float | None:
        return None if value is None or value != value else float(value)

    return {
        **{key: number(row[key]) for key in ("value", "low", "high")},
        "unit": row["unit"],
        "images": number(row["images"]),
        "references": number(row["references"]),
        "protocol": json.loads(row["protocol"]),
    }


def _write(
    record: RunRecord, folder: str, entries: Mapping[str, Any], real: Mapping[str, Any]
) -> Path:
    path = PRETRAINED / folder / "scores.json"
    data = {
        "command": record.command,
        "suite": {k: getattr(record.suite, k) for k in ("name", "version", "sha256", "prompts")},
        "samples_per_prompt": record.comparison["samples_per_prompt"],
        "seed": record.comparison["seed"],
        "packages": {k: record.environment.packages.get(k) for k in ("torch", "diffusers")},
        "generators": entries,
        **real,
    }
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())
    card = path.with_name("README.md")
    write_atomically(card, with_scores(card.read_text(encoding="utf-8"), data).encode())
    return path


def table_of(path: Path) -> str:
    """The values of a ``scores.json`` beside those of real scenes, a line for each metric."""
    data: dict[str, Any] = read_json(path)
    lines = []
    for name, entry in data["generators"].items():
        lines.append(f"{path.parent.name}: {name}")
        for metric, row in entry["metrics"].items():
            real = data["perfect"].get(metric, {}).get("value")
            beside = f"{real:>12.4g}" if real is not None else ""
            value = "not measured" if row["value"] is None else f"{row['value']:.4g}"
            lines.append(f"  {metric:<44}{value:>12}{beside}")
    return "\n".join(lines)


if __name__ == "__main__":
    for written in write_scores(Path(sys.argv[1])):
        print(written)
        print(table_of(written))
