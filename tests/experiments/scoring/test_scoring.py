"""Small real runs, scored: what the tables hold, and what is measured again."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from run_helpers import TOY, record, write_comparison
from scene_toys import black, noise, patchy, score, truth

from gandiff.evaluate.metric import ImageRecord
from gandiff.experiments.api import RunSummary
from gandiff.experiments.cli import main
from gandiff.experiments.runs.describe import default_metrics
from gandiff.experiments.scoring.measure import equal_sets
from gandiff.experiments.scoring.report import complete_tables
from gandiff.reports.reading import load_run
from gandiff.reports.verdict import verdict

METRICS = default_metrics()
TABLES = ("scores.parquet", "results.parquet", "differences.parquet", "timing.parquet")
COSTS = {
    *("latency_seconds", "images_per_second", "load_seconds", "peak_memory_bytes"),
    *("parameters", "nfe", "training_seconds"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    """One run that the tests of this file read."""
    generators = {"truth": truth, "noise": noise, "patchy": patchy, "black": black}
    reference = {"type": "scenes", "images": 80}
    return score(tmp_path_factory.mktemp("run") / "r", generators, METRICS, reference=reference)


@pytest.fixture
def results(run: RunSummary) -> pd.DataFrame:
    return run.to_frame()


def value(results: pd.DataFrame, generator: str, metric: str) -> float:
    rows = results[(results.generator == generator) & (results.metric == metric)]
    assert len(rows) == 1
    return float(rows.value.iloc[0])


def test_the_tables_have_the_columns_that_reports_read(run: RunSummary) -> None:
    columns = {name: list(pd.read_parquet(run.folder / name).columns) for name in TABLES}
    assert columns == {
        "scores.parquet": [
            *("key", "generator", "prompt_id", "sample", "category", "metric", "value"),
            "denominator",
        ],
        "results.parquet": [
            *("generator", "metric", "value", "low", "high", "unit", "direction", "target"),
            *("images", "references", "protocol", "note"),
        ],
        "differences.parquet": [
            *("a", "b", "metric", "difference", "low", "high", "win_rate", "p_value", "prompts"),
            *("clusters", "effect_size", "p_holm", "prompts_needed", "detectable"),
            *("farther", "farther_low", "farther_high"),
            *("ratio", "ratio_low", "ratio_high"),
        ],
        "timing.parquet": [
            *("generator", "round", "phase", "batch_size", "warmups", "repeat", "seconds")
        ],
    }


def test_the_scale_has_its_anchors(run: RunSummary) -> None:
    found = pd.read_parquet(run.folder / "anchors.parquet").set_index(["anchor", "metric"])
    for metric in ("fd(encoder=scenes)", "kid(encoder=scenes)"):
        assert found.value["real", metric] < found.value["noise", metric]
    accuracy = found.value.xs("scene_accuracy/all", level="metric")
    assert accuracy["real"] == 1
    assert max(accuracy["noise"], accuracy["plain"]) <= 0.2
    # As many as every generator made, of the same prompts.
    assert set(found.images.xs("fd(encoder=scenes)", level="metric")) == {9}
    assert not list(run.folder.glob("*anchors-*"))


def test_every_number_comes_with_its_protocol(results: pd.DataFrame) -> None:
    quality = results[~results.metric.isin(COSTS) & (results.generator != "black")]
    assert {name.split("/")[0] for name in quality.metric} == set(METRICS)
    for row in quality.itertuples():
        protocol = json.loads(row.protocol)
        assert len(protocol["weights_sha256"]) == 64, row.metric
        assert row.images > 0
        assert row.direction in ("higher", "lower", "target") or "agreement" in row.metric
        assert np.isfinite(row.value)
        # Fewer than 5 prompts that state the fact: no interval, rather than a guess.
        assert np.isnan(row.low) == np.isnan(row.high)
        assert np.isnan(row.low) or row.low <= row.value <= row.high
        if row.metric.startswith(("fd", "kid")):
            assert row.references == 80
    assert results[results.metric == "scene_accuracy/all"].low.notna().sum() == 3
    latency = results[results.metric == "latency_seconds"].set_index("generator")
    assert latency.note["black"] == "not timed: it made no image"  # failing fast is no merit
    timed = [json.loads(p) for p in latency.drop("black").protocol]
    assert len(timed) == 3
    assert all(p["cpu"] and p["batch_size"] == 1 and p["calls"] == 1 for p in timed)


def test_who_draws_what_is_asked_for_wins_on_every_axis(results: pd.DataFrame) -> None:
    def both(metric: str) -> tuple[float, float]:
        return value(results, "truth", metric), value(results, "noise", metric)

    good, bad = both("scene_accuracy/all")
    assert good >= 0.9
    assert bad <= 0.2
    for part in ("shape", "colour", "background", "relation"):
        good, bad = both(f"scene_accuracy/{part}")
        assert good > bad, part
    for metric in ("clip_score(model=scenes)", "vendi(encoder=scenes)"):
        good, bad = both(metric)
        assert good > bad, metric
    for metric in ("fd(encoder=scenes)", "kid(encoder=scenes)"):
        good, bad = both(metric)
        assert good < bad, metric
    good, bad = both("diversity(encoder=scenes)")
    assert abs(good - 1) < abs(bad - 1)
    assert good == pytest.approx(1, abs=0.4)


def test_a_table_of_an_older_version_gets_the_distances_from_targets(
    run: RunSummary, tmp_path: Path
) -> None:
    whole = pd.read_parquet(run.folder / "differences.parquet")
    whole = whole[whole.win_rate.notna()].reset_index(drop=True)  # older ones had no other rows
    near = whole.metric == "diversity(encoder=scenes)"
    assert near.sum() == 3
    assert whole[whole.metric == "scene_accuracy/all"].farther.isna().all()
    shown = run.to_frame().set_index(["generator", "metric"])
    for row in whole[near].itertuples():
        if "patchy" in (row.a, row.b):  # it lacks images, so few prompts are compared
            continue
        apart = [abs(shown.loc[(name, row.metric), "value"] - 1) for name in (row.a, row.b)]
        assert row.farther == pytest.approx(apart[0] - apart[1], abs=1e-9)
        assert row.farther_low <= row.farther <= row.farther_high
    old = shutil.copytree(run.folder, tmp_path / "old")
    whole.drop(columns=["farther", "farther_low", "farther_high"]).to_parquet(
        old / "differences.parquet", index=False
    )
    complete_tables(old, seed=0)
    pd.testing.assert_frame_equal(pd.read_parquet(old / "differences.parquet"), whole)


def test_differences_are_paired_over_prompts(run: RunSummary) -> None:
    table = pd.read_parquet(run.folder / "differences.parquet")
    means = run.scores().groupby(["generator", "metric", "prompt_id"])[["value", "denominator"]]
    means = means.mean()
    assert set(zip(table.a, table.b, strict=True)) == {
        ("truth", "noise"),
        ("truth", "patchy"),
        ("noise", "patchy"),
    }
    # Distances of sets have a paired interval too, though one generator lacks images.
    of_sets = table[table.win_rate.isna()]
    assert set(of_sets[of_sets.b == "patchy"].metric) >= {"fd(encoder=scenes)"}
    assert of_sets[["difference", "low", "high", "prompts"]].notna().all(axis=None)
    assert of_sets[of_sets.b == "patchy"].prompts.max() < 6
    table = table[table.win_rate.notna()]
    for row in table.itertuples():
        sides = [means.loc[(name, row.metric)] for name in (row.a, row.b)]
        pair = (sides[0].value - sides[1].value).dropna()
        assert row.prompts == len(pair)
        sums = [side.loc[pair.index].sum() for side in sides]
        apart = sums[0].value / sums[0].denominator - sums[1].value / sums[1].denominator
        assert row.difference == pytest.approx(apart, abs=1e-9)
        below = [side.loc[pair.index].denominator for side in sides]
        if (below[0] == below[1]).all():  # not of a prompt of which one side lacks an image
            assert row.win_rate == pytest.approx(((pair > 0) + (pair == 0) / 2).mean())
        assert 0 < row.p_value <= row.p_holm <= min(1, 3 * row.p_value)
        if pair.std() > 1e-12:
            assert row.effect_size == pytest.approx(row.difference / pair.std(), rel=0.5)
            if (below[0] == 1).all():
                assert row.effect_size == pytest.approx(pair.mean() / pair.std())
        else:
            assert np.isnan(row.effect_size)
    of_noise = table[table.b == "noise"].set_index("metric")
    for metric in ("scene_accuracy/all", "clip_score(model=scenes)"):
        sure = of_noise.loc[metric]
        assert sure.prompts == 6
        assert 0 <= sure.low < sure.difference
        ours, theirs = (means.loc[(name, metric)].value for name in ("truth", "noise"))
        apart = (ours - theirs).to_numpy()
        signs = np.array(list(itertools.product((-1, 1), repeat=6)))
        p = np.mean(np.abs(signs @ apart) > np.abs(apart.sum()) - 1e-9)
        assert sure.p_value == p
        assert (sure.low > 0) == (p < 0.05)


def test_failed_images_are_left_out_and_counted(run: RunSummary, results: pd.DataFrame) -> None:
    counts = record(run.folder)["counts"]
    assert counts["patchy"] == {"planned": 12, "ok": 9, "failed": 3, "filtered": 0}
    assert counts["black"] == {"planned": 12, "ok": 0, "failed": 12, "filtered": 0}
    scores = run.scores()
    assert "black" not in set(scores.generator)
    mine = scores[scores.generator == "patchy"].set_index(["prompt_id", "sample", "metric"]).value
    full = scores[scores.generator == "truth"].set_index(["prompt_id", "sample", "metric"]).value
    # The same seeds gave the same images, so what was measured has the values of the whole set.
    per_image = [name for name in mine.index.levels[2] if not name.startswith("diversity")]
    for name in per_image:
        left = mine.xs(name, level="metric")
        assert left.equals(full.xs(name, level="metric").loc[left.index])
        assert value(results, "patchy", name) == pytest.approx(left.mean())
    rows = results[(results.generator == "patchy") & (results.metric == "scene_accuracy/all")]
    assert rows.images.iloc[0] == 9
    assert any(w.startswith("patchy: 3 of 12 images failed (black") for w in run.warnings)


def test_what_cannot_be_measured_is_a_row_that_says_why(results: pd.DataFrame) -> None:
    rows = results[(results.generator == "black") & ~results.metric.isin(COSTS)]
    assert sorted(rows.metric) == sorted(METRICS)
    assert rows.value.isna().all()
    (note,) = set(rows.note)
    assert note.startswith("not measured: there is no usable image (black ")
    assert set(rows.images) == {0}


def test_prompts_that_state_no_facts_have_no_accuracy(tmp_path: Path) -> None:
    metrics = ["scene_accuracy", "diversity(encoder=scenes)"]
    suite = ["a dog", "a cat", "a horse"]
    found = score(tmp_path / "r", {"noise": noise}, metrics, suite).to_frame()
    row = found[found.metric == "scene_accuracy"].iloc[0]
    assert np.isnan(row.value)
    assert "needs prompts with stated facts" in row.note
    spread = found[found.metric == "diversity(encoder=scenes)"].iloc[0]
    assert spread.direction == "none"  # a raw distance: there is no real dog to compare with
    assert spread.value > 0


def test_without_real_images_noise_and_plain_colours_are_not_more_diverse(tmp_path: Path) -> None:
    def flags(prompts: list[str], seeds: list[int]) -> list[Any]:
        colours = [np.random.default_rng(s).integers(0, 256, (2, 1, 3), np.uint8) for s in seeds]
        return [np.repeat(np.repeat(one, 16, 0), 32, 1) for one in colours]

    suite = [f"a dog of breed {number}" for number in range(32)]
    generators = {"noise": noise, "flags": flags, "black": black}
    run = load_run(score(tmp_path / "r", generators, ["diversity(encoder=scenes)"], suite).folder)
    said = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    (found,) = (one for one in said if one.topic == "diversity")
    assert found.outcome == "undecided"
    assert "neither direction of this metric counts as better" in found.text
    assert "relative to real images" not in run.about("diversity(encoder=scenes)").meaning


def test_real_images_may_come_from_a_folder(tmp_path: Path, run: RunSummary) -> None:
    folder = next((run.folder / "reference").glob("scenes-*"))
    found = score(
        *(tmp_path / "r", {"truth": truth, "noise": noise}, ["fd(encoder=scenes)"]),
        reference={"folder": str(folder), "images": 70},
    ).to_frame()
    rows = found[found.metric == "fd(encoder=scenes)"].set_index("generator")
    assert set(rows.references) == {70}
    assert rows.value["truth"] < rows.value["noise"]


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """When each table was written and what it holds."""
    return {n: ((folder / n).stat().st_mtime_ns, (folder / n).read_bytes()) for n in TABLES}


def test_scoring_again_does_nothing_and_a_new_metric_measures_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    from gandiff.evaluate.features import encoding

    whole = encoding._encode

    def counting(extractor: Any, store: Any, batch: list[Any]) -> None:
        encoded.append(len(batch))
        whole(extractor, store, batch)

    monkeypatch.setattr(encoding, "_encode", counting)
    generators, folder = {"truth": truth, "noise": noise}, tmp_path / "r"
    reference = {"type": "scenes", "images": 40}
    metrics = ["diversity(encoder=scenes)"]
    before = score(folder, generators, metrics, reference=reference)
    # Two generators, real images of the prompts, noise and plain grounds as anchors.
    assert sum(encoded) == 5 * 12
    tables, rows = state(folder), before.to_frame()
    encoded.clear()
    again = score(folder, generators, metrics, reference=reference)
    assert state(folder) == tables
    assert again == before
    assert encoded == []
    metrics += ["vendi(encoder=scenes)", "fd(encoder=scenes)"]
    after = score(folder, generators, metrics, reference=reference).to_frame()
    assert sum(encoded) == 40  # the reference; all else was kept, the anchors as well
    kept = after[after.metric.isin(rows.metric)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, rows)
    assert set(after.metric) == {*rows.metric, *metrics}


UNREACHABLE = {
    "missing CLIP": (
        {"metrics": ["clip_score(model=local-dir:nowhere)"]},
        "metric 'clip_score(model=local-dir:nowhere)': nowhere is no open_clip model: "
        "open_clip_config.json is missing",
    ),
    "missing Inception": (
        {"metrics": ["vendi(encoder=inception)"]},
        "weights-inception-2015-12-05-6726825d.pth is not there and https://",
    ),
    "empty reference": (
        {"metrics": ["fd(encoder=scenes)"], "reference": {"folder": "photos"}},
        "photos holds no image files",
    ),
    "one image": (
        {
            "metrics": ["fd(encoder=scenes)"],
            "reference": {"type": "scenes"},
            "samples_per_prompt": 1,
            "suite": {"name": "prompts.txt", "limit": 1},
        },
        "fd(encoder=scenes) compares distributions and needs 2 images or more of each generator; "
        "1 is planned",
    ),
}


@pytest.mark.parametrize("case", UNREACHABLE)
def test_what_would_stop_the_scoring_is_found_before_the_first_image(
    case: str,
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes: Mapping[str, Any]
    changes, says = UNREACHABLE[case]

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to the host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(empty_folder / "hub"))
    (empty_folder / "photos").mkdir()
    toys = {"toy": {"type": TOY, "log": str(empty_folder / "toy.log")}}
    file = write_comparison(empty_folder, 2, generators=toys, **changes)
    assert main(["run", str(file), "--quiet"]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert not (empty_folder / "runs").exists()
    assert not (empty_folder / "toy.log").exists()


def test_sets_are_compared_at_equal_numbers() -> None:
    def records(name: str, samples: list[tuple[str, int]]) -> list[ImageRecord]:
        return [
            ImageRecord(
                path=Path(f"{name}-{group}-{k}.png"), sha256=f"{name}{group}{k}", group=group,
                sample=k, key=f"{name}-{group}-{k}",
            )
            for group, k in samples
        ]  # fmt: skip

    full = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    images = {
        "whole": records("whole", full),
        "gap": records("gap", [full[0], full[3]]),
        "none": [],
    }
    equal, warnings = equal_sets(images)
    assert [(r.group, r.sample) for r in equal["whole"]] == [("a", 0), ("b", 1)]
    assert equal["gap"] == images["gap"]
    assert equal["none"] == []
    assert warnings == [
        "the generators have unequal numbers of images (whole 4, gap 2); metrics of whole sets "
        "compare the 2 that all of them have"
    ]
    assert equal_sets({"whole": images["whole"]}) == ({"whole": images["whole"]}, [])
    half, rest = records("half", full[:3]), records("rest", full[1:])
    assert equal_sets({"half": half, "rest": rest})[1] == [
        "the generators have images of different prompts or samples (half 3, rest 3); metrics of "
        "whole sets compare the 2 that all of them have"
    ]
    assert equal_sets({"half": half[:2], "rest": rest[1:]})[1] == [
        "the generators have images of different prompts or samples (half 2, rest 2); metrics of "
        "whole sets are not measured, as no prompt and sample has an image of every generator"
    ]


def test_categories_and_words_of_the_metrics_are_kept(run: RunSummary) -> None:
    table = pd.read_parquet(run.folder / "categories.parquet")
    scores = pd.read_parquet(run.folder / "scores.parquet")
    assert set(table.metric) == set(scores.metric)
    for (generator, metric), rows in table.groupby(["generator", "metric"]):
        own = scores[(scores.generator == generator) & (scores.metric == metric)]
        for row in rows.itertuples():
            members = own[own.category == row.category]
            if (own.denominator != 1).any():  # of prompts, not of images
                members = members.groupby("prompt_id")[["value", "denominator"]].mean()
            assert row.value == pytest.approx(members.value.sum() / members.denominator.sum())
    said = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    assert set(said) == set(run.to_frame().metric) | COSTS
    assert said["scene_accuracy/shape"]["group"] == "Accuracy by attribute"
    assert said["fd(encoder=scenes)"]["is_distance"] is True
