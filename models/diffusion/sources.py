"""Where the weights that settings name lie: directories, files, or hub ids at a commit; light."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.hub_cache import HUB_ID
from gandiff.common.words import with_article
from gandiff.models.diffusion.additions import additions, all_of, check_installed, weights_file
from gandiff.models.diffusion.classes import pipeline_class
from gandiff.models.diffusion.controlnets import check_controlnet
from gandiff.models.diffusion.index import PipelineIndex, check_directory, read_index
from gandiff.models.diffusion.parts import INDEX
from gandiff.models.diffusion.places import is_single_file, local_folder, prior_in, prior_of
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.source_settings import settings_of_stages
from gandiff.models.diffusion.task_classes import ONE_TASK
from gandiff.models.weights import missing_weights

# What a stage of IF need not have: the features of the text come from the first.
_TEXT_PARTS = ("text_encoder", "tokenizer")


def find_source(settings: DiffusersSettings) -> Source:
    """Find all weights that settings name and check everything that their small files tell.

    Raises ``GeneratorError`` for weights that are missing, pickled without leave, or not
    text-to-image. Of a hub id the index is asked for, which is small: a pipeline that is not
    there shows before anything is made.
    """
    check_installed(settings)
    if settings.stages is not None:
        each = settings_of_stages(settings)
        first, *later = all_of(
            functools.partial(find_source, each[0]),
            *(functools.partial(_stage, one) for one in each[1:]),
        )
        numbered = enumerate(zip(each[1:], later, strict=True), 2)
        later = [_later_stage(one, source, first, number) for number, (one, source) in numbered]
        return Source(name=first.name, stages=(first, *later))
    source: Source
    source, more, prior = all_of(
        functools.partial(_own_source, settings),
        functools.partial(additions, settings),
        functools.partial(_given_prior, settings),
    )
    more = {**source.more, **more}
    if "controlnet" in more:
        check_controlnet(dataclasses.replace(source, more=more), settings)
    if source.is_decoder:
        more["prior"] = _prior(settings, source, prior)
    elif settings.prior is not None:
        raise GeneratorError(
            f"{settings.pipeline} holds {with_article(source.class_name)}, which needs no prior; "
            "leave prior out"
        )
    return dataclasses.replace(source, more=more)


def _own_source(settings: DiffusersSettings) -> Source:
    assert settings.pipeline is not None  # the settings have one where there are no stages
    if is_single_file(settings.pipeline):
        return _single_file(settings)
    return _pipeline(settings, settings.pipeline)


def _pipeline(
    settings: DiffusersSettings, name: str, *, any_task: bool = False, without: tuple[str, ...] = ()
) -> Source:
    directory = local_folder(name)
    if directory is not None:
        index = check_directory(
            directory,
            allow_pickle=settings.allow_pickle,
            variant=settings.variant,
            given=settings.extra,
            any_task=any_task,
            without=without,
        )
        return _of_index(index, name=str(directory), directory=directory)
    if not HUB_ID.fullmatch(name):
        raise missing_weights(name)
    from gandiff.models.diffusion.hub import hub_index

    revision = settings.revision if name == settings.pipeline else None
    place = name, revision, settings.local_files_only
    commit, index = hub_index(*place, given=settings.extra, any_task=any_task)
    return _of_index(index, name=name, commit=commit)


def _of_index(index: PipelineIndex, **place: Any) -> Source:
    """A pipeline of this index; one for inpainting or control alone is loaded as that."""
    return Source(index=index, as_saved=index.class_name in ONE_TASK, **place)


def _stage(settings: DiffusersSettings) -> Source:
    assert settings.pipeline is not None
    return _pipeline(settings, settings.pipeline, any_task=True, without=_TEXT_PARTS)


def _later_stage(settings: DiffusersSettings, source: Source, first: Source, number: int) -> Source:
    """A stage that takes the image of the one before. Those of IF take the features of the text
    from the first one, too, and need no text encoder.
    """
    assert settings.pipeline is not None
    is_if, name = (
        source.class_name.startswith("IF"),
        f"stage {number}, {with_article(source.class_name)}",
    )
    if is_if and not first.class_name.startswith("IF"):
        raise GeneratorError(
            f"{name}, takes features of the text that an IFPipeline makes, and the first stage is "
            f"{with_article(first.class_name)}"
        )
    known = pipeline_class(source.class_name)
    if known is None or "image" not in known.arguments:
        raise GeneratorError(
            f"{name}, takes no image; every stage after the first must take that of the one before"
        )
    if not is_if and source.directory is not None:  # what was left out above is needed here
        source = _pipeline(settings, settings.pipeline, any_task=True)
    without = _TEXT_PARTS if is_if else ()
    more = additions(settings)
    return dataclasses.replace(source, as_saved=True, without=without, more=more)


def _given_prior(settings: DiffusersSettings) -> Source | None:
    return None if settings.prior is None else _pipeline(settings, settings.prior, any_task=True)


def _prior(settings: DiffusersSettings, decoder: Source, given: Source | None) -> Source:
    """The prior that makes of a text what ``decoder`` makes images of: the one that is given, else
    the one that the decoder's model card names.
    """
    prior = given or _prior_of_card(settings, decoder)
    family = decoder.called.removesuffix("CombinedPipeline")
    if prior.class_name != f"{family}PriorPipeline":
        raise GeneratorError(
            f"prior must be a {family}PriorPipeline, as {decoder.name} is "
            f"{with_article(decoder.class_name)}, "
            f"got {with_article(prior.class_name)} ({prior.name})"
        )
    return prior


def _prior_of_card(settings: DiffusersSettings, decoder: Source) -> Source:
    name = prior_of(settings.pipeline, None)
    if name is None and decoder.commit is not None:
        name = _prior_on_hub(decoder, settings)
    if name is None:
        raise GeneratorError(
            f"{decoder.name} holds {with_article(decoder.class_name)}, a decoder, which "
            "makes images of what "
            "its prior makes of the text; give the directory or hub id of the prior as prior"
        )
    try:
        return _pipeline(settings, name, any_task=True)
    except GeneratorError as error:
        raise GeneratorError(
            f"{decoder.name} is a decoder whose model card names the prior {name!r}: {error} "
            "(a directory that holds it can be given as prior)"
        ) from error


def _prior_on_hub(decoder: Source, settings: DiffusersSettings) -> str | None:
    from gandiff.models.diffusion.hub import hub_file

    place = decoder.name, "README.md", decoder.commit, settings.local_files_only
    return prior_in(hub_file(*place))


def _single_file(settings: DiffusersSettings) -> Source:
    """A file with the weights of a whole pipeline; ``config`` says what they are."""
    assert settings.pipeline is not None
    file = weights_file(settings.pipeline, settings.allow_pickle)
    if settings.config is None:
        raise GeneratorError(
            f"{file} is a single file of weights, which does not say what it is; give as config "
            "the directory or hub id of a pipeline of the same model, of which the small files "
            "alone are read"
        )
    directory = local_folder(settings.config)
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
