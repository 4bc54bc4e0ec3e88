"""Tables of captions as people have them: one reader for prompts, mappings and training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.common.errors import GandiffError, GeneratorError, RequestError
from gandiff.experiments.data.files import list_captioned
from gandiff.experiments.prompts.files import read_prompt_file
from gandiff.models.folder import FolderGenerator
from gandiff.models.generator import GenerationRequest
from gandiff.models.settings import FolderSettings

PROMPTS = ["a star\u2028on white", "a ring\u0085on sand", 'a "big" heart', "a cross,\r\n or two"]
NAMES = [f"{i}.png" for i in range(len(PROMPTS))]


def trained_on(folder: Path) -> list[str]:
    return [text for one in list_captioned(folder) for text in one.captions]


def generated(folder: Path, prompts: list[str]) -> list[str]:
    generator = FolderGenerator("f", FolderSettings(folder=str(folder)))
    asked = [GenerationRequest(prompt=prompt, seed=0) for prompt in prompts]
    return [made.status for made in generator.generate(asked)]


def one_space(texts: list[str]) -> list[str]:
    return [" ".join(text.split()) for text in texts]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


def csv_of(header: str, prompts: list[str], end: str = "\n") -> str:
    rows = [
        f'{name},"{text.replace(chr(34), chr(34) * 2)}"'
        for name, text in zip(NAMES, prompts, strict=True)
    ]
    return end.join([header, *rows, ""])


def jsonl_of(file: str, text: str, prompts: list[str], end: str = "\n") -> str:
    pairs = zip(NAMES, prompts, strict=True)
    return end.join(json.dumps({file: n, text: p}, ensure_ascii=False) for n, p in pairs)


TABLES: dict[str, tuple[str, str]] = {
    "jsonl": ("metadata.jsonl", jsonl_of("file_name", "text", PROMPTS)),
    "jsonl with BOM": ("metadata.jsonl", "\ufeff" + jsonl_of("file_name", "text", PROMPTS, "\r\n")),
    "csv": ("metadata.csv", csv_of("file_name,text", PROMPTS)),
    "csv with BOM": ("metadata.csv", "\ufeff" + csv_of("file_name,text", PROMPTS, "\r\n")),
    "capitals": ("metadata.csv", csv_of("File_Name,Text", PROMPTS)),
    "another word": ("metadata.csv", csv_of("file,Caption", PROMPTS)),
    "prompts": ("metadata.jsonl", jsonl_of("File", "Prompt", PROMPTS)),
    "split": ("train/metadata.csv", csv_of("file_name,text", PROMPTS)),
    "Unicode text": ("metadata.csv", csv_of("file_name,text", PROMPTS, "\r\n")),
    "blank columns": ("metadata.csv", csv_of("file_name,text,,", PROMPTS)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_read_alike_for_training_and_for_ready_pictures(
    kind: str, tmp_path: Path
) -> None:
    name, text = TABLES[kind]
    path = write(tmp_path / name, text)
    toys.save_toy_images(path.parent, NAMES)
    if kind == "Unicode text":  # as spreadsheets call UTF-16 with its mark
        path.write_bytes(text.encode("utf-16"))
    assert trained_on(tmp_path) == one_space(PROMPTS)
    assert generated(tmp_path, PROMPTS) == ["ok"] * len(PROMPTS)
    assert one_space([row["text"] for row in read_prompt_file(path)]) == one_space(PROMPTS)


WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    prompts=st.lists(
        WORDS.filter(str.strip), min_size=1, max_size=4, unique_by=lambda text: one_space([text])[0]
    )
)
def test_any_text_comes_back(prompts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tables")
    toys.save_toy_images(folder, NAMES[: len(prompts)])
    padded = dict(zip(NAMES, prompts, strict=False))
    rows = [f'{name},"{text.replace(chr(34), chr(34) * 2)}"\r\n' for name, text in padded.items()]
    lines = [json.dumps({"file_name": n, "text": t}) + "\n" for n, t in padded.items()]
    for name, text in (
        ("metadata.csv", "file_name,text\r\n" + "".join(rows)),
        ("metadata.jsonl", "".join(lines)),
    ):
        write(folder / name, text)
        assert trained_on(folder) == one_space(prompts)
        assert generated(folder, prompts) == ["ok"] * len(prompts)


def test_captions_beside_pictures_have_no_mark_and_break_at_line_ends_alone(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["a.png"])
    write(tmp_path / "a.txt", "\ufeffa cloud\r\na star\u2028on white\n\n")
    assert trained_on(tmp_path) == ["a cloud", "a star on white"]


def test_coco_with_a_mark_and_ids_as_text(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path / "val2017", ["7.jpg"])
    content = {
        "images": [{"id": 7, "file_name": "7.jpg"}],
        "annotations": [{"image_id": "7", "caption": "a star\u0085on white"}],
    }
    path = tmp_path / "annotations" / "captions_val2017.json"
    write(path, "\ufeff" + json.dumps(content, ensure_ascii=False))
    assert trained_on(tmp_path) == ["a star on white"]
    write(path, json.dumps(content).replace("star", "\\ud83d"))
    with pytest.raises(RequestError, match="caption of image 7 has half of a surrogate pair"):
        trained_on(tmp_path)


def test_names_may_be_written_as_on_windows(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["deep/a.png"])
    write(tmp_path / "metadata.csv", "file_name,text\ndeep\\a.png,a star\n")
    assert [one.path for one in list_captioned(tmp_path)] == [tmp_path / "deep/a.png"]
    assert generated(tmp_path, ["a star"]) == ["ok"]


@pytest.mark.parametrize("table", [True, False])
def test_of_an_imagefolder_with_splits_the_training_split_is_used(
    tmp_path: Path, table: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        toys.save_toy_images(tmp_path / split, ["0.png"])
        if table:
            write(tmp_path / split / "metadata.csv", f"file_name,text\n0.png,of {split}\n")
        else:
            write(tmp_path / split / "0.txt", f"of {split}")
    assert trained_on(tmp_path) == ["of train"]
    assert f"of {tmp_path} the split train is used; left out: test" in capsys.readouterr().err


def test_a_class_that_is_called_train_is_one_among_others(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        toys.save_toy_images(tmp_path / name, ["0.png"])
        write(tmp_path / name / "0.txt", f"a {name}")
    assert trained_on(tmp_path) == ["a bus", "a train"]


UNCLOSED = "file_name,text\n" + "".join(
    f"{i}.png,{chr(34) if i == 2 else ''}thing {i}\n" for i in range(10)
)
READERS: dict[str, tuple[Callable[[Path], object], type[GandiffError]]] = {
    "training": (trained_on, RequestError),
    "mapping": (lambda folder: generated(folder, ["thing 1"]), GeneratorError),
    "prompts": (lambda folder: read_prompt_file(folder / "metadata.csv"), RequestError),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_quote_that_is_not_closed_is_refused_with_its_line(reader: str, tmp_path: Path) -> None:
    read, error = READERS[reader]
    toys.save_toy_images(tmp_path, [f"{i}.png" for i in range(10)])
    write(tmp_path / "metadata.csv", UNCLOSED)
    with pytest.raises(
        error, match=r"metadata\.csv:4: this is not CSV: the quote before 'thing 2'"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("Prompts,Category", "a red car,Colors", ("00001", "a red car", "Colors", ())),  # DrawBench
        (
            "Prompt\tCategory\tChallenge\tNote",  # PartiPrompts
            "bond\tAbstract\tBasic\tof many meanings",
            ("00001", "bond", "Abstract", ("Basic",)),
        ),
        ("id\timage_id\tcaption", "70\t227049\tA city.", ("70", "A city.", None, ())),  # COCO
        ("file_name,text", "a.png,a star", ("00001", "a star", None, ())),  # imagefolder
    ],
)
def test_published_headers_are_known(
    header: str, row: str, expected: tuple[object, ...], tmp_path: Path
) -> None:
    ending = ".tsv" if "\t" in header else ".csv"
    (prompt,) = read_prompt_file(write(tmp_path / f"a{ending}", f"{header}\n{row}\n"))
    assert tuple(prompt[name] for name in ("id", "text", "category", "tags")) == expected
