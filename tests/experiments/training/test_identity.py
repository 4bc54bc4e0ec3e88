"""When two trainings are the same, by what was asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from loop_helpers import make
from training_helpers import request

from gandiff.common.errors import RequestError
from gandiff.experiments.training.identity import recorded_digest, same_data, training_digest

RECIPE = {"lr": 0.1, "betas": (0.0, 0.99)}


def digest(recipe: dict[str, Any] = RECIPE, captions: str | None = None, **changes: Any) -> str:
    return training_digest(request(Path("out"), **changes), recipe, captions)


def test_what_decides_a_training_decides_its_digest() -> None:
    same = [
        digest(),
        digest({"betas": [0, 0.99], "lr": 0.1}),  # as JSON has it
        digest(quiet=False, tensorboard=True, resume=True, command="gandiff train gan"),
        training_digest(request(Path("elsewhere")), RECIPE, None),
    ]
    assert len(set(same)) == 1
    others = [
        digest({**RECIPE, "lr": 0.2}),
        digest(captions="abc"),
        digest(minutes=1.0),
        digest(kimg=1.0),
        digest(seed=1),
        digest(data="scenery"),
        digest(processes=2),
        digest(device="cuda"),
    ]
    assert len({digest(), *others}) == 1 + len(others)
    assert digest(kimg=1.0, minutes=1.0) == digest(kimg=1.0, minutes=2.0)
    assert digest(device="cuda:0") == digest(device="cuda:1")  # of one training in processes
    assert digest(captions="abc", data="here") == digest(captions="abc", data="there")


def test_older_records_say_it_by_recipe_and_command(tmp_path: Path) -> None:
    asked = request(tmp_path, data=str(tmp_path), batch_size=32, ticks=24, minutes=30.0)
    line = f"gandiff train gan --data {tmp_path}/ --resume"
    wanted = training_digest(asked, RECIPE, "abc")
    old = {"command": line, "recipe": RECIPE}
    assert recorded_digest(old, asked, "abc") == wanted
    assert recorded_digest({**old, "digest": "x"}, asked, "abc") == "x"
    other = dataclasses.replace(asked, data=str(tmp_path / "other"))
    assert recorded_digest(old, other, "abc") != training_digest(other, RECIPE, "abc")
    for command in ("gandiff train", "gandiff train text", "", "python train.py"):
        assert recorded_digest({**old, "command": command}, asked, "abc") is None
    assert recorded_digest({"command": line}, asked, "abc") is None


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ({"data": "photos", "captions_sha256": "a"}, {"data": "moved", "captions_sha256": "a"}, 1),
        ({"data": "photos", "captions_sha256": "a"}, {"data": "photos", "captions_sha256": "b"}, 1),
        ({"data": "photos", "captions_sha256": "a"}, {"data": "other", "captions_sha256": "b"}, 0),
        ({"data": "scenes", "captions_sha256": None}, {"data": "scenes"}, 1),
        (
            {"data": "scenes", "captions_sha256": None},
            {"data": "scenes", "captions_sha256": "b"},
            0,
        ),
        ({"data": "photos"}, {"data": "photos", "captions_sha256": "b"}, 1),  # of older versions
        ({"data": "photos"}, {"data": "other", "captions_sha256": "b"}, 0),
    ],
)
def test_data_are_known_by_captions_or_name(
    before: dict[str, Any], now: dict[str, Any], same: int
) -> None:
    assert same_data(before, now) == bool(same)


def test_a_training_is_resumed_where_its_data_were_renamed(tmp_path: Path) -> None:
    make(tmp_path, data="photos", captions_sha256="abc")[0].save()
    make(tmp_path, data="moved", captions_sha256="abc", resume=True)
    with pytest.raises(RequestError, match="is of a training with --data photos, not moved"):
        make(tmp_path, data="moved", captions_sha256="def", resume=True)
