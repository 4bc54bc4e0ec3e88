"""The page in a real browser: what a reader sees and does."""

import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from browser_helpers import NO_BROWSER, open_browser, size

from gandiff.reports.document import ReportPaths

pytestmark = pytest.mark.skipif(NO_BROWSER is not None, reason=str(NO_BROWSER))
ENTER, ESCAPE = "\ue007", "\ue00c"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"
NAMES = ["gan", "gan-psi-0.7", "ddim-20", "dpm-10", "dpm-4"]


@pytest.fixture(scope="module")
def browser(report: ReportPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a browser with the report open, for all tests of this file."""
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    driver.get("about:blank")
    driver.get_log("performance")  # what the browser's own first page asked for
    driver.get(report.html.as_uri())
    yield driver
    driver.quit()


def choose(browser: Any, **values: str) -> None:
    """Set fields of the gallery as a reader would."""
    for name, value in values.items():
        browser.execute_script(
            "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}));",
            name,
            value,
        )


def shown(browser: Any) -> list[str]:
    """Return the ids of the prompts in sight, in order."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.prompt')].filter(e => e.offsetParent)"
        ".map(e => e.dataset.id)"
    )


@pytest.fixture(autouse=True)
def _fresh(browser: Any) -> None:
    size(browser, 1280)
    choose(browser, category="", search="", order="suite", metric="0", first="0", second="2")


def test_the_verdict_is_on_the_first_screen(browser):
    browser.execute_script("scrollTo(0, 0)")
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('h1, .verdict li, .card')].map(e => {"
        "const b = e.getBoundingClientRect(); return [b.top, b.bottom, b.left, b.right]})"
    )
    assert len(boxes) == 1 + 5 + 6
    assert all(
        0 <= top < bottom <= 800 and 0 <= left < right <= 1280 for top, bottom, left, right in boxes
    )
    text = browser.find_element("css selector", ".verdict").text
    assert "On alignment, ddim-20 is better" in text


def test_filter_by_category(browser):
    assert len(shown(browser)) == 12
    choose(browser, category="relation")
    assert shown(browser) == [f"p{i:04d}" for i in range(2, 24, 3)]
    assert browser.find_element("id", "status").text == "8 of 24 prompts"


def test_search_and_pages(browser):
    choose(browser, search="purple square")
    found = shown(browser)
    assert found
    texts = browser.execute_script(
        "return [...document.querySelectorAll('.prompt')].filter(e => e.offsetParent)"
        ".map(e => e.querySelector('h3').textContent)"
    )
    assert all("purple" in text and "square" in text for text in texts)
    choose(browser, search="nothing has this")
    assert shown(browser) == []
    choose(browser, search="")
    first = shown(browser)
    browser.execute_script("document.getElementById('next').click()")
    second = shown(browser)
    assert len(first) == len(second) == 12
    assert not set(first) & set(second)
    assert browser.find_element("id", "page").text == "Page 2 of 2"


@pytest.mark.parametrize(("order", "sign"), [("a", 1), ("b", -1)])
def test_sort_by_the_difference_of_two_generators(browser, order, sign):
    choose(browser, metric="1", first="1", second="4", order=order)
    ids = shown(browser)
    data = json.loads(
        browser.execute_script("return document.getElementById('gallery-data').textContent")
    )
    index = browser.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('.prompt')]"
        ".map(e => [e.dataset.id, Number(e.dataset.index)]))"
    )
    mean = [
        [
            sum(s[1] for s in row if s[1] is not None) / max(1, sum(s[1] is not None for s in row))
            for row in prompt
        ]
        for prompt in data["scores"]
    ]
    gains = [sign * (m[1] - m[4]) for m in mean]
    assert [gains[index[i]] for i in ids] == pytest.approx(sorted(gains, reverse=True)[:12])
    assert ids != sorted(ids)


