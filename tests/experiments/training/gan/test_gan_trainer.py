"""Steps of the GAN's training: exact resuming, parts and processes that add up, what is counted."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gan_helpers import CONFIG, RECIPE, SMALL_LR, SMALL_STEPS, encoder, run, states, trainer
from training_helpers import request

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import SceneImages
from gandiff.experiments.runs import store
from gandiff.experiments.training.checkpoints import CHECKPOINT, describe_difference
from gandiff.experiments.training.gan.batch import Part
from gandiff.experiments.training.gan.losses import caption_accuracy, reduce_over_ranks
from gandiff.experiments.training.gan.recipe import (
    GanRecipe,
    recipe_of,
)
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.gan.updates import Phase
from gandiff.experiments.training.ranks import Ranks
from gandiff.models.gan.config import GanConfig, gan_config
from gandiff.models.text import TextEncoder
from gandiff.models.weights import PRETRAINED


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Nested states, tensor for tensor, to the last bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), f"{where}: {(a - b).abs().max()} apart"
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def kept(one: GanTrainer) -> dict[str, torch.Tensor]:
    """All weights of both networks and of the average, as they are now."""
    nets = {"g": one.g, "d": one.d, "ema": one.ema.module}
    return {
        f"{n}/{k}": p.detach().clone() for n, net in nets.items() for k, p in net.named_parameters()
    }


def apart(start: Any, a: Any, b: Any) -> float:
    """How far two trainings ended from each other, over how far they came."""
    distance = sum((b[k] - v).square().sum() for k, v in a.items())
    way = sum((v - start[k]).square().sum() for k, v in a.items())
    return float((distance / way).sqrt())


def drawn(one: GanTrainer, at: int = 0, caption_dropout: float = 0.0) -> Part:
    """The process's share of a batch, in one part."""
    (part,) = one.draw(at, caption_dropout=caption_dropout)[1]
    return part


RECIPES_TRIED = {
    "relativistic": RECIPE,
    "d_warmup": GanRecipe(
        penalty_interval=2, d_warmup=0.4, g_warmup=0.0, num_mismatched=2, **SMALL_STEPS
    ),
    "g_warmup": GanRecipe(penalty_interval=2, d_warmup=0.2, g_warmup=0.3, **SMALL_STEPS),
    "non-saturating": recipe_of("non-saturating", penalty_interval=2, **SMALL_LR),
    "augmented": GanRecipe(
        penalty_interval=2, d_warmup=0.0, g_warmup=0.3, augment=True, **SMALL_STEPS
    ),
    "no energy": recipe_of(penalty_interval=2, d_warmup=0.0, g_warmup=0.0, energy=0.0, **SMALL_LR),
    "no mismatched": GanRecipe(
        penalty_interval=2, d_warmup=0.2, g_warmup=0.0, num_mismatched=0, **SMALL_STEPS
    ),
}


@pytest.mark.parametrize("name", RECIPES_TRIED)
def test_it_goes_on_exactly(tmp_path: Path, name: str) -> None:
    recipe = RECIPES_TRIED[name]
    whole = trainer(tmp_path / "whole", recipe)
    run(whole, 8)
    half = trainer(tmp_path / "halves", recipe)
    run(half, 3)
    with pytest.raises(AssertionError):
        assert_equal(states(half), states(whole))
    torch.manual_seed(99)
    other = trainer(tmp_path / "halves", recipe, resume=True)
    assert (other.loop.progress.steps, other.loop.progress.images) == (3, 12)
    torch.manual_seed(99)
    run(other, 5)
    assert_equal(states(other), states(whole))
    assert other.loop.progress.images == whole.loop.progress.images == 32


