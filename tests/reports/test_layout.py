"""The page on a laptop, on a phone, in the dark and on paper: nothing overlaps, nothing is cut."""

import base64
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_helpers import NO_BROWSER, open_browser, size

from gandiff.evaluate.result import MetricResult
from gandiff.reports.document import ReportPaths, html_text
from gandiff.reports.figures import draw_figures
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import ResultRow, RunData
from gandiff.reports.verdict import verdict

pytestmark = pytest.mark.skipif(NO_BROWSER is not None, reason=str(NO_BROWSER))
LAYOUT = (Path(__file__).parent / "layout.js").read_text(encoding="utf-8")
VIEWS = {
    "laptop": (1280, 800, "screen", "light"),
    "phone": (390, 844, "screen", "light"),
    "dark": (1280, 800, "screen", "dark"),
    "dark phone": (390, 844, "screen", "dark"),
    "paper": (718, 1000, "print", "dark"),  # A4 between its margins, printed by a dark browser
}


@pytest.fixture(scope="module")
def crowded(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with eight generators whose names are long, and a metric that some lack."""
    run = load_run(run_folder)
    names = [f"{name}-{'long-name-' * 5}{k}"[:64] for k in range(2) for name in run.generators][:8]
    facts = list(run.generators.values())
    rows = [
        ResultRow(name, row.result)
        for k, name in enumerate(names)
        for row in run.results
        if row.generator == facts[k % 5].name
    ]
    why = "not measured: the weights of its encoder are not on this machine without a network"
    rows += [ResultRow(n, MetricResult(metric="it", value=None, note=why)) for n in names[:7]]
    rows.append(ResultRow(names[7], MetricResult(metric="it", value=12.5)))
    categories = [
        dataclasses.replace(score, generator=name)
        for k, name in enumerate(names)
        for score in run.categories
        if score.generator == facts[k % 5].name
    ]
    many: RunData = dataclasses.replace(
        run,
        categories=categories,
        record=dataclasses.replace(run.record, headline=tuple(names[:2])),
        generators={n: dataclasses.replace(facts[k % 5], name=n) for k, n in enumerate(names)},
        results=rows,
        images=[],
        scores=[],
        traces=[],
    )
    said = verdict(many.results, [], many.generators, many.headline, many.ground)
    path = tmp_path_factory.mktemp("crowded") / "report.html"
    path.write_text(html_text(many, said, draw_figures(many)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a browser for all tests of this file."""
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


def looked_at(browser: Any, page: Path, view: str) -> dict[str, Any]:
    """What there is of the page, all details open."""
    width, height, media, scheme = VIEWS[view]
    if browser.current_url != page.as_uri():
        browser.get(page.as_uri())
    size(browser, width, height)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    return browser.execute_script(LAYOUT)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("which", ["report", "crowded"])
def test_no_text_overlaps_or_is_faint_and_nothing_is_cut(
    browser: Any, report: ReportPaths, crowded: Path, which: str, view: str
) -> None:
    page = looked_at(browser, report.html if which == "report" else crowded, view)
    assert page["lines"] > 300
    assert page["overlaps"] == []
    assert page["faint"] == []
    assert page["cut"] == []
    assert page["broken"] == []
    assert page["width"] <= VIEWS[view][0]


def test_the_checks_see_what_they_look_for(browser: Any, report: ReportPaths) -> None:
    looked_at(browser, report.html, "laptop")
    browser.execute_script(
        "document.querySelector('.verdict li').style.height = '8px';"
        "document.querySelector('.lead').style.color = '#aaa';"
        "document.querySelectorAll('.scroll').forEach(e => { e.style.background = 'none'; });"
        "document.querySelector('table.turned').style.width = '3000px';"
    )
    page = browser.execute_script(LAYOUT)
    browser.get("about:blank")
    assert page["overlaps"]
    assert page["faint"]
    assert "table-1" in page["cut"]


@pytest.mark.parametrize("width", [390, 1280])
def test_narrow_screens_have_metrics_as_rows(browser: Any, crowded: Path, width: int) -> None:
    looked_at(browser, crowded, "phone" if width == 390 else "laptop")
    tables = "return [...document.querySelectorAll(arguments[0])].map(t => t.checkVisibility())"
    assert not any(browser.execute_script(tables, "table.results"))
    assert all(browser.execute_script(tables, "table.turned"))
    size(browser, 1300)
    assert all(browser.execute_script(tables, "table.results"))


def test_every_metric_is_on_paper(browser: Any, report: ReportPaths, run_folder: Path) -> None:
    looked_at(browser, report.html, "paper")
    text = printed(browser)
    for row in load_run(run_folder).results:
        assert row.result.metric in text, row.result.metric
        assert row.generator in text


def test_every_metric_of_many_generators_is_on_paper(browser: Any, crowded: Path) -> None:
    looked_at(browser, crowded, "paper")
    text = printed(browser)
    names = browser.execute_script(
        "return [...document.querySelectorAll('.turned .metric, .turned th .name')]"
        ".map(e => e.textContent)"
    )
    assert len(set(names)) > 20
    assert [name for name in set(names) if "".join(name.split()) not in text] == []
    assert "withoutanetwork" in text  # why a metric was not measured


def test_paper_has_what_is_drawn_as_a_background(browser: Any, report: ReportPaths) -> None:
    looked_at(browser, report.html, "paper")
    adjusted = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map(e => getComputedStyle(e, arguments[1]).printColorAdjust)"
    )
    for element, part in (
        ("h1 .dot", None),
        (".card :is(.at, .range, .mark)", None),
        (".scale", "::before"),
        (".verdict li", "::before"),
    ):
        assert set(browser.execute_script(adjusted, element, part)) == {"exact"}, element


