"""The results table: marks, order, CSV."""

import csv
import dataclasses
import io
import json

from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.reports.comparing import separated
from gandiff.reports.ground import Anchor
from gandiff.reports.latex import latex_text
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import ResultRow
from gandiff.reports.sentence import distinct_labels
from gandiff.reports.table import LONG_COLUMNS, csv_text, wide_tables


def column(run, metric):
    return next(c for t in wide_tables(run) for c in t.columns if c.metric == metric)


def marked(run, metric):
    names = list(run.generators)
    return [n for n, c in zip(names, column(run, metric).cells, strict=True) if c.best]


def test_groups_and_order(run_folder):
    tables = wide_tables(load_run(run_folder))
    assert [t.title for t in tables] == [
        "Alignment",
        "Distribution",
        "Diversity",
        "Accuracy by attribute",
        "Cost",
    ]
    assert tables[0].columns[0].metric == "scene_accuracy/all"
    assert tables[1].columns[0].metric == "fd(encoder=scenes)"
    assert tables[4].columns[0].metric == "latency_seconds"
    assert all(len(t.columns[0].cells) == 5 for t in tables)


def test_what_anchors_get_stands_below_the_table_in_every_format(run_folder):
    fd = "fd(encoder=scenes)"
    anchors = [
        Anchor(anchor="real", metric=fd, value=24.9, images=512),
        Anchor(anchor="noise", metric=fd, value=31234.0),
        Anchor(anchor="plain", metric="scene_accuracy/all", value=0.125),
    ]
    run = dataclasses.replace(load_run(run_folder), anchors=anchors)
    tables = {table.title: table for table in wide_tables(run)}
    *_, real, noise = tables["Distribution"].notes
    assert real == "For scale, real images (n = 512): Fréchet distance 24.9."  # the run has fewer
    assert noise.startswith("For scale, uniform noise: Fréchet distance 31")
    plain = "For scale, plain grounds: scene accuracy 12.5 %."
    assert tables["Alignment"].notes[-1] == plain
    assert not any("For scale" in note for note in tables["Cost"].notes)
    assert plain.replace("%", "\\%") in latex_text(run, [])


def test_metrics_of_one_name_have_their_parameters_or_their_names_in_files_behind_it():
    metrics = ["fd(encoder=scenes)", "fd(encoder=scenes_b)", "kid(encoder=scenes)"]
    labels = {metric: about_metric(metric).label for metric in metrics}
    assert list(distinct_labels(labels).values()) == [
        "Fréchet distance (encoder=scenes)",
        "Fréchet distance (encoder=scenes_b)",
        "KID",
    ]
    same = {"mine:a/x": "sharpness", "mine:b/x": "sharpness"}
    assert distinct_labels(same) == {metric: metric for metric in same}


def test_a_best_value_is_marked_only_where_it_is_apart(run_folder):
    run = load_run(run_folder)
    # ddim-20 leads with 0.93, but dpm-10 has 0.925 and the paired interval contains 0.
    assert marked(run, "scene_accuracy/all") == []
    two = {n: f for n, f in run.generators.items() if n in ("gan", "ddim-20")}
    kept = [r for r in run.results if r.generator in two]
    small = dataclasses.replace(run, generators=two, results=kept)
    assert marked(small, "scene_accuracy/all") == ["ddim-20"]
    assert marked(small, "fd(encoder=scenes)") == ["ddim-20"]
    assert marked(small, "diversity(encoder=scenes)") == ["ddim-20"]
    assert marked(small, "latency_seconds") == ["gan"]
    assert marked(small, "load_seconds") == []  # no interval
    assert marked(small, "nfe") == ["gan"]  # known exactly
    assert marked(small, "parameters") == []  # neither way is better


def test_a_yardstick_is_explained_everywhere_and_takes_no_best_away(run_folder):
    run = load_run(run_folder)
    three = {n: f for n, f in run.generators.items() if n in ("gan", "ddim-20", "dpm-10")}
    results = [r for r in run.results if r.generator in three]
    run = dataclasses.replace(run, generators=three, results=results)
    assert marked(run, "scene_accuracy/all") == []  # the two diffusion models are too close
    said = "dpm-10 is a yardstick, not a model: real photos. The best is chosen among the others."
    info = {**three["dpm-10"].info, "yardstick": "real photos."}
    three = {**three, "dpm-10": dataclasses.replace(three["dpm-10"], info=info)}
    run = dataclasses.replace(run, generators=three)
    assert marked(run, "scene_accuracy/all") == ["ddim-20"]
    assert (run.yardsticks, run.marks) == ([said], [said])
    assert said in latex_text(run, [])
    three = {n: dataclasses.replace(facts, info=info) for n, facts in three.items()}
    assert marked(dataclasses.replace(run, generators=three), "scene_accuracy/all") == []


def test_intervals_that_touch_are_not_apart():
    def at(value, half):
        return MetricResult(
            metric="fd", value=value, low=value - half, high=value + half, direction="lower"
        )

    assert separated(at(10.0, 1.0), at(13.0, 1.0))
    assert not separated(at(10.0, 1.0), at(12.0, 1.0))
    assert not separated(at(13.0, 1.0), at(10.0, 1.0))


def test_csv_is_long_and_complete(run_folder):
    run = load_run(run_folder)
    rows = list(csv.DictReader(io.StringIO(csv_text(run))))
    assert tuple(rows[0]) == LONG_COLUMNS
    assert len(rows) == len(run.results)
    first = rows[0]
    assert (first["generator"], first["family"], float(first["value"])) == ("gan", "gan", 21.4)
    assert json.loads(first["protocol"])["references"] == 2000
    vendi = next(r for r in rows if r["metric"].startswith("vendi"))
    assert (vendi["low"], vendi["note"]) == ("", "")


def test_a_missing_value_keeps_its_place(make_run):
    run = load_run(make_run(prompts=3, generators=("gan", "ddim-20")))
    metric = "clip_score(model=x)"
    extra = MetricResult(metric=metric, value=None, note="no weights", about=about_metric(metric))
    run = dataclasses.replace(run, results=[*run.results, ResultRow("gan", extra)])
    cells = column(run, "clip_score(model=x)").cells
    assert (cells[0].value, cells[1].value) == ("not measured", "")
    assert "no weights" in csv_text(run)


def test_of_what_was_not_measured_at_all_there_is_a_line_and_no_table(run_folder):
    run = load_run(run_folder)
    costs = {"latency_seconds": "not timed: its images were made elsewhere"}
    rows = [r for r in run.results if r.result.described.group != "Cost"]
    rows += [
        ResultRow(name, MetricResult(metric=m, value=None, note=why, about=about_metric(m)))
        for name in run.generators
        for m, why in costs.items()
    ]
    run = dataclasses.replace(run, results=rows)
    said = "Not measured: Cost (not timed: its images were made elsewhere)."
    assert "Cost" not in [table.title for table in wide_tables(run)]
    assert run.unmeasured == [said]
    assert said in run.marks  # below the tables of page and Markdown
    assert said in latex_text(run, [])
