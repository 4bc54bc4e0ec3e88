"""Which file of a folder belongs to which prompt, and what is said before a run."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import toys
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gandiff.models.folder import FolderGenerator
from gandiff.models.folder_preview import FolderLook, preview_folder
from gandiff.models.generator import GenerationRequest, Preview
from gandiff.models.mapping import read_mapping
from gandiff.models.names import Names
from gandiff.models.patterns import assign, name_by_pattern
from gandiff.models.settings import FolderSettings


def asked(
    ids: Sequence[str], samples: int = 1, texts: Mapping[str, str] | None = None
) -> list[GenerationRequest]:
    """The requests of a run, in order."""
    return [
        GenerationRequest(
            prompt=(texts or {}).get(id_, f"text of {id_}"),
            seed=100 * place + sample,
            prompt_id=id_,
            sample=sample,
        )
        for place, id_ in enumerate(ids)
        for sample in range(samples)
    ]


def numbered(count: int, start: int = 1) -> list[str]:
    return [f"{number:05d}" for number in range(start, start + count)]


def look(
    folder: Path,
    requests: Sequence[GenerationRequest],
    names: Sequence[str] = (),
    suite: Sequence[GenerationRequest] = (),
    **chosen: Any,
) -> tuple[Preview, list[str | None]]:
    """What is said of a folder of toy images, and the file of each request."""
    if names:
        toys.save_toy_images(folder, list(names))
    generator = FolderGenerator("f", FolderSettings(folder=str(folder), **chosen))
    preview = generator.preview(requests, suite)
    files = [generator.source(request) for request in requests]
    return preview, [f.relative_to(folder.resolve()).as_posix() if f else None for f in files]


def said(preview: Preview) -> str:
    """Problems and remarks in one text."""
    return "\n".join([*(f"{field}: {text}" for field, text in preview.problems), *preview.remarks])


# Endings, case and zeros of names


def test_endings_may_have_any_case(tmp_path: Path) -> None:
    names = ["00001_0.PNG", "00002_0.Jpg", "00003_0.png"]
    preview, files = look(tmp_path, asked(numbered(3)), names)
    assert files == names
    assert not said(preview)


@pytest.mark.parametrize("pattern", [None, "{prompt_id}_{sample}.png", "{prompt_id}_{sample}"])
def test_names_may_differ_in_case(tmp_path: Path, pattern: str | None) -> None:
    _, files = look(tmp_path, asked(["Star-a", "ring-B"]), ["star-A_0.png", "RING-b_0.PNG"])
    assert files == ["star-A_0.png", "RING-b_0.PNG"]


def test_leading_zeros_may_differ(tmp_path: Path) -> None:
    names = [f"{i}_0.png" for i in range(1, 12)]
    preview, files = look(tmp_path, asked(numbered(11)), names)
    assert files == names
    assert not said(preview)


def test_zeros_are_not_ignored_where_two_could_be_meant(tmp_path: Path) -> None:
    _, files = look(tmp_path, asked(["1", "01"]), ["1_0.png"])
    assert files == ["1_0.png", None]
    (tmp_path / "two").mkdir()
    _, files = look(tmp_path / "two", asked(["1", "x"]), ["01_0.png", "001_0.png", "x_0.png"])
    assert files == [None, "x_0.png"]


def test_links_to_files_elsewhere_are_read(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path / "plain", ["00001_0.png"])
    folder = toys.save_toy_images(tmp_path / "linked", ["00002_0.png"])
    (folder / "00001_0.png").symlink_to("../plain/00001_0.png")
    preview, files = look(folder, asked(numbered(2)))
    assert files == ["00001_0.png", "00002_0.png"]
    assert not said(preview)


def test_samples_may_be_counted_from_one(tmp_path: Path) -> None:
    names = [f"{id_}_{sample}.png" for id_ in numbered(3) for sample in (1, 2)]
    preview, files = look(tmp_path, asked(numbered(3), 2), names)
    assert files == names
    assert "samples" in said(preview)
    assert "counted from 1" in said(preview)


def test_files_of_more_samples_belong_to_their_prompts(tmp_path: Path) -> None:
    names = [f"{id_}_{sample}.png" for id_ in numbered(3) for sample in range(4)]
    preview, files = look(tmp_path, asked(numbered(3), 2), names)
    assert None not in files
    assert not said(preview)


def test_one_name_with_two_endings_is_remarked(tmp_path: Path) -> None:
    preview, files = look(tmp_path, asked(["a"]), ["a_0.jpg", "a_0.png"])
    assert files == ["a_0.png"]
    assert "1 file in" in said(preview)
    assert "(a_0.jpg)" in said(preview)


# What is missing, unused, given twice


def test_names_that_start_at_zero_are_noticed(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(8)]
    preview, _ = look(tmp_path, asked(numbered(8)), names, pattern="{index}.png")
    ((field, problem),) = preview.problems
    assert field == "pattern"
    assert "1 of 8 files" in problem
    assert "belongs to no prompt (0.png)" in problem
    assert "names start at 0, prompts at 1; pattern '{index-1}' would find 8" in problem
    mended, files = look(tmp_path, asked(numbered(8)), pattern="{index-1}.png")
    assert files == names
    assert not said(mended)


@pytest.mark.parametrize("extra", [["8.png"], ["8.png", "9.png", "10.png"]])
def test_names_that_start_at_zero_and_reach_far_enough_are_remarked(
    tmp_path: Path, extra: list[str]
) -> None:
    names = [f"{i}.png" for i in range(8)] + extra
    preview, _ = look(tmp_path, asked(numbered(8)), names, pattern="{index}.png")
    assert not preview.problems
    assert "to no prompt (0.png" in said(preview)
    assert "names start at 0, prompts at 1" in said(preview)


def test_a_limit_hides_neither_a_shift_nor_makes_files_unused(tmp_path: Path) -> None:
    whole = asked(numbered(8))
    toys.save_toy_images(tmp_path / "shifted", [f"{i}.png" for i in range(8)])
    preview, _ = look(tmp_path / "shifted", whole[:4], suite=whole, pattern="{index}.png")
    assert "names start at 0, prompts at 1" in preview.problems[0][1]
    toys.save_toy_images(tmp_path / "right", [f"{i}.png" for i in range(1, 9)])
    preview, _ = look(tmp_path / "right", whole[:4], suite=whole, pattern="{index}.png")
    assert not said(preview)


def test_nothing_found_names_the_nearest_and_a_pattern_that_would_do(tmp_path: Path) -> None:
    ids = [f"astronaut-{i:02d}" for i in range(60)]
    preview, files = look(tmp_path, asked(ids), [f"{id_}.jpg" for id_ in ids])
    assert files == [None] * 60
    ((field, problem),) = preview.problems
    assert field == "pattern"
    assert f"0 of 60 images found in {tmp_path}" in problem
    assert "expected astronaut-00_0, nearest is astronaut-00.jpg" in problem
    assert "pattern '{prompt_id}' would find 60" in problem


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (lambda i, s: f"img_{i:05d}-{s}.png", "img_{prompt_id}-{sample}"),
        (lambda i, s: f"train/{i:05d}/{s}.png", "train/{prompt_id}/{sample}"),
        (lambda i, s: f"{s}/{i:05d}.png", "{sample}/{prompt_id}"),
        (lambda i, s: f"{i:05d}_{s}_final.png", "{prompt_id}_{sample}_final"),
    ],
)
def test_usual_ways_to_name_files_are_suggested(tmp_path: Path, names: Any, pattern: str) -> None:
    files = [names(i, s) for i in range(1, 13) for s in range(2)]
    requests = asked(numbered(12), 2)
    preview, _ = look(tmp_path, requests, files)
    assert f"pattern {pattern!r} would find 24" in preview.problems[0][1]
    mended, got = look(tmp_path, requests, pattern=pattern)
    assert got == files
    assert not said(mended)


def test_what_is_missing_in_part_is_a_remark(tmp_path: Path) -> None:
    preview, files = look(tmp_path, asked(numbered(16)), [f"{i}_0.png" for i in numbered(8)])
    assert files.count(None) == 8
    assert not preview.problems
    assert "8 of 16 images found" in said(preview)
    assert "expected 00009_0" in said(preview)


def test_a_pattern_that_names_one_file_twice_is_wrong(tmp_path: Path) -> None:
    preview, files = look(
        tmp_path, asked(["a-1", "b-1", "c-2"]), ["1_0.png", "2_0.png"], pattern="{index}_{sample}"
    )
    assert files == [None, None, "2_0.png"]
    assert (
        "'{index}_{sample}' names 1_0 for prompt a-1, sample 0 and for prompt b-1, sample 0"
        in preview.problems[0][1]
    )


def test_a_scheme_that_gives_files_to_other_prompts_is_wrong(tmp_path: Path) -> None:
    # By the usual pattern a_0.png would be the image of the prompt a.
    preview, _ = look(tmp_path, asked(["a", "a_0", "b"]), ["a.png", "a_0.png", "b.png"])
    assert "pattern '{prompt_id}' would find 3" in preview.problems[0][1]


# Mappings


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "m.jsonl") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def test_prompts_of_one_text_have_files_of_their_own(tmp_path: Path) -> None:
    texts = {"00001": "a star", "00002": "a ring", "00003": "a  star"}
    names = [f"{letter}.png" for letter in "abcdef"]
    rows = [
        {"file_name": name, "text": text}
        for name, text in zip(names, ["a star"] * 2 + ["a ring"] * 2 + ["a star"] * 2, strict=True)
    ]
    toys.save_toy_images(tmp_path, names)
    write_rows(tmp_path, rows, "metadata.jsonl")
    preview, files = look(tmp_path, asked(numbered(3), 2, texts))
    assert files == names
    assert not said(preview)


def test_a_limit_gives_prompts_of_one_text_the_files_that_they_have_without(tmp_path: Path) -> None:
    texts = dict.fromkeys(numbered(3), "a star")
    names = ["a.png", "b.png", "c.png"]
    toys.save_toy_images(tmp_path, names)
    write_rows(tmp_path, [{"file_name": n, "text": "a star"} for n in names], "metadata.jsonl")
    whole = asked(numbered(3), 1, texts)
    preview, files = look(tmp_path, [whole[2], whole[1]], suite=whole)
    assert files == ["c.png", "b.png"]
    assert not said(preview)


def test_too_few_rows_for_prompts_of_one_text(tmp_path: Path) -> None:
    texts = {"00001": "a star", "00002": "a star"}
    toys.save_toy_images(tmp_path, ["a.png"])
    write_rows(tmp_path, [{"file_name": "a.png", "text": "a star"}], "metadata.jsonl")
    _, files = look(tmp_path, asked(numbered(2), 1, texts))
    assert files == ["a.png", None]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("File_Name,Prompt_ID,Sample", "{number}.PNG,{number},1"),
        ("FILE_NAME,prompt_id,sample", "{number}.png,{number},0"),
        ("file_name,prompt_id,sample", "{number}.png,{number:05d},1.0"),
    ],
)
def test_columns_ids_and_samples_are_read_however_they_are_written(
    tmp_path: Path, header: str, row: str
) -> None:
    names = [f"{number}.png" for number in range(1, 9)]
    toys.save_toy_images(tmp_path, names)
    rows = [row.format(number=number) for number in range(1, 9)]
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
    preview, files = look(tmp_path, asked(numbered(8)), mapping="m.csv")
    assert files == names
    assert ("counted from 1" in said(preview)) == row.rpartition(",")[2].startswith("1")


def test_a_mapping_that_is_used_in_place_of_the_names(tmp_path: Path) -> None:
    names = [f"{id_}_{sample}.png" for id_ in numbered(8) for sample in range(2)]
    toys.save_toy_images(tmp_path, names)
    rows = [{"file_name": name, "text": f"of an earlier use {name}"} for name in names]
    write_rows(tmp_path, rows, "metadata.jsonl")
    preview, files = look(tmp_path, asked(numbered(8), 2))
    assert set(files) == {None}
    ((field, problem),) = preview.problems
    assert field == "mapping"
    assert "0 of 16 images found" in problem
    assert "metadata.jsonl has no file for text 'text of 00001', sample 0" in problem
    assert "16 of 16 files" in problem
    assert (
        "metadata.jsonl is used, not a pattern; pattern '{prompt_id}_{sample}' would find 16"
        in problem
    )
    mended, files = look(tmp_path, asked(numbered(8), 2), pattern="{prompt_id}_{sample}")
    assert files == names
    assert not said(mended)


def test_a_mapping_may_give_numbers_to_any_prompt(tmp_path: Path) -> None:
    ids, names = numbered(8), [f"{number}.png" for number in (3, 1, 2, 8, 5, 4, 7, 6)]
    toys.save_toy_images(tmp_path, names)
    rows = [{"file_name": n, "prompt_id": i} for n, i in zip(names, ids, strict=True)][:6]
    write_rows(tmp_path, rows, "metadata.jsonl")
    preview, files = look(tmp_path, asked(ids))
    assert files == [*names[:6], None, None]
    assert not preview.problems
    assert "6 of 8 images found" in said(preview)


def test_accents_may_be_encoded_in_two_ways(tmp_path: Path) -> None:
    ids = ["Zürich", "Besançon"]
    composed = [unicodedata.normalize("NFC", f"{id_}_0.png") for id_ in ids]
    apart = [unicodedata.normalize("NFD", name) for name in composed]
    preview, files = look(tmp_path / "names", asked(ids), apart)
    assert files == apart
    assert not said(preview)
    toys.save_toy_images(tmp_path / "table", apart)
    rows = [{"file_name": n, "text": f"text of {i}"} for n, i in zip(composed, ids, strict=True)]
    write_rows(tmp_path / "table", rows, "metadata.jsonl")
    preview, files = look(tmp_path / "table", asked([unicodedata.normalize("NFD", i) for i in ids]))
    assert files == apart
    assert not said(preview)


def test_a_mapping_that_is_there_and_not_used(tmp_path: Path) -> None:
    names = [f"{letter}.png" for letter in "abc"]
    toys.save_toy_images(tmp_path, names)
    rows = [{"file_name": n, "prompt_id": i} for n, i in zip(names, numbered(3), strict=True)]
    write_rows(tmp_path, rows, "metadata.jsonl")
    preview, _ = look(tmp_path, asked(numbered(3)), pattern="{index}")
    assert "mapping 'metadata.jsonl' would find 3" in preview.problems[0][1]


def test_a_mapping_may_give_one_file_to_two_prompts_and_it_is_said(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["a.png", "b.png"])
    rows = [{"file_name": "a.png", "prompt_id": id_} for id_ in numbered(2)]
    write_rows(tmp_path, rows)
    preview, files = look(tmp_path, asked(numbered(2)), mapping="m.jsonl")
    assert files == ["a.png", "a.png"]
    assert "1 file is given to several prompts by m.jsonl (a.png)" in said(preview)
    assert "1 of 2 files" in said(preview)
    assert "(b.png)" in said(preview)


def test_other_texts_than_those_of_the_suite_are_remarked(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["a.png"])
    write_rows(tmp_path, [{"file_name": "a.png", "prompt_id": "00001", "text": "a dog"}])
    preview, _ = look(tmp_path, asked(numbered(1)), mapping="m.jsonl")
    assert "00001 is 'a dog' there and 'text of 00001' here" in said(preview)


def test_names_in_a_mapping_are_relative_to_it(tmp_path: Path) -> None:
    toys.save_toy_images(tmp_path, ["train/a.png", "b.png"])
    rows = [{"file_name": n, "prompt_id": n[0]} for n in ("a.png", "b.png")]
    write_rows(tmp_path / "train", rows)
    _, files = look(tmp_path, asked(["a", "b"]), mapping="train/m.jsonl")
    assert files == ["train/a.png", "b.png"]


# Any naming

IDS = st.lists(
    st.from_regex(r"[a-c]{0,2}[-_]?[0-9]{0,3}", fullmatch=True).filter(
        lambda id_: id_[:1].isalnum()
    ),
    min_size=1,
    max_size=6,
    unique_by=str.casefold,
)
PATTERNS = ("{prompt_id}_{sample}", "{prompt_id}-{sample}", "{sample}/{prompt_id}", "{prompt_id}")
ENDINGS = ("png", "PNG", "jpg", "JPEG", "webp")


def written(name: str, style: int, ending: str) -> str:
    """A name as somebody may write it: in capitals, with more zeros, with any ending."""
    name = name.upper() if style & 1 else name
    if style & 2:
        name = "".join(
            "00" + c if c.isdigit() and not (i and name[i - 1].isdigit()) else c
            for i, c in enumerate(name)
        )
    return f"{name}.{ending}"


@settings(max_examples=400, deadline=None)
@given(
    ids=IDS,
    samples=st.integers(1, 3),
    pattern=st.sampled_from(PATTERNS),
    first=st.integers(0, 1),
    styles=st.lists(st.integers(0, 3), min_size=18, max_size=18),
    endings=st.lists(st.sampled_from(ENDINGS), min_size=18, max_size=18),
    lost=st.sets(st.integers(0, 17)),
)
@example(["1", "01", "001"], 1, "{prompt_id}_{sample}", 0, [0] * 18, ["png"] * 18, {0})
def test_an_image_is_never_that_of_another_prompt(
    ids: list[str],
    samples: int,
    pattern: str,
    first: int,
    styles: list[int],
    endings: list[str],
    lost: set[int],
) -> None:
    requests = asked(ids, samples if "{sample}" in pattern else 1)
    exact = [name_by_pattern(pattern, request, first) for request in requests]
    owner = {
        written(name, style, ending): request
        for place, (name, style, ending, request) in enumerate(
            zip(exact, styles, endings, requests, strict=False)
        )
        if place not in lost
    }
    # A file that is called exactly like that of another prompt cannot be told from it.
    stems = [name.rpartition(".")[0] for name in owner]
    assume(
        len({stem.casefold() for stem in stems})
        == len(requests) - len(lost & set(range(len(requests))))
    )
    for name, request in owner.items():
        others = [e for e, r in zip(exact, requests, strict=True) if r is not request]
        assume(name.rpartition(".")[0] not in others)
    got = assign(Names(list(owner), endings=True), pattern, requests)
    taken = [file for file in got.files if file]
    assert len(taken) == len(set(taken))
    for request, file in zip(requests, got.files, strict=True):
        if file is not None:
            assert owner[file].prompt_id == request.prompt_id
    if not lost and got.first_sample == first:
        loosely = [written(name, 1, "png") for name in exact]
        if len({x.replace("0", "") for x in loosely}) == len(loosely):
            assert None not in got.files


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.sampled_from(["a star", "a ring", "a cross"]), min_size=1, max_size=6),
    samples=st.integers(1, 3),
    lost=st.sets(st.integers(0, 17)),
)
def test_a_mapping_by_text_gives_each_file_once_and_to_its_text(
    tmp_path: Path, texts: list[str], samples: int, lost: set[int]
) -> None:
    requests = asked(
        numbered(len(texts)), samples, dict(zip(numbered(len(texts)), texts, strict=True))
    )
    rows = [
        {"file_name": f"{place}.png", "text": request.prompt}
        for place, request in enumerate(requests)
        if place not in lost
    ]
    assume(rows)
    path = tmp_path / write_rows(tmp_path, rows)
    names = Names([str(row["file_name"]) for row in rows], endings=True)
    got = read_mapping(path, tmp_path).assign(names, requests)
    taken = [file for file in got.files if file]
    assert len(taken) == len(set(taken))
    for request, file in zip(requests, got.files, strict=True):
        if file is not None:
            assert requests[int(file.removesuffix(".png"))].prompt == request.prompt
    if not lost:
        assert got.files == [f"{place}.png" for place in range(len(requests))]


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(3, 9),
    samples=st.integers(1, 2),
    shift=st.sampled_from([-1, 1]),
    width=st.integers(1, 6),
    pattern=st.sampled_from(["{prompt_id}_{sample}", "{index}-{sample}", "{sample}/{index:03d}"]),
)
def test_shifted_numbers_are_always_noticed(
    count: int, samples: int, shift: int, width: int, pattern: str
) -> None:
    shifted = re.sub(r"{(prompt_id|index)[^}]*}", f"{{index{shift:+d}:0{width}d}}", pattern)
    requests = asked(numbered(count), samples)
    names = Names([f"{name_by_pattern(shifted, r)}.png" for r in requests], endings=True)
    chosen = FolderSettings(folder="f", pattern=pattern)
    assignment = assign(names, pattern, requests)
    preview = preview_folder(
        FolderLook(Path("f"), chosen, names, None, requests, len(requests), assignment)
    )
    assert f"{{index{shift:+d}}}" in preview.problems[0][1]
