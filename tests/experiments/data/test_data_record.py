"""What a training recorded of its pictures: a changed folder keeps what it held out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from training_helpers import little_to_check, read

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.data.record import (
    DATA_RECORD,
    DataRecord,
    Row,
    continued,
    read_data_record,
)

COUNT = 120


def fill(folder: Path, numbers: range) -> None:
    """Pictures of 8 px, all different, each with a caption."""
    folder.mkdir(exist_ok=True)
    for i in numbers:
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:04d}.png")
        (folder / f"{i:04d}.txt").write_text(f"picture {i}", encoding="utf-8")


def split(data: FileImages) -> tuple[set[bytes], set[bytes]]:
    """The pixels of the pictures that are held out and of those that are trained on."""
    held = data.held_out(10**6).images
    kept = data.batch(0, data.count or 0).images
    return {one.tobytes() for one in held}, {one.tobytes() for one in kept}


def test_the_record_says_what_was_there(tmp_path: Path) -> None:
    fill(tmp_path / "data", range(COUNT))
    data = FileImages(tmp_path / "data", 8)
    data.record.write(tmp_path / "out")
    facts = json.loads((tmp_path / "out" / DATA_RECORD).read_text())
    assert (facts["images"], facts["held_out"], len(facts["rows"])) == (COUNT, COUNT // 20, COUNT)
    assert read_data_record(tmp_path / "out") == data.record
    # Wherever the folder lies, and whenever it is read.
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert FileImages(tmp_path / "moved", 8).facts() == data.facts() == {"pictures": {
        name: facts[name] for name in ("images", "held_out", "sha256")
    }}  # fmt: skip


def test_the_same_pictures_are_the_same_data(tmp_path: Path) -> None:
    fill(tmp_path, range(COUNT))
    before = FileImages(tmp_path, 8, seed=3)
    after = FileImages(tmp_path, 8, seed=3, before=before.record)
    assert after.record is before.record
    for one, other in zip(before.batch(7, 64), after.batch(7, 64), strict=True):
        assert np.array_equal(one, other)


def test_added_pictures_move_none(tmp_path: Path) -> None:
    """By the hash of names alone, some would move from training to held out, and back."""
    fill(tmp_path, range(COUNT))
    before = FileImages(tmp_path, 8)
    held, kept = split(before)
    fill(tmp_path, range(COUNT, 3 * COUNT))
    assert split(FileImages(tmp_path, 8))[0] & kept, "a case that shows nothing"
    after = FileImages(tmp_path, 8, before=before.record)
    now_held, now_kept = split(after)
    assert now_held == held
    assert kept < now_kept
    assert after.count == 3 * COUNT - len(held)
    assert after.record.changes == ("240 added (now 360 images, 6 of them held out)",)


def test_every_change_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, range(COUNT))
    before = FileImages(tmp_path, 8)
    held, kept = split(before)
    names = [row.file for row in before.record.rows if row.held_out]
    fill(tmp_path, range(COUNT, COUNT + 3))
    for suffix in (".png", ".txt"):
        (tmp_path / names[0]).with_suffix(suffix).rename(tmp_path / f"renamed{suffix}")
        (tmp_path / names[1]).with_suffix(suffix).unlink()
    (tmp_path / names[2]).with_suffix(".txt").write_text("said in other words")
    Image.new("RGB", (8, 8), "red").save(tmp_path / names[3])
    after = FileImages(tmp_path, 8, before=before.record)
    now_held, now_kept = split(after)
    assert after.record.changes == (
        "3 added, 1 removed, 1 with other captions, 1 with other contents, 1 renamed "
        "(now 122 images, 5 of them held out)",
    )
    assert not now_kept & held
    assert not now_held & kept
    # What has gone comes back as what it was.
    fill(tmp_path, range(COUNT))
    again = FileImages(tmp_path, 8, before=after.record)
    assert [row.held_out for row in again.record.rows if row.file == names[1]] == [True]


CONTENTS, NAMES = st.sampled_from("abcdefgh"), st.sampled_from([f"{i}.png" for i in range(10)])
FILES = st.dictionaries(NAMES, st.tuples(CONTENTS, st.sampled_from("xy")), min_size=1)


@settings(max_examples=300)
@given(FILES, st.sets(NAMES), st.lists(FILES, min_size=1, max_size=3))
def test_held_out_pictures_stay_held_out(
    files: dict[str, tuple[str, str]],
    held_out: set[str],
    later: list[dict[str, tuple[str, str]]],
) -> None:
    """Whatever becomes of the files: what was trained on alone is not held out, nor the reverse."""

    def rows(
        files: dict[str, tuple[str, str]], held_out: set[str] = frozenset()
    ) -> tuple[Row, ...]:  # type: ignore[assignment]
        return tuple(Row(n, c, said, n in held_out) for n, (c, said) in sorted(files.items()))

    record = DataRecord(rows(files, held_out))
    for now in later:
        before, record = record, continued(record, DataRecord(rows(now)))
        known = [*before.rows, *before.gone]
        held, kept = ({r.sha256 for r in known if r.held_out is flag} for flag in (True, False))
        for row in record.rows:
            if row.sha256 in held - kept:
                assert row.held_out
            if row.sha256 in kept - held:
                assert not row.held_out
        assert [(r.file, r.sha256, r.captions) for r in record.rows] == [
            (r.file, r.sha256, r.captions) for r in rows(now)
        ]
        same = [r[:3] for r in record.rows] == [r[:3] for r in before.rows]
        assert (record == before) == same
        assert len(record.changes) == len(before.changes) + (not same)
        # Nothing is forgotten.
        assert {r.sha256 for r in known} <= {r.sha256 for r in [*record.rows, *record.gone]}
        with tempfile.TemporaryDirectory() as folder:
            record.write(Path(folder))
            assert read_data_record(Path(folder)) == record


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATA_RECORD).write_text('{"images": 3}')
    with pytest.raises(RequestError, match=r"data\.json is not a record of gandiff"):
        read_data_record(tmp_path)


@pytest.mark.parametrize("kind", ["gan", "diffusion", "text"])
def test_a_training_that_is_resumed_says_what_changed(
    kind: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Path("data"), range(COUNT))
    budget = {"gan": ["--kimg", "0.016"]}.get(kind, ["--minutes", "0.002"])
    command = ["train", kind, "--data", "data", "--out", "out", "--resolution", "8", *budget]
    command += ["--batch-size", "8", "--quiet", *(["--ticks", "1"] if kind == "gan" else [])]
    if kind == "diffusion":
        small = ("channels=8,16", "factor=2", "sampling_steps=1", "guidance=1")
        command += [word for one in small for word in ("--set", one)]
    with little_to_check(20):
        assert main(command) == 0
        first = read_data_record(Path("out"))
        assert first is not None
        held = {row.file for row in first.rows if row.held_out}
        assert Counter(row.held_out for row in first.rows) == {False: 114, True: 6}
        assert main([*command, "--resume"]) == 0
        assert "has changed" not in capsys.readouterr().err
        fill(Path("data"), range(COUNT, 2 * COUNT))
        (Path("data") / min(held)).unlink()
        # A small text encoder is made for its captions, and cannot learn the words of others.
        assert main([*command, "--resume"]) == (2 if kind == "text" else 0)
    assert (
        "warning: data has changed since the training in out began: 120 added, 1 removed (now 239 "
        "images, 5 of them held out); what was held out before still is" in capsys.readouterr().err
    )
    now = read_data_record(Path("out"))
    assert now is not None
    if kind == "text":
        assert now == first
    else:
        assert {row.file for row in now.rows if row.held_out} == held - {min(held)}
        assert read(Path("out"))["pictures"] == now.summary()
