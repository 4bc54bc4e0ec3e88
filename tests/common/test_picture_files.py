"""Which files of a folder are pictures: one walk, whatever the folder is used for."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gandiff.common.errors import GeneratorError
from gandiff.common.picture_files import SUFFIXES, is_picture, list_pictures
from gandiff.evaluate.features.images import image_records
from gandiff.experiments.data.captioned import FileImages
from gandiff.models.folder import FolderGenerator
from gandiff.models.generator import GenerationRequest
from gandiff.models.settings import FolderSettings

NAMES = st.from_regex(r"\.?[a-zé ]{1,3}(\.(png|PNG|Jpg|jfif|AVIF|tiff|heic|txt))?", fullmatch=True)
TREES = st.recursive(
    st.sampled_from([b"", b"x"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


def build(folder: Path, tree: Any) -> None:
    """Files and folders in a random order, so that the file system has them in another one."""
    folder.mkdir()
    items = list(tree.items()) if isinstance(tree, dict) else []
    random.Random(len(items)).shuffle(items)
    for name, inner in items:
        if isinstance(inner, dict):
            build(folder / name, inner)
        else:
            (folder / name).write_bytes(inner)


def expected(tree: Any, prefix: str = "") -> tuple[list[str], int]:
    """Names of the pictures and how many are hidden, by the definition."""
    names: list[str] = []
    hidden = 0
    for name, inner in tree.items() if isinstance(tree, dict) else ():
        if isinstance(inner, dict):
            below, more = expected(inner, f"{prefix}{name}/")
            names, hidden = names + below, hidden + more
        elif name.lower().endswith(SUFFIXES):
            names.append(prefix + name)
    if prefix:
        return names, hidden
    dotted = [n for n in names if any(part.startswith(".") for part in n.split("/"))]
    shown = sorted(set(names) - set(dotted), key=lambda n: n.split("/"))
    return shown, hidden + len(dotted)


@settings(deadline=None)
@given(tree=TREES)
def test_any_tree_is_listed_by_the_definition(
    tree: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("walk") / "tree"
    build(folder, tree)
    pictures = list_pictures(folder)
    names, hidden = expected(tree)
    assert (list(pictures.names), pictures.left_out.get("hidden", 0)) == (names, hidden)
    assert [path.relative_to(folder).as_posix() for path in pictures.paths] == names


@pytest.mark.parametrize("ending", SUFFIXES)
def test_every_ending_is_read_in_any_case(ending: str, tmp_path: Path) -> None:
    assert is_picture(f"a{ending}")
    for number, name in enumerate((f"a_0{ending.upper()}", f"b_0{ending.title()}")):
        kind = Image.registered_extensions()[ending]
        toys.toy_image(number).save(tmp_path / name, kind)
        (tmp_path / name).with_suffix(".txt").write_text(f"picture {number}")
    assert len(image_records(tmp_path)) == 2
    data = FileImages(tmp_path, 16)
    assert (data.count, data.captions(2)) == (2, ["picture 0", "picture 1"])
    generator = FolderGenerator("f", FolderSettings(folder=str(tmp_path)))
    asked = [GenerationRequest(prompt="x", seed=0, prompt_id=name) for name in ("a", "b")]
    made = generator.generate(asked)
    assert [one.status for one in made] == ["ok", "ok"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    toys.save_toy_images(elsewhere, [f"deep/{i}.png" for i in range(10)])
    toys.save_toy_images(folder, ["a.png", "b.png", "c.png"])
    (folder / "linked").symlink_to(elsewhere)
    (folder / "d.png").symlink_to(elsewhere / "deep/3.png")
    (elsewhere / "back").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "gone.png").symlink_to(tmp_path / "gone.png")
    deep = [f"deep/{i}.png" for i in range(10)]
    pictures = list_pictures(folder)
    linked = [f"linked/{name}" for name in deep]
    assert list(pictures.names) == ["a.png", "b.png", "c.png", "d.png", *linked]
    assert pictures.left_out == {"broken links": 2, "links that lead back to where they are": 1}
    assert len(image_records(folder)) == 14
    assert list(list_pictures(folder / "linked").names)[-10:] == deep


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    toys.save_toy_images(
        tmp_path, ["a.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", ".thumbs/x/b.png"]
    )
    for name in ("b.heic", "c.HEIC", "d.svg", "LICENSE", "a.txt", "b.json", ".DS_Store"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.png")
    pictures = list_pictures(tmp_path)
    assert pictures.names == ("a.png",)
    assert pictures.remarks() == [
        f"{tmp_path}: left out: 3 hidden, 4 of other endings (.heic, .svg, no ending), "
        "1 pipes and devices"
    ]
    generator = FolderGenerator("f", FolderSettings(folder=str(tmp_path)))
    assert list(generator.info.remarks) == pictures.remarks()


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="cannot be read: No such file"):
        list_pictures(tmp_path / "gone", GeneratorError)


def test_a_deep_tree_and_many_files_take_little_time(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = deep / "d"
        deep.mkdir()
    toys.toy_image(0).save(deep / "a.png")
    for i in range(20_000):
        (tmp_path / f"{i:05d}.png").touch()
    start = time.process_time()
    assert len(list_pictures(tmp_path)) == 20_001
    assert time.process_time() - start < 4  # 100,000 in under 20 s; takes a tenth of a second
