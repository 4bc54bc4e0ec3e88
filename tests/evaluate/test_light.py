"""Naming and checking metrics must not cost the import of a network library."""

import subprocess
import sys

MODULES = [
    "metrics.alignment",
    "checks",
    "metrics.diversity",
    "metrics.duplicates",
    "features.store",
    "features.cache",
    "metrics.frechet",
    "features.images",
    "numerics.kernels",
    "metrics.manifold",
    "numerics.matching",
    "metric",
    "metrics.mmd",
    "numerics.neighbours",
    "numerics.power",
    "metrics.prompt_texts",
    "numerics.proportions",
    "protocol",
    "result",
    "metrics.retrieval",
    "metrics.scene_judging",
    "numerics.statistics",
    "timing",
    "metrics.torchmetrics_bridge",
    "metrics.torchmetrics_classes",
    "metrics.unstated",
    "numerics.variation",
]
HEAVY = ["torch", "torchmetrics", "transformers", "open_clip", "scipy", "pandas"]


def test_metrics_are_named_without_torch() -> None:
    program = f"""
import importlib, sys
for name in {MODULES}:
    importlib.import_module("gandiff.evaluate." + name)
from gandiff.evaluate.metrics.alignment import ClipScore, SceneAccuracy
from gandiff.evaluate.metrics.diversity import PromptDiversity, Vendi
from gandiff.evaluate.metrics.duplicates import NearDuplicates
from gandiff.evaluate.features.encoders import encoder_names
from gandiff.evaluate.metrics.frechet import FrechetDistance
from gandiff.evaluate.metrics.manifold import Coverage, Density, Precision, Recall
from gandiff.evaluate.metrics.mmd import Cmmd, KernelDistance
from gandiff.evaluate.metrics.retrieval import RPrecision
from gandiff.evaluate.metrics.unstated import UnstatedAttributes
encoder_names()
print([str(m().spec) for m in (FrechetDistance, KernelDistance, ClipScore, SceneAccuracy,
                               PromptDiversity, Vendi, RPrecision, UnstatedAttributes, Cmmd,
                               Precision, Recall, Density, Coverage, NearDuplicates)])
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    specs, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert specs == str(
        [
            "fd(encoder=inception)",
            "kid(encoder=inception)",
            "clip_score(model=ViT-B-32/openai)",
            "scene_accuracy",
            "diversity(encoder=inception)",
            "vendi(encoder=inception)",
            "r_precision(model=ViT-B-32/openai)",
            "unstated",
            "cmmd(encoder=clip:ViT-L-14-336/openai)",
            "precision(encoder=inception,nearest_k=5)",
            "recall(encoder=inception,nearest_k=5)",
            "density(encoder=inception,nearest_k=5)",
            "coverage(encoder=inception,nearest_k=5)",
            "near_duplicates(encoder=inception)",
        ]
    )
