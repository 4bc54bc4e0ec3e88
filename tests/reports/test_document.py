"""The written report: complete, self-contained, inert, the same every time."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from gandiff.common.errors import RequestError
from gandiff.reports import document
from gandiff.reports.document import write_report
from gandiff.reports.markdown import plain

HARMLESS = ("data:", "#")
LOADING = {"src", "href", "xlink:href", "action", "srcset", "data", "poster", "formaction"}


class Page(HTMLParser):
    """Collects what a browser would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.scripts = 0
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in LOADING:
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(report):
    return Page(report.html.read_text(encoding="utf-8"))


def test_anchors_are_marks_of_the_key_numbers_and_lines_of_figures(make_run):
    folder = make_run(prompts=32)
    rows = [
        {"anchor": "real", "metric": "fd(encoder=scenes)", "value": 15.5, "images": 48},
        {"anchor": "noise", "metric": "fd(encoder=scenes)", "value": 9000.0, "images": 48},
        {"anchor": "noise", "metric": "scene_accuracy/all", "value": 0.04, "images": 48},
    ]
    pd.DataFrame(rows).to_parquet(folder / "anchors.parquet", index=False)
    report = write_report(folder)
    page = report.html.read_text(encoding="utf-8")
    assert "tick: real images 15.5 · off the scale: uniform noise 9,000" in page
    assert "uniform noise 4.0 %" in page
    assert page.count('<i class="mark"') == 2  # the distance of noise is too far away to be drawn
    assert "48 real images get 15.5" in page
    assert "Dotted lines: what real images get." in report.markdown.read_text(encoding="utf-8")


def test_all_files_are_there_and_nothing_else(report, run_folder):
    assert report.html == run_folder / "report" / "report.html"
    assert len(report.figures) == 18
    written = {p for p in (run_folder / "report").rglob("*") if p.is_file()}
    tables = {report.csv, report.csv.with_name("categories.csv")}
    assert written == {report.html, report.markdown, *tables, *report.figures}
    assert report.html.stat().st_size < 15_000_000


def test_the_verdict_comes_first_and_all_parts_follow(report, page):
    assert 4 <= len(report.verdict) <= 5
    places = [page.text.index(s.split(": ")[-1]) for s in report.verdict]
    headings = [
        "Results",
        "Figures",
        "Gallery",
        "From noise to image",
        "How the models were trained",
        "Environment and how to reproduce",
        "Images made, failures, warnings",
    ]
    places += [page.text.index(h, places[-1]) for h in headings]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "words",
    [
        "90.9 to 95.1",
        "Lower is better.",
        "p after Holm",
        "1,234",  # prompts needed
        "0.046",
        "0.057",
        "-0.482",  # the effect size of gan against ddim-20: 3.21 * (0.78 - 0.93)
        "How far the made images as a whole",
        "judge_sha256",
        "24 of 30 prompts",
        "gandiff train gan --minutes 30 --seed 3",
        "Weights (sha256)",
        "git checkout 0123456789abcdef",
        "gandiff run experiments/comparisons/scenes.yaml",
        "gandiff replay",
        "torch",
        "2.14.0",
        "the tokenizer cut 2 prompts at 32 tokens",
        "gan: 1 failed (the image is black)",
        "Run seed",
        "t = 951",
    ],
)
def test_the_page_says(page, words):
    assert words in page.text


def test_the_page_refers_to_nothing_outside(report, page):
    assert page.addresses
    assert [a for a in page.addresses if not a.startswith(HARMLESS)] == []
    text = report.html.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_a_prompt_with_markup_and_control_characters_is_inert(report, page):
    assert page.scripts == 2  # the data and the one script, whose hash the policy names
    assert page.handlers == []
    assert "<script>window.hacked=1</script>" in page.text
    for path in (report.html, report.markdown, report.csv):
        text = path.read_text(encoding="utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    assert "<script" not in report.markdown.read_text(encoding="utf-8")


def test_hostile_names_are_inert_everywhere(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    hostile = '$\\\\frac$_x\\"><script>x()</script>|`*\\u202e\\u0007\\ud800'
    for name in ("run.json", "images.jsonl"):
        path = folder / name
        path.write_text(path.read_text().replace('"gan"', f'"{hostile}"'))
    report = write_report(folder)
    found = Page(report.html.read_text(encoding="utf-8"))
    assert (found.scripts, found.handlers) == (2, [])
    assert '"><script>x()</script>|`*\\u202e\u2407\\ud800' in found.text
    assert "<script" not in report.markdown.read_text(encoding="utf-8")
    assert all(path.parent == folder / "report" / "figures" for path in report.figures)


def test_markdown_has_verdict_tables_and_figures(report):
    text = report.markdown.read_text(encoding="utf-8")
    assert text.startswith("# gan against ddim-20\n\n- On alignment, ddim-20 is better:")
    assert "| ddim-20 | 14.2 (12.9 to 15.5) |" in text
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (report.markdown.parent / name).is_file()
    assert plain("a|b <i>*c*") == r"a\|b &lt;i&gt;\*c\*"


def written(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in (folder / "report").rglob("*") if p.is_file()}


def test_another_process_without_torch_writes_the_same_bytes_and_sweeps_old_figures(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    code = (
        "import sys, pathlib; import gandiff.reports.document as d\n"
        "assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules\n"
        "d.write_report(pathlib.Path(sys.argv[1]))\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    paths = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert run.returncode == 0, run.stderr
    before = written(folder)
    (folder / "report" / "figures" / "training_gone.png").write_bytes(b"old")
    write_report(folder)
    assert written(folder) == before


def test_a_report_that_cannot_be_finished_leaves_the_old_one(make_run, monkeypatch):
    folder = make_run(prompts=3, generators=("gan",))
    monkeypatch.setattr(document, "draw_figures", lambda run: [])
    old = write_report(folder).html.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(document.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(folder)
    assert (folder / "report" / "report.html").read_bytes() == old
    assert not [p for p in (folder / "report").rglob(".*")]


@pytest.mark.parametrize("generators", [("gan",), ("ddim-20", "dpm-4")])
def test_other_casts(make_run, generators):
    report = write_report(make_run(prompts=3, generators=generators))
    assert Page(report.html.read_text(encoding="utf-8")).scripts == 2
    if len(generators) == 1:
        assert report.verdict[0].startswith("Only gan was run")


def test_an_empty_run_still_has_a_report(tmp_path):
    (tmp_path / "run.json").write_text(
        '{"schema": 1, "name": "x", "status": "interrupted", "error": "out of <memory>"}'
    )
    report = write_report(tmp_path)
    text = Page(report.html.read_text(encoding="utf-8")).text
    assert "This run is interrupted: out of <memory>." in text
    assert "Nothing has been measured yet." in text
    assert report.verdict == ("No generator was run.",)
    assert "This run is interrupted: out of &lt;memory&gt;" in report.markdown.read_text()


def test_no_run_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(RequestError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