@pytest.mark.parametrize(
    "name", ["relativistic", "d_warmup", "g_warmup", "augmented", "non-saturating"]
)
def test_a_batch_in_parts_is_the_batch(tmp_path: Path, name: str) -> None:
    recipe, size = RECIPES_TRIED[name], {"batch_size": 8, "kimg": 0.064}
    whole = trainer(tmp_path / "whole", recipe, **size)
    parts = trainer(tmp_path / "parts", recipe, **size, accumulate=2)
    start = kept(whole)
    for a, b in zip(run(whole, 5), run(parts, 5), strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            if not key.startswith(
                ("p_", "caption_")
            ):  # shares jump where two logits are nearly equal
                assert b[key] == pytest.approx(value, rel=0.02, abs=0.02), key
    # Adam's first steps enlarge what rounding leaves of a gradient near zero.
    assert apart(start, kept(whole), kept(parts)) < 0.05


@pytest.mark.parametrize("name", ["relativistic", "non-saturating"])
def test_the_shares_of_two_processes_add_up(tmp_path: Path, name: str) -> None:
    """What each of two would add, added here; two real processes are in test_gan_processes.py."""
    recipe = RECIPES_TRIED[name]
    whole = trainer(tmp_path / "whole", recipe, batch_size=8)
    halves = [
        trainer(tmp_path / f"half-{i}", recipe, ranks=Ranks(i, 2), batch_size=8) for i in (0, 1)
    ]
    grads = []
    for one in (whole, *halves):
        (part,) = one.draw(0, caption_dropout=0.2)[1]
        assert len(part.real) == (8 if one is whole else 4)
        fake = one._generate(part)
        loss, scores, _ = one.losses.discriminator(
            part, fake[: len(part.real)].detach(), 8, gamma=1.0
        )
        loss.backward()
        real = scores.logits[: len(part.real)].detach()
        one.losses.generator(part, fake, real, 8, energy=1.0)[0].backward(
            inputs=[*one.g.parameters()]
        )
        grads.append([p.grad.clone() for net in (one.d, one.g) for p in net.parameters()])
    for full, first, second in zip(*grads, strict=True):
        torch.testing.assert_close(first + second, full, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("non-saturating", 8, False),
        ("non-saturating", 12, True),
        ("both", 8, True),  # whose second pictures are half as many
        ("both", 16, False),
    ],
)
def test_groups_that_parts_would_cut_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, size: int, said: bool
) -> None:
    both = dataclasses.replace(RECIPES_TRIED["g_warmup"], minibatch_std=True)
    recipe = both if name == "both" else RECIPES_TRIED[name]
    trainer(tmp_path / "parts", recipe, batch_size=size, accumulate=2, quiet=False)
    assert ("other groups than one process would" in capsys.readouterr().err) == said
    if not said:
        a, b = (
            trainer(tmp_path / f"{k}", recipe, batch_size=size, kimg=4 * size / 1000, accumulate=k)
            for k in (1, 2)
        )
        start = kept(a)
        run(a, 4)
        run(b, 4)
        assert apart(start, kept(a), kept(b)) < 0.05


def test_a_process_draws_its_rows_of_the_common_batch(tmp_path: Path) -> None:
    whole = drawn(trainer(tmp_path / "whole"))
    second = drawn(trainer(tmp_path / "second", ranks=Ranks(1, 2)))
    assert torch.equal(second.real, whole.real[2:])
    assert torch.equal(second.z[:2], whole.z[2:4])
    # Every second caption of the common batch has two pictures.
    assert (whole.paired_rows.tolist(), second.paired_rows.tolist()) == ([0, 2], [0])
    assert torch.equal(second.z[2], whole.z[5])
    assert torch.equal(second.is_mismatch, whole.is_mismatch[2:])
    assert second.captions == whole.captions[2:]
    torch.testing.assert_close(second.mismatched, whole.mismatched[2:])
    torch.testing.assert_close(second.pooled, whole.pooled)
    assert second.own_index.tolist() == [2, 3]


def test_some_captions_are_empty_and_contradict_nothing(tmp_path: Path) -> None:
    one = trainer(tmp_path, batch_size=16)
    part = drawn(one, caption_dropout=0.5)
    empty = [i for i, text in enumerate(part.captions) if not text]
    assert 2 < len(empty) < 14
    assert part.has_caption.tolist() == [bool(text) for text in part.captions]
    assert not part.is_mismatch[:, empty].any()
    assert part.is_mismatch[empty].any()  # the real picture still contradicts other captions
    assert all(drawn(one, caption_dropout=0.0).captions)


