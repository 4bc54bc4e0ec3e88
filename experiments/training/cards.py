"""Model cards, written from the training record so that no figure is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.files import write_atomically
from gandiff.common.finished_training import (
    VARIED,
    ceiling,
    neighbours,
    phases,
    real_row,
    settings_table,
)
from gandiff.common.measurements import shown_in
from gandiff.common.words import counted
from gandiff.experiments.training.claim import CARD
from gandiff.reports.values import show_number

_HEAD = "library_name: gandiff\n"
_LICENCE = "license: apache-2.0\n"  # of what is made of scenes alone, which are ours


GAN_USE = """```python
from gandiff.models.gan.model import TextToImageGan

gan = TextToImageGan.from_pretrained("path/to/this/folder")  # or its id on the hub
picture = gan("a caption", seeds=[1], truncation_psi=0.7)[0]
```

In a comparison file it is `{type: gan, weights: path/to/this/folder}`.

"""
_SCORES, _USE = "## Scores\n\n", "\n## Use\n"
_MEASURED = "|".join(["Ceiling", "Copies", *(about.capitalize() for about, _ in VARIED.values())])
_SECTION = re.compile(rf"\n## (?:{_MEASURED})\b.*?(?=\n## )", re.DOTALL)
_GUIDANCE = re.compile(r"\b(guidance_scale(?:=|: ))[\d.]+")
_FOLLOWS = {"control_iou": "foreground where asked (IoU)", "all": "all facts right"}


def pipeline_use(steps: int, guidance: float, imports: str = "") -> str:
    """How a pipeline is called at the point that it was measured at, after more ``imports``."""
    return f"""```python
from diffusers import StableDiffusionPipeline
{imports}
pipeline = StableDiffusionPipeline.from_pretrained("path/to/this/folder")  # or its id on the hub
picture = pipeline(
    "a caption", num_inference_steps={steps}, guidance_scale={guidance:g}
).images[0]
```

In a comparison file it is `{{type: diffusers, pipeline: path/to/this/folder}}`.

"""


def controlnet_use(pipeline: str, point: tuple[int, float]) -> str:
    """How a ControlNet is used beside its pipeline, at the point that it was measured at."""
    steps, guidance = point
    return f"""```python
import diffusers

controlnet = diffusers.ControlNetModel.from_pretrained("path/to/this/folder")
pipeline = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
    "path/to/{pipeline}", controlnet=controlnet
)
picture = pipeline(
    "a caption", image=control_image, num_inference_steps={steps}, guidance_scale={guidance:g}
).images[0]
```

