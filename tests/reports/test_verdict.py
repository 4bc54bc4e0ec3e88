"""Each outcome of the verdict, as sentences."""

import dataclasses

import pytest
from verdict_helpers import ALIGNMENT, DIVERSITY, FD, both, facts, pair, row, rows_of, say

from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.verdict import verdict

GOOD = rows_of("gan", 0.80, 20.0, 0.7, 0.01)
BETTER = rows_of("ddim", 0.90, 10.0, 0.9, 0.2)
CLIP = "clip_score(model=scenes)"


def test_b_is_better_with_the_interval_of_the_paired_difference():
    alignment = say(GOOD + BETTER, [pair(ALIGNMENT, -0.10, 0.03)])[0]
    assert (alignment.topic, alignment.outcome, alignment.winner) == ("alignment", "better", "ddim")
    assert alignment.text == (
        "On alignment, ddim is better: scene accuracy 90.0 % against 80.0 % for gan, "
        "10.0 points higher on the same 40 prompts (paired, 95 % interval 7.0 to 13.0)."
    )


def test_a_is_better_also_when_the_pair_is_written_the_other_way_round():
    rows = rows_of("gan", 0.9, 10.0, 0.9, 0.01) + rows_of("ddim", 0.8, 20.0, 0.7, 0.2)
    found = say(rows, [pair(ALIGNMENT, -0.10, 0.03, a="ddim", b="gan")])
    assert [s.winner for s in found[:4]] == ["gan"] * 4
    assert "10.0 points higher on the same 40 prompts (paired, 95 % interval 7.0 to 13.0)" in (
        found[0].text
    )


def test_a_lower_distance_is_better_and_says_so():
    distribution = say(GOOD + BETTER)[1]
    assert distribution.winner == "ddim"
    assert "10.0 lower (the 95 % intervals, 9.0 to 11.0 and 19.0 to 21.0" in distribution.text
    paired = say(GOOD + BETTER, [pair(FD, 10.0, 2.0)])[1]
    assert "10.0 lower on the same 40 prompts (paired, 95 % interval 8.0 to 12.0)" in paired.text


def test_a_paired_interval_with_0_is_undecided_though_the_two_intervals_are_apart():
    alignment = say(GOOD + BETTER, [pair(ALIGNMENT, -0.10, 0.11)])[0]
    assert alignment.outcome == "undecided"
    assert "gan minus ddim, has the 95 % interval -21.0 to 1.0 points, which contains 0" in (
        alignment.text
    )


def test_a_paired_interval_without_0_decides_though_the_two_intervals_overlap():
    rows = [
        row("gan", ALIGNMENT, 0.80, 0.1, direction="higher"),
        row("ddim", ALIGNMENT, 0.82, 0.1, direction="higher"),
    ]
    assert say(rows)[0].outcome == "undecided"
    assert "overlap" in say(rows)[0].text
    assert say(rows, [pair(ALIGNMENT, -0.02, 0.01)])[0].winner == "ddim"


def test_another_metric_that_says_the_opposite_is_named():
    clip = [row(n, CLIP, v, 0.01, direction="higher") for n, v in (("gan", 0.5), ("ddim", 0.4))]
    alignment = say([*GOOD, *BETTER, *clip])[0]
    assert alignment.winner == "ddim"
    assert alignment.text.endswith(
        "; CLIP score (0.500 for gan, 0.400 for ddim) says the opposite."
    )
    unsure = say([*GOOD, *BETTER, *clip], [pair(CLIP, 0.1, 0.2)])[0]
    assert "the opposite" not in unsure.text


def test_equal_speeds_are_those_that_an_interval_shows():
    rows = [row(n, "latency_seconds", s, 0.1) for n, s in (("gan", 1.0), ("ddim", 1.004))]
    for low, high, outcome in ((0.4, 2.5, "undecided"), (0.999, 1.004, "tie")):
        said = say(rows, [timed_in_turns(1.004, low, high)])[3]
        assert said.outcome == outcome
        assert ("equally fast" in said.text) == (outcome == "tie")
    rows = [row(n, "latency_seconds", s, 0.1) for n, s in (("gan", 1.0), ("ddim", 1.1))]
    other_way = say(rows, [timed_in_turns(0.83, 0.77, 0.909)])[3]
    assert other_way.outcome == "undecided"
    assert "which points another way than the values" in other_way.text
    few = say(rows, [timed_in_turns(1.1, None, None)])[3]
    assert "(too few rounds were measured for an interval)" in few.text


def test_a_paired_interval_against_the_values_is_undecided():
    alignment = say(GOOD + BETTER, [pair(ALIGNMENT, 0.10, 0.03)])[0]
    assert alignment.outcome == "undecided"
    assert "7.0 to 13.0 points, which points another way than the values" in alignment.text


def test_without_any_interval_nothing_is_decided():
    rows = [row("gan", FD, 20.0, direction="lower"), row("ddim", FD, 10.0, direction="lower")]
    distribution = say(rows)[1]
    assert distribution.outcome == "undecided"
    assert "20.0 against 10.0, measured without the intervals" in distribution.text


