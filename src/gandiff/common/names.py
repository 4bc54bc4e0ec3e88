"""How a misspelled name is corrected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Name the nearest of the names, ``; did you mean 'gan'?``, or list them, ``; there is a, b``.

    The result continues a sentence; it is empty when there are no names at all.
    """
    known = sorted(set(names))
    folded = {candidate.casefold(): candidate for candidate in reversed(known)}
    asked = name.casefold()
    near = difflib.get_close_matches(asked, folded, n=1, cutoff=0.6)
    if not near and len(asked) > 2:
        near = [candidate for candidate in folded if candidate.startswith(asked)]
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    if not known:
        return ""
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"; there is {', '.join(known[:12])}{more}"
