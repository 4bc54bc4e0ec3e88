"""``gandiff draw``: the pictures of a run, side by side, and requests that are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_generators
from PIL import Image
from run_helpers import TOY, write_comparison

import gandiff
from gandiff.experiments.cli import main
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.paths import shipped_comparisons
from gandiff.experiments.draw.grid import LARGE, SIDE, SMALL
from gandiff.experiments.draw.models import open_model
from gandiff.experiments.runs.traces import moments
from gandiff.models.callable import CallableGenerator
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.folder import FolderGenerator
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.gan.model import TextToImageGan
from gandiff.models.generator import GenerationRequest

STAR, RING = "a red star", "a blue ring"
LEFT = 28 + 124  # px: margin and labels
Pixels = np.ndarray[Any, Any]

pytestmark = pytest.mark.usefixtures("empty_folder")


def draw(
    capsys: pytest.CaptureFixture[str], *words: str, code: int = 0
) -> tuple[dict[str, Any], str]:
    """Run the command with ``--json``; what it says on stdout and on stderr."""
    assert main(["draw", *words, "--json", "--quiet"]) == code
    out, err = capsys.readouterr()
    return json.loads(out), err


def pixels(path: str | Path) -> Pixels:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def where(page: Pixels, picture: Pixels, side: int = SIDE - 2) -> list[tuple[int, int]]:
    """Where in a page (x, y) a picture is, enlarged by the largest whole factor that fits."""
    factor = side // len(picture)
    big = picture.repeat(factor, 0).repeat(factor, 1)
    height, width = big.shape[:2]
    corners = np.argwhere((page[: 1 - height, : 1 - width] == big[0, 0]).all(axis=2))
    return [(x, y) for y, x in corners if (page[y : y + height, x : x + width] == big).all()]


def test_the_pictures_are_those_of_a_run(
    capsys: pytest.CaptureFixture[str], toy_gan: Path, toy_pipeline: Path
) -> None:
    generators = {
        "toy": {"type": TOY, "shade": 9},
        "gan": {"type": "gan", "weights": str(toy_gan)},
        "diffusion": {
            "type": "diffusers",
            "pipeline": str(toy_pipeline),
            "num_inference_steps": 3,
        },
    }
    file = write_comparison(Path("made"), [STAR, RING], generators=generators, seed=5)
    assert main(["generate", str(file), "--out", "run", "--quiet"]) == 0
    capsys.readouterr()
    models = [f"{TOY},shade=9", str(toy_gan), f"{toy_pipeline},num_inference_steps=3"]
    chosen = [word for model in models for word in ("--model", model)]
    made, err = draw(capsys, STAR, RING, "--samples", "2", "--seed", "5", *chosen)
    assert err == f"warning: {models[2]}: runs off its native point: 3 steps, made for 50\n"
    rows = [json.loads(line) for line in Path("run/images.jsonl").read_text().splitlines()]
    assert len(made["pictures"]) == len(rows) == 12
    for picture in made["pictures"]:
        name = list(generators)[models.index(picture["model"])]
        [row] = [
            row
            for row in rows
            if (row["generator"], row["prompt_id"], row["sample"])
            == (name, picture["prompt_id"], picture["sample"])
        ]
        assert picture["seed"] == row["seed"]
        assert (pixels(picture["path"]) == pixels(Path("run") / row["path"])).all()


def test_more_samples_and_prompts_leave_the_pictures_as_they_are(
    capsys: pytest.CaptureFixture[str], toy_gan: Path
) -> None:
    few, _ = draw(capsys, STAR, "--model", str(toy_gan), "--out", "few.png")
    many, _ = draw(
        capsys, STAR, RING, "--samples", "3", "--model", str(toy_gan), "--out", "many.png"
    )
    first = many["pictures"][0]
    assert first["seed"] == few["pictures"][0]["seed"]
    near = pixels(first["path"]).astype(int) - pixels(few["pictures"][0]["path"])
    assert abs(near).max() <= 1  # kernels are chosen by the shape of a batch
    other, _ = draw(capsys, STAR, "--model", str(toy_gan), "--seed", "1")
    assert other["pictures"][0]["seed"] != first["seed"]


def test_every_column_has_the_same_seeds_and_every_picture_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made, _ = draw(capsys, STAR, RING, "--model", TOY, "--model", f"{TOY},shade=200")
    page = pixels(made["grid"])
    dark, light = made["pictures"][:2], made["pictures"][2:]
    assert [p["seed"] for p in dark] == [p["seed"] for p in light]
    assert dark[0]["seed"] != dark[1]["seed"]
    [(x1, y1)], [(x2, y2)] = (where(page, pixels(p["path"])) for p in dark)
    assert x1 == x2 == LEFT + 1
    assert y2 - y1 > SIDE
    assert [where(page, pixels(p["path"])) for p in light] == [
        [(x1 + SIDE + 14, y1)],
        [(x1 + SIDE + 14, y2)],
    ]
    assert page.shape == (y2 + SIDE - 1 + 28, x1 + 2 * SIDE + 14 - 1 + 28, 3)


def test_the_grid_says_which_model_and_prompt_a_picture_is_of() -> None:
    def page(prompt: str, name: str) -> tuple[Pixels, int]:
        made = gandiff.draw(prompt, {name: CallableGenerator("noise", toy_generators.paint)})
        image = made.pictures[0].image
        assert image is not None
        [(_, y)] = where(pixels(made.grid), image)
        return pixels(made.grid), y

    star, top = page(STAR, "one")
    ring, _ = page(RING, "one")
    other, _ = page(STAR, "two")
    rows, columns = np.nonzero((star != ring).any(axis=2))  # the title, below the heads
    assert 28 + 46 < rows.min() < rows.max() < top
    assert star[rows, columns].min() < 60  # dark letters on a light page
    rows, columns = np.nonzero((star != other).any(axis=2))  # the head, above its column
    assert rows.max() < 28 + 46
    assert LEFT <= columns.min() < columns.max() < LEFT + SIDE
    assert (star[:top] == 255).mean() > 0.9


@pytest.mark.parametrize(("side", "cell"), [(8, SIDE), (100, SIDE), (288, SIDE), (300, LARGE)])
def test_pictures_of_any_size_keep_their_pixels(side: int, cell: int) -> None:
    def noise(prompts: list[str], seeds: list[int]) -> Pixels:
        return np.random.default_rng(seeds).integers(0, 256, (1, side, side, 3), dtype=np.uint8)

    made = gandiff.draw(STAR, {"noise": CallableGenerator("noise", noise)}, out="x.png")
    page, image = pixels(made.grid), made.pictures[0].image
    assert image is not None
    assert image.shape == (side, side, 3)
    [(x, _)] = where(page, image, cell - 2)
    shown = (cell - 2) // side * side
    assert x == LEFT + (cell - shown) // 2
    assert page.shape[1] == LEFT + cell + 28


def test_large_pictures_are_reduced_and_many_rows_smaller() -> None:
    def wide(prompts: list[str], seeds: list[int]) -> Pixels:
        image = np.zeros((len(prompts), 400, 1000, 3), np.uint8)
        image[..., :500, :] = (250, 0, 0)
        return image

    one = gandiff.draw(STAR, {"wide": CallableGenerator("wide", wide)})
    red = np.argwhere((pixels(one.grid) == (250, 0, 0)).all(axis=2))
    assert np.ptp(red, axis=0) == pytest.approx([512 * 0.4, 256], abs=5)
    many = gandiff.draw(STAR, {"n": CallableGenerator("n", toy_generators.paint)}, samples=5)
    page = pixels(many.grid)
    assert page.shape[1] == LEFT + SMALL + 28
    assert all(p.image is not None and where(page, p.image, 192) for p in many.pictures)


def test_the_strip_shows_the_steps_of_the_first_sample(
    capsys: pytest.CaptureFixture[str], toy_pipeline: Path
) -> None:
    model = f"{toy_pipeline},num_inference_steps=6"
    words = (STAR, "--samples", "2", "--model", model, "--model", TOY, "--steps-shown", "5")
    made, err = draw(capsys, *words)
    assert err == f"warning: {model}: runs off its native point: 6 steps, made for 50\n"
    frames = [p for p in made["pictures"] if p["step"] is not None]
    assert [(f["model"], f["sample"], f["step"], f["steps"]) for f in frames] == [
        (model, 0, step, 6) for step in (0, 2, 3, 4, 6)
    ]
    generator = open_model(model)
    generator.load()
    request = GenerationRequest(prompt=STAR, seed=frames[0]["seed"])
    page = pixels(made["grid"])
    places = []
    for frame, wanted in zip(frames, generator.trace(request, moments(5)), strict=True):
        assert (pixels(frame["path"]) == wanted.noisy).all()
        estimate = Path(frame["path"]).with_suffix("")
        assert (pixels(f"{estimate}_estimate.png") == wanted.estimate).all()
        places += where(page, wanted.noisy, 66)
    assert len(places) == 5
    end, drawn = (pixels(p["path"]).astype(int) for p in (frames[-1], made["pictures"][0]))
    assert abs(end - drawn).max() <= 1  # made alone and in a batch of two
    film = Path(frames[0]["path"]).with_name("00001_steps.webp")
    with Image.open(film) as animation:
        assert (animation.n_frames, animation.size) == (5, (264, 132))
    assert [y for _, y in places] == sorted(y for _, y in places)
    assert len({y for _, y in places}) == 2  # lines
    first, second = (pixels(p["path"]) for p in made["pictures"][:2])
    assert where(page, first)[0][1] < places[0][1] < places[4][1] < where(page, second)[0][1]
    x, y = LEFT + SIDE + 14, places[0][1]  # the toy has no steps, and a word says so
    box = page[y : y + 60, x : x + SIDE]
    assert (box == (245, 246, 247)).all(axis=2).mean() > 0.9
    assert box.min() < 130


BROKEN = {
    f"{TOY},broken=load": (STAR, "the toy does not want to be loaded"),
    f"{TOY},log=log": ("RAISE", "RuntimeError: the toy broke on two lines"),
    f"{TOY},log=log,shade=1": ("MEMORY", "no more"),
    f"{TOY},log=log,shade=2": ("SHORT", "the generator returned 0 images for 1 request"),
    f"{TOY},log=log,shade=3": ("NAN", "NaN in the image"),
}


@pytest.mark.parametrize("model", BROKEN)
def test_a_model_that_fails_leaves_the_others_drawn(
    capsys: pytest.CaptureFixture[str], toy_gan: Path, model: str
) -> None:
    prompt, reason = BROKEN[model]
    made, err = draw(capsys, prompt, "--model", model, "--model", str(toy_gan), code=1)
    assert err == f"warning: {model} failed: {reason}\n"
    lost, drawn = made["pictures"]
    assert (lost["path"], lost["reason"]) == (None, reason)
    page = pixels(made["grid"])
    [(_, y)] = where(page, pixels(drawn["path"]))
    box = page[y : y + SIDE - 2, LEFT : LEFT + SIDE]
    assert (box == (245, 246, 247)).all(axis=2).mean() > 0.98
    assert box.min() < 130  # the word


def test_steps_that_cannot_be_shown_are_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("breaks.py").write_text(
        "from toy_generators import ToyGenerator\nimport dataclasses\n"
        "class Breaks(ToyGenerator):\n"
        "    def __init__(self, name):\n"
        "        super().__init__(name)\n"
        "        facts = {'settings': {'num_inference_steps': 3}}\n"
        "        self._info = dataclasses.replace(self._info, **facts)\n"
        "    def trace(self, request, steps):\n"
        "        raise NotImplementedError('nothing to see')\n"
    )
    made, err = draw(capsys, STAR, "--model", "breaks.py:Breaks", "--steps-shown", "3", code=1)
    assert err == "warning: breaks.py:Breaks failed: nothing to see\n"
    assert made["pictures"][0]["path"]


def test_prompts_that_are_not_read_to_the_end_are_named(
    capsys: pytest.CaptureFixture[str], toy_gan: Path
) -> None:
    prompt = "a red star " * 20
    made, err = draw(capsys, prompt, "--model", str(toy_gan))
    unread = made["pictures"][0]["unread_tokens"]
    assert unread > 0
    assert err == (
        f"warning: {toy_gan} did not read the last {unread} tokens of {prompt.strip()!r}\n"
    )


def test_what_a_model_is_called(toy_gan: Path, toy_pipeline: Path) -> None:
    Path("photos").mkdir()
    Image.new("RGB", (4, 4)).save("photos/00001_0.jpg")
    assert isinstance(open_model("gan-scenes"), GanGenerator)
    assert isinstance(open_model("gan"), GanGenerator)
    assert isinstance(open_model(str(toy_gan)), GanGenerator)
    assert isinstance(open_model(str(toy_pipeline)), DiffusersGenerator)
    assert isinstance(open_model("photos"), FolderGenerator)
    assert isinstance(open_model("folder,folder=photos"), FolderGenerator)
    assert type(open_model(TOY)).__name__ == "ToyGenerator"
    assert isinstance(open_model("gandiff.experiments.scenes.oracle:sample"), CallableGenerator)
    settings = open_model(
        f"{toy_pipeline}, num_inference_steps=4, scheduler_options={{"
        "trained_betas: [0.1, 0.2], beta_schedule: linear},revision=r"
    ).info.settings
    assert settings["num_inference_steps"] == 4
    assert settings["scheduler_options"] == {
        "trained_betas": [0.1, 0.2],
        "beta_schedule": "linear",
    }


def test_shipped_models_have_the_settings_of_the_shipped_comparison() -> None:
    headline = load_comparison(shipped_comparisons()["scenes"]).generators["ddim-20"]
    settings = dict(open_model("diffusion-scenes").info.settings)
    assert settings.pop("resolved")["num_inference_steps"] == "set"
    assert settings == dict(headline.settings)
    changed = open_model("diffusion-scenes,guidance_scale=3").info.settings
    assert {**changed} == {**settings, "guidance_scale": 3.0, "resolved": changed["resolved"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["  "], "the prompt is empty; write what to draw, such as 'a red star'"),
        ([STAR, ""], "the prompt is empty; write what to draw, such as 'a red star'"),
        (
            [STAR, "--model", "gan-scene"],
            "no model is named 'gan-scene': it is neither shipped, nor a generator type, a folder, "
            "module:factory or an id on the hub; did you mean 'gan-scenes'?",
        ),
        (
            [STAR, "--model", "here/tois"],
            "no model is named 'here/tois': it is neither shipped, nor a generator type, a folder, "
            "module:factory or an id on the hub; did you mean 'here/toys'?",
        ),
        (
            [STAR, "--model", "gan-scenes,psi=1"],
            "generator 'gan-scenes,psi=1': psi: unknown field; there is inversion_candidates, "
            "inversion_steps, truncation_psi, units, weights",
        ),
        ([STAR, "--model", "nobody/nothing"], "the hub pipeline 'nobody/nothing'"),
        ([STAR, "--model", "here"], "here holds no image files"),
        ([STAR, "--model", "gone.py:build"], "there is no file"),
        ([STAR, "--model", "gan-scenes,truncation_psi={"], "truncation_psi"),
        ([STAR, "--model", TOY, "--model", TOY], f"the model {TOY} is given twice"),
        (
            [STAR, "--steps-shown", "22", "--model", "diffusion-scenes"],
            "diffusion-scenes makes 20 steps, so it cannot show 22",
        ),
        (
            [STAR, "--steps-shown", "2", "--model", TOY],
            f"none of the models has steps to show: {TOY}",
        ),
        (
            [STAR, "--out", "x.jpg"],
            "--out x.jpg: give a name ending in .png",
        ),
        ([STAR, "--out", "plain.png"], "the pictures go to the folder plain; it is a file"),
        ([STAR, "--samples", "0"], "invalid value for '--samples'"),
        ([STAR, "--model", f"{TOY},broken=build"], "the toy does not want to be built"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    Path("here/toys").mkdir(parents=True)
    Path("plain").touch()
    before = sorted(Path().rglob("*"))
    assert main(["draw", *words, "--model", f"{TOY},log=log", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")  # nobody waits for a viewer
def test_it_prints_the_path_and_opens_the_picture_if_asked_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    viewer = tmp_path / "bin" / "xdg-open"
    viewer.parent.mkdir()
    viewer.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    viewer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{viewer.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert main(["draw", "A star, twice!", STAR, "--model", TOY, "--quiet"]) == 0
    assert capsys.readouterr() == ("runs/draw/a-star-twice-and-1-more.png\n", "")
    assert not (tmp_path / "opened").exists()  # stdout is no terminal
    assert main(["draw", STAR, "--model", TOY, "--open"]) == 0
    out, err = capsys.readouterr()
    assert out == "runs/draw/a-red-star.png\n"
    assert "drawing" in err
    for _ in range(50):
        if (tmp_path / "opened").exists() and (tmp_path / "opened").read_text():
            break
        time.sleep(0.1)
    assert (tmp_path / "opened").read_text() == out


@pytest.mark.slow  # measured alone: beside other tests it takes a multiple of its processor time
def test_what_a_student_types_first_takes_less_than_fifteen_seconds() -> None:
    command = [str(Path(sys.executable).with_name("gandiff")), "draw", STAR]
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    assert done.stdout == "runs/draw/a-red-star.png\n"
    pictures = sorted(Path("runs/draw/a-red-star").rglob("*.png"))
    assert [p.parent.name for p in pictures] == ["1-gan-scenes", "2-diffusion-scenes"]
    page = pixels(done.stdout.strip())
    [(x1, y1)], [(x2, y2)] = (where(page, pixels(path)) for path in pictures)
    assert x1 < x2
    assert y1 == y2
    # Processor time: other work must not decide.
    used = sum(
        getattr(after, f"children_{k}") - getattr(before, f"children_{k}")
        for k in ("user", "system")
    )
    assert 0 < used < 15


def test_models_of_the_same_weights_are_loaded_once(
    toy_gan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    whole = TextToImageGan.from_folder
    remember = staticmethod(lambda folder: read.append(folder) or whole(folder))
    monkeypatch.setattr(TextToImageGan, "from_folder", remember)
    models = [f"{toy_gan},truncation_psi=0.2", TOY, str(toy_gan)]
    words = [word for model in models for word in ("--model", model)]
    said, _ = draw(capsys, STAR, *words)
    assert read == [toy_gan]
    near, _, far = (pixels(picture["path"]) for picture in said["pictures"])
    assert (near != far).any()
