"""Rows of CSV, TSV and JSON lines: one reader, which names the line."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.common.errors import GeneratorError, RequestError
from gandiff.common.rows import read_rows, read_text

# What people have in cells: quotes, separators, line breaks of all kinds, those of Unicode, too.
ODD = st.sampled_from(
    ['"', '""', ",", "\t", ";", "\r\n", "\n", "\r", "\u2028", "\x85", "\x0b", "\x1c"]
)
PLAIN = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
CELLS = st.lists(PLAIN | ODD, max_size=4).map("".join).filter(str.strip)


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
    with (folder / "a.tsv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([("Name", " text ", ""), *((a, b, "") for a, b in rows)])
    for name in ("a.csv", "a.jsonl", "a.tsv"):
        if name == "a.tsv" and any("\t" in cell for row in rows for cell in row):
            continue  # published TSV has none in cells
        read = list(read_rows(folder / name))
        assert [row.fields for row in read] == expected
    assert [row.where for row in read_rows(folder / "a.jsonl")] == [
        f"{folder / 'a.jsonl'}:{1 + 2 * i}" for i in range(len(rows))
    ]
    ends = []
    for number in range(len(rows)):
        text = "".join(cell for row in rows[: number + 1] for cell in row)
        ends.append(number + 2 + len(re.findall("\r\n|\r|\n", text)))
    if not any(cell.startswith("\n") or cell.endswith("\r") for row in rows for cell in row):
        assert [row.where.rpartition(":")[2] for row in read_rows(folder / "a.csv")] == [
            str(end) for end in ends
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


def test_what_spreadsheets_and_pandas_add_is_left_out(tmp_path: Path) -> None:
    text = "\ufeff,,,,\r\n,Prompt,Category ,,\r\n0,a star,x,,\r\n1,a ring,,,,,\r\n,,,,\r\n"
    path = write(tmp_path, "a.csv", text)
    assert [row.fields for row in read_rows(path)] == [
        {"prompt": "a star", "category": "x"},
        {"prompt": "a ring", "category": ""},
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "a.csv",
            'a,b\n1,"x\ny"\n2,"z\n3,w\n',
            "a.csv:4: this is not CSV: the quote before 'z' is",
        ),
        ("a.csv", 'a,b\n1,"x\n2,"y"\n', "a.csv:2: this is not CSV: the quote before 'x' is not"),
        ("a.csv", 'a,b\n1,"x" y\n', "a.csv:2: this is not CSV"),
        ("a.csv", "A,a\n1,2\n", "a.csv:2: two columns are named 'a' and say different things"),
        ("a.jsonl", '{}\n{"a": ["x \\ud83d"]}\n', "a.jsonl:2: half of a surrogate pair"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1: this is not JSON"),
        ("a.jsonl", '{"a": 1' + "0" * 5000 + "}", "a.jsonl:1: this is not JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(RequestError) as refused:
        list(read_rows(path))
    assert f"{tmp_path}/{says}" in str(refused.value)


def test_whole_surrogate_pairs_are_text(tmp_path: Path) -> None:
    (row,) = read_rows(write(tmp_path, "a.jsonl", '{"a": "\\ud83d\\ude00"}'))
    assert row.fields == {"a": "😀"}


@pytest.mark.parametrize(
    ("head", "mark"), [("", ";"), ("", "\t"), ("sep=;\r\n", ";"), ("sep=|\n", "|"), ("\r\n", ";")]
)
def test_spreadsheets_may_write_another_mark_than_the_comma(
    head: str, mark: str, tmp_path: Path
) -> None:
    rows = [["Prompt", "Note"], ["a star, red", f"x{mark}"], ["a ring", '"']]
    cells = [(one, '"' + two.replace('"', '""') + '"') for one, two in rows]
    path = write(tmp_path, "a.csv", head + "".join(f"{a}{mark}{b}\r\n" for a, b in cells))
    read = list(read_rows(path))
    assert [tuple(row.fields.values()) for row in read] == [tuple(row) for row in rows[1:]]
    assert read[0].where == f"{path}:{2 + bool(head)}"
