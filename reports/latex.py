"""The results as LaTeX: tables for a paper (booktabs) and the protocol as a paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gandiff.reports.category_table import category_tables
from gandiff.reports.plotting import Drawing
from gandiff.reports.protocol_paragraph import protocol_paragraph
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import Sentence
from gandiff.reports.table import WideTable, wide_tables
from gandiff.reports.values import NO_VALUE, visible

FIRST_LINE = "% Written by gandiff report"
_WIDEST = 4  # columns of numbers side by side in a column of text
_COMMANDS = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\u00a0": "~",
    "\u2191": r"$\uparrow$",
    "\u2193": r"$\downarrow$",
    "\u2192": r"$\rightarrow$",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u00b5": r"$\mu$",
    "\u03c4": r"$\tau$",
    "\u221e": r"$\infty$",
    "\u2020": r"\dag{}",
    "\u2021": r"\ddag{}",
    "\u2011": "-",
    **{special: f"\\{special}" for special in "#$%&_{}"},
}
_SPECIAL = re.compile("|".join(map(re.escape, _COMMANDS)))


def tex(text: object) -> str:
    """Text that LaTeX sets as it is."""
    return _SPECIAL.sub(lambda match: _COMMANDS[match[0]], visible(str(text)))


def is_ours(path: Path) -> bool:
    """Whether gandiff wrote a LaTeX file."""
    with path.open("rb") as file:
        return file.read(len(FIRST_LINE)) == FIRST_LINE.encode()


def latex_text(
    run: RunData, sentences: Sequence[Sentence], drawings: Sequence[Drawing] = ()
) -> str:
    """A file to be read by ``\\input``: the tables of the report, those by category, the figures
    that are given (as ``figures/NAME.pdf`` of the report), and the protocol.
    """
    premise = [tex(s.text) for s in sentences if s.topic == "premise"]
    parts = [
        f"{FIRST_LINE} from the run {visible(run.name)}; \\input it.\n"
        "% It needs \\usepackage{booktabs}"
        + (" and \\usepackage{graphicx}" if drawings else "")
        + "; names in other scripts need XeLaTeX or LuaLaTeX.",
        *(_results(run, table, premise) for table in wide_tables(run)),
        *_categories(run),
        *(_figure(run, drawing) for drawing in drawings),
    ]
    paragraph = protocol_paragraph(run)
    if paragraph:
        parts.append(f"\\paragraph{{Protocol.}} {' '.join([*premise, tex(paragraph)])}")
    return "\n\n".join(parts) + "\n"


def _results(run: RunData, table: WideTable, premise: Sequence[str]) -> str:
    note = "95\\,\\% intervals in brackets; bold: better than all others by more than chance."
    marks = map(tex, run.marks)
    biased = [(c.label, one) for c in table.columns for one in c.remarks if "N < d" in one]
    gaps = [(c.label, one) for c in table.columns for one in c.gaps]
    said = [f"{label}: {one}" for label, one in (*biased, *gaps)]
    caption = " ".join([f"{tex(table.title)}.", note, *premise, *map(tex, table.notes), *marks])
    blocks = []
    for start in range(0, len(table.columns), _WIDEST):
        columns = table.columns[start : start + _WIDEST]
        head = ["Generator", *(f"{tex(c.label)} {tex(c.arrow)}".strip() for c in columns)]
        rows = [
            [
                tex(run.marked(name)),
                *(_cell(c.cells[i].value, c.cells[i].interval, c.cells[i].best) for c in columns),
            ]
            for i, name in enumerate(table.generators)
        ]
        blocks.append(_tabular(head, rows))
    if said:
        blocks.append(f"{{\\scriptsize {' '.join(map(tex, said))}}}")
    return _float("\n\\par\\medskip\n".join(blocks), caption, f"tab:gandiff-{_slug(table.title)}")


def _cell(value: str, interval: str, best: bool = False) -> str:
    if value in ("", *NO_VALUE):
        return "--"
    shown = f"\\textbf{{{_numbers(value)}}}" if best else _numbers(value)
    return f"{shown} {{\\scriptsize [{_numbers(interval)}]}}" if interval else shown


def _numbers(text: str) -> str:
    """Text with the minus signs of numbers set as such, which is no hyphen."""
    return re.sub(r"(?<!\S)-(?=\d)", "$-$", tex(text))


def _categories(run: RunData) -> Iterator[str]:
    for number, table in enumerate(category_tables(run), 1):
        head = ["Category", "Prompts", *map(tex, table.generators)]
        rows = [
            [tex(row.category), row.prompts, *(_cell(*cell) for cell in row.cells)]
            for row in table.rows
        ]
        caption = f"{tex(table.label)} by category of prompts. 95\\,\\% intervals in brackets."
        yield _float(_tabular(head, rows), caption, f"tab:gandiff-category-{number}")


def _tabular(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        "\\toprule",
        f"{' & '.join(head)} \\\\",
        "\\midrule",
        *(f"{' & '.join(row)} \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines)


def _float(body: str, caption: str, label: str) -> str:
    return (
        f"\\begin{{table*}}\n\\centering\\footnotesize\n\\caption{{{caption}}}\n"
        f"\\label{{{label}}}\n{body}\n\\end{{table*}}"
    )


def _figure(run: RunData, drawing: Drawing) -> str:
    path = (run.folder / "report" / "figures" / f"{drawing.name}.pdf").absolute().as_posix()
    return (
        "\\begin{figure}\n\\centering\n"
        f"\\includegraphics[width=\\linewidth]{{\\detokenize{{{path}}}}}\n"
        f"\\caption{{{tex(drawing.title)}. {tex(drawing.caption)}}}\n"
        f"\\label{{fig:gandiff-{_slug(drawing.name)}}}\n\\end{{figure}}"
    )


def _slug(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
