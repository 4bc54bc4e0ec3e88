"""The trained GAN as one object: saving, loading, sharing, and walks through its latent spaces."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from gandiff.common.errors import GeneratorError
from gandiff.models.gan import editing
from gandiff.models.gan.model import TextToImageGan, to_pixels

PROMPTS = ["a red star", "a blue ring on white"]


@pytest.fixture(scope="module")
def gan(toy_gan: Path) -> TextToImageGan:
    made: TextToImageGan = TextToImageGan.from_pretrained(str(toy_gan))
    torch.manual_seed(0)
    made.net.f_mean.normal_()
    for level in made.net.levels:
        if level.read is not None:
            torch.nn.init.normal_(level.read.out.weight)
    return made


def images(gan: TextToImageGan, prompts: list[str], seeds: list[int], **more: Any) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in gan(prompts, seeds, **more)])


def test_it_comes_back_as_it_was_saved(gan: TextToImageGan, tmp_path: Path) -> None:
    gan.save_pretrained(tmp_path / "copy")
    again = TextToImageGan.from_pretrained(str(tmp_path / "copy"))
    assert again.config == gan.config
    apart = images(again, PROMPTS, [1, 2]).astype(int) - images(gan, PROMPTS, [1, 2])
    assert np.abs(apart).max() <= 2  # weights are rounded to float16
    weights = load_file(tmp_path / "copy" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    again.save_pretrained(tmp_path / "second")
    first, second = (tmp_path / name / "model.safetensors" for name in ("copy", "second"))
    assert first.read_bytes() == second.read_bytes()
    card = (tmp_path / "copy" / "README.md").read_text(encoding="utf-8")
    assert "library_name: gandiff" in card


CARD = "---\nlibrary_name: gandiff\npipeline_tag: text-to-image\n---\n\n# A star painter\n"


def test_card_and_record_go_with_a_model(toy_gan: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(toy_gan, tmp_path / "trained"))
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    record = b'{"seconds": 12.5,\n "curve": []}\n'
    (folder / "training.json").write_bytes(record)
    for there, copy in (("trained", "first"), ("first", "second")):
        TextToImageGan.from_pretrained(tmp_path / there).save_pretrained(tmp_path / copy)
    loaded = TextToImageGan.from_pretrained(tmp_path / "second")
    assert (tmp_path / "second" / "README.md").read_text(encoding="utf-8") == CARD
    assert (tmp_path / "second" / "training.json").read_bytes() == record
    card = loaded.generate_model_card()
    assert "# A star painter" in card.text
    assert (card.data.library_name, card.data.license) == ("gandiff", None)
    # Over another model's card as over its weights.
    other = Path(shutil.copytree(toy_gan, tmp_path / "other"))
    loaded.save_pretrained(other)
    assert (other / "README.md").read_text(encoding="utf-8") == CARD


@pytest.mark.parametrize("card", [None, "# No front matter\n", "---\na: [\n---\n# Broken\n"])
def test_a_model_without_card_gets_the_template_and_an_odd_one_is_kept(
    toy_gan: Path, tmp_path: Path, card: str | None
) -> None:
    folder = Path(shutil.copytree(toy_gan, tmp_path / "trained"))
    (folder / "README.md").unlink()
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    TextToImageGan.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    written = (tmp_path / "copy" / "README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "copy" / "training.json").exists()
    if card is not None:
        assert written == card
        return
    data = ModelCard(written).data
    assert (data.library_name, data.pipeline_tag) == ("gandiff", "text-to-image")
    assert data.license is None  # nothing is known of what it was trained on


def test_it_is_pushed_with_everything(
    gan: TextToImageGan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the hub client's own upload, which is caught where it would leave the machine."""
    from huggingface_hub import HfApi

    sent: dict[str, Any] = {}
    monkeypatch.setattr(
        HfApi, "create_repo", lambda self, repo_id, **_: type("Repo", (), {"repo_id": repo_id})()
    )

    def upload(self: HfApi, *, folder_path: Path, repo_id: str, **_: Any) -> str:
        sent["files"] = sorted(
            p.relative_to(folder_path).as_posix() for p in Path(folder_path).rglob("*")
        )
        sent["card"] = (Path(folder_path) / "README.md").read_text(encoding="utf-8")
        sent["to"] = repo_id
        return "done"

    monkeypatch.setattr(HfApi, "upload_folder", upload)
    gan.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text(CARD, encoding="utf-8")
    told = TextToImageGan.from_pretrained(tmp_path)
    assert told.push_to_hub("me/my-gan", token="none") == "done"
    assert sent["card"] == CARD
    assert sent["to"] == "me/my-gan"
    assert {"README.md", "config.json", "model.safetensors", "tokenizer/tokenizer.json"} <= set(
        sent["files"]
    )