def test_every_step_tells_what_diagnostics_need(tmp_path: Path) -> None:
    one = trainer(tmp_path, GanRecipe(penalty_interval=2, d_warmup=0.125, g_warmup=0.125))
    d_warmup, g_warmup, penalised, plain, *_ = run(one, 6)
    shares = {"caption_accuracy", "caption_accuracy_adversarial"}
    assert set(d_warmup) == {"match_loss_real", *shares}
    assert set(g_warmup) == {"match_loss_real", "energy_score", "g_grad_norm", *shares}
    common = {
        "energy_score",
        "d_loss",
        "g_loss",
        "p_real_above_fake",
        "match_loss_real",
        "match_loss_fake",
        *shares,
    }
    assert set(plain) == common | {"d_grad_norm", "g_grad_norm"}
    assert set(penalised) == set(plain) | {"r1", "r2", "gamma"}
    for losses in (d_warmup, penalised, plain):
        assert all(math.isfinite(value) for value in losses.values())
        assert all(0 <= losses[name] <= 1 for name in shares)


def test_captions_are_compared_where_there_is_a_wrong_one(tmp_path: Path) -> None:
    """Pictures without one are left out of the share, and do not count as read wrongly."""
    one = trainer(tmp_path, batch_size=8)
    part = drawn(one)
    half = part._replace(is_mismatch=part.is_mismatch & (torch.arange(8) < 4)[:, None])
    view = one.losses.view
    scores = view.score(view.features(part.real, part.draws[0]), part)
    sure = scores._replace(right=scores.right + 1e6)  # reads everything right
    logged = reduce_over_ranks(caption_accuracy(sure, half, 8), one.ranks, "cpu")
    assert logged["caption_accuracy"] == pytest.approx(1.0)
    none = part._replace(is_mismatch=torch.zeros_like(part.is_mismatch))
    assert reduce_over_ranks(caption_accuracy(sure, none, 8), one.ranks, "cpu") == {}


def test_phases_have_no_way_back() -> None:
    recipe, phase = GanRecipe(), Phase()
    spent = (0.0, 0.04, 0.06, 0.2, 0.01, 0.9)
    assert [phase.advance(recipe, s) for s in spent] == [0, 0, 1, 2, 2, 2]
    again = Phase()
    again.load_state_dict(phase.state_dict())
    assert again.advance(recipe, 0.0) == Phase.ADVERSARIAL


def test_a_larger_budget_does_not_lead_back_to_the_warmup(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, d_warmup=0.2, g_warmup=0.3)
    one = trainer(tmp_path, recipe)
    run(one, 8)
    real = one.d.judge.real.weight.clone()
    more = trainer(tmp_path, recipe, kimg=0.32, resume=True)
    assert more.loop.fraction < 0.2
    (losses,) = run(more, 1)
    assert "d_loss" in losses
    assert not torch.equal(more.d.judge.real.weight, real)
    apart = [
        (a - b).abs().max()
        for a, b in zip(more.d.judge.project.parameters(), more.d.match.parameters(), strict=True)
    ]
    assert max(apart) > 0


def test_a_training_goes_on_by_the_recipe_that_is_given(tmp_path: Path) -> None:
    run(trainer(tmp_path), 2)
    other = dataclasses.replace(RECIPE, betas=(0.5, 0.9), g_lr_scale=0.25)
    one = trainer(tmp_path, other, resume=True)
    run(one, 1)
    for optimizer in (one.g_opt, one.d_opt):
        assert optimizer.param_groups[0]["betas"] == (0.5, 0.9)
    g, d = (optimizer.param_groups[0]["lr"] for optimizer in (one.g_opt, one.d_opt))
    assert g == pytest.approx(0.25 * d)
    first, second = one.loop.record()["commands"]
    assert first["recipe"]["betas"] == (0.0, 0.99)
    assert second["recipe"]["betas"] == (0.5, 0.9)


def test_other_data_or_another_seed_are_refused(tmp_path: Path) -> None:
    run(trainer(tmp_path), 1)
    with pytest.raises(RequestError, match="is of a training with --seed 3, not 4"):
        trainer(tmp_path, seed=4, resume=True)
    with pytest.raises(RequestError, match=r"is of a training with --data scenes, not .*photos"):
        trainer(tmp_path, data=str(tmp_path / "photos"), resume=True)


def test_without_hard_negatives_the_generator_settles_nothing_that_is_open(tmp_path: Path) -> None:
    """Captions of other scenes speak of what this one leaves open."""
    one = trainer(tmp_path, dataclasses.replace(RECIPE, num_mismatched=0))
    losses = run(one, 1)[0]
    assert losses["match_loss_fake"] == 0
    assert losses["match_loss_real"] > 0


