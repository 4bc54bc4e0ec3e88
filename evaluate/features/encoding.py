"""From image files to stored features: threads decode and resize while the network encodes."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Shaped

from gandiff.common.errors import MetricError
from gandiff.common.images import ODDITIES, DecodedImage, UnreadableImageError
from gandiff.evaluate.features.encoders import FeatureExtractor
from gandiff.evaluate.features.images import read_image
from gandiff.evaluate.features.store import FeatureStore
from gandiff.evaluate.metric import ImageRecord

Todo = tuple[ImageRecord, Sequence[str]]  # an image, and the encoders that it waits for
Prepared = Shaped[np.ndarray, "..."]
_FLUSH = 1024  # images between two writes of the cache
_THREADS = min(4, os.cpu_count() or 1)


def encode_images(
    todo: Sequence[Todo],
    extractors: Mapping[str, FeatureExtractor],
    stores: Mapping[str, FeatureStore],
    *,
    batch_size: int,
    progress: bool,
) -> dict[str, str]:
    """Encode every image with the encoders that it waits for and put the features into the stores.

    Each file is decoded once, in threads, at most two batches ahead of the networks, so memory
    does not grow with the number of images. What was encoded is kept whatever happens. Returns the
    sha256 of each file that cannot be read, with the reason; raises ``MetricError`` for features
    that are not finite.
    """
    waiting: dict[str, list[tuple[ImageRecord, DecodedImage, Prepared]]] = {
        name: [] for name in extractors
    }
    unreadable: dict[str, str] = {}
    try:
        for image, ready in _shown(_prepared(todo, extractors, 2 * batch_size), todo, progress):
            if isinstance(ready, str):
                unreadable[image.sha256] = ready
                continue
            decoded, inputs = ready
            for name, prepared in inputs.items():
                waiting[name].append((image, decoded, prepared))
                if len(waiting[name]) == batch_size:
                    _encode(extractors[name], stores[name], waiting[name])
                    waiting[name] = []
        for name, rest in waiting.items():
            if rest:
                _encode(extractors[name], stores[name], rest)
    finally:
        for store in stores.values():
            store.flush()  # also on Ctrl-C: what was computed is kept
    return unreadable


def _prepared(
    todo: Sequence[Todo], extractors: Mapping[str, FeatureExtractor], ahead: int
) -> Iterator[tuple[ImageRecord, tuple[DecodedImage, dict[str, Prepared]] | str]]:
    """Images in order, decoded and prepared; a reason in place of those that cannot be read."""

    def work(item: Todo) -> tuple[DecodedImage, dict[str, Prepared]] | str:
        image, names = item
        try:
            decoded = {
                alpha: read_image(image, alpha=alpha)
                for alpha in {extractors[name].alpha for name in names}
            }
        except UnreadableImageError as error:
            return str(error)
        prepared = {}
        for name in names:
            pixels = decoded[extractors[name].alpha].pixels
            prepared[name] = extractors[name].crop_and_prepare(pixels)
        return next(iter(decoded.values())), prepared

    pending: collections.deque[tuple[ImageRecord, Future[Any]]] = collections.deque()
    with ThreadPoolExecutor(_THREADS) as pool, contextlib.ExitStack() as stack:
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for item in todo:
            pending.append((item[0], pool.submit(work, item)))
            if len(pending) >= ahead:
                image, future = pending.popleft()
                yield image, future.result()
        while pending:
            image, future = pending.popleft()
            yield image, future.result()


def _shown(items: Iterator[Any], todo: Sequence[Todo], progress: bool) -> Iterator[Any]:
    if not progress:
        return items
    from tqdm import tqdm

    names = ", ".join(dict.fromkeys(name for _, wanted in todo for name in wanted))
    # Shown only where it takes more than a moment.
    shown: Iterator[Any] = iter(
        tqdm(items, total=len(todo), desc=f"features {names}", unit="image", leave=False, delay=1.0)
    )
    return shown


def _encode(
    extractor: FeatureExtractor,
    store: FeatureStore,
    batch: Sequence[tuple[ImageRecord, DecodedImage, Prepared]],
) -> None:
    features = extractor.encode([prepared for _, _, prepared in batch])
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        first = batch[int(bad[0])][0].path
        raise MetricError(f"the encoder {extractor.name} gave NaN or infinite features for {first}")
    for (image, decoded, _), row in zip(batch, features, strict=True):
        flags = sum(1 << bit for bit, name in enumerate(ODDITIES) if name in decoded.oddities)
        height, width = decoded.pixels.shape[:2]
        store.add(image.sha256, row, height=height, width=width, flags=flags)
    if store.pending >= _FLUSH:
        store.flush()
