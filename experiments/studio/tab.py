"""What one tab of a browser has, apart from all others."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from gandiff.common.words import counted
from gandiff.experiments.studio.studio import Card

_REMEMBERED = 24  # pictures that can be changed further


@dataclasses.dataclass(frozen=True)
class Tab:
    """The picture to change, the outline to follow, and what was drawn, by labels for people."""

    init: Path | None = None
    control: Path | None = None
    drawn: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    def with_card(self, card: Card) -> Tab:
        """The tab with one more picture, the newest first."""
        if card.path is None:
            return self
        order, number = card.order, card.path.parts[-3]  # the folder of its drawing
        label = f"{number}: {order.prompt[:60]}, {order.model}, seed {order.seed}"
        drawn = itertools.islice({label: card.path, **self.drawn}.items(), _REMEMBERED)
        return dataclasses.replace(self, drawn=dict(drawn))


def progress(cards: Sequence[Card], total: int) -> str:
    """How far a drawing is, and in the end what came of it."""
    if len(cards) < total:
        return f"{len(cards)} of {counted(total, 'picture')} ..."
    failed = [card for card in cards if card.path is None]
    said = f"{counted(total - len(failed), 'picture')} drawn"
    if not failed:
        return f"{said}."
    reasons = list(dict.fromkeys(card.reason for card in failed))
    why = f": {reasons[0]}" if len(reasons) == 1 else "; each says why"
    return f"{said}, {len(failed)} not{why}"
