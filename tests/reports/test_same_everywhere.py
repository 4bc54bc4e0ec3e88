"""What the page says, Markdown, LaTeX and the terminal say, too."""

import dataclasses
import json
import re

import pytest

from gandiff.evaluate.result import MetricResult
from gandiff.reports.category_table import category_tables
from gandiff.reports.document import html_text, write_report
from gandiff.reports.explanations import NOTHING, not_as_in_papers
from gandiff.reports.facts import package_rows, protocols
from gandiff.reports.latex import latex_text
from gandiff.reports.markdown import markdown_text, plain
from gandiff.reports.overview import write_overview
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import ResultRow
from gandiff.reports.sentence import Sentence
from gandiff.reports.table import wide_tables
from gandiff.reports.tex import code

UNEQUAL = "gan was trained on 9 times as many images as ddim-20."


def test_tables_by_category_name_their_metric(run_folder):
    run = load_run(run_folder)
    page, markdown, latex = html_text(run, [], []), markdown_text(run, [], []), latex_text(run, [])
    tables = category_tables(run)
    assert tables
    for table in tables:
        assert f"<code>{table.metric}</code>" in page
        assert f"({plain(table.metric)}), by category of prompts" in markdown
        assert f"({code(table.metric)}) by category of prompts" in latex


def test_tables_of_many_generators_have_headings_of_their_own(run_folder):
    run = load_run(run_folder)
    first = next(iter(run.generators))
    names = [f"{first}-{k}" for k in range(7)]
    many = dataclasses.replace(
        run,
        generators={name: run.generators[first] for name in names},
        categories=[
            dataclasses.replace(score, generator=name)
            for name in names
            for score in run.categories
            if score.generator == first
        ],
    )
    tables = category_tables(many)
    assert tables
    labels = [(table.metric, table.label) for table in tables]
    assert len(set(labels)) == len(labels)
    assert {n for table in tables for n in table.generators} == set(names)


def test_markdown_has_protocols_and_packages(run_folder):
    run = load_run(run_folder)
    text = markdown_text(run, [], [])
    for _, label, groups in protocols(run):
        assert f"- {plain(label)} (" in text
        for group in groups:
            assert all(f"{plain(key)}: {plain(value)}" in text for key, value in group.fields)
    for name, version in package_rows(run):
        assert f"| {plain(name)} | {plain(version)} |" in text
    assert text.count("<details>") == text.count("</details>")


