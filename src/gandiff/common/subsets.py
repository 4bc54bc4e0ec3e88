"""Parts of a set that are drawn, not cut off: the first ones of one order, which is always the
same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def drawn_order(
    items: Sequence[Item], keys: Sequence[str], strata: Sequence[str | None]
) -> list[Item]:
    """Put items into an order of which any beginning is a fair part of the whole.

    ``keys`` are hashes of what is constant about the items, and with them the draw: neither the
    order of ``items`` nor the machine matters. Every beginning has of each stratum its share, give
    or take one; a longer beginning contains a shorter one.
    """
    members: dict[str | None, list[tuple[str, int]]] = defaultdict(list)
    for place, (key, stratum) in enumerate(zip(keys, strata, strict=True)):
        members[stratum].append((key, place))
    positions = [
        ((rank + 0.5) / len(those), key, place)
        for those in members.values()
        for rank, (key, place) in enumerate(sorted(those))
    ]
    return [items[place] for _, _, place in sorted(positions)]
