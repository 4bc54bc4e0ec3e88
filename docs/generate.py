"""Write the tables of the documentation from the code, so that they cannot go stale.

    python docs/generate.py            write the tables into the pages
    python docs/generate.py --check    only say which page is not up to date

A page marks the place with ``<!-- generated: NAME -->``; the table ends at ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tables import all_tables

DOCS = Path(__file__).parent
_MARK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, tables: Mapping[str, str]) -> str:
    """A page with its tables; raises ``KeyError`` for one that nothing generates."""
    return _MARK.sub(lambda mark: f"{mark[1]}\n{tables[mark[2]]}\n{mark[3]}", page)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` only compare them."""
    tables, stale, used = all_tables(), [], set()
    for path in sorted(DOCS.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        used |= {mark[2] for mark in _MARK.finditer(page)}
        if (new := filled(page, tables)) != page:
            stale.append(path.relative_to(DOCS).as_posix())
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    if unused := sorted(set(tables) - used):
        print(f"error: no page has the tables {', '.join(unused)}", file=sys.stderr)
        return 1
    if stale:
        print(("not up to date: " if "--check" in arguments else "wrote: ") + ", ".join(stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
