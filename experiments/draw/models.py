"""The generators of a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gandiff.common.errors import RequestError, SettingError
from gandiff.experiments.config.named_models import read_model
from gandiff.experiments.config.paths import resolve_settings
from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.generator import Generator

BY_PROMPT = "prompt"  # in place of units: paint what the prompt says
Models = Sequence[str] | Mapping[str, Generator]


def open_models(models: Models, paint: str | None = None) -> dict[str, Generator]:
    """Build the generators, no weights are read yet; raises ``RequestError`` for a wrong one.

    ``models`` are texts such as ``gan-scenes,truncation_psi=0.7``, see ``read_model``, or map names
    to ready generators. ``paint`` are the units that the GANs among the texts paint with, or
    ``BY_PROMPT``; a text with units of its own refuses both. Ready generators and painters of other
    types paint as they were built to: they refuse units, and take ``BY_PROMPT``.
    """
    if not models:
        raise RequestError("no model is given; there is, for example, gan-scenes")
    if isinstance(models, Mapping):
        for name, generator in models.items():
            _check_units(name, generator, paint)
        return dict(models)
    twice = next((text for i, text in enumerate(models) if text in models[:i]), None)
    if twice is not None:
        raise RequestError(f"the model {twice} is given twice")
    opened, wrong = dict[str, Generator](), list[str]()
    for text in models:
        try:
            opened[text] = open_model(text, paint)
        except RequestError as error:
            wrong.append(str(error))
    if wrong:
        raise RequestError("; ".join(wrong))
    return opened


def open_model(text: str, paint: str | None = None) -> Generator:
    """Build the generator that ``TARGET[,SETTING=VALUE...]`` means (``read_model``)."""
    _, type_, settings, written = read_model(text)
    if paint is not None and type_ == "gan":
        if written.get("units") is not None:
            raise RequestError(f"model {text!r}: units stand in the model and in --paint; give one")
        written = {**written, "units": None if paint == BY_PROMPT else paint}
    try:
        settings = resolve_settings(type_, {**settings, **written}, Path())
    except SettingError as error:
        raise RequestError(f"model {text!r}: {error}") from None
    generator = make_generator(text, type_, settings)
    if type_ != "gan":
        _check_units(text, generator, paint)
    return generator


def units_of(text: str) -> str | None:
    """The units that the text of a GAN says it paints with; None where it says none."""
    _, type_, _, written = read_model(text)
    units = written.get("units")
    return None if type_ != "gan" or units is None else str(units)


def _check_units(name: str, generator: Generator, paint: str | None) -> None:
    """Raise ``RequestError`` for a ready painter that would paint with something else."""
    if paint not in (None, BY_PROMPT) and "paint" in generator.info.abilities:
        raise RequestError(
            f"{name} paints as it was built to, and cannot be given the units {paint!r}; "
            f"ask for {BY_PROMPT!r}, or name a GAN, such as gan-scenes"
        )
