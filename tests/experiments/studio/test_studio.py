"""What the page of ``gandiff studio`` is made of, without the page."""

from __future__ import annotations

import dataclasses
import re
import shlex
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from edit_helpers import EDIT, SIDE, write_pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from run_helpers import TOY

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.studio.cards import cards_page, heading, status
from gandiff.experiments.studio.fields import Region, read_region, read_seeds
from gandiff.experiments.studio.form import Form, read_form
from gandiff.experiments.studio.orders import Order, read_prompt, with_settings
from gandiff.experiments.studio.pictures import CANVAS, fitted, kept, masked, read_picture
from gandiff.experiments.studio.serve import open_port
from gandiff.experiments.studio.studio import Studio
from gandiff.experiments.studio.tab import Tab, progress
from gandiff.models.generator import Task

HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'> ${1+1} {{this}}"
STAR = "a red star"

pytestmark = pytest.mark.usefixtures("empty_folder")


def form(task: Task = "text_to_image", **changes: Any) -> Form:
    given: dict[str, Any] = {"prompt": STAR, "seeds": "0", "settings": {}, **changes}
    return Form(task=task, **given)


def drawn(studio: Studio, asked: Form) -> list[Any]:
    return list(studio.draw(read_form(asked, studio)))


def type_in(command: str) -> int:
    """Run a line as a shell would split it."""
    words = shlex.split(command)
    assert words[0] == "gandiff"
    return main(["draw", "--quiet", "--out", "again.png", *words[2:]])


def again() -> bytes:
    [picture] = Path("again").glob("*/00001_0.png")
    return picture.read_bytes()


def test_the_command_of_every_picture_gives_the_same_bytes(
    toy_gan: Path, toy_pipeline: Path
) -> None:
    pipeline = f"{toy_pipeline},num_inference_steps=3"
    studio = Studio([str(toy_gan), pipeline], Path("out"))
    settings = {str(toy_gan): {"truncation_psi": 0.35}, pipeline: {"num_inference_steps": 2}}
    cards = drawn(studio, form(prompt='it\'s a "star"; $HOME', seeds="3, 5", settings=settings))
    assert [card.order.seed for card in cards] == [3, 3, 5, 5]
    assert len({card.path for card in cards}) == 4
    for card in cards:
        assert card.path is not None
        assert card.picture.seconds > 0
        assert type_in(card.order.command()) == 0
        assert again() == card.path.read_bytes()
        for file in [Path("again.png"), *Path("again").rglob("*.png")]:
            file.unlink()
    assert "truncation_psi=0.35" in cards[0].order.command()


@pytest.mark.parametrize("task", ["image_to_image", "inpaint", "control"])
def test_the_command_of_an_edit_gives_the_same_bytes(task: Task) -> None:
    write_pictures(Path(), 1)
    studio = Studio([EDIT], Path("out"))
    pictures = {"init": Path("init_image-0.png"), "control": Path("control_image-0.png")}
    [card] = drawn(studio, form(task, **pictures, region="1, 2, 3, 4", strength=0.6))
    assert card.reason is None
    assert type_in(card.order.command()) == 0
    assert again() == card.path.read_bytes()
    assert str(Path.cwd()) not in card.order.command()
    if task == "inpaint":
        before, after = (np.asarray(Image.open(path)) for path in (pictures["init"], card.path))
        changed = (before != after).any(axis=2)
        assert changed[2:6, 1:4].all()
        assert changed.sum() == 12


