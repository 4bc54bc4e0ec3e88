"""Every family of pipelines, as toys: held against plain diffusers and against itself.

All of them are ``slow``; three stand for them in the suite: latents and cross-attention (SD),
packed latents (FLUX), a prior and a decoder (Kandinsky 2.2).
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import toys
from families.plain import Plain

from gandiff.common.errors import GandiffError
from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.generator import Generation, GenerationRequest, Generator

Settings = dict[str, Any]
STANDING_FOR_ALL = ("sd", "flux", "kandinsky-2.2")
# Of which diffusers 0.42 cannot draw two in one call (some of them with guidance only), or draws
# others than one by one: its panorama and GLM-Image, OmniGen, whose padding counts.
ONE_BY_ONE = (
    *("amused", "dreamlite", "dreamlite-mobile", "prx", "prx-pixel", "vq-diffusion", "wuerstchen"),
    *("glm-image", "omnigen", "panorama"),
)
# Tokens are no picture on their way, and the paradigms' steps are made side by side.
WITHOUT_TRACE = ("amused", "paradigms", "vq-diffusion")
STEPS = {"num_inference_steps": 3}
# A comparison file's settings for a few steps, and the plain call's arguments of that meaning.
FEW: Mapping[str, tuple[Settings, Settings]] = {
    **dict.fromkeys(
        ("kandinsky-2.1", "kandinsky-2.2"),
        (
            {**STEPS, "extra": {"prior_num_inference_steps": 2}},
            {**STEPS, "prior_num_inference_steps": 2},
        ),
    ),
    "stable-cascade": (
        {**STEPS, "extra": {"prior_num_inference_steps": 4}},
        {**STEPS, "prior_num_inference_steps": 4},
    ),
    "wuerstchen": (
        {**STEPS, "extra": {"prior_num_inference_steps": 4}},
        {**STEPS, "prior_num_inference_steps": 4},
    ),
    "unclip": (
        {
            "extra": dict.fromkeys(
                steps := (
                    "prior_num_inference_steps",
                    "decoder_num_inference_steps",
                    "super_res_num_inference_steps",
                ),
                3,
            )
        },
        dict.fromkeys(steps, 3),
    ),
    "sana-sprint": ({}, {}),
    "ideogram4": (
        {**STEPS, "extra": {"guidance_schedule": [7.0, 7.0, 3.0]}},
        {**STEPS, "guidance_schedule": [7.0, 7.0, 3.0]},
    ),
    "qwen-image": (STEPS, {**STEPS, "negative_prompt": [" ", " "]}),
    "kontext": (STEPS, {**STEPS, "max_area": 32 * 32}),
    "stable-unclip": (
        {**STEPS, "extra": {"prior_num_inference_steps": 2}},
        {**STEPS, "prior_num_inference_steps": 2},
    ),
    "krea2-distilled": (STEPS, {**STEPS, "guidance_scale": 0.0}),
    "ernie-image": (STEPS, {**STEPS, "use_pe": False}),
    "longcat": (STEPS, {**STEPS, "enable_prompt_rewrite": False}),
}

# What a model was made for, where a call without arguments is something else: by its card, or
# because a language model would rewrite the prompt.
CARD: Mapping[str, Settings] = {
    "flux-schnell": {"num_inference_steps": 4},
    "klein": {"num_inference_steps": 4},
    "kontext": {"max_area": 32 * 32},  # it draws all sizes at that of the area
    "qwen-image": {"negative_prompt": " "},
    "krea2-distilled": {"num_inference_steps": 8, "guidance_scale": 0.0},
    "ernie-image": {"use_pe": False},
    "longcat": {"enable_prompt_rewrite": False},
}


def each(*names: str) -> pytest.MarkDecorator:
    """Parametrise by family: those named in the suite, all others slow."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=() if name in names else pytest.mark.slow)
            for name in families.FAMILIES
        ],
    )


