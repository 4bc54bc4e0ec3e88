"""What a drawing begins from: a picture to change and its mask, or outlines to follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.common.errors import RequestError
from gandiff.experiments.prompts.sources import (
    Pixels,
    Source,
    read_file,
    source_of,
)
from gandiff.experiments.prompts.suites import Prompt
from gandiff.experiments.prompts.tasks import check_strength
from gandiff.models.generator import GenerationRequest, Generator, Task
from gandiff.models.tasks import Picture, check_control, check_mask, inability, takes_strength

Given = Path | str | np.ndarray | None  # a file, or pixels as in ``source_of``
OPTIONS: Mapping[Picture, str] = {
    "init_image": "--init",
    "mask": "--mask",
    "control_image": "--control",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """The task of all pictures of a drawing, and what it takes."""

    task: Task = "text_to_image"
    sources: Mapping[Picture, Source] = dataclasses.field(default_factory=dict)
    strength: float | None = None

    def prompt(self, id_: str, text: str) -> Prompt:
        """A prompt with the pictures that the task takes."""
        brought: dict[str, Any] = {str(field): one for field, one in self.sources.items()}
        return Prompt(id=id_, text=text, **brought)

    def request(self) -> GenerationRequest:
        """A request of no text, to see what stands against the pictures and the strength."""
        pictures: dict[str, Any] = {str(field): one.pixels for field, one in self.sources.items()}
        return GenerationRequest(
            prompt="", seed=0, task=self.task, strength=self.strength, **pictures
        )


def read_edit(
    init: Given, mask: Given, control: Given, strength: float | None, *, paints: bool
) -> Edit:
    """The task that these pictures make, with their pixels.

    ``paints`` asks for ``paint`` in place of ``inpaint``. Raises ``RequestError`` for pictures that
    cannot be read or make no task, a mask that does not fit, a control image of one colour, and a
    strength that is none.
    """
    given = {"init_image": init, "mask": mask, "control_image": control}
    pictures: dict[Picture, Given] = {f: given[f] for f in OPTIONS if given[f] is not None}
    task = _task(pictures, paints=paints)
    if strength is not None:
        if not takes_strength(task):
            raise RequestError(
                "--strength says how far to go from a picture; give --init, or leave it out"
            )
        try:
            check_strength(strength)
        except ValueError as error:
            raise RequestError(f"--{error}") from None
    sources = {field: _read(field, value) for field, value in pictures.items()}
    _check(sources)
    return Edit(task=task, sources=sources, strength=strength)


def refusal_of(generator: Generator, edit: Edit) -> str | None:
    """Why a model cannot do what is asked, as far as it is known before it is loaded."""
    return inability(generator.info, edit.task) or generator.refusal(edit.request())


def refusals(generators: Mapping[str, Generator], edit: Edit) -> dict[str, str]:
    """``refusal_of`` of those models that have one; raises ``RequestError`` where all have."""
    reasons = {name: refusal_of(one, edit) for name, one in generators.items()}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    if refused.keys() != generators.keys():
        return refused
    able = [name for name, one in generators.items() if edit.task in one.info.abilities]
    said = [f"{name}{':' if name in able else ''} {reason}" for name, reason in refused.items()]
    hint = "; a pipeline takes a ControlNet: --model PIPELINE,controlnet=DIRECTORY"
    more = hint if edit.task == "control" and not able else ""
    raise RequestError(f"no model can do the task {edit.task}: {'; '.join(said)}{more}")


def _task(pictures: Mapping[Picture, Given], *, paints: bool) -> Task:
    if "control_image" in pictures:
        if len(pictures) > 1 or paints:
            raise RequestError(
                "--control goes without --init, --mask and --paint: what follows outlines is drawn "
                "from noise"
            )
        return "control"
    if paints and len(pictures) < 2:
        raise RequestError("--paint takes --init, the picture, and --mask, where to paint")
    if "mask" in pictures:
        if "init_image" not in pictures:
            raise RequestError("--mask takes --init, the picture that changes inside of it")
        return "paint" if paints else "inpaint"
    return "image_to_image" if pictures else "text_to_image"


def _read(field: Picture, value: Given) -> Source:
    try:
        source = source_of(field, value)
        if source is None:
            raise RequestError("must be the path of a picture, got nothing")
        pixels: Pixels = read_file(source) if source.pixels is None else source.pixels
    except (RequestError, ValueError) as error:
        raise RequestError(f"{OPTIONS[field]}: {error}") from None
    return dataclasses.replace(source, pixels=pixels)


def _check(sources: Mapping[Picture, Source]) -> None:
    pixels: dict[Picture, Any] = {field: source.pixels for field, source in sources.items()}
    for field, source in sources.items():
        try:
            if field == "mask":
                check_mask(pixels[field], pixels["init_image"])
            elif field == "control_image":
                check_control(pixels[field])
        except ValueError as error:
            name = " ".join(filter(None, [OPTIONS[field], source.origin]))
            raise RequestError(f"{name} {error}") from None
