"""Images that were made elsewhere, as a Generator; needs no torch."""

from __future__ import annotations

import dataclasses
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gandiff.common.contents import FileMark, read_marked
from gandiff.common.errors import GeneratorError
from gandiff.common.images import UnreadableImageError, image_size, open_image, to_rgb
from gandiff.common.picture_files import SUFFIXES, is_picture, list_pictures, no_pictures
from gandiff.models.generator import Generation, GenerationRequest, Generator, GeneratorInfo
from gandiff.models.mapping import FileMapping, find_mapping, read_mapping
from gandiff.models.pixels import finish
from gandiff.models.settings import FolderSettings

DEFAULT_PATTERN = "{prompt_id}_{sample}"


class FolderGenerator(Generator):
    """Looks the image of a request up in a folder, by a pattern of file names or a mapping file.

    Seeds play no part unless the pattern names them. Every picture becomes RGB in 8 bits:
    transparent ones are laid over white, the orientation that a camera wrote is applied. Links in
    the folder are followed; a name that leads out of it by ``..`` or from the root is refused.
    """

    def __init__(self, name: str, settings: FolderSettings) -> None:
        """Check the folder; ``GeneratorError`` without a readable image or a usable mapping."""
        self._name = name
        self._settings = settings
        self._folder = _existing_folder(settings.folder)
        self._mapping = _mapping(self._folder, settings)
        self._pictures = list_pictures(self._folder, GeneratorError)
        # Endings are known in any case: the file of 00001_0.png may be 00001_0.PNG.
        self._names = {_folded(name): name for name in reversed(self._pictures.names)}
        self._check_images()
        self._resolution = settings.resize

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
            remarks=tuple(self._pictures.remarks()),
        )

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the sizes of all images, from their headers."""
        if self._settings.resize is None:
            files = self._pictures.paths
            sizes = {size for path in files if (size := image_size(path)) is not None}
            width, height = next(iter(sizes)) if len(sizes) == 1 else (0, 1)
            self._resolution = width if width == height else None

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Look up one image per request; a missing or broken file is a failed generation."""
        return [self._look_up(request) for request in requests]

    def source(self, request: GenerationRequest) -> Path | None:
        """The file of a request; None if there is none."""
        try:
            return self._path(request)
        except LookupError:
            return None

    def _look_up(self, request: GenerationRequest) -> Generation:
        source = None
        try:
            path = self._path(request)
            data, source = _read(path)
            made = finish(decode_picture(data, path.name, self._settings), nfe=0)
        except LookupError as error:
            made = Generation(image=None, status="failed", reason=str(error.args[0]), nfe=0)
        return dataclasses.replace(made, source=source)

    def _path(self, request: GenerationRequest) -> Path:
        """Return the file of a request; ``LookupError`` says why there is none."""
        if self._mapping is not None:
            name = self._mapping.file_of(request)
        else:
            name = _file_name(self._settings.pattern or DEFAULT_PATTERN, request)
        if _inside(name, self._folder) is None:
            raise LookupError(f"the file {name} lies outside of the folder {self._settings.folder}")
        for ending in ("",) if is_picture(name) else SUFFIXES:
            path = self._file(name + ending)
            if path is not None:
                return path
        raise LookupError(f"no file {name} in {self._settings.folder}")

    def _file(self, name: str) -> Path | None:
        """The file of this name, its ending in any case; None if there is none in the folder."""
        path = _inside(name, self._folder)
        if path is None or path.is_file():
            return path
        listed = self._names.get(_folded(path.relative_to(self._folder).as_posix()))
        return None if listed is None else self._folder / listed

    def _check_images(self) -> None:
        where, files = self._settings.folder, self._pictures.paths
        if not files:
            raise GeneratorError(no_pictures(self._pictures, where))
        if all(image_size(path) is None for path in files):
            raise GeneratorError(
                f"none of the {len(files)} files in the folder {where} can be read as an image, "
                f"such as {files[0].name}"
            )
        names = list(self._mapping.names.values()) if self._mapping is not None else []
        if self._mapping is not None and not any(self._file(name) for name in names):
            raise GeneratorError(
                f"{self._mapping.path} names no file that is in the folder {where}, such as "
                f"{names[0]}"
            )


def decode_picture(data: bytes, name: str, settings: FolderSettings) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture of any mode as RGB, resized if so set; ``LookupError`` if it is broken."""
    try:
        with open_image(io.BytesIO(data)) as file:
            image = to_rgb(file)
    except UnreadableImageError as error:
        raise LookupError(f"cannot read {name} as an image: {error}") from error
    if settings.resize is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        kind = Image.Resampling[settings.resize_filter.upper()]
        image = image.resize((settings.resize, settings.resize), kind)
    return np.asarray(image)


def _read(path: Path) -> tuple[bytes, FileMark]:
    try:
        return read_marked(path)
    except OSError as error:
        raise LookupError(f"cannot read {path.name}: {error.strerror or error}") from error


def _existing_folder(text: str) -> Path:
    folder = Path(text).expanduser()
    if not folder.is_dir():
        state = "a file" if folder.exists() else "missing"
        raise GeneratorError(f"the image folder {text} is {state}; expected a folder of images")
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise GeneratorError(f"cannot read the image folder {text}: {error.strerror}") from error
    return folder.resolve()


def _mapping(folder: Path, settings: FolderSettings) -> FileMapping | None:
    if settings.mapping is not None:
        path = folder / settings.mapping
        if _inside(settings.mapping, folder) is None:
            raise GeneratorError(
                f"the mapping {settings.mapping} lies outside of {settings.folder}"
            )
        return read_mapping(path)
    usual = find_mapping(folder) if settings.pattern is None else None
    return None if usual is None else read_mapping(usual)


def _file_name(pattern: str, request: GenerationRequest) -> str:
    values: dict[str, str | int] = {"sample": request.sample, "seed": request.seed}
    if request.prompt_id is not None:
        values["prompt_id"] = request.prompt_id
        number = re.search(r"(\d+)$", request.prompt_id)
        if number is not None:
            values["index"] = int(number[1])
    try:
        return pattern.format(**values)
    except KeyError as error:
        named = f"the prompt id {request.prompt_id}"
        given = named if request.prompt_id else "a request without prompt id"
        raise LookupError(
            f"the pattern {pattern} needs {error.args[0]}, which {given} does not give"
        ) from error


def _inside(name: str, folder: Path) -> Path | None:
    """The path of a name in a folder, links followed; None if the name leads out of it."""
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder):
        path = path.resolve()  # a name from the root may come to the folder by a link
    return path if path.is_relative_to(folder) else None


def _folded(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return stem + ending.lower()
