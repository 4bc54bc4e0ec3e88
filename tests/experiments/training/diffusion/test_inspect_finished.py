"""A finished pipeline is measured again: its record and its card follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from control_helpers import save_base
from training_helpers import captioned_folder, read

from gandiff.experiments.training.cards import generator_card, pipeline_use, with_settings
from gandiff.experiments.training.diffusion import inspect
from gandiff.experiments.training.diffusion.sampling import Point, sample_at
from gandiff.experiments.training.monitors import files

BEFORE = {
    "operating_points": [
        {"solver": "ddim", "num_inference_steps": n, "guidance_scale": 1.0, "all": 0.5, "fd": 9.0}
        | {"pictures": 80}
        for n in (1, 2)
    ],
    "neighbours": {"searched": 64, "median_distance": 0.5, "ratio": 1.0},
}
FACTS: dict[str, Any] = {
    **{"command": "gandiff train diffusion", "data": "scenes", "seed": 3, "seconds": 9.0},
    **{"images": 64, "steps": 2, "batch_size": 32, "device": "cpu"},
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained one at 16 px with a record and a card; few pictures at few points."""
    monkeypatch.setattr(files, "_REAL", 64)
    monkeypatch.setattr(inspect, "STEPS", (1, 2))
    monkeypatch.setattr(inspect, "GUIDANCE", (1.0, 2.0))
    monkeypatch.setattr(inspect, "PLAIN", ("ddim", 2))
    folder = save_base(tmp_path / "pipeline")
    record = read(folder) | FACTS | BEFORE
    (folder / "training.json").write_text(json.dumps(record), encoding="utf-8")
    card = generator_card("a-pipeline", "A summary.", record, pipeline_use(10, 2.0))
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def test_record_and_card_have_the_new_rows(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (pipeline / "README.md").read_text(encoding="utf-8")
    assert inspect.main([str(pipeline)]) == 0
    assert capsys.readouterr().out == f"{pipeline / 'training.json'}\n"
    record, card = read(pipeline), (pipeline / "README.md").read_text(encoding="utf-8")
    rows = record["operating_points"]
    found = {(r["solver"], r["num_inference_steps"], r["guidance_scale"]) for r in rows}
    assert {("ddim", 2, 1.0), ("ddim", 2, 2.0), ("dpmsolver++", 1, 2.0)} <= found
    assert {r["pictures"] for r in [*rows, record["real_against_real"]]} == {64}
    assert 0 < record["real_against_real"]["fd"] < min(r["fd"] for r in rows)
    assert {k: record[k] for k in FACTS} == FACTS
    assert card.count("## Steps and guidance") == 1
    assert "## Steps and guidance, on 64 pictures\n" in card
    assert "| real pictures |  |  |" in card
    assert (before.partition("\n## Copies")[0], before.partition("\n## Use")[2]) == (
        card.partition("\n## Copies")[0],
        card.partition("\n## Use")[2],
    )
    assert with_settings(card, record) == card
    assert inspect.main([str(pipeline)]) == 0
    assert read(pipeline) == record  # the same noise, the same numbers


def test_a_relative_path_of_two_names_is_no_hub_id(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(pipeline.parent.parent)
    named = f"{pipeline.parent.name}/{pipeline.name}"
    monkeypatch.setattr(inspect, "points_of", lambda *_, **__: [Point("dpmsolver++", 1, 1.0)])
    assert inspect.main([named, "--pictures", "32"]) == 0
    assert capsys.readouterr().out == f"{Path(named, 'training.json')}\n"
    assert read(pipeline)["operating_points"][0]["pictures"] == 32


def test_what_was_measured_before_it_was_stopped_is_kept(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect.inspect_finished(str(pipeline))
    whole, before = read(pipeline), len(read(pipeline)["operating_points"])
    drawn: list[Point] = []

    def stop(
        pipe: Any, recipe: Any, captions: list[str], seed: int, point: Point, parts: Any
    ) -> Any:
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(point)
        return sample_at(pipe, recipe, captions, seed, point, parts)

    monkeypatch.setattr(inspect, "sample_at", stop)
    with pytest.raises(KeyboardInterrupt):
        inspect.inspect_finished(str(pipeline))
    assert read(pipeline) == whole
    assert len(read(pipeline, "operating_points.json")["rows"]) == 3
    first, again = list(drawn), list[Point]()

    def count(
        pipe: Any, recipe: Any, captions: list[str], seed: int, point: Point, parts: Any
    ) -> Any:
        again.append(point)
        return sample_at(pipe, recipe, captions, seed, point, parts)

    monkeypatch.setattr(inspect, "sample_at", count)
    inspect.inspect_finished(str(pipeline))
    assert read(pipeline) == whole
    assert not set(first) & set(again)
    assert len(first) + len(again) == before
    assert not (pipeline / "operating_points.json").exists()


def test_rows_of_fewer_pictures_are_not_taken_for_these(pipeline: Path) -> None:
    kept = {"asked": {"pictures": 32}, "rows": [{"solver": "ddim"}]}
    (pipeline / "operating_points.json").write_text(json.dumps(kept), encoding="utf-8")
    inspect.inspect_finished(str(pipeline), 40)
    assert {row["pictures"] for row in read(pipeline)["operating_points"]} == {40}


def test_steps_at_another_guidance_are_what_the_card_advises(pipeline: Path) -> None:
    trained = read(pipeline)["recipe"]
    assert inspect.main([str(pipeline), "--guidance", "1.5"]) == 0
    record, card = read(pipeline), (pipeline / "README.md").read_text(encoding="utf-8")
    assert record["recipe"] == trained
    steps = {(r["num_inference_steps"], r["guidance_scale"]) for r in record["operating_points"]}
    assert {(1, 1.5), (2, 1.5)} <= steps
    assert "guidance_scale=1.5" in card
    assert "guidance_scale=2" not in card


def test_a_folder_of_few_captions_is_measured_on_all_of_them(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captioned_folder(tmp_path / "few", 3)
    words = [str(pipeline), "--data", str(tmp_path / "few")]
    assert inspect.main(words) == 0
    assert {row["pictures"] for row in read(pipeline)["operating_points"]} == {12}
    assert inspect.main([*words, "--pictures", "8"]) == 2
    assert "--pictures must be 12, for which there are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}", "--guidance", "-1"], "guidance: must be at least 1, got -1.0"),
        (["{}", "--guidance", "nan"], "guidance: must be a finite number, got nan"),
        (["nowhere"], "PIPELINE nowhere: there is no such folder"),
        (["{}", "--pictures", "65"], "--pictures must be from 32 to 64"),
        (["{}", "--pictures", "0"], "--pictures must be from 32 to 64"),
        (["{}", "--data", "nowhere"], "nowhere"),
        (["{}", "--monitor", "nothing"], "--monitor nothing"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_changes_nothing(
    pipeline: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = [(pipeline / name).read_bytes() for name in ("training.json", "README.md")]
    assert inspect.main([word.format(pipeline) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert [(pipeline / name).read_bytes() for name in ("training.json", "README.md")] == before


def test_a_record_must_say_by_what_it_was_trained(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read(pipeline)
    del record["seed"]
    (pipeline / "training.json").write_text(json.dumps(record), encoding="utf-8")
    assert inspect.main([str(pipeline)]) == 2
    assert "must say by what data and seed it was trained" in capsys.readouterr().err
