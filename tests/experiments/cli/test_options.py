"""Options made of the fields of a dataclass: their look, their values, their bounds."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from annotated_types import Gt, Interval
from typer.testing import CliRunner

from gandiff.common.errors import RequestError
from gandiff.common.options import check_options, described, option
from gandiff.experiments.cli.options import Given, takes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cake:
    """What is baked."""

    out: Path = dataclasses.field(metadata=described("Where it is put."))
    layers: Annotated[int, Interval(ge=1, le=5)] = option(2, "How many.", metavar="N")
    hot_minutes: Annotated[float, Gt(0)] | None = option(None, "In the oven.", only=("baked",))
    icing: Literal["none", "sugar"] = option("none", "On top.")
    quiet: bool = option(False, "Say nothing.", names=("--quiet", "-q"))
    made_by: str = "nobody"


def run(*arguments: str, kind: str = "baked") -> tuple[int, str, list[Any]]:
    app, calls = typer.Typer(rich_markup_mode=None), list[Any]()

    @app.command()
    @takes(Cake, kind, icing="sugar", out=None)
    def bake(
        given: Given,
        name: Annotated[str, typer.Argument(help="Whose.")],
        *,
        again: Annotated[bool, typer.Option("--again")] = False,
    ) -> None:
        """Bake a cake."""
        calls.append((given, name, again))

    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output, calls


def test_values_come_by_the_name_of_the_field() -> None:
    _, _, [(given, name, again)] = run("ann", "--hot-minutes", "3", "-q", "--again", "--out", "x")
    assert (name, again) == ("ann", True)
    wanted = {"out": Path("x"), "layers": 2, "hot_minutes": 3.0, "icing": "sugar", "quiet": True}
    assert given == wanted
    _, _, [(given, _, again)] = run("ann")
    assert (given["out"], given["hot_minutes"], again) == (None, None, False)


def test_a_kind_of_command_takes_its_own_options_alone() -> None:
    code, said, calls = run("ann", "--hot-minutes", "3", kind="raw")
    assert (code, calls) == (2, [])
    assert "no such option: --hot-minutes" in said.lower()
    _, _, [(given, _, _)] = run("ann", kind="raw")
    assert "hot_minutes" not in given


def test_help_has_every_field_between_the_own_parameters() -> None:
    code, said, _ = run("--help")
    assert code == 0
    assert "Bake a cake." in said
    options = ["--out", "--layers N", "--hot-minutes", "--icing", "-q, --quiet", "--again"]
    said = said.partition("Options:")[2]
    places = [said.index(one) for one in options]
    assert places == sorted(places)
    assert "[default: 2; 1<=x<=5]" in said
    assert "--no-quiet" not in said
    assert "made-by" not in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layers": 0}, "--layers must be between 1 and 5, got 0"),
        ({"layers": 6}, "--layers must be between 1 and 5, got 6"),
        ({"hot_minutes": 0.0}, "--hot-minutes must be above 0, got 0.0"),
        ({"hot_minutes": math.nan}, "--hot-minutes must be above 0, got nan"),
    ],
)
def test_python_has_the_same_bounds(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError) as refused:
        check_options(Cake(out=Path("x"), **changes))
    assert str(refused.value) == says
    check_options(Cake(out=Path("x"), layers=5, hot_minutes=None))