def test_the_reason_why_no_steps_are_shown_is_in_both(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    path = folder / "traces" / "traces.json"
    left = {"generator": "ddim-20", "prompt_id": "p0001", "reason": "its scheduler keeps no steps"}
    path.write_text(json.dumps([left]))
    report = write_report(folder)
    said = "no steps are shown, because its scheduler keeps no steps."
    for file in (report.html, report.markdown):
        assert said in file.read_text(encoding="utf-8")


def test_over_nothing_stands_no_introduction(run_folder):
    run = dataclasses.replace(load_run(run_folder), results=[], differences=[], categories=())
    for text in (html_text(run, [], []), markdown_text(run, [], [])):
        assert text.count(NOTHING) == 1
        assert "in 95 of 100 such runs" not in text


def test_an_unequal_race_stands_out_in_every_format(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    record = json.loads((folder / "run.json").read_text())
    record["generators"]["gan"]["training_images"] *= 9
    record["generators"]["gan"]["training_device"] = "cuda"  # of which minutes say nothing
    (folder / "run.json").write_text(json.dumps(record))
    report = write_report(folder)
    assert report.verdict[0].startswith("UNEQUAL TRAINING: gan was trained on 9")
    assert '<p class="premise">gan was trained' in report.html.read_text(encoding="utf-8")
    lines = report.markdown.read_text(encoding="utf-8").split("\n")
    assert re.match(r"> \*\*Unequal training: gan was trained on .*\*\*$", lines[2])
    overview = write_overview(folder.parent, "tasks", [folder.name], {})
    assert overview.verdict[0] == report.verdict[0]
    latex = latex_text(load_run(folder), [Sentence("premise", UNEQUAL, "note")])
    assert rf"\paragraph{{Unequal training.}} \textbf{{{UNEQUAL}}}" in latex


def test_no_line_ends_between_a_number_and_its_per_cent(report):
    page = report.html.read_text(encoding="utf-8").partition('class="verdict')[2]
    shown = page.partition("</ul>")[0]
    assert re.search(r"\d\u00a0%", shown)
    assert " %" not in shown


def test_every_distance_that_is_no_fid_says_so_in_figures(report, run_folder):
    distances = [r.result for r in load_run(run_folder).results if r.result.described.is_distance]
    said = not_as_in_papers(distances[:1])
    text = report.markdown.read_text(encoding="utf-8")
    for figure in ("distribution_against_time", "steps_distribution"):
        assert plain(said) in text.partition(f"figures/{figure}.png")[2].partition("![")[0]


@pytest.mark.parametrize(("prompts", "samples"), [(1, 1), (2, 3)])
def test_nouns_agree_with_their_numbers(make_run, prompts, samples):
    folder = make_run(prompts=prompts, samples=samples, generators=("gan", "ddim-20"))
    record = json.loads((folder / "run.json").read_text())
    record["environment"]["packages"] = {"torch": "2.14.0"}
    (folder / "run.json").write_text(json.dumps(record))
    text = write_report(folder).html.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\d.,])1 (prompts|samples|packages|generators|images)\b", text)
    assert "1 package<" in text
    many = prompts > 1
    wanted = f"{prompts} prompts \u00d7 {samples} samples" if many else "1 prompt \u00d7 1 sample"
    assert wanted in text
    assert ("The first 2 prompts of" if many else "The first prompt of") in text


def test_numbers_in_notes_stand_once_behind_what_they_are(run_folder):
    run = load_run(run_folder)
    old = "times 100: {}; 2.5 max(cos, 0): 1.3; 2 prompts were cut"
    metric = "clip_score(model=x)"
    rows = [
        ResultRow(n, MetricResult(metric=metric, value=0.5, note=old.format(v)))
        for n, v in (("gan", "53.7"), ("ddim-20", "54.5"), ("dpm-4", "53.7"))
    ]
    tables = wide_tables(dataclasses.replace(run, results=rows))
    (column,) = (column for table in tables for column in table.columns)
    assert column.remarks == (
        "Times 100: 53.7 (gan and dpm-4), 54.5 (ddim-20).",
        "2.5 max(cos, 0): 1.3.",
        "2 prompts were cut.",
    )


def test_parts_of_notes_that_are_shared_are_said_once(run_folder):
    """Of six generators with 5 to 132 values that were not read, six times the whole note stood."""
    run = load_run(run_folder)
    metric, alike = "unstated/coverage", "0: alike, 1: they vary as real ones do"
    notes = {
        "gan": f"{alike}; over 128 prompts; 5 of 1220 values not read: no object",
        "gan-psi-0.7": f"{alike}; over 128 prompts; one kind is left out.",
        "ddim-20": f"{alike}; over 126 prompts; 13 of 1220 values not read: no object",
        "dpm-4": f"{alike}; over 128 prompts; 0.5 of 3 were cut",
    }
    rows = [ResultRow(n, MetricResult(metric=metric, value=0.5, note=v)) for n, v in notes.items()]
    rows.append(ResultRow("dpm-10", MetricResult(metric=metric, value=None, note="too few values")))
    tables = wide_tables(dataclasses.replace(run, results=rows))
    (column,) = (column for table in tables for column in table.columns)
    assert column.remarks == (
        "0: alike, 1: they vary as real ones do.",
        "Over 128 (gan, gan-psi-0.7 and dpm-4) and 126 (ddim-20) prompts.",
        "5 (gan) and 13 (ddim-20) of 1220 values not read: no object.",
        "One kind is left out (gan-psi-0.7).",
        "0.5 of 3 were cut (dpm-4).",
    )
    assert column.gaps == ("Not measured for dpm-10: too few values.",)
