"""The tables of a run as files: rows to parquet, a measured number to a row."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from gandiff.evaluate.result import MetricResult


def parquet(rows: Iterable[Any], columns: Sequence[str]) -> bytes:
    """Rows (mappings, or sequences in the order of the columns) as the bytes of a parquet file."""
    import pandas as pd

    buffer = io.BytesIO()
    pd.DataFrame(list(rows), columns=list(columns)).to_parquet(buffer, index=False)
    return buffer.getvalue()


def result_row(generator: str, result: MetricResult) -> dict[str, Any]:
    """One row of the results table."""
    row = result.to_dict()
    row["protocol"] = json.dumps(row["protocol"], sort_keys=True)
    return {"generator": generator, **row}