class Toy:
    """A family's toy with few steps, in our generator and in plain diffusers, loaded once."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.few, self.arguments = FEW.get(name, (STEPS, STEPS))

    @functools.cached_property
    def ours(self) -> Generator:
        generator = loaded({**self.settings, **self.few})
        generator.try_out(two(), batch_size=2)
        assert vars(generator)["one_by_one"] is (self.name in ONE_BY_ONE)
        return generator

    @functools.cached_property
    def plain(self) -> Plain:
        return Plain(self.settings)


def loaded(settings: Settings) -> Generator:
    generator = make_generator("toy", "diffusers", settings)
    generator.load("cpu", "float32")
    return generator


@pytest.fixture(scope="module")
def toy(toy_family: Callable[[str], Settings]) -> Callable[[str], Toy]:
    return functools.lru_cache(maxsize=2)(lambda name: Toy(name, toy_family(name)))


def levels(generations: list[Generation]) -> np.ndarray:
    assert [g.status for g in generations] == ["ok"] * len(generations), generations[0].reason
    return np.stack([g.image for g in generations if g.image is not None]).astype(int)


def two() -> list[GenerationRequest]:
    return toys.requests(2)


@each(*STANDING_FOR_ALL)
def test_pixels_and_evaluations_are_those_of_plain_diffusers(
    toy: Callable[[str], Toy], name: str
) -> None:
    family = toy(name)
    made = family.ours.generate(two())
    with family.plain.counted() as rows:
        expected = family.plain.draw(
            [r.prompt for r in two()],
            [r.seed for r in two()],
            together=name not in ONE_BY_ONE,
            **family.arguments,
        )
    np.testing.assert_array_equal(levels(made), expected)
    assert [g.nfe for g in made] == [rows.total() / 2] * 2
    facts = family.ours.info.settings
    first = facts["stages"][0] if facts.get("stages") else facts
    assert first["pipeline_class"] == families.FAMILIES[name].called


@each("sd")
def test_without_settings_it_is_the_plain_call_without_arguments(
    toy: Callable[[str], Toy], name: str
) -> None:
    """Where the card of a model says otherwise, the arguments that it says."""
    family = toy(name)
    made = loaded(family.settings).generate(two()[:1])
    first = two()[0]
    expected = family.plain.draw([first.prompt], [first.seed], **CARD.get(name, {}))
    np.testing.assert_array_equal(levels(made), expected)


@each(*STANDING_FOR_ALL)
def test_the_way_ends_at_the_image(toy: Callable[[str], Toy], name: str) -> None:
    ours = toy(name).ours
    request = two()[0]
    image = levels(ours.generate([request]))[0]
    if name in WITHOUT_TRACE:
        with pytest.raises(NotImplementedError):
            ours.trace(request, (0.5,))
        return
    frames = ours.trace(request, (0.0, 0.5, 1.0))
    last = [frame for frame in frames if frame.stage == frames[-1].stage]
    assert last[-1].step == last[-1].steps > 0
    np.testing.assert_array_equal(last[-1].noisy, image)
    assert np.abs(last[0].noisy - image).mean() > 1


@each(*STANDING_FOR_ALL)
def test_seeds_prompts_and_nothing_else_decide(toy: Callable[[str], Toy], name: str) -> None:
    ours = toy(name).ours
    first, second = two()
    other_seed = GenerationRequest(prompt=first.prompt, seed=first.seed + 1)
    other_prompt = GenerationRequest(prompt=second.prompt, seed=first.seed)
    pair = levels(ours.generate([second, first]))
    alone = levels(ours.generate([first]))[0]
    np.testing.assert_array_equal(levels(ours.generate([first]))[0], alone)
    assert np.abs(alone - pair[1]).max() <= 1
    for other in (other_seed, other_prompt):
        assert np.abs(levels(ours.generate([other]))[0] - alone).mean() > 0.5


REFUSES_LONG = ("ideogram4",)  # its own pipeline does
DULL = ("glm-image",)  # its toy's language model writes the same whatever the last words are


@each(*STANDING_FOR_ALL)
@pytest.mark.parametrize("words", [40, pytest.param(1200, marks=pytest.mark.slow)])
def test_what_is_said_to_be_unread_is_not_read(
    toy: Callable[[str], Toy], name: str, words: int
) -> None:
    """The last words of a long prompt change the image unless every encoder is said to cut them."""
    ours = toy(name).ours
    start = "a red star left of a blue ring "
    text = (start * words)[: 8 * words].rsplit(" ", 2)[0]
    prompts = [f"{text} {end}" for end in ("green heart", "black square")]
    if words > 40 and name in REFUSES_LONG:
        with pytest.raises(ValueError, match="exceeds max_sequence_length"):
            ours.generate([GenerationRequest(prompt=prompts[0], seed=1)])
        return
    made = [ours.generate([GenerationRequest(prompt=prompt, seed=1)])[0] for prompt in prompts]
    images = levels(made)
    unread = [dict(g.truncated_tokens) for g in made]
    if (images[0] == images[1]).all() and name not in DULL:
        assert all(min(counts.values(), default=0) >= 2 for counts in unread)
    else:
        assert len(unread[0]) < max(encoders(toy(name)), 1) or min(unread[0].values()) < 20


def encoders(family: Toy) -> int:
    """How many text encoders a toy has."""
    names = {name for pipe in family.plain.pipes for name in pipe.components}
    return sum(name.removeprefix("prior_").startswith("text_encoder") for name in names)


@each(*STANDING_FOR_ALL)
def test_unknown_arguments_are_refused(toy: Callable[[str], Toy], name: str) -> None:
    settings: Settings = toy(name).settings
    wrong: Settings = {"extra": {"etta": 1.0}}
    if stages := settings.get("stages"):
        wrong = {"stages": [{"pipeline": stages[0], **wrong}, *stages[1:]]}
    with pytest.raises(GandiffError, match="etta"):
        loaded({**settings, **wrong})


@each(*STANDING_FOR_ALL)
def test_a_folder_with_a_file_missing_is_refused(
    toy: Callable[[str], Toy], name: str, tmp_path: Path
) -> None:
    settings = toy(name).settings
    root = Path(settings.get("pipeline") or settings["stages"][0]).parent
    files = [f for f in root.rglob("*.safetensors") if _is_of(f, settings)]
    # The first stage of IF encodes the text for the second.
    files = [f for f in files if f.relative_to(root).parts[:2] != ("II", "text_encoder")]
    assert files
    for file in files:
        copy = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(
            root,
            copy,
            copy_function=link,
            ignore=lambda d, names, file=file: [file.name] if Path(d) == file.parent else [],
        )
        with pytest.raises(GandiffError, match=file.parent.name):
            make_generator("toy", "diffusers", _moved(settings, root, copy))


def link(source: str, target: str) -> None:
    Path(target).symlink_to(source)


def _is_of(file: Path, settings: Settings) -> bool:
    folders = [settings.get("pipeline"), settings.get("prior"), *settings.get("stages", [])]
    return any(folder and Path(folder) in file.parents for folder in folders)


def _moved(settings: Settings, root: Path, copy: Path) -> Settings:
    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(v) for v in value]
        return str(copy / Path(value).relative_to(root)) if isinstance(value, str) else value

    return {key: moved(value) for key, value in settings.items()}
