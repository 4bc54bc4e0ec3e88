"""Work side by side: the same results in order, one thread each, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from gandiff.models.gan.side_by_side import side_by_side


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_has_one_thread_and_the_caller_keeps_its_own(threads: int) -> None:
    seen = side_by_side(lambda i: (i, torch.get_num_threads()), range(7), "cpu")
    assert seen == [(i, 1) for i in range(7)]
    assert torch.get_num_threads() == threads


def test_as_many_are_at_work_as_there_are_threads(threads: int) -> None:
    together = threading.Barrier(threads)

    def work(_: int) -> str:
        together.wait(60)  # broken, if fewer come
        return threading.current_thread().name

    assert len(set(side_by_side(work, range(threads), "cpu"))) == threads


def test_what_one_raises_is_raised_and_threads_come_back(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda i: 1 / i, range(3, -1, -1), "cpu")
    assert torch.get_num_threads() == threads


def test_accelerators_take_them_one_by_one() -> None:
    here = threading.current_thread()
    assert side_by_side(lambda _: threading.current_thread(), range(3), "meta") == [here] * 3
    assert side_by_side(str, [], "cpu") == []
