"""What ``gandiff compare`` says of made-up runs: a sentence, changes, categories, pages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_runs import CLIP, FD, VALUES, make_run, row, scores

from gandiff.experiments.api import compare_runs
from gandiff.experiments.cli import main

HALVES = ("one object", "two <b>objects</b>")


def categorised(generator: str, values: np.ndarray) -> list[dict[str, Any]]:
    """Scores of which the first thirty prompts are of one category, and the others of another."""
    rows = scores(generator, CLIP, values.tolist())
    return [{**one, "category": HALVES[int(one["prompt_id"]) >= 30]} for one in rows]


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Compare two runs: a score falls for the second half of the prompts and another stays, a
    distance rises beyond its interval, one cannot be judged, and one was not measured.
    """
    place = np.arange(len(VALUES))
    after = VALUES + np.where(place < 30, 0.0, -0.2) + 0.004 * (-1.0) ** place
    for name, values, fd in (("before", VALUES, 20.0), ("after", after, 45.0)):
        lost = None if name == "after" else 0.5
        rows = [
            row("gan", CLIP, float(values.mean()), 0.05),
            row("gan", FD, fd, 4.0),
            row("gan", "kid(encoder=scenes)", lost, 0.1),
            row("gan", "vendi(encoder=scenes)", fd, None),
            row("other", CLIP, float(VALUES.mean()), 0.05),
        ]
        made_up = categorised("gan", values) + categorised("other", VALUES)
        make_run(tmp_path / name, rows, made_up)
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str) -> tuple[int, str, str]:
        code = main(["compare", "before", "after", *arguments])
        return code, *capsys.readouterr()

    return typed


def test_a_sentence_counts_all_and_only_what_has_changed_is_shown(say: Callable[..., Any]) -> None:
    found = json.loads(say("--json")[1])
    kinds = Counter(change["verdict"] for change in found["changes"])
    assert kinds == {"worse": 2, "level": 1, "unknown": 2}
    summary, _, title, _, *rest = say()[1].splitlines()
    assert summary == found["summary"]
    assert summary == (
        f"Against before, after is worse in 2 ({CLIP} of gan and {FD} of gan) and the same in 1 of "
        "5 numbers; 2 have no interval or no value and cannot be judged."
    )
    assert title == "All prompts:"
    shown = [line.split()[1] for line in rest[: rest.index("")]]
    assert shown == [CLIP, FD, "kid(encoder=scenes)"]  # the last one is lost
    everything = say("--all")[1].split("By category")[0]
    assert sum(line.startswith(("gan ", "other ")) for line in everything.splitlines()) == 5
    assert "2 rows and 3 rows of categories that have not changed" in say()[1]


def test_rounding_is_no_change(tmp_path: Path) -> None:
    nearly = VALUES.copy()
    nearly[7] = np.nextafter(nearly[7], 1)
    runs = [
        make_run(tmp_path / name, [row("gan", CLIP, 0.3)], scores("gan", CLIP, values))
        for name, values in (("a", VALUES), ("b", nearly))
    ]
    (change,) = compare_runs(*runs).changes
    assert (change.difference, change.verdict) == (0.0, "level")


def test_categories_are_paired_over_their_own_prompts(say: Callable[..., Any]) -> None:
    found = json.loads(say("--json")[1])["categories"]
    mine = {c["category"]: c for c in found if c["generator_a"] == "gan"}
    assert list(mine) == list(HALVES)
    assert [c["verdict"] for c in mine.values()] == ["undecided", "worse"]
    assert [c["difference"] for c in mine.values()] == pytest.approx([0.0, -0.2])
    assert all(c["how"] == "paired, 30 prompts" for c in mine.values())


def test_pages_hold_the_same_rows_and_no_markup_of_others(say: Callable[..., Any]) -> None:
    condition = ("--fail-if", "clip_score<-0.01")
    texts = {form: say(form, *condition) for form in ("--html", "--markdown")}
    for code, out, _ in texts.values():
        assert code == 1
        assert "<b>objects" not in out
        assert "clip_score&lt;-0.01" in out or r"clip\_score&lt;-0.01" in out
        assert "Failed:" in out
        assert "two &lt;b&gt;objects" in out
    code, out, err = say("--html", "--markdown")
    assert (code, out) == (2, "")
    assert err == "error: --markdown and --html are two forms of one output; give one\n"
