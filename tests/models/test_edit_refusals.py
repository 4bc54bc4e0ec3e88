"""What cannot be edited, or not so: one line for each mistake, and nothing lost."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from families import edits
from hypothesis import given
from hypothesis import strategies as st

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.models.compositing import feather
from gandiff.models.diffusion import task_call
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generation, GenerationRequest, Task
from gandiff.models.tasks import SOURCES, request_problem

SIDE = edits.SIDE
ALL: Any = frozenset({"text_to_image", "image_to_image", "inpaint", "control"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toys of Stable Diffusion: ``pipeline``, ``control`` and ``zero``."""
    made = tmp_path_factory.mktemp("sd")
    edits.save("sd", made)
    return made


def make(pipeline: Path, **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": 10, "guidance_scale": 1.0, **settings}
    return DiffusersGenerator(
        name="toy", settings=DiffusersSettings(pipeline=str(pipeline), **chosen)
    )


@pytest.fixture(scope="module")
def generator(folder: Path) -> DiffusersGenerator:
    made = make(folder / "pipeline")
    made.load()
    return made


def wanted(task: Task, **changes: Any) -> GenerationRequest:
    pictures = toys.edit_pictures(SIDE)
    own = {name: pictures[name] for name in SOURCES[task]}
    return GenerationRequest(prompt="a star", seed=3, task=task, **{**own, **changes})


def unchecked(request: GenerationRequest, **fields: Any) -> GenerationRequest:
    """A request with fields that the checks of tests would not let pass."""
    for name, value in fields.items():
        object.__setattr__(request, name, value)
    return request


def mask(inside: int, outside: int, side: int = SIDE) -> np.ndarray:
    levels = np.full((side, side), outside, np.uint8)
    levels[: side // 2] = inside
    return levels


PIXELS = np.zeros((SIDE, SIDE, 3), np.uint8)
BAD: Mapping[str, tuple[GenerationRequest, str]] = {
    "no picture": (
        wanted("image_to_image", init_image=None),
        "the request has no init_image, which the task image_to_image takes",
    ),
    "one too many": (
        wanted("image_to_image", mask=mask(255, 0)),
        "the request has mask, which the task image_to_image does not take",
    ),
    "text with a picture": (
        wanted("text_to_image", control_image=PIXELS),
        "the request has control_image, which the task text_to_image does not take",
    ),
    "mask of another size": (
        unchecked(wanted("inpaint"), mask=mask(255, 0, 16)),
        "mask is 16x16 px, and the init image 32x32 px; must be of its size",
    ),
    "mask of 0": (wanted("inpaint", mask=mask(0, 0)), "mask is 0 everywhere"),
    "mask of 255": (wanted("inpaint", mask=mask(255, 255)), "mask is 255 everywhere"),
    "grey mask": (wanted("inpaint", mask=mask(255, 128)), "mask has grey levels, such as 128"),
    "strength 0": (
        wanted("image_to_image", strength=0.0),
        "strength must be above 0 and at most 1, got 0",
    ),
    "strength above 1": (wanted("inpaint", strength=1.5), "at most 1, got 1.5"),
    "strength nan": (wanted("inpaint", strength=float("nan")), "at most 1, got nan"),
    "strength of text": (
        wanted("text_to_image", strength=0.5),
        "has a strength, and the task text_to_image begins from no image",
    ),
    "paint": (
        wanted("paint"),
        "this generator cannot paint: its abilities are text_to_image, image_to_image, inpaint",
    ),
    "below a step": (
        wanted("image_to_image", strength=0.05),
        "strength 0.05 of 10 steps is less than one step; set strength to 0.1 at least, or more "
        "num_inference_steps",
    ),
    "another size": (
        wanted("image_to_image", init_image=np.zeros((16, 64, 3), np.uint8)),
        "init_image is 64x16 px, and images of this generator are 32x32 px; scale it, or set "
        "height and width",
    ),
    "no ControlNet": (
        wanted("control"),
        "this generator cannot do control: its abilities are text_to_image, image_to_image, "
        "inpaint",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_request_fails_alone_and_says_why(generator: DiffusersGenerator, what: str) -> None:
    bad, said = BAD[what]
    fine, failed, other = generator.generate([wanted("text_to_image"), bad, wanted("inpaint")])
    assert (fine.status, other.status) == ("ok", "ok")
    assert (failed.status, failed.image, failed.nfe) == ("failed", None, 0)
    assert said in str(failed.reason)
    assert "\n" not in str(failed.reason)


@pytest.mark.parametrize(
    ("field", "array", "said"),
    [
        ("init_image", np.zeros((4, 4, 4), np.uint8), "which has an alpha channel: lay it over"),
        ("init_image", np.zeros((4, 4), np.uint8), "(height, width, 3), got uint8 of (4, 4)"),
        ("init_image", np.zeros((4, 4, 3), np.float32), "got float32 of (4, 4, 3)"),
        ("mask", np.zeros((4, 4, 3), np.uint8), "of shape (height, width), got uint8 of (4, 4, 3)"),
        ("mask", np.zeros((4, 4), bool), "got bool of (4, 4)"),
        ("init_image", np.zeros((0, 4, 3), np.uint8), "got uint8 of (0, 4, 3)"),
    ],
)
def test_arrays_of_another_form_are_named(field: str, array: np.ndarray, said: str) -> None:
    problem = request_problem(unchecked(wanted("inpaint"), **{field: array}), ALL)
    assert problem is not None
    assert problem.startswith(f"{field} must be a uint8 array of shape")
    assert said in problem


def test_a_good_request_has_no_problem() -> None:
    for task in ("text_to_image", "image_to_image", "inpaint", "control"):
        assert request_problem(wanted(task), ALL) is None
    assert request_problem(wanted("inpaint", strength=1.0), ALL) is None


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_control_image_of_one_colour_is_refused(level: int) -> None:
    plain = np.full((SIDE, SIDE, 3), level, np.uint8)
    assert request_problem(wanted("control", control_image=plain), ALL) == (
        f"control_image is of one colour, ({level}, {level}, {level}), so that there is nothing to "
        "follow; must show lines or levels"
    )
    plain[0, 0, 2] = 128
    assert request_problem(wanted("control", control_image=plain), ALL) is None


def test_a_default_strength_below_a_step_is_refused(tmp_path: Path) -> None:
    edits.save("sdxl", tmp_path)
    few = make(tmp_path / "pipeline", num_inference_steps=2)
    few.load()
    (made,) = few.generate([wanted("image_to_image")])
    assert made.reason == (
        "strength 0.3 (that of the call of StableDiffusionXLImg2ImgPipeline) of 2 steps is less "
        "than one step; set strength to 0.5 at least, or more num_inference_steps"
    )


def test_it_is_refused_before_the_first_image_where_all_of_them_would_fail(
    generator: DiffusersGenerator,
) -> None:
    few = [wanted("image_to_image", strength=0.01), wanted("inpaint", strength=0.01)]
    with pytest.raises(GeneratorError, match=r"strength 0\.01 of 10 steps is less than one step"):
        generator.try_out(few)


SETTINGS = {
    "file": ({"controlnet": "c.safetensors"}, "controlnet must be a directory or a hub id"),
    "scale alone": ({"controlnet_conditioning_scale": 0.5}, "needs controlnet"),
    "scale below 0": (
        {"controlnet": "a/b", "controlnet_conditioning_scale": -1.0},
        "controlnet_conditioning_scale: must be",
    ),
    "of a cascade": (
        {"pipeline": None, "stages": ("a/b", "a/c"), "controlnet": "a/d"},
        "controlnet and stages exclude each other",
    ),
    "in extra": (
        {"extra": {"controlnet_conditioning_scale": 0.5}},
        "gandiff gives that argument itself",
    ),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_settings_that_contradict_each_other(what: str) -> None:
    settings, said = SETTINGS[what]
    with pytest.raises(SettingError) as caught:
        DiffusersSettings(**{"pipeline": "a/b", **settings})
    assert said in str(caught.value)


def edited(folder: Path, **config: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "another class": (
        lambda f: edited(f, _class_name="FluxControlNetModel"),
        "holds a FluxControlNetModel, and a StableDiffusionPipeline takes a ControlNetModel",
    ),
    "other channels": (
        lambda f: edited(f, conditioning_channels=6),
        "reads 6 channels, and is given a picture, which has 3",
    ),
    "no weights": (
        lambda f: (f / "diffusion_pytorch_model.safetensors").unlink(),
        "has no weights: there is no .safetensors file",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "torn": (
        lambda f: (f / "diffusion_pytorch_model.safetensors").write_bytes(b"torn"),
        "diffusion_pytorch_model.safetensors",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_controlnet_that_will_not_work_is_refused(
    folder: Path, tmp_path: Path, what: str
) -> None:
    spoil, said = WRONG[what]
    copy = Path(shutil.copytree(folder / "control", tmp_path / "control"))
    spoil(copy)
    with pytest.raises(GeneratorError) as caught:
        make(folder / "pipeline", controlnet=str(copy))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_controlnet_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    edits.controlnet(toys.build_pipeline(block_out_channels=(8, 32))).save_pretrained(tmp_path)
    with pytest.raises(
        GeneratorError,
        match=r"made for another network.*block_out_channels is \[8, 32\], and must be \[16, 32\]",
    ):
        make(folder / "pipeline", controlnet=str(tmp_path))


def test_what_no_file_says_of_its_network_is_seen_when_it_is_loaded(
    folder: Path, tmp_path: Path
) -> None:
    edits.controlnet(toys.build_pipeline(in_channels=5)).save_pretrained(tmp_path / "control")
    pipeline = Path(shutil.copytree(folder / "pipeline", tmp_path / "pipeline"))
    config = pipeline / "unet" / "config.json"
    said = json.loads(config.read_text())
    assert said.pop("in_channels") == 4  # which is what diffusers takes without it
    config.write_text(json.dumps(said))
    other = make(pipeline, controlnet=str(tmp_path / "control"))
    with pytest.raises(GeneratorError, match="its in_channels is 5, and must be 4; give one for"):
        other.load()


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(GeneratorError, match="there is no ControlNet at '/no/where'"):
        make(folder / "pipeline", controlnet="/no/where")
    with pytest.raises(GeneratorError, match="is a whole pipeline; give the folder of a controln"):
        make(folder / "pipeline", controlnet=str(folder / "pipeline"))


def test_a_pipeline_that_takes_no_controlnet_says_so(
    folder: Path, toy_family: Callable[[str], dict[str, Any]]
) -> None:
    pipeline = Path(toy_family("lcm")["pipeline"])
    with pytest.raises(GeneratorError, match="and the pipeline is a LatentConsistencyModelPipe"):
        make(pipeline, controlnet=str(folder / "control"))


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_network_for_inpainting_does_that_alone(tmp_path: Path, family: str) -> None:
    edits.inpainter(family).save_pretrained(tmp_path)
    generator = make(tmp_path)
    assert generator.info.abilities == {"inpaint"}
    generator.load()
    requests = [
        wanted("inpaint"),
        dataclasses.replace(wanted("inpaint", strength=0.5), prompt="a ring left of a heart"),
        wanted("text_to_image"),
    ]
    made, half, text = generator.generate(requests)
    assert (half.nfe, text.nfe) == (5, 0)
    assert text.reason == "this generator cannot do text_to_image: its abilities are inpaint"
    for one in (made, half):
        assert one.image is not None
        assert one.uncomposited is not None
        known = requests[0].mask == 0
        np.testing.assert_array_equal(one.image[known], requests[0].init_image[known])
        whole = feather(requests[0].mask) == 1
        assert (one.uncomposited[whole] == one.image[whole]).all()
    (alone,) = generator.generate(requests[1:2])
    assert _apart(alone, half) <= 1
    blank = dataclasses.replace(requests[0], init_image=requests[0].init_image // 2)
    assert _apart(generator.generate([blank])[0], made) > 1  # it reads what is known


def _apart(one: Generation, other: Generation) -> int:
    assert one.uncomposited is not None
    assert other.uncomposited is not None
    return int(np.abs(one.uncomposited.astype(int) - other.uncomposited.astype(int)).max())


def test_a_network_for_editing_otherwise_is_refused(tmp_path: Path) -> None:
    edits.inpainter("sd", channels=8).save_pretrained(tmp_path)
    with pytest.raises(GeneratorError, match="takes 8 channels; for inpainting it must take 9"):
        make(tmp_path)


@given(st.integers(2, 1000))
def test_the_strength_that_is_recommended_is_enough(steps: int) -> None:
    share = task_call._up(1 / steps)
    assert 1 <= share * steps < 1 + 0.01 * steps
