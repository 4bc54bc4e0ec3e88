"""Training from Python keeps its folder for itself, as the command does."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from gandiff.common.errors import RequestError
from gandiff.common.lock import folder_lock
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.request import TrainingRequest


@pytest.mark.parametrize("kind", ["gan", "diffusion", "text", "judges"])
def test_a_folder_that_another_process_writes_is_refused(kind: str, tmp_path: Path) -> None:
    train = import_module(f"gandiff.experiments.training.{kind}.train").train
    out = tmp_path / "out"
    out.mkdir()
    lock = folder_lock(out)
    lock.acquire()
    before = sorted(path.name for path in out.iterdir())
    request = TrainingRequest(out=out, data="scenes", minutes=0.01, command="python")
    with pytest.raises(RequestError, match="out is being written by another process"):
        train(request)
    lock.release()
    assert sorted(path.name for path in out.iterdir()) == before


def test_what_the_caller_has_claimed_is_its_own(tmp_path: Path) -> None:
    with claim(tmp_path / "a", [tmp_path / "a" / "b"]):
        with claim(tmp_path / "a"), claim(tmp_path / "c"):
            pass
        with pytest.raises(RequestError, match="another process"):
            folder_lock(tmp_path / "a").acquire()
    with claim(tmp_path / "a"):  # given back
        pass
