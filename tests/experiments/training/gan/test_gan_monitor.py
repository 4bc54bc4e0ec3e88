"""What ticks measure: values where they are known, and pictures in their places."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from gan_helpers import trainer
from jaxtyping import UInt8

from gandiff.common import files
from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.render import render
from gandiff.experiments.training.gan.recipe import GanRecipe, recipe_of
from gandiff.experiments.training.gan.trainer import GanTrainer
from gandiff.experiments.training.gan.updates import Phase
from gandiff.experiments.training.generators import sampling, saving
from gandiff.experiments.training.generators.ticks import Ticks, grid
from gandiff.experiments.training.monitors import scenes as monitor_scenes
from gandiff.experiments.training.monitors.base import SEED, Monitor
from gandiff.experiments.training.monitors.files import FileMonitor
from gandiff.experiments.training.monitors.scenes import SceneMonitor
from gandiff.models.gan.layers import GROUP


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> SceneMonitor:
    monkeypatch.setattr(monitor_scenes, "_PROMPTS", 60)
    return SceneMonitor()


def right(monitor: SceneMonitor, seed: int = 1000) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Real scenes of the prompts, other ones than the monitor compares with."""
    drawn = [
        render(matching_scenes(one, monitor.per_prompt, seed + i), 32)
        for i, one in enumerate(monitor.expected)
    ]
    return np.concatenate(drawn)


def test_real_scenes_are_as_good_as_can_be(scenes: SceneMonitor) -> None:
    score, found = scenes.measure(right(scenes))
    assert found["all"] >= 0.99
    assert found["held_out_all"] >= 0.95
    assert found["diversity"] == pytest.approx(1, abs=0.07)
    assert found["unstated_coverage"] == pytest.approx(1, abs=0.1)
    assert found["reverse_kl"] < 0.1
    assert min(found["recall"], found["coverage"]) > 0.8
    assert score == pytest.approx(found["all"] * min(1, found["unstated_coverage"]))


def test_one_picture_for_each_prompt_is_found_out(scenes: SceneMonitor) -> None:
    pictures = right(scenes)
    repeated = np.repeat(pictures[:: scenes.per_prompt], scenes.per_prompt, 0)
    good, bad = scenes.measure(pictures), scenes.measure(repeated)
    assert bad[1]["all"] >= 0.98
    assert bad[1]["diversity"] == pytest.approx(0, abs=1e-3)
    assert bad[1]["unstated_coverage"] < 0.1
    assert bad[0] < 0.1 < 0.9 < good[0]


def test_pictures_of_other_prompts_are_wrong(scenes: SceneMonitor) -> None:
    pictures = right(scenes)
    score, found = scenes.measure(np.roll(pictures, scenes.per_prompt, 0))
    assert found["all"] < 0.2
    assert score < 0.2
    assert found["fd"] == pytest.approx(scenes.measure(pictures)[1]["fd"])


def folder(path: Path, count: int, *, same: bool = False) -> FileImages:
    names = [f"{i:03d}.png" for i in range(count)]
    toys.save_toy_images(path, names)
    for name in names:
        (path / name).with_suffix(".txt").write_text(f"picture {name}", encoding="utf-8")
        if same:
            (path / name).write_bytes((path / names[0]).read_bytes())
    return FileImages(path, 16)


def test_real_pictures_of_a_folder_are_at_no_distance(tmp_path: Path) -> None:
    data = folder(tmp_path / "photos", 32)
    monitor = FileMonitor(data, None)
    pictures = data.batch(0, 32).images
    score, found = monitor.measure(pictures)
    assert found["fd"] == pytest.approx(0, abs=1e-3)
    assert score == -found["fd"]
    assert min(found["precision"], found["recall"], found["coverage"]) > 0.9
    alike = np.repeat(pictures[:8], monitor.per_prompt, 0)
    worse, other = monitor.measure(alike)
    assert other["variation"] == pytest.approx(0, abs=1e-3)
    assert worse < score


def test_pictures_that_are_all_the_same_have_no_variation_to_compare_with(tmp_path: Path) -> None:
    data = folder(tmp_path / "photos", 20, same=True)
    pictures = data.batch(0, 20).images
    assert "variation" not in FileMonitor(data, None).measure(pictures)[1]


