"""Sweeps of a comparison file: the generators that they stand for, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from run_helpers import TOY, load_text

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import (
    change_comparison,
    comparison_from_dict,
    load_comparison,
)
from gandiff.experiments.config.schema import comparison_schema
from gandiff.experiments.config.types import Comparison, comparison_to_dict
from gandiff.experiments.config.yaml_source import parse_document

HEAD = """\
suite: prompts.txt
metrics: []
generators:
  gan: {type: gan, weights: gan-scenes}
"""


def text(sweep: str, more: str = "") -> str:
    return f"""{HEAD}
  sd:
    type: diffusers
    pipeline: diffusion-scenes
    timing: off
    scheduler_options: {{timestep_spacing: trailing}}{more}
    sweep: {sweep}
"""


def points(comparison: Comparison) -> dict[str, dict[str, Any]]:
    return {name: dict(config.settings) for name, config in comparison.generators.items()}


def test_a_grid_makes_all_combinations_in_place(tmp_path: Path) -> None:
    grid = "{guidance_scale: [1, 3.5], scheduler: [ddim, null], num_inference_steps: [5]}"
    comparison = load_text(tmp_path, text(grid) + "  last: {type: gan, weights: gan-scenes}\n")
    names = [
        *("sd-ddim-5steps-g1", "sd-default-5steps-g1"),
        *("sd-ddim-5steps-g3.5", "sd-default-5steps-g3.5"),
    ]
    assert list(comparison.generators) == ["gan", *names, "last"]
    assert comparison.sweeps == {"sd": tuple(names)}
    chosen = points(comparison)[names[2]]
    assert (chosen["scheduler"], chosen["guidance_scale"]) == ("ddim", 3.5)
    assert chosen["num_inference_steps"] == 5
    assert chosen["scheduler_options"] == {"timestep_spacing": "trailing"}
    assert {comparison.generators[name].timing for name in names} == {"off"}
    assert "sweep" not in chosen


def test_a_list_makes_the_points_that_it_names(tmp_path: Path) -> None:
    listed = """
      - {num_inference_steps: 8}
      - scheduler: euler
        scheduler_options: {use_karras_sigmas: true}
        extra.eta: 0.5
      - {height: 64, width: 64, pipeline: diffusion-scenes}
