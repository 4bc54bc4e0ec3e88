"""The templates of pages, in which no text of a run is taken for markup or code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gandiff.common.words import counted
from gandiff.reports.values import show_count, visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
_WORD = 16  # letters that stay together in a name without hyphens and spaces


def page_environment(templates: Path = TEMPLATES) -> Environment:
    """The environment that templates of a folder are rendered in; it escapes every text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def harmless(value: Any) -> Any:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        finalize=harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["amount"] = show_count
    environment.filters["counted"] = counted
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.filters["breakable"] = breakable
    return environment


def breakable(name: str) -> Markup:
    """A name that may also go over lines where it has no hyphen for long."""
    from markupsafe import Markup

    parts = re.findall(
        rf"[^\s-]{{{_WORD}}}(?=[^\s-])|.+?(?=[^\s-]{{{_WORD + 1}}}|$)", visible(name), re.DOTALL
    )
    return Markup("<wbr>").join(parts)
