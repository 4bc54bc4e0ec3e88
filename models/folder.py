"""Images that were made elsewhere, as a Generator; needs no torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gandiff.common.errors import GeneratorError
from gandiff.common.images import SUFFIXES, UnreadableImageError, image_size, open_image, to_rgb
from gandiff.models.generator import Generation, GenerationRequest, Generator, GeneratorInfo
from gandiff.models.mapping import FileMapping, find_mapping, read_mapping
from gandiff.models.pixels import finish
from gandiff.models.settings import FolderSettings

DEFAULT_PATTERN = "{prompt_id}_{sample}"


class FolderGenerator(Generator):
    """Looks the image of a request up in a folder, by a pattern of file names or a mapping file.

    Seeds play no part unless the pattern names them. Every picture becomes RGB in 8 bits:
    transparent ones are laid over white, the orientation that a camera wrote is applied. No file
    outside of the folder is ever opened, wherever a name or a link points.
    """

    def __init__(self, name: str, settings: FolderSettings) -> None:
        """Check the folder; ``GeneratorError`` without a readable image or a usable mapping."""
        self._name = name
        self._settings = settings
        self._folder = _existing_folder(settings.folder)
        self._mapping = _mapping(self._folder, settings)
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
        )

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the sizes of all images, from their headers."""
        if self._settings.resize is None:
            sizes = {size for path in self._files() if (size := image_size(path)) is not None}
            width, height = next(iter(sizes)) if len(sizes) == 1 else (0, 1)
            self._resolution = width if width == height else None

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Look up one image per request; a missing or broken file is a failed generation."""
        return [self._look_up(request) for request in requests]

    def _look_up(self, request: GenerationRequest) -> Generation:
        try:
            path = self._path(request)
            return finish(read_image(path, self._settings), nfe=0)
        except LookupError as error:
            return Generation(image=None, status="failed", reason=str(error.args[0]), nfe=0)

    def _path(self, request: GenerationRequest) -> Path:
        """Return the file of a request; ``LookupError`` says why there is none."""
        if self._mapping is not None:
            name = self._mapping.file_of(request)
        else:
            name = _file_name(self._settings.pattern or DEFAULT_PATTERN, request)
        for ending in ("",) if name.lower().endswith(SUFFIXES) else SUFFIXES:
            path = self._folder / (name + ending)
            if self._is_ours(path):
                return path
        if not _inside(self._folder / name, self._folder):
            raise LookupError(f"the file {name} lies outside of the folder {self._settings.folder}")
        raise LookupError(f"no file {name} in {self._settings.folder}")

    def _files(self) -> list[Path]:
        named = (p for p in self._folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        return sorted(filter(self._is_ours, named))

    def _is_ours(self, path: Path) -> bool:
        return _inside(path, self._folder) and path.is_file()

    def _check_images(self) -> None:
        where, files = self._settings.folder, self._files()
        if not files:
            raise GeneratorError(
                f"the folder {where} holds no images (files ending in {', '.join(SUFFIXES)})"
            )
        if all(image_size(path) is None for path in files):
            raise GeneratorError(
                f"none of the {len(files)} files in the folder {where} can be read as an image, "
                f"such as {files[0].name}"
            )
        names = list(self._mapping.names.values()) if self._mapping is not None else []
        if self._mapping is not None and not any(self._is_ours(self._folder / n) for n in names):
            raise GeneratorError(
                f"{self._mapping.path} names no file that is in the folder {where}, such as "
                f"{names[0]}"
            )


def read_image(path: Path, settings: FolderSettings) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture of any mode as RGB, resized if so set; ``LookupError`` if it is broken."""
    try:
        with open_image(path) as file:
            image = to_rgb(file)
    except UnreadableImageError as error:
        raise LookupError(f"cannot read {path.name} as an image: {error}") from error
    if settings.resize is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        kind = Image.Resampling[settings.resize_filter.upper()]
        image = image.resize((settings.resize, settings.resize), kind)
    return np.asarray(image)


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
        if not _inside(path, folder):
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


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)
