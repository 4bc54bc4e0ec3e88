"""A run folder as data frames."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

import gandiff
from gandiff.common.errors import RequestError
from gandiff.common.run_record import COLUMNS


def test_every_table_is_what_lies_in_the_folder(run_folder):
    run = gandiff.open_run(str(run_folder))
    for name in ("results", "scores", "differences"):
        table = pd.read_parquet(run_folder / f"{name}.parquet")
        pd.testing.assert_frame_equal(getattr(run, name)(), table)
    images = run.images()
    assert set(images.generator) == set(run.record.generators)
    made = images[images.status == "ok"]
    assert all(path.is_file() for path in made.path.head(5))
    assert made.prompt.notna().all()
    assert str(run).splitlines()[0] == f"{run.record.name} ({run.record.status})"


def test_what_is_not_there_is_empty_and_has_its_columns(run_folder, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(run_folder / "run.json", folder)
    run = gandiff.open_run(folder)
    for name in ("results", "scores", "categories", "differences", "anchors", "timing"):
        table = getattr(run, name)()
        assert table.empty
        assert list(table.columns) == list(COLUMNS[f"{name}.parquet"])
    assert run.images().empty


def test_a_broken_table_and_a_folder_that_is_no_run_are_said_in_a_line(run_folder, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(run_folder / "run.json", folder)
    (folder / "results.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RequestError, match=r"results\.parquet cannot be read .*gandiff score"):
        gandiff.open_run(folder).results()
    with pytest.raises(RequestError):
        gandiff.open_run(tmp_path)
