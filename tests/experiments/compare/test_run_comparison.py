"""Two runs compared: what is paired, what is not, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from two_runs import CLIP, FD, PROMPTS, VALUES, earlier, later, make_run, row, scores

from gandiff.common.errors import MetricError, RequestError
from gandiff.experiments.api import compare_runs
from gandiff.experiments.compare.change import MetricChange
from gandiff.experiments.compare.runs import RunComparison


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return earlier(tmp_path)


def change(found: RunComparison, metric: str, generator: str = "gan") -> MetricChange:
    """The one row of a generator and metric."""
    rows = [c for c in found.changes if (c.metric, c.generator) == (metric, generator)]
    assert len(rows) == 1
    return rows[0]


def test_what_is_scored_by_image_is_paired_and_the_rest_is_not(
    before: Path, tmp_path: Path
) -> None:
    found = compare_runs(before, later(tmp_path))
    assert found.warnings == ()
    assert [c.metric for c in found.changes] == [CLIP, FD, "latency_seconds"]
    clip = change(found, CLIP)
    assert clip.how == "paired, 60 prompts"
    assert clip.difference == pytest.approx(-0.02)
    assert clip.difference == pytest.approx(clip.b - clip.a)
    # The prompts vary by 0.1, but their differences by 0.003: 2.00 * 0.00301 / sqrt(60) = 0.0008.
    assert (clip.low, clip.high) == pytest.approx((-0.0208, -0.0192), abs=1e-4)
    assert clip.verdict == "worse"
    fd = change(found, FD)
    assert (fd.difference, fd.low, fd.high) == (5.0, 0.0, 10.0)  # root of 3^2 + 4^2
    assert (fd.how, fd.verdict) == ("two intervals", "undecided")
    latency = change(found, "latency_seconds")
    assert (latency.difference, latency.low, latency.how) == (0.01, None, "timed in two runs")
    assert latency.verdict == "unknown"


def test_turned_round_the_signs_change(before: Path, tmp_path: Path) -> None:
    other = later(tmp_path, fd=31.0)
    there, back = compare_runs(before, other), compare_runs(other, before)
    for one, turned in zip(there.changes, back.changes, strict=True):
        assert one.difference == pytest.approx(-turned.difference)
        assert (one.a, one.b) == (turned.b, turned.a)
        assert (one.low is None) == (turned.low is None)
        if one.low is not None:
            assert one.low == pytest.approx(-turned.high, abs=3e-4)
    assert [c.verdict for c in there.changes] == ["worse", "worse", "unknown"]
    assert [c.verdict for c in back.changes] == ["better", "better", "unknown"]


def test_a_run_is_level_with_itself(before: Path) -> None:
    found = compare_runs(before, before, fail_if=f"{CLIP}<-0.0 or {CLIP}>+0.0")
    assert change(found, CLIP).verdict == "level"
    assert (change(found, CLIP).low, change(found, CLIP).high) == (0, 0)
    assert not found.failed


def test_nearer_to_a_target_is_better(tmp_path: Path) -> None:
    def run(name: str, value: float) -> Path:
        target = {"direction": "target", "target": 1.0}
        return make_run(
            tmp_path / name, [row("gan", "diversity(encoder=scenes)", value, 0.05, **target)]
        )

    low, near, high = run("low", 0.6), run("near", 0.95), run("high", 1.5)
    assert compare_runs(low, near).changes[0].verdict == "better"
    assert compare_runs(near, high).changes[0].verdict == "worse"


@pytest.mark.parametrize(
    ("field", "old", "new", "says"),
    [
        ("weights_sha256", "ab" * 32, "cd" * 32, "weights_sha256 abababababab\u2026 in "),
        ("cpu", "x", "y", "latency_seconds was measured with cpu 'x' in "),
    ],
)
def test_other_protocols_are_refused_by_field(
    field: str, old: str, new: str, says: str, before: Path, tmp_path: Path
) -> None:
    other = later(tmp_path)
    table = pd.read_parquet(other / "results.parquet")
    table["protocol"] = table["protocol"].str.replace(f'"{field}": "{old}"', f'"{field}": "{new}"')
    table.to_parquet(other / "results.parquet")
    with pytest.raises(MetricError) as caught:
        compare_runs(before, other, metrics=[CLIP, FD, "latency_seconds"])
    assert says in str(caught.value)
    assert f" in {before} and " in str(caught.value)
    assert f" in {other}; such numbers are not comparable" in str(caught.value)
    if field == "cpu":
        advice = f'; the others are compared by --metrics "{CLIP},{FD}"'
        assert str(caught.value).endswith(advice)
        assert len(compare_runs(before, other, metrics=[CLIP, FD]).changes) == 2
        found = compare_runs(before, other)
        assert [change.metric for change in found.changes] == [CLIP, FD]
        assert found.warnings == (f"left out: {str(caught.value).removesuffix(advice)}",)
    else:
        assert f"(nor are those of {FD}, latency_seconds)" in str(caught.value)
        with pytest.raises(MetricError, match=says):
            compare_runs(before, other)


def test_sets_are_compared_at_equal_numbers_and_means_are_not(before: Path, tmp_path: Path) -> None:
    other = later(tmp_path)
    table = pd.read_parquet(other / "results.parquet").assign(images=39)
    table.to_parquet(other / "results.parquet")
    with pytest.raises(MetricError, match=r"fd\(encoder=scenes\) was measured with images 120 in"):
        compare_runs(before, other, metrics=["fd", "clip_score"])
    (left_out,) = compare_runs(before, other).warnings
    assert left_out.startswith("left out: fd(encoder=scenes) was measured with images 120 in")
    assert len(compare_runs(before, other, metrics=["clip_score", "latency_seconds"]).changes) == 2


def test_other_prompts_pair_over_those_in_common_only(before: Path, tmp_path: Path) -> None:
    texts = [*PROMPTS[:8], "changed", *PROMPTS[9:12]]
    other = later(tmp_path, prompts=texts)
    with pytest.raises(MetricError, match=r"fd\(encoder=scenes\) was measured with suite_sha256"):
        compare_runs(before, other, metrics=["fd"])
    found = compare_runs(before, other, metrics=["clip_score", "latency_seconds"])
    clip = change(found, CLIP)
    few = "11 prompts are too few to call one better: it takes 30"
    assert (clip.verdict, clip.how) == ("undecided", f"paired, 11 prompts; {few}")
    common = [i for i in range(12) if i != 8]
    assert clip.a == pytest.approx(VALUES[common].mean())
    assert clip.difference == pytest.approx(clip.b - clip.a)
    # The prompts do not matter.
    assert change(found, "latency_seconds").how == "timed in two runs"


def test_too_few_prompts_in_common_are_refused(before: Path, tmp_path: Path) -> None:
    other = later(tmp_path, prompts=[*PROMPTS[:4], *(f"other {i}" for i in range(16))])
    with pytest.raises(MetricError, match=r"clip_score\(model=scenes\) was measured with suite_"):
        compare_runs(before, other, metrics=["clip_score"])


@pytest.mark.parametrize("prompts", [3, 5])  # of 5 that agree, p is 2 / 32
def test_few_prompts_of_one_suite_have_no_interval(prompts: int, tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / name,
            [row("gan", CLIP, 0.3)],
            scores("gan", CLIP, VALUES[:prompts] + shift),
            PROMPTS[:prompts],
        )
        for name, shift in (("a", 0.0), ("b", 0.1))
    ]
    clip = compare_runs(*runs).changes[0]
    assert (clip.low, clip.high) == (None, None)
    assert clip.difference == pytest.approx(0.1)
    assert clip.how.startswith(f"paired, {prompts} prompts (too few for an interval)")


def test_a_run_and_its_copy_have_the_same_timing(tmp_path: Path) -> None:
    timed = row("gan", "latency_seconds", 0.01, 0.001, protocol={"round_medians": [0.01, 0.011]})
    other = row("gan", "latency_seconds", 0.01, 0.001, protocol={"round_medians": [0.011, 0.01]})
    runs = [make_run(tmp_path / n, [r]) for n, r in (("a", timed), ("b", timed), ("c", other))]
    copy = change(compare_runs(runs[0], runs[1]), "latency_seconds")
    assert (copy.verdict, copy.how, copy.low, copy.high) == ("level", "the same timing", 0.0, 0.0)
    assert change(compare_runs(runs[0], runs[2]), "latency_seconds").verdict == "unknown"


def test_generators_are_matched_by_name_or_as_told(before: Path, tmp_path: Path) -> None:
    other = later(tmp_path, generator="new")
    found = compare_runs(before, other)  # one each: no doubt who is meant
    assert {c.generator for c in found.changes} == {"gan -> new"}
    two = make_run(tmp_path / "two", [row("x", FD, 1.0, 0.1), row("y", FD, 9.0, 0.1)])
    with pytest.raises(RequestError, match="--generators gan=x"):
        compare_runs(before, two)
    told = compare_runs(before, two, generators={"gan": "y"})
    assert (told.changes[0].b, told.changes[0].generator) == (9.0, "gan -> y")
    assert "the generator x is in " in " ".join(told.warnings)
    with pytest.raises(RequestError, match="has no generator 'z'; there is x, y"):
        compare_runs(before, two, generators={"gan": "z"})


def test_what_only_one_run_has_is_said(before: Path, tmp_path: Path) -> None:
    rows = [row("gan", "vendi(encoder=scenes)", 9.0), row("extra", FD, 3.0, 1.0)]
    other = later(tmp_path, rows=rows, status="interrupted")
    found = compare_runs(before, other)
    assert set(found.warnings) == {
        f"{other} is interrupted; its numbers cover what there is",
        f"vendi(encoder=scenes) of gan is in {other} only",
        f"the generator extra is in {other} only",
    }


def test_what_was_not_measured_is_a_row_that_says_so(before: Path, tmp_path: Path) -> None:
    other = later(tmp_path, fd=25.0)
    table = pd.read_parquet(other / "results.parquet")
    table.loc[table.metric == FD, ["value", "low", "high"]] = None
    table["note"] = ["", "not measured: no reference", ""]
    table["protocol"] = table["protocol"].where(table.metric != FD, "{}")
    table.to_parquet(other / "results.parquet")
    fd = change(compare_runs(before, other), FD)
    assert (fd.a, fd.b, fd.difference, fd.verdict) == (20.0, None, None, "unknown")
    assert fd.how == f"not measured in {other}: no reference"
    with pytest.raises(RequestError, match=r"fd>\+1 cannot be judged for gan: .*no reference"):
        compare_runs(before, other, fail_if="fd>+1")


def test_what_is_no_scored_run_is_refused(before: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no run\.json in "):
        compare_runs(before, tmp_path)
    (before / "results.parquet").unlink()
    with pytest.raises(RequestError, match="has no results yet; start with: gandiff score"):
        compare_runs(before, before)


def test_runs_of_different_tasks_are_refused(before: Path, tmp_path: Path) -> None:
    rows = [row("gan", CLIP, 0.3, 0.05)]
    edits = make_run(tmp_path / "edits", rows, comparison={"task": "inpaint"})
    with pytest.raises(
        RequestError, match=r"a run of the task text_to_image and .*edits of inpaint"
    ):
        compare_runs(before, edits)
    assert compare_runs(edits, edits).changes[0].difference == 0


def test_runs_without_a_metric_in_common_are_refused(before: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "b", [row("gan", "vendi(encoder=scenes)", 1.0)])
    with pytest.raises(RequestError, match="have no metric in common"):
        compare_runs(before, other)


@pytest.mark.parametrize("changed", [False, True])
def test_a_distance_of_the_same_images_is_the_same_and_of_others_undecided(
    tmp_path: Path, changed: bool
) -> None:
    runs = [make_run(tmp_path / name, [row("gan", FD, 20.0, 3.0)]) for name in ("a", "b")]
    for k, folder in enumerate(runs):
        lines: list[dict[str, Any]] = [
            {
                "key": i,
                "generator": "gan",
                "prompt_id": f"{i:03d}",
                "sample": 0,
                "sha256": f"{i:064x}",
            }
            for i in range(len(PROMPTS))
        ]
        if changed and k:
            lines[0]["sha256"] = "f" * 64
        text = "\n".join(json.dumps({**line, "status": "ok"}) for line in lines)
        (folder / "images.jsonl").write_text(text)
    fd = change(compare_runs(*runs), FD)
    assert fd.difference == 0.0
    if changed:
        assert (fd.verdict, fd.how) == ("undecided", "two intervals")
        assert fd.low == -(fd.high or 0) != 0
    else:
        assert (fd.verdict, fd.how, fd.low, fd.high) == ("level", "the same images", 0.0, 0.0)
