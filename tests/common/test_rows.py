"""Rows of CSV, TSV and JSON lines: one reader, which names the line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.common.errors import GeneratorError, RequestError
from gandiff.common.rows import read_rows, read_text

CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc"))).filter(str.strip)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_what_python_writes_is_read_back(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Name", " text "), *rows])
    lines = [json.dumps({"NAME": a, "text": b}, ensure_ascii=False) for a, b in rows]
    write(folder, "a.jsonl", "\ufeff" + "\n\n".join(lines))
    expected = [{"name": a, "text": b} for a, b in rows]
    for name, step in (("a.csv", 1), ("a.jsonl", 2)):
        read = list(read_rows(folder / name))
        assert [row.fields for row in read] == expected
        first = 2 if name == "a.csv" else 1
        assert [row.where for row in read] == [
            f"{folder / name}:{first + step * i}" for i in range(len(rows))
        ]


def test_a_cell_over_several_lines_and_blank_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "a.CSV", 'a,b\r\n"x\ny",1\r\n\r\n ,\r\nz,2\r\n')
    assert [(row.where, row.fields) for row in read_rows(path)] == [
        (f"{path}:3", {"a": "x\ny", "b": "1"}),
        (f"{path}:6", {"a": "z", "b": "2"}),
    ]


def test_a_short_row_lacks_its_last_columns(tmp_path: Path) -> None:
    (row,) = read_rows(write(tmp_path, "a.tsv", 'a\tb\n"x ""y"""\n'))
    assert row.fields == {"a": 'x "y"'}


@pytest.mark.parametrize("error", [RequestError, GeneratorError])
def test_the_error_is_of_the_kind_asked_for(
    tmp_path: Path, error: type[RequestError] | type[GeneratorError]
) -> None:
    path = write(tmp_path, "a.csv", "a\n1,2\n")
    with pytest.raises(error, match=r"a\.csv:2: 2 cells, but the first line names 1 columns"):
        list(read_rows(path, error))
    with pytest.raises(error, match=r"a\.md: expected a file ending in \.csv, \.tsv, \.jsonl"):
        list(read_rows(tmp_path / "a.md", error))
    with pytest.raises(error, match=r"gone\.csv cannot be read: No such file"):
        list(read_rows(tmp_path / "gone.csv", error))
    (tmp_path / "a.txt").write_bytes(b"ab\xff")
    with pytest.raises(error, match=r"a\.txt: expected UTF-8 text; byte 2 is not"):
        read_text(tmp_path / "a.txt", error)
