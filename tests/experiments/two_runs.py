"""Building blocks of the tests that compare runs: scored run folders with made-up tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CLIP, FD, ACCURACY = "clip_score(model=scenes)", "fd(encoder=scenes)", "scene_accuracy/all"
PROMPTS = [f"a toy {i}" for i in range(60)]  # two categories of 30: enough to call one better


def row(generator: str, metric: str, value: float | None, half: float | None = None, **more: Any):
    """A row of the results table, with a protocol that a change may replace."""
    known = value is not None and half is not None
    protocol = {"weights_sha256": "ab" * 32, "interval": "bootstrap", **more.pop("protocol", {})}
    return {
        "generator": generator,
        "metric": metric,
        "value": value,
        "low": value - half if known else None,
        "high": value + half if known else None,
        "unit": "",
        "direction": "lower" if metric.startswith(("fd", "lat")) else "higher",
        "images": 2 * len(PROMPTS),
        "protocol": json.dumps(protocol),
        **more,
    }


def scores(
    generator: str, metric: str, values: Sequence[float], prompts: Sequence[str] = PROMPTS
) -> list[dict[str, Any]]:
    """Two images a prompt, a little apart, with a mean that is the given value."""
    return [
        {"generator": generator, "prompt_id": f"{i:03d}", "sample": k, "metric": metric}
        | {"value": value + (k - 0.5) / 100, "category": ""}
        for i, value in enumerate(values[: len(prompts)])
        for k in (0, 1)
    ]


def make_run(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    image_scores: Sequence[Mapping[str, Any]] = (),
    prompts: Sequence[str] = PROMPTS,
    **record: Any,
) -> Path:
    """A scored run folder with these tables."""
    folder.mkdir()
    suite = {"sha256": f"{abs(hash(tuple(prompts))):064x}", "prompts": len(prompts)}
    facts = {"schema": 1, "name": folder.name, "status": "done", "suite": suite, **record}
    (folder / "run.json").write_text(json.dumps(facts))
    lines = [json.dumps({"id": f"{i:03d}", "text": text}) for i, text in enumerate(prompts)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    pd.DataFrame(rows).to_parquet(folder / "results.parquet", index=False)
    if image_scores:
        pd.DataFrame(image_scores).to_parquet(folder / "scores.parquet", index=False)
    return folder


VALUES = np.random.default_rng(0).normal(0.3, 0.1, len(PROMPTS))


def earlier(folder: Path) -> Path:
    """A run with a metric that is scored image by image, one that is not, and a cost."""
    return make_run(
        folder / "a",
        [
            row("gan", CLIP, float(VALUES.mean()), 0.05),
            row("gan", FD, 20.0, 3.0),
            row("gan", "latency_seconds", 0.01, protocol={"cpu": "x", "p90": 0.02}),
        ],
        scores("gan", CLIP, VALUES),
    )


def later(folder: Path, shift: float = -0.02, fd: float = 25.0, **more: Any) -> Path:
    """A later run of the same prompts: every prompt's score is shifted by nearly as much."""
    shifted = VALUES + shift + np.linspace(-0.005, 0.005, len(VALUES))
    name = more.pop("generator", "gan")
    rows = more.pop("rows", ())
    return make_run(
        folder / "b",
        [
            row(name, CLIP, float(shifted.mean()), 0.05),
            row(name, FD, fd, 4.0),
            row(name, "latency_seconds", 0.02, protocol={"cpu": "x", "p90": 0.03}),
            *rows,
        ],
        scores(name, CLIP, shifted),
        **more,
    )
