"""What the GAN's training says of itself at ticks, and how its pictures are sampled and saved."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from family_helpers import Sorted
from gan_helpers import trainer
from training_helpers import captioned_folder

from gandiff.common import files
from gandiff.experiments.training.gan.recipe import GanRecipe, recipe_of
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.gan.updates import Phase
from gandiff.experiments.training.generators import sampling, saving
from gandiff.experiments.training.monitors.base import SEED
from gandiff.models.gan.layers import GROUP


@pytest.mark.parametrize(("held", "r_v"), [(4.0, 0.0), (1.0, 1.0), (2.5, 0.5)])
def test_r_v_is_the_share_of_the_gap_that_unseen_pictures_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: float, r_v: float
) -> None:
    """Real pictures that were seen get 4 and fakes 1, up to a number for each caption."""
    one = trainer(tmp_path)
    unseen = one.data.held_out(256)
    made = {one.sample(some, SEED + 1).tobytes() for some in captions(one)}

    def logits(_: Any, images: np.ndarray, captions: list[str]) -> torch.Tensor:
        free = torch.tensor([float(len(caption)) for caption in captions])
        if images.tobytes() in made:
            return free + 1
        return free + (held if images.tobytes() == unseen.images.tobytes() else 4.0)

    monkeypatch.setattr(GanTrainer, "_logits", logits)
    one.phase.now = Phase.ADVERSARIAL
    found = one.tick_facts()
    assert found["r_v"] == pytest.approx(r_v, abs=1e-5)
    assert found["p_held_out_above_fake"] == float(held > 1)


def test_r_v_compares_whole_groups_of_minibatch_deviation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rest that cannot be divided would look like pictures that are all alike."""
    one = trainer(tmp_path, recipe_of("non-saturating"), batch_size=32)
    one.data = captioned_folder(tmp_path / "photos", 140)  # 7 are held out
    sizes = []
    features = type(one.d).features

    def spy(self: Any, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return features(self, images)

    monkeypatch.setattr(type(one.d), "features", spy)
    one.phase.now = Phase.ADVERSARIAL
    assert one.tick_facts().keys() == {"r_v", "p_held_out_above_fake"}
    assert sizes
    assert all(size % GROUP == 0 for size in sizes)
    assert all(size % GROUP == 0 for size in (sampling.CHUNK, sampling.LIGHTER))


def test_there_is_no_r_v_before_the_competition(tmp_path: Path) -> None:
    """While the discriminator only reads, its verdict on real and fake means nothing."""
    recipe = GanRecipe(d_warmup=0.3, g_warmup=0.3)
    one = trainer(tmp_path, recipe, ticks=4)
    monitor = Sorted()
    one.loop.run(one.step, lambda: monitor(one))
    found = ["r_v" in row for row in one.loop.record()["ticks"]]
    assert found == [False, False, True, True]


def captions(one: GanTrainer) -> list[list[str]]:
    """Of the pictures that were seen last, and of those that never were."""
    return [one.data.batch(0, 256).captions, one.data.held_out(256).captions]


def test_pictures_are_made_in_pieces_that_fit_and_captions_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training step has memory for, with or without accumulation, ticks have, too."""
    usual, light = trainer(tmp_path), trainer(tmp_path, accumulate=4)
    texts = ["a red star"] * 9 + ["a small heart on white"] * 9
    sizes, read = [], []
    forward, encode = type(light.g).forward, type(light.encoder).encode

    def spy(self: Any, z: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(z))
        return forward(self, z, *rest)

    def reading(self: Any, captions: list[str]) -> Any:
        read.append(captions)
        return encode(self, captions)

    monkeypatch.setattr(type(light.g), "forward", spy)
    monkeypatch.setattr(type(light.encoder), "encode", reading)
    light.ema.module.load_state_dict(usual.ema.module.state_dict())
    pictures = [one.sample(texts).astype(int) for one in (usual, light)]
    assert sizes == [16, 2, 4, 4, 4, 4, 2]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert all(len(set(some)) == len(some) for some in read)


def test_a_full_disk_at_a_tick_keeps_the_best_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tmp_path)
    best = tmp_path / "best"
    monkeypatch.setattr(saving, "text_summary", lambda _: {})
    one.save(best)
    before = {path.name: path.read_bytes() for path in best.iterdir() if path.is_file()}
    assert {"model.safetensors", "config.json", "training.json"} <= before.keys()
    torch.nn.init.zeros_(one.ema.module.start.weight)

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "open", Full, raising=False)
        with pytest.raises(OSError, match="No space left"):
            one.save(best)
    assert {path.name: path.read_bytes() for path in best.iterdir() if path.is_file()} == before
    one.save(best)
    assert (best / "model.safetensors").read_bytes() != before["model.safetensors"]


def test_a_text_encoder_has_its_name_once_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tmp_path / "run")

    def broken(self: object, folder: Path) -> None:
        (folder / "text_encoder").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(one.encoder), "save_pretrained", broken)
        with pytest.raises(OSError, match="No space left"):
            saving.save_text(tmp_path, one.encoder)
    assert not (tmp_path / "text_encoder").exists()
    saving.save_text(tmp_path, one.encoder)
    assert (tmp_path / "text_encoder" / "model.safetensors").is_file()
    assert (tmp_path / "tokenizer").is_dir()
    assert not list(tmp_path.glob(".text-*"))
