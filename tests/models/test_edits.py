"""Tasks that take pictures, done by diffusion pipelines of four families."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from families import edits
from PIL import Image

from gandiff.models.compositing import feather
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generation, GenerationRequest, Task
from gandiff.models.tasks import SOURCES, inability

STEPS = 10
TASKS: tuple[Task, ...] = ("image_to_image", "inpaint", "control")
CLASSES = {
    "sd": "StableDiffusion{}Pipeline",
    "sdxl": "StableDiffusionXL{}Pipeline",
    "sd3": "StableDiffusion3{}Pipeline",
    "flux": "Flux{}Pipeline",
}
WORDS = {"image_to_image": "Img2Img", "inpaint": "Inpaint", "control": "ControlNet"}
GUIDED = {"sd": 2, "sdxl": 2, "sd3": 2, "flux": 1}  # evaluations a step
Place = Callable[[str], tuple[Path, dict[str, Any]]]

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
each_family = pytest.mark.parametrize("family", edits.BUILD)
each_task = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The folder with the toys of a family, and the settings of its pipeline."""

    @functools.cache
    def saved(family: str) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp(family)
        return folder, edits.save(family, folder)

    return saved


def make(place: Place, family: str, controlnet: str | None = "control", **settings: Any) -> Any:
    folder, own = place(family)
    control = {} if controlnet is None else {"controlnet": str(folder / controlnet)}
    chosen = {"num_inference_steps": STEPS, **own, **control, **settings}
    return DiffusersGenerator(name="toy", settings=DiffusersSettings(**chosen))


@pytest.fixture(scope="module")
def loaded(place: Place) -> Callable[..., DiffusersGenerator]:
    @functools.lru_cache(maxsize=4)
    def load(family: str, controlnet: str | None = "control") -> DiffusersGenerator:
        generator: DiffusersGenerator = make(place, family, controlnet)
        generator.load()
        return generator

    return load


def wanted(task: Task, count: int = 2, **changes: Any) -> list[GenerationRequest]:
    """Requests of a task, each with pictures of its own."""
    made = []
    for i, request in enumerate(toys.requests(count)):
        pictures = toys.edit_pictures(edits.SIDE, i)
        own: dict[str, Any] = {name: pictures[name] for name in SOURCES[task]}
        made.append(dataclasses.replace(request, task=task, **{**own, **changes}))
    return made


def image(made: Generation) -> np.ndarray:
    assert made.image is not None, made.reason
    return made.image.astype(int)


def free(made: Generation) -> np.ndarray:
    """What the pipeline made, before known pixels were put back."""
    return image(made) if made.uncomposited is None else made.uncomposited.astype(int)


@each_family
def test_abilities_are_known_before_it_is_loaded(place: Place, family: str) -> None:
    plain = {"text_to_image", "image_to_image", "inpaint"}
    assert make(place, family, None).info.abilities == plain
    assert make(place, family).info.abilities == {*plain, "control"}


@pytest.mark.parametrize(("channels", "able"), [(3, False), (4, True), (8, False)])
def test_who_cannot_inpaint_by_its_networks_says_so_before_it_is_loaded(
    tmp_path: Path, channels: int, able: bool
) -> None:
    """As after ``--space pixel``: the class of diffusers would stop at the first call."""
    pipe = toys.build_pipeline()
    pipe.save_pretrained(tmp_path)
    for part, field in (("unet", "in_channels"), ("vae", "latent_channels")):
        config = tmp_path / part / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), field: channels}))
    settings = DiffusersSettings(pipeline=str(tmp_path))
    info = DiffusersGenerator(name="toy", settings=settings).info
    assert info.abilities == {"text_to_image", "image_to_image"} | ({"inpaint"} if able else set())
    why = (
        "cannot inpaint: its abilities are text_to_image, image_to_image (the U-Net must have 4 or "
        f"9 input channels, and its has {channels})"
    )
    assert inability(info, "inpaint") == (None if able else why)


def test_other_families_make_images_of_text_alone(
    toy_family: Callable[[str], dict[str, Any]],
) -> None:
    settings = DiffusersSettings(**toy_family("lcm"))
    generator = DiffusersGenerator(name="toy", settings=settings)
    assert generator.info.abilities == {"text_to_image"}


