"""The commits of the hub at which a generator's weights were read, which decide its pixels, too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.hub_cache import HUB_ID, cached_commit, cached_snapshot
from gandiff.experiments.config.paths import WEIGHTS, put, texts
from gandiff.models.diffusion.additions import LORA_FILE
from gandiff.models.diffusion.evidence import CARD
from gandiff.models.diffusion.parts import INDEX
from gandiff.models.diffusion.places import prior_in, prior_of

COMMIT = "commit of "  # what the name of a part of an identity begins with that says one
# What the repository that a setting names is asked for, by the end of its place.
_ASKED = {
    **dict.fromkeys(("pipeline", "prior", "config"), INDEX),
    **dict.fromkeys(("unet", "transformer", "controlnet"), "config.json"),
    "path": LORA_FILE,
}
# Settings that always mean the newest.
_NO_REVISION = ("prior", "config", "unet", "transformer", "controlnet")


def commits(
    type_: str, settings: Mapping[str, Any], *, asks: bool, resumes: bool
) -> Iterator[tuple[str, str]]:
    """The commits at which this machine has the hub's repositories that settings name.

    With ``asks`` the hub is asked for the newest first; where the run has images already
    (``resumes``) only of what cannot be read at the commit of those.
    """
    for place, value in texts(settings):
        revision = _revision(settings, place)
        if asks and type_ == "diffusers" and HUB_ID.fullmatch(value):
            last = place.rpartition(".")[2]
            if last in _ASKED and (not resumes or last in _NO_REVISION):
                _ask(settings, place, value, revision)
        if commit := cached_commit(value, revision):
            yield f"{COMMIT}{place}", commit


def with_prior(type_: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a generator with the prior that the model card of a decoder names."""
    if type_ != "diffusers":
        return settings
    pipeline, prior = settings.get("pipeline"), settings.get("prior")
    prior = prior_of(pipeline, prior)
    if prior is None and isinstance(pipeline, str):
        folder = cached_snapshot(pipeline, settings.get("revision"))
        prior = None if folder is None else prior_in(folder / CARD)
    return settings if prior is None else {**settings, "prior": prior}


def pinned(settings: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that read pipelines and LoRAs of the hub at the commits of an identity."""
    made = dict(settings)
    for place, value in texts(settings):
        commit = identity.get(f"{COMMIT}{place}")
        last = place.rpartition(".")[2]
        if commit and HUB_ID.fullmatch(value) and last in ("pipeline", "path"):
            made = put(made, _sibling(place, "revision").split("."), commit)
    return made


def same_repository(part: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two identities name the same repository where ``part`` says a commit."""
    place = part.removeprefix(COMMIT)
    if any(before["settings"].get(k) != now["settings"].get(k) for k in (*WEIGHTS, "revision")):
        return False
    sides = [dict(texts(side["settings"])) for side in (before, now)]
    names = (place, _sibling(place, "revision"))
    return all(sides[0].get(name) == sides[1].get(name) for name in names)


def _ask(settings: Mapping[str, Any], place: str, value: str, revision: str | None) -> None:
    from gandiff.models.diffusion.hub import hub_file

    given = dict(texts(settings))
    offline = bool(settings.get("local_files_only"))
    last = place.rpartition(".")[2]
    names = [given.get(_sibling(place, "file")) or _ASKED[last]]
    if last == "pipeline":
        names.append(CARD)  # of a decoder it names the prior
    for name in names:
        with contextlib.suppress(GeneratorError):  # building it says the same
            hub_file(value, name, revision, offline)


def _revision(settings: Mapping[str, Any], place: str) -> str | None:
    if place.rpartition(".")[2] not in (*WEIGHTS, "path"):
        return None
    return dict(texts(settings)).get(_sibling(place, "revision"))


def _sibling(place: str, name: str) -> str:
    """The place of another setting of the same mapping."""
    above, dot, _ = place.rpartition(".")
    return f"{above}{dot}{name}"
