"""Whether settings work, seen from a few images of few steps before the first image of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from gandiff.common.errors import GeneratorError, environment_failure
from gandiff.models.diffusion.hub import first_line
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generation, GenerationRequest, Generator
from gandiff.models.independence import Independence, check_independence

T = TypeVar("T")
Make = Callable[[DiffusersSettings], Generator]
# Steps: one is too few for some solvers, and of two those of second order make three calls, which
# pipelines with room for one more call than steps (semantic guidance) can still keep.
_FEW = 3
# What can be left out to see what is wrong; without them a pipeline takes its own.
_SUSPECTS: dict[str, tuple[str, ...]] = {
    "height and width": ("height", "width"),
    "scheduler and scheduler_options": ("scheduler", "scheduler_options"),
    "scheduler_options": ("scheduler_options",),
    "guidance_scale": ("guidance_scale",),
    "num_inference_steps": ("num_inference_steps",),
}


def try_settings(
    make: Make,
    settings: DiffusersSettings,
    requests: Sequence[GenerationRequest],
    *,
    steps: int | None,
    together: bool,
    exact: bool,
) -> Independence:
    """Make images of two requests with the fewest steps that the solver allows, and say what they
    show.

    ``make`` gives the generator with other settings; ``steps`` is how many the run makes, None if
    the pipeline has none. ``together`` also makes both in one call, as a run does with batches;
    where that fails and a call for each works, the answer says so. Raises ``GeneratorError`` for
    settings with which every image fails, naming the setting that it is due to where leaving it
    out helps. A machine that fails passes as it is.
    """
    problem = ""
    for fewer in _steps(settings, steps, _few(requests)):
        seen, problem = _look(make, fewer, requests, together=together, exact=exact)
        if seen is None and together:
            batch_failure = problem
            seen, problem = _look(make, fewer, requests, together=False, exact=exact)
            if seen is not None:
                seen = dataclasses.replace(seen, batch_failure=batch_failure)
        if seen is not None:
            return seen
    alone = [_works(make, settings, [request]) for request in requests]
    if any(alone) and not all(alone):  # a matter of one prompt, whose images will say so
        return Independence(outside=False, batch_dependent=False, generations=())
    raise GeneratorError(f"{problem}{_advice(make, settings, requests[:1])}")


def _look(
    make: Make,
    settings: DiffusersSettings,
    requests: Sequence[GenerationRequest],
    *,
    together: bool,
    exact: bool,
) -> tuple[Independence | None, str]:
    """What two requests show, or one line on why all of their images fail."""

    def look() -> Independence:
        def generate(chosen: Sequence[GenerationRequest]) -> list[Generation]:
            return _calls(make, settings, chosen, together)

        return check_independence(generate, requests[0], requests[-1], exact=exact)

    seen, problem = _attempt(look)
    if seen is not None:
        reasons = {one.reason for one in seen.generations if one.status == "failed"}
        if len(reasons) == 1 and all(one.status == "failed" for one in seen.generations):
            return None, str(reasons.pop())
    return seen, problem


def _calls(
    make: Make, settings: DiffusersSettings, requests: Sequence[GenerationRequest], together: bool
) -> list[Generation]:
    calls = [requests] if together else [[request] for request in requests]
    return [one for call in calls for one in make(settings).generate(call)]


def _few(requests: Sequence[GenerationRequest]) -> int:
    """So many steps that few of them are made: of an edit only as many as its strength says."""
    return max(math.ceil(_FEW / (request.strength or 1)) for request in requests)


def _steps(settings: DiffusersSettings, steps: int | None, few: int) -> Iterator[DiffusersSettings]:
    """The settings with few steps, then as they are, where few may be the reason of a failure."""
    stages = settings.stages or ()
    if max([steps or 0, *(stage.num_inference_steps or 0 for stage in stages)]) > few:
        short = tuple(dataclasses.replace(stage, num_inference_steps=few) for stage in stages)
        yield dataclasses.replace(settings, num_inference_steps=few, stages=short or None)
    yield settings


def _attempt(call: Callable[[], T]) -> tuple[T | None, str]:
    """What a call gives, or one line on what it raised; a machine that fails passes as it is."""
    try:
        return call(), ""
    except Exception as error:  # pipelines check their arguments in ways of their own
        if environment_failure(error) is not None:
            raise
        name = "" if isinstance(error, GeneratorError | ValueError) else f"{type(error).__name__}: "
        return None, f"{name}{first_line(error)}"


def _advice(make: Make, settings: DiffusersSettings, requests: Sequence[GenerationRequest]) -> str:
    """Which setting to change: the one without which images are made."""
    for key in settings.extra:
        rest = {name: value for name, value in settings.extra.items() if name != key}
        if _works(make, dataclasses.replace(settings, extra=rest), requests):
            return f"; without extra.{key} it works: change that"
    defaults = {field.name: field for field in dataclasses.fields(settings)}
    for words, names in _SUSPECTS.items():
        own = {name: _default(defaults[name]) for name in names}
        other = dataclasses.replace(settings, **own)
        if other != settings and _works(make, other, requests):
            return f"; without {words} it works: change that"
    plain = [dataclasses.replace(request, negative_prompt=None) for request in requests]
    if requests[0].negative_prompt and _works(make, settings, plain):
        return "; without the negative prompt it works: leave it out of the prompts"
    return ""


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _works(make: Make, settings: DiffusersSettings, requests: Sequence[GenerationRequest]) -> bool:
    made, _ = _attempt(lambda: make(settings).generate(requests))
    return made is not None and all(one.status != "failed" for one in made)
