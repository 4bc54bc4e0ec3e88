"""Which pictures have which captions: image folders in the usual layouts, and COCO captions."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.common.errors import RequestError
from gandiff.common.picture_files import is_picture, list_pictures
from gandiff.common.rows import CAPTION, FILE, find_metadata, is_text, lines, read_rows, read_text
from gandiff.common.words import agree, counted

_SPLIT, _OTHER_SPLITS = "train", ("validation", "valid", "val", "dev", "test")
_LAYOUTS = (
    "write a metadata.jsonl or .csv with file_name and text, or a name.txt beside each name.png; "
    "or give the JSON file of COCO's captions"
)


class Captioned(NamedTuple):
    """A picture and its captions, one or more."""

    path: Path
    captions: tuple[str, ...]


def list_captioned(source: Path) -> list[Captioned]:
    """Pictures with captions, in an order that does not depend on the file system.

    ``source`` is a folder with ``metadata.jsonl`` or ``metadata.csv`` (Hugging Face's imagefolder:
    ``file_name``, ``text``), or with ``name.txt`` beside ``name.png`` (a caption a line), or with
    ``annotations/captions_*.json``; or such a JSON file; or a folder whose split ``train`` is like
    that. Pictures without a caption, and those of the folder that its table does not name, are
    counted on stderr. Raises ``RequestError`` if there are none with one, and for captions that are
    not text.
    """
    pictures = _listed(source)
    captioned = [one for one in pictures if one.captions]
    if not captioned:
        have = f"; it has {counted(len(pictures), 'image')} without captions" if pictures else ""
        raise RequestError(f"{source} has no captioned image{have}; {_LAYOUTS}")
    if missing := len(pictures) - len(captioned):
        print(
            f"warning: {missing} of {counted(len(pictures), 'image')} in {source} "
            f"{agree(missing, 'have no caption')} and {agree(missing, 'are left out')}",
            file=sys.stderr,
        )
    return captioned


def _listed(source: Path) -> list[Captioned]:
    if source.is_file() and source.suffix == ".json":
        return _coco(source)
    if not source.is_dir():
        raise RequestError(
            f"--data {source} is not a folder; give a folder of captioned images, the JSON file of "
            "COCO's captions, or 'scenes'"
        )
    table = find_metadata(source)
    if table is not None:
        return _listing(table)
    annotations = sorted(source.glob("annotations/captions_*.json"))
    if len(annotations) > 1:
        names = ", ".join(path.name for path in annotations)
        raise RequestError(f"{source} has captions in {names}; give one of these files")
    if annotations:
        return _coco(annotations[0])
    splits = _splits(source)
    if splits[1:]:
        print(
            f"warning: of {source} the split {_SPLIT} is used; left out: {', '.join(splits[1:])}",
            file=sys.stderr,
        )
    return _listed(source / _SPLIT) if splits else _neighbours(source)


def _splits(folder: Path) -> list[str]:
    """The splits of an imagefolder, that of training first; none if it is arranged otherwise."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    folders = [name for name in names if (folder / name).is_dir()]
    split = _SPLIT in folders and {*folders} <= {_SPLIT, *_OTHER_SPLITS}
    if not split or any(is_picture(name) for name in names):
        return []
    return sorted(folders, key=lambda name: name != _SPLIT)


def _listing(path: Path) -> list[Captioned]:
    texts: dict[str, list[str]] = defaultdict(list)
    for where, fields in read_rows(path):
        file, caption = (next((n for n in names if n in fields), None) for names in (FILE, CAPTION))
        for given, usual in ((file, FILE[0]), (caption, CAPTION[0])):
            if given is None:
                raise RequestError(f"{where}: missing required field {usual!r}")
        name, text = fields[str(file)], fields[str(caption)]
        plain = _text(name, f"{where}: {file}").replace("\\", "/")  # as Windows writes paths
        texts[plain] += _clean(
            _text(one, f"{where}: {caption}")
            for one in (text if isinstance(text, list) else [text])
        )
    listed = [Captioned(path.parent / name, tuple(said)) for name, said in texts.items()]
    named = {one.path.resolve() for one in listed}
    unlisted = [one for one in _pictures(path.parent) if one.resolve() not in named]
    if unlisted:
        print(
            f"warning: {counted(len(unlisted), 'image')} in {path.parent} "
            f"{agree(len(unlisted), 'are not in')} {path.name} and "
            f"{agree(len(unlisted), 'are left out')}",
            file=sys.stderr,
        )
    return listed


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{where} must be a string, got {json.dumps(value)[:60]}")
    if not is_text(value):
        raise RequestError(
            f"{where} has half of a surrogate pair, which is not text: {value!a:.60}"
        )
    return value


def _neighbours(folder: Path) -> list[Captioned]:
    texts = ((path, path.with_suffix(".txt")) for path in _pictures(folder))
    read = ((path, read_text(text) if text.is_file() else "") for path, text in texts)
    return [Captioned(path, tuple(_clean(lines(text)))) for path, text in read]


def _pictures(folder: Path) -> list[Path]:
    pictures = list_pictures(folder)
    for remark in pictures.remarks():
        print(f"warning: {remark}", file=sys.stderr)
    return pictures.paths


def _coco(path: Path) -> list[Captioned]:
    """COCO's captions (Lin et al. 2014): images and annotations, joined by id."""
    try:
        content: dict[str, Any] = json.loads(read_text(path))
        names = {
            str(image["id"]): _text(image["file_name"], f"{path}: the file of image {image['id']}")
            for image in content["images"]
        }
        texts: dict[str, list[str]] = defaultdict(list)
        for note in content["annotations"]:
            where = f"{path}: the caption of image {note['image_id']}"
            texts[str(note["image_id"])].append(_text(note["caption"], where))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} is not a COCO captions file, which has 'images' (id, file_name) and "
            f"'annotations' (image_id, caption) ({type(error).__name__}: {error})"
        ) from error
    folder = _coco_folder(path, next(iter(names.values()), ""))
    return [
        Captioned(folder / name, tuple(_clean(texts[number])))
        for number, name in sorted(names.items(), key=lambda item: item[1])
    ]


def _coco_folder(path: Path, first: str) -> Path:
    """Where the pictures lie: in a folder with the name of the split, beside the annotations."""
    split = path.stem.removeprefix("captions_")
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    places = [root / split, root / "images" / split, root / "images", root, path.parent]
    for place in places:
        if (place / first).is_file():
            return place
    looked = ", ".join(str(place) for place in dict.fromkeys(places))
    raise RequestError(f"the images of {path} are not there: looked for {first!r} in {looked}")


def _clean(texts: Iterable[str]) -> list[str]:
    return [text for text in (" ".join(t.split()) for t in texts) if text]
