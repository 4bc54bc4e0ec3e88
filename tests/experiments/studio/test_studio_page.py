"""``gandiff studio`` in a real browser: what somebody does there, by mouse and by keyboard."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_helpers import NO_BROWSER, open_browser, size
from edit_helpers import EDIT, SIDE, write_pictures
from PIL import Image

from gandiff.experiments.cli import main

pytest.importorskip("gradio")
pytestmark = [
    pytest.mark.skipif(NO_BROWSER is not None, reason=str(NO_BROWSER)),
    pytest.mark.timeout(900),  # the page is megabytes of script, and other tests run beside it
]
PATIENCE = 300  # s
HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
TAB, ENTER, SPACE, DOWN, CONTROL = "\ue004", "\ue007", " ", "\ue015", "\ue009"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the studio runs in, with pictures to bring."""
    folder = tmp_path_factory.mktemp("studio")
    write_pictures(folder, 1)
    (folder / "text.png").write_text("no picture")
    Image.new("RGBA", (SIDE, SIDE)).save(folder / "alpha.png")
    return folder


@pytest.fixture(scope="module")
def models(toy_gan: Path, toy_pipeline: Path) -> list[str]:
    return [str(toy_gan), f"{toy_pipeline},num_inference_steps=4", EDIT]


@pytest.fixture(scope="module")
def address(place: Path, models: list[str]) -> Iterator[str]:
    """Start the studio as a user does, and end it by Ctrl-C."""
    words = [word for model in models for word in ("--model", model)]
    command = [sys.executable, "-m", "gandiff", "studio", "--port", "0", "--no-open", *words]
    with (place / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            command, cwd=place, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    process.stdout.close()
    said = (place / "errors.txt").read_text().splitlines()
    assert said[0] == "Ctrl-C ends the studio; its pictures stay."
    assert said[-1].startswith("interrupted; continue with: gandiff studio --port 0")
    assert "Traceback" not in "".join(said)


@pytest.fixture(scope="module")
def browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    driver.get("about:blank")
    driver.get_log("performance")  # what the browser's own first page asked for
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    """The browser with a new tab's page."""
    size(browser, 1280, 900)
    return opened(browser, address)


def opened(browser: Any, address: str) -> Any:
    browser.get(address)
    until(browser, lambda: "Nothing is drawn yet." in said(browser))
    one(browser, "#go")
    one(browser, "#moments input[type=number]")
    return browser


def until(browser: Any, holds: Callable[[], Any]) -> Any:
    from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    ignored = (StaleElementReferenceException, WebDriverException)
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=ignored).until(lambda _: holds())


def one(browser: Any, selector: str) -> Any:
    """The first element of a selector, once it is there: parts of the page come one by one."""
    return until(browser, lambda: browser.find_elements("css selector", selector))[0]


def said(browser: Any) -> str:
    return str(one(browser, "#status").text)


def write(browser: Any, name: str, text: str) -> None:
    field = one(browser, f"#{name} :is(textarea, input)")
    field.send_keys(CONTROL, "a")
    field.send_keys(text)


def click(browser: Any, selector: str) -> None:
    browser.execute_script("arguments[0].click()", one(browser, selector))


def draw(browser: Any, says: str = r"\d pictures? drawn") -> list[dict[str, Any]]:
    """Press Draw and wait for a status that says this; the cards as a reader sees them."""
    browser.execute_script("document.querySelector('#status p').textContent = ''")
    click(browser, "#go")
    until(browser, lambda: re.search(says, said(browser)))
    return cards(browser)


def cards(browser: Any) -> list[dict[str, Any]]:
    return browser.execute_script(
        "return [...document.querySelectorAll('#results .card')].map(card => ({"
        "text: card.innerText, command: card.querySelector('.copy').dataset.command,"
        "shown: card.querySelector('.command').innerText,"
        "src: card.querySelector('.picture')?.src, box: card.getBoundingClientRect().toJSON(),"
        "images: card.querySelectorAll('img').length,"
        "frames: card.querySelectorAll('.strip figure').length}))"
    )


def png(card: dict[str, Any]) -> bytes:
    head, _, data = card["src"].partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(data)


def pixels(data: bytes, place: Path) -> np.ndarray:
    (place / "shown.png").write_bytes(data)
    return np.asarray(Image.open(place / "shown.png"))


