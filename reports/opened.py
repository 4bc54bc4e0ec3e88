"""A run folder as data frames, for notebooks and papers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from gandiff.common.errors import RequestError
from gandiff.common.files import expanded
from gandiff.common.run_record import (
    ANCHORS,
    CATEGORIES,
    COLUMNS,
    DIFFERENCES,
    RESULTS,
    SCORES,
    TIMING,
    RunRecord,
    read_record,
)
from gandiff.reports.reading import load_run

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class OpenRun:
    """A run that lies in a folder; nothing is measured or changed.

    ``record`` is what ``run.json`` says. Each table is read when it is asked for; one that the run
    does not have (yet) is empty.
    """

    folder: Path
    record: RunRecord

    def __str__(self) -> str:
        """Name, status and verdict, a line each."""
        name = self.record.name or self.folder.name
        return "\n".join([f"{name} ({self.record.status})", *self.verdict])

    @property
    def verdict(self) -> list[str]:
        """The sentences of its last report."""
        return list(self.record.reported.verdict)

    def results(self) -> pd.DataFrame:
        """A row for each generator and metric: value, interval, unit, counts, protocol."""
        return self._table(RESULTS)

    def scores(self) -> pd.DataFrame:
        """A row for each image and metric that has a value for it."""
        return self._table(SCORES)

    def categories(self) -> pd.DataFrame:
        """A row for each generator, metric and category of prompts: the mean and its interval."""
        return self._table(CATEGORIES)

    def differences(self) -> pd.DataFrame:
        """A row for each pair of generators and metric, on the same prompts: a minus b."""
        return self._table(DIFFERENCES)

    def anchors(self) -> pd.DataFrame:
        """What real images, uniform noise and plain grounds get."""
        return self._table(ANCHORS)

    def timing(self) -> pd.DataFrame:
        """A row for each timed call; ``warmups`` is how many calls went before in its process."""
        return self._table(TIMING)

    def images(self) -> pd.DataFrame:
        """A row for each planned image: what was asked for, what became of it, and its file."""
        import pandas as pd

        run = load_run(self.folder)
        texts = {str(prompt.get("id")): prompt.get("text") for prompt in run.prompts}
        fields = ("generator", "prompt_id", "sample", "seed", "key", "status", "reason", "sha256")
        rows = [
            {name: getattr(image, name) for name in fields}
            | {"prompt": texts.get(image.prompt_id), "path": run.file(image.path)}
            for image in run.images
        ]
        return pd.DataFrame(rows, columns=[*fields, "prompt", "path"])

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        path = self.folder / name
        if not path.is_file():
            return pd.DataFrame(columns=list(COLUMNS[name]))
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{path} cannot be read ({error}); write it again with: gandiff score {self.folder}"
            ) from error


def open_run(folder: str | Path) -> OpenRun:
    """Open a run folder; raises ``RequestError`` if it is none."""
    path = expanded(folder)
    return OpenRun(path, read_record(path))