def test_level():
    rows = [row(n, ALIGNMENT, 1.0, 0.0, direction="higher") for n in ("gan", "ddim")]
    found = say(rows, [pair(ALIGNMENT, 0.0, 0.0)])[0]
    assert found.outcome == "tie"
    assert found.text == "On alignment, gan and ddim are level: scene accuracy is 100.0 % for both."


@pytest.mark.parametrize(
    ("a", "b", "winner"),
    [(0.7, 0.9, "ddim"), (1.3, 1.1, "ddim"), (0.95, 1.2, "gan"), (0.9, 1.1, None)],
)
def test_diversity_is_best_nearest_to_the_target(a, b, winner):
    rows = [
        row("gan", DIVERSITY, a, 0.02, direction="target", target=1.0),
        row("ddim", DIVERSITY, b, 0.02, direction="target", target=1.0),
    ]
    assert say(rows)[2].winner == winner
    # A raw difference says nothing about which one is nearer to the target.
    assert say(rows, [pair(DIVERSITY, a - b, 0.01)])[2].winner == winner


def test_not_measured_says_why():
    rows = [
        row("gan", FD, None, direction="lower", note="no reference images."),
        row("gan", ALIGNMENT, 0.8, 0.02, direction="higher"),
    ]
    alignment, distribution, diversity, speed, _training = say(rows)
    assert alignment.text == (
        "Alignment was not measured for ddim, so it is not compared; gan has scene accuracy "
        "80.0 % (95 % interval 78.0 to 82.0)."
    )
    assert distribution.text == "Distribution was not measured (no reference images)."
    assert diversity.text == "Diversity was not measured."
    assert speed.text == "Speed was not measured."
    why = "not timed: timing is off"
    off = [row(name, "latency_seconds", None, note=why) for name in ("gan", "ddim")]
    *_, speed, _training = say([*rows, *off])
    assert speed.text == "Speed was not measured (not timed: timing is off)."
    assert {s.outcome for s in (alignment, distribution, diversity, speed)} == {"not measured"}


@pytest.mark.parametrize("headline", [("gan", "ddim"), ("gan",)])
def test_what_nobody_asked_for_says_whether_real_images_are_missing(headline):
    rows = [row(name, ALIGNMENT, 0.8, 0.02, direction="higher") for name in headline]
    texts = {
        reference: " ".join(
            s.text for s in verdict(rows, [], both(), headline, Ground(reference=reference))
        )
        for reference in (False, True)
    }
    missing = (
        "Distribution was not measured (there are no reference images; give --reference, or "
        "reference in a comparison file)."
    )
    assert missing in texts[False]
    assert "Diversity was not measured (no metric of it was asked for)." in texts[False]
    assert "not measured (no metric of it was asked for)." in texts[True]
    assert "reference images" not in texts[True]


def test_clip_score_stands_in_for_scene_accuracy_and_vendi_for_diversity():
    rows = [
        row(n, m, v, 0.001, direction="higher")
        for n, v in (("gan", 0.2), ("ddim", 0.3))
        for m in ("clip_score(model=scenes)", "vendi(encoder=scenes)")
    ]
    found = say(rows)
    assert "CLIP score 0.300 against 0.200" in found[0].text
    assert "Vendi score" in found[2].text


def test_speed_is_a_ratio_with_both_times_and_rates():
    speed = say(GOOD + BETTER)[3]
    assert speed.winner == "gan"
    assert speed.text == (
        "gan is about 20 times as fast as ddim: 10 ms for one image against 200 ms (19 to 21 "
        "times by the ends of both intervals), and 200 against 10 images a second at the best "
        "batch size."
    )


def test_speeds_of_too_few_calls_say_who_was_called_how_often():
    rows = [
        row("gan", "latency_seconds", 0.005, 0.001, protocol={"calls": 50, "rounds": ["x 0"]}),
        row("ddim", "latency_seconds", 0.5, protocol={"calls": 5, "rounds": ["x 0"]}),
    ]
    speed = say(rows)[3]
    assert speed.outcome == "undecided"
    assert (
        "(too few calls were timed for an interval: ddim in 5 calls of one round; timing.rounds=3 "
        "measures three rounds, as runs of 64 prompts or more do)"
    ) in speed.text


def timed_in_turns(ratio, low, high):
    return DifferenceRow(
        a="ddim",
        b="gan",
        metric="latency_seconds",
        difference=0.01 * (ratio - 1),
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
    )


def test_a_ratio_measured_in_turns_is_said_with_its_interval_and_no_more_digits_than_are_known():
    speed = say(GOOD + BETTER, [timed_in_turns(20.0, 14.2, 28.17)])[3]
    assert speed.winner == "gan"
    assert speed.text == (
        "gan is about 20 times as fast as ddim: 10 ms for one image against 200 ms (95 % "
        "interval of the ratio 14 to 28, measured in turns), and 200 against 10 images a second "
        "at the best batch size."
    )
    unsure = say(GOOD + BETTER, [timed_in_turns(20.0, 0.914, 437.7).flipped()])[3]
    assert unsure.outcome == "undecided"
    assert unsure.text.startswith(
        "gan and ddim do not clearly differ in speed: 10 ms for one image against 200 ms (95 % "
        "interval of the ratio 0.914 to 440, measured in turns, which contains 1)"
    )