def test_paper_has_the_differences_of_the_headline_pair(
    browser: Any, report: ReportPaths, run_folder: Path
) -> None:
    rows = (
        "return [...document.querySelectorAll('td.whole:nth-child(2)')]"
        ".filter(e => e.checkVisibility()).map(e => e.textContent + e.nextSibling.textContent)"
    )
    note = "return document.querySelector('.paper').checkVisibility()"
    looked_at(browser, report.html, "laptop")
    assert len(browser.execute_script(rows)) == len(load_run(run_folder).differences)
    assert not browser.execute_script(note)
    looked_at(browser, report.html, "paper")
    assert set(browser.execute_script(rows)) == {"ganddim-20"}
    assert browser.execute_script(note)


def test_every_prompt_of_the_gallery_is_on_paper(browser: Any, report: ReportPaths) -> None:
    looked_at(browser, report.html, "paper")
    texts = "return [...document.querySelectorAll('#prompts h3')].map(e => e.textContent)"
    prompts = browser.execute_script(texts)
    assert len(prompts) > 12  # of which a screen shows twelve at a time
    text = printed(browser)
    plain = [prompt for prompt in prompts if prompt.isascii()]  # PDF text garbles other signs
    assert len(plain) >= len(prompts) - 2
    assert [prompt for prompt in plain if "".join(prompt.split()) not in text] == []
    hidden = browser.execute_script(
        "return document.querySelectorAll('#prompts > [hidden]').length"
    )
    assert hidden == len(prompts) - 12


@pytest.mark.parametrize("view", ["laptop", "phone"])
@pytest.mark.parametrize("which", ["report", "crowded"])
def test_no_texts_of_a_figure_overlap(
    browser: Any, report: ReportPaths, crowded: Path, which: str, view: str
) -> None:
    page = looked_at(browser, report.html if which == "report" else crowded, view)
    assert len(page["figures"]) >= 9
    assert all(texts > 4 for texts in page["figures"])
    assert page["drawn"] == []
    assert page["offCanvas"] == []


@pytest.mark.parametrize("view", ["laptop", "phone"])
def test_figures_are_whole_and_can_be_read(browser: Any, report: ReportPaths, view: str) -> None:
    page = looked_at(browser, report.html, view)
    assert page["scrolled"] == []
    assert len(page["written"]) >= 9
    assert min(page["written"]) > 7.5  # px
    size(browser, 320)
    narrow = browser.execute_script(LAYOUT)
    assert narrow["scrolled"]
    assert narrow["cut"] == []  # for a shadow says that there is more
    assert min(narrow["written"]) > 7


def printed(browser: Any) -> str:
    """The text of the page as a PDF, without spaces: names may go over several lines."""
    from pypdf import PdfReader

    answer = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    pages = PdfReader(io.BytesIO(base64.b64decode(answer["data"]))).pages
    return re.sub(r"\s+", "", "".join(page.extract_text() for page in pages))
