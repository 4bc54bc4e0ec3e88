"""Captioned images to train on: the endless scenes, or a folder of pictures with captions."""

from __future__ import annotations

import abc
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from gandiff.common.errors import RequestError
from gandiff.common.files import expanded
from gandiff.common.words import counted
from gandiff.experiments.data.decode import decode
from gandiff.experiments.data.files import list_captioned
from gandiff.experiments.data.record import DataRecord, continued, record_pictures
from gandiff.experiments.scenes.captions import caption_facts, captions
from gandiff.experiments.scenes.facts import fits, sample_scenes, scene_seeds
from gandiff.experiments.scenes.mismatches import may_be_joined, mismatched
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import SceneBatch, training_batch

_HOLD_OUT_FROM, _HOLD_OUT_EVERY, _HELD_OUT_MOST = 100, 20, 1000  # pictures
_STRETCH_BITS = 28  # pictures of the training split that belong to one seed
_SEEDS = 1 << 11  # so many stretches lie before the captions that text encoders learn words from


class CaptionedBatch(NamedTuple):
    """Pictures of m rows of a batch of n, with the captions of all n.

    ``mismatched`` holds k captions for each row; ``is_mismatch`` says where they are known not to
    fit the picture, ``contradicts`` where no picture at all fits both them and the right caption.
    ``fits[i, j]`` says whether caption j of the batch fits row i's picture, as far as is known.
    ``every`` has all captions of each row's picture, and nothing where each has the one.
    """

    images: UInt8[np.ndarray, "m h w 3"]
    captions: list[str]
    mismatched: list[list[str]]
    is_mismatch: Bool[np.ndarray, "m k"]
    contradicts: Bool[np.ndarray, "m k"]
    fits: Bool[np.ndarray, "m n"]
    every: Sequence[Sequence[str]] = ()


class CaptionedImages(abc.ABC):
    """Batches by position: the same position gives the same pictures, so training resumes exactly.

    ``count`` is how many different pictures there are; None for an endless stream.
    ``has_hard_negatives`` says that a mismatched caption differs from the right one in one stated
    fact and in nothing else.
    """

    name: str
    resolution: int
    count: int | None
    has_hard_negatives: bool = False

    @abc.abstractmethod
    def batch(
        self, start: int, n: int, *, num_mismatched: int = 0, rows: range | None = None
    ) -> CaptionedBatch:
        """Pictures ``start .. start + n``, of which ``rows`` (all) are drawn.

        ``num_mismatched`` is how many mismatched captions each gets.
        """

    @abc.abstractmethod
    def held_out(self, n: int) -> CaptionedBatch:
        """n pictures, at most, that training never sees."""

    @abc.abstractmethod
    def captions(self, n: int) -> list[str]:
        """n captions to learn words from."""

    def facts(self) -> dict[str, Any]:
        """What a training's record says of data in files."""
        return {}

    def require(self, batch: int) -> None:
        """Raise ``RequestError`` if there are fewer pictures than one batch needs."""
        if self.count is not None and self.count < batch:
            raise RequestError(
                f"{self.name} has {counted(self.count, 'image')}, fewer than a batch of {batch}; "
                "add images or lower --batch-size"
            )


class SceneImages(CaptionedImages):
    """The scenes of the training split; never a held-out pair. The seed chooses the stretch."""

    has_hard_negatives = True

    def __init__(self, resolution: int = 32, seed: int = 0) -> None:
        if not 0 <= seed < _SEEDS:
            raise RequestError(f"--seed must be from 0 to {_SEEDS - 1} for scenes, got {seed}")
        self.name, self.resolution, self.seed, self.count = "scenes", resolution, seed, None

    def batch(
        self, start: int, n: int, *, num_mismatched: int = 0, rows: range | None = None
    ) -> CaptionedBatch:
        """Scenes; a mismatched caption differs in one fact, the hardest kind there is."""
        seeds = scene_seeds("train", (self.seed << _STRETCH_BITS) + start, n)
        scenes = sample_scenes(seeds)
        facts = caption_facts(scenes, seeds)
        own = np.arange(n) if rows is None else np.arange(rows.start, rows.stop)
        drawn = scenes[own]
        i, j = np.divmod(np.arange(len(own) * n), n)
        batch_fits = fits(facts[j], drawn[i]).reshape(len(own), n)
        texts = []
        is_mismatch, contradicts = np.zeros((2, len(own), num_mismatched), bool)
        for k in range(num_mismatched):
            draw = np.random.default_rng([self.seed, start, k])
            other = mismatched(facts, draw, held_out=False)[own]
            texts.append(captions(other, seeds[own]))
            is_mismatch[:, k] = ~fits(other, drawn)
            contradicts[:, k] = ~may_be_joined(facts[own], other)
        by_row = [[text[i] for text in texts] for i in range(len(own))]
        pictures, right = render(drawn, self.resolution), captions(facts, seeds)
        return CaptionedBatch(pictures, right, by_row, is_mismatch, contradicts, batch_fits)

    def drawn(self, start: int, n: int) -> SceneBatch:
        """The scenes ``start .. start + n``, with what was drawn."""
        seeds = scene_seeds("train", (self.seed << _STRETCH_BITS) + start, n)
        return training_batch(seeds, self.resolution)

    def held_out(self, n: int) -> CaptionedBatch:
        """Scenes of the validation split."""
        drawn = training_batch(scene_seeds("validation", 1 << 30, n), self.resolution)
        none, own = np.zeros((n, 0), bool), np.eye(n, dtype=bool)
        return CaptionedBatch(drawn.images, drawn.captions, [[] for _ in own], none, none, own)

    def captions(self, n: int) -> list[str]:
        """Captions from the far end of the split, so that no training picture is drawn twice."""
        seeds = scene_seeds("train", 1 << 39, n)
        return captions(caption_facts(sample_scenes(seeds), seeds), seeds)