@given(prompt=st.text(max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_prompt_comes_through_the_shell(prompt: str) -> None:
    try:
        read = read_prompt(prompt)
    except RequestError:
        assert not "".join(c for c in prompt if c.isprintable()).strip()
        return
    words = shlex.split(Order(prompt=read, model="m", options={"seed": 3}).command())
    assert words.count(read) == 1 + ["gandiff", "draw", "--model", "m", "--seed", "3"].count(read)
    assert "\n" not in read
    assert words[-1] == read if read.startswith("-") else words[2] == read


def test_what_a_shell_would_take_for_an_option_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    order = Order(prompt="--seed", model=TOY, options={"paint": "-heart", "seed": 4})
    assert "--paint=-heart" in shlex.split(order.command())
    [card] = drawn(Studio([TOY], Path("out")), form(prompt="--help me"))
    assert type_in(card.order.command()) == 0
    assert again() == card.path.read_bytes()


@pytest.mark.parametrize("prompt", ["", "  \n", None, "\x00\x1b", "\ud800"])
def test_prompts_that_are_none(prompt: str | None) -> None:
    with pytest.raises(RequestError, match=r"the prompt is empty|must be UTF-8 text"):
        read_prompt(prompt)


def test_settings_are_named_where_they_differ() -> None:
    known = {"truncation_psi": 1.0, "num_inference_steps": 20}
    chosen = {"truncation_psi": 0.7, "num_inference_steps": 20.0}
    assert with_settings("gan", known, chosen) == "gan,truncation_psi=0.7"
    assert with_settings("gan", known, {"num_inference_steps": 8}) == "gan,num_inference_steps=8"
    assert with_settings("gan,a=b", known, {"truncation_psi": 1}) == "gan,a=b"


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), (" 3, 5-8", [3, 5, 6, 7, 8]), ("9 9;9", [9]), ("4294967295", [2**32 - 1])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", None, "x", "-1", "3-", "8-5", "1.5", "4294967296", "1,,2"])
def test_seeds_that_are_none(text: str | None) -> None:
    if text == "1,,2":
        assert read_seeds(text) == [1, 2]
        return
    with pytest.raises(RequestError, match="seeds must be whole numbers from 0 to 4294967295"):
        read_seeds(text)


@pytest.mark.parametrize("text", ["0-8", "0-4294967295", "1,2,3,4,5,6,7,8,9"])
def test_too_many_seeds(text: str) -> None:
    with pytest.raises(RequestError, match="at most 8 seeds at a time"):
        read_seeds(text)


def test_regions() -> None:
    assert read_region("", 8) is read_region(None, 8) is None
    assert read_region("1, 2 3;5", 8) == Region(1, 2, 3, 5)
    for text in ("1, 2, 3", "a, b, c, d", "1.5, 2, 3, 4", "1 2 3 4 5"):
        with pytest.raises(RequestError, match="the region must be left, top, width, height in px"):
            read_region(text, 8)
    for text in ("4, 4, 5, 1", "0, 0, 8, 9", "-1, 0, 2, 2", "0, 0, 0, 1", "40, 0, 1, 1"):
        with pytest.raises(RequestError, match=r"is not inside of the picture, which is 8 x 8 px"):
            read_region(text, 8)


def test_masks_of_strokes_and_regions() -> None:
    layer = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    layer[: CANVAS // 2, : CANVAS // 4, 3] = 255
    layer[-1, -1, 3] = 255  # less than half of a pixel
    mask = masked([layer], Region(6, 7, 2, 1), 8)
    wanted = np.zeros((8, 8), np.uint8)
    wanted[:4, :2] = wanted[7, 6:8] = 255
    np.testing.assert_array_equal(mask, wanted)
    assert not masked([], None, 8).any()


def test_pictures_are_cropped_to_the_middle_and_scaled() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fitted(pixels, 8), pixels[:, 2:10])
    np.testing.assert_array_equal(
        fitted(pixels, 16), pixels[:, 2:10].repeat(2, axis=0).repeat(2, axis=1)
    )
    assert fitted(pixels, 5).shape == (5, 5, 3)
    path = kept("init_image", fitted(pixels, 8), Path("given"))
    assert path == kept("init_image", fitted(pixels, 8), Path("given"))
    np.testing.assert_array_equal(read_picture("init_image", path), pixels[:, 2:10])


def test_files_that_are_no_pictures_are_named_without_their_place() -> None:
    Path("deep").mkdir()
    Path("deep/text.png").write_text("no picture")
    Image.new("RGBA", (4, 4)).save("deep/alpha.png")
    with pytest.raises(RequestError, match=r"^text\.png cannot be read: "):
        read_picture("init_image", Path("deep/text.png").resolve())
    with pytest.raises(RequestError, match=r"^alpha\.png has an alpha channel"):
        read_picture("init_image", Path("deep/alpha.png").resolve())
    with pytest.raises(RequestError, match=r"^alpha\.png is transparent: laid over white it is of"):
        read_picture("control_image", Path("deep/alpha.png").resolve())
    Image.new("RGB", (4, 4)).save("deep/black.png")
    with pytest.raises(RequestError, match=r"^black\.png is of one colour, \(0, 0, 0\), so that"):
        read_picture("control_image", Path("deep/black.png").resolve())


@pytest.mark.parametrize(
    ("task", "changes", "says"),
    [
        ("image_to_image", {"init": None}, "choose a picture to change first"),
        ("control", {"control": None}, "choose an outline to follow first"),
        ("inpaint", {"region": ""}, "nothing may change yet: paint on the picture"),
        ("inpaint", {"region": f"0, 0, {SIDE}, {SIDE}"}, "everything may change, so nothing of"),
        ("inpaint", {"region": "5, 5, 9, 9"}, "is not inside of the picture"),
        ("text_to_image", {"prompt": " "}, "the prompt is empty"),
        ("text_to_image", {"seeds": "two"}, "seeds must be whole numbers"),
    ],
)
def test_wrong_forms_are_refused(task: Task, changes: dict[str, Any], says: str) -> None:
    write_pictures(Path(), 1)
    pictures = {"init": Path("init_image-0.png"), "control": Path("control_image-0.png")}
    asked = form(task, **{**pictures, "region": "1, 1, 2, 2", **changes})
    with pytest.raises(RequestError) as refused:
        read_form(asked, Studio([EDIT], Path("out")))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_units_paint_or_the_prompt_does() -> None:
    write_pictures(Path(), 1)
    studio = Studio([EDIT], Path("out"))
    for units, says in (("red  star 16:5 ", "red star 16:5"), (" ", "prompt"), (None, "prompt")):
        asked = form("paint", init=Path("init_image-0.png"), region="1, 1, 2, 2", units=units)
        [order] = read_form(dataclasses.replace(asked, strength=0.0), studio)
        assert order.options["paint"] == says
        assert "strength" not in order.options


def test_units_of_the_model_hold_where_none_are_written(toy_painter: Path) -> None:
    quick = f"{toy_painter},inversion_steps=4,inversion_candidates=16"
    studio = Studio([f"{quick},units=-star,truncation_psi=0.5", quick], Path("out"))
    Image.fromarray(toys.edit_pictures(32)["init_image"]).save("init.png")
    asked = form("paint", init=Path("init.png"), region="8, 8, 16, 16")
    own, by_prompt = read_form(asked, studio)
    assert (own.model, own.options["paint"]) == (f"{quick},truncation_psi=0.5", "-star")
    assert (by_prompt.model, by_prompt.options["paint"]) == (quick, "prompt")
    [card, _] = drawn(studio, asked)
    assert type_in(card.order.command()) == 0
    assert again() == card.path.read_bytes()
    refused, fine = drawn(studio, dataclasses.replace(asked, units="star"))
    assert refused.reason.endswith("units stand in the model and in --paint; give one")
    assert fine.path.is_file()


def test_models_that_cannot_or_fail_say_so_and_the_others_draw() -> None:
    write_pictures(Path(), 1)
    studio = Studio([TOY, EDIT], Path("out"))
    asked = form("image_to_image", init=Path("init_image-0.png"), strength=0.5)
    unable, able = drawn(studio, asked)
    assert unable.reason == "cannot do image_to_image: its abilities are text_to_image"
    assert able.path.is_file()
    assert progress([unable, able], 2) == f"1 picture drawn, 1 not: {unable.reason}"
    broken = Studio([f"{TOY},broken=load", TOY], Path("out"))
    failed, fine = drawn(broken, form())
    assert failed.reason == "the toy does not want to be loaded"
    assert fine.path.is_file()
    [failed, _] = drawn(broken, form(prompt="RAISE"))
    assert failed.reason
    assert progress([failed], 3) == "1 of 3 pictures ..."


def test_a_strength_below_a_step_is_said_by_the_model_that_it_is_too_little_for() -> None:
    write_pictures(Path(), 1)
    studio = Studio(["diffusion-scenes", EDIT], Path("out"))
    asked = form("image_to_image", init=Path("init_image-0.png"), strength=0.01)
    little, fine = drawn(studio, asked)
    assert little.reason.startswith("strength 0.01 of 20 steps is less than one step; set strength")
    assert little.path is None
    assert fine.path.is_file()


def test_two_at_once_do_not_mix() -> None:
    studio = Studio([f"{TOY},delay=0.02"], Path("out"))
    made: dict[str, list[Any]] = {}

    def draw(prompt: str) -> None:
        made[prompt] = drawn(studio, form(prompt=prompt, seeds="0-4"))

    threads = [threading.Thread(target=draw, args=(f"prompt {i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({card.path for cards in made.values() for card in cards}) == 15
    for prompt, cards in made.items():
        assert [card.picture.prompt for card in cards] == [prompt] * 5
        assert all(f"'{prompt}'" in card.order.command() for card in cards)


def test_text_of_a_prompt_is_no_markup() -> None:
    [card] = drawn(Studio([TOY], Path("out")), form(prompt=HOSTILE))
    page = cards_page([card])
    assert "<script" not in page
    assert "onerror='" not in page
    assert len(re.findall("<img ", page)) == 1
    assert "&lt;script&gt;" in page
    assert "<b>" not in status("<b>", wrong=True) + heading(Path("<b>"))


def test_a_tab_remembers_the_last_pictures() -> None:
    cards = drawn(Studio([TOY], Path("out")), form(seeds="0-7")) * 4
    tab = Tab()
    for card in cards[:9]:
        tab = tab.with_card(card)
    assert next(iter(tab.drawn.values())) == cards[8].path
    assert len(tab.drawn) == 8
    assert next(iter(tab.drawn)).endswith(f"{STAR}, {TOY}, seed 0")


def test_wrong_models_are_refused_before_the_page_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("gradio")
    assert main(["studio", "--model", "gan-scene", "--no-open"]) == 2
    assert "did you mean 'gan-scenes'?" in capsys.readouterr().err
    Path("file").touch()
    assert main(["studio", "--model", TOY, "--out", "file", "--no-open"]) == 2
    assert "--out file is a file; give a folder" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with open_port(0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(RequestError) as refused:
            open_port(port)
    assert str(refused.value) == (
        f"port {port} cannot be used: Address already in use; choose another one with --port"
    )


def test_without_gradio_a_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["studio"]) == 2
    assert capsys.readouterr().err == (
        "error: gandiff studio needs Gradio, which is not installed; "
        "pip install 'gandiff[studio]'\n"
    )