def test_an_id_is_fetched_as_a_snapshot(toy_gan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def snapshot(repo_id: str, **options: Any) -> str:
        asked.update(options, repo_id=repo_id)
        return str(toy_gan)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert TextToImageGan.from_pretrained("me/my-gan", revision="v2").config.z_width == 16
    assert (asked["repo_id"], asked["revision"]) == ("me/my-gan", "v2")


def test_an_id_that_cannot_be_fetched_is_one_line() -> None:
    with pytest.raises(GeneratorError) as refused:
        TextToImageGan.from_pretrained("me/nothing", local_files_only=True)
    assert "no weights at 'me/nothing'" in str(refused.value)
    assert "On the hub it cannot be fetched either" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_it_paints_pil_images_by_seed(gan: TextToImageGan) -> None:
    first, second = gan(PROMPTS)
    assert first.size == (32, 32)
    np.testing.assert_array_equal(np.asarray(first), images(gan, PROMPTS[:1], [0])[0])
    assert not np.array_equal(np.asarray(second), images(gan, PROMPTS[1:], [0])[0])
    assert gan("a red star")[0].size == (32, 32)
    with pytest.raises(ValueError, match="2 prompts but 1 seeds; give one for each"):
        gan(PROMPTS, [1])


def test_psi_may_differ_from_prompt_to_prompt(gan: TextToImageGan) -> None:
    mixed = images(gan, ["a red star"] * 3, [1, 1, 2], truncation_psi=[0.0, 0.5, 0.0])
    np.testing.assert_array_equal(mixed[0], mixed[2])
    assert not np.array_equal(mixed[0], mixed[1])
    half = images(gan, ["a red star"], [1], truncation_psi=0.5)
    assert np.abs(half[0].astype(int) - mixed[1]).max() <= 1


@pytest.mark.parametrize("psis", [[0.5], [0.0, 0.5, 1.0], []])
def test_psis_of_another_number_are_refused(gan: TextToImageGan, psis: list[float]) -> None:
    says = f"2 pictures but {len(psis)} values of truncation_psi; give one number for all"
    with pytest.raises(ValueError, match=says):
        gan(PROMPTS, truncation_psi=psis)


LONG = "a red star " * 20  # the toy reads 16 tokens


def test_prompts_that_are_cut_are_told(gan: TextToImageGan) -> None:
    mixed = [(LONG, 1), ("a blue ring", 2)]
    for paint in (
        lambda: gan([LONG, "a blue ring"]),
        lambda: editing.truncation(gan, [LONG, "a blue ring"], [1.0]),
        lambda: editing.interpolate_noise(gan, [LONG, "a blue ring"], (1, 2), steps=2),
        lambda: editing.interpolate_prompts(gan, LONG, "a blue ring", [1, 2, 3], steps=2),
        lambda: editing.mix_styles(gan, mixed, mixed),
    ):
        with pytest.warns(UserWarning, match="^1 of 2 prompts is longer than the 16 ") as told:
            paint()
        assert len(told) == 1


def test_pixels_are_rounded_not_cut() -> None:
    values = torch.tensor([-1.0, -0.5, 0.0, 1.0, 3.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_pixels(values)[0, 0, :, 0].tolist() == [0, 64, 128, 255, 255]


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a.astype(int) - b.astype(int)).max() <= 1)


def test_truncation_has_a_row_for_each_prompt(gan: TextToImageGan) -> None:
    grid = editing.truncation(gan, PROMPTS, [0.0, 0.5, 1.0], seed=3)
    assert grid.shape == (2, 3, 32, 32, 3)
    assert near(grid[:, 2], images(gan, PROMPTS, [3, 3]))
    other = editing.truncation(gan, PROMPTS, [0.0, 1.0], seed=4)
    assert near(other[:, 0], grid[:, 0])
    assert not near(other[:, 1], grid[:, 2])


@pytest.mark.parametrize("space", ["z", "w"])
def test_interpolation_begins_and_ends_at_its_seeds(gan: TextToImageGan, space: Any) -> None:
    grid = editing.interpolate_noise(gan, PROMPTS, (5, 6), steps=5, space=space)
    assert grid.shape == (2, 5, 32, 32, 3)
    assert near(grid[:, 0], images(gan, PROMPTS, [5, 5]))
    assert near(grid[:, -1], images(gan, PROMPTS, [6, 6]))
    assert not near(grid[:, 2], grid[:, 0])


def test_interpolation_between_prompts_begins_and_ends_at_them(gan: TextToImageGan) -> None:
    grid = editing.interpolate_prompts(gan, *PROMPTS, seeds=[1, 2, 3], steps=4)
    assert grid.shape == (3, 4, 32, 32, 3)
    for column, prompt in ((0, PROMPTS[0]), (-1, PROMPTS[1])):
        assert near(grid[:, column], images(gan, [prompt] * 3, [1, 2, 3]))


def test_an_interpolation_needs_two_ends(gan: TextToImageGan) -> None:
    with pytest.raises(ValueError, match="at least 2 steps, got 1"):
        editing.interpolate_noise(gan, PROMPTS, (0, 1), steps=1)


def test_slerp_keeps_the_length_and_meets_its_ends() -> None:
    torch.manual_seed(0)
    a, b = torch.nn.functional.normalize(torch.randn(2, 4, 16), dim=2)
    torch.testing.assert_close(editing.slerp(a, b, 0.0), a)
    torch.testing.assert_close(editing.slerp(a, b, 1.0), b)
    torch.testing.assert_close(editing.slerp(a, b, 0.3).norm(dim=1), torch.ones(4))
    torch.testing.assert_close(editing.slerp(a, a, 0.4), a)


def test_mixing_with_itself_changes_nothing(gan: TextToImageGan) -> None:
    each = [("a red star", 1), ("a blue ring on white", 2)]
    for crossover in (1, 2):
        grid = editing.mix_styles(gan, each, each, crossover)
        assert grid.shape == (2, 2, 32, 32, 3)
        plain = images(gan, [prompt for prompt, _ in each], [1, 2])
        assert near(np.stack([grid[0, 0], grid[1, 1]]), plain)
        assert not near(grid[0, 1], plain[0])
        assert not near(grid[0, 1], plain[1])
    with pytest.raises(ValueError, match="crossover must be from 1 to 3, got 4"):
        editing.mix_styles(gan, each, each, 4)


def test_a_folder_whose_training_goes_on_has_a_best_model(
    gan: TextToImageGan, tmp_path: Path
) -> None:
    gan.save_pretrained(tmp_path / "best")
    with pytest.raises(GeneratorError, match=r"is not finished; .*best is its best model so far"):
        TextToImageGan.from_pretrained(str(tmp_path))
    TextToImageGan.from_pretrained(str(tmp_path / "best"))


def test_what_is_no_gan_is_refused(tmp_path: Path, toy_pipeline: Path) -> None:
    with pytest.raises(GeneratorError, match=r"has no config\.json; a GAN is a folder"):
        TextToImageGan.from_pretrained(str(tmp_path))
