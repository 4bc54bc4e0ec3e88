"""Files that say which image belongs to which prompt: CSV, TSV, JSON lines."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.models.generator import GenerationRequest

# Hugging Face's imagefolder convention: https://huggingface.co/docs/datasets/image_dataset
USUAL_NAMES = ("metadata.jsonl", "metadata.csv")
_KEYS = ("prompt_id", "text", "prompt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileMapping:
    """File names by (prompt id or text, sample)."""

    path: Path
    key: str  # prompt_id, text or prompt: which column is looked up
    names: Mapping[tuple[str, int], str]

    def file_of(self, request: GenerationRequest) -> str:
        """Return the file name for a request; ``LookupError`` says why there is none."""
        value = request.prompt_id if self.key == "prompt_id" else request.prompt
        if value is None:
            raise LookupError(
                f"{self.path.name} goes by prompt_id, which the request does not have"
            )
        name = self.names.get((_normal(value), request.sample))
        if name is None:
            raise LookupError(
                f"{self.path.name} has no file for {self.key} {value!r}, sample {request.sample}"
            )
        return name

    def files(self) -> Iterable[str]:
        """Return all file names."""
        return self.names.values()


def find_mapping(folder: Path) -> Path | None:
    """Return the mapping file that a folder has by convention, if any."""
    return next((folder / name for name in USUAL_NAMES if (folder / name).is_file()), None)


def read_mapping(path: Path) -> FileMapping:
    """Read a mapping; the ending says the format: .csv, .tsv, .jsonl.

    Every row has ``file_name`` (or ``file``) and ``prompt_id``, ``text`` or ``prompt``, the first
    of these that the first row has. Without ``sample``, the k-th row of a prompt is its sample k.
    Raises ``GeneratorError`` with the file and line for a row that lacks something, names a
    prompt's sample twice, or points out of the folder.
    """
    key: str | None = None
    names: dict[tuple[str, int], str] = {}
    counts: dict[str, int] = {}
    for line, row in _rows(path):
        key = key or _key(path, row)
        prompt = _normal(_field(path, line, row, key))
        name = _file(path, line, row)
        sample = _sample(path, line, row.get("sample"), counts.get(prompt, 0))
        if (prompt, sample) in names:
            raise GeneratorError(
                f"{path}, line {line}: sample {sample} of {key} {prompt!r} is there twice"
            )
        counts[prompt] = counts.get(prompt, 0) + 1
        names[(prompt, sample)] = name
    if key is None:
        raise GeneratorError(
            f"{path} has no rows; needed is file_name and prompt_id or text in each"
        )
    return FileMapping(path=path, key=key, names=names)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give the rows with their line numbers."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".jsonl"):
        raise GeneratorError(f"the mapping {path} ends in {kind!r}, needed is .csv, .tsv or .jsonl")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except OSError as error:
        raise GeneratorError(f"cannot read the mapping {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GeneratorError(f"the mapping {path} is not UTF-8: {error}") from error
    if kind == ".jsonl":
        yield from _json_rows(path, text)
        return
    reader = csv.DictReader(text.splitlines(), delimiter="\t" if kind == ".tsv" else ",")
    for row in reader:
        yield reader.line_num, row


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise GeneratorError(f"{path}, line {number} is not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise GeneratorError(
                f"{path}, line {number} is a {type(row).__name__}, needed is an object"
            )
        yield number, row


def _key(path: Path, row: Mapping[str, Any]) -> str:
    for key in _KEYS:
        if row.get(key) is not None:
            return key
    found = ", ".join(str(name) for name in row) or "nothing"
    raise GeneratorError(
        f"{path} has the columns {found}; needed is file_name and prompt_id or text"
    )


def _field(path: Path, line: int, row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        raise GeneratorError(f"{path}, line {line} has no {name}")
    return str(value)


def _file(path: Path, line: int, row: Mapping[str, Any]) -> str:
    name = _field(path, line, row, "file_name" if row.get("file_name") is not None else "file")
    folder = path.parent.resolve()
    if not (folder / name).resolve().is_relative_to(folder):
        raise GeneratorError(f"{path}, line {line}: {name} lies outside of the folder {folder}")
    return name


def _sample(path: Path, line: int, value: Any, otherwise: int) -> int:
    if value is None or str(value).strip() == "":
        return otherwise
    try:
        return int(str(value))
    except ValueError as error:
        raise GeneratorError(
            f"{path}, line {line}: sample is {value!r}, needed is a number"
        ) from error


def _normal(text: str) -> str:
    """Make texts that differ in white space alone the same."""
    return " ".join(text.split())
