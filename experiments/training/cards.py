"""Model cards, written from the training record so that no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = "library_name: gandiff\n"
_LICENCE = "license: apache-2.0\n"  # of what is made of scenes alone, which are ours


def _cost(record: Mapping[str, Any]) -> str:
    minutes, times = record["seconds"] / 60, record.get("resumed", 0)
    resumed = f"; resumed {times} time{'s' if times > 1 else ''}" if times else ""
    machine = f"{record.get('threads', '?')} threads, {record.get('cpu', 'unknown processor')}"
    return (
        f"{_commands(record)}"
        f"- Seed: {record['seed']}\n"
        f"- Cost: {minutes:.1f} minutes of wall time on {record['device']} ({machine}){resumed}\n"
        f"- Images shown: {record['images']:,} in {record['steps']:,} steps, "
        f"batch {record['batch_size']}\n"
    )


def _commands(record: Mapping[str, Any]) -> str:
    """The command of each start: a training that went on may have done so with other options."""
    first, *later = record.get("commands") or [{"command": record["command"]}]
    lines = [f"- Command: `{first['command']}`\n"]
    for start in later:
        lines.append(f"- From {start['images']:,} images on: `{start['command']}`\n")
    return "".join(lines)


def judge_card(name: str, record: Mapping[str, Any]) -> str:
    """Card of a judge."""
    alone = ""
    if " judges" in record["command"]:  # which trains three, one after the other
        alone = "The command trains three judges; seed, cost and images are this one's share.\n"
    rows = "\n".join(f"| {k} | {v:.4f} |" for k, v in record["validation"].items())
    return (
        f"---\n{_LICENCE}{_HEAD}---\n\n# {name}\n\n"
        "A judge of procedural scenes: it scores what generators make and never conditions one.\n"
        "It was trained on scenes from seeds of its own, with every (shape, colour) pair, half of\n"
        "them blurred, noised or resampled. Its weights are frozen: their sha256 is in the\n"
        "protocol of every number that it gives.\n\n"
        f"## Training\n\n{alone}{_cost(record)}\n"
        "## On unseen scenes of all pairs\n\n| what | value |\n| --- | --: |\n"
        f"{rows}\n\n"
        "The same command measures these at its end and writes them to `training.json`.\n"
    )


def generator_card(name: str, summary: str, record: Mapping[str, Any]) -> str:
    """Card of a generator; ``record`` is its training record.

    It names a licence only where everything in the model was made from scenes: those of a user's
    pictures and of others' text encoders are not known here.
    """
    scenes, given = record["data"] == "scenes", (record.get("text") or {}).get("source")
    licence = _LICENCE if scenes and given is None else ""
    reader = f"- Text encoder: that of `{given}`, as it was\n" if given is not None else ""
    unseen = " The held-out (shape, colour) pairs were never shown to it." if scenes else ""
    return (
        f"---\n{licence}{_HEAD}pipeline_tag: text-to-image\n---\n\n# {name}\n\n{summary}\n"
        f"\n## Training\n\n{_cost(record)}"
        f"- Data: {record['data']} at {record['resolution']} px\n{reader}\n"
        "## Scores\n\n"
        "If a `scores.json` lies beside this card, it holds scores with intervals and protocols.\n"
        "Models that ship with gandiff have one, as\n"
        "`gandiff run experiments/comparisons/shipped.yaml` measures it.\n\n"
        "## Use\n\n"
        "It draws pictures like those it was trained on, from captions like theirs, and nothing\n"
        f"else.{unseen}\n"
    )
