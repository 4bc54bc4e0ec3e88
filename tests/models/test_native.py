"""What pipelines are called with: what was set, else what they were made for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.diffusion.card import native_front_matter
from gandiff.models.diffusion.classes import pipeline_class
from gandiff.models.diffusion.evidence import read_evidence
from gandiff.models.diffusion.operation import Operation
from gandiff.models.diffusion.planned import decisive_settings, planned_operation
from gandiff.models.diffusion.settings import DiffusersSettings, NativePoint
from gandiff.models.diffusion.signatures import call_defaults, class_defaults


def small_files(
    folder: Path, cls: str, *, card: str = "", index: dict[str, Any] | None = None, **parts: Any
) -> Path:
    """The files of a pipeline that say what it is; ``parts`` are configs by their folder."""
    folder.mkdir()
    known = pipeline_class(cls)
    assert known is not None
    needed = {part: ["library", "Class"] for part, is_needed in known.parts.items() if is_needed}
    text = json.dumps({"_class_name": cls, **needed, **(index or {})})
    (folder / "model_index.json").write_text(text)
    for name, config in parts.items():
        (folder / name).mkdir()
        file = {"scheduler": "scheduler_config", "guider": "guider_config"}.get(name, "config")
        (folder / name / f"{file}.json").write_text(json.dumps(config))
    if card:
        (folder / "README.md").write_text(card)
    return folder


def operation(folder: Path, hub_id: str | None = None, **settings: Any) -> Operation:
    chosen = DiffusersSettings(pipeline=str(folder), **settings)
    return planned_operation(chosen, read_evidence(folder, hub_id))


EULER_TRAILING = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}


@pytest.mark.parametrize(
    ("cls", "files", "expected"),
    [
        ("StableDiffusionPipeline", {}, ("diffusion", "cfg", 50, 7.5, {})),
        ("StableDiffusionXLPipeline", {}, ("diffusion", "cfg", 50, 5.0, {})),
        ("StableDiffusion3Pipeline", {}, ("diffusion", "cfg", 28, 7.0, {})),
        ("SanaPipeline", {}, ("diffusion", "cfg", 20, 4.5, {})),
        ("BriaPipeline", {}, ("diffusion", "cfg", 30, 5.0, {})),
        (
            "FluxPipeline",
            {"transformer": {"guidance_embeds": True}},
            ("diffusion", "embedded", 28, 3.5, {}),
        ),
        (
            "FluxPipeline",
            {
                "transformer": {"guidance_embeds": False},
                "scheduler": {"use_dynamic_shifting": False},
            },
            ("hybrid", "ignored", 4, None, {"num_inference_steps": 4}),
        ),
        (
            "StableDiffusionPipeline",
            {"unet": {"time_cond_proj_dim": 256}},
            (
                "distilled",
                "embedded",
                4,
                8.5,
                {"num_inference_steps": 4, "guidance_scale": 8.5},
            ),
        ),
        (
            "StableDiffusionPipeline",
            {"scheduler": {"_class_name": "LCMScheduler"}},
            ("distilled", "cfg", 4, 1.0, {"num_inference_steps": 4, "guidance_scale": 1.0}),
        ),
        ("LatentConsistencyModelPipeline", {}, ("distilled", "embedded", 4, 8.5, {})),
        ("SanaSprintPipeline", {}, ("hybrid", "embedded", 2, 4.5, {})),
        (
            "Flux2KleinPipeline",
            {"index": {"is_distilled": True}},
            ("distilled", "ignored", 4, None, {"num_inference_steps": 4}),
        ),
        ("Flux2KleinPipeline", {"index": {"is_distilled": False}}, ("diffusion", "cfg", 50, 4, {})),
        (
            "Krea2Pipeline",
            {"index": {"is_distilled": True}},
            (
                "distilled",
                "above_zero",
                8,
                0.0,
                {"num_inference_steps": 8, "guidance_scale": 0.0},
            ),
        ),
        ("QwenImagePipeline", {}, ("diffusion", "true_cfg", 50, 4.0, {})),
        (
            "HunyuanImagePipeline",
            {"guider": {"guidance_scale": 3.5, "enabled": True}},
            ("diffusion", "guider", 50, 3.5, {}),
        ),
        (
            "FluxFillPipeline",
            {"transformer": {"guidance_embeds": True}},
            ("diffusion", "embedded", 50, 30.0, {}),
        ),
        (
            "FluxControlPipeline",
            {"transformer": {"guidance_embeds": False}},
            ("diffusion", "ignored", 28, None, {}),
        ),
        ("Ideogram4Pipeline", {}, ("diffusion", "schedule", 48, None, {})),
        ("UnCLIPPipeline", {}, ("diffusion", "stages", None, None, {})),
        ("StableCascadeDecoderPipeline", {}, ("diffusion", "stages", 12, None, {})),
        ("KandinskyV22Pipeline", {}, ("diffusion", "cfg", 100, 4.0, {})),
        (
            "ErnieImagePipeline",
            {},
            ("diffusion", "cfg", 50, 4.0, {"use_pe": False}),
        ),
        (
            "LongCatImagePipeline",
            {},
            ("diffusion", "cfg", 50, 4.5, {"enable_prompt_rewrite": False}),
        ),
    ],
)
def test_what_is_left_out_is_what_the_pipeline_was_made_for(
    tmp_path: Path, cls: str, files: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    run = operation(small_files(tmp_path / "a-lightning-turbo", cls, **files))
    known = (run.native.family, run.meaning, run.steps.value, run.guidance.value, run.arguments)
    assert known == expected
    assert run.off_native == ()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"hub_id": "stabilityai/sdxl-turbo"}, ("hybrid", 1, 0.0, "table")),
        ({"card": "---\nbase_model: stabilityai/sdxl-turbo\n---\n"}, ("hybrid", 1, 0.0, "card")),
        ({"index": {"_name_or_path": "stabilityai/sd-turbo"}}, ("hybrid", 1, 0.0, "table")),
        ({"index": {"_name_or_path": "/models/sd-turbo"}}, ("diffusion", 50, 5.0, "signature")),
        ({"card": "# A turbo for tests\n"}, ("distilled", 50, 5.0, "signature")),
        ({"card": "---\n# turbo\ntags: [sdxl, dmd2]\n---\n"}, ("hybrid", 50, 5.0, "signature")),
        ({"card": "---\n# turbo\n---\n# Lightnings\n"}, ("diffusion", 50, 5.0, "signature")),
        ({"hub_id": "a/sdxl-lightning-4step"}, ("distilled", 50, 5.0, "signature")),
        ({"hub_id": "lightning/plain"}, ("diffusion", 50, 5.0, "signature")),
    ],
)
def test_how_it_was_distilled_is_told_by_id_card_and_config(
    tmp_path: Path, where: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    hub_id = where.pop("hub_id", None)
    folder = small_files(tmp_path / "sd-turbo", "StableDiffusionXLPipeline", **where)
    run = operation(folder, hub_id)
    made = run.native
    assert (made.family, run.steps.value, run.guidance.value, run.steps.source) == expected
    nobody_knows = expected[0] != "diffusion" and run.steps.source == "signature"
    assert (made.unknown is not None) == nobody_knows
    if nobody_knows:
        assert "the comparison file can say them: native:" in run.remarks[0]


@pytest.mark.parametrize(("name", "point"), [("Canny", (50, 30.0)), ("Depth", (30, 10.0))])
def test_flux_runs_by_a_control_image_as_its_card_says(
    tmp_path: Path, name: str, point: tuple[int, float]
) -> None:
    embeds = {"guidance_embeds": True}
    folder = small_files(tmp_path / "flux", "FluxControlPipeline", transformer=embeds)
    run = operation(folder, f"black-forest-labs/FLUX.1-{name}-dev")
    assert (run.steps.value, run.guidance.value) == point
    assert run.native.source == "table"


def card(text: str) -> str:
    return f"---\nlicense: mit\n{text}---\n# A model\n"


CARDS = [
    (native_front_matter(20, 2.0), (20, 2.0, "card")),
    (native_front_matter(8, 0.0), (8, 0.0, "card")),
    ("inference: {num_inference_steps: 12, guidance_scale: 3}\n", (12, 3.0, "card")),
    ("inference: {parameters: {num_inference_steps: 12, strength: 1}}\n", (12, 7.5, "card")),
    ("inference: {guidance_scale: 3.5}\n", (50, 3.5, "signature")),
    ("inference: true\n", (50, 7.5, "signature")),
    ("inference: {parameters: [1]}\n", (50, 7.5, "signature")),
]


@pytest.mark.parametrize(("text", "expected"), CARDS)
def test_a_card_says_what_the_model_was_made_for(
    tmp_path: Path, text: str, expected: tuple[Any, ...]
) -> None:
    folder = small_files(tmp_path / "sd", "StableDiffusionPipeline", card=card(text))
    run = operation(folder)
    assert (run.steps.value, run.guidance.value, run.steps.source) == expected
    assert (run.off_native, run.remarks) == ((), ())
    unset = {"pipeline": str(folder), "num_inference_steps": None, "guidance_scale": None}
    decisive = decisive_settings(unset, unset)
    assert (decisive["num_inference_steps"], decisive["guidance_scale"]) == expected[:2]
    # What is set decides, and the keys of images do not see the card.
    asked = {**unset, "num_inference_steps": 50, "guidance_scale": 7.5}
    assert decisive_settings(asked, asked) == asked


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("num_inference_steps: 0", "num_inference_steps: must be between 1 and 10000, got 0"),
        ("num_inference_steps: 2.5", "num_inference_steps: must be a whole number, got 2.5"),
        ("num_inference_steps: many", "num_inference_steps: must be a whole number, got 'many'"),
        ("guidance_scale: -1", "guidance_scale: must be between 0 and 1000, got -1"),
        ("guidance_scale: .nan", "guidance_scale: must be a"),
        ("num_inference_steps: 2026-11-29", "Object of type date is not JSON serializable"),
    ],
)
def test_a_card_that_says_something_wrong_is_not_followed(
    tmp_path: Path, text: str, says: str
) -> None:
    made = card(f"inference:\n  {text}\n  strength: 1\n")
    run = operation(small_files(tmp_path / "sd", "StableDiffusionPipeline", card=made))
    assert (run.steps.value, run.guidance.value) == (50, 7.5)
    (remark,) = run.remarks
    assert remark.startswith("its model card is not followed: inference.")
    assert says in remark


def test_a_card_does_not_overrule_the_table_and_keeps_the_family(tmp_path: Path) -> None:
    made = card(native_front_matter(12, 2.0))
    folder = small_files(tmp_path / "xl", "StableDiffusionXLPipeline", card=made)
    assert operation(folder, "stabilityai/sdxl-turbo").steps == (1, "table")
    lcm = small_files(tmp_path / "lcm", "LatentConsistencyModelPipeline", card=made)
    run = operation(lcm)
    assert (run.native.family, run.steps, run.guidance.value) == ("distilled", (12, "card"), 2.0)
    assert run.off_native == ()
    assert operation(lcm, num_inference_steps=13).off_native == ("13 steps, made for 1 to 12",)


def test_the_shipped_diffusion_model_runs_as_its_card_says() -> None:
    made = make_generator("shipped", "diffusers", {"pipeline": "diffusion-scenes"})
    settings = made.info.settings
    assert (settings["num_inference_steps"], settings["guidance_scale"]) == (10, 2.0)


def test_numbers_that_no_pipeline_has_are_not_written() -> None:
    with pytest.raises(SettingError, match="num_inference_steps: must be between 1 and 10000"):
        native_front_matter(0, 2.0)


def test_the_file_may_say_what_nothing_else_does(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "x", "StableDiffusionXLPipeline", scheduler=EULER_TRAILING)
    assert "whether it was distilled" in (operation(folder).native.unknown or "")
    assert operation(folder, family="diffusion").native.unknown is None
    native: Any = {"num_inference_steps": 2, "guidance_scale": 0.0}
    settings = {"pipeline": str(folder), "family": "hybrid", "native": native}
    decisive = decisive_settings(settings, settings)
    assert (decisive["num_inference_steps"], decisive["guidance_scale"]) == (2, 0.0)
    assert not {"family", "native"} & decisive.keys()


def test_a_native_point_of_few_steps_is_marked_whatever_the_family(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "x", "StableDiffusionXLPipeline")
    native = NativePoint(num_inference_steps=4, guidance_scale=0.0)
    off = operation(folder, native=native, num_inference_steps=25).off_native
    assert off == ("25 steps, made for 1 to 4",)


def test_one_unknown_value_that_is_left_out_is_said(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "x", "StableDiffusionXLPipeline", scheduler=EULER_TRAILING)
    (said,) = operation(folder, num_inference_steps=4).remarks
    assert "it runs with the guidance_scale of the call" in said
    assert not operation(folder, num_inference_steps=4, guidance_scale=0.0).remarks


OFF = [
    ({}, ()),
    ({"num_inference_steps": 4}, ()),
    ({"num_inference_steps": 25}, ("25 steps, made for 1 to 4",)),
    ({"guidance_scale": 1.0}, ()),
    ({"guidance_scale": 7.5}, ("guidance 7.5, made for none",)),
]


@pytest.mark.parametrize(("settings", "off"), OFF)
def test_a_turbo_model_off_its_native_point(
    tmp_path: Path, settings: dict[str, Any], off: tuple[str, ...]
) -> None:
    folder = small_files(tmp_path / "x", "StableDiffusionXLPipeline")
    run = operation(folder, "stabilityai/sdxl-turbo", **settings)
    assert run.off_native == off
    assert len(run.remarks) == (1 if off else 0)


def test_plain_and_guided_models_off_their_native_point(tmp_path: Path) -> None:
    plain = small_files(tmp_path / "sd", "StableDiffusionPipeline")
    for steps, scale in ((20, 7.5), (10, 2.0), (100, 15.0)):
        assert not operation(plain, num_inference_steps=steps, guidance_scale=scale).off_native
    off = operation(plain, num_inference_steps=4, guidance_scale=1.0).off_native
    assert off == ("4 steps, made for 50", "guidance 1, made for 7.5")
    dev = small_files(tmp_path / "dev", "FluxPipeline", transformer={"guidance_embeds": True})
    assert operation(dev, guidance_scale=7.5).off_native == ("guidance 7.5, made for 3.5",)


IGNORED = {
    "FluxPipeline": {
        "transformer": {"guidance_embeds": False},
        "scheduler": {"use_dynamic_shifting": False},
    },
    "Flux2KleinPipeline": {"index": {"is_distilled": True}},
    "DreamLiteMobilePipeline": {},
}


@pytest.mark.parametrize("cls", IGNORED)
def test_settings_without_effect_are_marked(tmp_path: Path, cls: str) -> None:
    files: dict[str, Any] = IGNORED[cls]
    folder = small_files(tmp_path / "x", cls, **files)
    marked = operation(folder, guidance_scale=4.0)
    assert marked.off_native == ("guidance 4 has no effect (distilled without)",)
    alone = "each image is made in a call of its own: the class takes one prompt"
    more = (alone,) if cls == "DreamLiteMobilePipeline" else ()
    assert marked.remarks == (f"runs off its native point: {marked.off_native[0]}", *more)
    for none in (0.0, 1.0):  # which is what ran
        assert operation(folder, guidance_scale=none).off_native == ()


def test_steps_that_extra_decides_are_those_that_count(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "sd", "StableDiffusionPipeline")
    for name, times in (("timesteps", [900] * 20), ("sigmas", [0.5] * 20)):
        run = operation(folder, num_inference_steps=30, extra={name: times})
        assert run.steps == (20, "extra")
        assert run.off_native == ("num_inference_steps 30 has no effect, extra makes 20",)
        assert operation(folder, num_inference_steps=20, extra={name: times}).off_native == ()


def test_settings_that_a_pipeline_does_not_take_are_refused(tmp_path: Path) -> None:
    unclip = small_files(tmp_path / "unclip", "UnCLIPPipeline")
    with pytest.raises(GeneratorError, match="takes no num_inference_steps; leave it out and give"):
        operation(unclip, num_inference_steps=3)
    with pytest.raises(GeneratorError, match=r"prior_guidance_scale or decoder_guidance_scale"):
        operation(unclip, guidance_scale=3.0)
    with pytest.raises(GeneratorError, match="takes no height"):
        operation(unclip, height=64, width=64)


def test_qwen_image_guides_only_with_a_negative_prompt(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "qwen", "QwenImagePipeline")
    run = operation(folder)
    assert (run.negative_prompt, run.arguments) == (" ", {})
    run = operation(folder, guidance_scale=2.5)
    assert (run.negative_prompt, run.arguments) == (" ", {"true_cfg_scale": 2.5})
    run = operation(folder, extra={"true_cfg_scale": 1.0})
    assert (run.negative_prompt, run.guidance) == (None, (1.0, "extra"))
    with pytest.raises(GeneratorError, match="give guidance_scale or true_cfg_scale"):
        operation(folder, guidance_scale=2.5, extra={"true_cfg_scale": 1.0})


def test_a_schedule_of_guidance_fits_the_steps(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "ideogram", "Ideogram4Pipeline")
    run = operation(folder, extra={"guidance_schedule": [7.0, 3.0]})
    assert (run.steps, run.arguments) == ((2, "extra"), {"num_inference_steps": 2})
    constant = operation(folder, num_inference_steps=20, guidance_scale=5.0).arguments
    assert constant == {
        "num_inference_steps": 20,
        "guidance_scale": 5.0,
        "guidance_schedule": None,
    }
    with pytest.raises(GeneratorError, match="has a guidance_schedule of 48 scales"):
        operation(folder, num_inference_steps=20)
    with pytest.raises(GeneratorError, match="for each of 20 steps, got 2"):
        operation(folder, num_inference_steps=20, extra={"guidance_schedule": [7.0, 3.0]})
    with pytest.raises(GeneratorError, match="not both"):
        operation(folder, guidance_scale=5.0, extra={"guidance_schedule": [7.0, 3.0]})


def test_prompts_are_not_rewritten_unless_asked(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "ernie", "ErnieImagePipeline")
    run = operation(folder, extra={"use_pe": True})
    assert (run.arguments, run.rewriting) == ({}, {"use_pe": True})
    assert run.remarks == ("its prompts are rewritten before they are read (use_pe)",)
    assert operation(small_files(tmp_path / "f2", "Flux2Pipeline")).rewriting == {
        "caption_upsample_temperature": None
    }


def test_keys_of_images_stay_and_other_points_have_others(tmp_path: Path) -> None:
    folder = small_files(tmp_path / "sd", "StableDiffusionPipeline")
    before = {"num_inference_steps": 50, "guidance_scale": 7.5}
    unset = {"pipeline": str(folder), "num_inference_steps": None, "guidance_scale": None}
    assert decisive_settings(unset, unset) == {"pipeline": str(folder), **before}
    xl = small_files(tmp_path / "xl", "StableDiffusionXLPipeline")
    other = {**unset, "pipeline": str(xl)}
    assert decisive_settings(other, other)["guidance_scale"] == 5.0
    qwen = small_files(tmp_path / "qwen", "QwenImagePipeline")
    guided = {"pipeline": str(qwen), "guidance_scale": 4.0}
    assert decisive_settings(guided, guided)["sent"] == {
        "true_cfg_scale": 4.0,
        "negative_prompt": " ",
    }
    gone = {**unset, "pipeline": str(tmp_path / "gone")}
    assert decisive_settings(gone, gone) == {"pipeline": gone["pipeline"]}


@pytest.mark.parametrize(
    "cls",
    ["StableDiffusionPipeline", "Ideogram4Pipeline", "HiDreamImagePipeline", "UnCLIPPipeline"],
)
def test_signatures_are_those_of_the_classes(cls: str) -> None:
    import diffusers

    called = call_defaults(getattr(diffusers, cls))
    read = class_defaults(cls)
    assert list(read) == list(called)
    assert all(value is ... or value == called[name] for name, value in read.items())
    assert class_defaults("NoSuchPipeline") == {}
