from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gandiff.common.errors import RequestError
from gandiff.common.files import write_atomically
from gandiff.experiments.runs.store import ImageEntry, RunStore

PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def entry(key: str, **changes: object) -> ImageEntry:
    fields: dict[str, object] = {
        "key": key,
        "generator": "g",
        "prompt_id": key,
        "sample": 0,
        "seed": 1,
        "sha256": None,
        "path": None,
        "width": None,
        "height": None,
        "batch": 0,
        "seconds": 0.5,
        "status": "failed",
        "reason": "β \u2028 line",
    }
    return ImageEntry(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path)
    store.open()
    (tmp_path / "images" / "g").mkdir(parents=True)
    yield store
    store.close()


def reread(store: RunStore) -> dict[str, ImageEntry]:
    return RunStore(store.folder).entries


def test_lines_survive(store: RunStore) -> None:
    store.append([entry("a"), entry("b", truncated_tokens={"clip": 3})])
    store.append([entry("c")])
    assert (
        reread(store)
        == store.entries
        == {
            "a": entry("a"),
            "b": entry("b", truncated_tokens={"clip": 3}),
            "c": entry("c"),
        }
    )


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_a_log_torn_anywhere_is_repaired(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    store = RunStore(folder)
    store.open()
    store.append([entry(key) for key in "abcd"])
    store.close()
    whole = (folder / "images.jsonl").read_bytes()
    torn = whole[: cut % (len(whole) + 1)]
    (folder / "images.jsonl").write_bytes(torn)

    store = RunStore(folder)
    store.open()
    complete = torn.count(b"\n")
    assert list(store.entries) == list("abcd")[:complete]
    store.append([entry("new")])
    store.close()
    lines = (folder / "images.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[:complete] == whole.splitlines(keepends=True)[:complete]
    assert len(lines) == complete + 1
    assert list(RunStore(folder).entries) == [*"abcd"[:complete], "new"]


def test_looking_repairs_nothing(store: RunStore) -> None:
    store.append([entry("a")])
    log = store.folder / "images.jsonl"
    log.write_bytes(log.read_bytes() + b'{"key": "b", "gen')
    before = log.read_bytes()
    assert list(reread(store)) == ["a"]
    assert log.read_bytes() == before


def test_lines_that_are_doubled_or_unreadable_go(store: RunStore) -> None:
    store.append([entry("a"), entry("b")])
    log = store.folder / "images.jsonl"
    good = log.read_bytes()
    log.write_bytes(good + b"not JSON\n" + b'{"key": 1}\n' + good)
    store.close()
    store.open()
    assert log.read_bytes() == good


def test_an_image_is_complete_or_not_there(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = store.save_image("images/g/a_0.png", PICTURE)
    path = store.folder / "images/g/a_0.png"
    assert np.array_equal(np.asarray(Image.open(path)), PICTURE)
    assert store.save_image("images/g/b_0.png", PICTURE) == sha256

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        store.save_image("images/g/a_0.png", PICTURE[::-1])
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["a_0.png", "b_0.png"]


def test_half_written_files_are_removed(store: RunStore) -> None:
    store.close()
    for name in ("run.json.12.tmp", "images/g/a_0.png.12.tmp"):
        (store.folder / name).write_text("half")
    store.open()
    assert not list(store.folder.rglob("*.tmp"))


def test_json_is_replaced_as_a_whole(store: RunStore) -> None:
    store.write_json("run.json", {"a": "β"})
    store.write_json("run.json", {"b": 2})
    assert (store.folder / "run.json").read_text() == '{\n  "b": 2\n}\n'
    with pytest.raises(TypeError):
        write_atomically(store.folder / "run.json", "text")  # type: ignore[arg-type]
    assert (store.folder / "run.json").read_text() == '{\n  "b": 2\n}\n'


def test_a_second_writer_is_refused_and_told_who_writes(store: RunStore) -> None:
    code = (
        "from pathlib import Path; from gandiff.experiments.runs.store import RunStore; "
        f"RunStore(Path({str(store.folder)!r})).open()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"is being written by another process (id {os.getpid()})" in done.stderr
    store.close()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_a_dead_writer_leaves_no_lock(store: RunStore) -> None:
    store.close()
    code = (
        "import os, signal; from pathlib import Path; "
        "from gandiff.experiments.runs.store import RunStore; "
        f"RunStore(Path({str(store.folder)!r})).open(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    store.open()


def test_a_second_writer_in_the_same_process_is_refused(store: RunStore) -> None:
    with pytest.raises(RequestError, match="is being written by another process"):
        RunStore(store.folder).open()
