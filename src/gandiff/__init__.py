"""Compare GANs with diffusion models: the same prompts, seeds, measures and machine for all.

Importing this module is free: each public name is looked up on first use, so nothing heavy is
loaded until it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gandiff.evaluate.metric import Metric, MetricInput, MetricOutput
    from gandiff.evaluate.result import About, Interval, MetricResult, MetricSpec
    from gandiff.experiments.api import compare, run
    from gandiff.experiments.config.load import load_comparison
    from gandiff.experiments.config.types import Comparison
    from gandiff.experiments.draw.draw import draw
    from gandiff.experiments.scoring.folders import score_folders
    from gandiff.models.generator import Generation, GenerationRequest, Generator, GeneratorInfo
    from gandiff.reports.opened import open_run

__version__ = "0.1.0"

__all__ = [
    "About",
    "Comparison",
    "Generation",
    "GenerationRequest",
    "Generator",
    "GeneratorInfo",
    "Interval",
    "Metric",
    "MetricInput",
    "MetricOutput",
    "MetricResult",
    "MetricSpec",
    "__version__",
    "compare",
    "draw",
    "load_comparison",
    "open_run",
    "run",
    "score_folders",
]

_HOME = {
    "About": "gandiff.evaluate.result",
    "Comparison": "gandiff.experiments.config.types",
    "Generation": "gandiff.models.generator",
    "GenerationRequest": "gandiff.models.generator",
    "Generator": "gandiff.models.generator",
    "GeneratorInfo": "gandiff.models.generator",
    "Interval": "gandiff.evaluate.result",
    "Metric": "gandiff.evaluate.metric",
    "MetricInput": "gandiff.evaluate.metric",
    "MetricOutput": "gandiff.evaluate.metric",
    "MetricResult": "gandiff.evaluate.result",
    "MetricSpec": "gandiff.evaluate.result",
    "compare": "gandiff.experiments.api",
    "draw": "gandiff.experiments.draw.draw",
    "load_comparison": "gandiff.experiments.config.load",
    "open_run": "gandiff.reports.opened",
    "run": "gandiff.experiments.api",
    "score_folders": "gandiff.experiments.scoring.folders",
}


def __getattr__(name: str) -> object:
    """Import the module that holds a public name, the first time that the name is used."""
    if name not in _HOME:
        raise AttributeError(f"module 'gandiff' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
