"""Pictures from files to one array of squares, by worker processes; imports nothing heavy."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gandiff.models.folder import to_rgb

_READER = 2  # goes up when the same files give other pixels
_FEW = 512  # pictures that are not worth starting processes for
_IN_MEMORY = 1 << 30  # bytes; more is kept in a file of the cache
_CHUNK = 64


def decode(
    paths: Sequence[Path], resolution: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], list[int]]:
    """Squares of the pictures that can be read, and their places in ``paths``.

    The largest square in the middle is resized with antialiasing (Lanczos), turned upright first;
    what is transparent becomes white.
    Files that cannot be read are counted and named on stderr. More than 1 GiB is kept in a file of
    the cache (``GANDIFF_CACHE``, else ``~/.cache/gandiff``) and found there the next time.
    """
    size = len(paths) * resolution * resolution * 3
    if size <= _IN_MEMORY:
        squares = np.empty((len(paths), resolution, resolution, 3), np.uint8)
        return _fill(squares, paths, resolution)
    cached = _cache_folder() / f"{_fingerprint(paths, resolution)}.npy"
    index = cached.with_suffix(".index.npy")
    if not index.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        target = np.lib.format.open_memmap(
            cached, mode="w+", dtype=np.uint8, shape=(len(paths), resolution, resolution, 3)
        )
        _, good = _fill(target, paths, resolution)
        target.flush()
        np.save(index, np.array(good, np.int64))
    places = [int(i) for i in np.load(index)]
    return np.load(cached, mmap_mode="r")[: len(places)], places


def _fill(
    squares: UInt8[np.ndarray, "n h w 3"], paths: Sequence[Path], resolution: int
) -> tuple[UInt8[np.ndarray, "m h w 3"], list[int]]:
    from tqdm import tqdm

    good: list[int] = []
    bad: list[str] = []
    bar = tqdm(total=len(paths), desc="reading images", unit="image", leave=False, disable=None)
    with bar:
        for place, found in enumerate(_results(paths, resolution)):
            bar.update()
            if isinstance(found, str):
                bad.append(f"{paths[place].name} ({found})")
            else:
                squares[len(good)] = found
                good.append(place)
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        print(
            f"warning: {len(bad)} of {len(paths)} images could not be read: "
            f"{'; '.join(bad[:5])}{more}",
            file=sys.stderr,
        )
    return squares[: len(good)], good


def _results(paths: Sequence[Path], resolution: int) -> Iterator[UInt8[np.ndarray, "h w 3"] | str]:
    workers = min(8, os.cpu_count() or 1)
    if len(paths) <= _FEW or workers == 1:
        yield from (read_square(path, resolution) for path in paths)
        return
    # Started afresh, not forked: a copy of a process with threads of torch in it may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        sizes = [resolution] * len(paths)
        yield from pool.map(read_square, paths, sizes, chunksize=_CHUNK)


def read_square(path: Path, resolution: int) -> UInt8[np.ndarray, "h w 3"] | str:
    """The middle square of a picture at this size in px, or why it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            picture.draft(
                "RGB", (2 * resolution, 2 * resolution)
            )  # JPEG: decode no more than needed
            rgb = to_rgb(ImageOps.exif_transpose(picture))
            square = ImageOps.fit(rgb, (resolution, resolution), Image.Resampling.LANCZOS)
            return np.asarray(square)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return " ".join(str(error).split())[:120]


def _cache_folder() -> Path:
    named = os.environ.get("GANDIFF_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gandiff" / "decoded"


def _fingerprint(paths: Sequence[Path], resolution: int) -> str:
    digest = hashlib.sha256(f"{_READER} {resolution}".encode())
    for path in paths:
        try:
            status = path.stat()
            facts = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
        except OSError:
            facts = f"{path}\0missing"
        digest.update(facts.encode())
    return digest.hexdigest()[:32]
