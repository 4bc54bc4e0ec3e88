"""Captioned images to train on: the endless scenes, or a folder of pictures with captions."""

from __future__ import annotations

import abc
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from gandiff.experiments.errors import RequestError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_STRETCH_BITS = 28  # pictures of the training split that belong to one seed
_SEEDS = 1 << 11  # so many stretches lie before the captions that text encoders learn words from


class CaptionedBatch(NamedTuple):
    """Pictures of m rows of a batch of n, with the captions of all n.

    ``wrong`` holds k wrong captions for each row, and ``mismatch`` says where they are known not to
    fit; ``fit[i, j]`` says whether caption j of the batch fits row i's picture, as far as is known.
    """

    images: UInt8[np.ndarray, "m h w 3"]
    captions: list[str]
    wrong: list[list[str]]
    mismatch: Bool[np.ndarray, "m k"]
    fit: Bool[np.ndarray, "m n"]


class CaptionedImages(abc.ABC):
    """Batches by position: the same position gives the same pictures, so training goes on exactly.

    ``count`` is how many different pictures there are; None for an endless stream.
    """

    name: str
    resolution: int
    count: int | None

    @abc.abstractmethod
    def batch(
        self, start: int, n: int, *, wrong: int = 0, rows: range | None = None
    ) -> CaptionedBatch:
        """Pictures ``start .. start + n``, of which ``rows`` (all) are drawn.

        ``wrong`` is how many wrong captions each gets.
        """

    @abc.abstractmethod
    def held_out(self, n: int) -> CaptionedBatch:
        """n pictures, at most, that training never sees."""

    @abc.abstractmethod
    def captions(self, n: int) -> list[str]:
        """n captions to learn words from."""

    def require(self, batch: int) -> None:
        """Raise ``RequestError`` if there are fewer pictures than one batch needs."""
        if self.count is not None and self.count < batch:
            raise RequestError(
                f"{self.name} has {self.count} images, fewer than a batch of {batch}; "
                "add images or lower --batch-size"
            )


class SceneImages(CaptionedImages):
    """The scenes of the training split; never a held-out pair. The seed chooses the stretch."""

    def __init__(self, resolution: int = 32, seed: int = 0) -> None:
        if not 0 <= seed < _SEEDS:
            raise RequestError(f"--seed must be from 0 to {_SEEDS - 1} for scenes, got {seed}")
        self.name, self.resolution, self.seed, self.count = "scenes", resolution, seed, None

    def batch(
        self, start: int, n: int, *, wrong: int = 0, rows: range | None = None
    ) -> CaptionedBatch:
        """Scenes; a wrong caption differs in one fact, the hardest kind there is."""
        from gandiff.experiments.scenes import fits, mismatched, sample_scenes, scene_seeds
        from gandiff.experiments.scenes_captions import caption_facts, captions
        from gandiff.experiments.scenes_render import render

        seeds = scene_seeds("train", (self.seed << _STRETCH_BITS) + start, n)
        scenes = sample_scenes(seeds)
        facts = caption_facts(scenes, seeds)
        own = np.arange(n)[slice(rows.start, rows.stop) if rows is not None else slice(None)]
        drawn = scenes[own]
        i, j = np.divmod(np.arange(len(own) * n), n)
        fit = fits(facts[j], drawn[i]).reshape(len(own), n)
        texts, mismatch = [], np.zeros((len(own), wrong), bool)
        for k in range(wrong):
            other = mismatched(facts, np.random.default_rng([self.seed, start, k]))[own]
            texts.append(captions(other, seeds[own]))
            mismatch[:, k] = ~fits(other, drawn)
        by_row = [list(row) for row in zip(*texts, strict=True)] if wrong else [[] for _ in own]
        pictures = render(drawn, self.resolution)
        return CaptionedBatch(pictures, captions(facts, seeds), by_row, mismatch, fit)

    def held_out(self, n: int) -> CaptionedBatch:
        """Scenes of the validation split."""
        from gandiff.experiments.scenes import scene_seeds
        from gandiff.experiments.scenes_suite import training_batch

        drawn = training_batch(scene_seeds("validation", 1 << 30, n), self.resolution)
        none = np.zeros((n, 0), bool)
        return CaptionedBatch(
            drawn.images, drawn.captions, [[] for _ in range(n)], none, np.eye(n, dtype=bool)
        )

    def captions(self, n: int) -> list[str]:
        """Captions from the far end of the split, so that no training picture is drawn twice."""
        from gandiff.experiments.scenes import sample_scenes, scene_seeds
        from gandiff.experiments.scenes_captions import caption_facts, captions

        seeds = scene_seeds("train", 1 << 39, n)
        return captions(caption_facts(sample_scenes(seeds), seeds), seeds)


