"""Units of the GAN: dissection, what is chosen of it, and what is switched where."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from gandiff.common.errors import GeneratorError
from gandiff.common.files import file_sha256
from gandiff.models.gan import dissection
from gandiff.models.gan.dissection import dissect, draw_with_features, unit_pictures
from gandiff.models.gan.model import TextToImageGan
from gandiff.models.gan.painting import box_of, in_box, switched
from gandiff.models.gan.units import (
    UNITS,
    Units,
    at_random,
    is_our_units,
    read_units,
    switch_of,
    write_units,
)

PROMPTS = [toys.PROMPTS[i % 8] for i in range(40)]
PLANTED = 5  # of the level of 32 px


@pytest.fixture(scope="module")
def gan(toy_gan: Path) -> TextToImageGan:
    made: TextToImageGan = TextToImageGan.from_pretrained(str(toy_gan))
    return made


def highest_tenth(gan: TextToImageGan, unit: int, sign: float) -> np.ndarray:
    """Masks of where a unit of the level of 32 px is highest or lowest, and of one pixel more, so
    that no picture is left out.
    """
    maps = sign * draw_with_features(gan, PROMPTS, range(40)).features[32][:, unit]
    masks = (maps > maps.quantile(0.9)).numpy().astype(np.float32)
    masks[:, 0, 0] = 1
    return masks


@pytest.fixture(scope="module")
def units(gan: TextToImageGan, toy_gan: Path) -> Units:
    """A dissection in which objects are where one unit is in its highest tenth, by construction."""
    masks = highest_tenth(gan, PLANTED, 1.0)
    even = np.arange(40) % 2 == 0
    concepts = {"object": np.ones(40, bool), "even": even, "odd": ~even}
    sha256 = file_sha256(toy_gan / "model.safetensors")
    return dissect(gan, PROMPTS, concepts, lambda _: masks, sha256)


def test_the_unit_that_an_object_is_made_of_agrees_best(units: Units) -> None:
    assert (units.sizes, units.widths) == ((8, 16, 32), (24, 16, 8))
    best = units.best("object", 1)[0]
    assert units.address(best) == f"32:{PLANTED}"
    assert units.iou[0, best] > 0.95
    assert units.sign[0, best] == 1
    assert ((units.iou >= 0) & (units.iou <= 1)).all()
    # Half of the object's places at most are those of even prompts.
    assert units.iou[1, best] < 0.8


def test_a_unit_that_is_low_where_the_object_is_agrees_as_well(gan: TextToImageGan) -> None:
    masks = highest_tenth(gan, 2, -1.0)
    found = dissect(gan, PROMPTS, {"object": np.ones(40, bool)}, lambda _: masks, "")
    best = found.best("object", 1)[0]
    assert (found.address(best), found.sign[0, best]) == ("32:2", -1)
    assert found.iou[0, best] > 0.95


def test_pictures_without_an_object_are_left_out(gan: TextToImageGan) -> None:
    with pytest.raises(GeneratorError, match="no object is seen in any of 4 pictures"):
        dissect(
            gan,
            PROMPTS[:4],
            {"object": np.ones(4, bool)},
            lambda drawn: np.zeros(drawn.shape[:3], np.float32),
            "",
        )


def test_places_in_a_box_are_read_where_they_are() -> None:
    ramp = torch.arange(32.0)[None, None, None, :].expand(1, 1, 32, 32) + 0.5
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 4:12, 8:24] = 1
    box = box_of(mask)
    torch.testing.assert_close(box, torch.tensor([[8, 4, 24, 12]]) / 32)
    torch.testing.assert_close(box_of(mask, 1 / 16)[0, 0], torch.tensor(6 / 32))
    # 8 places over 16 px: their middles are 9, 11, ..., 23.
    torch.testing.assert_close(in_box(ramp, box)[0, 0, 0], torch.arange(9.0, 24, 2))


def test_what_is_named_is_switched_inside_the_region_alone(units: Units) -> None:
    switch = switch_of(units, "even 32:3 -16:1")
    assert switch.chosen.sum() in (14, 13, 12)  # a quarter of 24, 16 and 8, and two more
    region = torch.zeros(1, 1, 32, 32)
    region[..., 8:24, 8:24] = 1
    change = switched(switch, region)
    x = torch.randn(2, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = change(3, x)
    torch.testing.assert_close(changed * (1 - region), x * (1 - region))
    level = switch.chosen[units.of_level(32)]
    torch.testing.assert_close(changed[:, ~level], x[:, ~level])
    assert np.allclose(changed[:, 3, 8:24, 8:24].numpy(), units.high[units.of_level(32)][3])
    assert torch.equal(switched(switch, region, 0.0)(3, x), x)
    coarse = torch.randn(1, 32, 4, 4)
    assert torch.equal(change(0, coarse), coarse)


def test_units_are_switched_off_to_where_no_object_is(units: Units) -> None:
    switch = switch_of(units, "-object, -8:2")
    assert np.allclose(switch.target[switch.chosen], units.off[switch.chosen, None, None])


def test_random_units_are_as_many_and_follow_their_seed(units: Units) -> None:
    switch = switch_of(units, "odd")
    one, same, other = (at_random(switch, seed) for seed in (1, 1, 2))
    for size in units.sizes:
        level = units.of_level(size)
        assert one.chosen[level].sum() == switch.chosen[level].sum()
    assert (one.chosen == same.chosen).all()
    assert (one.chosen != other.chosen).any()
    assert (one.target == switch.target).all()


def test_every_unit_has_a_level_that_it_can_be_set_to(units: Units) -> None:
    """Or the control would set units to 0, which is a level like any other."""
    for text, levels in (("16:1", units.high), ("-odd -16:1", units.off)):
        everywhere = np.broadcast_to(levels[:, None, None], units.levels.shape[1:])
        np.testing.assert_array_equal(switch_of(units, text).target, everywhere)
    odd = switch_of(units, "odd")
    differs = (units.levels[2] != units.levels[0]).any((1, 2))
    assert (odd.target != units.levels[0]).any((1, 2)).sum() == differs.sum() > odd.chosen.sum()


@pytest.mark.parametrize("pictures", [200, 400, 6400])
def test_thresholds_are_of_all_columns_however_many_pictures(
    monkeypatch: pytest.MonkeyPatch, pictures: int
) -> None:
    """A ramp from left to right has its median in the middle."""
    monkeypatch.setattr(dissection, "_SAMPLE", 6400)
    ramp = torch.arange(32.0).expand(pictures, 32, 32).reshape(1, -1)
    assert abs(float(dissection._quantile(ramp, 0.5)) - 15.5) < 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("evn", "units 'evn': no concept is named 'evn'; did you mean 'even'?; a unit is written"),
        ("4:1", "units '4:1': there is no dissected level of 4 px; the levels are 8, 16, 32 px"),
        ("odd 16:16", "units 'odd 16:16': the level of 16 px has the units 0 to 15, got 16"),
        (",", "units ',': name a concept; there is even, object, odd"),
        ("odd -odd", "units 'odd -odd': odd stands there both on and off; write it once"),
        ("odd even odd", "units 'odd even odd': odd stands there twice; write it once"),
        ("-odd,-odd", "units '-odd,-odd': odd stands there twice; write it once"),
        ("16:3 -16:03", "units '16:3 -16:03': 16:3 stands there both on and off; write it once"),
        ("16:3, 16:3", "units '16:3, 16:3': 16:3 stands there twice; write it once"),
        ("16:٣", "units '16:٣': no concept is named '16:٣'"),
        (f"16:{'9' * 5000}", "units '16:9999"),
    ],
)
def test_units_that_do_not_exist_are_refused(units: Units, text: str, says: str) -> None:
    with pytest.raises(GeneratorError) as refused:
        switch_of(units, text)
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


def test_a_dissection_comes_back_as_it_was_written(
    units: Units, toy_gan: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(toy_gan, tmp_path / "gan"))
    with pytest.raises(GeneratorError, match=r"gan has no units.npz, .*gandiff explore units --we"):
        read_units(folder)
    write_units(folder / UNITS, units)
    assert is_our_units(folder / UNITS)
    again = read_units(folder)
    for field in dataclasses.fields(units):
        mine, theirs = getattr(units, field.name), getattr(again, field.name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_allclose(theirs, mine, rtol=2e-3, atol=1e-4)
        else:
            assert theirs == mine
    write_units(folder / UNITS, dataclasses.replace(units, weights_sha256="0" * 64))
    with pytest.raises(GeneratorError, match=r"units.npz is of other weights; write it again"):
        read_units(folder)
    whole = (folder / UNITS).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2 :: 97] = bytes(len(flipped[len(whole) // 2 :: 97]))
    for broken in (b"", b"PK", whole[: len(whole) // 2], bytes(flipped)):
        (folder / UNITS).write_bytes(broken)
        assert not is_our_units(folder / UNITS)
        with pytest.raises(GeneratorError, match=r"units.npz cannot be read; write it again"):
            read_units(folder)


def test_the_figure_is_dark_where_the_unit_is_not_on(gan: TextToImageGan, units: Units) -> None:
    prompts = {"object": PROMPTS[:3], "even": PROMPTS[:3]}
    figure = unit_pictures(gan, units, prompts)
    assert figure.shape == (2, 3, 32, 32, 3)
    drawn = draw_with_features(gan, PROMPTS[:3], range(3)).pictures
    same = (figure[0] == drawn).all(-1)
    assert 0.02 < same.mean() < 0.3  # its highest tenth
    assert (figure[0][~same] == drawn[~same] // 4).all()


def test_a_dissection_goes_with_its_model(units: Units, toy_gan: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(toy_gan, tmp_path / "gan"))
    write_units(folder / UNITS, units)
    TextToImageGan.from_pretrained(str(folder)).save_pretrained(tmp_path / "copy")
    assert read_units(tmp_path / "copy").concepts == units.concepts
