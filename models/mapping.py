"""Files that say which image belongs to which prompt: CSV, TSV, JSON lines."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gandiff.common.errors import GeneratorError
from gandiff.common.rows import Row, read_rows
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
    counts = Counter[str]()
    for row in read_rows(path, GeneratorError):
        key = key or _key(row)
        prompt = _normal(_field(row, key))
        name = _file(path, row)
        sample = _sample(row, counts[prompt])
        if (prompt, sample) in names:
            raise GeneratorError(f"{row.where}: sample {sample} of {key} {prompt!r} is given twice")
        counts[prompt] += 1
        names[(prompt, sample)] = name
    if key is None:
        raise GeneratorError(f"{path} has no rows; each must have file_name and prompt_id or text")
    return FileMapping(path=path, key=key, names=names)


def _key(row: Row) -> str:
    for key in _KEYS:
        if row.fields.get(key) is not None:
            return key
    raise GeneratorError(
        f"{row.where} has the fields {', '.join(row.fields) or 'nothing'}; "
        "expected file_name and prompt_id or text"
    )


def _field(row: Row, name: str) -> str:
    value = row.fields.get(name)
    if value is None or str(value).strip() == "":
        raise GeneratorError(f"{row.where} has no {name}")
    return str(value)


def _file(path: Path, row: Row) -> str:
    name = _field(row, "file_name" if row.fields.get("file_name") is not None else "file")
    folder = path.parent.absolute()
    if not Path(os.path.normpath(folder / name)).is_relative_to(folder):
        raise GeneratorError(f"{row.where}: {name} lies outside of the folder {folder}")
    return name


def _sample(row: Row, otherwise: int) -> int:
    value = row.fields.get("sample")
    if value is None or str(value).strip() == "":
        return otherwise
    try:
        return int(str(value))
    except ValueError:
        raise GeneratorError(f"{row.where}: sample must be a number, got {value!r}") from None


def _normal(text: str) -> str:
    """Make texts that differ in white space alone the same."""
    return " ".join(text.split())
