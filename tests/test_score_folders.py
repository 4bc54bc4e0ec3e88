"""Two folders of images through the command line, as people use clean-fid and torch-fidelity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from PIL import Image

import gandiff
from gandiff.common.files import file_sha256
from gandiff.experiments.cli import main

FD, KID = "fd(encoder=scenes)", "kid(encoder=scenes)"


@pytest.fixture
def folders(empty_folder: Path) -> Path:
    """``made`` and ``real``, 30 pictures of 32 px each, in the working folder."""
    for name, start in (("made", 0), ("real", 100)):
        (empty_folder / name).mkdir()
        for i in range(30):
            toys.toy_image(start + i).save(empty_folder / name / f"{i:02d}.png")
    return empty_folder


class Done:
    """What a command printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["metric"]: row for row in json.loads(self.out)}


@pytest.fixture
def gandiff_command(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> Done:
        code = main([*words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Done(code, shown.out, shown.err)

    return run


def score(*words: str) -> list[str]:
    return ["score", "made", "--json", "--quiet", *words]


def test_a_file_of_statistics_stands_for_the_folder(folders: Path, gandiff_command: Any) -> None:
    metrics = f"{FD},fd_inf(encoder=scenes),{KID}"
    by_folder = gandiff_command(*score("--reference", "real", "--metrics", metrics)).rows
    made = gandiff_command("stats", "real", "--encoder", "scenes", "--out", "real.npz")
    assert (made.code, made.out) == (0, "real.npz: 30 images, scenes, with features\n")
    by_file = gandiff_command(*score("--reference", "real.npz", "--metrics", metrics)).rows
    for name, row in by_folder.items():
        assert by_file[name]["value"] == pytest.approx(row["value"], rel=1e-6)
        assert by_file[name]["protocol"] == row["protocol"]
        assert (by_file[name]["images"], by_file[name]["references"]) == (30, 30)


def test_mean_and_covariance_serve_fd_and_nothing_else(folders: Path, gandiff_command: Any) -> None:
    features = ["stats", "real", "--encoder", "scenes", "--out"]
    gandiff_command(*features, "whole.npz")
    assert gandiff_command(*features, "small.npz", "--no-features").code == 0
    assert Path("small.npz").stat().st_size < Path("whole.npz").stat().st_size
    whole = np.load("whole.npz")
    np.savez("theirs.npz", mu=whole["mu"], sigma=whole["sigma"])  # as pytorch-fid writes it
    found = [
        gandiff_command(*score("--reference", file, "--metrics", FD)).rows[FD]
        for file in ("real", "small.npz", "theirs.npz")
    ]
    assert found[1]["value"] == pytest.approx(found[0]["value"], rel=1e-6)
    assert found[2]["value"] == pytest.approx(found[0]["value"], rel=1e-6)
    assert found[2]["references"] is None
    assert "theirs.npz does not say by which protocol" in found[2]["note"]
    refused = gandiff_command(*score("--reference", "theirs.npz", "--metrics", f"{FD},{KID}"))
    assert (refused.code, refused.out) == (2, "")
    assert "kid(encoder=scenes) needs the features of the reference images" in refused.err


def test_pytorch_fid_reads_our_file(folders: Path, gandiff_command: Any) -> None:
    score_module = pytest.importorskip("pytorch_fid.fid_score")
    gandiff_command("stats", "real", "--encoder", "scenes", "--out", "real.npz")
    mean, covariance = score_module.compute_statistics_of_path("real.npz", None, 1, 2048, "cpu", 0)
    assert mean.shape == (covariance.shape[0],)
    assert covariance.shape[0] == covariance.shape[1]


def test_another_protocol_is_refused_by_the_field_that_differs(
    folders: Path, gandiff_command: Any
) -> None:
    gandiff_command("stats", "real", "--encoder", "scenes_b", "--out", "b.npz")
    done = gandiff_command(*score("--reference", "b.npz", "--metrics", FD))
    assert done.code == 2
    assert "b.npz was made with encoder 'scenes_b' and the images are measured with" in done.err
    gandiff_command("stats", "real", "--encoder", "scenes+centre", "--out", "c.npz")
    done = gandiff_command(*score("--reference", "c.npz", "--metrics", FD))
    assert "c.npz was made with crop 'centre'" in done.err
    cropped = "fd(encoder=scenes,crop=centre)"
    assert gandiff_command(*score("--reference", "c.npz", "--metrics", cropped)).code == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no file of statistics that can be read"),
        (b"PK\x03\x04rubbish", "is no file of statistics that can be read"),
        ({"mean": np.zeros(3)}, "has no 'mu', only mean"),
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, "mu has 3 entries and sigma is (2, 2)"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "holds NaN or infinite numbers"),
        ({"mu": np.zeros(2), "sigma": np.eye(2)}, "the reference has 2 features and scenes gives"),
        ({"mu": np.array([{}]), "sigma": np.eye(1)}, "is no file of statistics that can be read"),
    ],
)
def test_files_of_statistics_that_do_not_fit(
    content: Any, says: str, folders: Path, gandiff_command: Any
) -> None:
    if isinstance(content, bytes):
        Path("bad.npz").write_bytes(content)
    else:
        np.savez("bad.npz", **content)
    done = gandiff_command(*score("--reference", "bad.npz", "--metrics", FD))
    assert done.code != 0
    assert says in done.err
    missing = gandiff_command(*score("--reference", "none.npz", "--metrics", FD))
    assert (missing.code, missing.err.strip()) == (
        2, "error: there is no file of statistics none.npz",
    )  # fmt: skip


