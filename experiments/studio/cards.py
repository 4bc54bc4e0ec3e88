"""Pictures and their commands as HTML, in which no text of a prompt is taken for markup."""

from __future__ import annotations

import base64
import functools
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment
from markupsafe import escape

from gandiff.experiments.draw.pictures import PNG
from gandiff.experiments.draw.pictures import Picture as Drawn
from gandiff.experiments.runs.store import png
from gandiff.experiments.studio.studio import Card
from gandiff.reports.page import page_environment
from gandiff.reports.values import show_duration, visible

TEMPLATES = Path(__file__).parent / "templates"


def cards_page(cards: Iterable[Card]) -> str:
    """The cards as HTML, those of a seed beside each other; pictures are part of it."""
    rows = [(seed, list(of)) for seed, of in itertools.groupby(cards, lambda card: card.order.seed)]
    return _environment().get_template("cards.html.j2").render(rows=rows)


def status(text: str, *, wrong: bool = False) -> str:
    """A line that screen readers read out, at once where something is wrong."""
    return f'<p role="{"alert" if wrong else "status"}">{escape(visible(text))}</p>'


def heading(folder: Path) -> str:
    """The top of the page; commands are for this folder."""
    return (
        "<h1>gandiff studio</h1><p>Each model with the same prompt and seeds, the time that a "
        "picture takes, and the command that makes it again, to be typed in "
        f"<code>{escape(visible(str(folder)))}</code>. Nothing leaves this machine.</p>"
    )


def picture_html(pixels: UInt8[np.ndarray, "h w 3"], alt: str) -> str:
    """A picture as a part of the page."""
    return f'<p class="given"><img src="{_png(png(pixels))}" alt="{escape(alt)}"></p>'


@functools.cache
def _environment() -> Environment:
    environment = page_environment(TEMPLATES)
    environment.filters |= {"seconds": show_duration, "data": _data, "estimate": _estimate}
    return environment


def _data(path: Path) -> str:
    return _png(path.read_bytes())


def _png(data: bytes) -> str:
    """The bytes of a PNG as an address."""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _estimate(frame: Drawn) -> str:
    assert frame.path is not None  # a frame that is shown was saved
    return _data(frame.path.with_name(f"{frame.path.stem}_estimate{PNG}"))
