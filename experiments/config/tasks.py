"""The task of a comparison and what goes with it."""

from __future__ import annotations

from gandiff.experiments.config.types import OF_EDITS, Comparison
from gandiff.experiments.config.yaml_source import Document
from gandiff.models.tasks import TASKS, takes_strength


def check_task(document: Document, comparison: Comparison) -> None:
    """Raise the document's error for a strength where the task begins from no image, and for what
    only the suite of edits takes.
    """
    if comparison.strength is not None and not takes_strength(comparison.task):
        with_image = ", ".join(task for task in TASKS if takes_strength(task))
        raise document.error(
            ("strength",),
            f"is for tasks that begin from an image ({with_image}), and the task is "
            f"{comparison.task}; leave it out",
        )
    suite = comparison.suite
    for option in OF_EDITS if suite.name != "scene-edits" else ():
        if getattr(suite, option) is not None:
            problem = "is for the suite scene-edits, whose pictures are drawn; leave it out"
            raise document.error(("suite", option), problem)