def test_one_picture_cannot_be_measured_against(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has one image, but measuring needs two"):
        FileMonitor(folder(tmp_path / "photos", 1), None)


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
    one.data = folder(tmp_path / "photos", 140)  # 7 are held out
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


def test_a_grid_has_a_prompt_in_each_row_and_a_noise_in_each_column(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    torch.manual_seed(0)
    with torch.no_grad():  # a fresh generator hears hardly anything
        for p in one.ema.module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    prompts = ["a red star", "a small heart on white", "a red star"]
    picture = grid(one, prompts, columns=4)
    height, width = picture.shape[0] // 3, picture.shape[1] // 4
    assert min(height, width) >= one.g.config.resolution
    cells = picture.reshape(3, height, 4, width, 3).swapaxes(1, 2)
    np.testing.assert_array_equal(cells[0], cells[2])
    assert (cells[0] != cells[1]).any()
    assert all((cells[0, 0] != cells[0, i]).any() for i in (1, 2, 3))


class Sorted(Monitor):
    """Gets better from tick to tick; ``facts`` are what it found beside the score."""

    def __init__(
        self,
        facts: Callable[[float], dict[str, float]] = lambda _: {
            "fd": 12.345,
            "recall": 0.5,
            "precision": 0.7,
        },
    ) -> None:
        self.captions, self.per_prompt, self.score = ["a star", "a ring"], 1, 0.0
        self.facts = facts

    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        self.score += 1
        return self.score, self.facts(self.score)


def test_a_tick_says_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = trainer(tmp_path, quiet=False, ticks=2)
    monkeypatch.setattr(GanTrainer, "save", lambda *_, **__: None)
    one.loop.run(one.step, Ticks(one, Sorted()))
    said = capsys.readouterr().err
    assert "GAN: measured 1 of 2: fd 12.3, recall 0.5" in said
    assert "GAN: measured 2 of 2" in said
    assert "p_real_above_fake" in said


def test_grids_of_ticks_that_are_close_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tmp_path, ticks=8)
    monkeypatch.setattr(GanTrainer, "save", lambda *_, **__: None)
    one.loop.run(one.step, Ticks(one, Sorted()))
    names = sorted(path.name for path in (tmp_path / "samples").glob("kimg-*.png"))
    assert names == [f"kimg-000000.{images:03d}.png" for images in range(4, 33, 4)]


def test_the_best_model_has_a_card_of_its_own_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tmp_path / "stars", ticks=2)
    monkeypatch.setattr(saving, "text_summary", lambda _: {})
    one.loop.run(one.step, Ticks(one, Sorted(lambda score: {"fd": 100 - score})))
    card = (tmp_path / "stars" / "best" / "README.md").read_text()
    assert "# stars at its best tick\n" in card
    assert "On validation captions at this tick: fd 98." in card


def alike() -> Sorted:
    """Finds pictures of one prompt that hardly differ."""
    return Sorted(lambda _: {"variation": 0.001})


def test_an_alarm_that_nobody_heard_rings_after_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went wrong between the last tick and the interruption was not told yet."""
    monkeypatch.setattr(GanTrainer, "save", lambda *_, **__: None)

    one = trainer(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(GanTrainer, "alarms", lambda *_: [])
        one.loop.run(one.step, Ticks(one, alike()))
    assert one.loop.events == []
    other = trainer(tmp_path, kimg=0.064, resume=True)
    other.loop.run(other.step, Ticks(other, alike()))
    assert any("collapse within prompts" in event["text"] for event in other.loop.events)


def test_an_alarm_that_rang_does_not_ring_again_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GanTrainer, "save", lambda *_, **__: None)

    one = trainer(tmp_path)
    one.loop.run(one.step, Ticks(one, alike()))
    rang = [event["text"] for event in one.loop.events]
    assert sum("collapse within prompts" in text for text in rang) == 1
    other = trainer(tmp_path, kimg=0.064, resume=True)
    other.loop.run(other.step, Ticks(other, alike()))
    assert len(other.loop.record()["ticks"]) > len(one.loop.record()["ticks"])
    assert [event["text"] for event in other.loop.events] == rang


@pytest.mark.parametrize(("count", "said"), [(40, True), (120, False)])
def test_it_says_where_memorising_cannot_be_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, said: bool
) -> None:
    one = trainer(tmp_path / "run", quiet=False)
    one.data = folder(tmp_path / "photos", count)
    Ticks(one, Sorted())
    assert (f"too few pictures ({count}) to hold some out" in capsys.readouterr().err) == said


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