def test_statistics_that_cannot_be_written(folders: Path, gandiff_command: Any) -> None:
    done = gandiff_command("stats", "real", "--encoder", "scenes", "--out", "real.npy")
    assert (done.code, "real.npy: give a name ending in .npz" in done.err) == (2, True)
    done = gandiff_command("stats", "real", "--encoder", "scenes", "--out", "real/00.png/real.npz")
    assert (done.code, "--out real/00.png is a file" in done.err) == (2, True)
    shutil.copytree("real", "one", ignore=lambda _, names: sorted(names)[1:])
    done = gandiff_command("stats", "one", "--encoder", "scenes", "--out", "one.npz")
    assert (done.code, "at least 2 images and found 1" in done.err) == (2, True)
    assert not list(Path().glob("*.npz"))


def test_unreadable_files_are_left_out_named_and_counted(
    folders: Path, gandiff_command: Any
) -> None:
    clean = gandiff_command(*score("--reference", "real", "--metrics", FD)).rows[FD]
    Path("made/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    Path("made/empty.jpg").write_bytes(b"")
    done = gandiff_command(*score("--reference", "real", "--metrics", FD))
    assert done.code == 0
    assert done.rows[FD]["value"] == pytest.approx(clean["value"], rel=1e-9)
    assert done.rows[FD]["images"] == 30
    assert "warning: 2 of 32 image files cannot be read: made/broken.png" in done.err
    assert "empty.jpg" in done.err
    assert "the other 30 are measured" in done.err


def test_odd_files_are_warned_of(folders: Path, gandiff_command: Any) -> None:
    shutil.rmtree("made")
    Path("made").mkdir()
    for i in range(8):
        toys.toy_image(i, (48, 40)).save(f"made/{i}.jpg")
    toys.toy_image(9).convert("CMYK").save("made/cmyk.jpg")
    toys.toy_image(10).convert("RGBA").save("made/alpha.png")
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save("made/deep.png")
    toys.toy_image(11, (1, 1)).save("made/dot.png")
    frames = [toys.toy_image(12 + i) for i in range(2)]
    frames[0].save("made/moving.png", save_all=True, append_images=frames[1:])
    done = gandiff_command(*score("--reference", "real", "--metrics", FD))
    assert done.code == 0
    assert done.rows[FD]["images"] == 13
    for said in (
        "9 of 43 images are JPEG; against lossless files that moves distribution metrics",
        "1 of 43 images is CMYK",
        "1 of 43 images has an alpha channel or a transparent colour, laid over white",
        "1 of 43 images has more than 8 bits a channel",
        "1 of 43 images has several frames or pages",
        "different sizes",
    ):
        assert said in done.err


def test_the_same_folder_on_both_sides_is_allowed_and_said(
    folders: Path, gandiff_command: Any
) -> None:
    done = gandiff_command(*score("--reference", "made", "--metrics", FD))
    assert done.code == 0
    assert done.rows[FD]["value"] == pytest.approx(0, abs=1e-6)
    assert "30 images are in the reference, too" in done.rows[FD]["note"]
    assert "warning: made is compared with itself" in done.err


def test_what_fails_late_leaves_the_rest(folders: Path, gandiff_command: Any) -> None:
    metrics = f"{FD},vendi(encoder=scenes,n=500),{KID}"
    done = gandiff_command(*score("--reference", "real", "--metrics", metrics))
    assert done.code == 1
    values = {name: row["value"] for name, row in done.rows.items()}
    assert values[FD] is not None
    assert values[KID] is not None
    assert values["vendi(encoder=scenes,n=500)"] is None
    assert "error: vendi(encoder=scenes,n=500): not measured: " in done.err
    assert "needs 500 images and found 30" in done.err


def test_a_cap_draws_the_same_images_whatever_their_names(
    folders: Path, gandiff_command: Any
) -> None:
    words = score("--reference", "real", "--metrics", FD, "--max-images", "12")
    first = gandiff_command(*words).rows[FD]
    for path in sorted(Path("made").iterdir()):
        path.rename(path.with_name(f"{99 - int(path.stem)}.png"))
    again = gandiff_command(*words).rows[FD]
    assert (first["images"], first["references"]) == (12, 12)
    assert again["value"] == pytest.approx(first["value"], rel=1e-9)
    assert again["protocol"] == first["protocol"]


def test_a_cache_keeps_features_and_notices_a_changed_file(
    folders: Path, gandiff_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandiff.evaluate.features import encoding

    seen: list[str] = []
    whole = encoding.read_image

    def watching(record: Any, **how: Any) -> Any:
        seen.append(record.path.name)
        return whole(record, **how)

    monkeypatch.setattr(encoding, "read_image", watching)
    words = score("--reference", "real", "--metrics", f"{FD},{KID}", "--cache", "kept")
    first = gandiff_command(*words).rows
    assert len(seen) == 60  # once each, for both metrics
    seen.clear()
    assert gandiff_command(*words).rows == first
    assert seen == []
    toys.toy_image(999).save("made/05.png")
    changed = gandiff_command(*words).rows
    assert seen == ["05.png"]
    assert changed[FD]["value"] != first[FD]["value"]


def test_fid_under_every_resize_and_other_weights_are_said(
    folders: Path, gandiff_command: Any
) -> None:
    weights = toys.save_toy_inception(folders / "inception.pth")
    words = ["--weights", "inception=inception.pth", "--max-images", "4"]
    done = gandiff_command(
        *score("--reference", "real", "--metrics", "fid(resize=all),fid(resize=clean)", *words)
    )
    assert done.code == 0
    assert list(done.rows) == [
        "fd(encoder=inception)",
        "fd(encoder=inception,resize=legacy_pytorch)",
        "fd(encoder=inception,resize=clean)",
        "fd(encoder=inception,resize=torchmetrics_antialias)",
    ]
    resizes = {row["protocol"]["resize"] for row in done.rows.values()}
    assert len(resizes) == 4
    assert {row["protocol"]["weights_sha256"] for row in done.rows.values()} == {
        file_sha256(weights)
    }
    assert "the Inception weights are not those of published FIDs" in done.err
    assert "N < d: 4 images for 2048 dimensions" in done.rows["fd(encoder=inception)"]["note"]


def test_from_python(folders: Path) -> None:
    Path("made/broken.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 of 31 image files cannot be read"):
        rows = gandiff.score_folders("made", reference="real", metrics=[FD], quiet=True)
    assert [row.metric for row in rows] == [FD]
    assert rows[0].value is not None


def test_pictures_of_a_run_of_scenes_are_not_called_foreign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, suite in (("scenes-run", "scenes"), ("other-run", "prompts")):
        folder = tmp_path / run / "images" / "gan"
        toys.save_toy_images(folder, [f"{i}.png" for i in range(12)])
        record = {"suite": {"name": suite, "prompts": 12}}
        (tmp_path / run / "run.json").write_text(json.dumps(record))
        line = ["score", str(folder), "--metrics", "vendi(encoder=scenes)", "--quiet", "--json"]
        assert main(line) == 0
        shown = capsys.readouterr()
        assert ("know rendered scenes" in shown.err) == (suite != "scenes")
        (row,) = json.loads(shown.out)
        assert ("outside of what" in (row["note"] or "")) == (suite != "scenes")
        assert row["protocol"]["interval"].endswith("jackknife over images")
