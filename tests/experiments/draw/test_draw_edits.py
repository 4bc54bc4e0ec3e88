"""``gandiff draw`` on pictures that are there: changed, masked, followed, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from edit_helpers import EDIT, SIDE, write_pictures
from PIL import Image
from run_helpers import TOY

import gandiff
from gandiff.common.errors import RequestError
from gandiff.common.grids import write_png
from gandiff.experiments.cli import main
from gandiff.experiments.draw.models import open_model, units_of
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.generator import Generation, GenerationRequest, Generator, GeneratorInfo, Task
from gandiff.models.tasks import SOURCES

BLUE = "a blue star"
INIT, MASK, CONTROL = (f"{field}-0.png" for field in ("init_image", "mask", "control_image"))


class Recorder(Generator):
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[GenerationRequest] = []

    @property
    def info(self) -> GeneratorInfo:
        able = frozenset({"image_to_image", "inpaint", "control"})
        return GeneratorInfo(name="recorder", family="other", resolution=SIDE, abilities=able)

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def generate(self, requests: Any) -> list[Generation]:
        self.asked += requests
        noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        return [Generation(image=noise)] * len(requests)


@pytest.fixture(autouse=True)
def here(empty_folder: Path) -> None:
    write_pictures(empty_folder, 2)


def draw(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[Any, str]:
    assert main(["draw", BLUE, *words, "--json", "--quiet"]) == code
    out, err = capsys.readouterr()
    return json.loads(out), err


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ({}, "text_to_image"),
        ({"init": INIT}, "image_to_image"),
        ({"init": INIT, "mask": MASK, "strength": 0.25}, "inpaint"),
        ({"control": CONTROL}, "control"),
    ],
)
def test_pictures_make_the_task(words: dict[str, Any], task: Task) -> None:
    recorder = Recorder()
    if task == "text_to_image":
        with pytest.raises(RequestError, match="no model can do the task text_to_image: it cannot"):
            gandiff.draw(BLUE, {"it": recorder}, **words)
        return
    gandiff.draw([BLUE, "a ring"], {"it": recorder}, **words)
    given = toys.edit_pictures(SIDE, 0)
    for request in recorder.asked[-2:]:
        assert (request.task, request.strength) == (task, words.get("strength"))
        for field in SOURCES["inpaint"] + SOURCES["control"]:
            got = getattr(request, field)
            assert (got is not None) == (field in SOURCES[task])
            if got is not None:
                np.testing.assert_array_equal(got, given[field])


def test_files_and_arrays_give_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    made, _ = draw(capsys, "--init", INIT, "--mask", MASK, "--strength", "0.6", "--model", EDIT)
    given = toys.edit_pictures(SIDE, 0)
    again = gandiff.draw(
        BLUE, [EDIT], init=given["init_image"], mask=given["mask"] > 0, strength=0.6, out="a.png"
    )
    [picture], [other] = made["pictures"], again.pictures
    assert picture["path"].endswith("EditToy/00001_0.png")
    np.testing.assert_array_equal(pixels(picture["path"]), other.image)
    assert other.image is not None
    np.testing.assert_array_equal(other.image[:, SIDE // 2 :], given["init_image"][:, SIDE // 2 :])


def test_seconds_are_those_of_the_call() -> None:
    [one] = gandiff.draw(BLUE, [TOY]).pictures
    many = gandiff.draw(BLUE, [TOY], samples=4).pictures
    assert one.seconds is not None
    assert one.seconds >= 0
    assert len({picture.seconds for picture in many}) == 1


def test_a_model_that_cannot_leaves_its_column_empty(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--init", INIT, "--model", TOY, "--model", EDIT)
    made, err = draw(capsys, *words, code=1)
    reason = "cannot do image_to_image: its abilities are text_to_image"
    assert err == f"warning: {TOY} failed: {reason}\n"
    lost, drawn = made["pictures"]
    assert (lost["path"], lost["reason"], lost["seconds"]) == (None, reason, None)
    assert drawn["path"]


TOO_LARGE = "init_image is 64x64 px, and images of this generator are 32x32 px; scale it"
LITTLE = "strength 0.01 of 20 steps is less than one step; set strength to 0.05 at least, or more"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--init big.png", f"diffusion-scenes: {TOO_LARGE}, or set height and width; gan-scenes: "),
        ("--init big.png --model gan-scenes", TOO_LARGE),
        ("--init fine.png --strength 0.01 --model diffusion-scenes", LITTLE),
        (
            "--control big.png --model diffusion-scenes,controlnet=control-scenes-outline",
            "control_image is 64x64 px, and images of this generator are 32x32 px; scale it",
        ),
    ],
)
def test_what_no_model_can_use_leaves_an_earlier_drawing_as_it_was(
    capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    toys.toy_image(0).save("fine.png")
    toys.toy_image(0).resize((64, 64)).save("big.png")
    draw(capsys, "--model", TOY, "--out", "o.png")
    before = {file: file.read_bytes() for file in Path().rglob("*.png")}
    more = [] if "--model" in words else ["--model", "diffusion-scenes", "--model", "gan-scenes"]
    assert main(["draw", BLUE, *words.split(), *more, "--out", "o.png"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no model can do the task ")
    assert says in err
    assert err.count("\n") == 1
    assert {file: file.read_bytes() for file in Path().rglob("*.png")} == before


def test_a_model_that_refuses_a_picture_is_not_loaded_and_the_others_draw(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiffusersGenerator, "load", lambda *_: pytest.fail("it was loaded"))
    words = ("--init", INIT, "--model", "diffusion-scenes", "--model", EDIT)
    made, err = draw(capsys, *words, code=1)
    assert "warning: diffusion-scenes failed: init_image is 8x8 px, and images of this gen" in err
    lost, drawn = made["pictures"]
    assert lost["path"] is None
    assert drawn["path"]


def test_a_controlnet_without_a_part_in_it_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    toys.toy_image(0).save("init.png")
    model = "diffusion-scenes,controlnet=control-scenes-outline,num_inference_steps=2"
    made, err = draw(capsys, "--init", "init.png", "--samples", "2", "--model", model)
    said = f"{model}: ControlNet not used: the task is image_to_image, and it acts in control alone"
    assert made["remarks"][-1] == said
    assert err.count(said) == err.count("ControlNet") == 1
    toys.toy_image(1).save("outline.png")
    made, err = draw(capsys, "--control", "outline.png", "--model", model)
    assert "ControlNet" not in err


def test_what_is_odd_about_a_file_that_is_drawn_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("photos").mkdir()
    toys.toy_image(0).save("photos/00001_0.jpg")
    _, err = draw(capsys, "--model", "photos")
    assert "warning: photos: 1 picture is JPEG; against lossless files that moves" in err


def test_a_drawing_without_pictures_replaces_nothing(
    capsys: pytest.CaptureFixture[str], toy_gan: Path
) -> None:
    first, _ = draw(capsys, "--model", TOY, "--samples", "2", "--out", "o.png")
    before = {file: file.read_bytes() for file in Path().rglob("*.png")}
    broken = f"{TOY},broken=load"
    lost, err = draw(capsys, "--model", broken, "--out", "o.png", code=1)
    assert (lost["grid"], first["grid"]) == (None, "o.png")
    assert err == f"warning: {broken} failed: the toy does not want to be loaded\n"
    assert {file: file.read_bytes() for file in Path().rglob("*.png")} == before
    assert main(["draw", BLUE, "--model", broken, "--out", "o.png", "--open", "--quiet"]) == 1
    assert capsys.readouterr().out == ""


def test_pictures_of_an_earlier_drawing_go_and_those_of_others_stay(
    capsys: pytest.CaptureFixture[str], toy_pipeline: Path
) -> None:
    way = ("--model", f"{toy_pipeline},num_inference_steps=3", "--steps-shown", "2")
    draw(capsys, "--model", TOY, *way, "--samples", "2", "--out", "o.png")
    assert len(list(Path("o").rglob("*.webp"))) == 1
    mine = Path("o/2-mine/holiday.png")
    mine.parent.mkdir()
    Image.new("RGB", (4, 4)).save(mine)
    Path("o/images").mkdir()  # of a run of that name
    kept = Path("o/1-of-mine/00001_9.png"), Path("o/images/00001_0.png")
    kept[0].parent.mkdir()
    Image.new("RGB", (4, 4)).save(kept[0])
    write_png(kept[1], pixels(INIT))
    made, _ = draw(capsys, "--model", TOY, "--out", "o.png")
    [picture] = made["pictures"]
    files = {file for file in Path("o").rglob("*") if file.is_file()}
    assert files == {Path(picture["path"]), mine, *kept}
    assert not list(Path("o").rglob("steps"))
    made, _ = draw(capsys, *way, "--out", "o.png")
    frames = [Path(one["path"]) for one in made["pictures"]]
    films = [frames[-1].with_name("00001_steps.webp")]
    films += [one.with_name(f"{one.stem}_estimate.png") for one in frames[1:]]
    assert {file for file in Path("o").rglob("*") if file.is_file()} == {
        *(mine, *kept),
        *frames,
        *films,
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--mask MASK", "--mask takes --init, the picture that changes inside of it"),
        ("--init INIT --control CONTROL", "--control goes without --init, --mask"),
        ("--strength 0.5", "--strength says how far to go from a picture; give --init"),
        ("--control CONTROL --strength 0.5", "--strength says how far to go from a picture"),
        ("--init INIT --strength 0", "--strength must be above 0 and at most 1, got 0"),
        ("--init INIT --strength 1.5", "--strength must be above 0 and at most 1, got 1.5"),
        ("--init INIT --strength nan", "--strength must be above 0 and at most 1, got nan"),
        ("--init init_image-00.png", "--init: there is no file init_image-00.png; did you mean"),
        ("--init text.png", "--init: text.png cannot be read: "),
        ("--init here", "--init: here cannot be read: Is a directory"),
        ("--init alpha.png", "--init: alpha.png has an alpha channel or a transparent colour"),
        ("--init INIT --mask small.png", "--mask small.png is 4x6 px, and the init image 8x8 px"),
        ("--init INIT --mask grey.png", "--mask grey.png has grey levels, such as 100; must be 0"),
        ("--init INIT --mask zero.png", "--mask zero.png is 0 everywhere, so that nothing may"),
        ("--init INIT --mask full.png", "--mask full.png is 255 everywhere, so that nothing is"),
        ("--init INIT --mask INIT", "--mask: init_image-0.png must be one grey picture of 0"),
        ("--control white.png", "--control white.png is of one colour, (255, 255, 255), so that"),
        (
            "--control alpha.png",
            "--control: alpha.png is transparent: laid over white it is of one",
        ),
        (f"--init INIT --mask MASK --model {TOY}", f"{TOY} cannot inpaint: its abilities are"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    Path("here").mkdir()
    Path("text.png").write_text("no picture")
    Image.new("RGBA", (SIDE, SIDE)).save("alpha.png")
    Image.new("RGB", (SIDE, SIDE), "white").save("white.png")
    for name, level, size in (
        ("small", 255, (4, 6)),
        ("grey", 100, (SIDE, SIDE)),
        ("zero", 0, (SIDE, SIDE)),
        ("full", 255, (SIDE, SIDE)),
    ):
        Image.new("L", size, level).save(f"{name}.png")
    before = sorted(Path().rglob("*"))
    given = words.replace("INIT", INIT).replace("MASK", MASK).replace("CONTROL", CONTROL).split()
    model = [] if "--model" in given else ["--model", f"{EDIT},log=log"]
    assert main(["draw", BLUE, *given, *model, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_pixels_of_another_kind_are_refused() -> None:
    with pytest.raises(RequestError, match="--init: init_image must be a uint8 array of shape"):
        gandiff.draw(BLUE, [EDIT], init=np.zeros((4, 4), np.uint8))
    with pytest.raises(RequestError, match="--mask: must be the path of a picture, got nothing"):
        gandiff.draw(BLUE, [EDIT], init=INIT, mask=" ")


def test_units_paint_and_so_may_the_prompt(
    toy_painter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = f"{toy_painter},inversion_steps=4,inversion_candidates=16"
    for field, picture in toys.edit_pictures(32, 0).items():
        Image.fromarray(picture).save(f"{field}.png")
    toys.toy_image(0).save("init.png")
    words = ("--init", "init.png", "--mask", "mask.png", "--model", quick)
    made = {}
    for paint in ("star", "-object", "prompt"):
        drawn, _ = draw(capsys, *words, "--paint", paint, "--out", f"{paint}.png")
        made[paint] = pixels(drawn["pictures"][0]["path"])
        ready = open_model(f"{quick},units={paint}" if paint != "prompt" else quick)
        request = {"init": "init.png", "mask": "mask.png", "paint": "prompt"}
        [same] = gandiff.draw(BLUE, {"it": ready}, **request).pictures
        np.testing.assert_array_equal(made[paint], same.image)
    outside = pixels("mask.png") == 0
    for one in made.values():
        np.testing.assert_array_equal(one[outside], pixels("init.png")[outside])
    assert len({one.tobytes() for one in made.values()}) == 3


@pytest.mark.parametrize("paint", ["prompt", "blue ring", "red star"])
def test_units_in_the_model_and_in_paint_are_refused(
    capsys: pytest.CaptureFixture[str], paint: str
) -> None:
    model = "gan-scenes,units=red star"
    words = ("--init", INIT, "--mask", MASK, "--model", model, "--paint", paint)
    assert main(["draw", BLUE, *words]) == 2
    assert capsys.readouterr() == (
        "",
        f"error: model '{model}': units stand in the model and in --paint; give one\n",
    )
    assert not Path("runs").exists()


def test_units_of_a_text() -> None:
    assert units_of("gan-scenes,units=red star, truncation_psi=0.5") == "red star"
    assert units_of("gan-scenes,truncation_psi=0.5,units=16:5") == "16:5"
    assert units_of("gan-scenes,units=") is units_of("diffusion-scenes") is None


def test_a_ready_painter_is_given_no_units() -> None:
    class Painter(Recorder):
        @property
        def info(self) -> GeneratorInfo:
            return dataclasses.replace(super().info, abilities=frozenset({"paint"}))

    painter, given = Painter(), {"init": INIT, "mask": MASK}
    with pytest.raises(RequestError, match="it paints as it was built to, and cannot be given the"):
        gandiff.draw(BLUE, {"it": painter}, paint="star", **given)
    assert painter.asked == []
    gandiff.draw(BLUE, {"it": painter}, paint="prompt", **given)
    assert [request.task for request in painter.asked] == ["paint"]