"""
    chosen = points(load_text(tmp_path, text(listed, "\n    num_inference_steps: 20")))
    one, two, three = (name for name in chosen if name != "gan")
    assert one == "sd-8steps"
    assert two == "sd-euler-use_karras_sigmas-true-eta0.5"
    assert three == "sd-height64-width64-pipeline-diffusion-scenes"
    assert [chosen[name]["num_inference_steps"] for name in (one, two, three)] == [8, 20, 20]
    expected = {"timestep_spacing": "trailing", "use_karras_sigmas": True}
    assert chosen[two]["scheduler_options"] == expected
    assert chosen[two]["extra"] == {"eta": 0.5}
    assert chosen[one]["scheduler_options"] == {"timestep_spacing": "trailing"}


def test_nested_settings_and_other_types_are_swept(tmp_path: Path) -> None:
    comparison = load_text(
        tmp_path,
        HEAD
        + "  psi: {type: gan, weights: gan-scenes, sweep: {truncation_psi: [0.5, 1]}}\n"
        + f"  toy: {{type: '{TOY}', sweep: {{shade: [1, 2], family: [gan]}}}}\n"
        + "  sd: {type: diffusers, pipeline: diffusion-scenes, sweep: "
        + "{scheduler_options: {use_karras_sigmas: [true, false]}, scheduler: [euler]}}\n",
    )
    assert comparison.sweeps == {
        "psi": ("psi-psi0.5", "psi-psi1"),
        "toy": ("toy-shade1-family-gan", "toy-shade2-family-gan"),
        "sd": ("sd-euler-use_karras_sigmas-true", "sd-euler-use_karras_sigmas-false"),
    }


def test_long_names_are_cut_and_stay_different(tmp_path: Path) -> None:
    for values in ("[1, 2]", f"[{'x' * 60}1, {'x' * 60}2]"):
        grid = text(f"{{extra.{'k' * 50}: {values}}}")
        names = list(load_text(tmp_path, grid).sweeps["sd"])
        assert len(set(names)) == 2
        assert all(len(name) <= 64 for name in names)


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("{guidance_scale: [1, -2]}", "c.yaml:11: generators.sd.sweep.guidance_scale.1: must be"),
        ("{guidance: [1]}", "generators.sd.sweep.guidance.0: unknown field; did you mean"),
        ("{scheduler: [ddim, dimm]}", "sweep.scheduler.1: there is no scheduler named 'dimm'"),
        ("[{guidance_scale: 1}, {num_inference_steps: 0}]", "sweep.1.num_inference_steps: must be"),
        ("{guidance_scale: 3}", "generators.sd.sweep.guidance_scale: must be a list of values"),
        ("{guidance_scale: []}", "generators.sd.sweep.guidance_scale: must be a list of values"),
        ("{}", "generators.sd.sweep: must say which settings take which values"),
        ("[]", "generators.sd.sweep: must say which settings"),
        ("5", "generators.sd.sweep: must say which settings take which values, .*got 5"),
        ("[3]", "generators.sd.sweep.0: must be the settings of a point"),
        ("[{}]", "generators.sd.sweep.0: must be the settings of a point"),
        ("{guidance_scale: [1, 1.0]}", "sweep.guidance_scale.1: the point 'sd-g1' is given twice"),
        ("{guidance_scale: [[1]]}", "sweep.guidance_scale.0: must be a text, a number"),
        ("[{scheduler_options: {}}]", "sweep.0.scheduler_options: must be a text, a number"),
        ("{type: [gan]}", "generators.sd.sweep.type: type cannot be swept"),
        ("{timing: [on]}", "generators.sd.sweep.timing: timing cannot be swept"),
        ("{scheduler_options.timestep_spacing: [leading]}", "is swept, so that one value is not"),
        ("{pipeline.a: [1]}", r"sweep.pipeline.a.0: pipeline of sd is 'diffusion-scenes' and has"),
        ("{a.b: [1], a: {b: [2]}}", "generators.sd.sweep.a.b: is given twice"),
        (f"{{seed: {list(range(40))}, b: {list(range(40))}}}", "makes 1,600 generators; must be"),
    ],
)
def test_what_is_wrong_is_said_where_it_is_written(tmp_path: Path, sweep: str, said: str) -> None:
    with pytest.raises(RequestError, match=said.replace("(", r"\(")) as caught:
        load_text(tmp_path, text(sweep))
    assert str(caught.value).startswith(f"{tmp_path / 'c.yaml'}:")


def test_other_fields_of_a_sweep_are_named_as_written(tmp_path: Path) -> None:
    wrong = text("{guidance_scale: [1, 2]}", "\n    variant: 3")
    with pytest.raises(RequestError, match=r"c.yaml:11: generators.sd.variant: must be text"):
        load_text(tmp_path, wrong)
    nameless = f"{HEAD}  sd: {{pipeline: diffusion-scenes, sweep: {{guidance_scale: [1]}}}}\n"
    with pytest.raises(RequestError, match=r"generators.sd.type: missing required field"):
        load_text(tmp_path, nameless)


def test_names_that_clash_are_refused(tmp_path: Path) -> None:
    grid = text("{num_inference_steps: [5, 6]}")
    with pytest.raises(RequestError, match="its point 'sd-5steps' has the name of another"):
        load_text(tmp_path, grid + "  sd-5steps: {type: gan}\n")
    with pytest.raises(RequestError, match="differs from 'SD-5steps' only in case"):
        load_text(tmp_path, grid.replace("  gan:", "  SD-5steps:"))


def test_a_headline_names_points(tmp_path: Path) -> None:
    grid = text("{num_inference_steps: [5, 6]}")
    comparison = load_text(tmp_path, f"headline: [gan, sd-6steps]\n{grid}")
    assert comparison.headline == ("gan", "sd-6steps")
    with pytest.raises(RequestError, match="it is a sweep: name one of sd-5steps, sd-6steps"):
        load_text(tmp_path, f"headline: [gan, sd]\n{grid}")


def test_settings_are_overridden_before_and_after(tmp_path: Path) -> None:
    grid = text("{num_inference_steps: [5, 6]}")
    comparison = load_text(
        tmp_path,
        grid,
        "generators.sd.guidance_scale=2",
        "generators.sd.sweep.num_inference_steps=[7]",
    )
    assert points(comparison)["sd-7steps"]["guidance_scale"] == 2
    with pytest.raises(RequestError, match=r"--set .*\[0\]: generators.sd.sweep.num_inf"):
        load_text(tmp_path, grid, "generators.sd.sweep.num_inference_steps=[0]")
    recorded = load_text(tmp_path, grid)
    changed = change_comparison(recorded, ["generators.sd.guidance_scale=2"], None, origin="run")
    assert [config["guidance_scale"] for n, config in points(changed).items() if n != "gan"] == [
        2.0,
        2.0,
    ]
    assert changed.sweeps == recorded.sweeps


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    comparison = load_text(tmp_path, text("{num_inference_steps: [5, 6]}"))
    data = json.loads(json.dumps(comparison_to_dict(comparison)))
    again = comparison_from_dict(data, base=comparison.base, trusted=True)
    assert again.generators == comparison.generators
    assert again.sweeps == comparison.sweeps
    with pytest.raises(RequestError, match="sweeps: unknown field"):
        comparison_from_dict(data, base=comparison.base)
    assert "sweeps" not in comparison_to_dict(load_comparison("scenes"))


@pytest.mark.parametrize(
    ("sweep", "fits"),
    [
        ("{guidance_scale: [1, 2], scheduler_options: {eta: [0, 1]}}", True),
        ("[{guidance_scale: 1, scheduler: null}]", True),
        ("{guidance_scale: 1}", False),
        ("{}", False),
        ("[]", False),
        ("3", False),
    ],
)
def test_the_schema_knows_sweeps(sweep: str, fits: bool) -> None:
    data = parse_document(text(sweep), "c.yaml").data
    errors = list(jsonschema.Draft202012Validator(comparison_schema()).iter_errors(data))
    assert (not errors) is fits