In a comparison file of the task `control` it is
`{{type: diffusers, pipeline: {pipeline}, controlnet: path/to/this/folder}}`.
"""


def write_card(folder: Path, card: str) -> None:
    """Write the model card; half of one would not be known as ours any more."""
    write_atomically(folder / CARD, card.encode())


def _measured(record: Mapping[str, Any]) -> str:
    """What the training measured of these weights, in a sentence: at its best tick, or its last."""
    best, ticks = record.get("best"), record.get("ticks") or [{}]
    tick, when = (ticks[-1], "the end of the training") if best is None else (best, "this tick")
    values = ", ".join(f"{name} {tick[name]:.3g}" for name in shown_in("card") if name in tick)
    return f"On validation captions at {when}: {values}.\n" if values else ""


def _at_settings(record: Mapping[str, Any]) -> str:
    """What the autoencoder lets through, whether the model copies, and what other settings gave,
    as sections.
    """
    sections = {"Ceiling": ceiling(record), "Copies": neighbours(record)}
    settings = settings_table(record, show_number)
    parts = [f"\n## {name}\n\n{text}\n" for name, text in sections.items() if text is not None]
    if settings is not None:
        lines = [settings.head, ["--:"] * len(settings.head), *settings.rows]
        rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        real = (
            " The last row is of other real pictures, measured as its own are."
            if real_row(record)
            else ""
        )
        parts.append(
            f"\n## {settings.about.capitalize()}\n\nOf the finished model, on validation "
            f"captions.{real}\n\n{rows}\n"
        )
    return "".join(parts)


def with_settings(card: str, record: Mapping[str, Any]) -> str:
    """A card with the sections of what was measured of the finished model as a record has them."""
    return _SECTION.sub("", card).replace(_USE, _at_settings(record) + _USE, 1)


def with_guidance(card: str, guidance: float) -> str:
    """A card of a pipeline whose example and widget sample with ``guidance``."""
    return _GUIDANCE.sub(rf"\g<1>{guidance:g}", card)


def with_scores(card: str, scores: Mapping[str, Any]) -> str:
    """A card with what a ``scores.json`` holds in the place of its section on scores."""
    head, _, rest = card.partition(_SCORES)
    _, _, use = rest.partition("\n## ")
    suite, samples = scores["suite"], scores["samples_per_prompt"]
    lines = [
        f"`gandiff run experiments/comparisons/shipped.yaml`: {suite['prompts']:,} test prompts, "
        f"{samples} pictures of each.",
        "Brackets hold 95 % intervals; `scores.json` has the protocol of each number, and real",
        "scenes of the same prompts are what a perfect model would get.",
    ]
    beside = {"real scenes": scores["perfect"]}
    if ceiling := scores.get("ceiling"):
        beside["through the autoencoder"] = ceiling
    for name, entry in scores["generators"].items():
        lines += ["", f"| {' | '.join([name, 'value', *beside])} |"]
        lines.append(f"| --- | {' | '.join(['--:'] * (1 + len(beside)))} |")
        for metric, row in entry["metrics"].items():
            cells = [_with_interval(row), *(_real(metric, real) for real in beside.values())]
            lines.append(f"| {' | '.join([f'`{metric}`', *cells])} |")
    return f"{head}{_SCORES}" + "\n".join(lines) + f"\n\n## {use}"


def _real(metric: str, real: Mapping[str, Any]) -> str:
    value = real.get(metric, {}).get("value")
    # Of what a model costs there is nothing to compare.
    return "" if value is None or metric.isidentifier() else f"{value:.4g}"


def _with_interval(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "not measured"
    if row["low"] is None or row["high"] is None:
        return f"{row['value']:.4g}"
    return f"{row['value']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"


def _cost(record: Mapping[str, Any]) -> str:
    minutes, times = record["seconds"] / 60, record.get("resumed", 0)
    resumed = f"; resumed {times} time{'s' if times > 1 else ''}" if times else ""
    threads, processes = record.get("threads"), record.get("processes") or 1
    each = counted(threads, "thread") if threads else "? threads"
    several = f"{processes} processes of {each}" if processes > 1 else each
    processor = f"{several}, {record.get('cpu', 'unknown processor')}"
    machine = record.get("gpu", processor)
    measuring = record.get("measuring_seconds", 0) / 60
    if measuring >= 0.05:
        resumed = f", {measuring:.1f} of them to measure at ticks{resumed}"
    return (
        f"{_commands(record)}"
        f"- Seed: {record['seed']}\n"
        f"- Cost: {minutes:.1f} minutes of wall time on {record['device']} ({machine}){resumed}\n"
        f"{_shown(record)}"
    )


def _shown(record: Mapping[str, Any]) -> str:
    """How many images each network was shown: steps of one are none of the other."""
    lines = [
        f"- Images shown to the {name}: {phase.images:,} in {phase.steps:,} steps, batch "
        f"{round(phase.images / phase.steps)}, in {phase.seconds / 60:.1f} minutes\n"
        for name, phase in phases(record).items()
    ]
    return "".join(lines) or (
        f"- Images shown: {record['images']:,} in {record['steps']:,} steps, "
        f"batch {record['batch_size']}\n"
    )


def _commands(record: Mapping[str, Any]) -> str:
    """The command of each start: a training that went on may have done so with other options."""
    first, *later = record.get("commands") or [{"command": record["command"]}]
    resumed = (f"- From {start['images']:,} images on: `{start['command']}`\n" for start in later)
    return f"- Command: `{first['command']}`\n" + "".join(resumed)


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


def generator_card(
    name: str, summary: str, record: Mapping[str, Any], use: str = "", front: str = ""
) -> str:
    """Card of a generator; ``record`` is its training record, ``use`` shows how it is called.

    ``front`` are more lines of its front matter.

    It names a licence only where everything in the model was made from scenes: those of a user's
    pictures and of others' text encoders are not known here.
    """
    scenes, given = record["data"] == "scenes", (record.get("text") or {}).get("source")
    licence = _LICENCE if scenes and given is None else ""
    scale = (record.get("recipe") or {}).get("train_text")
    how = f"then fine-tuned jointly at {scale:g} times the learning rate" if scale else "as it was"
    reader = f"- Text encoder: that of `{given}`, {how}\n" if given is not None else ""
    unseen = " The held-out (shape, colour) pairs were never shown to it." if scenes else ""
    return (
        f"---\n{licence}{_HEAD}pipeline_tag: text-to-image\n{front}---\n\n# {name}\n\n{summary}\n"
        f"\n## Training\n\n{_cost(record)}"
        f"- Data: {record['data']} at {record['resolution']} px\n{reader}\n"
        f"{_SCORES}{_measured(record)}"
        "`gandiff run FILE` measures it on test captions, with a comparison file that names it.\n"
        f"{_at_settings(record)}"
        f"\n## Use\n\n{use}"
        "It draws pictures like those it was trained on, from captions like theirs, and nothing\n"
        f"else.{unseen}\n"
    )


def controlnet_card(
    name: str, record: Mapping[str, Any], count: int, point: tuple[int, float]
) -> str:
    """Card of a ControlNet with ``count`` parameters; ``point`` is the steps and the guidance that
    it was measured at.
    """
    pipeline, recipe = record["pipeline"]["name"], record["recipe"]
    lines = [
        f"| {key} | " + " | ".join(f"{values.get(name, float('nan')):.3f}" for name in _FOLLOWS)
        for key, values in record.get("control", {}).items()
    ]
    table = "\n".join(
        ["| pictures | " + " | ".join(_FOLLOWS.values()) + " |", "| --- | --: | --: |"]
    )
    shown = f"{table}\n" + "".join(f"{line} |\n" for line in lines) if lines else ""
    return (
        f"---\n{_LICENCE}{_HEAD}pipeline_tag: text-to-image\n---\n\n# {name}\n\n"
        f"A ControlNet for `{pipeline}`, by the {recipe['condition']} of scenes: {count:,} "
        "parameters in half precision.\nThe pipeline stayed as it is; with another one it is of no "
        "use.\n"
        f"\n## Training\n\n{_cost(record)}"
        f"- Data: scenes at {record['resolution']} px, with their {recipe['condition']}\n\n"
        f"{_SCORES}{_measured(record)}\n{shown}"
        f"\n## Use\n\n{controlnet_use(pipeline, point)}"
    )
