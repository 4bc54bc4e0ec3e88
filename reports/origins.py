"""Which images of a run gandiff had made, which were made elsewhere, and which follow seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from gandiff.reports.run_data import GeneratorFacts, RunData
from gandiff.reports.sentence import listed


def is_made_elsewhere(facts: GeneratorFacts) -> bool:
    """Whether its images are files that were only looked up."""
    return facts.info.get("cost") == "lookup" or facts.family == "folder"


def takes_seeds(facts: GeneratorFacts) -> bool:
    """Whether an image follows from its seed: of files, only where a seed is in their names."""
    settings = facts.info.get("settings") or {}
    return not is_made_elsewhere(facts) or "{seed" in str(settings.get("pattern") or "")


@dataclasses.dataclass(frozen=True)
class Origins:
    """Names of generators by where their images are from; ``seeded`` are those that take seeds."""

    names: tuple[str, ...]
    made: tuple[str, ...]
    elsewhere: tuple[str, ...]
    seeded: tuple[str, ...]

    @classmethod
    def of(cls, run: RunData, names: Iterable[str] | None = None) -> Origins:
        """Of all generators of a run, or of some."""
        facts = {n: run.generators[n] for n in (run.generators if names is None else names)}
        elsewhere = tuple(n for n, f in facts.items() if is_made_elsewhere(f))
        made = tuple(n for n in facts if n not in elsewhere)
        return cls(
            tuple(facts), made, elsewhere, tuple(n for n, f in facts.items() if takes_seeds(f))
        )

    @property
    def all_seeded(self) -> bool:
        """Whether a seed is the same for all of them."""
        return self.seeded == self.names

    @property
    def beside_pictures(self) -> str:
        """What goes for pictures side by side, to follow a sentence; empty of one alone."""
        if self.all_seeded:
            return ", each generator with the same seed" if len(self.names) > 1 else ""
        return f"; made elsewhere: {listed(self.elsewhere)}"

    @property
    def in_gallery(self) -> str:
        """What rows and columns of the gallery are."""
        if self.all_seeded:
            return (
                "The same prompt and the same seeds for every generator: one row a generator, one "
                "column a seed"
            )
        alike = len(self.seeded) > 1
        seeds = f", and the same seeds for {listed(self.seeded)}" if alike else ""
        unseeded = [name for name in self.names if name not in self.seeded]
        return (
            f"The same prompt for every generator{seeds}: one row a generator, one column a "
            f"sample; made elsewhere, with seeds that are not known: {listed(unseeded)}"
        )

    @property
    def of_seeds(self) -> str:
        """How the seed of an image comes about; empty where none means anything."""
        if not self.seeded:
            return ""
        others = [name for name in self.names if name not in self.seeded]
        but = f" but {listed(others)}, made elsewhere" if others else ""
        return (
            "The seed of an image follows from the run seed, the prompt and the sample number, so "
            f"it is the same for every generator{but}; each is in images.jsonl."
        )
