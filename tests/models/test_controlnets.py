"""ControlNets for several kinds of control images, and FLUX that reads pictures beside noise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from families import edits, flows, unets
from PIL import Image

from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generation, GenerationRequest, Task
from gandiff.models.tasks import SOURCES

STEPS = 4
SIZE = {"height": edits.SIDE, "width": edits.SIDE}
UNIONS = {
    "sdxl": "StableDiffusionXLControlNetUnionPipeline",
    "flux": "FluxControlNetPipeline",
}
PACKED: dict[str, Task] = {"FluxFillPipeline": "inpaint", "FluxControlPipeline": "control"}
Place = Callable[[str], Path]

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
each_union = pytest.mark.parametrize("family", UNIONS)
each_packed = pytest.mark.parametrize("kind", PACKED)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The folder of a family, with ControlNets ``union`` and ``zero``, or of a packed pipeline."""

    @functools.cache
    def saved(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        if name in PACKED:
            edits.packed(name).save_pretrained(folder)
            return folder
        pipe = edits.BUILD[name]()
        pipe.save_pretrained(folder / "pipeline")
        edits.union(pipe).save_pretrained(folder / "union")
        edits.union(pipe, zero=True).save_pretrained(folder / "zero")
        return folder

    return saved


def make(pipeline: Path, **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": STEPS, **SIZE, **settings}
    return DiffusersGenerator(
        name="toy", settings=DiffusersSettings(pipeline=str(pipeline), **chosen)
    )


def wanted(task: Task, number: int = 0, **changes: Any) -> GenerationRequest:
    pictures = toys.edit_pictures(edits.SIDE, number)
    own: dict[str, Any] = {name: pictures[name] for name in SOURCES[task]}
    prompt = toys.PROMPTS[number]
    return GenerationRequest(prompt=prompt, seed=3 + number, task=task, **{**own, **changes})


def draw(generator: DiffusersGenerator, *requests: GenerationRequest) -> list[np.ndarray]:
    generator.load()
    return [free(one) for one in generator.generate(requests)]


def free(made: Generation) -> np.ndarray:
    """What the pipeline made, before known pixels were put back."""
    pixels = made.image if made.uncomposited is None else made.uncomposited
    assert pixels is not None, made.reason
    return pixels.astype(int)


def by_diffusers(
    pipe: Any, request: GenerationRequest, monkeypatch: pytest.MonkeyPatch, **call: Any
) -> np.ndarray:
    """The image of a request by a pipeline's own call, whose control image draws from outside."""
    pipe.set_progress_bar_config(disable=True)
    if request.task == "control":
        encode = pipe.vae.encode

        def encoded(*args: Any, **kwargs: Any) -> Any:
            output = encode(*args, **kwargs)
            sample = output.latent_dist.sample
            output.latent_dist.sample = lambda generator=None: sample()
            return output

        monkeypatch.setattr(pipe.vae, "encode", encoded)
    torch.manual_seed(request.seed ^ 0x5EED)
    images = pipe(
        prompt=request.prompt,
        generator=torch.Generator().manual_seed(request.seed),
        num_inference_steps=STEPS,
        output_type="np",
        **SIZE,
        **call,
    ).images
    return np.asarray(np.rint(images[0] * 255)).astype(int)


@each_union
def test_a_union_draws_what_the_class_of_diffusers_draws(
    place: Place, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    import diffusers

    folder, request = place(family), wanted("control")
    network: Any = type(edits.union(edits.BUILD[family]()))
    cls: Any = getattr(diffusers, UNIONS[family])
    controlnet = network.from_pretrained(folder / "union")
    pipe = cls.from_pretrained(folder / "pipeline", controlnet=controlnet)
    own = make(folder / "pipeline", controlnet=str(folder / "union"), control_mode=2)
    picture = Image.fromarray(request.control_image)
    expected = by_diffusers(
        pipe,
        request,
        monkeypatch,
        control_image=[picture] if family == "sdxl" else picture,
        control_mode=[2] if family == "sdxl" else 2,
        guidance_scale=own.info.settings["guidance_scale"],  # that of text to image
    )
    (found,) = draw(own, request)
    assert np.abs(found - expected).max() <= 1


@each_union
def test_the_mode_is_part_of_what_a_union_does(place: Place, family: str) -> None:
    folder = place(family)
    requests = [wanted("control", number) for number in range(2)]
    modes = [
        make(folder / "pipeline", controlnet=str(folder / "union"), control_mode=mode)
        for mode in range(2)
    ]
    one, two = (draw(generator, *requests) for generator in modes)
    assert all((a != b).any() for a, b in zip(one, two, strict=True))
    assert np.abs(draw(modes[0], requests[1])[0] - one[1]).max() <= 1  # alone and in a batch
    assert modes[0].sharing_key("cpu", "float32") == modes[1].sharing_key("cpu", "float32")


@each_union
def test_a_fresh_union_and_one_at_scale_0_change_nothing(place: Place, family: str) -> None:
    folder = place(family)
    settings = {"controlnet": str(folder / "union"), "control_mode": 1}
    (plain,) = draw(make(folder / "pipeline"), wanted("text_to_image"))
    for more in (
        {**settings, "controlnet": str(folder / "zero")},
        {**settings, "controlnet_conditioning_scale": 0.0},
    ):
        (image,) = draw(make(folder / "pipeline", **more), wanted("control"))
        np.testing.assert_array_equal(image, plain)


@each_union
def test_a_union_leaves_the_other_tasks_alone(place: Place, family: str) -> None:
    folder = place(family)
    generator = make(folder / "pipeline", controlnet=str(folder / "union"), control_mode=1)
    generator.load()
    requests = [wanted("image_to_image", strength=0.5), wanted("inpaint"), wanted("control")]
    generator.try_out(requests)
    made = generator.generate(requests)
    assert [one.status for one in made] == ["ok"] * 3
    said = "ControlNet not used: the task is {}, and it acts in control alone"
    expected = [said.format("image_to_image"), said.format("inpaint"), None]
    assert [one.reason for one in made] == expected


def test_a_controlnet_of_stable_diffusion_3_5_takes_the_places_of_the_transformer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    base = edits.BUILD["sd3"]()
    more = {"caption_projection_dim": 24, "joint_attention_dim": None, "num_layers": 1}
    more |= {"use_pos_embed": False, "pos_embed_type": None}
    build = diffusers.SD3ControlNetModel.from_config
    network = flows.seeded(build, config=base.transformer.config, **more)
    pipe = diffusers.StableDiffusion3ControlNetPipeline(**base.components, controlnet=network)
    base.save_pretrained(tmp_path / "pipeline")
    own = drawn_with(network, tmp_path)
    picture = Image.fromarray(wanted("control").control_image)
    expected = by_diffusers(pipe, wanted("control"), monkeypatch, control_image=picture)
    assert np.abs(own - expected).max() <= 1


def test_a_controlnet_of_flux_that_reads_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    parts = {**flows.flux().components, "vae": unets.autoencoder(levels=4, shift_factor=0.1)}
    base = diffusers.FluxPipeline(**parts)
    more = {"conditioning_embedding_channels": 4, "patch_size": 2}
    build = diffusers.FluxControlNetModel.from_config
    network = flows.seeded(build, config=base.transformer.config, **more)
    pipe = diffusers.FluxControlNetPipeline(**parts, controlnet=network)
    base.save_pretrained(tmp_path / "pipeline")
    own = drawn_with(network, tmp_path)
    call = {"control_image": Image.fromarray(wanted("control").control_image)}
    expected = by_diffusers(pipe, wanted("control"), monkeypatch, **call, guidance_scale=3.5)
    assert np.abs(own - expected).max() <= 1


def drawn_with(network: Any, folder: Path) -> np.ndarray:
    """What a ControlNet draws beside the pipeline in a folder; without it, it is another image."""
    network.save_pretrained(folder / "control")
    generator = make(folder / "pipeline", controlnet=str(folder / "control"))
    made, plain = draw(generator, wanted("control"), wanted("text_to_image"))
    assert (made != plain).any()
    return made


@each_packed
def test_pictures_beside_noise_are_those_of_the_class(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import diffusers

    request = wanted(PACKED[kind])
    names = {"init_image": "image", "mask": "mask_image", "control_image": "control_image"}
    call: dict[str, Any] = {
        names[name]: Image.fromarray(getattr(request, name)) for name in SOURCES[request.task]
    }
    cls: Any = getattr(diffusers, kind)
    expected = by_diffusers(cls.from_pretrained(place(kind)), request, monkeypatch, **call)
    (found,) = draw(make(place(kind)), request)
    assert np.abs(found - expected).max() <= 1


@each_packed
def test_a_packed_pipeline_does_its_one_task(place: Place, kind: str) -> None:
    task = PACKED[kind]
    generator = make(place(kind))
    assert generator.info.abilities == {task}
    generator.load()
    requests = [wanted(task), wanted(task, 1), wanted("text_to_image")]
    generator.try_out(requests[:2], batch_size=2)
    one, other, text = generator.generate(requests)
    assert [made.nfe for made in (one, other, text)] == [STEPS, STEPS, 0]
    assert (one.reason, other.reason) == (None, None)
    assert text.reason == f"this generator cannot do text_to_image: its abilities are {task}"
    assert np.abs(draw(generator, requests[1])[0] - free(other)).max() <= 1
    assert [frame.step for frame in generator.trace(requests[0], [0.0, 1.0])] == [0, STEPS]
    generator.unload()
    generator.load("cpu", "bfloat16")
    assert generator.generate(requests[:1])[0].status == "ok"


def test_flux_fill_keeps_known_pixels_and_what_it_made(place: Place) -> None:
    request = wanted("inpaint", strength=0.5)
    generator = make(place("FluxFillPipeline"))
    generator.load()
    (made,) = generator.generate([request])
    assert made.nfe == STEPS // 2
    assert made.image is not None
    assert made.uncomposited is not None
    known = request.mask == 0
    np.testing.assert_array_equal(made.image[known], request.init_image[known])
    assert (made.uncomposited[known] != made.image[known]).any()


@each_packed
def test_every_picture_is_read(place: Place, kind: str) -> None:
    generator, request = make(place(kind)), wanted(PACKED[kind])
    (before,) = draw(generator, request)
    for number, name in enumerate(SOURCES[PACKED[kind]]):
        changed = getattr(wanted(PACKED[kind], number + 1), name)
        if name == "mask":
            changed = np.ascontiguousarray(changed[:, ::-1])
        (after,) = draw(generator, wanted(PACKED[kind], **{name: changed}))
        assert (after != before).any(), name
