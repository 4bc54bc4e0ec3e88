"""LaTeX of any run: it fits a page, begins no row with an option, and what it names is found."""

import dataclasses
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gandiff.reports import explanations
from gandiff.reports.difference_table import difference_table
from gandiff.reports.document import ForPapers, write_report
from gandiff.reports.latex import latex_text
from gandiff.reports.latex_tables import Caption, Column, floats, number
from gandiff.reports.plotting import Drawing
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import RunData
from gandiff.reports.table import wide_tables
from gandiff.reports.tex import code, graphic, tex, width
from gandiff.reports.verdict import verdict

PAGE = 505  # points between the margins of a page in two columns
DOCUMENT = r"""\documentclass[%s]{article}
\usepackage[margin=45pt]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
\input{%s}
\end{document}
"""


def text_of(run: RunData, drawings: list[Drawing], folder: Path) -> str:
    sentences = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    return latex_text(run, sentences, drawings, folder)


def of_strangers(run: RunData, count: int, letters: int) -> RunData:
    """The run with so many generators, whose names are long and begin as options do."""
    old = list(run.generators)
    stars = ["[ddim]", "*best", "gan_x", "a--b", "M" * 9]
    names = [f"{stars[k % 5]}-{k}-".ljust(letters, "W_'x-"[k % 5]) for k in range(count)]
    like = {name: old[k % len(old)] for k, name in enumerate(names)}
    return dataclasses.replace(
        run,
        generators={
            n: dataclasses.replace(run.generators[o], name=n, info={"off_native": ["16 steps"]})
            for n, o in like.items()
        },
        record=dataclasses.replace(run.record, headline=tuple(names[:2])),
        results=[
            dataclasses.replace(row, generator=n)
            for n, o in like.items()
            for row in run.results
            if row.generator == o
        ],
        categories=[
            dataclasses.replace(score, generator=n)
            for n, o in like.items()
            for score in run.categories
            if score.generator == o
        ],
        differences=[
            dataclasses.replace(row, a=a, b=b)
            for a, b in itertools.pairwise(names)
            for row in run.differences
            if (row.a, row.b) == (old[0], old[1])
        ],
    )


@pytest.fixture(params=[(5, 12), (40, 64), (61, 8)], ids=lambda p: f"{p[0]}x{p[1]}")
def strangers(request, run_folder):
    return of_strangers(load_run(run_folder), *request.param)


def test_no_row_begins_with_what_latex_takes_for_an_option(strangers):
    text = text_of(strangers, [], Path())
    assert "{}[ddim]" in text
    assert "{}*best" in text
    assert not re.search(r"(\\\\|rule)\s*[\[*]", text)


def test_every_number_is_in_a_float_that_fits_its_page(strangers):
    text = text_of(strangers, [], Path())
    bodies = re.findall(r"\\begin\{table\*\}.*?\\end\{table\*\}", text, re.S)
    for body in bodies:
        assert len(re.findall(r" \\\\$", body, re.M)) < 56
    between = [part.count(r"\begin{table*}") for part in text.split(r"\clearpage")]
    assert max(between) <= 12
    for table in wide_tables(strangers):
        for column in table.columns:
            for cell in column.cells:
                assert tex(cell.value) in text
    values = text.count(r"\begin{tabular}{l")
    assert values == text.count(r"\gandifffit{") > 2


def test_columns_are_as_many_as_their_widths_allow():
    wide = [number("12.34 %", "12.3 to 14.5") for _ in range(3)]
    columns = [Column(f"a metric with a long name {k}", wide) for k in range(9)]
    caption = Caption("T", "text", "tab:t")
    (body,) = floats(caption, "Generator", ["a", "b", "c" * 30], columns)
    shown = [len(spec) - 1 for spec in re.findall(r"\{tabular\}\{(lr+)\}", body)]
    assert sum(shown) == 9
    assert max(shown) * columns[0].width + width("c" * 30) < PAGE
    assert (max(shown) + 2) * columns[0].width + width("c" * 30) > PAGE  # none is left empty
    (alone,) = floats(caption, "Generator", ["M" * 400], columns[:1])
    assert alone.count(r"\gandifffit") == 1


def test_the_verdict_and_the_tests_behind_it_are_there(make_run):
    run = load_run(make_run(prompts=40, generators=("gan", "ddim-20")))
    sentences = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    text = latex_text(run, sentences)
    assert text.index(r"\paragraph{Verdict.}") < text.index(r"\begin{table*}")
    assert all(tex(sentence.text) in text for sentence in sentences)
    table = difference_table(run, run.headline)
    assert table is not None
    bodies = re.findall(r"\\begin\{table\*\}.*?\\end\{table\*\}", text, re.S)
    mine = "\n".join(body for body in bodies if "Paired differences" in body)
    for head in table.head[table.words :]:
        assert tex(head) in mine
    for row in table.rows:
        for cell in row[table.words :]:
            assert number(cell, "").text in mine
    assert tex(explanations.DIFFERENCES) in mine
    first = mine.split(r"\bottomrule")[0]  # what decides stands side by side
    assert all(head in first for head in ("95 \\% interval", "p after Holm"))


