"""What trainings that differ in nothing but their seed reach: one table with mean and spread.

    python -m gandiff.experiments.training.over_seeds runs/seed-1 runs/seed-2 runs/seed-3

The numbers are those of the last tick, which every training measures on the same validation
captions, and ``reconstruction_all``, the share of scenes that survive a diffusion model's
autoencoder. The deviation is that of the sample (n - 1).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gandiff.common.errors import RequestError
from gandiff.common.files import read_json
from gandiff.common.renamed import current_names, current_row
from gandiff.experiments.training.progress import LOG
from gandiff.experiments.training.records import RECORD

if TYPE_CHECKING:
    import pandas as pd

# What must be the same for a spread to be one over seeds.
_COMMON = (
    *("family", "data", "resolution", "batch_size", "processes", "device", "precision"),
    *("budget", "recipe", "text_source"),
)


def over_seeds(folders: Sequence[Path]) -> pd.DataFrame:
    """A row for each measurement, a column for each seed, mean and standard deviation.

    Raises ``RequestError`` for folders without the record of a finished training, with the same
    seed twice, or trained in different ways.
    """
    import pandas as pd

    if len(folders) < 2:
        raise RequestError(f"a spread needs two trainings or more, got {len(folders)}")
    records = {folder: read_finished(folder) for folder in folders}
    refuse_different(
        records, _COMMON, "a spread over seeds needs trainings that differ in --seed alone"
    )
    seeds = [record["seed"] for record in records.values()]
    if len(set(seeds)) < len(seeds):
        raise RequestError(f"two of these trainings have the same seed: {seeds}")
    columns = {
        f"seed {record['seed']}": record["ticks"][-1] | _survives(record)
        for record in records.values()
    }
    table = pd.DataFrame(columns)
    mean, deviation = table.mean(axis=1), table.std(axis=1, ddof=1)
    return table.assign(mean=mean, sd=deviation)


def _survives(record: Mapping[str, Any]) -> dict[str, float]:
    """What the autoencoder of a diffusion model lets through, where it was measured."""
    found = (record.get("autoencoder") or {}).get("reconstruction") or {}
    return {"reconstruction_all": found["all"]} if "all" in found else {}


def refuse_different(
    records: Mapping[Path, Mapping[str, Any]], names: Sequence[str], why: str
) -> None:
    """Raise ``RequestError``, ending in ``why``, unless records have the same under these names."""
    first, *others = records
    for folder in others:
        for name in names:
            a, b = (records[one].get(name) for one in (first, folder))
            if a != b:
                raise RequestError(f"{name} is {a} in {first} and {b} in {folder}; {why}")


def last_alarms(folders: Sequence[Path]) -> dict[Path, list[str]]:
    """Which alarms ring at the end of each training; none is the good news."""
    names = {}
    for folder in folders:
        record, logged = read_finished(folder), _logged(folder / LOG)
        # Alarms look at the last few rows, which of the record's thinned curve would be much of the
        # training: it is taken only where no log is left.
        ticks = [row for row in logged if "score" in row] or record["ticks"]
        losses = [row for row in logged if "score" not in row] or record["curve"]
        family = import_module(f"gandiff.experiments.training.{record['family']}.alarms")
        names[folder] = [one.name for one in family.alarms(ticks, losses, 1.0)]
        if found := _survives(record):
            share = record["recipe"]["autoencoder_share"]
            weak = family.weak_autoencoder({"all": found["reconstruction_all"]}, share)
            names[folder] += [] if weak is None else [weak.name]
    return names


def _logged(path: Path) -> list[dict[str, float]]:
    """The rows of a log in order of images shown, without those that were trained again."""
    rows: list[dict[str, float]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = current_row(json.loads(line))
        except ValueError:  # a training that was killed may leave half a line
            continue
        while rows and rows[-1]["kimg"] > row["kimg"]:  # it went back to a checkpoint
            rows.pop()
        rows.append(row)
    return rows


def read_finished(folder: Path) -> Mapping[str, Any]:
    """The record of a finished training that was measured; ``RequestError`` for others."""
    path = folder / RECORD
    if not path.is_file():
        raise RequestError(f"{folder} has no {RECORD}; give folders that 'gandiff train' wrote")
    record = current_names(read_json(path))
    if not record.get("ticks"):
        raise RequestError(f"{path} has no measurement; give trainings that were measured")
    if not record.get("finished", True):
        raise RequestError(f"{folder} is not finished; continue with: {record['command']} --resume")
    # The source is None where a small one was trained; only GANs had ticks before records said of
    # what family they are.
    return {"family": "gan", "text_source": record.get("text", {}).get("source")} | record


def _before(folder: Path) -> str:
    """How many warnings the training gave; an alarm may have rung, and stopped."""
    warnings = len(read_finished(folder).get("events", []))
    return f" ({warnings} logged on the way; see events in {folder / RECORD})" if warnings else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, and what rings."""
    folders = [Path(text) for text in (sys.argv[1:] if argv is None else argv)]
    try:
        table, ringing = over_seeds(folders), last_alarms(folders)
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table.to_string(float_format=lambda value: f"{value:.4g}"))
    for folder, names in ringing.items():
        print(f"{folder}: {', '.join(names) or 'no alarm'} at the end{_before(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
