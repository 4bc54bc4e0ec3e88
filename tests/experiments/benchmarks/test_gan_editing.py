"""The benchmark of the GAN's edits: what its numbers are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from toys import save_toy_units

from gandiff.experiments.benchmarks.gan_editing import (
    added,
    distance_from_ground,
    main,
    psnr_of,
    request_of,
)
from gandiff.experiments.scenes.edits import edit_pictures, edit_suite
from gandiff.experiments.scenes.facts import COLOURS, SHAPES


def test_psnr_is_that_of_the_pixels_that_count() -> None:
    wanted = np.full((2, 8, 8, 3), 100, np.uint8)
    made = wanted + np.array([10, 0], np.uint8)[:, None, None, None]
    first, second = psnr_of(made, wanted)
    assert first == pytest.approx(28.1308, abs=1e-4)  # 20 log10(255 / 10)
    assert second > 80
    where = np.zeros((2, 8, 8), bool)
    where[:, :4] = True
    made[:, 4:] = 0
    assert psnr_of(made, wanted, where)[0] == pytest.approx(first)


def test_an_addition_stands_out_and_its_source_does_not() -> None:
    for edit in edit_suite("test", 8, kinds=["add"]):
        pictures = edit_pictures(edit)
        target, source = (
            distance_from_ground(edit, one, pictures) for one in (pictures.target, pictures.source)
        )
        assert source < 14 < target  # 8 levels of jitter in each of three channels
        assert all(value in edit.words.caption_after for value in added(edit).values())
        request = request_of(edit, pictures, "paint", None)
        assert (request.prompt, request.task) == (edit.words.caption_after, "paint")


def test_it_prints_a_line_for_each_judge(toy_gan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--pictures", "2", "--parts", "inpaint", "--weights", str(toy_gan)])
    head, *judges = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("inpaint: 2 pictures, PSNR ")
    assert [line[:8] for line in judges] == ["judge a ", "judge b "]


def test_units_are_tried_beside_as_many_random_ones(
    toy_gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(toy_gan, tmp_path / "gan")
    save_toy_units(folder, [*COLOURS, *SHAPES])
    main(["--pictures", "2", "--parts", "units", "--weights", str(folder)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    named, at_random = lines[:3], lines[3:]
    assert named[0].startswith("paint by units: 2 pictures, PSNR ")
    assert at_random[0].startswith("paint by random units: 2 pictures, PSNR ")
    for judges in (named[1:], at_random[1:]):
        assert [line[:8] for line in judges] == ["judge a ", "judge b "]