def test_a_cost_of_the_other_way_round_names_both(make_run):
    run = load_run(make_run(prompts=40, generators=("gan", "ddim-20")))
    ratio = {"a": "gan", "b": "ddim-20", "ratio": 0.02, "ratio_low": 0.01, "ratio_high": 0.03}
    row = dataclasses.replace(run.differences[0], metric="latency_seconds", **ratio)
    run = dataclasses.replace(run, differences=[row])
    text = re.sub(r"\s+", " ", latex_text(run, []).replace(r" \\ ", " "))
    assert "(a: ddim-20, b: gan)" in text
    assert "50 times" in text


@pytest.mark.parametrize("generators", [("gan",), ("gan", "ddim-20", "dpm-10")])
def test_one_or_three_have_the_differences_of_the_two_that_the_verdict_is_about(
    make_run, generators
):
    run = load_run(make_run(prompts=40, generators=generators))
    text = text_of(run, [], Path())
    assert r"\paragraph{Verdict.}" in text
    assert ("Paired differences" in text) == (len(generators) > 1)
    assert ("All pairs are in" in text) == (len(generators) > 2)


def test_commands_can_be_copied_and_names_stay_what_they_are():
    command = "gandiff run a_b --out 'runs/50% \"x\"' --set m=\\{1} ~ `ls` <>|#$&^"
    shown = code(command)
    assert "-{}-out" in shown
    assert shown.count(r"\textquotesingle{}") == 2
    letters = re.sub(r"\\allowbreak\{\}|\{\}|\\texttt", "", shown)
    letters = re.sub(r"\{\\char(\d+)\}", lambda m: chr(int(m[1])), letters)
    letters = letters.replace(r"\textquotesingle", "'").replace(r"\textasciigrave", "`")
    assert letters == "{" + command + "}"
    assert tex("a--b---c") == "a-{}-b-{}-{}-c"
    assert tex("a-b, c") == "a-b, c"


def test_the_commands_of_a_run_are_typeset_as_such(run_folder):
    run = load_run(run_folder)
    asked = ("gandiff run scenes --out runs/50%",)
    run = dataclasses.replace(run, record=dataclasses.replace(run.record, commands=asked))
    text = text_of(run, [], Path())
    assert f"Made by: {code(asked[0])}." in text
    assert r"\texttt{gandiff run scenes -{}-out runs/50{\char37}}" in text


def test_figures_lie_relative_to_the_file(run_folder, tmp_path):
    run = load_run(run_folder)
    drawing = Drawing("alone", "T", "c", b"", "")
    folder = run_folder / "report" / "figures"
    assert "{../figures/alone.pdf}" in text_of(run, [drawing], folder.with_name("paper"))
    assert run_folder.as_posix() not in text_of(run, [drawing], folder.with_name("paper"))
    shown = graphic(Path("a%b/c d.pdf"), "width=2cm")
    assert shown.endswith(r"\includegraphics[width=2cm]{a%b/c d.pdf}}")
    assert r"\catcode`\%=12" in shown


def test_an_unequal_race_is_the_first_line_and_bold(run_folder):
    from gandiff.reports.sentence import Sentence

    said = Sentence("premise", "gan was trained on 9 times as many images.", "note")
    text = latex_text(load_run(run_folder), [said])
    first = text.index(r"\textbf{gan was trained on 9 times as many images.}")
    assert first < text.index(r"\begin{table*}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_it_compiles_without_an_overfull_line(make_run, tmp_path):
    made = make_run(prompts=3, generators=("gan", "ddim-20"))
    odd = made.rename(made.with_name("50% of_{a} #1 ~ $^&"))
    paper = tmp_path / "paper"
    write_report(odd, ForPapers(latex=paper / "few.tex", pdf_figures=True))
    many = text_of(of_strangers(load_run(odd), 40, 64), [], paper)
    (paper / "many.tex").write_text(many, encoding="utf-8")
    for name, options in itertools.product(("few", "many"), ("", "twocolumn")):
        (paper / "main.tex").write_text(DOCUMENT % (options, name))
        how = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
        found = subprocess.run(how, cwd=paper, capture_output=True, text=True, errors="replace")
        assert found.returncode == 0, found.stdout[-2000:]
        log = (paper / "main.log").read_text(encoding="utf-8", errors="replace")
        wide = re.findall(r"Overfull \\hbox \((\d+)\.", log)
        assert [points for points in wide if int(points) > 5] == []
        assert "Float too large" not in log
