"""The conditions of ``--fail-if``: which metric is meant, what holds, what cannot be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from two_runs import ACCURACY, CLIP, FD, earlier, later, make_run, row

from gandiff.common.errors import RequestError
from gandiff.experiments.api import compare_runs


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return earlier(tmp_path)


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("clip_score<-0.018", "holds"),
        ("clip_score < -0.018", "holds"),
        ("clip_score<-0.02", "not shown"),  # the value is about there, the interval goes on
        ("clip_score<-0.03", "does not hold"),
        ("clip_score>+0.0", "does not hold"),
        (f"{CLIP}<0", "holds"),
        (f"{FD}>+0.5", "not shown"),  # 5 (0 to 10)
        (f"{FD}>-1e0", "holds"),
        ("fd>+11", "does not hold"),
    ],
)
def test_a_condition_needs_the_whole_interval(
    condition: str, outcome: str, before: Path, tmp_path: Path
) -> None:
    found = compare_runs(before, later(tmp_path, shift=-0.0201), fail_if=condition)
    assert [judged.outcome for judged in found.conditions] == [outcome]
    assert found.failed == (outcome == "holds")


@pytest.mark.parametrize("condition", ["latency_seconds>+0.005", "latency_seconds>+0.015"])
def test_what_may_be_chance_is_refused(condition: str, before: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        compare_runs(before, later(tmp_path), fail_if=condition)
    assert (
        "cannot be judged for gan: latency_seconds of two runs also differs by what else the "
        "machine did, so a small change may as well be chance; give a wide margin "
        "(latency_seconds>+50%)"
    ) in str(refused.value)


def timed(folder: Path, seconds: float, rounds: str, generator: str = "gan") -> dict[str, Any]:
    """A latency with a narrow interval, of three rounds."""
    protocol = {"cpu": "x", "rounds": [f"{rounds} {i}" for i in range(3)]}
    return row(generator, "latency_seconds", seconds, seconds / 100, protocol=protocol)


def test_speeds_of_two_runs_are_guarded_by_a_wide_margin_alone(tmp_path: Path) -> None:
    """Their intervals do not hold how the machine drifts from one run to the next."""
    runs = [
        make_run(tmp_path / name, [timed(tmp_path, seconds, name)])
        for name, seconds in (("a", 0.010), ("b", 0.011), ("c", 0.016))
    ]
    near, far = (compare_runs(runs[0], other).changes[0] for other in runs[1:])
    for change in (near, far):
        assert (change.low, change.high, change.verdict) == (None, None, "unknown")
    for other, outcome in ((runs[1], "does not hold"), (runs[2], "holds")):
        (judged,) = compare_runs(runs[0], other, fail_if="latency_seconds>+50%").conditions
        assert (judged.condition, judged.outcome) == ("latency_seconds>+50%", outcome)
    for condition in ("latency_seconds>+0", "latency_seconds<-0", "latency_seconds>+5%"):
        with pytest.raises(RequestError, match="what else the machine did"):
            compare_runs(*runs[:2], fail_if=condition)


def test_speeds_of_the_same_rounds_are_judged_by_their_intervals(tmp_path: Path) -> None:
    rows = [timed(tmp_path, s, "x", name) for name, s in (("old", 0.010), ("new", 0.011))]
    run = make_run(tmp_path / "a", rows)
    found = compare_runs(run, run, generators={"old": "new"}, fail_if="latency_seconds>+0.0005")
    assert found.changes[0].verdict == "worse"
    assert found.failed
    with pytest.raises(RequestError, match="give the change of latency_seconds in its own unit"):
        compare_runs(run, run, generators={"old": "new"}, fail_if="latency_seconds>+50%")


def test_percentages_are_for_speeds(before: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"in its own unit"):
        compare_runs(before, later(tmp_path), fail_if="fd>+50%")
    assert not compare_runs(before, before, fail_if="latency_seconds>+50%").failed


def test_a_condition_on_what_was_measured_differently_is_refused(tmp_path: Path) -> None:
    rows = [
        [row("gan", CLIP, 1.0, 0.1), row("gan", FD, 1.0, 0.1, protocol={"resize": resize})]
        for resize in ("clean", "legacy")
    ]
    runs = [make_run(tmp_path / n, r) for n, r in zip("ab", rows, strict=True)]
    assert not compare_runs(*runs, fail_if="clip_score<-0.5").failed
    with pytest.raises(RequestError, match=r"fd>\+1 cannot be judged: .* with resize 'clean' in"):
        compare_runs(*runs, fail_if="clip_score<-0.5 or fd>+1")


def test_exact_numbers_need_no_interval(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / name, [row("gan", "parameters", n)])
        for name, n in (("a", 3.0), ("b", 5.0))
    ]
    (judged,) = compare_runs(*runs, fail_if="parameters>+1").conditions
    assert judged.outcome == "holds"


def test_a_generator_that_neither_run_measured_is_not_judged(tmp_path: Path) -> None:
    """As the ceiling of a comparison, which is not timed."""
    runs = []
    for name, parameters in (("a", 10.0), ("b", 20.0)):
        rows = [row("gan", "parameters", parameters), row("ceiling", "parameters", None)]
        runs.append(make_run(tmp_path / name, rows))
    found = compare_runs(*runs, fail_if="parameters>+5")
    assert [(c.change.generator, c.outcome) for c in found.conditions] == [("gan", "holds")]
    none = [make_run(tmp_path / n, [row("gan", "parameters", None)]) for n in "cd"]
    with pytest.raises(RequestError, match="cannot be judged for gan: parameters was not measured"):
        compare_runs(*none, fail_if="parameters>+5")


def test_one_of_several_conditions_is_enough(before: Path, tmp_path: Path) -> None:
    found = compare_runs(before, later(tmp_path), fail_if="fd>+30 or clip_score<-0.01 OR fd<-3")
    assert [judged.outcome for judged in found.conditions] == [
        "does not hold",
        "holds",
        "does not hold",
    ]
    assert [judged.condition for judged in found.conditions] == [
        "fd>+30",
        "clip_score<-0.01",
        "fd<-3",
    ]
    assert found.failed


def test_short_names_mean_one_metric(tmp_path: Path) -> None:
    rows = [
        row("gan", "fd(encoder=inception)", 20.0, 1.0),
        row("gan", FD, 9.0, 1.0),
        row("gan", "scene_accuracy/all", 0.5, 0.01),
        row("gan", "scene_accuracy/shape", 0.6, 0.01),
        row("gan", "scene_accuracy(judge=b)/all", 0.7, 0.01),
        row("gan", "kid(encoder=inception,subset_size=20)", 0.7, 0.01),
    ]
    run = make_run(tmp_path / "a", rows)
    meant = {
        "fid": "fd(encoder=inception)",
        "fd(encoder = scenes)": FD,
        "scene_accuracy": "scene_accuracy/all",
        "scene_accuracy/shape": "scene_accuracy/shape",
        "scene_accuracy(judge=b)": "scene_accuracy(judge=b)/all",
        "kid": "kid(encoder=inception,subset_size=20)",
        "kid(subset_size=20,encoder=inception)": "kid(encoder=inception,subset_size=20)",
    }
    for name, metric in meant.items():
        found = compare_runs(run, run, fail_if=f"{name}>+1")
        assert [judged.change.metric for judged in found.conditions] == [metric]
    with pytest.raises(RequestError, match=r"'fd' could be fd\(encoder=inception\) or fd\(enc"):
        compare_runs(run, run, fail_if="fd>+1")
    with pytest.raises(RequestError, match="'fdi'"):
        compare_runs(run, run, fail_if="fdi>+1")
    with pytest.raises(RequestError, match=r"'kid\(encoder=scenes\)'; there is kid\(encoder=inc"):
        compare_runs(run, run, fail_if="kid(encoder=scenes)>+1")


def test_chosen_metrics_are_all_rows_of_a_name(tmp_path: Path) -> None:
    names = [ACCURACY, "scene_accuracy/shape", "scene_accuracy(judge=b)/all", FD, "kid(encoder=x)"]
    run = make_run(tmp_path / "a", [row("gan", name, 1.0, 0.1) for name in names])

    def chosen(*metrics: str) -> list[str]:
        return [c.metric for c in compare_runs(run, run, metrics=metrics).changes]

    assert chosen("kid", "scene_accuracy") == [*names[:2], names[4]]
    assert chosen("scene_accuracy(judge=b)") == [names[2]]
    assert chosen("scene_accuracy/shape") == [names[1]]
    with pytest.raises(RequestError, match="no metric here is named 'fid'"):
        chosen("fid")
    with pytest.raises(RequestError, match="no metric here is named 'kid'"):
        compare_runs(run, run, metrics=["fd"], fail_if="kid>+1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fd", "cannot read the condition 'fd'; write METRIC>"),
        ("fd>=+1", "cannot read|needs a number"),
        ("fd>1", "'fd>1' needs a number with its sign, as it is a change"),
        ("fd>+one", "needs a number"),
        ("fd>+nan", "needs a number"),
        ("fd>+1 or ", "cannot read"),
        ("fd>+1 and fd<-1", "cannot read"),
        ("", "cannot read the condition ''"),
        ("(x)>+1", "cannot read the metric"),
    ],
)
def test_a_condition_that_cannot_be_read_is_named(before: Path, text: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        compare_runs(before, before, fail_if=text)


def test_a_condition_that_cannot_be_judged_does_not_pass(tmp_path: Path) -> None:
    both = [row("a", FD, 1.0, 0.1), row("b", FD, 1.0, 0.1)]
    one = make_run(tmp_path / "a", [*both, row("a", CLIP, 1.0, 0.1), row("b", CLIP, 1.0, 0.1)])
    other = make_run(tmp_path / "b", [*both, row("a", CLIP, 1.0, 0.1)])
    with pytest.raises(RequestError, match=r"cannot be judged: .*b has no clip_score.* of b"):
        compare_runs(one, other, fail_if="clip_score<-1")
    # A generator that neither run has the metric for is not concerned.
    neither = make_run(tmp_path / "c", [*both, row("a", CLIP, 1.0, 0.1)])
    assert len(compare_runs(other, neither, fail_if="clip_score<-1").conditions) == 1