def test_scores_are_shown_at_each_image(browser):
    script = (
        "return [...document.querySelectorAll('.prompt:not([hidden]) .score')]"
        ".map(e => e.textContent)"
    )
    marks = browser.execute_script(script)
    assert len(marks) == 12 * 5 * 2 - 1
    assert set(marks) == {"\u2713", "\u2717 colour"}
    gains = browser.execute_script(
        "return [...document.querySelectorAll('.prompt:not([hidden]) .gain')]"
        ".map(e => e.textContent)"
    )
    written = re.compile(r"level|\S+ ahead by (50|100)\.0 points")
    assert all(written.fullmatch(gain) for gain in gains if gain)
    assert any("points" in gain for gain in gains)
    choose(browser, metric="1")
    assert all(0 < float(mark) < 1 for mark in browser.execute_script(script))


def test_tables_sort_by_a_click_both_ways(browser):
    def names(selector: str) -> list[str]:
        return browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )

    wide, turned = ".scroll:has(#cost) .results .name", "#cost thead .name"
    browser.execute_script(
        "document.querySelectorAll('.turned')[4].id = 'cost'"
    )  # the last table: time per image is its first metric
    rising = ["gan", "gan-psi-0.7", "dpm-4", "dpm-10", "ddim-20"]
    heading = browser.find_element("css selector", "#cost button[data-column='1']")
    assert names(turned) == names(wide) != rising
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", heading)
    heading.click()
    assert names(turned) == names(wide) == rising
    times = names("#cost tbody tr:first-child td b")
    assert times == ["7.4 ms", "7.5 ms", "52 ms", "120 ms", "240 ms"]
    assert heading.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    heading.click()
    assert names(turned) == names(wide) == rising[::-1]


@pytest.mark.parametrize("width", [400, 700, 1280, 1600])
def test_no_width_makes_the_page_scroll_sideways(browser, width):
    size(browser, width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = false; })")


def test_the_enlarged_view_shows_all_generators_and_moves_by_arrow_keys(browser):
    """Of the first prompt, whose first picture by gan failed."""
    card = browser.find_element("css selector", ".prompt:not([hidden])")
    sides = card.find_elements("css selector", ".side")
    names = [side.find_element("css selector", ".who").text for side in sides]
    assert names == [*NAMES, "real"]
    browser.execute_script(
        "arguments[0].focus()", sides[1].find_element("css selector", "button.thumb")
    )
    browser.switch_to.active_element.send_keys(ENTER)
    zoom = browser.find_element("id", "zoom")
    tiles = zoom.find_elements("css selector", ".tile")
    assert [tile.find_element("css selector", ".of").text for tile in tiles] == names
    assert "failed: the image is black" in tiles[0].text
    assert [len(tile.find_elements("css selector", "img")) for tile in tiles] == [0, 1, 1, 1, 1, 1]
    assert tiles[1].find_element("css selector", "img").size["width"] > 230
    assert "scene accuracy (scene_accuracy/all)" in zoom.text

    def current() -> tuple[str, str]:
        chosen = browser.switch_to.active_element
        assert chosen.get_attribute("aria-current") == "true"
        place = browser.find_element("id", "zoom-place").text
        return chosen.find_element("css selector", ".of").text, place.partition(",")[0]

    assert current() == (names[1], "sample 1 of 2")
    for key, expected in (
        (RIGHT, (names[2], "sample 1 of 2")),
        (DOWN, (names[2], "sample 2 of 2")),
        (DOWN, (names[2], "sample 2 of 2")),
        (LEFT, (names[1], "sample 2 of 2")),
        (LEFT, (names[0], "sample 2 of 2")),
        (LEFT, ("real", "sample 2 of 2")),
    ):
        browser.switch_to.active_element.send_keys(key)
        assert current() == expected
    browser.switch_to.active_element.send_keys(ESCAPE)
    assert not zoom.is_displayed()
    assert browser.execute_script("return document.activeElement.dataset.path").endswith("_1.png")


