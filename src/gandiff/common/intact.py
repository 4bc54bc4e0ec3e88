"""Files of saved networks that were only half copied or downloaded, seen without loading them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from gandiff.common.errors import GandiffError

_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt")
_POINTER = b"version https://git-lfs"


def check_intact(files: Iterable[Path], error: type[GandiffError]) -> None:
    """Raise ``error``, naming the file, for one that is empty, a Git LFS pointer in its place, a
    ``.safetensors`` that ends too early or a ``.json`` that cannot be read.
    """
    for file in files:
        try:
            problem = _problem(file)
        except OSError as failure:
            problem = f"cannot be read: {failure.strerror}"
        if problem:
            raise error(f"{file} {problem}; copy or download it again")


def _problem(file: Path) -> str | None:
    with file.open("rb") as stream:
        start = stream.read(len(_POINTER))
    if not start:
        return "is empty"
    if start == _POINTER:
        return "cannot be read: it is a pointer of Git LFS (git lfs pull fetches the file itself)"
    try:
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
        if file.suffix == ".safetensors" and file.stat().st_size != _stated_size(file):
            return "cannot be read: it is torn, its size is not the one that its header states"
    except ValueError as wrong:
        kind = "valid JSON" if file.suffix == ".json" else "a whole file of weights"
        return f"cannot be read: it is not {kind}: {wrong}"
    return None


def _stated_size(file: Path) -> int:
    """How long a ``.safetensors`` must be: 8 bytes that give the length of the header, the header
    in JSON, and the tensors to the last of its offsets. Raises ``ValueError`` for a torn header.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError("its header is torn")
        tensors = json.loads(stream.read(length))
    try:
        ends = [one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (AttributeError, KeyError, TypeError, IndexError) as wrong:
        raise ValueError(f"its header is odd ({wrong!r})") from wrong


def check_vocabulary(part: Path, error: type[GandiffError]) -> None:
    """Raise ``error`` for a folder of a tokenizer whose vocabulary is missing or cut off, which
    transformers loads without a word: prompts are then read as others, or all as the same one.
    """
    names = {file.name for file in part.glob("*")}
    vocabulary, merges = part / "vocab.json", part / "merges.txt"
    if "vocab.json" in names and "tokenizer.json" not in names:
        if "merges.txt" not in names:
            raise error(f"{merges} is missing, which goes with {vocabulary.name}")
        check_intact([vocabulary, merges], error)
        if token := _never_made(vocabulary, merges):
            raise error(
                f"{merges} is cut off: none of its lines makes {token!r}, which {vocabulary.name} "
                "has; copy or download it again"
            )
    if not any(
        name in _VOCABULARIES or Path(name).suffix in (".model", ".tiktoken") for name in names
    ):
        raise error(
            f"{part} has no vocabulary (tokenizer.json, or vocab.json with merges.txt, or a "
            "sentencepiece .model); copy or download the tokenizer again"
        )


def _never_made(vocabulary: Path, merges: Path) -> str | None:
    """A token of a CLIP vocabulary (words end in ``</w>``) that is neither a letter nor merged."""
    tokens = json.loads(vocabulary.read_text(encoding="utf-8"))
    if not any(token.endswith("</w>") for token in tokens):
        return None
    made = {line.replace(" ", "") for line in merges.read_text(encoding="utf-8").splitlines()}
    parts = (t for t in tokens if len(t.removesuffix("</w>")) > 1 and not t.startswith("<|"))
    return next((token for token in parts if token not in made), None)