def test_overlapping_times_are_no_difference_in_speed():
    rows = [row(n, "latency_seconds", s, 0.003) for n, s in (("gan", 0.010), ("ddim", 0.011))]
    assert say(rows)[3].outcome == "undecided"


def test_speed_of_ready_images_is_not_compared():
    rows = [
        row("gan", "latency_seconds", 0.01),
        row("ddim", "latency_seconds", None, note="the images were made elsewhere"),
    ]
    speed = say(rows)[3]
    assert speed.outcome == "not measured"
    assert "for ddim (the images were made elsewhere)" in speed.text


@pytest.mark.parametrize(
    ("fields", "outcome", "words"),
    [
        ({"training_seconds": 3000.0}, "note", "25 min to train on cpu and ddim 50 min on cpu;"),
        ({"training_seconds": 1500.0}, "tie", "equally long"),
        ({"training_seconds": None}, "not measured", "the training cost of ddim is not known"),
        ({"training_device": "cuda"}, "note", "different devices"),
    ],
)
def test_training_cost(fields, outcome, words):
    training = say(GOOD + BETTER, generators=both(**fields))[4]
    assert training.outcome == outcome
    assert words in training.text


def test_two_settings_of_one_model_cost_the_same_training():
    generators = {n: facts(n, weights_sha256="ab") for n in ("gan", "ddim")}
    assert "are one model, trained for 25 min on cpu" in say(GOOD, generators=generators)[4].text


def test_nothing_known_of_training():
    generators = {n: facts(n, training_seconds=None) for n in ("gan", "ddim")}
    text = say(GOOD, generators=generators)[4].text
    assert text == "The training cost of neither gan nor ddim is known."


def test_failures_get_the_fifth_sentence_and_the_costs_share_one():
    generators = both(planned=5000, ok=4998, failed=1, filtered=1)
    found = say(GOOD + BETTER, generators=generators)
    assert len(found) == 5
    assert found[3].winner == "gan"
    assert "at the best batch size; gan and ddim took equally long" in found[3].text
    assert found[4].text == (
        "ddim made 4,998 of 5,000 images (99.9 %, 1 failed and 1 filtered); scores cover only the "
        "images that exist."
    )


def test_a_run_that_goes_on_says_how_far_it_is():
    found = say([], generators=both(planned=8, ok=2))
    assert "ddim made 2 of 8 images (25.0 %, 6 not made yet)" in found[-1].text


def test_a_generator_that_stopped_is_not_said_to_go_on():
    found = say([], generators=both(planned=8, ok=0, unmade="cannot be loaded: no weights."))
    assert "ddim made 0 of 8 images (0.0 %, 8 not made: cannot be loaded: no weights)" in (
        found[-1].text
    )


def test_one_generator_alone():
    summary, speed, training = say(GOOD, generators={"gan": facts("gan")}, headline=("gan",))
    assert summary.text == (
        "Only gan was run, so nothing is compared; it reaches scene accuracy 80.0 % (95 % interval "
        "78.0 to 82.0), Fréchet distance 20.0 (95 % interval 19.0 to 21.0) and diversity 0.700 "
        "(95 % interval 0.680 to 0.720)."
    )
    assert speed.text.startswith("gan takes 10 ms for one image, and 200 images a second")
    assert training.text == "gan took 25 min to train on cpu."


def test_one_generator_beside_others_that_cannot_do_the_task():
    why = "cannot paint: its abilities are text_to_image"
    unable = {"ddim": facts("ddim", ok=0, unmade=why), "folder": facts("folder", ok=0)}
    summary, *_ = say(GOOD, generators={"gan": facts("gan"), **unable}, headline=("gan",))
    assert summary.text.startswith(
        "ddim cannot paint and folder made no image, so nothing is compared; gan reaches scene "
        "accuracy 80.0 %"
    )


def test_one_generator_without_all_axes():
    rows = [row for row in GOOD if "diversity" in row.result.metric]
    summary, *_ = say(rows, generators={"gan": facts("gan")}, headline=("gan",))
    assert summary.text == (
        "Only gan was run, so nothing is compared; it reaches diversity 0.700 (95 % interval 0.680 "
        "to 0.720). Alignment and distribution were not measured."
    )
    summary, *_ = say([], generators={"gan": facts("gan")}, headline=("gan",))
    assert summary.text == (
        "Only gan was run, so nothing is compared. Alignment, distribution and diversity were not "
        "measured."
    )


def test_no_generator():
    assert [s.text for s in verdict([], [], {}, ())] == ["No generator was run."]


def test_two_gans_and_unknown_headline_names():
    generators = {n: facts(n) for n in ("gan", "ddim")}
    assert say(GOOD + BETTER, generators=generators)[0].winner == "ddim"
    assert say(GOOD, generators=both(), headline=("gan", "gone"))[0].outcome == "single"


def test_the_verdict_depends_on_the_rows_alone():
    rows = GOOD + BETTER
    assert say(rows) == say([dataclasses.replace(r) for r in reversed(rows)][::-1])
