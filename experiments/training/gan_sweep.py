"""Short trainings that differ in one number of the recipe, and which of them to take."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandiff.experiments.errors import RequestError
from gandiff.experiments.training.gan_recipe import GanRecipe, read_number
from gandiff.experiments.training.request import TrainingRequest

_SHOWN = ("score", "all", "unstated_coverage", "diversity", "fd", "recall")
_TEXT = ("text_encoder", "tokenizer")
_PICTURES = 1000  # that a score of scenes is measured on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One value, and what its training reached at its last tick."""

    value: str
    out: Path
    last: dict[str, float]
    kimg: float
    minutes: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """All trials of one number; ``text`` is a table and a recommendation."""

    name: str
    trials: list[Trial]
    recommended: str | None
    text: str


def read_sweep(text: str) -> tuple[str, list[str]]:
    """``gamma=0.25,1,4``: the name and at least two values; raises ``RequestError``."""
    name, _, values = text.partition("=")
    found = [value.strip() for value in values.split(",") if value.strip()]
    if len(found) < 2:
        raise RequestError(f"--sweep {text}: needed is NAME=VALUE,VALUE,... such as gamma=0.25,1,4")
    for value in found:
        read_number(name.strip(), value)
    return name.strip(), list(dict.fromkeys(found))


def sweep_recipes(
    request: TrainingRequest, recipe: GanRecipe, name: str, values: Sequence[str]
) -> Sweep:
    """Train each value for the whole budget of the request, the text encoder once.

    A trial that was finished by the same command is not repeated.
    """
    recipes = [dataclasses.replace(recipe, **{name: read_number(name, v)}) for v in values]  # type: ignore[arg-type]
    trials = [_trial(request, one, name, value) for value, one in zip(values, recipes, strict=True)]
    recommended = _recommend(trials)
    return Sweep(
        name=name, trials=trials, recommended=recommended, text=_text(name, trials, recommended)
    )


def _trial(request: TrainingRequest, recipe: GanRecipe, name: str, value: str) -> Trial:
    from gandiff.experiments.training.gan import train

    out = request.out / f"{name}={value}"
    done = _read(out / "training.json")
    if not (done and done["command"] == request.command and done.get("finished")):
        _share_text(request.out, out)
        train(dataclasses.replace(request, out=out), recipe)
        done = _read(out / "training.json")
    assert done is not None
    return Trial(
        value=value,
        out=out,
        last=done["ticks"][-1] if done["ticks"] else {},
        kimg=done["images"] / 1000,
        minutes=done["seconds"] / 60,
    )


def _share_text(folder: Path, out: Path) -> None:
    """Give a trial the text encoder that an earlier one trained."""
    earlier = next((p.parent for p in folder.glob("*/text_training.json")), None)
    if earlier is None or (out / "text_training.json").is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    for name in _TEXT:
        shutil.copytree(earlier / name, out / name, dirs_exist_ok=True)
    shutil.copy2(earlier / "text_training.json", out)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _recommend(trials: Sequence[Trial]) -> str | None:
    """The value with the best score, unless the next one is within what chance can do."""
    ranked = sorted(trials, key=lambda t: t.last.get("score", -math.inf), reverse=True)
    first, second = (t.last.get("score", -math.inf) for t in ranked[:2])
    if not math.isfinite(first):
        return None
    share = min(max(first, 0.0), 1.0)
    noise = 2 * math.sqrt(2 * max(share * (1 - share), 0.01) / _PICTURES) if first > 0 else 0.0
    return ranked[0].value if first - second > noise else None


def _text(name: str, trials: Sequence[Trial], recommended: str | None) -> str:
    columns = [c for c in _SHOWN if any(c in t.last for t in trials)]
    lines = ["  ".join([f"{name:>10}", f"{'kimg':>8}", *(f"{c:>17}" for c in columns)])]
    for trial in trials:
        cells = [f"{trial.last[c]:>17.4g}" if c in trial.last else f"{'':>17}" for c in columns]
        lines.append("  ".join([f"{trial.value:>10}", f"{trial.kimg:>8.1f}", *cells]))
    best = max(trials, key=lambda t: t.last.get("score", -math.inf))
    lines.append(
        f"recommended: --set {name}={recommended}"
        if recommended
        else f"no clear winner: {name}={best.value} has the best score, within what chance can do; "
        "train longer or take the default"
    )
    return "\n".join(lines)