def test_while_the_discriminator_warms_up_the_generator_rests(tmp_path: Path) -> None:
    one = trainer(tmp_path, GanRecipe(d_warmup=0.5))
    before = {k: v.clone() for k, v in one.g.state_dict().items()}
    run(one, 4)
    assert_equal(dict(one.g.state_dict()), before)
    run(one, 1)
    with pytest.raises(AssertionError):
        assert_equal(dict(one.g.state_dict()), before)


def test_its_warmup_teaches_the_discriminator_which_caption_fits(tmp_path: Path) -> None:
    """Of captions that the shipped text encoder reads, over 6,400 pictures of 16 px."""
    text = TextEncoder.from_pretrained(PRETRAINED / "gan-scenes")
    asked = request(tmp_path, resolution=16, kimg=7.0, batch_size=32, dtype="float32")
    config, recipe = gan_config(16, text.width), GanRecipe(d_warmup=0.95, g_warmup=0.0)
    one = GanTrainer(asked, recipe, config, text, SceneImages(16))
    found = run(one, 200)
    first, last = found[:20], found[-20:]
    for name, better in (("match_loss_real", -1), ("caption_accuracy", 1)):
        before, after = (np.mean([step[name] for step in part]) for part in (first, last))
        assert better * (after - before) > 0.04, name


def test_two_configurations_differ_in_named_fields() -> None:
    a, b = vars(GanConfig()), vars(GanConfig(z_width=32, attention=()))
    assert describe_difference(a, a) == ""
    found = describe_difference(a, b)
    assert "z_width is 64 there and 32 here" in found
    assert "attention is (8,) there and () here" in found
    assert "heads" not in found
    assert describe_difference({**a, "attention": [8]}, a) == ""  # as JSON has it


def test_a_checkpoint_of_other_networks_names_what_differs(tmp_path: Path) -> None:
    run(trainer(tmp_path), 1)
    wider = dataclasses.replace(CONFIG, z_width=12, d_widths=(24, 8))
    asked = request(tmp_path, resolution=16, seed=3, kimg=0.032, dtype="float32", resume=True)
    with pytest.raises(RequestError) as refused:
        GanTrainer(asked, RECIPE, wider, encoder(), SceneImages(16, seed=3))
    said = str(refused.value)
    assert "z_width is 8 there and 12 here; d_widths is (16, 8) there and (24, 8) here" in said
    assert "g_widths" not in said


def test_the_adversarial_head_begins_with_what_was_learned(tmp_path: Path) -> None:
    one = trainer(tmp_path, GanRecipe(d_warmup=0.5, **SMALL_STEPS))
    run(one, 3)
    assert_equal(dict(one.d.judge.project.state_dict()), dict(one.d.match.state_dict()))


def test_the_warmup_of_the_generator_leaves_the_adversarial_logit_alone(tmp_path: Path) -> None:
    one = trainer(tmp_path, GanRecipe(d_warmup=0.0, g_warmup=0.9, **SMALL_STEPS))
    before = {k: v.clone() for k, v in one.g.state_dict().items()}
    real = one.d.judge.real.weight.clone()
    run(one, 3)
    assert torch.equal(one.d.judge.real.weight, real)
    with pytest.raises(AssertionError):
        assert_equal(dict(one.g.state_dict()), before)


def test_gradients_that_are_not_finite_are_gone_back_from(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    usual, calls = one.losses.discriminator, []

    def broken(*arguments: Any) -> Any:
        loss, *rest = usual(*arguments)
        calls.append(one.loop.progress.position)
        return (loss * math.nan if len(calls) == 3 else loss), *rest

    one.losses.discriminator = broken  # type: ignore[method-assign]
    run(one, 6)
    assert one.loop.progress.rollbacks == 1
    assert calls[2] == 8
    assert 8 not in calls[3:]
    assert all(t.isfinite().all() for t in one.g.state_dict().values())
    assert "Discriminator's gradient = nan" in one.loop.events[0]["text"]


def test_a_full_disk_keeps_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    one = trainer(tmp_path)
    run(one, 2)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run(one, 2)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))
