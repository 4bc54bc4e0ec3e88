"""A package of somebody else, as CONTRIBUTING.md shows it: installed, run, and in the report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
# A metric that says nothing of itself, in the same package.
SILENT = '''

class MeanLevel(gandiff.Metric):
    """The mean of the ``grey levels``, 0 to 255.

    More that no report shows.
    """

    spec = gandiff.MetricSpec("mean_level")

    def measure(self, data):
        levels = [np.asarray(Image.open(image.path)).mean() for image in data.images]
        interval = gandiff.Interval(value=float(np.mean(levels)))
        return gandiff.MetricOutput(
            results=[gandiff.MetricResult.of(interval, metric="mean_level", unit="levels")]
        )
'''
COMPARISON = """
name: fabrics
suite: {name: fabrics}
generators:
  plain: {type: stripes, step: 20}
  bold: {type: stripes, step: 60}
metrics: [contrast, mean_level]
samples_per_prompt: 2
batch_size: 4
device: cpu
timing: {warmup: 0, repeats: 1, batch_sizes: [1]}
"""


def shown_files() -> dict[str, str]:
    """The code blocks of CONTRIBUTING.md that have a file's name, by that name."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w+ (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed in."""
    source = tmp_path_factory.mktemp("stripes")
    for name, text in shown_files().items():
        (source / name).write_text(text, encoding="utf-8")
    project = source / "pyproject.toml"
    entry = 'contrast = "gandiff_stripes:Contrast"'
    more = f'{entry}\nmean_level = "gandiff_stripes:MeanLevel"'
    project.write_text(project.read_text("utf-8").replace(entry, more), encoding="utf-8")
    with (source / "gandiff_stripes.py").open("a", encoding="utf-8") as module:
        module.write(SILENT)
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", target]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, source], check=True, timeout=200
    )
    return target


def gandiff(site: Path, *words: str | Path) -> str:
    """Run the program in a process that sees the package, and return what it prints."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from gandiff.experiments.cli import main; main()",
            *map(str, words),
        ],
        capture_output=True,
        text=True,
        cwd=site,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(site: Path) -> Path:
    """A run of its generator on its suite with its metrics."""
    (site / "fabrics.yaml").write_text(COMPARISON, encoding="utf-8")
    gandiff(site, "run", "fabrics.yaml", "--quiet")
    return site / "runs" / "fabrics"


def test_the_package_is_listed(site: Path) -> None:
    metrics = gandiff(site, "list", "metrics")
    assert "Standard deviation of the grey levels of an image, averaged over images." in metrics
    assert "stripes" in gandiff(site, "list", "generators")
    assert "fabrics" in gandiff(site, "list", "suites")


def test_the_report_speaks_of_the_metric_as_it_speaks_of_itself(run: Path) -> None:
    text = (run / "report" / "report.md").read_text(encoding="utf-8")
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    sentence = re.search(r"On diversity, bold is better: weave contrast .*", text)
    assert sentence is not None
    assert re.search(
        r"60\.\d+ levels against 20\.\d+ levels for plain, \S+ levels higher", sentence[0]
    )
    assert "95 % interval" in sentence[0]
    assert "### Texture" in text
    assert "| generator | weave contrast \u2191 |" in text
    shown = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for words in ("Texture", "weave contrast", *sentence[0].split(": ")):
        assert words in shown
    meaning = "Standard deviation of the grey levels of an image, averaged over images."
    assert f"{meaning} Higher is better." in page
    said = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert (said["contrast"]["axis"], said["contrast"]["unit"]) == ("diversity", "levels")


def test_a_metric_that_says_nothing_has_its_name_and_documentation(run: Path) -> None:
    text = (run / "report" / "report.md").read_text(encoding="utf-8")
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "### Other measures" in text
    assert "| generator | mean level |" in text
    assert "12" in text.partition("### Other measures")[2].partition("###")[0]
    assert "The mean of the grey levels, 0 to 255." in page
    assert "More that no report shows" not in page


def test_a_metric_whose_code_has_changed_is_measured_again(site: Path, run: Path) -> None:
    """The last test: it changes the package."""
    module = site / "gandiff_stripes.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace(".mean() for image", ".mean() + 1 for image"), encoding="utf-8")

    def level() -> float:
        results = pd.read_parquet(run / "results.parquet").set_index(["metric", "generator"])
        return float(results.loc[("mean_level", "plain"), "value"])

    before = level()
    gandiff(site, "score", run)
    assert level() == pytest.approx(before + 1)
    warnings = json.loads((run / "run.json").read_text(encoding="utf-8"))["warnings"]
    assert any("the sources of metrics have changed" in warning for warning in warnings)