@each_task
@each_family
def test_pixels_are_those_of_the_class_of_diffusers(
    place: Place,
    loaded: Callable[..., DiffusersGenerator],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    task: Task,
) -> None:
    import diffusers

    folder, own = place(family)
    cls: Any = getattr(diffusers, CLASSES[family].format(WORDS[task]))
    more: dict[str, Any] = {}
    if task == "control":
        kind = type(edits.controlnet(edits.BUILD[family]()))
        more["controlnet"] = kind.from_pretrained(folder / "control")
    pipe = cls.from_pretrained(own["pipeline"], **more)
    pipe.set_progress_bar_config(disable=True)
    # What classes draw of control images: SD3's with no generator, FLUX's with that of the noise.
    from_outside = task == "control" and family in ("sd3", "flux")
    if from_outside:
        monkeypatch.setattr(pipe.vae, "encode", without_generator(pipe.vae.encode))
    count = 1 if from_outside else 2
    requests = wanted(task, count, strength=None if task == "control" else 0.5)
    pictures: dict[str, Any] = {}
    for name in SOURCES[task]:
        given = [Image.fromarray(getattr(one, name)) for one in requests]
        argument = {"init_image": "image", "mask": "mask_image", "control_image": "image"}[name]
        is_own = name == "control_image" and family in ("sd3", "flux")
        pictures["control_image" if is_own else argument] = given
    operation = make(place, family).info.settings
    sized = {"height": edits.SIDE, "width": edits.SIDE}
    torch.manual_seed(requests[0].seed ^ 0x5EED)
    expected = pipe(
        prompt=[one.prompt for one in requests],
        generator=[torch.Generator().manual_seed(one.seed) for one in requests],
        num_inference_steps=STEPS,
        guidance_scale=operation["guidance_scale"],
        output_type="np",
        **pictures,
        **({} if task == "control" else {"strength": 0.5}),
        **(sized if task == "inpaint" or family in ("sd3", "flux") else {}),
    ).images
    found = np.stack([free(one) for one in loaded(family).generate(requests)])
    assert np.abs(found - np.rint(expected * 255)).max() <= 1


def without_generator(encode: Callable[..., Any]) -> Callable[..., Any]:
    """An encoder whose latents are drawn from the global state."""

    def encoded(*args: Any, **kwargs: Any) -> Any:
        output = encode(*args, **kwargs)
        sample = output.latent_dist.sample
        output.latent_dist.sample = lambda generator=None: sample()
        return output

    return encoded