def test_the_pictures_of_a_prompt_are_one_stop_of_the_tab_key(browser):
    stops = browser.execute_script(
        "return [...document.querySelectorAll('#prompts *')].filter(e => e.offsetParent"
        " && e.tabIndex >= 0).map(e => e.closest('.prompt').dataset.id)"
    )
    assert stops == shown(browser)
    grid = browser.find_element("css selector", ".prompt:not([hidden]) [role=grid]")
    thumbs = grid.find_elements("css selector", "[role=gridcell] .thumb")
    assert len(thumbs) == (len(NAMES) + 1) * 2
    browser.execute_script("arguments[0].focus()", thumbs[0])
    for key, place in ((RIGHT, 1), (RIGHT, 1), (DOWN, 3), (UP, 1), (UP, 1), (LEFT, 0)):
        browser.switch_to.active_element.send_keys(key)
        assert browser.switch_to.active_element == thumbs[place]
    past = browser.find_element("css selector", "a.past").get_attribute("href")
    assert browser.find_elements("id", past.partition("#")[2])


def test_the_first_pictures_have_captions_and_wrong_facts_are_named(browser):
    first = browser.find_elements("css selector", ".glance figure")
    captions = [
        figure.find_element("css selector", "figcaption").get_attribute("textContent")
        for figure in first
    ]
    prompts = browser.execute_script(
        "return [...document.querySelectorAll('.prompt')]"
        ".sort((a, b) => a.dataset.index - b.dataset.index).slice(0, 8)"
        ".map(e => e.querySelector('h3').textContent)"
    )
    assert captions == prompts
    assert all(len(f.find_elements("css selector", ".look")) == 3 for f in first)
    assert "wrong: colour" in " ".join(figure.text for figure in first)


def test_headings_skip_no_level_and_say_no_more_than_their_own(browser):
    headings = browser.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]"
        ".filter(e => !e.closest('dialog')).map(e => [Number(e.tagName[1]), e.textContent.trim()])"
    )
    levels = [level for level, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(text for _, text in headings)
    h2 = [text for level, text in headings if level == 2]
    assert h2[:3] == ["Verdict", "Key numbers", "First pictures"]
    assert not [text for level, text in headings if level == 3 and "better." in text]


def test_what_is_folded_up_is_open_on_paper(browser):
    folded = "return document.querySelectorAll('details:not([open])').length"
    before = browser.execute_script(folded)
    assert before > 1
    browser.execute_script(
        "window.onPaper = null;"
        f"addEventListener('beforeprint', () => {{ window.onPaper = (() => {{ {folded} }})(); }})"
    )
    browser.print_page()
    assert browser.execute_script("return window.onPaper") == 0
    assert browser.execute_script(folded) == before


def test_figures_say_their_numbers_under_the_mouse_and_to_those_who_cannot_see_them(browser):
    drawings = browser.find_elements("css selector", ".drawing")
    assert len(drawings) == 9
    for drawing in drawings:
        titles = drawing.find_elements("css selector", "title")
        assert titles
    alt = drawings[0].get_attribute("aria-label")
    for name in NAMES:
        assert f"{name}: time per image" in alt


def test_explanations_appear_on_focus(browser):
    size(browser, 1400)  # narrower tables have their explanations written out
    # The mouse lies where an earlier test clicked; scrolling would put another heading under it.
    browser.execute_script(
        "document.activeElement.blur();"
        "document.querySelectorAll('.sort')[1].focus({preventScroll: true})"
    )
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed()
    assert tip.text.endswith("Higher is better.")  # the first metric is one of alignment


def test_a_hostile_prompt_does_nothing(browser):
    assert browser.execute_script("return window.hacked") is None
    title = browser.find_element("css selector", "[data-id=p0004] h3").text
    assert title.startswith("<script>window.hacked=1</script><img src=x onerror=")


def test_every_picture_has_loaded_and_every_control_a_name(browser):
    time.sleep(0.2)
    broken = browser.execute_script(
        "return [...document.images].filter(i => i.getAttribute('src') && !i.naturalWidth).length"
    )
    assert broken == 0
    fields = browser.find_elements("css selector", "select, input")
    assert len(fields) == 6
    assert all(f.accessible_name for f in fields)


def test_zz_nothing_was_loaded_and_nothing_complained(browser):
    """Runs last: looks back at all that the tests above did."""
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"]
    assert complaints == []
    requests = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            requests.append(message["params"]["request"]["url"])
    assert len([url for url in requests if url.startswith("file:")]) == 1
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
