"""Where the weights that settings name lie: directories, files, or hub ids at a commit; light."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Mapping
from pathlib import Path

from gandiff.common.errors import GeneratorError
from gandiff.common.hub_cache import HUB_ID
from gandiff.common.intact import check_intact
from gandiff.models.diffusion.classes import pipeline_class
from gandiff.models.diffusion.index import PipelineIndex, check_directory, read_index
from gandiff.models.diffusion.parts import INDEX, PICKLES, WEIGHTS, check_part, pickled
from gandiff.models.diffusion.places import is_single_file, prior_in, prior_of
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source_settings import Lora, settings_of_stages
from gandiff.models.shared import files_state
from gandiff.models.weights import (
    combined_sha256,
    find_weights,
    missing_weights,
    original_sha256,
)

_LORA_FILE = "pytorch_lora_weights.safetensors"  # as diffusers and peft save it
# What a stage of IF need not have: the features of the text come from the first.
_TEXT_PARTS = ("text_encoder", "tokenizer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a pipeline, or the weights that are put into one, are loaded from."""

    name: str  # as diffusers reads it: a directory, a file or a hub id
    directory: Path | None = None
    file: Path | None = None
    commit: str | None = None  # of a hub id
    index: PipelineIndex | None = None
    more: Mapping[str, Source] = dataclasses.field(default_factory=dict)  # by the setting
    stages: tuple[Source, ...] = ()
    as_saved: bool = False  # of the class that its index names, whether or not that reads text
    without: tuple[str, ...] = ()  # parts that are not loaded

    @property
    def page(self) -> str | None:
        """The page on the hub; None for what lies on this machine."""
        on_hub = self.directory is None and self.file is None and not self.stages
        return f"https://huggingface.co/{self.name}" if on_hub else None

    @property
    def class_name(self) -> str:
        """The class of the pipeline as its index says it; empty where that is not known."""
        return "" if self.index is None else self.index.class_name

    @property
    def is_decoder(self) -> bool:
        """Whether it makes images of what another pipeline, its prior, makes of a text."""
        known = pipeline_class(self.class_name)
        return known is not None and known.is_decoder and self.called != self.class_name

    @property
    def called(self) -> str:
        """The class that makes images from text out of it."""
        return "" if self.index is None else self.index.called

    def checksum(self) -> str | None:
        """Hash of everything that is loaded; None as long as a part of it has none."""
        stages = {f"stages.{i}": stage for i, stage in enumerate(self.stages)}
        parts = {name: part.checksum() for name, part in {**self.more, **stages}.items()}
        own = self._own_checksum()
        if not parts:
            return own
        if None in parts.values() or (own is None and not stages):
            return None
        lines = sorted(f"{name}\0{digest}\n" for name, digest in {**parts, "": own}.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def places(self) -> Hashable:
        """What is read, in the state that it has now on this machine."""
        local = self.directory or self.file
        inner = [(name, part.places) for name, part in sorted(self.more.items())]
        stages = [stage.places for stage in self.stages]
        state = files_state(local) if local else ()
        return (self.name, self.commit, state, *inner, *stages)

    def _own_checksum(self) -> str | None:
        if self.directory is not None:
            own = combined_sha256(self.directory, WEIGHTS)
            return own or combined_sha256(self.directory, PICKLES)
        if self.file is not None:
            return original_sha256(self.file)
        return None if self.commit is None else f"hub:{self.commit}"


def find_source(settings: DiffusersSettings) -> Source:
    """Find all weights that settings name and check everything that their small files tell.

    Raises ``GeneratorError`` for weights that are missing, pickled without leave, or not
    text-to-image. Of a hub id the index is asked for, which is small: a pipeline that is not
    there shows before anything is made.
    """
    if settings.stages is not None:
        each = settings_of_stages(settings)
        first = find_source(each[0])
        later = [_later_stage(one, first, number) for number, one in enumerate(each[1:], 2)]
        return Source(name=first.name, stages=(first, *later))
    assert settings.pipeline is not None  # the settings have one where there are no stages
    if is_single_file(settings.pipeline):
        source = _single_file(settings)
    else:
        source = _pipeline(settings, settings.pipeline)
    more = {**source.more, **_replacements(settings)}
    if source.is_decoder:
        more["prior"] = _prior(settings, source)
    elif settings.prior is not None:
        raise GeneratorError(
            f"{settings.pipeline} holds a {source.class_name}, which needs no prior; "
            "leave prior out"
        )
    return dataclasses.replace(source, more=more)


def _pipeline(
    settings: DiffusersSettings, name: str, *, any_task: bool = False, without: tuple[str, ...] = ()
) -> Source:
    directory = find_weights(name)
    if directory is not None:
        index = check_directory(
            directory,
            allow_pickle=settings.allow_pickle,
            variant=settings.variant,
            given=settings.extra,
            any_task=any_task,
            without=without,
        )
        return Source(name=str(directory), directory=directory, index=index)
    if not HUB_ID.fullmatch(name):
        raise missing_weights(name)
    from gandiff.models.diffusion.hub import hub_index

    revision = settings.revision if name == settings.pipeline else None
    place = name, revision, settings.local_files_only
    commit, index = hub_index(*place, given=settings.extra, any_task=any_task)
    return Source(name=name, commit=commit, index=index)


def _later_stage(settings: DiffusersSettings, first: Source, number: int) -> Source:
    """A stage that takes the image of the one before. Those of IF take the features of the text
    from the first one, too, and need no text encoder.
    """
    assert settings.pipeline is not None
    source = _pipeline(settings, settings.pipeline, any_task=True, without=_TEXT_PARTS)
    is_if, name = source.class_name.startswith("IF"), f"stage {number}, a {source.class_name}"
    if is_if and not first.class_name.startswith("IF"):
        raise GeneratorError(
            f"{name}, takes features of the text that an IFPipeline makes, and the first stage is "
            f"a {first.class_name}"
        )
    known = pipeline_class(source.class_name)
    if known is None or "image" not in known.arguments:
        raise GeneratorError(
            f"{name}, takes no image; every stage after the first must take that of the one before"
        )
    if not is_if and source.directory is not None:  # what was left out above is needed here
        source = _pipeline(settings, settings.pipeline, any_task=True)
    without = _TEXT_PARTS if is_if else ()
    more = _replacements(settings)
    return dataclasses.replace(source, as_saved=True, without=without, more=more)


def _prior(settings: DiffusersSettings, decoder: Source) -> Source:
    """The prior that makes of a text what ``decoder`` makes images of: the one that is given, else
    the one that the decoder's model card names.
    """
    name = prior_of(settings.pipeline, settings.prior)
    if name is None and decoder.commit is not None:
        name = _prior_on_hub(decoder, settings)
    if name is None:
        raise GeneratorError(
            f"{decoder.name} holds a {decoder.class_name}, a decoder, which makes images of what "
            "its prior makes of the text; give the directory or hub id of the prior as prior"
        )
    try:
        prior = _pipeline(settings, name, any_task=True)
    except GeneratorError as error:
        if settings.prior is not None:
            raise
        raise GeneratorError(
            f"{decoder.name} is a decoder whose model card names the prior {name!r}: {error} "
            "(a directory that holds it can be given as prior)"
        ) from error
    family = decoder.called.removesuffix("CombinedPipeline")
    if prior.class_name != f"{family}PriorPipeline":
        raise GeneratorError(
            f"prior must be a {family}PriorPipeline, as {decoder.name} is a {decoder.class_name}, "
            f"got a {prior.class_name} ({name})"
        )
    return prior


def _prior_on_hub(decoder: Source, settings: DiffusersSettings) -> str | None:
    from gandiff.models.diffusion.hub import hub_file

    place = decoder.name, "README.md", decoder.commit, settings.local_files_only
    return prior_in(hub_file(*place))


def _single_file(settings: DiffusersSettings) -> Source:
    """A file with the weights of a whole pipeline; ``config`` says what they are."""
    assert settings.pipeline is not None
    file = _weights_file(settings.pipeline, settings.allow_pickle)
    if settings.config is None:
        raise GeneratorError(
            f"{file} is a single file of weights, which does not say what it is; give as config "
            "the directory or hub id of a pipeline of the same model, of which the small files "
            "alone are read"
        )
    directory = find_weights(settings.config)
    if directory is None and HUB_ID.fullmatch(settings.config):
        from gandiff.models.diffusion.hub import hub_index

        commit, index = hub_index(settings.config, None, settings.local_files_only)
        config = Source(name=settings.config, commit=commit, index=index)
    elif directory is None:
        raise missing_weights(settings.config)
    else:
        index = read_index(directory / INDEX, str(directory))
        config = Source(name=str(directory), directory=directory, index=index)
    return Source(name=str(file), file=file, index=index, more={"config": config})


def _replacements(settings: DiffusersSettings) -> dict[str, Source]:
    """Networks and LoRAs that are put into the pipeline, by the setting that names them."""
    more = {}
    for name in ("unet", "transformer"):
        if (value := getattr(settings, name)) is not None:
            more[name] = _network(name, value, settings)
    for number, lora in enumerate(settings.loras or ()):
        more[f"loras.{number}"] = _lora(lora, settings)
    return more


def _network(name: str, value: str, settings: DiffusersSettings) -> Source:
    directory = find_weights(value)
    if directory is not None:
        if (directory / INDEX).is_file():
            raise GeneratorError(
                f"{name}: {directory} is a whole pipeline; give its folder {directory / name}"
            )
        check_part(directory, "diffusers", name, settings.allow_pickle, settings.variant)
        return Source(name=str(directory), directory=directory)
    if is_single_file(value) or not HUB_ID.fullmatch(value):
        file = _weights_file(value, settings.allow_pickle)
        return Source(name=str(file), file=file)
    from gandiff.models.diffusion.hub import hub_file

    path = hub_file(value, "config.json", None, settings.local_files_only)
    return Source(name=value, commit=path.parent.name)


def _lora(lora: Lora, settings: DiffusersSettings) -> Source:
    directory = find_weights(lora.path)
    if directory is not None:
        files = sorted(f.name for f in directory.iterdir() if f.suffix in WEIGHTS)
        chosen = lora.file or (files[0] if len(files) == 1 else _LORA_FILE)
        if not (directory / chosen).is_file():
            raise GeneratorError(
                f"the LoRA {directory} has no file {chosen}; it has "
                f"{', '.join(files) or 'no .safetensors file'}: name one as file"
            )
        file = _weights_file(str(directory / chosen), settings.allow_pickle)
    elif is_single_file(lora.path) or not HUB_ID.fullmatch(lora.path):
        file = _weights_file(lora.path, settings.allow_pickle)
    else:
        from gandiff.models.diffusion.hub import hub_file

        name = lora.file or _LORA_FILE
        file = hub_file(lora.path, name, lora.revision, settings.local_files_only)
    return Source(name=str(file), file=file)


def _weights_file(name: str, allow_pickle: bool) -> Path:
    file = Path(name).expanduser()
    if not file.is_file():
        raise GeneratorError(f"there is no file of weights at {name}")
    if file.suffix in PICKLES and not allow_pickle:
        raise pickled(file)
    check_intact([file], GeneratorError)
    return file
