"""Where weights lie and what is known of them: names, checksums, model cards."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gandiff.common.errors import GeneratorError
from gandiff.common.files import expanded, file_sha256, read_json
from gandiff.common.intact import check_intact, check_vocabulary
from gandiff.common.names import did_you_mean

PRETRAINED = Path(__file__).resolve().parent / "pretrained"
_CONTROLNET = "diffusion_pytorch_model.safetensors"  # no generator has it at the top of its folder
# What old runs recorded of shipped files. A text encoder was saved again under the names of weights
# that every transformers reads. The numbers stayed, so it counts as the file that it was: runs stay
# valid.
_RENAMED = {
    "46db0726512aaf57d5380ed1211e1364ff50733a1dfecef794ae7e04e4ac7f59": (
        "498957742c143f78342f3cca22c1d3e1bd68818230bf1a29daa36f956fec86d8"
    ),
}

# Nor does what a shipped training record says of the weights change what they are.
_RECORDS = {
    PRETRAINED / "diffusion-scenes" / "training.json": (
        "0d19c9b51ec63eafb7ef6ab845c687e831361bda2a3a40b01a3999599a63282b"
    ),
    PRETRAINED / "gan-scenes" / "training.json": (
        "bf9ad2953d6add50da41b0724276c1e725584f1a877aec7c3822d8fba8b477a0"
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What lies beside the weights: the record of training, the licence, the source."""

    training: Mapping[str, Any] | None = None
    licence: str | None = None
    source: str | None = None


def shipped_names(*, controlnets: bool = False) -> list[str]:
    """Return the names of the generators that ship with gandiff, or of the ControlNets for them."""
    if not PRETRAINED.is_dir():
        return []
    folders = [p for p in PRETRAINED.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return sorted(p.name for p in folders if (p / _CONTROLNET).is_file() == controlnets)


def find_weights(name: str) -> Path | None:
    """Return the directory that ``name`` means, or None if there is none on this machine.

    A name without a path separator is looked up among the shipped generators first, then as a
    directory; anything else is a directory only.
    """
    if not re.search(r"[/\\]", name) and (PRETRAINED / name).is_dir():
        return PRETRAINED / name
    path = expanded(name)
    return path if path.is_dir() else None


def require_weights(name: str) -> Path:
    """Return the directory that ``name`` means; the error for none gives the nearest name."""
    found = find_weights(name)
    if found is None:
        raise missing_weights(name)
    return found


def missing_weights(name: str) -> GeneratorError:
    """Build the error for weights that are nowhere."""
    return GeneratorError(
        f"no weights at {name!r}: it is neither a directory nor a shipped generator. Give the path "
        "of a directory that holds the weights, or a shipped name"
        f"{did_you_mean(name, shipped_names())}"
    )


def check_text_parts(folder: Path) -> None:
    """Raise ``GeneratorError`` unless ``text_encoder/`` and ``tokenizer/`` in a folder are whole,
    as far as their files tell without loading them.
    """
    if not (folder / "text_encoder" / "config.json").is_file():
        raise GeneratorError(
            f"{folder} has no complete text_encoder/; give a folder that gandiff train wrote"
        )
    check_vocabulary(folder / "tokenizer", GeneratorError)
    files = [file for part in ("text_encoder", "tokenizer") for file in (folder / part).iterdir()]
    read = (".json", ".txt", ".safetensors")
    check_intact((file for file in files if file.suffix in read), GeneratorError)


def combined_sha256(directory: Path, suffixes: Sequence[str] = (".safetensors",)) -> str | None:
    """Hash all weights files below a directory as one, in the order of their relative names.

    The digest covers each file's relative name and content, so renaming, adding or swapping files
    changes it. None if there is no such file. Asked again, a directory is read again only if a size
    or a time of change differs.
    """
    paths = (p for p in directory.rglob("*") if p.suffix in suffixes and p.is_file())
    files = {path.relative_to(directory).as_posix(): path for path in paths}
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0" + bytes.fromhex(original_sha256(path)))
    return digest.hexdigest() if files else None


def original_sha256(path: Path) -> str:
    """Sha256 of a file; a shipped file that was only written in another layout or in other words
    since keeps the hash that it had.
    """
    if recorded := _RECORDS.get(path.resolve()):
        return recorded
    status = path.stat()
    return _file_sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _file_sha256(path: Path, size: int, changed: int) -> str:
    digest = file_sha256(path)
    return _RENAMED.get(digest, digest)


def read_card(directory: Path) -> ModelCard:
    """Read ``training.json`` and the front matter of ``README.md``, where they exist.

    ``training.json`` wins where both say something. Raises ``GeneratorError`` if it is not a JSON
    object.
    """
    record, card = directory / "training.json", directory / "README.md"
    training = read_json(record, GeneratorError) if record.is_file() else None
    front = front_matter(card) if card.is_file() else {}
    facts = {**front, **(training or {})}
    return ModelCard(
        training=training,
        licence=_text(facts.get("licence", facts.get("license"))),
        source=_text(facts.get("source")),
    )


def front_matter(path: Path) -> dict[str, Any]:
    """Read the YAML between the first two ``---`` lines; missing or broken, it says nothing."""
    text = path.read_text(encoding="utf-8", errors="replace")
    match = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    if match is None:
        return {}
    try:
        value = YAML(typ="safe", pure=True).load(match[1])
    except (YAMLError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return None if value is None else str(value)
