"""The page in a real browser: what a reader sees and does."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from browser_helpers import NO_BROWSER, open_browser, size

from gandiff.reports.document import ReportPaths

pytestmark = pytest.mark.skipif(NO_BROWSER is not None, reason=str(NO_BROWSER))


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
    assert set(marks) == {"\u2713", "\u2717"}
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
    assert times == ["7.40 ms", "7.50 ms", "52.0 ms", "121 ms", "236 ms"]
    assert heading.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    heading.click()
    assert names(turned) == names(wide) == rising[::-1]


@pytest.mark.parametrize("width", [400, 700, 1280, 1600])
def test_no_width_makes_the_page_scroll_sideways(browser, width):
    size(browser, width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = false; })")


def test_a_picture_enlarges_with_the_keyboard_and_closes_again(browser):
    thumbs = browser.find_elements("css selector", ".prompt:not([hidden]) button.thumb")
    browser.execute_script("arguments[0].focus()", thumbs[1])
    browser.switch_to.active_element.send_keys("\ue007")  # Enter
    zoom = browser.find_element("id", "zoom")
    assert zoom.is_displayed()
    assert "scene accuracy (scene_accuracy/all)" in zoom.text
    assert zoom.find_element("css selector", "img").size["width"] > 250
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert not zoom.is_displayed()


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
