from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from gandiff.common.errors import EnvironmentFailure, SettingError, environment_failure
from gandiff.common.names import did_you_mean


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("truncation_pis", ["truncation_psi", "weights"]) == (
        "; did you mean 'truncation_psi'?"
    )


def test_case_does_not_hide_a_name() -> None:
    assert did_you_mean("GAN", ["gan", "folder"]) == "; did you mean 'gan'?"


def test_far_names_are_listed_and_a_long_list_is_cut() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "; there is a, b"
    assert did_you_mean("zzz", [f"n{i:02d}" for i in range(20)]).endswith("n11 and 8 more")
    assert did_you_mean("zzz", []) == ""


@given(st.text(), st.lists(st.text()))
def test_any_name_gets_an_answer(name: str, names: list[str]) -> None:
    answer = did_you_mean(name, names)
    assert (answer == "") == (not names)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "x", "/a/b.png"), r"the disk is full \(/a/b.png\)"),
        (OSError(errno.EROFS, "x"), "read-only"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (MemoryError("12 GiB"), r"memory ran out \(12 GiB\)"),
        (RuntimeError("CUDA out of memory. Tried to"), "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out"),
    ],
)
def test_the_machine_failing_is_told_from_mistakes(error: BaseException, says: str) -> None:
    failure = environment_failure(error)
    assert isinstance(failure, EnvironmentFailure)
    with pytest.raises(EnvironmentFailure, match=says):
        raise failure
    assert "run the same command again" in str(failure)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        FileNotFoundError("x"),
        RuntimeError("shape"),
        SafetensorError("header too large"),
    ],
)
def test_other_errors_are_not_the_machine(error: BaseException) -> None:
    assert environment_failure(error) is None


def test_a_setting_error_names_its_field() -> None:
    assert str(SettingError(("generators", "gan", 0), "is wrong")) == "generators.gan.0: is wrong"
    assert str(SettingError((), "is wrong")) == "is wrong"
