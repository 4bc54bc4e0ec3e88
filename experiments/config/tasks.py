"""The task of a comparison and what goes with it, and files that hold several tasks."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.common.errors import MetricError, RequestError, dotted, show
from gandiff.common.validation import FieldPath
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.overrides import write_out
from gandiff.experiments.config.types import OF_EDITS, Comparison
from gandiff.experiments.config.yaml_source import Document
from gandiff.experiments.plugins.registry import metric_class
from gandiff.models.tasks import SOURCES, TASKS, takes_strength


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
    pictures = SOURCES[comparison.task]
    for option, serves in {"control": "control_image" in pictures, "resolution": pictures}.items():
        if getattr(suite, option) is not None and not serves:
            problem = f"is for pictures that the task {comparison.task} does not take; leave it out"
            raise document.error(("suite", option), problem)


KEY = "tasks"


def refuse_tasks(document: Document) -> None:
    """Raise the document's error for several tasks where one comparison is wanted."""
    if KEY in document.data:
        raise document.error(
            (KEY,),
            "a comparison of one task must be given here; write its task: and leave this out",
        )


def split_tasks(document: Document) -> dict[str, Document]:
    """A document of each task of a file: what stands under ``tasks`` takes the place of what holds
    for all, setting by setting. Of the metrics for all, each has those that are for its task.

    What is wrong with a field is an error at the line where it was written.
    """
    tasks = document.data.pop(KEY)
    if not isinstance(tasks, Mapping) or not tasks:
        problem = f"must map the name of each task to what differs for it, got {show(tasks)}"
        raise document.error((KEY,), problem)
    documents = {}
    for name, given in tasks.items():
        if given is not None and not isinstance(given, Mapping):
            raise document.error((KEY, name), f"must be a mapping of fields, got {show(given)}")
        documents[name] = _of_task(document, name, dict(given or {}))
    return documents


def _of_task(document: Document, name: str, given: dict[str, Any]) -> Document:
    if KEY in given:
        raise document.error((KEY, name, KEY), "a task has no tasks of its own")
    write_out(given)
    _refuse_overridden(document, name, given)
    data = _merged(copy.deepcopy(document.data), given)
    if "task" not in given and name in TASKS and data.setdefault("task", name) != name:
        problem = f"is {show(data['task'])}, and {KEY}: has {name}; leave it out"
        raise document.error(("task",), problem)
    if "task" not in data:
        named = ", ".join(TASKS)
        raise document.error((KEY, name), f"is no task, so it needs 'task:', one of {named}")
    metrics = data.get("metrics")
    if "metrics" not in given and isinstance(metrics, list):
        data["metrics"] = [text for text in metrics if _serves(text, data["task"])]
    data["name"] = f"{data.get('name')}-{name}"
    written = {field: (KEY, name, *field) for field in _leaves(given)}
    return Document(
        origin=document.origin,
        data=data,
        places=document.places,
        written={**document.written, **written},
    )


def _refuse_overridden(document: Document, name: str, given: Mapping[str, Any]) -> None:
    """Refuse ``--set`` of what holds for all where this task has its own."""
    own = list(_leaves(given))
    for field, place in document.places.items():
        if place.startswith("--set ") and any(field[: len(one)] == one for one in own):
            raise RequestError(
                f"{place}: the task {name} has its own; write {KEY}.{name}.{dotted(field)}"
            )


def _merged(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in given.items():
        there = base.get(key)
        if isinstance(value, Mapping) and isinstance(there, dict):
            base[key] = _merged(there, value)
        else:
            base[key] = copy.deepcopy(value)
    return base


def _leaves(given: Mapping[str, Any], inside: FieldPath = ()) -> Iterator[FieldPath]:
    for key, value in given.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*inside, key))
        else:
            yield (*inside, key)


def _serves(text: Any, task: str) -> bool:
    """Whether a metric is for a task; what cannot be read is left for the checks."""
    with contextlib.suppress(MetricError, RequestError, TypeError):
        tasks = getattr(metric_class(MetricSpec.parse(text)), "tasks", ())
        return not tasks or task in tasks
    return True