@each_family
def test_an_image_depends_on_its_request_alone(
    loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    generator = loaded(family)
    requests = [
        *wanted("control"),
        *wanted("inpaint", strength=0.5),
        *toys.requests(1),
        *wanted("image_to_image", strength=0.3),
        *wanted("inpaint", negative_prompt="blurry"),
    ]
    torch.manual_seed(1)
    together = generator.generate(requests)
    torch.manual_seed(2)
    backwards = generator.generate(requests[::-1])[::-1]
    alone = [generator.generate([one])[0] for one in requests]
    for other in (backwards, alone):
        for one, two in zip(together, other, strict=True):
            assert one.nfe == two.nfe
            assert np.abs(free(one) - free(two)).max() <= 1
    assert len({image(one).tobytes() for one in together}) == len(requests)


@each_family
def test_evaluations_are_those_of_the_steps_that_ran(
    loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    generator = loaded(family)
    for strength, steps in ((0.3, 3), (0.1, 1), (1.0, STEPS)):
        for task in ("image_to_image", "inpaint"):
            made = generator.generate(wanted(task, strength=strength))
            assert [one.nfe for one in made] == [steps * GUIDED[family]] * 2, (task, strength)
    assert generator.generate(wanted("control", 1))[0].nfe == STEPS * GUIDED[family]


@each_family
def test_known_pixels_are_put_back_and_what_was_made_is_kept(
    loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    requests = wanted("inpaint")
    for made, request in zip(loaded(family).generate(requests), requests, strict=True):
        known = request.mask == 0
        assert made.image is not None
        assert made.uncomposited is not None
        np.testing.assert_array_equal(made.image[known], request.init_image[known])
        whole = feather(request.mask) == 1
        np.testing.assert_array_equal(made.image[whole], made.uncomposited[whole])
        assert 0 < whole.sum() < (~known).sum()
        assert (made.uncomposited[known] != made.image[known]).any()


@each_family
def test_only_inpainting_has_an_image_before_compositing(
    loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    for task in ("text_to_image", "image_to_image", "control"):
        assert loaded(family).generate(wanted(task, 1))[0].uncomposited is None


@each_family
def test_the_more_strength_the_further_from_the_picture(
    loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    def apart(strength: float) -> float:
        (request,) = wanted("image_to_image", 1, strength=strength)
        (made,) = loaded(family).generate([request])
        return float(np.abs(image(made) - request.init_image).mean())

    assert apart(0.1) < apart(1.0)


@each_family
def test_a_fresh_controlnet_changes_nothing_bit_for_bit(
    loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    plain = loaded(family, None).generate(wanted("text_to_image"))
    zero = loaded(family, "zero").generate(wanted("control"))
    for one, two in zip(plain, zero, strict=True):
        np.testing.assert_array_equal(image(one), image(two))


@each_family
def test_the_conditioning_scale_says_how_strongly_a_controlnet_acts(
    place: Place, loaded: Callable[..., DiffusersGenerator], family: str
) -> None:
    (whole,) = loaded(family).generate(wanted("control", 1))
    off, half = (make(place, family, controlnet_conditioning_scale=scale) for scale in (0.0, 0.5))
    for generator in (off, half):
        generator.load()
    (nothing,) = off.generate(wanted("control", 1))
    (zero,) = loaded(family, "zero").generate(wanted("control", 1))
    np.testing.assert_array_equal(image(nothing), image(zero))
    apart = [np.abs(image(one) - image(zero)).mean() for one in half.generate(wanted("control", 1))]
    assert 0 < apart[0] != np.abs(image(whole) - image(zero)).mean()


@each_task
@each_family
def test_tasks_run_in_half_precision(place: Place, family: str, task: Task) -> None:
    generator = make(place, family)
    generator.load("cpu", "bfloat16")
    (made,) = generator.generate(wanted(task, 1))
    assert made.status == "ok", made.reason


def test_settings_are_tried_on_edits(loaded: Callable[..., DiffusersGenerator]) -> None:
    generator = loaded("sd")
    for task in TASKS:
        strength = None if task == "control" else 0.2
        generator.try_out(wanted(task, strength=strength), batch_size=2)
    assert generator.info.remarks == ()
    assert not generator.one_by_one


def test_the_way_of_an_edit_ends_in_its_image(loaded: Callable[..., DiffusersGenerator]) -> None:
    (request,) = wanted("inpaint", 1, strength=0.5)
    (made,) = loaded("sd").generate([request])
    assert (image(made) != free(made)).any()
    begin, late, end = loaded("sd").trace(request, [0.0, 0.8, 1.0])
    assert [(frame.step, frame.steps) for frame in (begin, late, end)] == [(0, 5), (4, 5), (5, 5)]
    np.testing.assert_array_equal(end.noisy, image(made))
    known = request.mask == 0
    for frame in (begin, late):  # what the network works on is what it is
        assert (frame.noisy[known] != request.init_image[known]).any()
    assert [frame.step for frame in loaded("sd").trace(request, [0.5])] == [2]


def test_arguments_of_the_controlnet_alone_go_to_its_calls(place: Place) -> None:
    generator = make(place, "sd", extra={"control_guidance_end": 0.5})
    generator.load()
    (text,) = generator.generate(wanted("text_to_image", 1))
    (control,) = generator.generate(wanted("control", 1))
    assert text.status == control.status == "ok"
    (edit,) = generator.generate(wanted("image_to_image", 1))
    assert edit.reason == (
        "extra.control_guidance_end is no argument of StableDiffusionImg2ImgPipeline, which does "
        "image_to_image; leave it out"
    )


@each_task
def test_a_controlnet_that_had_no_part_in_an_image_is_noted(
    loaded: Callable[..., DiffusersGenerator], task: Task
) -> None:
    (made,) = loaded("sd").generate(wanted(task, 1))
    said = f"ControlNet not used: the task is {task}, and it acts in control alone"
    assert made.reason == (None if task == "control" else said)
    assert loaded("sd", None).generate(wanted("inpaint", 1))[0].reason is None


def test_what_had_no_effect_is_noted_together(place: Place) -> None:
    generator = make(place, "sd", guidance_scale=1.0)
    generator.load()
    (made,) = generator.generate(wanted("text_to_image", 1, negative_prompt="blurry"))
    assert made.reason == (
        "negative prompt not used: guidance_scale is 1 / "
        "ControlNet not used: the task is text_to_image, and it acts in control alone"
    )


def test_the_controlnet_counts_among_the_parameters(
    loaded: Callable[..., DiffusersGenerator],
) -> None:
    network = edits.controlnet(toys.build_pipeline())
    own = sum(weight.numel() for weight in network.parameters())
    with_it, without = (loaded("sd", name).info.parameters for name in ("control", None))
    assert with_it is not None
    assert without is not None
    assert with_it - without == own
