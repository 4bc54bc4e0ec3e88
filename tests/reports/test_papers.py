"""What a report gives to papers: LaTeX, PDF, tables by category, names and the protocol."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gandiff.common.run_record import RunRecord
from gandiff.evaluate.result import About, MetricResult
from gandiff.reports.document import ForPapers, write_report
from gandiff.reports.facts import commands, environment_rows
from gandiff.reports.latex import is_ours, latex_text
from gandiff.reports.papers import named_as_in_papers
from gandiff.reports.protocol_paragraph import protocol_paragraph
from gandiff.reports.reading import load_run
from gandiff.reports.table import wide_tables
from gandiff.reports.tex import tex
from gandiff.reports.verdict import verdict

PUBLISHED = {"encoder": "inception", "weights": "fid-2015-12-05", "crop": "none"}


def label(metric: str, **protocol: str) -> str:
    about = About(label="as the class says", meaning="m")
    row = MetricResult(metric=metric, value=1.0, protocol=protocol, about=about)
    return named_as_in_papers(row).described.label


@pytest.mark.parametrize(
    ("metric", "protocol", "name"),
    [
        ("fd(encoder=inception)", {**PUBLISHED, "resize": "legacy_tensorflow"}, "FID"),
        ("fd(encoder=inception)", {**PUBLISHED, "resize": "clean"}, "FID (clean-fid)"),
        ("fd(encoder=inception)", {**PUBLISHED, "resize": "unheard of"}, "Fréchet distance"),
        (
            "fd(encoder=inception)",
            {**PUBLISHED, "resize": "clean", "weights": "other"},
            "Fréchet distance",
        ),
        ("fd(encoder=scenes)", {"encoder": "scenes", "resize": "none"}, "Fréchet distance"),
        (
            "kid(encoder=inception)",
            {**PUBLISHED, "resize": "legacy_tensorflow"},
            "KID (\u00d7 1000)",
        ),
        (
            "kid(encoder=inception)",
            {**PUBLISHED, "resize": "clean"},
            "KID (clean-fid) (\u00d7 1000)",
        ),
        ("kid(encoder=dinov2)", {"encoder": "dinov2"}, "kernel distance"),
        ("kid(encoder=scenes)", {"encoder": "scenes"}, "kernel distance (in thousands)"),
        (
            "cmmd(encoder=clip)",
            {"model": "ViT-L-14-336/openai", "estimator": "biased, all pairs"},
            "CMMD",
        ),
        ("cmmd(encoder=clip:scenes)", {"model": "scenes"}, "CLIP kernel distance"),
        ("vendi(encoder=inception)", {**PUBLISHED, "resize": "clean"}, "as the class says"),
    ],
)
def test_names_of_papers_are_for_protocols_of_papers(metric, protocol, name):
    assert label(metric, **protocol) == name


def test_latex_has_every_number_once_and_is_well_formed(run_folder):
    run = load_run(run_folder)
    sentences = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    text = latex_text(run, sentences)
    for environment in ("table*", "tabular"):
        begun, ended = (text.count(f"\\{w}{{{environment}}}") for w in ("begin", "end"))
        assert begun == ended > 0
    bare = re.sub(r"\\[\\#$%&_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    for block in re.findall(r"\\begin\{tabular\}\{(lr+)\}(.*?)\\end\{tabular\}", text, re.S):
        rows = [line for line in block[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(block[0])}
    results = text.split("by category of prompts")[0]
    for table in wide_tables(run):
        for column in table.columns:
            for cell in column.cells:
                shown = tex(cell.value)
                assert (f"\\textbf{{{shown}}}" if cell.best else shown) in results
                assert tex(cell.interval) in results
    assert "$\\uparrow$" in text


def test_names_of_strangers_do_not_become_commands():
    assert tex("a_b & 50 % $x$ \\input{/etc/passwd} #~^") == (
        r"a\_b \& 50 \% \$x\$ \textbackslash{}input\{/etc/passwd\} "
        r"\#\textasciitilde{}\textasciicircum{}"
    )
    assert "\n" not in tex("a\n% b")


def test_files_for_papers_are_written_and_old_ones_go(make_run, tmp_path):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    file = tmp_path / "results.tex"
    report = write_report(folder, ForPapers(latex=file, pdf_figures=True))
    pdfs = [path for path in report.figures if path.suffix == ".pdf"]
    assert len(pdfs) == len(report.figures) / 3
    assert all(path.read_bytes().startswith(b"%PDF-") for path in pdfs)
    assert is_ours(file)
    for path in pdfs:
        relative = path.relative_to(tmp_path).as_posix()
        assert f"{{{relative}}}" in file.read_text(encoding="utf-8")
    first = file.read_bytes(), pdfs[0].read_bytes()
    write_report(folder, ForPapers(latex=file, pdf_figures=True))
    assert (file.read_bytes(), pdfs[0].read_bytes()) == first
    write_report(folder)
    assert not any(path.exists() for path in pdfs)
    table = pq.read_table(folder / "categories.parquet").to_pylist()
    with (folder / "report" / "categories.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [(r["generator"], r["metric"], r["category"]) for r in rows] == [
        (r["generator"], r["metric"], r["category"]) for r in table
    ]
    assert [float(r["value"]) for r in rows] == [r["value"] for r in table]
    for name in ("report.html", "report.md"):
        text = (folder / "report" / name).read_text(encoding="utf-8")
        assert "by category" in text
        assert "The seed of an image follows from the run seed" in text
        assert "Shared with other work" in text


def record(folder: Path, **fields: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_protocol_says_what_a_reviewer_asks(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    round_ = {"threads": 2, "others_busy": 0.21}
    asked = json.loads((folder / "run.json").read_text())["comparison"]
    record(folder, comparison={**asked, "dtype": "bfloat16", "batch_size": 16})
    record(folder, costs={"gan": {"rounds": [round_, {**round_, "others_busy": 0.02}]}})
    run = load_run(folder)
    text = protocol_paragraph(run)
    machine = run.record.environment
    for said in (
        "2 generators on 3 prompts",
        "2 images each",
        "20 steps",
        "truncation psi 1.0",
        "run seed",
        "in bfloat16, in batches of 16",
        "2,000 reference images",
        "features of scenes",
        "CPU threads: 2.",
        "yes: other programs kept at most 21 % of the cores busy",
        f"torch {machine.packages['torch']}",
        "gan: 29 min on cpu, 2 cores, 348 k images",
    ):
        assert said in text, said
    rows = dict(environment_rows(run))
    assert (rows["Threads"], rows["Shared with other work"][:4]) == ("2", "yes:")
    record(folder, costs={})
    assert dict(environment_rows(load_run(folder)))["Threads"] == "not known"
    unknown = {n: dataclasses.replace(f, training_seconds=None) for n, f in run.generators.items()}
    none = [row for row in run.results if row.result.metric != "training_seconds"]
    text = protocol_paragraph(dataclasses.replace(run, generators=unknown, results=none))
    assert "gan: not known, 348 k images" in text


@pytest.mark.parametrize(
    ("recorded", "first"),
    [
        (
            {"commands": ["gandiff run mine.yaml", "gandiff score runs/mine"]},
            "gandiff run mine.yaml",
        ),
        ({"commands": ["gandiff.compare"]}, "gandiff.compare"),
        ({"command": "gandiff report runs/mine"}, None),
        ({"commands": ["python -m gandiff score runs/mine"]}, None),
        ({"command": ""}, None),
    ],
)
def test_what_repeats_a_run_makes_its_images(run_folder, recorded, first):
    run = load_run(run_folder)
    given = RunRecord.from_json({**run.record.to_json(), "command": "", "commands": [], **recorded})
    lines = [
        line
        for why, line in commands(dataclasses.replace(run, record=given))
        if why in ("run it all again", "call it again from Python", "then")
    ]
    assert lines[0] == (first or f"gandiff run {run.folder}/comparison.yaml")
    assert len(lines) == max(1, len(recorded.get("commands", ())) + (first is None))
