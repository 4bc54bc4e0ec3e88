"""Which name in a folder or a table is meant, however people write it."""

from __future__ import annotations

import bisect
import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gandiff.common.picture_files import SUFFIXES

_WINDOW = 500  # names on either side of where a missing one would stand, looked at for the nearest


def folded(name: str) -> str:
    """Without differences of case and of how accents are encoded."""
    return unicodedata.normalize("NFC", name).casefold()


def unpadded(name: str) -> str:
    """Without differences of case and of leading zeros: ``00001`` is ``1``, but 1.05 not 1.5."""
    return re.sub(r"(?<![0-9])(?<![0-9]\.)0+(?=[0-9])", "", folded(name))


_FORMS: tuple[Callable[[str], str], ...] = (
    str,
    folded,
    unpadded,
)  # how names are compared, the strictest first


class Match(NamedTuple):
    """The name that is meant; without one, ``several`` that could be."""

    name: str | None = None
    several: tuple[str, ...] = ()


class Names:
    """Names that are looked up in one step each, whatever their case and their leading zeros.

    With ``endings`` they are those of pictures, and one that is asked for without an ending may
    have any.
    """

    def __init__(self, names: Sequence[str], *, endings: bool = False) -> None:
        self.names = names
        self._endings = endings
        self._forms: list[dict[str, list[str]]] = []
        self._sorted: list[str] = []

    def match(self, asked: Sequence[str], *, zeros: bool = True) -> list[Match]:
        """What each of the names means; none is given to two that ask.

        A name that is written in another way (with ``zeros``, in leading zeros as well) counts only
        where nothing else can be meant: one name has that form, and one of those that ask.
        """
        matches = [Match()] * len(asked)
        waiting: Sequence[int] = range(len(asked))
        for level, form in enumerate(_FORMS if zeros else _FORMS[:2]):
            wanted = Counter(form(self._split(name)[0]) for name in asked) if waiting else {}
            left = []
            for place in waiting:
                match = self._match(asked[place], level, wanted)
                if match is None:
                    left.append(place)
                else:
                    matches[place] = match
            waiting = left
        return matches

    def alike(self, asked: str) -> list[str]:
        """Every name that could be meant, whatever the case, the zeros and the ending."""
        return self._form(2).get(unpadded(self._split(asked)[0]), [])

    def nearest(self, asked: str) -> str | None:
        """The name that is most like one that is not there."""
        self._sorted = self._sorted or sorted(self.names)
        place = bisect.bisect(self._sorted, asked)
        near = self._sorted[max(0, place - _WINDOW) : place + _WINDOW]
        close = difflib.get_close_matches(asked, near, n=1, cutoff=0.3)
        return close[0] if close else None

    def _match(self, name: str, level: int, wanted: Mapping[str, int]) -> Match | None:
        """What a name means in one of the forms; None if there is none of this form."""
        stem, ending = self._split(name)
        key = _FORMS[level](stem)
        alike = self._form(level).get(key, ())
        meant = [n for n in alike if not ending or self._split(n)[1] == ending]
        if not meant or wanted[key] > 1:
            return Match() if meant else None
        if len({self._split(n)[0] for n in meant}) > 1:
            return Match(several=tuple(meant))
        return Match(min(meant, key=lambda n: (n != name, self._rank(n), n)))

    def _form(self, level: int) -> dict[str, list[str]]:
        while len(self._forms) <= level:
            form = _FORMS[len(self._forms)]
            table: dict[str, list[str]] = defaultdict(list)
            for name in self.names:
                table[form(self._split(name)[0])].append(name)
            self._forms.append(table)
        return self._forms[level]

    def _split(self, name: str) -> tuple[str, str]:
        """A name without the ending of a picture, and that ending in small letters."""
        if not self._endings or not name.lower().endswith(SUFFIXES):
            return name, ""
        stem, _, ending = name.rpartition(".")
        return stem, f".{ending.lower()}"

    def _rank(self, name: str) -> int:
        return SUFFIXES.index(self._split(name)[1]) if self._endings else 0
