"""What decides a generator's pixels: settings, weights, files that settings name, code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.contents import ContentLedger
from gandiff.common.errors import RequestError
from gandiff.common.run_record import Plan
from gandiff.experiments.config.paths import PATHS, WEIGHTS, texts
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import GENERATORS, generator_factory
from gandiff.experiments.plugins.source import DATA_ENDINGS, Unidentified, code_identity
from gandiff.experiments.runs import provenance
from gandiff.experiments.runs.commits import COMMIT, commits, with_prior
from gandiff.models.callable import CallableGenerator
from gandiff.models.gan.units import UNITS
from gandiff.models.generator import Generator
from gandiff.models.weights import find_weights

Identity = Mapping[str, Any]
UNKNOWN_CODE = "unidentified "  # what the code of something that cannot be hashed begins with
_WEIGHT_ENDINGS = DATA_ENDINGS[:14]


def identities(
    comparison: Comparison,
    objects: Mapping[str, Generator],
    device: str,
    plan: Plan,
    ledger: ContentLedger,
    asks_hub: bool = False,
) -> dict[str, Identity]:
    """Say of every generator what decides its pixels now, as plain data.

    A Python object of an earlier process cannot be asked what it was, and is taken to be what was
    recorded. ``asks_hub`` asks for the newest commit of pipelines that the run has nothing of yet.
    """
    current: dict[str, Identity] = {}
    for name, config in comparison.generators.items():
        planned = plan.generators.get(name)
        if planned is not None and (
            planned.kept_from or (config.type == "python" and name not in objects)
        ):
            current[name] = planned.identity
            continue
        if name in objects:
            now = _of_object(objects[name], comparison.dtype, device)
        else:
            now = provenance.identity(config.type, config.settings, comparison.dtype, device)
            base = comparison.folder
            now |= _code_of_type(config.type, base)
            resumes = planned is not None and not changed_source(planned.identity, now)
            hub = {"asks": asks_hub, "resumes": resumes}
            now |= commits(config.type, config.settings, **hub)
            named = with_prior(config.type, config.settings)
            if named != config.settings:  # now that the card of a decoder is here
                now |= commits(config.type, named, **hub)
            if files := dict(_files(config.type, named, base, ledger)):
                now["files"] = files
            asks = asks_hub and not resumes
            if config.type == "diffusers":
                now["settings"] = _decisive(config.settings, now, asks)
        current[name] = json.loads(json.dumps(now, default=str))
    return current


def note_use(objects: Mapping[str, Generator], plan: Plan) -> None:
    """Remember what objects look like after they have made images.

    Loading weights, counting calls and drawing random numbers change an object, and do not make it
    another generator.
    """
    for name, made in objects.items():
        before = plan.generators[name].identity.get("code")
        if before is not None and not before.startswith(UNKNOWN_CODE):
            target = _target(made)
            with contextlib.suppress(TypeError):  # some objects cannot be referred to weakly
                _USED[id(target)] = (weakref.ref(target), before, _code(target))


_USED: dict[int, tuple[weakref.ref[Any], str, str]] = {}


def _of_object(made: Generator, dtype: str, device: str) -> dict[str, Any]:
    info, target = made.info, _target(made)
    settings = dict(info.settings)
    resolved = settings.pop("resolved", None)  # where its values are from, which changes nothing
    sent = resolved.get("sent") if isinstance(resolved, Mapping) else None
    identity: dict[str, Any] = {
        "type": "python",
        "settings": {**settings, **({"sent": sent} if sent else {})},
        "weights": info.weights_sha256,
        "dtype": dtype,
        "device": device,
    }
    if not type(target).__module__.startswith("gandiff."):
        code = _code(target)
        used = _USED.get(id(target))
        unchanged = used is not None and used[0]() is target and used[2] == code
        identity["code"] = used[1] if used is not None and unchanged else code
    return identity


def _target(made: Generator) -> Any:
    """The function inside of a generator that calls one; else the generator."""
    return made.function if isinstance(made, CallableGenerator) else made


def _code(target: Any) -> str:
    try:
        return code_identity(target)
    except Unidentified as error:
        return f"{UNKNOWN_CODE}{uuid.uuid4().hex}: {error}"


def _code_of_type(type_: str, base: Path) -> dict[str, str]:
    """The code behind ``module:factory`` or an installed type; nothing for gandiff's own."""
    if type_ in GENERATORS or type_ == "python":
        return {}
    try:
        factory = generator_factory(type_, base)
    except RequestError:
        return {}  # it has gone since; finished images can be scored without it
    own = str(getattr(factory, "__module__", "")).startswith("gandiff.")
    return {} if own else {"code": _code(factory)}


def _files(
    type_: str, settings: Mapping[str, Any], base: Path, ledger: ContentLedger
) -> Iterator[tuple[str, str]]:
    """The settings that name files which are read, and what those hold: LoRA, encoders, tables."""
    parts = provenance.local_parts(type_, settings)
    yield from ((place, provenance.content(path)) for place, path in parts.items())
    if type_ == "gan" and settings.get("units") is not None:  # names what is read of a dissection
        dissection = (find_weights(settings["weights"]) or base) / UNITS
        if (digest := ledger.sha256(dissection)) is not None:
            yield "units", digest
    for place, value in texts(settings):
        if place in parts or (type_ == "gan" and place == "units"):
            continue
        # An empty text would name the folder of the comparison, in which the run may lie.
        named = Path(value).name
        if named in ("", "..") or place in WEIGHTS or (type_ == "folder" and place == "folder"):
            continue
        given = os.path.expanduser(value)
        below = os.path.join(base, given)
        places = (below,) if type_ in GENERATORS else (given, below)
        path = next((place for place in places if os.path.exists(place)), "")
        digest = None
        if os.path.isdir(path):
            endings = DATA_ENDINGS if place in PATHS else _WEIGHT_ENDINGS
            digest = _folder_digest(Path(path), endings, ledger)
        elif path.lower().endswith(DATA_ENDINGS):
            digest = ledger.sha256(Path(path))
        if digest is not None:
            yield place, digest


def _decisive(settings: Mapping[str, Any], now: Identity, asks: bool) -> dict[str, Any]:
    """The settings as they decide the pixels: what was not set is what the pipeline makes of it."""
    from gandiff.models.diffusion.planned import decisive_settings

    commit = now.get(f"{COMMIT}pipeline")
    return decisive_settings(settings, now["settings"], commit, asks_hub=asks)


def changed_source(before: Identity, now: Identity) -> bool:
    """Whether another pipeline is asked for, or another revision of it."""
    return any(before["settings"].get(k) != now["settings"].get(k) for k in (*WEIGHTS, "revision"))


def _folder_digest(folder: Path, endings: tuple[str, ...], ledger: ContentLedger) -> str | None:
    """One hash of the files of these endings below a folder; None if there is none."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in endings and f.is_file())
    digest = hashlib.sha256()
    for file in files:
        name = file.relative_to(folder).as_posix()
        digest.update(f"{name}\0{ledger.sha256(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest() if files else None
