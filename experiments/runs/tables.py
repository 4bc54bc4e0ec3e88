"""The tables of a run: rows to parquet, a measured number to a row, prompts with equal pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gandiff.evaluate.clusters import tie_groups
from gandiff.evaluate.result import MetricResult
from gandiff.reports.run_data import RunData


def parquet(rows: Iterable[Any], columns: Sequence[str]) -> bytes:
    """Rows (mappings, or sequences in the order of the columns) as the bytes of a parquet file."""
    import pandas as pd

    buffer = io.BytesIO()
    pd.DataFrame(list(rows), columns=list(columns)).to_parquet(buffer, index=False)
    return buffer.getvalue()


def tied_prompts(*sides: tuple[RunData, str]) -> dict[str, str]:
    """Which prompts equal pictures tie together, over one or two generators of recorded runs."""
    pictures = {  # the last line on an image holds
        (side, image.prompt_id, image.sample): image.sha256
        for side, (run, generator) in enumerate(sides)
        for image in run.images
        if image.generator == generator and image.is_ok
    }
    return tie_groups((prompt, sha256) for (_, prompt, _), sha256 in pictures.items())


def is_table(path: Path) -> bool:
    """Whether there is a parquet file whose description can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def result_row(generator: str, result: MetricResult) -> dict[str, Any]:
    """One row of the results table."""
    row = result.to_dict()
    row["protocol"] = json.dumps(row["protocol"], sort_keys=True)
    return {"generator": generator, **row}
