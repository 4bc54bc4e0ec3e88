"""What decides the pixels of a GAN in a run: settings of later versions, and a dissection."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from run_helpers import make, record, write_comparison

from gandiff.common.run_record import GeneratorPlan
from gandiff.experiments.plugins.registry import check_settings
from gandiff.experiments.runs.resume import standing_of
from gandiff.models.gan.units import UNITS, read_units, write_units

OLD = {"truncation_psi": 0.7}


def identity(settings: dict[str, Any]) -> dict[str, Any]:
    return {"type": "gan", "settings": settings, "weights": "a", "dtype": "float32"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ()),
        ({"inversion_steps": 50}, ("inversion_steps was nothing (null) and is 50",)),
        ({"truncation_psi": 1.0}, ("truncation_psi was 0.7 and is 1.0",)),
    ],
)
def test_settings_that_were_not_there_are_at_their_defaults(
    changes: dict[str, Any], says: tuple[str, ...]
) -> None:
    now = check_settings("gan", {**OLD, **changes})
    now.pop("weights")
    standing = standing_of("gan", GeneratorPlan(identity=identity(OLD)), identity(now))
    assert len(standing.changes) == len(says)
    for found, wanted in zip(standing.changes, says, strict=True):
        assert found.partition(" was ")[0] == wanted.partition(" was ")[0]
        assert found.rpartition(" and is ")[2] == wanted.rpartition(" and is ")[2]


def test_a_new_dissection_is_another_generator(toy_painter: Path, tmp_path: Path) -> None:
    gan = Path(shutil.copytree(toy_painter, tmp_path / "gan"))
    generators = {
        "painter": {"type": "gan", "weights": str(gan), "units": "star"},
        "plain": {"type": "gan", "weights": str(gan)},
    }
    file = write_comparison(tmp_path, 2, generators=generators)

    def identities() -> tuple[Any, Any]:
        planned = record(make(file))["plan"]["generators"]
        return planned["painter"]["identity"], planned["plain"]["identity"]

    painter, plain = identities()
    assert "files" not in plain
    units = read_units(gan)
    write_units(gan / UNITS, dataclasses.replace(units, high=units.high + 1))
    now, plain_now = identities()
    assert plain_now == plain
    assert now["files"]["units"] != painter["files"]["units"]
    assert {**now, "files": None} == {**painter, "files": None}
