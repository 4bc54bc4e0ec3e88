"""The size that a pipeline makes by itself is known before its weights are, and is what runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import pytest
import toys
from families.measure import settings_of

from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.diffusion.evidence import read_evidence
from gandiff.models.diffusion.planned import planned_operation
from gandiff.models.diffusion.settings import DiffusersSettings

Toys = Callable[[str], dict[str, Any]]
STANDING_FOR_ALL = ("sd", "qwen-image", "sana")
# These come to a size in a way of their own, or take none.
UNKNOWN = ("prx", "prx-pixel", "qwen-image-2.1", "glm-image", "vq-diffusion", "versatile-diffusion")
BINNED = ("hunyuan-dit", "hunyuan-dit-pag", "kontext")  # a toy's is far from what they round to


class Asked(Exception):
    """The size that a call has come to, (height, width) in px."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in STANDING_FOR_ALL else pytest.mark.slow)
        for name, family in families.FAMILIES.items()
        if name not in ("if", "unclip", *BINNED)
    ],
)
def test_the_planned_size_is_the_one_that_the_call_comes_to(
    toy_family: Toys, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = {k: v for k, v in toy_family(name).items() if k not in ("height", "width")}
    made: Any = make_generator("toy", "diffusers", settings_of(settings, name, 2))
    if name in UNKNOWN:
        assert made._operation.own_sizes == ()
        return
    planned = made._operation.own_sizes[0]
    made.load()
    assert made._operation.own_sizes[0] == planned
    if not families.FAMILIES[name].size:
        image = made.generate(toys.requests(1))[0].image
        assert image.shape[:2] == planned
        return
    for pipe in {made._held().value, getattr(made._held().value, "decoder_pipe", None)} - {None}:
        defaults = inspect.signature(type(pipe).__call__).parameters
        if isinstance(defaults["height"].default, int):
            assert planned == (defaults["height"].default, defaults["width"].default)
            return
        if not hasattr(type(pipe), "check_inputs"):
            pytest.skip("its call does not check the size")
        check = type(pipe).check_inputs
        signature = inspect.signature(check)

        def stop(*given: Any, signature: Any = signature, **named: Any) -> None:
            bound = signature.bind(*given, **named).arguments
            raise Asked(bound["height"], bound["width"])

        monkeypatch.setattr(type(pipe), "check_inputs", stop)
    with pytest.raises(Asked) as asked:
        made.generate(toys.requests(1))
    if asked.value.args == (None, None):
        pytest.skip("its call chooses the size after it is checked")
    assert asked.value.args == planned


@pytest.mark.parametrize(
    ("name", "size", "off"),
    [
        ("sd", 128, ("128x128 px, made for 32x32",)),
        ("sd", 32, ()),
        ("kandinsky-2.2", 32, ("32x32 px, made for 512x512 or 768x768",)),
        ("kandinsky-2.2", 768, ()),
        ("stable-cascade", 1024, ()),
        ("stable-cascade", 256, ("256x256 px, made for 512x512 or 1024x1024",)),
        ("flux", 32, ("32x32 px, made for 512x512",)),
    ],
)
def test_sizes_are_judged_before_weights_are_read(
    toy_family: Toys, name: str, size: int, off: tuple[str, ...]
) -> None:
    settings = {**toy_family(name), "height": size, "width": size}
    assert make_generator("toy", "diffusers", settings).info.off_native == off


def test_sizes_of_cascades_are_those_of_each_stage(toy_family: Toys) -> None:
    first, *more = toy_family("if")["stages"]
    stages = [{"pipeline": first, "height": 64, "width": 64}, *more]
    made = make_generator("toy", "diffusers", {"stages": stages})
    assert made.info.off_native == ("stage 1: 64x64 px, made for 16x16",)


def test_a_size_that_nobody_can_judge_is_said(toy_family: Toys) -> None:
    made = make_generator("toy", "diffusers", {**toy_family("prx"), "height": 32, "width": 32})
    (said,) = made.info.remarks
    assert "the size that this PRXPipeline was made for is not known" in said
    assert "32x32 px" in said


def test_other_weights_do_not_change_the_size_that_it_was_made_for(
    toy_family: Toys, tmp_path: Path
) -> None:
    folder = Path(toy_family("sd")["pipeline"])
    seen = read_evidence(folder, changed=True)
    settings = DiffusersSettings(pipeline=str(folder), height=128, width=128)
    assert planned_operation(settings, seen).off_native == ("128x128 px, made for 32x32",)
