"""Position hints: what is added to the U-Net's first features, and that nothing of it remains."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gandiff.experiments.training.averaging import Ema
from gandiff.experiments.training.diffusion.hints import PositionHints
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.recipes import recipe_of
from gandiff.models.diffusion.networks import build_unet

SIDE = 8


def _unet() -> Any:
    torch.manual_seed(0)
    return build_unet(SIDE, 16, depth=4, widths=[16, 16], attention=4).eval()


@torch.no_grad()
def _drawn(unet: Any) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    x, tokens = torch.randn(2, 4, SIDE, SIDE, generator=draw), torch.randn(2, 3, 16, generator=draw)
    out: torch.Tensor = unet(x, torch.tensor([10, 900]), encoder_hidden_states=tokens).sample
    return out


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_hints_fade_until_the_unet_is_what_it_would_be_without_them(share: float) -> None:
    unet = _unet()
    plain = _drawn(unet)
    hints = PositionHints(unet, SIDE, share, 0)
    sizes, apart = [], []
    for fraction in (0.0, 0.3 * share, 0.8 * share, share, 1.0):
        sizes.append(float(hints.fade(fraction).abs().max()))
        apart.append(float((_drawn(unet) - plain).abs().max()))
    assert sizes[0] > sizes[1] > sizes[2] > sizes[3] == sizes[4] == 0
    assert min(apart[:3]) > 1e-3
    assert apart[3] == apart[4] == 0


def test_hints_are_linear_in_both_coordinates_and_balanced() -> None:
    hint = PositionHints(_unet(), SIDE, 0.5, 0).fade(0.0)
    assert hint.shape == (16, SIDE, SIDE)
    for axis in (1, 2):
        assert hint.diff(n=2, dim=axis).abs().max() < 1e-5
        assert hint.diff(dim=axis).abs().min() > 0
    assert hint.mean((1, 2)).abs().max() < 1e-6
    assert 0.3 < float(hint.std()) < 3


def test_a_copy_made_before_and_what_is_saved_have_none(tmp_path: Any) -> None:
    unet = _unet()
    plain, names = _drawn(unet), set(unet.state_dict())
    ema = Ema(unet, 100.0)
    hints = PositionHints(unet, SIDE, 0.5, 0)
    hints.fade(0.0)
    assert torch.equal(_drawn(ema.module), plain)
    assert set(unet.state_dict()) == names
    unet.save_pretrained(tmp_path)
    assert torch.equal(_drawn(type(unet).from_pretrained(tmp_path)), plain)


def test_without_a_share_nothing_is_added() -> None:
    unet = _unet()
    plain = _drawn(unet)
    hints = PositionHints(unet, SIDE, 0.0, 0)
    assert not hints.fade(0.0).any()
    assert torch.equal(_drawn(unet), plain)


def test_the_recipe_of_earlier_versions_has_none() -> None:
    assert DiffusionRecipe().position_hints > 0 < DiffusionRecipe().coarse_first
    old = recipe_of(DiffusionRecipe, "adamw")
    assert old.position_hints == old.coarse_first == 0
