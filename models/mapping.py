"""Files that say which image belongs to which prompt: CSV, TSV, JSON lines."""

from __future__ import annotations

import dataclasses
import functools
import json
import os.path
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from gandiff.common.errors import GeneratorError
from gandiff.common.rows import CAPTION, FILE, Row, is_blank, read_rows
from gandiff.models.generator import GenerationRequest
from gandiff.models.names import Names
from gandiff.models.patterns import Assignment

_KEYS = ("prompt_id", *CAPTION)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileMapping:
    """File names of each prompt by sample, relative to the folder of images."""

    path: Path
    key: str  # prompt_id, text or the like: which column is looked up
    names: Mapping[str, Mapping[int, str]]
    texts: Mapping[str, str]  # by prompt id, where the file has both
    first_sample: int = 0  # what the file counts from

    @property
    def files(self) -> list[str]:
        """All names in the mapping, each once."""
        return list(dict.fromkeys(n for rows in self.names.values() for n in rows.values()))

    def assign(
        self, files: Names, requests: Sequence[GenerationRequest], where: str = ""
    ) -> Assignment:
        """Look up all requests of a run at once: prompts of the same text share out its rows.

        Each gets as many in a row as there are for one, in the order of the prompts.
        """
        keys = [self._value(request) for request in requests]
        rows = self._rows_of(dict.fromkeys(key for key in keys if key is not None))
        prompts: dict[str, dict[str | None, int]] = {}  # of each key, in order
        for key, request in zip(keys, requests, strict=True):
            if key is not None:
                of_key = prompts.setdefault(key, {})
                of_key.setdefault(request.prompt_id, len(of_key))
        per_prompt = 1 + max((request.sample for request in requests), default=0)
        named, reasons = [], []
        for key, request in zip(keys, requests, strict=True):
            name = None
            if key is not None:
                samples = rows[key]
                name = samples.get(request.sample)
                if (sharing := len(prompts[key])) > 1:
                    size = per_prompt if len(samples) % sharing else len(samples) // sharing
                    place = prompts[key][request.prompt_id] * size + request.sample
                    mine = request.sample < size and place < len(samples)
                    name = samples[sorted(samples)[place]] if mine else None
            named.append(name)
            reasons.append(f"no file {name} in {where}" if name else self._reason(request, key))
        present = files.match(list(dict.fromkeys(filter(None, named))), zeros=False)
        there = dict(zip(dict.fromkeys(filter(None, named)), present, strict=True))
        return Assignment(
            files=[there[name].name if name else None for name in named],
            reasons=reasons,
            expected=[name or "" for name in named],
        )

    def files_of(self, requests: Sequence[GenerationRequest], files: Names) -> list[str]:
        """All files of the prompts of requests, whatever their sample."""
        keys = [key for key in map(self._value, requests) if key is not None]
        rows = self._rows_of(dict.fromkeys(keys)).values()
        named = dict.fromkeys(name for samples in rows for name in samples.values())
        return [match.name for match in files.match(list(named), zeros=False) if match.name]

    def _value(self, request: GenerationRequest) -> str | None:
        value = request.prompt_id if self.key == "prompt_id" else request.prompt
        return None if value is None else normal(value)

    def _rows_of(self, keys: Mapping[str, None]) -> dict[str, Mapping[int, str]]:
        """The rows of each prompt; ids may differ in case and leading zeros."""
        if self.key != "prompt_id":
            return {key: self.names.get(key, {}) for key in keys}
        matches = self._ids.match(list(keys))
        return {
            key: self.names[match.name] if match.name is not None else {}
            for key, match in zip(keys, matches, strict=True)
        }

    @functools.cached_property
    def _ids(self) -> Names:
        return Names(list(self.names))

    def _reason(self, request: GenerationRequest, key: str | None) -> str:
        if key is None:
            return f"{self.path.name} goes by prompt_id, which the request does not have"
        value = request.prompt_id if self.key == "prompt_id" else request.prompt
        return f"{self.path.name} has no file for {self.key} {value!r}, sample {request.sample}"


def read_mapping(path: Path, folder: Path) -> FileMapping:
    """Read a mapping in a folder of images; the ending says the format: .csv, .tsv, .jsonl.

    Every row has one of ``rows.FILE``, relative to the mapping, and ``prompt_id`` or one of
    ``rows.CAPTION``, the first of these that the first row has. Without ``sample``, the k-th row of
    a prompt is its sample k. Raises ``GeneratorError`` with the file and line for a row that lacks
    something, names a prompt's sample twice, or points out of the folder.
    """
    key: str | None = None
    names: dict[str, dict[int, str]] = {}
    texts: dict[str, str] = {}
    stated: set[int] = set()
    counts = Counter[str]()
    below = path.parent.relative_to(folder).as_posix()
    for row in read_rows(path, GeneratorError):
        key = key or _key(row)
        prompt = normal(_field(row, key))
        sample = _sample(row)
        if sample is not None:
            stated.add(sample)
        place = counts[prompt] if sample is None else sample
        counts[prompt] += 1
        if place in names.setdefault(prompt, {}):
            raise GeneratorError(
                f"{row.where}: sample {place} of {key} {prompt!r} is given twice"
                + ("; prompts of the same text need prompt_id" if key != "prompt_id" else "")
            )
        names[prompt][place] = _file(row, below, folder)
        if key == "prompt_id" and (said := row.name_of(CAPTION)):
            texts[prompt] = normal(str(row.fields[said]))
    if key is None:
        raise GeneratorError(f"{path} has no rows; each must have file_name and prompt_id or text")
    # Counted from 1 if every row says its sample and none says 0.
    first = int(min(stated, default=0) == 1 and not any(0 in samples for samples in names.values()))
    shifted = {p: {k - first: name for k, name in rows.items()} for p, rows in names.items()}
    return FileMapping(path=path, key=key, names=shifted, texts=texts, first_sample=first)


def normal(text: str) -> str:
    """Make texts that differ in white space, or in how accents are encoded, the same."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _key(row: Row) -> str:
    key = row.name_of(_KEYS)
    if key is None:
        raise GeneratorError(
            f"{row.where} has the fields {', '.join(row.fields) or 'nothing'}; "
            "expected file_name and prompt_id or text"
        )
    return key


def _field(row: Row, name: str) -> str:
    value = row.fields.get(name)
    if is_blank(value):
        raise GeneratorError(f"{row.where} has no {name}")
    if not isinstance(value, (str, int, float)):
        raise GeneratorError(f"{row.where}: {name} must be text, got {json.dumps(value)[:60]}")
    return str(value)


def _file(row: Row, below: str, folder: Path) -> str:
    """The name of a row's file relative to the folder; the mapping lies ``below`` it."""
    name = _field(row, row.name_of(FILE) or FILE[0])
    plain = name.replace("\\", "/")
    joined = posixpath.normpath(posixpath.join(below, plain))
    if below != "." and not os.path.exists(folder / joined):
        joined = posixpath.normpath(plain)
    joined = joined.removeprefix(f"{folder.as_posix()}/")
    if joined.startswith(("../", "/")):
        raise GeneratorError(f"{row.where}: {name} lies outside of the folder {folder}")
    return joined


def _sample(row: Row) -> int | None:
    value = row.fields.get("sample")
    if is_blank(value):
        return None
    try:
        number = float(str(value))
        if number < 0 or number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise GeneratorError(f"{row.where}: sample must be a number, got {value!r}") from None
    return int(number)
