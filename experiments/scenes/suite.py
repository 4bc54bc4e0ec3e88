"""The scene data set as a prompt suite, as reference images and as training batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt64

from gandiff.experiments.scenes.captions import caption_facts, captions, expected
from gandiff.experiments.scenes.facts import Facts, Scenes, sample_scenes, scene_seeds
from gandiff.experiments.scenes.render import render

SUITE_VERSION = "1"
HELD_OUT_EVERY = 5  # every fifth prompt asks for a (shape, colour) pair that no generator has seen
_CHUNK = 256  # scenes that are captioned at a time


def scene_suite(split: str = "test", n: int = 128) -> list[dict[str, Any]]:
    """The first n prompts of a split, each with id, text, category, tags and expected facts.

    A longer suite begins with the shorter one. No two prompts have the same text: a caption that
    came before is passed over. Raises ``ValueError`` if the split has too few different captions.
    """
    usual, held = (_distinct(split, 200 * n + 10_000, held_out=flag) for flag in (False, True))
    prompts: list[dict[str, Any]] = []
    for i in range(n):
        candidate = next(held if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else usual, None)
        if candidate is None:
            raise ValueError(
                f"there are only {i} different prompts in the split {split!r}, not {n}"
            )
        prompts.append(candidate | {"id": f"{split}-{i:05d}"})
    return prompts


def _distinct(split: str, limit: int, *, held_out: bool) -> Iterator[dict[str, Any]]:
    """Prompts of the first ``limit`` scenes, each text once.

    A caption that states a held-out pair is never one of the usual ones, so the two kinds need not
    know of each other.
    """
    seen: set[str] = set()
    for start in range(0, limit, _CHUNK):
        for candidate in _candidates(split, start, _CHUNK, held_out=held_out):
            if candidate["text"] not in seen:
                seen.add(candidate["text"])
                yield candidate


def _candidates(split: str, start: int, count: int, *, held_out: bool) -> list[dict[str, Any]]:
    seeds = scene_seeds(split, start, count, held_out=held_out)
    facts = caption_facts(sample_scenes(seeds), seeds, say_held_out=held_out)
    texts = captions(facts, seeds)
    return [
        {
            "text": texts[i],
            "category": _category(facts, i, held_out),
            "tags": ["held-out pair"] if held_out else [],
            "expected": expected(facts, i),
        }
        for i in range(count)
    ]


def _category(facts: Facts, i: int, held_out: bool) -> str:
    if held_out:
        return "held-out pair"
    if facts.mentions[i] == 1:
        return "one object"
    return "two objects" if facts.relation[i] < 0 else "relation"


def reference_scenes(n: int, start: int = 0) -> Scenes:
    """Real scenes, distributed as those that the suite's prompts were written for.

    They are of the split ``reference``, so no prompt was written for any of them.
    """
    usual = sample_scenes(scene_seeds("reference", start, n))
    held = sample_scenes(scene_seeds("reference", start, n, held_out=True))
    index = np.arange(n)
    is_held = index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    both = {
        name: np.where(is_held.reshape(-1, *[1] * (value.ndim - 1)), getattr(held, name), value)
        for name, value in vars(usual).items()
    }
    return Scenes(**both)


class SceneBatch(NamedTuple):
    """A training batch: pictures, what was drawn, and captions with what they state."""

    images: UInt8[np.ndarray, "n h w 3"]
    scenes: Scenes
    facts: Facts
    captions: list[str]


def training_batch(
    seeds: UInt64[np.ndarray, " n"], resolution: int, variant: int = 0
) -> SceneBatch:
    """Draw and caption the scenes of these seeds."""
    scenes = sample_scenes(seeds)
    facts = caption_facts(scenes, seeds, variant)
    return SceneBatch(render(scenes, resolution), scenes, facts, captions(facts, seeds, variant))
