"""Runs that cannot tell much: the report says what it can tell and what not, and nothing breaks."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import toys
from run_helpers import TOY, write_comparison

from gandiff.experiments.cli import main
from gandiff.experiments.plugins import registry

pytestmark = pytest.mark.usefixtures("empty_folder", "metrics")
SETS = ["diversity(encoder=scenes)", "vendi(encoder=scenes)"]
LONG = "a" * 63
HOSTILE = (
    "<script>document.title='hacked'</script><img src=x onerror=alert(1)>",
    "قطة حمراء تجلس على طاولة",  # right to left
    "\u05d7\u05ea\u05d5\u05dc \u202e\u05d0\u05d3\u05d5\u05dd\u202c a red star",
    "a | b | c `code` [link](javascript:alert(1)) **bold**",
    "{{ 7 * 7 }} {% raw %} ${x} &amp; \\frac{a}{b}",
    "e\u0301\u0323 👩‍👩‍👧 \u200b star",
    "a star " * 700,
)


class Report(NamedTuple):
    """What a run said: its exit code, its lines, and its report in two formats."""

    code: int
    out: str
    err: str
    markdown: str
    page: str


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of tests, by name: ``blank`` comes to nothing, ``shade`` is that of the images."""
    monkeypatch.setitem(registry.METRICS, "blank", "odd_metrics:Blank")
    monkeypatch.setitem(registry.METRICS, "shade", "odd_metrics:Shade")


def toy(**settings: Any) -> dict[str, Any]:
    return {"type": TOY, **settings}


TWO = {"a": toy(), "b": toy(shade=200, family="diffusion")}


def report(capsys: pytest.CaptureFixture[str], **changes: Any) -> Report:
    """Run a comparison from the command line, and see that its report is sound."""
    file = write_comparison(
        Path(), **{"generators": TWO, "metrics": SETS, "timing": "off", "prompts": 6, **changes}
    )
    code = main(["run", str(file), "--out", "run", "--quiet"])
    out, err = capsys.readouterr()
    folder = Path("run/report")
    markdown, page = ((folder / f"report.{kind}").read_text("utf-8") for kind in ("md", "html"))
    assert "Traceback" not in err
    assert "a mistake in gandiff" not in err
    for text in (out, markdown, _words(page)):
        said = re.sub(r"its value is \w+", "", text)  # a reason, and "None." is a word
        assert not re.search(r"(?<![\w/.-])(nan|NaN|inf|None|undefined)(?![\w(.-])", said)
    for figure in folder.glob("figures/*.svg"):
        assert "stroke: #ffffff" in figure.read_text("utf-8"), f"{figure} has no point"
    return Report(code, out, err, markdown, page)


def _words(page: str) -> str:
    """What a page shows, without its styles and scripts."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", bare))


def test_one_generator(capsys: pytest.CaptureFixture[str]) -> None:
    said = report(capsys, generators={"a": toy()})
    assert (said.code, "Only a was run, so nothing is compared" in said.out) == (0, True)
    assert "better" not in said.out


def test_no_reference_and_few_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    said = report(capsys, prompts=3, metrics=[*SETS, "shade"])
    assert said.code == 0
    assert "Distribution was not measured (there are no reference images; " in said.out
    assert "3 prompts are too few to call one better: it takes 30" in said.out
    assert " is better" not in said.out


def test_no_prompt_in_common(capsys: pytest.CaptureFixture[str]) -> None:
    """Much apart on different prompts is no difference between the two."""
    names = [f"{i:05d}_0.png" for i in range(1, 63)]
    for folder, some, grey in (("a", names[:31], 10), ("b", names[31:], 240)):
        Path(folder).mkdir()
        for i, name in enumerate(some):
            picture = toys.toy_image(i, (8, 8)).point(lambda level, grey=grey: level // 16 + grey)
            picture.save(Path(folder, name))
    folders = {name: {"type": "folder", "folder": name} for name in "ab"}
    changes = {"generators": folders, "samples_per_prompt": 1, "headline": ["a", "b"]}
    said = report(capsys, prompts=62, metrics=["shade", "vendi(encoder=scenes)"], **changes)
    assert said.code == 1
    assert "no prompt and sample has an image of every generator" in said.err
    assert "and they have images of no prompt in common" in said.out
    assert " is better" not in said.out


@pytest.mark.parametrize("which", ["one", "all"])
def test_images_that_all_failed(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = toy(broken="load")
    generators = {"a": broken, "b": broken if which == "all" else toy()}
    said = report(capsys, generators=generators)
    assert said.code == 1
    assert "error: a made no image: cannot be loaded: the toy does not want to be l" in said.err
    assert "there is no usable image" in said.markdown
    assert " is better" not in said.out


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("empty", "its value is nan, must be a finite number"),
        ("endless", "its value is inf, must be a finite number"),
        ("error", "there is nothing to measure"),
        ("aimless", "blank(how=aimless) is best near a target and names none; give target="),
        ("mistake", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_metric_without_a_number(how: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = report(capsys, metrics=[f"blank(how={how})", "vendi(encoder=scenes)"])
    assert said.code == 1
    assert f"error: blank(how={how}) was not measured for a, b: {why}" in said.err
    assert "Alignment was not measured" in said.out


def test_forty_generators_with_long_names(capsys: pytest.CaptureFixture[str]) -> None:
    names = [LONG + letter for letter in "xy"] + [f"generator-{i}" for i in range(38)]
    generators = {name: toy(shade=i) for i, name in enumerate(names)}
    said = report(capsys, generators=generators, metrics=["shade"], samples_per_prompt=1)
    assert said.code == 0
    assert all(said.markdown.count(name) and said.page.count(name) for name in names)
    assert f"On alignment, {LONG}x and {LONG}y are level" in said.out


def test_prompts_in_any_script_and_with_markup(capsys: pytest.CaptureFixture[str]) -> None:
    said = report(capsys, prompts=HOSTILE, metrics=["shade"])
    assert said.code == 0
    assert HOSTILE[0] not in said.page
    assert "<img src=x" not in said.page
    assert HOSTILE[1] in said.page
    assert "\u202e" not in said.page


@pytest.mark.parametrize("asked", [[], ["shade"]])
def test_one_image(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Or nothing to measure at all."""
    said = report(capsys, prompts=1, samples_per_prompt=1, metrics=asked)
    assert said.code == 0
    assert " is better" not in said.out


def test_two_of_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    said = report(capsys, generators={"a": toy(), "b": toy()}, prompts=31, metrics=["shade"])
    assert said.code == 0
    assert "On alignment, a and b are level" in said.out
