"""Whether a part of a pipeline is whole, seen from its files; imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.intact import check_intact, check_vocabulary
from gandiff.models.diffusion.class_source import bases_of

INDEX = "model_index.json"
WEIGHTS = (".safetensors",)
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
PARTS_OF_COMBINED = ("prior_pipe", "decoder_pipe")
# Classes of transformers that have no weights, such as CLIPImageProcessor and TokenizersBackend.
_TOKENIZER = re.compile(r"Tokenizer(Fast)?$|Backend$")
_PROCESSOR = re.compile(r"(Processor|Extractor)(Fast|Pil)?$")
# Of them those of texts and pictures at once, with the files of a tokenizer beside their own.
_READS_TEXT = re.compile(r"(?<!Image)(?<!Video)Processor$")
_SHARD = re.compile(r"-\d+-of-\d+")
_AGAIN = "copy or download the whole pipeline directory"


def check_part(
    part: Path, library: str, kind: str, allow_pickle: bool, variant: str | None
) -> None:
    """Raise ``GeneratorError`` for a part that is missing, empty, torn or without weights.

    ``library`` and ``kind`` are its package and class, as the index names them.
    """
    if not part.is_dir():
        raise GeneratorError(
            f"{part} is missing: {INDEX} names it; copy the whole pipeline directory"
        )
    read = (*WEIGHTS, *PICKLES, ".json", ".txt", ".model")
    files = sorted(p for p in part.iterdir() if p.suffix in read and p.is_file())
    if not files:
        raise GeneratorError(f"{part} has no files{_unfinished(part)}; {_AGAIN}")
    reads_text = _READS_TEXT.search(kind) and (part / "tokenizer_config.json").is_file()
    if config := _config_name(library, kind):
        if not (part / config).is_file():
            raise GeneratorError(f"{part / config} is missing, which says what it is; {_AGAIN}")
        # Without a class, diffusers takes the defaults of all settings and says nothing.
        by_diffusers = library == "diffusers" or "ConfigMixin" in bases_of(kind)
        if by_diffusers and "_class_name" not in read_json(part / config, GeneratorError):
            raise GeneratorError(f"{part / config} has no _class_name, must be {kind!r}; {_AGAIN}")
        if config == "config.json":
            stem = "diffusion_pytorch_model" if by_diffusers else "model"
            files = _check_weights(part, files, allow_pickle, variant, stem)
    elif (reads_text or _TOKENIZER.search(kind)) and "ByT5" not in kind:  # which reads bytes
        check_vocabulary(part, GeneratorError)
    check_intact(files, GeneratorError)


def pipelines(pipe: Any) -> tuple[Any, ...]:
    """A pipeline and those that it calls: a prior and its decoder."""
    inner = (getattr(pipe, name, None) for name in PARTS_OF_COMBINED)
    return (pipe, *(part for part in inner if part is not None))


def pickled(file: Path) -> GeneratorError:
    """The error for weights that nobody allowed to read."""
    return GeneratorError(
        f"{file} is a pickle file, and reading one can run any code that is hidden in "
        "it; expected .safetensors. "
        "Set allow_pickle (--allow-pickle) if you trust where it comes from"
    )


def _config_name(library: str, kind: str) -> str | None:
    """The file that a part is built from; None where it may have none, such as processors.

    The package of a network does not say whose it is: diffusers names those of transformers after
    its pipeline where both call a module the same (``glm_image``).
    """
    own = {"Scheduler": "scheduler_config.json", "Guidance": "guider_config.json"}
    if (file := next((file for word, file in own.items() if word in kind), None)) is not None:
        return file
    if library not in ("diffusers", "transformers") and (bases := bases_of(kind)):
        is_network = any(base.endswith(("Model", "ModelMixin")) for base in bases)
    else:
        is_network = library == "diffusers" or not (
            _TOKENIZER.search(kind) or _PROCESSOR.search(kind)
        )
    return "config.json" if is_network else None


def _unfinished(part: Path) -> str:
    file = next(part.rglob("*.incomplete"), None)
    return f" but {file.name}, a download that was not finished" if file else ""


def _check_weights(
    part: Path, files: Sequence[Path], allow_pickle: bool, variant: str | None, stem: str
) -> list[Path]:
    """Check that a network has weights, usually called ``stem``; returns the files without those of
    other variants.
    """
    safe = [p for p in files if p.suffix in WEIGHTS]
    pickles = [p for p in files if p.suffix in PICKLES]
    if not safe and pickles and not allow_pickle:
        raise pickled(pickles[0])
    if not safe and not pickles:
        raise GeneratorError(
            f"{part} has no weights: there is no .safetensors file (such as {stem}.safetensors)"
            f"{_unfinished(part)}; download the pipeline again or give another directory"
        )
    others = [p for p in safe if variant_of(p) not in (None, variant)]
    if others and len(others) == len(safe):
        name = variant_of(others[0])
        raise GeneratorError(
            f"{part} has weights of the variant {name!r} alone ({others[0].name}); "
            f"set variant: {name}"
        )
    kept = [p for p in files if p not in others]
    _check_shards(part, kept, variant)
    return kept


def variant_of(file: Path) -> str | None:
    """The variant in the name of weights: ``fp16`` of ``model.fp16.safetensors`` or
    ``model.fp16-00001-of-00002.safetensors``.
    """
    _, _, variant = _SHARD.sub("", file.stem).partition(".")
    return variant or None


def _check_shards(part: Path, files: Sequence[Path], variant: str | None) -> None:
    """Check that a list of shards has all of them, and shards their list."""
    lists = [p for p in files if ".safetensors.index." in p.name]
    lists = [p for p in lists if variant and f".{variant}." in p.name] or [
        p for p in lists if p.name.count(".") == 3
    ]
    for listing in lists:
        shards = read_json(listing, GeneratorError).get("weight_map", {})
        for name in sorted(set(shards.values() if isinstance(shards, dict) else ())):
            if not (part / str(name)).is_file():
                raise GeneratorError(f"{part / str(name)} is missing: {listing.name} names it")
    weights = [p for p in files if p.suffix in WEIGHTS]
    if not lists and all(_SHARD.search(p.stem) for p in weights) and weights:
        raise GeneratorError(
            f"{part} has the shard {weights[0].name} and no .safetensors.index.json that lists the "
            "shards; download the pipeline again"
        )
