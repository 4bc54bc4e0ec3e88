"""The comparison files that ship, and the schema that editors check them with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from run_helpers import TOY

from gandiff.common.errors import RequestError
from gandiff.experiments.config import load as config
from gandiff.experiments.config import paths
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.schema import comparison_schema
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.config.yaml_source import parse_document
from gandiff.experiments.runs.open import open_configured

HOME = Path(config.__file__).resolve().parents[1]
FILES = sorted((HOME / "comparisons").glob("*.yaml"))
SCHEMA = HOME / "comparison.schema.json"


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The names of the shipped weights, whether or not they were trained yet."""
    names = {name: tmp_path for name in ("gan-scenes", "diffusion-scenes")}
    monkeypatch.setattr(paths, "shipped_weights", lambda: names)


def load(name: str, *overrides: str) -> Comparison:
    return load_comparison(HOME / "comparisons" / name, overrides)


def test_the_schema_file_is_what_the_types_say() -> None:
    fresh = json.dumps(comparison_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == fresh, (
        "the types have changed; write comparison_schema() to experiments/comparison.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(comparison_schema())


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_shipped_files_fit_the_schema_and_name_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == SCHEMA
    jsonschema.validate(parse_document(text, file.name).data, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"sede": 1},
        {"seed": "1"},
        {"device": "gpu"},
        {"batch_size": 0},
        {"generators": {}},
        {"generators": {"g": {"type": "gan", "truncation_pis": 1}}},
        {"generators": {"g": {"type": "diffusers"}}},
        {"generators": {"g": {}}},
        {"timing": {"repaets": 1}},
        {"metrics": None},
        {"suite": 3},
    ],
)
def test_the_schema_refuses_what_the_program_refuses(change: dict[str, Any]) -> None:
    good = {"generators": {"g": {"type": TOY, "shade": 1}}, "metrics": [], "suite": "scenes"}
    jsonschema.validate(good, comparison_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | change, comparison_schema())


@pytest.mark.usefixtures("weights")
def test_the_default_comparison() -> None:
    comparison = load("scenes.yaml")
    assert comparison.name == "scenes"
    assert list(comparison.generators) == [
        *("gan", "gan-psi07", "ddim-20", "dpmpp-10", "dpmpp-4", "ceiling")
    ]
    steps = [g.settings.get("num_inference_steps") for g in comparison.generators.values()]
    assert steps == [None, None, 20, 10, 4, None]
    assert comparison.generators["gan-psi07"].settings["truncation_psi"] == 0.7
    assert comparison.headline == ("gan", "ddim-20")
    assert comparison.samples_per_prompt == 4
    assert comparison.reference is not None
    assert comparison.reference.images == 2000
    assert comparison.suite.prompts == 128


@pytest.mark.usefixtures("weights")
def test_a_shipped_comparison_is_loaded_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenes").mkdir()
    by_name = load_comparison("scenes")
    assert by_name.folder == tmp_path  # so that --set reference.folder=photos starts from here
    assert dataclasses.replace(by_name, base=load("scenes.yaml").base) == load("scenes.yaml")
    (tmp_path / "shipped").write_text("generators: 3\n")
    with pytest.raises(RequestError, match="shipped:1: generators"):  # a file goes first
        load_comparison("shipped")
    with pytest.raises(RequestError, match=r"no comparison file scense; did you mean 'scenes'"):
        load_comparison("scense")
    with pytest.raises(RequestError, match=r"there is editing, gpu, scenes, shipped"):
        load_comparison("faces")


def test_every_shipped_comparison_is_listed_with_a_sentence() -> None:
    names = paths.comparison_names()
    assert set(names) == {file.stem for file in FILES}
    assert names["scenes"].startswith("The default comparison: ")
    assert all(len(sentence) > 40 and "\n" not in sentence for sentence in names.values())


@pytest.mark.usefixtures("weights")
def test_what_model_cards_quote() -> None:
    comparison = load("shipped.yaml")
    assert comparison.suite.prompts == 2000
    assert comparison.suite.split == "test"
    assert comparison.samples_per_prompt >= 2  # diversity within a prompt needs two


def test_real_models_need_three_paths_and_no_network(tmp_path: Path) -> None:
    (tmp_path / "captions.tsv").write_text("id\tcaption\n70\tA city at night.\n")
    for name in ("photographs", "elsewhere"):
        (tmp_path / name).mkdir()
    comparison = load(
        "gpu.yaml",
        f"suite.name={tmp_path / 'captions.tsv'}",
        f"reference.folder={tmp_path / 'photographs'}",
        f"generators.elsewhere.folder={tmp_path / 'elsewhere'}",
    )
    assert open_configured(comparison).prompts[0].id == "70"
    assert comparison.generators["sdxl-turbo"].settings["num_inference_steps"] == 1
