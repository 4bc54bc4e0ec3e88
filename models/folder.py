"""Images that were made elsewhere, as a Generator; needs no torch."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gandiff.common.contents import FileMark, read_marked
from gandiff.common.errors import GeneratorError
from gandiff.common.files import expanded
from gandiff.common.images import UnreadableImageError, decode_image, image_size
from gandiff.common.picture_files import list_pictures, no_pictures
from gandiff.common.rows import find_metadata
from gandiff.common.words import counted
from gandiff.models.folder_preview import FolderLook, preview_folder
from gandiff.models.generator import (
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
    Preview,
)
from gandiff.models.mapping import FileMapping, read_mapping
from gandiff.models.names import Names
from gandiff.models.patterns import DEFAULT_PATTERN, Assignment, assign
from gandiff.models.pixels import finish
from gandiff.models.settings import FolderSettings
from gandiff.models.tasks import PICTURES, TASKS

_Place = tuple[str | None, str, int, int]


class FolderGenerator(Generator):
    """Looks the image of a request up in a folder, by a pattern of file names or a mapping file.

    Seeds play no part unless the pattern names them. Every picture becomes RGB in 8 bits:
    transparent ones are laid over white, the orientation that a camera wrote is applied. It serves
    every task: what was edited elsewhere is found by its prompt, too. The files
    are those below the folder, links followed; a name never leads out of it. ``preview`` looks all
    requests of a run up at once; others are looked up one by one.
    """

    def __init__(self, name: str, settings: FolderSettings) -> None:
        """Check the folder; ``GeneratorError`` without a readable image or a usable mapping."""
        self._name = name
        self._settings = settings
        self._folder = _existing_folder(settings.folder)
        pictures = list_pictures(self._folder, GeneratorError)
        if not pictures.names:
            raise GeneratorError(no_pictures(pictures, settings.folder))
        self._files = Names(pictures.names, endings=True)
        self._left_out = tuple(pictures.remarks())
        self._mapping = _mapping(self._folder, settings)
        self._check_images()
        self._resolution = settings.resize
        self._planned: dict[_Place, tuple[str | None, str]] = {}
        self._preview = Preview()

    @property
    def info(self) -> GeneratorInfo:
        """Facts about the folder; the resolution is known once loaded, if all images agree."""
        return GeneratorInfo(
            name=self._name,
            family=self._settings.family,
            resolution=self._resolution,
            licence=self._settings.licence,
            source=self._settings.source,
            settings=dataclasses.asdict(self._settings),
            remarks=(*self._left_out, *self._preview.remarks),
            cost="lookup",
            abilities=frozenset(TASKS),
        )

    def preview(
        self, requests: Iterable[GenerationRequest], suite: Iterable[GenerationRequest] = ()
    ) -> Preview:
        """Look up the files of all requests of a run, and remember them for ``generate``."""
        planned = {_place(request): _without_pictures(request) for request in requests}
        every = list({_place(request): request for request in (*suite, *planned.values())}.values())
        assignment = self._assign(every)
        order = sorted(range(len(every)), key=lambda place: _place(every[place]) not in planned)
        every, assignment = [every[place] for place in order], assignment.in_order(order)
        looked_up = zip(assignment.files, assignment.reasons, strict=True)
        self._planned = dict(zip(map(_place, every), looked_up, strict=True))
        self._preview = preview_folder(
            FolderLook(
                self._folder,
                self._settings,
                self._files,
                self._mapping,
                every,
                len(planned),
                assignment,
            )
        )
        return self._preview

    def source(self, request: GenerationRequest) -> Path | None:
        """The file of a request; None if there is none."""
        name, _ = self._look_up(request)
        return None if name is None else self._folder / name

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the sizes of all images that are in use, from their headers."""
        if self._settings.resize is None:
            used = dict.fromkeys(name for name, _ in self._planned.values() if name)
            sizes: set[tuple[int, int]] = set()
            for name in used or self._files.names:
                if (size := image_size(self._folder / name)) is not None:
                    sizes.add(size)
                if len(sizes) > 1:
                    break
            width, height = next(iter(sizes)) if len(sizes) == 1 else (0, 1)
            self._resolution = width if width == height else None

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Look up one image per request; a missing or broken file is a failed generation."""
        return [self._generation(request) for request in requests]

    def _generation(self, request: GenerationRequest) -> Generation:
        name, reason = self._look_up(request)
        source = None
        try:
            if name is None:
                raise LookupError(reason)
            data, source = _read(self._folder / name)
            file_name = name.rpartition("/")[2]
            pixels, odd = decode_picture(data, file_name, self._settings)
            made = finish(pixels, nfe=0, note=odd)
        except LookupError as error:
            made = Generation(image=None, status="failed", reason=str(error.args[0]), nfe=0)
        return dataclasses.replace(made, source=source)

    def _look_up(self, request: GenerationRequest) -> tuple[str | None, str]:
        if _place(request) in self._planned:
            return self._planned[_place(request)]
        alone = self._assign([request], planned=False)
        return alone.files[0], alone.reasons[0]

    def _assign(self, requests: Sequence[GenerationRequest], *, planned: bool = True) -> Assignment:
        if self._mapping is not None:
            return self._mapping.assign(self._files, requests, self._settings.folder)
        pattern = self._settings.pattern or DEFAULT_PATTERN
        return assign(self._files, pattern, requests, self._settings.folder, planned=planned)

    def _check_images(self) -> None:
        where, files = self._settings.folder, self._files.names
        if all(image_size(self._folder / name) is None for name in files):
            raise GeneratorError(
                f"none of {counted(len(files), 'file')} in the folder {where} can be read as an "
                f"image, such as {files[0]}"
            )
        named = self._mapping.files if self._mapping is not None else []
        if named and not any(m.name for m in self._files.match(named, zeros=False)):
            assert self._mapping is not None
            raise GeneratorError(
                f"{self._mapping.path} names no file that is in the folder {where}, such as "
                f"{named[0]}"
            )


def decode_picture(
    data: bytes, name: str, settings: FolderSettings
) -> tuple[UInt8[np.ndarray, "h w 3"], str | None]:
    """Decode a picture of any mode as RGB, resized if so set, with a line on what was odd about it;
    ``LookupError`` if it is broken.
    """
    try:
        decoded = decode_image(data)
    except UnreadableImageError as error:
        raise LookupError(f"cannot read {name} as an image: {error}") from error
    image = Image.fromarray(decoded.pixels)
    if settings.resize is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        kind = Image.Resampling[settings.resize_filter.upper()]
        image = image.resize((settings.resize, settings.resize), kind)
    return np.asarray(image), decoded.remarks()


def _read(path: Path) -> tuple[bytes, FileMark]:
    try:
        return read_marked(path)
    except OSError as error:
        raise LookupError(f"cannot read {path.name}: {error.strerror or error}") from error


def _place(request: GenerationRequest) -> _Place:
    return request.prompt_id, request.prompt, request.sample, request.seed


def _without_pictures(request: GenerationRequest) -> GenerationRequest:
    """The same without what plays no part here and fills the memory."""
    without: dict[str, Any] = dict.fromkeys(PICTURES)
    return dataclasses.replace(request, **without)


def _existing_folder(text: str) -> Path:
    folder = expanded(text)
    if not folder.is_dir():
        state = "a file" if folder.exists() else "missing"
        raise GeneratorError(f"the image folder {text} is {state}; expected a folder of images")
    return folder.resolve()


def _mapping(folder: Path, settings: FolderSettings) -> FileMapping | None:
    if settings.mapping is not None:
        path = Path(os.path.normpath(folder / settings.mapping))
        if not path.is_relative_to(folder):
            path = path.resolve()  # a name from the root may come to the folder by a link
        if not path.is_relative_to(folder):
            raise GeneratorError(
                f"the mapping {settings.mapping} lies outside of {settings.folder}"
            )
        return read_mapping(path, folder)
    if settings.pattern is not None:
        return None
    usual = find_metadata(folder) or find_metadata(folder / "train")  # imagefolder's split
    return None if usual is None else read_mapping(usual, folder)
