"""When the text encoder in a folder is taken for a training, and what its record says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from training_helpers import little_to_check, read, request

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import open_data
from gandiff.experiments.training.checkpoints import CHECKPOINT, write_checkpoint
from gandiff.experiments.training.records import write_json
from gandiff.experiments.training.text import train as text
from gandiff.experiments.training.text.record import text_summary

STARS = ["a red star", "a blue star", "two green stars", "a star on white"]
SHIPS = ["a ship at sea", "two ships in a harbour", "a small ship", "an old ship"]
LONG = " ".join(["rope"] * 40)


@pytest.fixture(scope="module", autouse=True)
def _little_to_check() -> Iterator[None]:
    with little_to_check(20):
        yield


def pictures(folder: Path, captions: Sequence[str] = STARS) -> str:
    """Captioned pictures of 8 px; returns the folder as an option has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, caption in enumerate(captions):
        Image.new("RGB", (8, 8), (i * 10, 0, 0)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(caption, encoding="utf-8")
    return str(folder)


def ensure(out: Path, data: str, **changes: Any) -> bytes:
    """Make sure of the text encoder in ``out``; its weights as they lie there."""
    asked = request(out, data=data, resolution=8, **changes)
    text.ensure(asked, open_data(asked.data, asked.resolution, asked.seed))
    return weights(out)


def weights(out: Path) -> bytes:
    return (out / "text_encoder" / "model.safetensors").read_bytes()


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    """A folder with a text encoder that was trained on stars, and the stars."""
    stars = pictures(tmp_path / "stars")
    ensure(tmp_path / "out", stars)
    return tmp_path / "out", stars


Made = tuple[Path, str]


def test_it_is_taken_for_the_same_data_and_seed(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stars = made
    before = weights(out)
    assert ensure(out, stars) == before
    # Also where both were copied elsewhere, as to another machine.
    shutil.copytree(out, tmp_path / "copy")
    shutil.copytree(stars, tmp_path / "moved")
    assert ensure(tmp_path / "copy", str(tmp_path / "moved")) == before
    assert capsys.readouterr().err == ""


def test_other_data_get_another(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stars = made
    before, ships = weights(out), pictures(tmp_path / "ships", SHIPS)
    (out / "tokenizer" / "spiece.model").touch()  # of another kind of text encoder
    after = ensure(out, ships)
    said = capsys.readouterr().err
    assert f"made with --data {stars} and is asked for with --data {ships}" in said
    assert "it is made again" in said
    assert said.count("\n") == 1
    assert after != before
    assert after == ensure(tmp_path / "fresh", ships)
    assert read(out, text.RECORD)["data"] == ships
    assert not (out / "tokenizer" / "spiece.model").exists()


def test_a_generator_goes_with_the_text_encoder_that_it_knew(made: Made, tmp_path: Path) -> None:
    out, stars = made
    network = out / "model.safetensors"
    for path in (network, out / "training.json"):
        path.touch()
    ensure(out, stars)
    assert network.exists()
    ensure(out, pictures(tmp_path / "ships", SHIPS))
    assert not network.exists()


def test_a_folder_called_scenes_is_not_the_scenes(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(Path("scenes"))
    ensure(Path("out"), "scenes")
    ensure(Path("out"), "./scenes")
    assert "--data scenes and is asked for with --data ./scenes" in capsys.readouterr().err


def test_another_seed_gets_another(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    out, stars = made
    before = weights(out)
    assert ensure(out, stars, seed=1) != before
    assert "--seed 0 and is asked for with --seed 1" in capsys.readouterr().err


def test_one_of_a_short_trial_is_not_taken_for_that_of_a_longer_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stars = tmp_path / "out", pictures(tmp_path / "stars")
    short = ensure(out, stars, kimg=0.3)
    assert ensure(out, stars, kimg=1.0, resume=True) == short
    longer = ensure(out, stars, kimg=1.0)
    assert longer == ensure(tmp_path / "new", stars, kimg=1.0) != short
    said = capsys.readouterr().err
    assert "was trained for 0.3 kimg, and is to have 1 kimg; it is made again" in said


def test_one_that_was_trained_alone_is_kept(tmp_path: Path) -> None:
    stars = pictures(tmp_path / "stars")
    asked = request(tmp_path / "out", data=stars, resolution=8, command="gandiff train text")
    text.train(asked)
    assert ensure(tmp_path / "out", stars, kimg=0.6) == weights(tmp_path / "out")
    assert read(tmp_path / "out", "text_training.json")["command"] == "gandiff train text"


def test_a_given_one_takes_the_place_of_a_trained_one_and_back(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stars = made
    own = weights(out)
    given = str(tmp_path / "given")
    theirs = ensure(Path(given), pictures(tmp_path / "ships", SHIPS))
    assert ensure(out, stars, text_encoder=given) == theirs
    assert "made without --text-encoder" in capsys.readouterr().err
    assert text_summary(out)["source"] == given
    assert ensure(out, stars, text_encoder=given) == theirs
    assert capsys.readouterr().err == ""
    assert ensure(out, stars) == own
    assert f"with --text-encoder {given}" in capsys.readouterr().err


def test_a_changed_folder_gets_another_unless_the_training_goes_on(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stars = made
    before = weights(out)
    pictures(Path(stars), [*STARS, LONG])
    assert ensure(out, stars, resume=True) == before
    assert text_summary(out)["captions"] == {"count": 5, "cut": 1, "tokens": 32}
    capsys.readouterr()
    assert ensure(out, stars) != before
    assert f"made from captions that {stars} does not have now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, ["with --seed 0", "asked for with --seed 1", "; give --seed 0, or"]),
        ({"data": "scenes"}, ["stars and is asked for with --data scenes", "stars, or start in"]),
        (
            {"text_encoder": "openai/clip"},
            ["made without --text-encoder", "openai/clip", "; leave out --text-encoder, or"],
        ),
    ],
)
def test_a_training_does_not_go_on_with_another(
    made: Made, changes: dict[str, Any], says: list[str]
) -> None:
    out, stars = made
    before = weights(out), (out / text.RECORD).read_bytes()
    with pytest.raises(RequestError) as refused:
        ensure(out, **{"data": stars, "resume": True, **changes})
    for part in (f"--resume: the text encoder in {out} was made", *says):
        assert part in str(refused.value)
    assert (weights(out), (out / text.RECORD).read_bytes()) == before


@pytest.mark.parametrize("resume", [True, False])
def test_records_that_do_not_say_are_believed(made: Made, tmp_path: Path, resume: bool) -> None:
    out, _ = made
    before = weights(out)
    write_json(out / text.RECORD, {"seconds": 0.0, "images": 0, "validation": {}})
    ships = pictures(tmp_path / "ships", SHIPS)
    assert ensure(out, ships, seed=7, text_encoder="x", resume=resume) == before
    assert text_summary(out)["captions"]["count"] == 4


def test_a_network_is_not_lost_with_the_record_of_its_text_encoder(made: Made) -> None:
    out, stars = made
    (out / text.RECORD).unlink()
    write_checkpoint(out / CHECKPOINT, {"label": "GAN", "progress": {}, "state": {}})
    before = (out / CHECKPOINT).read_bytes()
    with pytest.raises(RequestError, match=r"holds a GAN and no text_training.json.* copy that"):
        ensure(out, stars, resume=True)
    assert (out / CHECKPOINT).read_bytes() == before


def test_captions_that_are_cut_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = pictures(tmp_path / "long", [*STARS, LONG, LONG + " more"]), tmp_path / "out"
    ensure(out, data)
    said = (
        "warning: 2 of 6 captions are longer than the 32 tokens that the text encoder reads; "
        "their ends are cut\n"
    )
    assert capsys.readouterr().err == said  # once, though it was trained before
    counted = {"count": 6, "cut": 2, "tokens": 32}
    assert text_summary(out)["captions"] == counted
    # A given one, and one whose record is of an older version.
    ensure(tmp_path / "given", data, text_encoder=str(out))
    assert capsys.readouterr().err == said
    assert text_summary(tmp_path / "given")["captions"] == counted


def test_endless_captions_are_not_counted(tmp_path: Path) -> None:
    ensure(tmp_path, "scenes")
    assert set(text_summary(tmp_path)) == {"seconds", "images", "validation"}
