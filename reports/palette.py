"""One colour per family of generators, one marker per generator; safe for colour-blind readers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gandiff.reports.run_data import GeneratorFacts

# From Okabe and Ito's set, the two main ones darkened or lightened until they reach a contrast of
# 3:1 on white and on a near-black ground.
FAMILY_COLOURS: Mapping[str, str] = {
    "gan": "#d5600a",
    "diffusion": "#2b7bba",
    "distilled": "#0f9a76",
    "hybrid": "#8a6fc9",
    "folder": "#b8669a",
    "other": "#7d8590",
}
# Results of before that a run keeps as NAME@1, beside what the generator makes now.
_KEPT, _KEPT_COLOUR = "kept", "#8d7f56"
FAMILY_NAMES: Mapping[str, str] = {
    "gan": "GAN",
    "diffusion": "diffusion",
    "distilled": "distilled",
    "hybrid": "distilled adversarially",
    "folder": "folder of images",
    "other": "other",
    _KEPT: "kept from before",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


@dataclasses.dataclass(frozen=True)
class Look:
    """How a generator is drawn everywhere."""

    colour: str
    marker: str  # of matplotlib
    family: str


def looks(generators: Mapping[str, GeneratorFacts]) -> dict[str, Look]:
    """Give every generator its family's colour and, within the family, a marker of its own."""
    seen: dict[str, int] = {}
    found = {}
    for name, facts in generators.items():
        family = facts.family if facts.family in FAMILY_COLOURS else "other"
        colour = FAMILY_COLOURS[family]
        if "@" in name:  # which no name that a person gives may hold
            family, colour = _KEPT, _KEPT_COLOUR
        number = seen[family] = seen.get(family, -1) + 1
        found[name] = Look(colour, _MARKERS[number % len(_MARKERS)], family)
    return found
