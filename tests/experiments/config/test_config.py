from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_helpers import GOOD, TOY, load_text, write_comparison

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.config.types import comparison_to_dict
from gandiff.experiments.config.yaml_source import parse_document, write_yaml


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    comparison = load_text(tmp_path, GOOD)
    assert comparison.suite.name == "prompts.txt"
    assert comparison.generators["gan"].settings["shade"] == 3
    assert comparison.generators["gan"].settings["delay"] == 0.0
    assert comparison.samples_per_prompt == 4
    assert comparison.metrics == ("vendi(encoder=scenes)",)
    assert comparison.folder == tmp_path.resolve()
    assert comparison.text == GOOD


def test_the_run_is_named_after_the_file_unless_it_says_so(tmp_path: Path) -> None:
    assert load_text(tmp_path, GOOD).name == "good"
    assert load_text(tmp_path, GOOD.replace("name: good\n", "")).name == "c"


def test_a_comparison_survives_being_written_and_read(tmp_path: Path) -> None:
    comparison = load_text(tmp_path, GOOD, "headline=[gan, other]", limit=1)
    data = comparison_to_dict(comparison)
    back = comparison_from_dict(data, base=tmp_path)
    assert comparison_to_dict(back) == data
    assert back.generators == comparison.generators
    trusted = comparison_from_dict(data, base=tmp_path / "gone", trusted=True)
    assert trusted.generators == comparison.generators


def test_limit_keeps_the_suite(tmp_path: Path) -> None:
    suite = load_text(tmp_path, GOOD, limit=1).suite
    assert (suite.name, suite.limit) == ("prompts.txt", 1)


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("seed=7", "seed", 7),
        ("generators.gan.shade=9", "generators.gan.settings.shade", 9),
        ("timing.repeats=3", "timing.repeats", 3),
        ("timing.batch_sizes=[1, 2]", "timing.batch_sizes", (1, 2)),
        ("metrics=['vendi(encoder=scenes,q=2)']", "metrics", ("vendi(encoder=scenes,q=2)",)),
        ("metrics.0=clip_score", "metrics", ("clip_score(model=ViT-B-32/openai)",)),
        ("suite=scenes", "suite.name", "scenes"),
        ("suite.prompts=2", "suite.prompts", 2),
        ("generators.other.broken='a: b'", "generators.other.settings.broken", "a: b"),
        ("generators.other.delay=1e-3", "generators.other.settings.delay", 1e-3),
    ],
)
def test_overrides(tmp_path: Path, assignment: str, field: str, value: Any) -> None:
    found: Any = load_text(tmp_path, GOOD, assignment)
    for part in field.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_overrides_find_names_with_dots(tmp_path: Path) -> None:
    text = GOOD.replace("  gan:", "  toy-1.5:")
    comparison = load_text(tmp_path, text, "generators.toy-1.5.shade=8")
    assert comparison.generators["toy-1.5"].settings["shade"] == 8


def test_overrides_of_one_field_must_agree(tmp_path: Path) -> None:
    assert load_text(tmp_path, GOOD, "seed=2", "seed=2").seed == 2
    with pytest.raises(RequestError, match="--set seed=1 and --set seed=2 contradict each other"):
        load_text(tmp_path, GOOD, "seed=1", "seed=2")


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("seed", "--set seed: must be FIELD=VALUE"),
        ("=3", "must be FIELD=VALUE"),
        ("generators..shade=3", "must be FIELD=VALUE"),
        ("sed=3", "--set sed=3: sed: unknown field; did you mean 'seed'?"),
        ("timing.repaets=3", "--set timing.repaets=3: timing.repaets: unknown field; did you mean"),
        ("generators.gna.shade=3", "no generator is named 'gna'; did you mean 'gan'?"),
        ("generators.gan.shda=3", "generators.gan.shda: unknown field; did you mean 'shade'?"),
        ("generators.gan.shade.x=3", "generators.gan.shade is 3 and has no field 'x'"),
        (
            "metrics.4=fid",
            "metrics is a list of 1; its positions are whole numbers from 0, got '4'",
        ),
        ("seed=[1", "--set seed=[1: cannot read the value"),
        ("seed=soon", "--set seed=soon: seed: must be a whole number, got 'soon'"),
    ],
)
def test_bad_overrides_are_refused(tmp_path: Path, assignment: str, says: str) -> None:
    with pytest.raises(RequestError) as refused:
        load_text(tmp_path, GOOD, assignment)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--limit must be at least 1, got 0"):
        load_text(tmp_path, GOOD, limit=0)


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "imgs").mkdir()
    text = f"""\
suite: prompts.txt
generators:
  gan: {{type: gan, weights: mine}}
  sd: {{type: diffusers, pipeline: ./mine}}
  hub: {{type: diffusers, pipeline: org/name}}
  made: {{type: folder, folder: imgs}}
  own: {{type: {TOY}}}
metrics: []
reference: {{folder: imgs}}
"""
    comparison = load_text(tmp_path, text)
    found = {name: config.settings for name, config in comparison.generators.items()}
    assert found["gan"]["weights"] == str((tmp_path / "mine").resolve())
    assert found["sd"]["pipeline"] == str((tmp_path / "mine").resolve())
    assert found["hub"]["pipeline"] == "org/name"
    assert found["made"]["folder"] == str((tmp_path / "imgs").resolve())
    assert comparison.reference is not None
    assert comparison.reference.folder == str((tmp_path / "imgs").resolve())


def test_anchors_and_merge_keys_are_understood(tmp_path: Path) -> None:
    text = f"""\
suite: prompts.txt
generators:
  a: &toy {{type: {TOY}, shade: 1, delay: 0.5}}
  b: {{<<: *toy, shade: 2}}
metrics: []
"""
    b = load_text(tmp_path, text).generators["b"].settings
    assert (b["shade"], b["delay"]) == (2, 0.5)


def test_plain_scalars_are_those_of_yaml_1_2() -> None:
    text = "a: no\nb: 1e-3\nc: 010\nd: 2026-01-01\ne: 0x1F\nf: ~\ng: true\nh: 1:30\n1: x\n"
    text += "i: off\nj: 0o7\nk: 1_000\nno: '3'\n"
    assert parse_document(text, "t").data == {
        "a": "no",
        "b": 0.001,
        "c": 10,
        "d": "2026-01-01",
        "e": 31,
        "f": None,
        "g": True,
        "h": "1:30",
        "1": "x",
        "i": "off",
        "j": 7,
        "k": "1_000",
        "no": "3",
    }


def test_what_is_written_is_read_back() -> None:
    data = {
        "name": "no",
        "1.50": ["1e-3", 1e-3, None, True],
        "long": "Ä " * 99,
        "m": {"d": "2026-01-01"},
    }
    assert parse_document(write_yaml(data), "t").data == data


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_no_text_gets_past_with_another_error(text: str) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(parse_document(text, "t.yaml").data, dict)


def test_ready_objects_need_no_type() -> None:
    comparison = comparison_from_dict(
        {"name": "x", "suite": "scenes", "metrics": []}, objects=["mine", "yours"]
    )
    assert {c.type for c in comparison.generators.values()} == {"python"}


def test_validating_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write_comparison(tmp_path, metrics=["vendi", "clip_score"])
    code = (
        "import sys; from gandiff.experiments.config.load import load_comparison; "
        f"load_comparison({str(path)!r}); "
        "print([m for m in ('torch', 'diffusers', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
