"""Tables of changes between two runs as a page that can be sent, or as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from gandiff.reports.markdown import plain
from gandiff.reports.page import TEMPLATES, page_environment

_STYLES = ("base.css", "sections.css", "tables.css")
Form = Literal["markdown", "html"]


@dataclasses.dataclass(frozen=True)
class ChangeTable:
    """One table: its heading, the names of its columns, and texts."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChangePage:
    """What a comparison of two runs says: a sentence, the conditions that hold, tables, and notes
    below them.
    """

    title: str
    summary: str
    failed: Sequence[str]
    tables: Sequence[ChangeTable]
    notes: Sequence[str]

    def written(self, form: Form) -> str:
        """The page in a form of writing; no text of a run is taken for markup."""
        return self._markdown() if form == "markdown" else self._html()

    def _markdown(self) -> str:
        tables = (f"## {plain(t.title)}\n\n{_pipes(t)}" for t in self.tables)
        failed = "\n".join(f"- **Failed:** {plain(condition)}" for condition in self.failed)
        notes = "\n".join(f"- {plain(note)}" for note in self.notes)
        parts = (f"# {plain(self.title)}", plain(self.summary), failed, *tables, notes)
        return "\n\n".join(filter(None, parts)) + "\n"

    def _html(self) -> str:
        from markupsafe import Markup

        styles = (TEMPLATES / name for name in _STYLES)
        return (
            page_environment()
            .get_template("changes.html.j2")
            .render(
                page=self, style=Markup("\n".join(s.read_text(encoding="utf-8") for s in styles))
            )
        )


def _pipes(table: ChangeTable) -> str:
    lines = [[plain(text) for text in row] for row in (table.head, *table.rows)]
    lines.insert(1, ["---"] * len(table.head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
