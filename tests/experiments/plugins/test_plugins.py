from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from run_helpers import TOY, TOYS
from toy_generators import paint

from gandiff.common.errors import RequestError, SettingError
from gandiff.evaluate.metric import Metric
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.plugins import registry as plugins
from gandiff.experiments.plugins.factories import check_factory
from gandiff.experiments.plugins.registry import check_settings, make_generator, make_metric
from gandiff.models.generator import GenerationRequest


def test_every_built_in_can_be_imported() -> None:
    for entry in plugins.GENERATORS.values():
        assert plugins._load(entry.settings).__name__.endswith("Settings")
    for name in plugins.METRICS:
        metric = make_metric(MetricSpec.of(name))
        assert isinstance(metric, Metric)
        assert metric.spec.name == name


def test_names_are_listed_with_a_line_each() -> None:
    assert {"gan", "diffusers", "folder"} <= plugins.generator_types().keys()
    assert {"fd", "fid", "kid", "vendi"} <= plugins.metric_types().keys()
    assert all(plugins.generator_types().values())


def test_settings_of_built_ins_get_their_defaults() -> None:
    assert check_settings("gan", {"weights": "x"}) == {
        "weights": "x",
        "truncation_psi": 1.0,
        "inversion_steps": 100,
        "inversion_candidates": 256,
        "units": None,
    }
    with pytest.raises(SettingError, match=r"truncation_pis: unknown field; did you mean"):
        check_settings("gan", {"truncation_pis": 1.0})


def test_a_folder_of_images_is_built(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4), "red").save(tmp_path / "a_0.png")
    made = make_generator("made", "folder", {"folder": str(tmp_path)})
    assert (made.info.name, made.info.family) == ("made", "folder")
    with pytest.raises(RequestError, match="generator 'made' cannot be built: "):
        make_generator("made", "folder", {"folder": str(tmp_path / "gone")})


def test_a_factory_gets_its_name_and_settings() -> None:
    made = make_generator("mine", TOY, {"family": "other"})
    assert (made.info.name, made.info.family) == ("mine", "other")


def test_functions_keep_what_is_written_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[paint.__module__]
    monkeypatch.setattr(module.paint, "resolution", 8, raising=False)
    made = make_generator("p", f"{paint.__module__}:paint", {"shade": 3}, TOYS.parent)
    assert made.info.resolution == 8
    (generation,) = made.generate([GenerationRequest(prompt="a", seed=5)])
    assert generation.image is not None
    assert generation.image.min() >= 3


def test_a_module_beside_the_comparison_is_found(tmp_path: Path) -> None:
    (tmp_path / "beside_the_file.py").write_text("def make(*, size: int = 4):\n    return print\n")
    assert check_settings("beside_the_file:make", {}, tmp_path) == {"size": 4}
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    with pytest.raises(SettingError, match=r"cannot be imported: ZeroDivisionError"):
        check_settings("broken_module:make", {}, tmp_path)
    with pytest.raises(SettingError, match=r"broken_module.py:make cannot be imported: ZeroDiv"):
        check_settings("broken_module.py:make", {}, tmp_path)


def test_what_a_factory_returns_is_checked() -> None:
    with pytest.raises(
        RequestError, match=r"must give a gandiff Generator or a function .* got 3 \(int\)"
    ):
        make_generator("x", f"{TOYS}:not_a_generator", {})


def factory(a: int, *, b: float = 2.0, c: str | None = None, d: object = object()) -> None:
    del a, b, c, d


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "a: missing required field"),
        ({"a": "1"}, "a: must be a whole number, got '1'"),
        ({"a": True}, "a: must be a whole number, got true"),
        ({"a": 1.5}, "a: must be a whole number, got 1.5"),
        ({"a": 1, "b": "x"}, "b: must be a number, got 'x'"),
        ({"a": 1, "e": 3}, "e: unknown field"),
        ({"a": 1, "name": "x"}, "name: unknown field"),
    ],
)
def test_settings_are_checked_against_the_signature(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError) as refused:
        check_factory(factory, settings)
    assert says in str(refused.value)


def test_defaults_that_are_plain_data_are_filled_in() -> None:
    assert check_factory(factory, {"a": 1, "b": 3}) == {"a": 1, "b": 3, "c": None}

    def open_ended(**settings: int) -> None:
        del settings

    assert check_factory(open_ended, {"x": 1}) == {"x": 1}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        "gandiff.generators": [
            EntryPoint("toy", f"{paint.__module__}:ToyGenerator", "gandiff.generators"),
            EntryPoint("lost", "no_such_module:x", "gandiff.generators"),
        ],
        "gandiff.metrics": [
            EntryPoint("spread", "gandiff.evaluate.metrics.diversity:Vendi", "gandiff.metrics")
        ],
    }
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.get(group, []))


@pytest.mark.usefixtures("installed")
def test_installed_plugins_are_found() -> None:
    assert "toy" in plugins.generator_types()
    assert check_settings("toy", {"shade": 1})["shade"] == 1
    assert make_generator("t", "toy", {}).info.name == "t"
    assert isinstance(make_metric(MetricSpec.parse("spread(q=2)")), Metric)
    with pytest.raises(RequestError, match="the plugin 'lost' cannot be imported"):
        check_settings("lost", {})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SettingError, match="no generator type is named 'gam'; did you mean 'gan'"):
        check_settings("gam", {})
    with pytest.raises(RequestError, match="no metric is named 'kidd'; did you mean 'kid'"):
        make_metric(MetricSpec.of("kidd"))
    with pytest.raises(RequestError, match="fd"):
        make_metric(MetricSpec.parse("fd(encodre=scenes)"))
