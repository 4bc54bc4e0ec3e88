"""Key numbers: which is decided how, and where a number lies on its scale."""

import dataclasses

import pytest

from gandiff.evaluate.result import MetricResult
from gandiff.reports.cards import key_cards
from gandiff.reports.document import html_text
from gandiff.reports.ground import Anchor
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import DifferenceRow, ResultRow
from gandiff.reports.verdict import verdict

RATE = "images_per_second"
DIVERSITY = "diversity(encoder=scenes)"


@pytest.fixture
def run(run_folder):
    """The run of these tests, read."""
    return load_run(run_folder)


def card_of(run, title):
    said = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    return next(card for card in key_cards(run, said) if card.title == title)


def with_rates(run, *rates, ratio=None):
    """The run with other rates of the headline generators, and their ratio over rounds if any."""
    rows = [
        ResultRow(
            name,
            MetricResult(
                metric=RATE, value=value, low=low, high=high, unit="1/s", direction="higher"
            ),
        )
        for name, (value, low, high) in zip(run.headline, rates, strict=True)
    ]
    kept = [r for r in run.results if r.result.metric != RATE]
    more = []
    if ratio is not None:
        middle, low, high = ratio
        a, b = run.headline
        apart = rates[0][0] - rates[1][0]
        fields = {"ratio": middle, "ratio_low": low, "ratio_high": high}
        more.append(DifferenceRow(a=a, b=b, metric=RATE, difference=apart, **fields))
    return dataclasses.replace(
        run, results=[*kept, *rows], differences=[*run.differences, *more], anchors=[]
    )


@pytest.mark.parametrize(
    ("rates", "ratio", "outcome", "winner"),
    [
        (((890.0, 600.0, 1200.0), (6.9, 5.0, 9.0)), (130.0, 69.0, 240.0), "", "gan"),
        (((890.0, 600.0, 1200.0), (6.9, 5.0, 9.0)), (130.0, 0.9, 240.0), "undecided", None),
        (((890.0, 600.0, 1200.0), (6.9, 5.0, 9.0)), None, "", "gan"),
        (((8.0, 6.0, 9.0), (6.9, 5.0, 9.0)), None, "undecided", None),
        (((8.0, None, None), (6.9, None, None)), None, "undecided", None),
        (((6.9, 5.0, 9.0), (8.0, 6.0, 9.0)), (0.7, 0.6, 0.8), "", "ddim-20"),
        (((6.9, 5.0, 9.0), (None, None, None)), None, "not measured", None),
    ],
)
def test_throughput_is_decided_as_the_table_does(run, rates, ratio, outcome, winner):
    card = card_of(with_rates(run, *rates, ratio=ratio), "Throughput")
    assert (card.outcome, card.winner) == (outcome, winner)
    assert [line.generator for line in card.lines if line.wins] == ([winner] if winner else [])


def test_what_has_no_interval_starts_at_0(run):
    card = card_of(run, "Training")  # 1,740 and 2,070 seconds
    ends = [line.at for line in card.lines]
    assert ends[1] == 94
    assert (ends[0] - 6) / (ends[1] - 6) == pytest.approx(1740 / 2070, abs=1e-3)
    with_intervals = card_of(run, "Alignment")  # 0.78 and 0.93
    assert min(line.start for line in with_intervals.lines) == 6


def test_the_target_is_a_mark_of_its_own_and_ticks_have_names(run):
    anchors = [
        Anchor(anchor="real", metric=DIVERSITY, value=0.97),
        Anchor(anchor="noise", metric=DIVERSITY, value=0.8),
        Anchor(anchor="plain", metric=DIVERSITY, value=80.0),
    ]
    run = dataclasses.replace(run, anchors=anchors)
    card = card_of(run, "Diversity")
    assert (card.target.value, card.target.at) == ("1.00", 94)
    assert [mark.name for mark in card.ticks] == ["uniform noise", "real images"]
    assert [mark.name for mark in card.beyond] == ["plain grounds"]
    assert card_of(run, "Alignment").target is None
    said = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    page = html_text(run, said, [])
    assert 'title="uniform noise 0.800"' in page
    assert '<i class="mark target" style="left: 94.0%" title="target 1.00">' in page
    words = (
        "target 1.00 · ticks, from the left: uniform noise 0.800, real images 0.970 · "
        "off the scale: plain grounds 80.0"
    )
    assert words in page
