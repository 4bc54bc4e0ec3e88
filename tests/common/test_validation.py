"""Settings checked against annotations: from a mapping, a signature, and text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt

from gandiff.common.assignments import read_assignments, read_value
from gandiff.common.errors import SettingError
from gandiff.common.validation import (
    check_arguments,
    settings_class,
    validate,
)


@settings_class
class Inner:
    rate: Annotated[float, Gt(0), Lt(1)] = 0.5


@settings_class
class Outer:
    count: Annotated[int, Ge(1)]
    psi: Annotated[float, Ge(0), Le(2)] = 1.0
    share: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    betas: tuple[Annotated[float, Ge(0), Lt(1)], float] = (0.0, 0.9)
    sizes: tuple[int, ...] = (1,)
    solver: Literal["ddim", "euler"] | None = None
    flag: bool = False
    inner: Inner = Inner()
    named: Mapping[str, Inner] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.flag and self.solver is None:
            raise ValueError("flag needs a solver")


BAD = [
    ({}, ("count",), "missing required field"),
    ({"cuont": 1}, ("cuont",), "unknown field; did you mean 'count'?"),
    ({"count": 0}, ("count",), "must be at least 1, got 0"),
    ({"count": True}, ("count",), "must be a whole number, got true"),
    ({"count": 1, "psi": 3.5}, ("psi",), "must be between 0 and 2, got 3.5"),
    ({"count": 1, "share": 1}, ("share",), "must be at least 0 and below 1, got 1"),
    ({"count": 1, "betas": [2.0, 1.0]}, ("betas", 0), "must be at least 0 and below 1, got 2.0"),
    (
        {"count": 1, "solver": "dimm"},
        ("solver",),
        "must be one of ddim, euler, got 'dimm'; did you",
    ),
    ({"count": 1, "flag": "yes"}, ("flag",), "must be true or false, got 'yes'"),
    ({"count": 1, "flag": True}, (), "flag needs a solver"),
    ({"count": 1, "inner": {"rate": 1}}, ("inner", "rate"), "must be above 0 and below 1, got 1"),
    (
        {"count": 1, "named": {"a": {"rat": 1}}},
        ("named", "a", "rat"),
        "unknown field; did you mean 'rate'?",
    ),
]


@pytest.mark.parametrize(("data", "field", "problem"), BAD)
def test_the_first_wrong_field_is_named(
    data: dict[str, Any], field: tuple[str | int, ...], problem: str
) -> None:
    with pytest.raises(SettingError) as refused:
        validate(Outer, data)
    assert refused.value.field == field
    assert refused.value.problem.startswith(problem)


def test_lists_and_mappings_become_what_the_annotations_say() -> None:
    read = validate(Outer, {"count": 2, "betas": [0, 0.5], "sizes": [1, 2], "named": {"a": {}}})
    assert read == Outer(count=2, betas=(0.0, 0.5), sizes=(1, 2), named={"a": Inner()})


def test_a_class_checks_itself_and_cannot_be_changed() -> None:
    with pytest.raises(SettingError, match="psi: must be between 0 and 2, got 3"):
        dataclasses.replace(Outer(count=1), psi=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Outer(count=1).count = 2  # type: ignore[misc]


def test_text_is_read_by_the_annotation() -> None:
    texts = ["count=3", "psi = 0.5", "betas=0, 0.5", "sizes=1,2,3", "flag=true", "solver=ddim"]
    assert read_assignments(Outer, texts) == {
        "count": 3,
        "psi": 0.5,
        "betas": (0.0, 0.5),
        "sizes": (1, 2, 3),
        "flag": True,
        "solver": "ddim",
    }


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("psi", "'psi' must be NAME=VALUE, such as psi=1.0"),
        ("pis=1", "pis: unknown field; did you mean 'psi'?"),
        ("psi=much", "psi: must be a number, got 'much'"),
        ("psi=3", "psi: must be between 0 and 2, got '3'"),
        ("psi=nan", "psi: must be between 0 and 2, got 'nan'"),
        ("count=1.5", "count: must be a whole number, got '1.5'"),
        ("flag=maybe", "flag: must be true or false, got 'maybe'"),
        ("betas=0.1", "betas: must be 2 values with commas between, got '0.1'"),
        ("betas=2,0", "betas.0: must be at least 0 and below 1, got '2'"),
    ],
)
def test_wrong_text_is_refused(assignment: str, says: str) -> None:
    with pytest.raises(SettingError) as refused:
        read_assignments(Outer, [assignment])
    assert str(refused.value) == says


def test_one_value() -> None:
    assert read_value(Outer, "solver", "euler") == "euler"


def function(
    prompts: list[str],
    *,
    size: Annotated[int, Ge(8)],
    kind: Literal["a", "b"] = "a",
    factors: tuple[float, ...] = (1.0,),
    array: np.ndarray | None = None,
    ghost: NoSuchName = None,  # type: ignore[name-defined]  # noqa: F821
) -> None:
    del prompts, size, kind, factors, array, ghost


def documented(*, size: Annotated[int, Ge(8)], array: np.ndarray | None = None) -> None:
    del size, array


def test_signatures_are_checked_where_plain_data_can_be() -> None:
    assert list(check_arguments(documented, {"size": 8, "array": [1]})) == ["size", "array"]
    with pytest.raises(SettingError, match="size: must be at least 8, got 4"):
        check_arguments(documented, {"size": 4})
    # One name that exists for type checkers only leaves all annotations unread.
    assert "kind" in check_arguments(function, {"size": "small"}, ["prompts"])
    with pytest.raises(SettingError, match="prompts: unknown field"):
        check_arguments(function, {"size": 8, "prompts": []}, ["prompts"])
    assert check_arguments(dict, {"anything": 1}) == {}
