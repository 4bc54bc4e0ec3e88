"""Short trainings that differ in one number of the recipe, and which of them to take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Sequence
from importlib import import_module
from typing import NamedTuple

from gandiff.common.errors import RequestError
from gandiff.common.measurements import shown_in
from gandiff.experiments.training.checks import open_checked
from gandiff.experiments.training.recipes import Recipe, changed, check_swept, read_number
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import captions_digest
from gandiff.experiments.training.trials import Asked, Trial, begun, ended, run_trial

_PICTURES = 1000  # that a score of scenes is measured on
# Of a Fréchet distance. That of thumbnails of 1000 pictures had a standard deviation of 4 to 20 %
# over draws of the same distribution, the larger the nearer the distribution was to the real one.
_CLOSER = 0.25


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


def read_sweep(cls: type[Recipe], text: str) -> tuple[str, list[str]]:
    """``gamma=0.25,1,4``: the name and at least two different values; raises ``RequestError``."""
    name, _, listed = text.partition("=")
    name, different = name.strip(), dict[object, str]()
    values = list(filter(None, map(str.strip, listed.split(","))))
    if values:
        check_swept(cls, name)
    for value in values:
        different.setdefault(read_number(cls, name, value), value)
    if len(different) < 2:
        raise RequestError(
            f"--sweep {text}: expected NAME=VALUE,VALUE,... with at least two different values, "
            f"such as {cls.example}"
        )
    return name, list(different.values())


def sweep_recipes(
    request: TrainingRequest,
    recipe: Recipe,
    name: str,
    values: Sequence[str],
    fixed: Container[str] = (),
) -> Sweep:
    """Train each value for the whole budget of the request, the text encoder once.

    The end of a schedule moves with its start, unless it is named in ``fixed`` (see ``changed``). A
    trial that is finished already is not repeated: one that had the same request, recipe and data,
    apart from what changes nothing in it (``training_digest``). With ``request.resume`` a trial
    that had them and was interrupted continues from its checkpoint; another one starts again. A
    trial that diverges loses against all others, and is not repeated either, unless its folder is
    deleted. ``values`` are two or more, as ``read_sweep`` gives them. Raises ``RequestError``
    before anything is trained for a trial that cannot work, and for nothing to resume; and in the
    end if all of them diverged.
    """
    check_swept(type(recipe), name)
    numbers = (read_number(type(recipe), name, value) for value in values)
    recipes = [
        changed(recipe, {name: number}, fixed).settled(request.text_encoder) for number in numbers
    ]
    folders = [request.out / f"{name}={value}" for value in values]
    if request.resume and not any(begun(out, recipe) for out in folders):
        raise RequestError(
            f"--resume found no trial of {name} in {request.out}; start without --resume"
        )
    family = import_module(f"gandiff.experiments.training.{recipe.family}.train")
    for out, own in zip(folders, recipes, strict=True):
        # As if each began: of those that are to be resumed some may have nothing yet.
        family.check_training(dataclasses.replace(request, out=out, resume=False), own)
    data = open_checked(request)
    asked = [
        Asked(dataclasses.replace(request, out=out), own, captions_digest(data), data.facts())
        for out, own in zip(folders, recipes, strict=True)
    ]
    source = next((one.request.out for one in asked if ended(one)), folders[0])
    trials = [run_trial(one, value, source) for one, value in zip(asked, values, strict=True)]
    if all(trial.diverged for trial in trials):
        raise RequestError(
            f"--sweep: training diverged with every value of {name} ({', '.join(values)}); "
            "sweep other values, or --set a lower learning rate (lr), or take a larger --batch-size"
        )
    lead = _lead(trials)
    recommended = lead.best.value if lead.ahead > lead.needed else None
    return Sweep(name=name, trials=trials, recommended=recommended, text=_text(name, trials, lead))


def _lead(trials: Sequence[Trial]) -> _Lead:
    """The best score beside the next, and how far apart they must be to tell anything.

    A score of scenes is a share of pictures: two standard errors of a difference, which say nothing
    of what another seed of the training would do. A score below 0 is minus a Fréchet distance,
    whose size depends on the encoder: a part of the distance. Before a trial without a score, which
    one that diverged is, every other leads by infinity.
    """
    best, second = sorted(trials, key=lambda t: t.score, reverse=True)[:2]
    if not math.isfinite(best.score):
        return _Lead(best, 0.0, math.inf, "")
    ahead = best.score - second.score
    if min(s for s in (best.score, second.score) if math.isfinite(s)) < 0:
        return _Lead(best, ahead, _CLOSER * -best.score, f"{_CLOSER:.0%} of its Fréchet distance")
    share = min(best.score, 1.0)
    needed = 2 * math.sqrt(2 * max(share * (1 - share), 0.01) / _PICTURES)
    return _Lead(best, ahead, needed, f"the sampling noise of {_PICTURES} pictures")


def _text(name: str, trials: Sequence[Trial], lead: _Lead) -> str:
    columns = [c for c in shown_in("sweep") if any(c in t.last for t in trials)]
    lines = ["  ".join([f"{name:>10}", f"{'kimg':>8}", *(f"{c:>17}" for c in columns)])]
    for trial in trials:
        cells = [f"{trial.last[c]:>17.4g}" if c in trial.last else f"{'':>17}" for c in columns]
        if trial.diverged:
            cells = [f"{'diverged':>17}"]
        lines.append("  ".join([f"{trial.value:>10}", f"{trial.kimg:>8.1f}", *cells]))
    return "\n".join([*lines, *_verdict(name, lead)])


def _verdict(name: str, lead: _Lead) -> list[str]:
    ahead = f"{lead.ahead:.2g} ahead of the next"
    needed = f"more than {lead.needed:.2g} ({lead.why})"
    if lead.ahead > lead.needed:
        alone = math.isinf(lead.ahead)
        return [
            f"recommended: --set {name}={lead.best.value}",
            "no other has a score" if alone else f"its score is {ahead}; {needed} was needed",
            "seeds of the training add noise to it; confirm with several --seed",
        ]
    if math.isfinite(lead.best.score):
        return [
            f"no clear winner: {name}={lead.best.value} has the best score, but is only {ahead}; "
            f"{needed} is needed; train longer or take the default"
        ]
    return ["no clear winner: no trial has a score; train longer or take the default"]
