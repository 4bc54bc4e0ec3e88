"""Model cards, written from the training record so that no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _cost(record: Mapping[str, Any]) -> str:
    minutes = record["seconds"] / 60
    return (
        f"- Command: `{record['command']}`\n"
        f"- Seed: {record['seed']}\n"
        f"- Cost: {minutes:.1f} minutes on {record['device']} "
        f"({record.get('threads', '?')} threads, {record.get('cpu', 'unknown processor')})\n"
        f"- Images shown: {record['images']:,} in {record['steps']:,} steps, batch {record['batch_size']}\n"
    )


def judge_card(name: str, record: Mapping[str, Any]) -> str:
    """Card of a judge."""
    rows = "\n".join(f"| {k} | {v:.4f} |" for k, v in record["validation"].items())
    return (
        f"---\nlicense: apache-2.0\nlibrary_name: gandiff\n---\n\n# {name}\n\n"
        "A judge of procedural scenes: it scores what generators make and never conditions one. It was trained on\n"
        "scenes from seeds of its own, with every (shape, colour) pair, half of them blurred, noised or resampled.\n"
        "Its weights are frozen: their sha256 is in the protocol of every number that it gives.\n\n"
        f"## Training\n\n{_cost(record)}\n"
        "## On unseen scenes of all pairs\n\n| what | value |\n| --- | --: |\n"
        f"{rows}\n\nThe same command measures these at its end and writes them to `training.json`.\n"
    )


def generator_card(name: str, summary: str, record: Mapping[str, Any]) -> str:
    """Card of a shipped generator; scores are in ``scores.json`` beside it."""
    return (
        f"---\nlicense: apache-2.0\nlibrary_name: gandiff\npipeline_tag: text-to-image\n---\n\n# {name}\n\n{summary}\n"
        f"\n## Training\n\n{_cost(record)}- Data: {record['data']} at {record['resolution']} px; "
        "the held-out (shape, colour) pairs were never shown\n\n## Scores\n\n"
        "`scores.json` beside this card holds them with intervals and protocols, as\n"
        "`gandiff run experiments/comparisons/shipped.yaml` measures them.\n\n"
        "## Use\n\nIt draws simple scenes from captions in the manner of the training captions, and nothing else.\n"
    )
