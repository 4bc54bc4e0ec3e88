"""Names to objects: generator types, metrics and suites, built in, installed or written as
module:factory.

Nothing is imported before it is asked for by name, so listing and validating stay cheap.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gandiff.common.errors import (
    GeneratorError,
    MetricError,
    RequestError,
    SettingError,
    environment_failure,
    reason_of,
    show,
)
from gandiff.common.names import did_you_mean
from gandiff.common.validation import validate
from gandiff.evaluate.result import OWN_METRIC, MetricSpec
from gandiff.experiments.plugins.factories import check_factory, load_target, wants
from gandiff.experiments.plugins.shipped import METRICS as METRICS
from gandiff.experiments.plugins.shipped import SUITES
from gandiff.models.diffusion.places import hub_ids_as_paths
from gandiff.models.generator import Generator

if TYPE_CHECKING:
    from gandiff.evaluate.metric import Metric

GROUPS = {"generator": "gandiff.generators", "metric": "gandiff.metrics", "suite": "gandiff.suites"}


# Functions that had other names, which old files and runs say; image keys hash the first of them.
FORMER_NAMES = {
    "gandiff.experiments.scenes.oracle:sample": (
        "gandiff.experiments.scene_oracle:paint",
        "gandiff.experiments.scenes.oracle:paint",
    )
}


class BuiltIn(NamedTuple):
    """A generator type that ships with the project; both targets are ``module:class``."""

    settings: str
    generator: str
    says: str


GENERATORS = {
    "gan": BuiltIn(
        "gandiff.models.settings:GanSettings",
        "gandiff.models.gan.generator:GanGenerator",
        "text-conditioned GAN (config.json + model.safetensors)",
    ),
    "diffusers": BuiltIn(
        "gandiff.models.diffusion.settings:DiffusersSettings",
        "gandiff.models.diffusion.cascade:open_generator",
        "any text-to-image pipeline of diffusers, by folder or hub id",
    ),
    "folder": BuiltIn(
        "gandiff.models.settings:FolderSettings",
        "gandiff.models.folder:FolderGenerator",
        "images that were made elsewhere",
    ),
}


_SHORT_METRICS = {
    "fid": "short for fd(encoder=inception)",
    "fid_inf": "short for fd_inf(encoder=inception)",
    "torchmetrics:NAME": "any image metric of torchmetrics by its class name",
}
_TORCHMETRICS = "torchmetrics:"
_BRIDGE = "gandiff.evaluate.metrics.torchmetrics_bridge:TorchmetricsMetric"


def generator_types() -> dict[str, str]:
    """Each generator type that can be named, with one line about it."""
    return _listing({name: entry.says for name, entry in GENERATORS.items()}, "generator")


def metric_names() -> list[str]:
    """Each metric that can be named, in the order of the alphabet; costs are measured unnamed."""
    return sorted({*METRICS, *_SHORT_METRICS, *(point.name for point in _installed("metric"))})


def metric_types() -> dict[str, str]:
    """The same with what each says of itself, which imports them all."""
    return {name: _SHORT_METRICS.get(name) or _metric_line(name) for name in metric_names()}


def _metric_line(name: str) -> str:
    try:
        about = getattr(metric_class(MetricSpec(name)), "about", None)
    except RequestError as error:  # one broken plugin must not hide the others
        return str(error)
    point = next((p for p in _installed("metric") if p.name == name), None)
    installed = f"installed: {point.value}" if point and name not in METRICS else ""
    return " ".join(filter(None, [about.meaning if about else "", installed]))


def suite_names() -> dict[str, str]:
    """Each prompt suite that can be named, with one line about it; files need no name."""
    return _listing(SUITES, "suite")


def check_settings(type_: str, settings: Mapping[str, Any], base: Path = Path()) -> dict[str, Any]:
    """Check a generator's settings without building it, and fill in the defaults.

    ``base`` is the folder that ``module:factory`` is looked for in, besides what is installed.
    Raises ``SettingError`` (``field`` is the setting, or ``type``) for an unknown type, an
    unknown, missing or wrong setting.
    """
    if type_ in GENERATORS:
        return dataclasses.asdict(validate(_load(GENERATORS[type_].settings), settings))
    return check_factory(generator_factory(type_, base), settings)


def make_generator(
    name: str, type_: str, settings: Mapping[str, Any], base: Path = Path()
) -> Generator:
    """Build a generator; no weights are read yet. Raises ``RequestError`` for what does not fit."""
    try:
        if type_ in GENERATORS:
            checked = validate(_load(GENERATORS[type_].settings), settings)
            made = _load(GENERATORS[type_].generator)(name=name, settings=checked)
        else:
            made = _made_by_factory(name, generator_factory(type_, base), settings)
        if isinstance(made, Generator):
            _ = made.info  # which every stage asks for
    except SettingError as error:
        raise RequestError(f"generator {name!r}: {error}") from None
    except (GeneratorError, ImportError, ValueError, TypeError, OSError) as error:
        hint = hub_ids_as_paths(settings, base) if type_ == "diffusers" else ""
        raise RequestError(f"generator {name!r} cannot be built: {error}{hint}") from error
    except Exception as error:  # whatever a plugin raises is a reason, but for a full memory
        if environment_failure(error):
            raise
        raise RequestError(f"generator {name!r} cannot be built: {reason_of(error)}") from error
    if not isinstance(made, Generator):
        raise RequestError(
            f"generator {name!r}: {type_} must give a gandiff Generator or a function "
            f"(prompts, seeds) -> images, got {show(made)} ({type(made).__name__})"
        )
    return made


def metric_class(spec: MetricSpec) -> Callable[..., Metric]:
    """Find what computes a metric; raises ``RequestError`` with the nearest name."""
    if spec.name in METRICS:
        return _load(METRICS[spec.name])  # type: ignore[no-any-return]
    if spec.name.startswith(_TORCHMETRICS):
        return functools.partial(_load(_BRIDGE), spec.name.removeprefix(_TORCHMETRICS))
    for point in _installed("metric"):
        if point.name == spec.name:
            return _load_entry(point)  # type: ignore[no-any-return]
    hint = f" ({OWN_METRIC})" if ":" in spec.name else did_you_mean(spec.name, metric_names())
    raise RequestError(f"no metric is named {spec.name!r}{hint}")


def with_encoder(text: str, *, scenes: bool) -> str:
    """A metric with the encoder or model that it takes by default written out, which depends on
    whether the pictures are rendered ``scenes``; as it was written if it names one or takes none.

    Raises ``MetricError`` and ``RequestError`` for what cannot be read.
    """
    spec = MetricSpec.parse(text)
    make_metric(spec)  # its errors show what was written
    metric, given = metric_class(spec), dict(spec.params)
    on_scenes: Mapping[str, Any] = getattr(metric, "scene_defaults", {})
    elsewhere = inspect.signature(metric).parameters if on_scenes else {}
    added = {
        name: value if scenes else elsewhere[name].default
        for name, value in on_scenes.items()
        if name not in given
    }
    return str(MetricSpec.of(spec.name, **{**given, **added})) if added else text


def make_metric(spec: MetricSpec) -> Metric:
    """Build a metric, which is cheap; raises ``RequestError`` if its parameters do not fit."""
    metric = metric_class(spec)
    params = dict(spec.params)
    try:
        if not spec.name.startswith(_TORCHMETRICS):  # those are checked against their own class
            check_factory(metric, params)
        return metric(**params)
    except (MetricError, SettingError, ValueError, TypeError) as error:
        raise RequestError(f"{spec}: {error}") from None


def suite_factory(name: str) -> Callable[..., Any] | None:
    """Find an installed suite by name; None if there is none."""
    return next((_load_entry(p) for p in _installed("suite") if p.name == name), None)


def current_type(type_: str) -> str:
    """What a generator type is called now; itself unless it was renamed."""
    return next((now for now, former in FORMER_NAMES.items() if type_ in former), type_)


def recorded_type(type_: str) -> str:
    """What a generator type was called first, which keeps the keys of old images valid."""
    return FORMER_NAMES.get(current_type(type_), (type_,))[0]


def generator_factory(type_: str, base: Path) -> Callable[..., Any]:
    """What makes a generator of a type that does not ship with gandiff; ``RequestError`` if there
    is none.
    """
    if ":" in type_:
        return load_target(current_type(type_), base)
    for point in _installed("generator"):
        if point.name == type_:
            return _load_entry(point)  # type: ignore[no-any-return]
    raise SettingError(
        ("type",),
        f"no generator type is named {type_!r}{did_you_mean(type_, generator_types())} "
        "(your own is written module:factory)",
    )


def _made_by_factory(name: str, factory: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    from gandiff.models.callable import CallableGenerator

    if wants(
        factory, "prompts", "seeds"
    ):  # it is the function that makes images, not one that returns it
        check_factory(factory, settings)
        return CallableGenerator(name=name, function=_with_settings(factory, settings))
    given = dict(settings)
    if wants(factory, "name") and "name" not in given:
        given["name"] = name
    made = factory(**given)
    if callable(made) and not isinstance(made, Generator):
        return CallableGenerator(name=name, function=made)
    return made


def _with_settings(function: Callable[..., Any], settings: Mapping[str, Any]) -> Callable[..., Any]:
    if not settings:
        return function
    bound = functools.partial(function, **settings)
    vars(bound).update(vars(function))  # facts about the generator are written on the function
    return bound


def _listing(built_in: Mapping[str, str], kind: str) -> dict[str, str]:
    installed = {p.name: f"installed: {p.value}" for p in _installed(kind)}
    return dict(sorted({**installed, **built_in}.items()))


def _installed(kind: str) -> Iterable[EntryPoint]:
    return entry_points(group=GROUPS[kind])


def _load_entry(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        where = f" of {point.dist.name}" if point.dist else ""
        raise RequestError(
            f"the plugin {point.name!r}{where} cannot be imported: {error}"
        ) from error


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(sys.modules.get(module) or importlib.import_module(module), name)