def test_both_families_side_by_side_with_commands_that_give_the_same_bytes(
    page: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(page, "prompt", "a 'red' star")
    write(page, "seeds", "2-3")
    made = draw(page)
    assert said(page).startswith("4 pictures drawn, 2 not: cannot do text_to_image")
    assert len(made) == 6
    gan, diffusion, unable = made[:3]
    assert gan["box"]["top"] == diffusion["box"]["top"]
    assert gan["box"]["right"] < diffusion["box"]["left"]
    assert all(" ms" in card["text"] or " s" in card["text"] for card in (gan, diffusion))
    assert (gan["frames"], diffusion["frames"]) == (0, 5)
    assert "its abilities are" in unable["text"]
    monkeypatch.chdir(place)
    for card in (gan, diffusion, *made[3:5]):
        assert card["shown"].split() == card["command"].split()
        words = shlex.split(card["command"])
        assert main([*words[1:], "--out", "again.png", "--quiet"]) == 0
        [again] = Path("again").glob("*/00001_0.png")
        assert again.read_bytes() == png(card)
        again.unlink()


def test_settings_reach_the_models(page: Any) -> None:
    for name, value in (("Truncation", "0.25"), ("Steps", "2"), ("Guidance", "1.5")):
        number = page.find_element(
            "xpath", f"//input[@type='number'][starts-with(@aria-label, 'number input for {name}')]"
        )
        number.send_keys(CONTROL, "a")
        number.send_keys(value, TAB)
    moments = one(page, "#moments input[type=number]")
    moments.send_keys(CONTROL, "a")
    moments.send_keys("3", TAB)
    gan, diffusion, _ = draw(page)
    assert ",truncation_psi=0.25" in gan["command"]
    assert ",num_inference_steps=2,guidance_scale=1.5 --steps-shown 3" in diffusion["command"]
    assert diffusion["frames"] == 3


def test_a_prompt_with_html_is_shown_as_text(page: Any) -> None:
    write(page, "prompt", HOSTILE)
    gan, *_ = draw(page)
    inside = page.execute_script("return document.querySelector('#results').innerHTML")
    assert "<script" not in inside
    assert "&lt;script&gt;" in inside
    assert shlex.split(gan["command"])[2] == HOSTILE
    assert gan["images"] == 1
    assert page.execute_script("return window.hacked") is None
    assert HOSTILE in one(page, "#results img.picture").get_attribute("alt")


def bring(browser: Any, file: Path, name: str = "init") -> None:
    one(browser, f"#{name} input[type=file]").send_keys(str(file))


def test_a_mask_is_painted_and_only_that_changes(page: Any, place: Path) -> None:
    from selenium.webdriver import ActionChains

    click(page, "#task input[value=inpaint]")
    one(page, "#init input[type=file]")
    bring(page, place / "init_image-0.png")
    until(page, lambda: "The picture is there" in said(page))

    def paint_and_draw() -> bool:
        canvas = one(page, "#canvas canvas")
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        stroke = ActionChains(page).move_to_element(canvas).click_and_hold()
        stroke.move_by_offset(30, 0).move_by_offset(0, 30).release().perform()
        draw(page, r"\d pictures? drawn|nothing may change yet")
        return "drawn" in said(page)

    until(page, paint_and_draw)  # a canvas that is not ready takes no stroke
    *_, edited = cards(page)
    before = np.asarray(Image.open(place / "init_image-0.png"))
    changed = (pixels(png(edited), place) != before).any(axis=2)
    words = shlex.split(edited["command"])
    mask = np.asarray(Image.open(place / words[words.index("--mask") + 1]))
    assert set(np.unique(mask)) == {0, 255}
    assert (changed == (mask == 255)).all()
    assert mask[SIDE // 2, SIDE // 2] == 255
    assert 0 < changed.mean() < 0.5


def test_the_keyboard_alone_draws_and_edits(page: Any, place: Path) -> None:
    """From the prompt on by Tab, space, arrows and Enter: a region stands for the strokes."""

    def active() -> Any:
        return page.switch_to.active_element

    def tab_to(selector: str) -> None:
        for _ in range(40):
            if page.execute_script("return document.activeElement.matches(arguments[0])", selector):
                return
            active().send_keys(TAB)
        raise AssertionError(f"no Tab leads to {selector}")

    page.execute_script("arguments[0].focus()", one(page, "#prompt textarea"))
    active().send_keys(CONTROL, "a")
    active().send_keys("a blue ring", ENTER)
    until(page, lambda: "2 pictures drawn" in said(page))
    assert page.execute_script("return document.activeElement.matches('#prompt textarea')")
    tab_to("#task input[value=inpaint]")  # each is a stop of its own
    active().send_keys(SPACE)
    until(page, lambda: one(page, "#region").is_displayed())
    tab_to("#drawn input")
    active().send_keys(DOWN)
    active().send_keys(ENTER)
    until(page, lambda: "The picture is there" in said(page))
    tab_to("#region :is(textarea, input)")
    active().send_keys("8, 8, 16, 16")
    tab_to("#go")
    active().send_keys(SPACE)
    until(page, lambda: "picture drawn" in said(page) or "3 pictures drawn" in said(page))
    edited = cards(page)[2]
    assert "--mask" in edited["command"]
    assert edited["src"]


def test_an_outline_is_followed(page: Any, place: Path) -> None:
    click(page, "#task input[value=control]")
    one(page, "#outline input[type=file]")
    bring(page, place / "control_image-0.png", "outline")
    until(page, lambda: "The outline is there" in said(page))
    *_, followed = draw(page)
    assert "--control runs/studio/given/control_image-" in followed["command"]
    assert followed["src"]


def test_what_is_wrong_is_said_in_a_line_and_nothing_is_lost(page: Any, place: Path) -> None:
    draw(page)
    before = cards(page)
    write(page, "seeds", "one")
    draw(page, "seeds must be whole numbers from 0")
    write(page, "seeds", "0")
    write(page, "prompt", " ")
    draw(page, "the prompt is empty")
    write(page, "prompt", "a star")
    click(page, "#task input[value=inpaint]")
    draw(page, "choose a picture to change first")
    one(page, "#init input[type=file]")
    for name, says in (
        ("text.png", "text.png cannot be read"),
        ("alpha.png", "alpha.png has an alpha channel"),
    ):
        bring(page, place / name)
        until(page, lambda says=says: says in said(page))
        click(page, "#init button[aria-label='Clear'], #init button[aria-label='Remove this file']")
        one(page, "#init input[type=file]")
    bring(page, place / "init_image-0.png")
    until(page, lambda: "The picture is there" in said(page))
    draw(page, "nothing may change yet")
    write(page, "region", "30, 30, 9, 9")
    draw(page, "is not inside of the picture, which is 32 x 32 px")
    assert one(page, "#status [role=alert]")
    assert [card["src"] for card in cards(page)] == [card["src"] for card in before]


def test_two_tabs_do_not_mix(page: Any, address: str) -> None:
    first = page.current_window_handle
    write(page, "prompt", "a first star")
    click(page, "#go")
    page.switch_to.new_window("tab")
    opened(page, address)
    write(page, "prompt", "a second ring")
    click(page, "#go")
    for words, other in (("a second ring", "a first star"), ("a first star", "a second ring")):
        until(page, lambda: "2 pictures drawn" in said(page))
        made = [card["command"] for card in cards(page)]
        assert all(words in command and other not in command for command in made)
        if words == "a second ring":
            page.close()
            page.switch_to.window(first)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_laptop(page: Any, width: int) -> None:
    size(page, width, 800)
    draw(page)
    click(page, "#task input[value=inpaint]")
    until(page, lambda: one(page, "#region").is_displayed())
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    gan, diffusion, _ = cards(page)
    assert gan["box"]["top"] == diffusion["box"]["top"]
    assert 0 <= gan["box"]["left"] < gan["box"]["right"] < diffusion["box"]["right"] <= width
    small = page.execute_script(
        "return [...document.querySelectorAll('button, input:not([type=file]), textarea, summary')]"
        ".filter(e => e.offsetParent && !e.closest('#canvas') && e.type != 'range')"
        ".filter(e => !(e.ariaLabel || e.labels?.length || e.textContent.trim() || e.title"
        " || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 120))"
    )
    assert small == []  # everything that can be used has a name


def test_nothing_comes_from_elsewhere(page: Any, address: str) -> None:
    """Of the pages that the tests before this one opened, too."""
    draw(page)
    asked = set()
    for entry in page.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    own = ("data:", "blob:", "about:", address)
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(own)] == []
    with urllib.request.urlopen(address) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        text = answer.read().decode()
    assert '"analytics_enabled":false' in text.replace(" ", "")


def test_nobody_else_reaches_it(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    if os.uname().sysname == "Linux":
        port = int(address.rpartition(":")[2])
        bound = Path("/proc/net/tcp").read_text().splitlines()[1:]
        here = [line.split()[1] for line in bound if line.split()[3] == "0A"]  # listening
        assert f"0100007F:{port:04X}" in here
        assert f"00000000:{port:04X}" not in here
    elsewhere = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    for asked in (f"{address}/gradio_api/file=/etc/passwd", elsewhere):
        with pytest.raises(urllib.error.HTTPError, match=r"40[034]"):
            urllib.request.urlopen(asked)
