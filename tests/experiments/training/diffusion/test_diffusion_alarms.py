"""What alarms say of the training of a diffusion model, and what they look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion_helpers import trainer

from gandiff.experiments.training.diffusion.alarms import alarms, weak_autoencoder
from gandiff.experiments.training.diffusion.trainer import LEVELS


def _rings(**ticks: list[float]) -> dict[str, str]:
    """The alarms after three ticks, by name."""
    rows = [{"score": 0.1, **{k: v[i] for k, v in ticks.items()}} for i in range(3)]
    return {one.name: one.text for one in alarms(rows, [], 1.0)}


def test_captions_that_save_nothing_of_the_error_are_ignored_ones() -> None:
    said = _rings(caption_gain=[0.0, 0.004, 0.001])
    assert "their own captions save 0.4% at most of the error" in said["captions ignored"]
    assert _rings(caption_gain=[0.0, 0.0, 0.006]) == {}


@pytest.mark.parametrize(
    ("spared", "rings"), [([0.6, 0.5, 0.7], True), ([0.6, 0.49, 0.7], False), ([-0.1] * 3, False)]
)
def test_an_error_that_is_halved_for_seen_pictures_is_memorising(
    spared: list[float], rings: bool
) -> None:
    said = _rings(mse_spared=spared)
    assert set(said) == ({"memorising"} if rings else set())
    if rings:
        assert "its error for pictures of the training is 70% below" in said["memorising"]


@pytest.mark.parametrize(
    ("seen", "share", "advice"),
    [
        ({"all": 0.9699, "psnr_db": 28.0}, 0.15, "autoencoder_share=0.3 instead of 0.15"),
        ({"all": 0.1}, 0.8, "autoencoder_share=0.9 instead of 0.8"),
        ({"all": 0.97}, 0.15, None),
        ({"psnr_db": 20.0}, 0.15, None),  # of pictures that no judge reads
        ({}, 0.15, None),  # in pixel space
    ],
)
def test_an_autoencoder_that_loses_facts_is_weak(
    seen: dict[str, float], share: float, advice: str | None
) -> None:
    alarm = weak_autoencoder(seen, share)
    assert (alarm is None) == (advice is None)
    if alarm is not None and advice is not None:
        assert advice in alarm.text
        assert f"in {seen['all']:.1%} of reconstructed scenes" in alarm.text


def test_seen_and_unseen_pictures_are_compared_by_the_same_network_noise_and_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tmp_path)
    known, calls = one.latents.at(torch.arange(len(one.latents.captions))), []

    def errors(
        unet: Any, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        seen = (x[:, None] == known).flatten(2).all(2).any(1)
        calls.append((unet is one.ema.module, bool(seen.all()), noise, t))
        return torch.where(seen, 0.2, 1.0)

    monkeypatch.setattr(one, "errors", errors)
    monkeypatch.setattr("gandiff.experiments.training.diffusion.trainer._UNSEEN", 64)
    facts = one.tick_facts()
    assert facts["mse_spared"] == pytest.approx(0.8)
    assert facts["caption_gain"] == 0.0
    assert all(averaged for averaged, *_ in calls)
    by_kind = [
        [torch.cat([call[i] for call in calls if call[1] == kind]) for i in (2, 3)]
        for kind in (True, False)
    ]
    for seen, unseen in zip(*by_kind, strict=True):
        assert torch.equal(torch.cat([seen, seen]), unseen)  # right captions, then others


def test_few_held_out_pictures_are_thirds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, of = trainer(tmp_path), "gandiff.experiments.training.diffusion.trainer"
    for n in range(4, 10):
        monkeypatch.setattr(f"{of}._UNSEEN", n)
        monkeypatch.setattr(one, "_averaged_errors", lambda x, _: torch.arange(len(x)).float())
        facts = one.tick_facts()
        sizes = [n // 3 + (third < n % 3) for third in range(3)]
        ends = [sum(sizes[: third + 1]) for third in range(3)]
        means = [end - (size + 1) / 2 for end, size in zip(ends, sizes, strict=True)]
        assert [facts[f"mse_{level}"] for level in LEVELS] == pytest.approx(means)


def test_what_has_learned_nothing_spares_nothing(tmp_path: Path) -> None:
    assert abs(trainer(tmp_path).tick_facts()["mse_spared"]) < 0.1