class FolderImages(CaptionedImages):
    """A folder with ``metadata.jsonl`` (``file_name``, ``text``) or ``a.txt`` beside ``a.png``.

    Pictures are cropped to their central square and resized with antialiasing, once, when opened;
    files that cannot be read are counted and named on stderr.
    """

    def __init__(self, folder: Path, resolution: int, seed: int = 0) -> None:
        self.name, self.resolution, self.seed = str(folder), resolution, seed
        if not folder.is_dir():
            raise RequestError(
                f"--data {folder} is no folder; give a folder of captioned images or 'scenes'"
            )
        pairs = list(_captioned(folder))
        if not pairs:
            raise RequestError(
                f"{folder} has no captioned image; write a metadata.jsonl with file_name and text, "
                "or a name.txt beside each name.png"
            )
        self.images, self._captions = _read(pairs, resolution)
        self.count = len(self.images)
        if not self.count:
            raise RequestError(f"none of the {len(pairs)} images in {folder} could be read")

    def batch(
        self, start: int, n: int, *, wrong: int = 0, rows: range | None = None
    ) -> CaptionedBatch:
        """A pass over all pictures in random order, then another in a new one.

        Never mirrored: a caption may say which side something is on. A wrong caption is that of
        another picture.
        """
        self.require(n)
        epochs, offsets = np.divmod(np.arange(start, start + n), len(self.images))
        orders = {
            e: np.random.default_rng([self.seed, e]).permutation(len(self.images))
            for e in set(epochs)
        }
        chosen = [int(orders[e][o]) for e, o in zip(epochs, offsets, strict=True)]
        texts = [self._captions[i] for i in chosen]
        own = list(rows) if rows is not None else list(range(n))
        fit = np.array([[texts[j] == texts[i] for j in range(n)] for i in own]).reshape(-1, n)
        draw = np.random.default_rng([self.seed, start, 1])
        others = draw.integers(len(self._captions), size=(n, wrong))[own]
        other_texts = [[self._captions[j] for j in row] for row in others]
        mismatch = np.array(
            [[t != texts[i] for t in row] for i, row in zip(own, other_texts, strict=True)], bool
        ).reshape(len(own), wrong)
        pictures = self.images[[chosen[i] for i in own]]
        return CaptionedBatch(pictures, texts, other_texts, mismatch, fit)

    def held_out(self, n: int) -> CaptionedBatch:
        """TODO"""
        return self.batch(0, min(n, len(self.images)))

    def captions(self, n: int) -> list[str]:
        """The captions there are, n at most."""
        return self._captions[:n]


def _captioned(folder: Path) -> Iterable[tuple[Path, str]]:
    listing = folder / "metadata.jsonl"
    if listing.is_file():
        for number, line in enumerate(_text(listing).split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield folder / row["file_name"], str(row["text"])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise RequestError(
                    f"{listing}, line {number}: needs an object with file_name and text ({error})"
                ) from error
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.with_suffix(".txt").is_file():
            yield path, _text(path.with_suffix(".txt")).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: expected UTF-8 text; byte {error.start} is not") from error


def _read(
    pairs: list[tuple[Path, str]], resolution: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], list[str]]:
    from PIL import Image, ImageOps
    from tqdm import tqdm

    images, captions, bad = [], [], []
    bar = tqdm(pairs, desc="reading images", unit="image", leave=False, disable=None)
    for path, caption in bar:
        try:
            with Image.open(path) as picture:
                rgb = ImageOps.exif_transpose(picture).convert("RGB")
                square = ImageOps.fit(rgb, (resolution, resolution), Image.Resampling.LANCZOS)
                images.append(np.asarray(square))
                captions.append(caption)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            bad.append(f"{path.name} ({error})")
    if bad:
        print(
            f"warning: {len(bad)} images could not be read: {'; '.join(bad[:5])}", file=sys.stderr
        )
    shape = (0, resolution, resolution, 3)
    return np.stack(images) if images else np.zeros(shape, np.uint8), captions


def open_data(data: str, resolution: int, seed: int = 0) -> CaptionedImages:
    """``scenes`` or a folder; raises ``RequestError`` for a folder without captioned images."""
    if data == "scenes":
        return SceneImages(resolution, seed)
    return FolderImages(Path(data), resolution, seed)
