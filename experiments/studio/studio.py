"""The models of a studio, kept loaded, and the pictures that they draw one at a time."""

from __future__ import annotations

import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.devices import check_device
from gandiff.common.errors import GandiffError, reason_of
from gandiff.common.outputs import check_folder
from gandiff.experiments.draw.draw import DTYPE, draw
from gandiff.experiments.draw.edits import read_edit, refusal_of
from gandiff.experiments.draw.models import open_model, open_models
from gandiff.experiments.draw.pictures import Picture as Drawn
from gandiff.experiments.prompts.sources import Pixels
from gandiff.experiments.studio.orders import Order
from gandiff.experiments.studio.pictures import kept
from gandiff.models.generator import Generator, GeneratorInfo
from gandiff.models.shared import shared
from gandiff.models.tasks import Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What became of an order: a picture and the frames on the way to it, or the reason why not."""

    order: Order
    picture: Drawn | None = None
    frames: Sequence[Drawn] = ()
    remarks: Sequence[str] = ()
    reason: str | None = None

    @property
    def path(self) -> Path | None:
        """The file of the picture, None where it could not be drawn."""
        return None if self.picture is None else self.picture.path


class Studio:
    """Models by the texts that name them, and a folder for what they draw.

    One picture is drawn at a time, whoever asks: two at once would share the processor, and their
    times would say nothing.
    """

    def __init__(self, models: Sequence[str], folder: Path, device: str = "auto") -> None:
        """Build the models, no weights are read yet; raises ``RequestError`` for a wrong one."""
        check_folder(folder)
        self._place = check_device(device)
        built: Mapping[str, Generator] = open_models(models)
        self.infos: dict[str, GeneratorInfo] = {name: one.info for name, one in built.items()}
        self._traced = {n for n, one in built.items() if type(one).trace is not Generator.trace}
        self._device, self._given = device, folder / "given"
        self._folder = folder / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{os.getpid()}"
        self._drawing = threading.Lock()
        self._numbers = itertools.count(1)
        self._held: dict[Any, Any] = {}

    @property
    def side(self) -> int:
        """Px, the side of the largest pictures that the models make; 512 if none says."""
        return max((self.side_of(name) for name in self.infos), default=0)

    def side_of(self, model: str) -> int:
        """Px, the side of a model's pictures."""
        return self.infos[model].resolution or 512

    def keep(self, field: Picture, pixels: Pixels) -> Path:
        """A file with these pixels, which a command can name."""
        with self._drawing:
            return kept(field, pixels, self._given)

    def options(self, model: str, *, seed: int, moments: int, **edit: Any) -> dict[str, Any]:
        """The arguments of ``draw`` for a picture; ``moments`` is for models that have steps, and
        what is None is left out.
        """
        shown = moments if model in self._traced else 0
        device = None if self._device == "auto" else self._device
        chosen = {"seed": seed or None, "steps_shown": shown or None, "device": device, **edit}
        return {name: value for name, value in chosen.items() if value is not None}

    def draw(self, orders: Sequence[Order]) -> Iterator[Card]:
        """A card for each order, as soon as it is there; a picture that fails has its reason."""
        for order in orders:
            with self._drawing:
                try:
                    card = self._drawn(order)
                except GandiffError as error:
                    card = Card(order=order, reason=str(error))
                except Exception as error:
                    card = Card(order=order, reason=reason_of(error))
            yield card

    def _drawn(self, order: Order) -> Card:
        generator = open_model(order.model, order.options.get("paint"))
        asked = order.options
        init, mask, control, strength = map(asked.get, ("init", "mask", "control", "strength"))
        edit = read_edit(init, mask, control, strength, paints="paint" in asked)
        refused = refusal_of(generator, edit)
        if refused is not None:
            return Card(order=order, reason=refused)
        key = generator.sharing_key(self._place, DTYPE)
        if key is not None:  # its weights stay, so that the next picture need not wait for them
            self._held.setdefault(key, shared(key))
        out = self._folder / f"{next(self._numbers):04d}.png"
        drawing = draw(order.prompt, [order.model], out=out, **order.options)
        picture, *frames = drawing.pictures
        shown = [frame for frame in frames if frame.image is not None]
        return Card(
            order=order,
            picture=picture,
            frames=shown,
            remarks=drawing.remarks,
            reason=picture.reason if picture.image is None else None,
        )