class FileImages(CaptionedImages):
    """Captioned pictures in files; see ``data.files.list_captioned`` for the layouts.

    Of a hundred or more, one in twenty (a thousand at most) is held out, by a hash of its name;
    with the record of a training that goes ``before``, those that it held out. ``record`` has the
    files that could be read, and which of them are held out.
    """

    def __init__(
        self, source: Path, resolution: int, seed: int = 0, before: DataRecord | None = None
    ) -> None:
        self.name, self.resolution, self.seed = str(source), resolution, seed
        listed = list_captioned(source)
        images, good = decode([one.path for one in listed], resolution)
        if not good:
            raise RequestError(f"none of {counted(len(listed), 'image')} in {source} could be read")
        pictures = [listed[i] for i in good]
        self.record = record_pictures(source, pictures, _hold_out([one.path for one in pictures]))
        if before is not None:
            self.record = continued(before, self.record)
        held = self.record.held_out
        self._all, self._texts = images, [one.captions for one in pictures]
        self._held, self._kept = np.flatnonzero(held), np.flatnonzero(~held)
        self.count = len(self._kept)

    def batch(
        self, start: int, n: int, *, num_mismatched: int = 0, rows: range | None = None
    ) -> CaptionedBatch:
        """A pass over all pictures in random order, then another in a new one.

        Never mirrored: a caption may say which side something is on. Of several captions each pass
        takes the next. A mismatched caption is that of another picture, taken by the same turn: a
        discriminator could otherwise recognise it by its style.
        """
        self.require(n)
        epochs, offsets = np.divmod(np.arange(start, start + n), len(self._kept))
        orders = {
            e: np.random.default_rng([self.seed, e]).permutation(self._kept) for e in set(epochs)
        }
        chosen = [int(orders[e][o]) for e, o in zip(epochs, offsets, strict=True)]
        texts = [self._caption(i, int(e)) for i, e in zip(chosen, epochs, strict=True)]
        own = list(rows) if rows is not None else list(range(n))
        draw = np.random.default_rng([self.seed, start, 1])
        others = draw.integers(len(self._kept), size=(n, num_mismatched))
        turns = [int(epochs[i]) for i in own]
        return self._make([chosen[i] for i in own], texts, self._kept[others[own]], turns)

    def held_out(self, n: int) -> CaptionedBatch:
        """The first held-out pictures; none where there are too few to hold any out."""
        chosen = [int(i) for i in self._held[:n]]
        texts = [self._caption(i, 0) for i in chosen]
        none = np.zeros((len(chosen), 0), np.int64)
        return self._make(chosen, texts, none, [0] * len(chosen))

    def facts(self) -> dict[str, Any]:
        """How many pictures there are, how many are held out, and what all of it hashes to."""
        return {"pictures": self.record.summary()}

    def _make(
        self, chosen: list[int], texts: list[str], others: np.ndarray, turns: list[int]
    ) -> CaptionedBatch:
        """Pictures ``chosen``; caption j fits picture i where it is one of its captions.

        ``turns`` are the passes by which the captions of ``others``, a row each, are taken.
        """
        fits = np.array([[text in self._texts[i] for text in texts] for i in chosen], bool)
        wrong = [
            [self._caption(int(j), turn) for j in row]
            for row, turn in zip(others, turns, strict=True)
        ]
        pairs = zip(chosen, wrong, strict=True)
        is_mismatch = [[text not in self._texts[i] for text in row] for i, row in pairs]
        return CaptionedBatch(
            np.ascontiguousarray(self._all[chosen]),
            texts,
            wrong,
            np.array(is_mismatch, bool).reshape(others.shape),
            np.zeros(others.shape, bool),  # what words mean is not known
            fits.reshape(len(chosen), len(texts)),
            [self._texts[i] for i in chosen],
        )

    def _caption(self, picture: int, epoch: int) -> str:
        texts = self._texts[picture]
        return texts[epoch % len(texts)]

    def captions(self, n: int) -> list[str]:
        """The captions of the training pictures, n at most."""
        texts = (text for i in self._kept for text in self._texts[i])
        return list(itertools.islice(texts, n))


def _hold_out(paths: Sequence[Path]) -> Bool[np.ndarray, " n"]:
    """Which pictures are held out; the same ones wherever the folder lies."""
    if len(paths) < _HOLD_OUT_FROM:
        return np.zeros(len(paths), bool)
    ranks = np.array([zlib.crc32(path.name.encode()) for path in paths])
    most = min(_HELD_OUT_MOST, len(paths) // _HOLD_OUT_EVERY)
    held = np.zeros(len(paths), bool)
    held[np.argsort(ranks, kind="stable")[:most]] = True
    return held


def open_data(
    data: str, resolution: int, seed: int = 0, before: DataRecord | None = None
) -> CaptionedImages:
    """``scenes``, a folder or a COCO file; raises ``RequestError`` without captioned images.

    ``before`` is what a training that is resumed recorded of its pictures.
    """
    if data == "scenes":
        return SceneImages(resolution, seed)
    return FileImages(expanded(data), resolution, seed, before)
