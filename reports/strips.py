"""From noise to image: the kept moments of denoising, beside the one step of a GAN."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.reports.gallery import Picture, picture_of
from gandiff.reports.origins import is_made_elsewhere
from gandiff.reports.run_data import RunData
from gandiff.reports.thumbnails import data_uri, thumbnail

_HEAVY = 400_000  # bytes


@dataclasses.dataclass(frozen=True)
class Moment:
    """One kept step of so many; an address is None where there is no picture."""

    step: int
    of: int | None
    timestep: str
    noisy: str | None  # x_t
    estimate: str | None  # what the model takes x_0 to be


@dataclasses.dataclass(frozen=True)
class Strip:
    """One generator from noise to the end, or a stage of a cascade on that way.

    ``animation`` is the address of the whole way as an animated WebP.
    """

    generator: str
    stage: str
    moments: tuple[Moment, ...]
    animation: str | None


@dataclasses.dataclass(frozen=True)
class Denoising:
    """One prompt and seed: the strips of generators that denoise, the images of GANs."""

    prompt: str
    seed: int | None
    strips: tuple[Strip, ...]
    gans: tuple[tuple[str, Picture], ...]


def denoising(run: RunData) -> list[Denoising]:
    """Return what there is to see of each prompt, with the pictures inlined."""
    traces: dict[str, list[Mapping[str, Any]]] = {}
    for trace in run.traces:
        traces.setdefault(str(trace.get("prompt_id") or ""), []).append(trace)
    shown = []
    for prompt_id, those in traces.items():
        strips = tuple(strip for trace in those for strip in _strips(run, trace))
        if strips:
            seed = those[0].get("seed")
            shown.append(
                Denoising(
                    prompt=str(those[0].get("prompt") or ""),
                    seed=seed if isinstance(seed, int) else None,
                    strips=strips,
                    gans=tuple(_gans(run, prompt_id)),
                )
            )
    return shown


def without_steps(run: RunData, shown: Sequence[Denoising]) -> list[tuple[str, str]]:
    """The generators of which nothing is ``shown``, and why."""
    seen = {name for one in shown for name, _ in one.gans}
    reasons = [(str(t.get("generator")), str(t["reason"])) for t in run.traces if t.get("reason")]
    return [(name, reason) for name, reason in reasons if name not in seen]


def _gans(run: RunData, prompt_id: str) -> Iterator[tuple[str, Picture]]:
    """The first sample of a prompt, which is the one that is traced, by each GAN."""
    images = {i.generator: i for i in run.images if i.prompt_id == prompt_id and i.sample == 0}
    for name, facts in run.generators.items():
        if facts.family == "gan" and not is_made_elsewhere(facts):
            yield name, picture_of(run, images.get(name), 0)[0]


def _strips(run: RunData, trace: Mapping[str, Any]) -> Iterator[Strip]:
    stages: dict[str, list[Moment]] = {}
    for frame in trace.get("frames") or ():
        if isinstance(frame, dict):
            total = frame.get("of")
            moment = Moment(
                int(frame.get("step") or 0),
                total if isinstance(total, int) else None,
                _shown(frame.get("timestep")),
                _uri(run, frame.get("noisy")),
                _uri(run, frame.get("estimate")),
            )
            stages.setdefault(str(frame.get("stage") or ""), []).append(moment)
    animation = _animation(run, trace.get("animation"))
    for stage, moments in stages.items():
        if any(m.noisy or m.estimate for m in moments):
            yield Strip(str(trace.get("generator")), stage, tuple(moments), animation)
            animation = None  # with the first stage


def _animation(run: RunData, relative: object) -> str | None:
    """The address of an animation, unless it would weigh on the page."""
    file = run.file(relative)
    if file is None or file.stat().st_size > _HEAVY:
        return None
    return data_uri(file.read_bytes(), "webp")


def _shown(timestep: object) -> str:
    return f"{timestep:g}" if isinstance(timestep, (int, float)) else ""


def _uri(run: RunData, relative: object) -> str | None:
    file = run.file(relative)
    png = None if file is None else thumbnail(file)
    return None if png is None else data_uri(png)
