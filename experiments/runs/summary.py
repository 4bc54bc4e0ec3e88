"""What came of a run, for the command line and for Python."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gandiff.common.run_record import RESULTS, SCORES

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What became of a run: where it lies, what it says, what was odd, and what is missing."""

    folder: Path
    report: Path | None
    verdict: list[str]
    images: dict[str, int]
    warnings: list[str]
    problems: list[str] = dataclasses.field(default_factory=list)  # asked for, and not there

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        report = str(self.report) if self.report else None
        return {**dataclasses.asdict(self), "folder": str(self.folder), "report": report}

    def to_frame(self) -> pd.DataFrame:
        """The results table: a row for each generator and metric."""
        import pandas as pd

        return pd.read_parquet(self.folder / RESULTS)

    def scores(self) -> pd.DataFrame:
        """The scores of every image: a row for each image and metric."""
        import pandas as pd

        return pd.read_parquet(self.folder / SCORES)
