"""The verdict in at most five sentences, and their premise, computed from the rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gandiff.reports.axes import alone_sentence, axes_of, axis_sentence
from gandiff.reports.comparing import NO_GROUND, lookup
from gandiff.reports.cost_sentences import missing_sentence, speed_sentence
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow, GeneratorFacts, ResultRow
from gandiff.reports.sentence import Sentence
from gandiff.reports.training_sentences import premise, training_sentence


def verdict(
    rows: Sequence[ResultRow],
    differences: Sequence[DifferenceRow],
    generators: Mapping[str, GeneratorFacts],
    headline: Sequence[str],
    ground: Ground = NO_GROUND,
) -> list[Sentence]:
    """Say which of the two headline generators is better, by how much and at what cost.

    At most five sentences: alignment, distribution, diversity, speed, training; of edits a sixth,
    preservation, after the first. Where images are
    missing, speed and training share one, and the fifth says what is missing. Before them stands
    the premise where the two were trained unequally. A generator is called better only if the
    interval of the paired difference leaves out 0 (of the distances from the target where the
    metric has one) or, where there is no paired difference, the two intervals do not overlap; and
    only if ``ground`` has prompts enough and one of the two is better than noise.
    """
    names = [name for name in headline if name in generators][:2]
    if not names:
        return [Sentence("summary", "No generator was run.", "not measured")]
    index = lookup(rows)
    if len(names) == 1:
        absent = [fact for fact in generators.values() if not fact.ok and fact.name not in names]
        scores = [alone_sentence(index, names[0], ground, [_absent(fact) for fact in absent])]
    else:
        scores = [
            axis_sentence(axis, index, differences, names[0], names[1], ground)
            for axis in axes_of(index)
        ]
    facts = [generators[name] for name in names]
    costs = [speed_sentence(index, names, differences), training_sentence(index, facts)]
    unequal, missing = premise(index, facts), missing_sentence(facts)
    scores = [*([unequal] if unequal else []), *scores]
    if missing is None:
        return [*scores, *costs]
    speed, training = costs
    text = f"{speed.text.removesuffix('.')}; {_uncapitalised(training.text, names)}"
    return [*scores, Sentence("cost", text, speed.outcome, speed.winner), missing]


def _absent(fact: GeneratorFacts) -> str:
    """Why a generator is not there to be compared with."""
    can_tell = fact.absence.startswith("cannot ")
    return f"{fact.name} {fact.absence if can_tell else 'made no image'}"


def _uncapitalised(text: str, names: Sequence[str]) -> str:
    """Continue in the middle of a sentence; names keep their capitals."""
    return text if text.startswith(tuple(names)) else text[:1].lower() + text[1:]
