"""Work on many pictures at once, of which each is too small for more than one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Sequence[T], device: torch.device | str) -> list[R]:
    """``work`` of each item, in order; on the CPU as many at once as torch has threads.

    Each has a single thread there, alone or beside others, so that what comes out does not depend
    on how many there are, nor on how many cores.
    """
    if torch.device(device).type != "cpu" or not items:
        return [work(item) for item in items]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            min(threads, len(items)), "edit", torch.set_num_threads, (1,)
        ) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)  # some libraries count for the whole process
