"""Whether the order of the generators holds under every convention, in words and as a table."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.common.run_record import RunRecord
from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.reports.document import write_report
from gandiff.reports.ranking import Ranking, kendall_tau, ranking
from gandiff.reports.run_data import GeneratorFacts, ResultRow, RunData

FD, CLEAN, KID = "fd(encoder=inception)", "fd(encoder=inception,resize=clean)", "kid(encoder=clip)"
CALLED = {
    FD: "Fréchet distance",
    KID: "KID",
    "either": "either",
}  # by readers, who see no names in code


def run_of(distances: dict[str, dict[str, float | None]], half: float | None = 1.0) -> RunData:
    """A run with the given distances by metric and generator, all with equal intervals."""
    rows = [
        ResultRow(
            generator,
            MetricResult(
                metric=metric,
                about=about_metric(metric),
                value=value,
                low=None if value is None or half is None else value - half,
                high=None if value is None or half is None else value + half,
                direction="lower",
            ),
        )
        for metric, values in distances.items()
        for generator, value in values.items()
    ]
    names = dict.fromkeys(row.generator for row in rows)
    return RunData(
        folder=Path(),
        record=RunRecord(),
        generators={name: GeneratorFacts(name=name) for name in names},
        prompts=[],
        images=[],
        results=rows,
        differences=[],
        scores=[],
        traces=[],
        notices=[],
    )


def found(distances: dict[str, dict[str, float | None]], half: float | None = 1.0) -> Ranking:
    result = ranking(run_of(distances, half))
    assert result is not None
    return result


def test_one_order_under_all_conventions() -> None:
    same = found({m: {"a": 30.0, "b": 10.0, "c": 20.0} for m in (FD, CLEAN, KID)})
    assert same.sentence == "The order of the generators is the same under all 3 conventions."
    assert [c.order for c in same.conventions] == [("b", "c", "a")] * 3
    assert [c.taus for c in same.conventions] == [(1.0,) * 3] * 3
    assert same.swaps == ()


def test_a_swap_that_the_intervals_bear_out() -> None:
    turned = found({FD: {"a": 10.0, "b": 20.0}, KID: {"a": 20.0, "b": 10.0}})
    assert turned.sentence == (
        "The order of the generators is not the same under both conventions: a and b change "
        "places between Fréchet distance and KID, and the intervals separate them under both."
    )
    assert [c.order for c in turned.conventions] == [("a", "b"), ("b", "a")]
    assert [c.taus for c in turned.conventions] == [(1.0, -1.0), (-1.0, 1.0)]


@pytest.mark.parametrize(
    ("fd", "kid", "where"), [(9.5, 20.0, FD), (20.0, 9.5, KID), (9.5, 9.5, "either")]
)
def test_a_swap_within_the_intervals_is_not_called_real(fd: float, kid: float, where: str) -> None:
    b = {FD: fd, KID: kid}
    distances = {FD: {"a": 8.0, "b": b[FD]}, KID: {"b": 8.0, "a": b[KID]}}
    turned = found(distances)
    assert turned.sentence.endswith(
        f"though the intervals do not separate them under {CALLED[where]}."
    )
    assert len(turned.swaps) == 1


def test_without_intervals_no_swap_is_real() -> None:
    turned = found({FD: {"a": 1.0, "b": 90.0}, KID: {"a": 90.0, "b": 1.0}}, half=None)
    assert turned.swaps[0].unsure == (FD, KID)


def test_the_surest_swap_is_told_and_the_others_are_counted() -> None:
    distances = {
        FD: {"a": 10.0, "b": 10.5, "c": 40.0},
        CLEAN: {"a": 10.5, "b": 10.0, "c": 5.0},
    }
    turned = found(distances)
    assert [(s.first, s.second, s.unsure) for s in turned.swaps] == [
        ("a", "c", ()),
        ("b", "c", ()),
        ("a", "b", (FD, CLEAN)),
    ]
    # The parameters tell apart what is called the same.
    assert (
        "a and c change places between Fréchet distance (encoder=inception) and Fréchet distance "
        "(encoder=inception,resize=clean), and" in turned.sentence
    )
    assert turned.sentence.endswith("separate them under both. 2 more pairs change places.")
    # Among several conventions the example is where the intervals are clearest.
    sure = found(
        {FD: {"a": 8.0, "b": 8.5}, CLEAN: {"a": 8.0, "b": 30.0}, KID: {"a": 9.0, "b": 3.0}}
    )
    assert (sure.swaps[0].one, sure.swaps[0].other, sure.swaps[0].unsure) == (CLEAN, KID, ())


def test_only_generators_and_conventions_that_were_measured_are_ranked() -> None:
    part = found(
        {
            FD: {"a": 1.0, "b": 2.0, "c": 3.0},
            KID: {"a": 1.0, "b": 2.0, "c": None},
            CLEAN: {"a": None, "b": None, "c": None},
        }
    )
    assert [(c.metric, c.order) for c in part.conventions] == [(FD, ("a", "b")), (KID, ("a", "b"))]


@pytest.mark.parametrize(
    "distances",
    [
        {},
        {FD: {"a": 1.0, "b": 2.0}},
        {FD: {"a": 1.0}, KID: {"a": 1.0}},
        {FD: {"a": 1.0, "b": 2.0}, KID: {"a": None, "b": None}},
        {FD: {"a": 1.0, "b": 2.0}, "vendi(encoder=scenes)": {"a": 1.0, "b": 2.0}},
    ],
)
def test_no_ranking_of_fewer_than_two(distances: dict[str, dict[str, float | None]]) -> None:
    assert ranking(run_of(distances)) is None


def test_tau_by_hand() -> None:
    assert kendall_tau([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]) == pytest.approx(4 / 6)
    assert kendall_tau([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == -1.0
    # Kendall 1945: 5 of 6 pairs are untied in the first, all in the second; 4 - 1 agree.
    assert kendall_tau([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0]) == pytest.approx(3 / 30**0.5)
    assert kendall_tau([1.0, 1.0], [1.0, 2.0]) == 0.0


@settings(deadline=None)  # the first call loads scipy
@given(st.lists(st.integers(0, 5), min_size=2, max_size=8), st.randoms())
def test_tau_is_symmetric_and_sees_the_order_alone(values: list[int], random: object) -> None:
    a = [float(v) for v in values]
    b = a[:]
    random.shuffle(b)  # type: ignore[attr-defined]
    assert kendall_tau(a, b) == pytest.approx(kendall_tau(b, a))
    assert kendall_tau([v**3 for v in a], b) == pytest.approx(kendall_tau(a, b))
    assert kendall_tau([-v for v in a], b) == pytest.approx(-kendall_tau(a, b))
    assert -1 <= kendall_tau(a, b) <= 1
    assert kendall_tau(a, a) == pytest.approx(1.0 if len(set(a)) > 1 else 0.0)


def test_the_report_shows_it_where_there_are_two_conventions(report, make_run) -> None:
    page, text = report.html.read_text("utf-8"), report.markdown.read_text("utf-8")
    sentence = "The order of the generators is the same under both conventions."
    for written in (page, text):
        assert sentence in written
        assert "ddim-20, dpm-10, gan, dpm-4, gan-psi-0.7" in written
    assert "| 1 | Fréchet distance |" in text
    alone = write_report(make_run(prompts=3, generators=("gan",)))
    assert "convention" not in alone.html.read_text("utf-8")
    assert "convention" not in alone.markdown.read_text("utf-8")


def test_yardsticks_are_not_ranked() -> None:
    """Real pictures are first by every convention, which says nothing of the models."""
    run = run_of({"fid": {"a": 1.0, "b": 2.0, "real": 0.1}, "kid": {"a": 2.0, "b": 1.0, "real": 0}})
    real = GeneratorFacts(name="real", info={"yardstick": "real photos"})
    only = dataclasses.replace(run, generators={**run.generators, "real": real})
    result = ranking(only)
    assert result is not None
    assert [one.order for one in result.conventions] == [("a", "b"), ("b", "a")]
    assert [one.taus for one in result.conventions] == [(1.0, -1.0), (-1.0, 1.0)]
    alone = dataclasses.replace(only, generators={**only.generators, "b": real})
    assert ranking(alone) is None
