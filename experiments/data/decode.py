"""Pictures from files to one array of squares, by worker processes; imports nothing heavy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gandiff.common.errors import EnvironmentFailure
from gandiff.common.files import expanded, write_atomically
from gandiff.common.images import UnreadableImageError, open_image, to_rgb
from gandiff.common.words import counted

_READER = 4  # goes up when the same files give other pixels
_FEW = 512  # pictures that are not worth starting processes for
_IN_MEMORY = 1 << 30  # bytes; more is kept in a file of the cache
_ABANDONED = 86400.0  # seconds without a further picture: the process that decoded was killed
_NAME = 32  # hexadecimal digits
_CHUNK = 64


def decode(
    paths: Sequence[Path], resolution: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], list[int]]:
    """Squares of the pictures that can be read, and their places in ``paths``.

    The largest square in the middle is resized with antialiasing (Lanczos), turned upright first;
    what is transparent becomes white.
    Files that cannot be read are counted and named on stderr. More than 1 GiB is kept in a file of
    the cache (``GANDIFF_CACHE``, else ``gandiff/decoded`` in ``~/.cache``) and found there the next
    time. Raises ``EnvironmentFailure`` if the disk has no room for it.
    """
    unread: dict[int, str] = {}
    if len(paths) * resolution * resolution * 3 > _IN_MEMORY:
        squares, unread = _cached(paths, resolution)
    else:
        squares = np.empty((len(paths), resolution, resolution, 3), np.uint8)
        for i, square in enumerate(_readable(paths, resolution, unread)):
            squares[i] = square
    if unread:
        named = [f"{paths[place].name} ({why})" for place, why in unread.items()]
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        print(
            f"warning: {len(named)} of {counted(len(paths), 'image')} could not be read: "
            f"{'; '.join(named[:5])}{more}",
            file=sys.stderr,
        )
    good = [place for place in range(len(paths)) if place not in unread]
    return squares[: len(good)], good


def _cached(
    paths: Sequence[Path], resolution: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], dict[int, str]]:
    """The squares in a file of the cache, and why the pictures at some places could not be read."""
    name = _fingerprint(paths, resolution)
    pixels, index = (cache_folder() / f"{name}.{ending}" for ending in ("rgb", "json"))
    if not _is_whole(pixels, index, len(paths), resolution):
        _make_room(pixels.parent, len(paths) * resolution * resolution * 3)
        text = json.dumps(_decode_into(pixels, paths, resolution))
        write_atomically(index, text.encode(), durable=True)  # last: it says that all is there
    reasons = json.loads(index.read_text(encoding="utf-8"))
    unread = {int(place): why for place, why in reasons.items()}
    shape = (len(paths) - len(unread), resolution, resolution, 3)
    if shape[0] == 0:  # an empty file cannot be mapped
        return np.empty(shape, np.uint8), unread
    return np.memmap(pixels, np.uint8, "r", shape=shape), unread


def _is_whole(pixels: Path, index: Path, count: int, resolution: int) -> bool:
    """Whether both files are there, and the pixels of all pictures that could be read."""
    if not (pixels.is_file() and index.is_file()):
        return False
    readable = count - len(json.loads(index.read_text(encoding="utf-8")))
    return pixels.stat().st_size == readable * resolution * resolution * 3


def _decode_into(path: Path, paths: Sequence[Path], resolution: int) -> dict[int, str]:
    """Write the squares one behind the other; the file has its name once it is whole."""
    unread: dict[int, str] = {}
    temporary = Path(f"{path}.{uuid.uuid4().hex}.tmp")
    try:
        # Not into mapped memory: where the disk is full, that would kill the process.
        with temporary.open("wb") as stream:
            for square in _readable(paths, resolution, unread):
                stream.write(square.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return unread


def _make_room(folder: Path, size: int) -> None:
    """Make the folder, remove what killed processes left; raises ``EnvironmentFailure`` if ``size``
    bytes do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{'[0-9a-f]' * _NAME}.rgb.*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # another process has just finished it
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise EnvironmentFailure(
            f"the decoded pictures need about {math.ceil(size / 1e6):,} MB and {folder} has "
            f"{free // 10**6:,} MB free; free some, or set GANDIFF_CACHE to a folder with more"
        )


def _readable(
    paths: Sequence[Path], resolution: int, unread: dict[int, str]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The squares of those that can be read; ``unread`` takes why the others cannot, by place."""
    from tqdm import tqdm

    bar = tqdm(total=len(paths), desc="reading images", unit="image", leave=False, disable=None)
    with bar:
        for place, found in enumerate(_results(paths, resolution)):
            bar.update()
            if isinstance(found, str):
                unread[place] = found
            else:
                yield found


def _results(paths: Sequence[Path], resolution: int) -> Iterator[UInt8[np.ndarray, "h w 3"] | str]:
    workers = min(8, os.cpu_count() or 1)
    if len(paths) <= _FEW or workers == 1:
        yield from (read_square(path, resolution) for path in paths)
        return
    # Spawned, not forked: a copy of a process with threads of torch in it may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        sizes = [resolution] * len(paths)
        yield from pool.map(read_square, paths, sizes, chunksize=_CHUNK)


def read_square(path: Path, resolution: int) -> UInt8[np.ndarray, "h w 3"] | str:
    """The middle square of a picture at this size in px, or why it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with open_image(path) as picture:
            # JPEG: decode no more than needed
            picture.draft("RGB", (2 * resolution, 2 * resolution))
            size = (resolution, resolution)
            return np.asarray(ImageOps.fit(to_rgb(picture), size, Image.Resampling.LANCZOS))
    except UnreadableImageError as error:
        return " ".join(str(error).split())[:120]


def cache_folder() -> Path:
    """Where decoded pictures, and hashes of files, are kept for the next time."""
    named = os.environ.get("GANDIFF_CACHE")
    if named:
        return Path(named)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gandiff/decoded"


def _fingerprint(paths: Sequence[Path], resolution: int) -> str:
    digest = hashlib.sha256(f"{_READER} {resolution}".encode())
    for path in paths:
        try:
            status = path.stat()
            facts = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
        except OSError:
            facts = f"{path}\0missing"
        digest.update(facts.encode())
    return digest.hexdigest()[:_NAME]
