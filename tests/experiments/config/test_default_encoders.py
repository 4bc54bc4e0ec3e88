"""What a metric means that names no encoder: Inception, and on scenes the encoder of scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from run_helpers import TOY
from scene_toys import QUICK, noise

import gandiff
from gandiff.common.errors import RequestError
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.api import build
from gandiff.experiments.cli import main
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.config.types import comparison_to_dict
from gandiff.experiments.plugins.registry import METRICS, make_metric, with_encoder
from gandiff.experiments.prompts.suites import Prompt, PromptSuite

NAMED = {  # metric: on scenes, elsewhere
    **{
        name: (f"{name}(encoder=scenes)", f"{name}(encoder=inception)")
        for name in ("fd", "fd_inf", "kid", "diversity", "near_duplicates", "vendi")
    },
    **{
        name: (f"{name}(encoder=scenes)", f"{name}(encoder=inception)")
        for name in ("precision", "recall", "density", "coverage")
    },
    **{
        name: (f"{name}(model=scenes)", f"{name}(model=ViT-B-32/openai)")
        for name in ("clip_score", "r_precision", "edit_direction")
    },
    "kept_distance": ("kept_distance(encoder=scenes)", "kept_distance(encoder=lpips)"),
}


@pytest.mark.parametrize("metric", sorted(METRICS))
@pytest.mark.parametrize("scenes", [True, False])
def test_the_table_of_defaults(metric: str, scenes: bool) -> None:
    wanted = NAMED.get(metric, (metric, metric))[0 if scenes else 1]
    found = with_encoder(metric, scenes=scenes)
    assert found == wanted
    # What is written out is the same metric, and is read as itself on any pictures.
    assert with_encoder(found, scenes=not scenes) == found
    spec = make_metric(MetricSpec.parse(found)).spec
    assert make_metric(MetricSpec.parse(str(spec))).spec == spec
    if not scenes:  # Python's default is that of ordinary pictures
        assert make_metric(MetricSpec(metric)).spec == spec


def test_what_names_its_encoder_is_left_as_it_was_written() -> None:
    for text in ("fid", "kid(encoder=clip:scenes)", "kid( encoder = scenes )", "scene_accuracy"):
        for scenes in (True, False):
            assert with_encoder(text, scenes=scenes) == text
    assert with_encoder("kid(subset_size=10)", scenes=False) == (
        "kid(encoder=inception,subset_size=10)"
    )


def plan(folder: Path, **fields: Any) -> Any:
    data = {"name": "x", "generators": {"toy": {"type": TOY}}, "metrics": ["kid", "fid"], **fields}
    return comparison_from_dict(data, base=folder)


def test_the_suite_and_the_reference_decide(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for i in range(2):
        toys.toy_image(i).save(tmp_path / "real" / f"{i}.png")
    (tmp_path / "prompts.txt").write_text("a dog\na cat\n")
    real, own = {"folder": "real"}, {"name": "prompts.txt"}
    rendered = {"type": "scenes"}
    assert plan(tmp_path, reference=real).metrics == ("kid(encoder=scenes)", "fid")
    assert plan(tmp_path, suite=own, reference=rendered).metrics == ("kid(encoder=scenes)", "fid")
    ordinary = plan(tmp_path, suite=own, reference=real)
    assert ordinary.metrics == ("kid(encoder=inception)", "fid")
    # What is recorded means the same when it is read back.
    read = comparison_from_dict(comparison_to_dict(ordinary), base=tmp_path, trusted=True)
    assert read.metrics == ordinary.metrics
    # A run of an older version named no encoder where it meant that of scenes.
    old = {**comparison_to_dict(ordinary), "metrics": ["kid", "fid", "gone_metric"]}
    assert comparison_from_dict(old, base=tmp_path, trusted=True).metrics == (
        "kid(encoder=scenes)",
        "fid",
        "gone_metric",
    )
    with pytest.raises(RequestError, match="asked for twice"):
        plan(tmp_path, suite=own, reference=real, metrics=["kid", "kid(encoder=inception)"])


def test_prompts_from_python_are_no_scenes_unless_they_state_them() -> None:
    expected = {"objects": [{"shape": "star", "colour": None, "size": None}]}
    for facts, encoder in ((None, "inception"), (expected, "scenes")):
        suite = PromptSuite(name="own", prompts=(Prompt(id="p", text="a star", expected=facts),))
        comparison, _ = build({"noise": noise}, suite, ["vendi"], {})
        assert comparison.metrics == (f"vendi(encoder={encoder})",)
    comparison, _ = build(
        {"noise": noise}, ["a star"], ["vendi"], {"reference": {"type": "scenes"}}
    )
    assert comparison.metrics == ("vendi(encoder=scenes)",)


@pytest.fixture
def folders(empty_folder: Path) -> Path:
    for name, start in (("made", 0), ("real", 100)):
        (empty_folder / name).mkdir()
        for i in range(12):
            toys.toy_image(start + i).save(empty_folder / name / f"{i:02d}.png")
    return empty_folder


def test_the_command_and_python_measure_the_same_by_default(
    folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def refuse(folder: Any, reference: Any, metrics: Any, encoding: Any) -> Any:
        asked.append(metrics)
        raise RequestError("enough")

    monkeypatch.setattr("gandiff.experiments.scoring.folders.measure_folders", refuse)
    assert main(["score", "made", "--reference", "real"]) == 2
    with pytest.raises(RequestError, match="enough"):
        gandiff.score_folders("made", reference="real")
    assert asked == ["fid,kid", "fid,kid"]
    assert main(["score", "made"]) == 2
    assert "give --reference FOLDER (measures fid,kid)" in capsys.readouterr().err


def test_an_encoder_outside_of_what_it_knows_is_marked(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", "made", "--reference", "real", "--json", "-q", "--metrics"]
    assert main([*words, "vendi(encoder=scenes)"]) == 0
    shown = capsys.readouterr()
    assert "vendi(encoder=scenes): the shipped encoders know rendered scenes" in shown.err
    assert json.loads(shown.out)[0]["note"].endswith("outside of what its encoder knows")
    # Beside statistics of scene features, scenes are what is meant.
    assert main(["stats", "real", "--out", "real.npz", "--encoder", "scenes", "-q"]) == 0
    assert (
        main(["score", "made", "--reference", "real.npz", "--json", "-q", "--metrics", "fd"]) == 0
    )
    shown = capsys.readouterr()
    assert "rendered scenes" not in shown.err
    assert '"metric": "fd(encoder=scenes)"' in shown.out


def test_a_run_marks_it_too_and_records_what_it_measured(tmp_path: Path) -> None:
    summaries = {
        suite: gandiff.compare(
            **QUICK,
            generators={"noise": noise},
            suite=prompts,
            metrics=metrics,
            out=tmp_path / suite,
            quiet=True,
        )
        for suite, prompts, metrics in (
            ("own", ["a dog", "a cat", "a horse"], ["vendi(encoder=scenes)"]),
            ("scenes", {"name": "scenes", "prompts": 3}, ["vendi"]),
        )
    }
    for suite, summary in summaries.items():
        recorded = json.loads((tmp_path / suite / "run.json").read_text())
        assert recorded["comparison"]["metrics"] == ["vendi(encoder=scenes)"]
        frame = summary.to_frame()
        note = frame[frame.metric == "vendi(encoder=scenes)"].note.iloc[0]
        marked = [w for w in summary.warnings if "rendered scenes" in w]
        assert bool(marked) == ("outside of what" in note) == (suite == "own")
    assert np.isfinite(frame.value).any()
