"""Writes the report of a run: one HTML file that needs nothing else, Markdown, CSV and figures."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gandiff.reports import explanations
from gandiff.reports.axes import axis_metric
from gandiff.reports.cards import key_cards
from gandiff.reports.category_table import categories_csv, category_tables
from gandiff.reports.comparing import lookup
from gandiff.reports.difference_table import difference_table
from gandiff.reports.edits import shown_edits
from gandiff.reports.facts import (
    commands,
    environment_rows,
    failure_reasons,
    family_name,
    package_rows,
    protocols,
    settings_text,
    suite_rows,
    training_rows,
)
from gandiff.reports.figures import draw_figures
from gandiff.reports.gallery import build_gallery
from gandiff.reports.health import training_health
from gandiff.reports.latex import latex_text
from gandiff.reports.markdown import markdown_text
from gandiff.reports.origins import Origins
from gandiff.reports.page import TEMPLATES, page_environment
from gandiff.reports.palette import FAMILY_COLOURS, looks
from gandiff.reports.plotting import Drawing, as_pdf, inline_svg
from gandiff.reports.protocol_paragraph import protocol_paragraph
from gandiff.reports.ranking import ranking
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import RunData
from gandiff.reports.sentence import Sentence, in_terminal
from gandiff.reports.strips import denoising, without_steps
from gandiff.reports.table import csv_text, wide_tables
from gandiff.reports.verdict import verdict

if TYPE_CHECKING:
    from markupsafe import Markup

_STYLES = ("base.css", "sections.css", "tables.css", "gallery.css")
_SCRIPTS = ("tips.js", "tables.js", "print.js", "gallery.js", "zoom.js")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """Where a report lies, and what it says."""

    html: Path
    markdown: Path
    csv: Path
    figures: tuple[Path, ...]
    verdict: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForPapers:
    """What a report is written as besides: a LaTeX file, and its figures as PDF."""

    latex: Path | None = None
    pdf_figures: bool = False


NO_PAPERS = ForPapers()


def write_report(run_folder: Path, papers: ForPapers = NO_PAPERS) -> ReportPaths:
    """Write ``report/`` into a run folder from what lies there; the same run gives the same bytes.

    Every file is written under another name and then renamed, so a reader never sees half of one.
    Raises ``RequestError`` if the folder is no run.
    """
    run = load_run(run_folder)
    sentences = verdict(run.results, run.differences, run.generators, run.headline, run.ground)
    with as_pdf(papers.pdf_figures):
        drawings = draw_figures(run)
    folder = run_folder / "report"
    figures = _write_figures(folder / "figures", drawings)
    paths = ReportPaths(
        html=folder / "report.html",
        markdown=folder / "report.md",
        csv=folder / "results.csv",
        figures=figures,
        verdict=tuple(map(in_terminal, sentences)),
    )
    _write(paths.csv, csv_text(run).encode("utf-8"))
    if run.categories:
        _write(folder / "categories.csv", categories_csv(run).encode("utf-8"))
    else:  # of an earlier report on the same run
        (folder / "categories.csv").unlink(missing_ok=True)
    if papers.latex is not None:
        shown = drawings if papers.pdf_figures else []
        text = latex_text(run, sentences, shown, papers.latex.parent)
        _write(papers.latex, text.encode("utf-8"))
    _write(paths.markdown, markdown_text(run, sentences, drawings).encode("utf-8"))
    _write(paths.html, html_text(run, sentences, drawings).encode("utf-8"))
    return paths


def _write_figures(folder: Path, drawings: list[Drawing]) -> tuple[Path, ...]:
    written = []
    for drawing in drawings:
        forms = {"png": drawing.png, "svg": drawing.svg.encode("utf-8"), "pdf": drawing.pdf}
        for ending, data in forms.items():
            path = folder / f"{drawing.name}.{ending}"
            if data:
                _write(path, data)
                written.append(path)
    for old in folder.glob("*.*"):  # of an earlier report on the same run
        if old.suffix in (".png", ".svg", ".pdf") and old not in written:
            old.unlink()
    return tuple(written)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def html_text(run: RunData, sentences: list[Sentence], drawings: list[Drawing]) -> str:
    """Return the page; it loads nothing, and no text of the run is taken for markup or code."""
    from markupsafe import Markup

    environment = page_environment()
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    context = _context(run, sentences)
    preferred = axis_metric(lookup(run.results), list(run.generators), "alignment")
    gallery = build_gallery(run, preferred)
    return environment.get_template("report.html.j2").render(
        **context,
        style=Markup("\n".join((TEMPLATES / s).read_text(encoding="utf-8") for s in _STYLES)),
        script=Markup(script),
        script_hash=digest,
        gallery=gallery,
        edits=shown_edits(run, preferred),
        gallery_data=Markup(gallery.data),
        **{place: _inlined(drawings, place) for place in ("figures", "steps", "curves")},
    )


def _inlined(drawings: list[Drawing], place: str) -> list[tuple[Drawing, Markup]]:
    """The drawings of a section, as elements of the page."""
    from markupsafe import Markup

    chosen = [drawing for drawing in drawings if _place(drawing) == place]
    return [(d, Markup(inline_svg(d.svg, f"{place}{k}"))) for k, d in enumerate(chosen)]


def _place(drawing: Drawing) -> str:
    beginnings = {"training": "curves", "steps": "steps"}
    return beginnings.get(drawing.name.partition("_")[0], "figures")


def _context(run: RunData, sentences: list[Sentence]) -> dict[str, Any]:
    styles = looks(run.generators)
    return {
        "run": run,
        "origins": Origins.of(run),
        "headline_origins": Origins.of(run, run.headline),
        "sentences": sentences,
        "cards": key_cards(run, sentences),
        "looks": styles,
        "families": {n: family_name(f) for n, f in run.generators.items()},
        "family_colours": FAMILY_COLOURS,
        "tables": wide_tables(run),
        "differences": difference_table(run),
        "ranking": ranking(run),
        "protocols": list(protocols(run)),
        "paragraph": protocol_paragraph(run),
        "category_tables": category_tables(run),
        "denoising": (shown := denoising(run)),
        "without_steps": without_steps(run, shown),
        "training": training_rows(run),
        "health": training_health(run),
        "settings": {n: settings_text(f) for n, f in run.generators.items()},
        "environment": environment_rows(run),
        "explanations": explanations,
        "suite": suite_rows(run),
        "packages": package_rows(run),
        "commands": commands(run),
        "failures": failure_reasons(run),
        "warnings": [*run.record.warnings, *run.notices],
    }
