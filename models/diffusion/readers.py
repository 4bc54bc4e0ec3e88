"""Read a pipeline from where it lies: as it was saved, a decoder with its prior, or one file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.index import PipelineIndex
from gandiff.models.diffusion.replacements import network_options, read_network
from gandiff.models.diffusion.source import Source

_PIXEL = "gandiff.models.diffusion.pixel"  # of pipelines that were trained in pixel space


def read_pipeline(source: Source, options: Mapping[str, Any]) -> Any:
    """Read a pipeline that makes images from text, or a later stage of a cascade.

    ``options`` are arguments of ``from_pretrained``.
    """
    options = {**options, **_networks(source, options), **dict.fromkeys(source.without)}
    if source.file is not None:
        return _single_file(source, options)
    if "prior" in source.more:
        return _combined(source, options)
    if source.as_saved:
        return _as_saved(source, options)
    from diffusers import AutoPipelineForText2Image

    with _moved_parts(source.index):
        try:
            automatic: Any = AutoPipelineForText2Image
            return automatic.from_pretrained(source.name, **_at(source, options))
        except ValueError as error:
            # Its table lacks Karlo, LDMTextToImage and others, which the general loader knows.
            if "AutoPipeline can't find" not in str(error):
                raise
            return _as_saved(source, options)


def _as_saved(source: Source, options: Mapping[str, Any]) -> Any:
    """The pipeline of the class that its index names."""
    from diffusers import DiffusionPipeline

    general: Any = DiffusionPipeline
    with _moved_parts(source.index):
        return general.from_pretrained(source.name, **_at(source, options))


def _combined(source: Source, options: Mapping[str, Any]) -> Any:
    """A decoder and its prior as the one pipeline that calls both."""
    import diffusers

    decoder, prior = _as_saved(source, options), _as_saved(source.more["prior"], options)
    parts = {**decoder.components, **{f"prior_{k}": v for k, v in prior.components.items()}}
    combined: Any = getattr(diffusers, source.called)
    taken = combined._get_signature_keys(combined)[0]
    pipe = combined(**{name: part for name, part in parts.items() if name in taken})
    for inner, saved in ((pipe.prior_pipe, prior), (pipe.decoder_pipe, decoder)):
        _keep_settings(inner, saved)
    return pipe


def _keep_settings(inner: Any, saved: Any) -> None:
    """Give a pipeline inside a combined one the settings that it was saved with (the scale of its
    latents and the like): diffusers builds it of its parts alone, with the class's defaults.
    """
    optional = inner._get_signature_keys(inner)[1]
    inner.register_to_config(**{k: saved.config[k] for k in optional if k in saved.config})


def _single_file(source: Source, options: Mapping[str, Any]) -> Any:
    import diffusers

    name = source.called
    cls: Any = getattr(diffusers, name)
    if not hasattr(cls, "from_single_file"):
        raise GeneratorError(
            f"{source.name}: diffusers reads no {name} from a single file; "
            "give the directory of a whole pipeline"
        )
    config, known = source.more["config"], set().union(*cls._get_signature_keys(cls))
    passed = {key: value for key, value in options.items() if key in known}
    if config.commit:
        passed["revision"] = config.commit
    return cls.from_single_file(
        source.name,
        config=config.name,
        dtype=options["dtype"],
        local_files_only=options["local_files_only"] or config.directory is not None,
        **passed,
    )


def _at(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, "revision": source.commit}


def _networks(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """The networks that lie in directories or on the hub and replace those of the pipeline."""
    return {
        name: read_network(part, network_options(options))
        for name, part in source.more.items()
        if name in ("unet", "transformer") and part.file is None
    }


@contextlib.contextmanager
def _moved_parts(index: PipelineIndex | None) -> Iterator[None]:
    """Let diffusers find the parts of pipelines that it moved to ``pipelines.deprecated``: saved
    indices name the module where they were, or diffusers itself, which no longer has them.
    """
    import diffusers
    from diffusers import pipelines

    lent: list[tuple[Any, str]] = []
    for library, kind in () if index is None else index.parts.values():
        if library == _PIXEL:  # diffusers imports nothing just because an index names it
            importlib.import_module(library)
        in_diffusers = library == "diffusers" and getattr(diffusers, kind, None) is None
        elsewhere = library != "diffusers" and not hasattr(pipelines, library)
        if not in_diffusers and not (elsewhere and importlib.util.find_spec(library) is None):
            continue
        module = _moved_module(None if in_diffusers else library, kind)
        if module is not None:
            place, name = (diffusers, kind) if in_diffusers else (pipelines, library)
            setattr(place, name, getattr(module, kind) if in_diffusers else module)
            lent.append((place, name))
    try:
        yield
    finally:
        for place, name in lent:
            if name in vars(place):
                delattr(place, name)


def _moved_module(library: str | None, kind: str) -> Any:
    """The module below ``pipelines.deprecated``, of this name or any, that has a class."""
    from diffusers.pipelines import deprecated

    for found in pkgutil.iter_modules(deprecated.__path__):
        if library in (None, found.name):
            module = importlib.import_module(f"{deprecated.__name__}.{found.name}")
            if hasattr(module, kind):
                return module
    return None
