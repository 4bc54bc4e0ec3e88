"""The folder that the pages of README and docs are typed in, one for each file of tests.

What one page trained another one of the same file may use. What would take long or needs a network
is replaced by something small and local; everything else is typed as it stands.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pages
import pytest
import toys
from training_helpers import little_to_check

sys.path.append(str(Path(__file__).parent))  # for "import small"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, toy_pipeline: Path, toy_gan: Path) -> Path:
    """A folder with what the pages say is there."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "toy-pipeline").symlink_to(toy_pipeline)
    (folder / "toy-gan").symlink_to(toy_gan)
    prompts = toys.PROMPTS[:6]  # the fewest that give a difference its interval
    (folder / "prompts.txt").write_text("\n".join(prompts), encoding="utf-8")
    toys.save_toy_images(
        folder / "midjourney", [f"{i:05d}_{k}.png" for i in range(1, 7) for k in (0, 1)]
    )
    toys.save_toy_images(folder / "my-images", [f"{i}.png" for i in range(3)])
    toys.save_toy_images(folder / "photos", [f"{i}.jpg" for i in range(4)])
    toys.save_toy_inception(folder / "inception.pth")
    (folder / "experiments").symlink_to(pages.ROOT / "experiments")
    extending = pages.blocks("docs/extending.md")
    for name, file in (("my-models", "my_models.py"), ("retoucher", "my_retoucher.py")):
        (folder / file).write_text(extending[name].text, encoding="utf-8")
    _save_captioned(folder / "photos-with-captions")
    encoder, tokenizer = toys.build_text()
    encoder.save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    return folder


@pytest.fixture
def here(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in that folder; trainings measure fewer pictures."""
    monkeypatch.chdir(workshop)
    monkeypatch.delenv("GANDIFF_DEBUG", raising=False)
    with little_to_check(12):
        yield workshop


def _save_captioned(folder: Path) -> None:
    """Pictures of 64 px and their captions, as the page describes them."""
    names = [f"{i}.png" for i in range(16)]
    folder.mkdir()
    for i, name in enumerate(names):
        toys.toy_image(i, (64, 64)).save(folder / name)
    lines = [
        json.dumps({"file_name": name, "text": toys.PROMPTS[i % len(toys.PROMPTS)]})
        for i, name in enumerate(names)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
