"""The results as LaTeX: the verdict and the protocol as paragraphs, tables (booktabs) between."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gandiff.common.run_record import OFF_NATIVE
from gandiff.reports import explanations
from gandiff.reports.category_table import CategoryTable, category_tables
from gandiff.reports.difference_table import DifferenceTable, difference_table
from gandiff.reports.facts import making_commands
from gandiff.reports.latex_tables import HELPERS, Caption, Cell, Column, floats, number, words
from gandiff.reports.plotting import Drawing
from gandiff.reports.protocol_paragraph import MADE_BY, THEN, protocol_prose
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import UNEQUAL, Sentence
from gandiff.reports.table import WideTable, wide_tables
from gandiff.reports.tex import code, graphic, tex
from gandiff.reports.values import visible

FIRST_LINE = "% Written by gandiff report"
_MARKS = 3  # generators whose settings a caption explains
_FLOATS = 12  # between which LaTeX has to set all that wait: it holds 18 at least
_PAIRED = "Paired differences over the same prompts"
# What decides stands side by side in the first of the tables that a page needs.
_TESTS = ("a", "b", "a \u2212 b", "95 % interval", "p", "p after Holm", "Prompts")
_SIZE = "width=\\linewidth,height=.8\\textheight,keepaspectratio"
_INTERVALS = "95\\,\\% intervals in brackets"


def is_ours(path: Path) -> bool:
    """Whether gandiff wrote a LaTeX file."""
    with path.open("rb") as file:
        return file.read(len(FIRST_LINE)) == FIRST_LINE.encode()


def latex_text(
    run: RunData,
    sentences: Sequence[Sentence],
    drawings: Sequence[Drawing] = (),
    folder: Path = Path(),
) -> str:
    """A file to be read by ``\\input``: the verdict, the tables of the report, the differences of
    the two that the verdict is about, scores by category, the figures that are given (as
    ``figures/NAME.pdf`` of the report), and the protocol.

    Paths of figures are relative to ``folder``, where the file will lie.
    """
    premise = [f"\\textbf{{{tex(s.text)}}}" for s in sentences if s.topic == "premise"]
    parts = [
        f"{FIRST_LINE} from the run {visible(run.name)}; \\input it.\n"
        "% It needs \\usepackage{booktabs} and \\usepackage{graphicx}; names in other scripts need "
        "XeLaTeX or LuaLaTeX."
        + ("\n% Figures: \\graphicspath{{FOLDER/}} if the main file is elsewhere." * bool(drawings))
        + f"\n{HELPERS}",
        *(f"\\paragraph{{{UNEQUAL}.}} {text}" for text in premise),
        *_verdict(sentences),
        *_in_groups(
            *(one for table in wide_tables(run) for one in _results(run, table, premise)),
            *_differences(run),
            *_categories(run),
            *_figures(run, drawings, folder),
        ),
    ]
    if run.generators:
        parts.append(_protocol(run, premise))
    return "\n\n".join(parts) + "\n"


def _protocol(run: RunData, premise: Sequence[str]) -> str:
    made_by = f"{MADE_BY} {THEN.join(map(code, making_commands(run)))}."
    said = [*premise, tex(protocol_prose(run)), made_by]
    if len(run.off_native) > _MARKS:
        said += map(tex, run.off_native)
    said += map(tex, run.unmeasured)
    return _paragraph("Protocol", said)


def _verdict(sentences: Sequence[Sentence]) -> Iterator[str]:
    """All but the premise, which stands before."""
    if said := [tex(s.text) for s in sentences if s.topic != "premise"]:
        yield _paragraph("Verdict", said)


def _paragraph(title: str, said: Sequence[str]) -> str:
    return f"{{\\emergencystretch=4em\\paragraph{{{title}.}} {' '.join(said)}\\par}}"


def _in_groups(*bodies: str) -> Iterator[str]:
    for k, body in enumerate(bodies, 1):
        yield body
        if k % _FLOATS == 0 and k < len(bodies):
            yield "\\clearpage"


def _results(run: RunData, table: WideTable, premise: Sequence[str]) -> Iterator[str]:
    note = f"{_INTERVALS}; bold: better than all others by more than chance."
    marks = run.off_native
    if len(marks) > _MARKS:
        marks = [f"{OFF_NATIVE} runs off its native point, which the protocol names."]
    marks = [*run.yardsticks, *marks]
    biased = [(c.label, one) for c in table.columns for one in c.remarks if "N < d" in one]
    gaps = [(c.label, one) for c in table.columns for one in c.gaps]
    said = [f"{label}: {one}" for label, one in (*biased, *gaps)]
    text = " ".join([note, *premise, *map(tex, table.notes), *map(tex, marks)])
    columns = [
        Column(
            f"{column.label}\u00a0{column.arrow}".strip(),
            [number(cell.value, cell.interval, cell.best) for cell in column.cells],
        )
        for column in table.columns
    ]
    caption = Caption(tex(table.title), text, f"tab:gandiff-{_slug(table.title)}")
    return floats(caption, "Generator", [*map(run.marked, table.generators)], columns, said)


def _differences(run: RunData) -> Iterator[str]:
    """Those of the two that the verdict is about; where there are no two, all that a page has."""
    two = tuple(map(run.marked, run.headline)) if len(run.headline) == 2 else ()
    table = difference_table(run, run.headline if two else ())
    if table is None:
        return
    names = [row[0] if not two or row[1:3] == two else _other_way(*row[:3]) for row in table.rows]
    order = sorted(range(1, len(table.head)), key=lambda k: table.head[k] not in _TESTS)
    columns = [
        Column(table.head[k], [_cell(row[k], k < table.words) for row in table.rows])
        for k in order
        if not two or k >= table.words
    ]
    caption = Caption(_PAIRED, _which(run, table, two), f"tab:gandiff-{_slug(_PAIRED)}")
    yield from floats(caption, table.head[0], names, columns, [explanations.DIFFERENCES])


def _other_way(metric: str, a: str, b: str) -> str:
    """A cost, of which the larger stands first, whichever the verdict names first."""
    return f"{metric} (a: {a}, b: {b})"


def _cell(text: str, is_word: bool) -> Cell:
    return words(text) if is_word else number(text, "")


def _which(run: RunData, table: DifferenceTable, two: Sequence[str]) -> str:
    """Which pairs a table has."""
    if not two:
        return tex(table.left_out)
    a, b = map(tex, two)
    more = f" All pairs are in {code('differences.parquet')}." if len(run.generators) > 2 else ""
    return f"Where no others are named, a is {a} and b is {b}.{more}"


def _categories(run: RunData) -> Iterator[str]:
    by_metric = groupby(category_tables(run), key=lambda table: table.metric)
    for place, (metric, found) in enumerate(by_metric, 1):
        tables = list(found)
        rows = tables[0].rows
        title = f"{tex(tables[0].label)} ({code(metric)}) by category of prompts"
        caption = Caption(title, f"{_INTERVALS}.", f"tab:gandiff-category-{place}")
        prompts = Column("Prompts", [words(row.prompts) for row in rows])
        columns = [prompts, *(column for table in tables for column in _of_category(run, table))]
        yield from floats(caption, "Category", [row.category for row in rows], columns)


def _of_category(run: RunData, table: CategoryTable) -> Iterator[Column]:
    for k, name in enumerate(table.generators):
        yield Column(run.marked(name), [number(*row.cells[k]) for row in table.rows])


def _figures(run: RunData, drawings: Sequence[Drawing], folder: Path) -> Iterator[str]:
    for drawing in drawings:
        path = run.folder / "report" / "figures" / f"{drawing.name}.pdf"
        relative = Path(os.path.relpath(path.resolve(), folder.resolve()))
        yield (
            "\\begin{figure}\n\\centering\n"
            f"{graphic(relative, _SIZE)}\n"
            f"\\caption{{{tex(drawing.title)}. {tex(drawing.caption)}}}\n"
            f"\\label{{fig:gandiff-{_slug(drawing.name)}}}\n\\end{{figure}}"
        )


def _slug(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
