"""Short trainings that differ in one number of the recipe, and which of them to take."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import shutil
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.experiments.errors import RequestError
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.gan_recipe import GanRecipe, changed, read_number
from gandiff.experiments.training.records import RECORD
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text_record import TEXT_PARTS, TEXT_RECORD

_SHOWN = ("score", "all", "unstated_coverage", "diversity", "fd", "recall")
_PICTURES = 1000  # that a score of scenes is measured on
# Of a Fréchet distance. That of thumbnails of 1000 pictures had a standard deviation of 4 to 20 %
# over draws of the same distribution, the larger the nearer the distribution was to the real one.
_CLOSER = 0.25
_SAME_TRIAL = {"--resume", "--quiet", "-q", "--json", "--tensorboard", "--sweep", "--out"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One value, and what its training reached at its last tick."""

    value: str
    out: Path
    last: dict[str, float]
    kimg: float
    minutes: float

    @property
    def score(self) -> float:
        """The score; -inf where there is none, or no number."""
        found = self.last.get("score", -math.inf)
        return found if math.isfinite(found) else -math.inf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """All trials of one number; ``text`` is a table and a recommendation."""

    name: str
    trials: list[Trial]
    recommended: str | None
    text: str


class _Lead(NamedTuple):
    """By how much the best score leads, by how much it must, and in words what that is."""

    best: Trial
    ahead: float
    needed: float
    why: str


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
    request: TrainingRequest,
    recipe: GanRecipe,
    name: str,
    values: Sequence[str],
    fixed: Container[str] = (),
) -> Sweep:
    """Train each value for the whole budget of the request, the text encoder once.

    The end of a schedule moves with its start, unless it is named in ``fixed`` (see ``changed``). A
    trial that was finished by the same command is not repeated; options that change nothing in it,
    ``--resume`` among them, do not make it another one. With ``request.resume`` a trial that the
    same command began goes on from its checkpoint; one that it did not begin starts afresh. Raises
    ``RequestError`` before anything is trained for values that cannot work, and for nothing to
    resume.
    """
    recipes = [changed(recipe, {name: read_number(name, v)}, fixed) for v in values]
    folders = [request.out / f"{name}={value}" for value in values]
    if request.resume and not any(map(_begun, folders)):
        raise RequestError(
            f"--resume found no trial of {name} in {request.out}; start without --resume"
        )
    trials = [
        _trial(dataclasses.replace(request, out=out), one, value)
        for out, value, one in zip(folders, values, recipes, strict=True)
    ]
    lead = _lead(trials)
    recommended = lead.best.value if lead.ahead > lead.needed else None
    return Sweep(name=name, trials=trials, recommended=recommended, text=_text(name, trials, lead))


def _trial(request: TrainingRequest, recipe: GanRecipe, value: str) -> Trial:
    from gandiff.experiments.training.gan import train

    done = _read(request.out / RECORD)
    if not (done and done.get("finished") and _same(done, request, recipe)):
        _share_text(request.out)
        train(dataclasses.replace(request, resume=_goes_on(request, recipe)), recipe)
        done = _read(request.out / RECORD)
    assert done is not None
    return Trial(
        value=value,
        out=request.out,
        last=done["ticks"][-1] if done["ticks"] else {},
        kimg=done["images"] / 1000,
        minutes=done["seconds"] / 60,
    )


def _begun(out: Path) -> bool:
    return any((out / name).is_file() for name in (CHECKPOINT, RECORD, TEXT_RECORD))


def _goes_on(request: TrainingRequest, recipe: GanRecipe) -> bool:
    """Whether a checkpoint is there and of this sweep: others may have used the folder before."""
    path = request.out / CHECKPOINT
    if not request.resume or not path.is_file():
        return False
    starts = read_checkpoint(path)["progress"].get("commands")
    return bool(starts) and _same(starts[-1], request, recipe)


def _same(before: Mapping[str, Any], request: TrainingRequest, recipe: GanRecipe) -> bool:
    """Whether a start or a record is of the same command and, as far as it says, recipe."""
    asked = json.loads(json.dumps(dataclasses.asdict(recipe)))  # tuples are lists there
    found = json.loads(json.dumps(before.get("recipe", asked)))
    return bool(found == asked and _options(before["command"]) == _options(request.command))


def _options(command: str) -> list[list[str]]:
    """The options of a command line that decide what a trial is, in no order."""
    options: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--") or word == "-q":
            name, equals, value = word.partition("=")
            options.append([name, value] if equals else [name])
        else:
            options[-1].append(word)
    return sorted(one for one in options if one[:1] and one[0] not in _SAME_TRIAL)


def _share_text(out: Path) -> None:
    """Give a trial the text encoder that an earlier one trained."""
    earlier = next((p.parent for p in out.parent.glob(f"*/{TEXT_RECORD}")), None)
    if earlier is None or (out / TEXT_RECORD).is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    for name in TEXT_PARTS:
        shutil.copytree(earlier / name, out / name, dirs_exist_ok=True)
    shutil.copy2(earlier / TEXT_RECORD, out)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _lead(trials: Sequence[Trial]) -> _Lead:
    """The best score beside the next, and how far apart they must be to tell anything.

    A score of scenes is a share of pictures: two standard errors of a difference. A score below 0
    is minus a Fréchet distance, whose size depends on the encoder: a part of the distance.
    """
    best, second = sorted(trials, key=lambda t: t.score, reverse=True)[:2]
    if not math.isfinite(best.score):
        return _Lead(best, 0.0, math.inf, "")
    ahead = best.score - second.score
    if min(s for s in (best.score, second.score) if math.isfinite(s)) < 0:
        return _Lead(best, ahead, _CLOSER * -best.score, f"{_CLOSER:.0%} of its Fréchet distance")
    share = min(best.score, 1.0)
    needed = 2 * math.sqrt(2 * max(share * (1 - share), 0.01) / _PICTURES)
    return _Lead(best, ahead, needed, f"what chance can do on {_PICTURES} pictures")


def _text(name: str, trials: Sequence[Trial], lead: _Lead) -> str:
    columns = [c for c in _SHOWN if any(c in t.last for t in trials)]
    lines = ["  ".join([f"{name:>10}", f"{'kimg':>8}", *(f"{c:>17}" for c in columns)])]
    for trial in trials:
        cells = [f"{trial.last[c]:>17.4g}" if c in trial.last else f"{'':>17}" for c in columns]
        lines.append("  ".join([f"{trial.value:>10}", f"{trial.kimg:>8.1f}", *cells]))
    ahead = f"{lead.ahead:.2g} ahead of the next"
    needed = f"more than {lead.needed:.2g} ({lead.why})"
    if lead.ahead > lead.needed:
        lines.append(f"recommended: --set {name}={lead.best.value}")
        lines.append(f"its score is {ahead}; {needed} was needed")
    elif math.isfinite(lead.best.score):
        lines.append(
            f"no clear winner: {name}={lead.best.value} has the best score, but is only {ahead}; "
            f"{needed} is needed; train longer or take the default"
        )
    else:
        lines.append("no clear winner: no trial has a score; train longer or take the default")
    return "\n".join(lines)
