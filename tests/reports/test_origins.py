"""What a report says of images that were made elsewhere: nothing that it cannot know."""

import json
import re
from pathlib import Path

import pytest

from gandiff.reports.document import write_report
from gandiff.reports.gallery import build_gallery
from gandiff.reports.protocol_paragraph import protocol_paragraph
from gandiff.reports.reading import load_run

SAME_SEED = "each generator with the same seed"
SEEDS = "The seed of an image follows from the run seed"


def look_up(folder: Path, *names: str, pattern: str | None = None) -> Path:
    """Say of generators that their images are files, as ``type: folder`` does."""
    record = json.loads((folder / "run.json").read_text())
    for name in names:
        record["generators"][name].update(cost="lookup", settings={"pattern": pattern})
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def words(path: Path) -> str:
    text = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_of_images_made_elsewhere_no_seed_and_no_machine_is_named(make_run):
    folder = look_up(make_run(prompts=3, generators=("gan", "ddim-20")), "gan", "ddim-20")
    run = load_run(folder)
    protocol = protocol_paragraph(run)
    assert "The images of gan and ddim-20 were made elsewhere." in protocol
    assert "gan has" not in protocol  # its traits stand between
    assert ") has 6 of 6 images." in protocol
    assert "generated on" not in protocol
    assert SEEDS not in protocol
    page = words(write_report(folder).html)
    assert SAME_SEED not in page
    assert SEEDS not in page
    assert "same seeds" not in page
    assert "; made elsewhere: gan and ddim-20." in page
    assert "sample 1 sample 2" in page
    for prompt in build_gallery(run).prompts:
        assert prompt.seeds == (None, None)


def test_those_that_take_seeds_are_named_beside_them(make_run):
    folder = look_up(make_run(prompts=3, generators=("gan", "ddim-20", "dpm-4")), "gan")
    run = load_run(folder)
    protocol = protocol_paragraph(run)
    assert "The images of gan were made elsewhere." in protocol
    assert "Images of ddim-20 and dpm-4 were generated on cpu" in protocol
    assert "all generators that take seeds" in protocol
    page = words(write_report(folder).html)
    assert SAME_SEED not in page
    assert "and the same seeds for ddim-20 and dpm-4" in page
    assert "the same for every generator but gan, made elsewhere" in page
    prompt = build_gallery(run).prompts[1]
    assert all(picture.seed is None for picture in prompt.rows["gan"])
    assert tuple(picture.seed for picture in prompt.rows["dpm-4"]) == prompt.seeds != (None, None)


def test_a_seed_in_the_names_of_files_means_something(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    run = load_run(look_up(folder, "gan", pattern="{prompt_id}_{seed}"))
    assert all(p.seed is not None for p in build_gallery(run).prompts[0].rows["gan"])
    assert "Images of ddim-20 were generated" in protocol_paragraph(run)


@pytest.mark.parametrize("names", [("gan",), ("gan", "ddim-20")])
def test_where_all_are_made_here_all_is_said(make_run, names):
    folder = make_run(prompts=3, generators=names)
    page = words(write_report(folder).html)
    assert (SAME_SEED in page) == (len(names) > 1)
    assert "The same prompt and the same seeds for every generator" in page
    assert "it is the same for every generator; each is in images.jsonl." in page
    assert "Images were generated on cpu" in protocol_paragraph(load_run(folder))
