"""Measure what the toys of pipeline families show; the tables of pipelines are made of it.

    python docs/measure.py             measure all (ten minutes of one core), write measured.json
    python docs/measure.py NAME ...    only these, such as flux

The toys are those of tests/families; ``pytest -m slow tests/docs/test_measured.py`` holds the file
to what they give.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MEASURED = Path(__file__).with_name("measured.json")


def main(names: Sequence[str]) -> int:
    """Measure the families of these names, or all, and keep what the file says of others."""
    sys.path.insert(0, str(MEASURED.parent.parent / "tests"))
    import families
    from families import measure

    known = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.is_file() else {}
    for name in names or families.FAMILIES:
        print(name, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            settings = families.save(name, Path(folder) / name)
            shown = {**measure.native_call(settings), "solvers": measure.solvers(settings, name)}
        known[name] = shown
        ordered = {key: known[key] for key in families.FAMILIES if key in known}
        MEASURED.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
