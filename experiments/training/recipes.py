"""Recipes: the numbers that a generator is trained by, of any family.

A recipe is a frozen settings class. ``lr_end`` is the end of the schedule that starts at ``lr``:
so for every field of such a name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from gandiff.common.assignments import read_assignments, read_value, takes_list, takes_none
from gandiff.common.errors import RequestError
from gandiff.common.names import did_you_mean
from gandiff.common.renamed import RECIPE_FIELDS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every family's recipe class has beside its numbers."""

    family: ClassVar[str]
    """The package in ``experiments/training/`` and what follows ``gandiff train``."""
    named: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Recipes to start from, ``default`` among them, by what they change in the defaults."""
    example: ClassVar[str]
    """A sweep, as an example."""
    checkpoints: ClassVar[tuple[str, ...]] = ("checkpoint.pt",)
    """The files below the output folder that ``--resume`` can continue from, the main one first."""
    sampling: ClassVar[Mapping[str, str]] = {}
    """Fields that say how pictures are sampled and change nothing that is trained, with the name
    that the setting has in a comparison file.
    """

    def idle(self) -> dict[str, str]:
        """The fields that do nothing in this recipe, with the reason, such as ``with d_warmup=0``.

        A named recipe may hold a value for them; whoever sets one is mistaken.
        """
        return {}

    def settled(self, text_encoder: str | None) -> Self:
        """The recipe with what follows from the request: whether it names a text encoder.

        Trained and recorded is this one, so whoever looks for a training by its recipe settles it,
        too.
        """
        return self


R = TypeVar("R", bound=Recipe)


def schedule_ends(cls: type[Recipe]) -> dict[str, str]:
    """The field with the end of each schedule, by the field where it starts."""
    names = {field.name for field in dataclasses.fields(cls)}
    ends = {field.name: f"{field.name}_end" for field in dataclasses.fields(cls)}
    return {start: end for start, end in ends.items() if end in names}


def recipe_of(cls: type[R], name: str = "default", **changes: object) -> R:
    """A named recipe with some numbers changed, as ``changed`` does.

    Raises ``RequestError`` for an unknown name and for numbers that cannot work.
    """
    if name not in cls.named:
        raise RequestError(f"unknown recipe {name!r}{did_you_mean(name, cls.named)}")
    return changed(cls(**cls.named[name]), changes)


def changed(recipe: R, changes: Mapping[str, object], fixed: Container[str] = ()) -> R:
    """A recipe with some numbers changed; None changes nothing where it is not a value itself.

    Where the start of a schedule is changed, its end (``lr_end`` and so on) is scaled by the same
    factor unless it is among the changes, or named in ``fixed``. Where both were 0 the end becomes
    the new start, where the start alone was, the end stays. Raises ``RequestError`` for unknown
    names, for numbers that cannot work, and for changes that change nothing (``Recipe.idle``).
    """
    cls, given = type(recipe), dict[str, Any]()
    for key, value in changes.items():
        _refuse_unknown(cls, key)
        if value is not None or takes_none(cls, key):
            given[key] = value
    asked = list(given)
    for name, end in schedule_ends(cls).items():
        if name in given and end not in given and end not in fixed:
            start, last = getattr(recipe, name), getattr(recipe, end)
            given[end] = _scaled(last, start, given[name])
    made = dataclasses.replace(recipe, **given)
    idle = made.idle()
    for name in asked:
        if name in idle:
            raise RequestError(f"{name} does nothing {idle[name]}; leave it out")
    return made


def _scaled(end: float, start: float, new: float) -> float:
    if start:
        return end if new == start else new * (end / start)
    return end or new


def _refuse_unknown(cls: type[Recipe], name: str) -> None:
    known = [field.name for field in dataclasses.fields(cls)]
    if name in known:
        return
    if RECIPE_FIELDS.get(name) in known:
        raise RequestError(f"{name} is now {RECIPE_FIELDS[name]}; use that name")
    raise RequestError(f"a recipe has no field {name!r}{did_you_mean(name, known)}")


def check_swept(cls: type[Recipe], name: str) -> None:
    """Raise ``RequestError`` for a field whose values cannot be those of a sweep."""
    _refuse_unknown(cls, name)
    if takes_list(cls, name):
        raise RequestError(
            f"--sweep {name}: {name} is a list, whose commas would be those between the values; "
            f"train with --set {name}=... for each list, in an --out of its own"
        )
    if name in cls.sampling:
        raise RequestError(
            f"--sweep {name}: {name} changes how pictures are sampled and nothing that is trained, "
            "so that every trial would be the same model; train one, and compare it at several "
            f"values in a comparison file (sweep: {{{cls.sampling[name]}: [...]}})"
        )


def read_numbers(cls: type[Recipe], assignments: Sequence[str]) -> dict[str, Any]:
    """``gamma=0.5`` and the like, by the type that the field has."""
    for assignment in assignments:
        if "=" in assignment:
            _refuse_unknown(cls, assignment.partition("=")[0].strip())
    return read_assignments(cls, assignments)


def read_number(cls: type[Recipe], name: str, value: str) -> Any:
    """One field's value from text; raises ``SettingError`` for a value of another type."""
    _refuse_unknown(cls, name)
    return read_value(cls, name, value)
