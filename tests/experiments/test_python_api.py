"""Comparing from Python: what generators, suites and metrics may be, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_helpers import TOY, record
from scene_toys import QUICK, noise, truth

import gandiff
from gandiff.common.errors import GeneratorError, RequestError
from gandiff.experiments import api
from gandiff.experiments.api import build
from gandiff.experiments.prompts.suites import Prompt, PromptSuite
from gandiff.experiments.runs.describe import default_metrics
from gandiff.models.generator import Generation, GenerationRequest, GeneratorInfo

PROMPTS = ["a dog", "a cat", "a horse"]


class Grey(gandiff.Generator):
    """As a user would write one."""

    @property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo(name="grey", family="other", resolution=32)

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.level = 90

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        made = noise([r.prompt for r in requests], [r.seed for r in requests])
        return [Generation(image=image // 2 + self.level) for image in made]


def compare(folder: Path, **arguments: Any) -> api.RunSummary:
    chosen: dict[str, Any] = {**QUICK, "out": folder / "r", "quiet": True, **arguments}
    return gandiff.compare(**chosen)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> api.RunSummary:
    """A function, a mapping and an object on the scenes, with everything left to the defaults."""
    return compare(
        tmp_path_factory.mktemp("python"),
        generators={"grey": Grey(), "truth": truth, "toy": {"type": TOY, "shade": 7}},
        suite={"name": "scenes", "prompts": 5},
        reference={"type": "scenes", "images": 40},
    )


def test_all_kinds_of_generators_take_part_in_the_given_order(result: api.RunSummary) -> None:
    assert result.images == {"ok": 30}
    facts = record(result.folder)
    assert list(facts["generators"]) == ["grey", "truth", "toy"]
    assert facts["generators"]["toy"]["settings"]["shade"] == 7
    assert facts["comparison"]["generators"]["grey"] == {"type": "python"}
    assert facts["command"] == "gandiff.compare"


def test_a_usual_metric_that_is_short_of_images_is_named_in_the_record(tmp_path: Path) -> None:
    """Which the verdict quotes where nothing else stands for the axis."""
    few = compare(
        tmp_path,
        generators={"truth": truth, "noise": noise},
        suite={"name": "scenes", "prompts": 5},
        samples_per_prompt=1,
    )
    said = record(few.folder)["left_out"]["diversity"]
    assert said.startswith("diversity(encoder=scenes) was left out: needs 2 images of one prompt")


def test_the_result_is_data_frames_and_a_report(result: api.RunSummary) -> None:
    frame, scores = result.to_frame(), result.scores()
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(scores, pd.DataFrame)
    assert list(dict.fromkeys(frame.generator)) == ["grey", "truth", "toy"]
    assert {name.split("/")[0] for name in frame.metric} >= set(default_metrics())
    assert len(scores[scores.metric == "scene_accuracy/all"]) == 30
    assert result.report is not None
    assert result.report.is_file()
    assert 1 <= len(result.verdict) <= 5
    assert str(result.report) == result.to_dict()["report"]


def test_a_list_of_prompts(tmp_path: Path) -> None:
    metrics = ["vendi(encoder=scenes)"]
    found = compare(tmp_path, generators={"n": noise}, suite=PROMPTS, metrics=metrics)
    assert found.report is not None  # also for one generator, which is compared with none
    assert record(found.folder)["suite"]["name"] == "prompts"
    assert next(iter(found.to_frame().metric)) == metrics[0]
    scored = api.stage(found.folder, "score", quiet=True)
    assert scored.images == {"ok": 6}
    assert len(scored.warnings) == 1  # an encoder of scenes, and the prompts are none
    assert "the shipped encoders know rendered scenes" in scored.warnings[0]
    with pytest.raises(RequestError, match="holds another comparison"):
        compare(tmp_path, generators={"n": noise}, suite=["a cow"], metrics=metrics)


def test_functions_see_prompts_and_seeds_as_lists(tmp_path: Path) -> None:
    seen: list[tuple[list[str], list[int]]] = []

    def look(prompts: list[str], seeds: list[int]) -> list[np.ndarray]:
        seen.append((prompts, seeds))
        return noise(prompts, seeds)

    suite = PromptSuite(name="mine", prompts=(Prompt(id="x", text="a dog"),))
    compare(tmp_path, generators={"n": look}, suite=suite, metrics=[], batch_size=2)
    prompts, seeds = seen[0]
    assert prompts == ["a dog", "a dog"]
    assert len(set(seeds)) == 2
    assert record(tmp_path / "r")["suite"]["name"] == "mine"


def test_a_file_of_prompts_and_its_path(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a dog\n")
    comparison, objects = build({"n": noise}, tmp_path / "p.txt", [], {})
    assert objects["suite"] is None
    assert comparison.suite.name == str(tmp_path / "p.txt")
    assert list(objects["generators"]) == ["n"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"generators": {}}, "compare() needs at least one generator: generators={'name': ...}"),
        (
            {"generators": {"a": 3}},
            "generator 'a' has the type int; expected a Generator, a function (prompts, seeds) -> "
            "images, or a mapping such as {'type': 'gan'}",
        ),
        ({"generators": {"a": {"type": "gna"}}}, "did you mean 'gan'"),
        ({"generators": {"a": {}}}, "generators.a.type: missing required field"),
        (
            {"generators": {"a": {"type": "gan", "truncation": 1}}},
            "generators.a.truncation: unknown field; did you mean 'truncation_psi'",
        ),
        ({"generators": {"../a": noise}}, "'../a' cannot be the name of a file"),
        ({"suite": 3}, "suite has the type int; expected a name, a file, a PromptSuite or a list"),
        ({"suite": []}, "has no prompts"),
        ({"suite": "scense"}, "did you mean 'scenes'"),
        ({"suite": PROMPTS, "metrics": None}, "needs metrics=[...], see: gandiff list metrics"),
        ({"metrics": ["fdd"]}, "did you mean 'fd'"),
        ({"sample_per_prompt": 2}, "did you mean 'samples_per_prompt'"),
        ({"metrics": ["fd(encoder=scenes)"], "suite": PROMPTS}, "add 'reference:'"),
    ],
)
def test_what_cannot_be_compared_is_told_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    given = {"generators": {"n": noise}, "metrics": [], "out": tmp_path / "r", **arguments}
    with pytest.raises(RequestError) as refused:
        gandiff.compare(**given, quiet=True)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r").exists()


def test_a_function_that_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"expected a function \(prompts, seeds\) -> images") as e:
        compare(tmp_path, generators={"n": lambda prompt: prompt}, metrics=[])
    assert isinstance(e.value, (RequestError, GeneratorError))
