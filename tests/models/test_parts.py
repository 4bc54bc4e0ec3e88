"""Every part of every pipeline class that is accepted is checked as what it is, by real classes."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.class_source import class_files
from gandiff.models.diffusion.classes import called_class, pipeline_class, task_problem
from gandiff.models.diffusion.parts import check_part


def parts() -> dict[tuple[str, str], type]:
    """The classes that accepted pipelines are built of, as a saved index names them."""
    import diffusers
    from diffusers.pipelines.pipeline_loading_utils import _fetch_class_library_tuple

    known: dict[tuple[str, str], type] = {}
    for name in class_files():
        described, pipeline = pipeline_class(called_class(name)), getattr(diffusers, name, None)
        accepted = described is not None and task_problem(described) is None
        if pipeline is None or not (accepted or "PriorPipeline" in name):
            continue
        for hint in typing.get_type_hints(pipeline.__init__).values():
            for kind in flat(hint):
                library, word = _fetch_class_library_tuple(kind)
                known[library, word] = kind
                folder = kind.__module__.split(".")[-2]  # older files name it, whose it ever was
                known[folder if "pipelines" in kind.__module__ else library, word] = kind
    return known


def flat(hint: Any) -> Iterator[type]:
    """The classes in a type, without those of Python itself and of what decides on steps."""
    for inner in typing.get_args(hint) or (hint,):
        known = isinstance(inner, type) and inner.__module__.startswith(("diffusers", "transf"))
        # The bases of tokenizers are nobody's class, and safety checkers are never loaded.
        if known and not re.search("Scheduler|Guidance|SafetyChecker|Base$", inner.__name__):
            yield inner


def refusal(folder: Path, library: str, kind: str, *files: str) -> str:
    """What is said of a part with these files alone; nothing where it is taken."""
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text(json.dumps({"_class_name": kind}))
    try:
        check_part(folder, library, kind, False, None)
    except GeneratorError as error:
        return str(error)
    return ""


def test_each_network_needs_its_config_and_its_weights_and_nothing_else_does(
    tmp_path: Path,
) -> None:
    known = parts()
    networks = {key for key, kind in known.items() if issubclass(kind, torch.nn.Module)}
    assert len(networks) > 60
    assert {kind for _, kind in networks} > {
        *("WuerstchenPrior", "MultilingualCLIP", "UniDiffuserTextDecoder", "CLIPTextModel"),
        *("GlmImageForConditionalGeneration", "StableUnCLIPImageNormalizer"),
    }
    wrong = []
    for place, key in enumerate(sorted(known)):
        root = tmp_path / str(place)
        without_weights = refusal(root / "1", *key, "config.json", "more.json")
        without_config = refusal(root / "2", *key, "more.json")
        if key in networks:
            right = "has no weights" in without_weights and "config.json is mi" in without_config
        else:
            right = "weights" not in without_weights and "config.json" not in without_config
        wrong += [] if right else [key]
    assert wrong == []


@pytest.mark.parametrize(
    "kind", ["TokenizersBackend", "PreTrainedTokenizerFast", "Qwen2Tokenizer", "Qwen3VLProcessor"]
)
def test_what_reads_texts_needs_its_vocabulary(kind: str, tmp_path: Path) -> None:
    file = "tokenizer_config.json"
    assert "has no vocabulary" in refusal(tmp_path / "1", "transformers", kind, file)
    assert refusal(tmp_path / "2", "transformers", kind, file, "tokenizer.json") == ""
