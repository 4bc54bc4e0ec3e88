"""What happens at ticks, of every family: grids, what is said, alarms, the best model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from family_helpers import Family, Sorted, each_family
from training_helpers import captioned_folder, little_to_draw

from gandiff.experiments.training.generators import saving
from gandiff.experiments.training.generators.ticks import Ticks, grid

family = each_family


@pytest.fixture(autouse=True)
def _little_to_draw() -> Iterator[None]:
    with little_to_draw():
        yield


@pytest.fixture
def _unsaved(monkeypatch: pytest.MonkeyPatch, family: Family) -> None:
    """The best model is not written."""
    monkeypatch.setattr(family.kind, "save", lambda *_, **__: None)


def test_a_grid_has_a_prompt_in_each_row_and_a_noise_in_each_column(
    tmp_path: Path, family: Family
) -> None:
    one = family.trainer(tmp_path)
    torch.manual_seed(0)
    with torch.no_grad():  # a fresh generator hears hardly anything
        for p in one.ema.module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    prompts = ["a red star", "a small heart on white", "a red star"]
    picture = grid(one, prompts, columns=4)
    height, width = picture.shape[0] // 3, picture.shape[1] // 4
    assert min(height, width) >= 16
    cells = picture.reshape(3, height, 4, width, 3).swapaxes(1, 2)
    np.testing.assert_array_equal(cells[0], cells[2])
    assert (cells[0] != cells[1]).any()
    assert all((cells[0, 0] != cells[0, i]).any() for i in (1, 2, 3))


@pytest.mark.usefixtures("_unsaved")
def test_a_tick_says_what_it_measured(
    tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    one = family.trainer(tmp_path, quiet=False, ticks=2)
    one.loop.run(one.step, Ticks(one, Sorted()))
    said = capsys.readouterr().err
    assert f"{family.label}: measured 1 of 2: " in said
    assert "fd 12.3, recall 0.5" in said
    assert f"{family.label}: measured 2 of 2" in said
    assert f"{family.in_bar} " in said


def test_how_long_a_tick_takes_is_known_before_the_first(tmp_path: Path, family: Family) -> None:
    """With a budget in images it takes nothing from training."""
    one = family.trainer(tmp_path)
    assert Ticks(one, Sorted()).seconds() == 0.0
    in_time = dataclasses.replace(one.request, kimg=None)
    one.request = in_time
    assert 0 < Ticks(one, Sorted()).seconds() < 60


@pytest.mark.usefixtures("_unsaved")
def test_grids_of_ticks_that_are_close_have_names_of_their_own(
    tmp_path: Path, family: Family
) -> None:
    one = family.trainer(tmp_path, ticks=8)
    one.loop.run(one.step, Ticks(one, Sorted()))
    names = sorted(path.name for path in (tmp_path / "samples").glob("kimg-*.png"))
    assert names == [f"kimg-000000.{images:03d}.png" for images in range(4, 33, 4)]


def test_the_best_model_has_a_card_of_its_own_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: Family
) -> None:
    one = family.trainer(tmp_path / "stars", ticks=2)
    monkeypatch.setattr(saving, "text_summary", lambda _: {})
    one.loop.run(one.step, Ticks(one, Sorted(lambda score: {"fd": 100 - score})))
    card = (tmp_path / "stars" / "best" / "README.md").read_text()
    assert "# stars at its best tick\n" in card
    assert "On validation captions at this tick: fd 98." in card


def alike() -> Sorted:
    """Finds pictures of one prompt that hardly differ."""
    return Sorted(lambda _: {"variation": 0.001})


@pytest.mark.usefixtures("_unsaved")
def test_an_alarm_that_nobody_heard_rings_after_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: Family
) -> None:
    """What went wrong between the last tick and the interruption was not said yet."""
    one = family.trainer(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(family.kind, "alarms", lambda *_: [])
        one.loop.run(one.step, Ticks(one, alike()))
    assert one.loop.events == []
    other = family.trainer(tmp_path, kimg=0.064, resume=True)
    other.loop.run(other.step, Ticks(other, alike()))
    assert any("collapse within prompts" in event["text"] for event in other.loop.events)


@pytest.mark.usefixtures("_unsaved")
def test_an_alarm_that_rang_does_not_ring_again_on_resume(tmp_path: Path, family: Family) -> None:
    one = family.trainer(tmp_path)
    one.loop.run(one.step, Ticks(one, alike()))
    rang = [event["text"] for event in one.loop.events]
    assert sum("collapse within prompts" in text for text in rang) == 1
    other = family.trainer(tmp_path, kimg=0.064, resume=True)
    other.loop.run(other.step, Ticks(other, alike()))
    assert len(other.loop.record()["ticks"]) > len(one.loop.record()["ticks"])
    assert [event["text"] for event in other.loop.events] == rang


@pytest.mark.parametrize(("count", "said"), [(40, True), (120, False)])
def test_it_says_where_memorising_cannot_be_seen(
    tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str], count: int, said: bool
) -> None:
    one = family.trainer(tmp_path / "run", quiet=False)
    one.data = captioned_folder(tmp_path / "photos", count)
    Ticks(one, Sorted())
    assert (f"too few pictures ({count}) to hold some out" in capsys.readouterr().err) == said
