"""What a pipeline directory holds, read from its small files; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.words import with_article
from gandiff.models.diffusion.class_source import missing_packages
from gandiff.models.diffusion.classes import called_class, pipeline_class, task_problem
from gandiff.models.diffusion.folders import no_pipeline
from gandiff.models.diffusion.parts import INDEX, PICKLES, WEIGHTS, check_part, variant_of
from gandiff.models.diffusion.task_classes import ONE_TASK

# Never loaded, so it need not be there: see diffusion.loading.
_SKIPPED = ("safety_checker",)
_INPAINTERS = ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
# What the transformers of FLUX read.
_PACKED: Mapping[str, str] = {
    "FluxPipeline": "noise",
    "FluxControlPipeline": "noise and control image",
    "FluxFillPipeline": "noise, known pixels and mask",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineIndex:
    """The class of a pipeline and the names of its parts with (library, class); ``named`` are also
    those that it does without, and its own settings.
    """

    class_name: str
    parts: Mapping[str, tuple[str, str]]
    named: frozenset[str]

    @property
    def called(self) -> str:
        """The class that makes images from text out of these parts (``called_class``)."""
        return called_class(self.class_name, self.named)


def read_index(
    path: Path, where: str, given: Iterable[str] = (), *, any_task: bool = False
) -> PipelineIndex:
    """Read a ``model_index.json``; raise ``GeneratorError`` if it is not a text-to-image pipeline.

    ``where`` names the pipeline in the error, ``given`` are further arguments that it will be
    called with. ``any_task`` takes every pipeline, such as the later stages of a cascade.
    """
    raw = read_json(path, GeneratorError)
    class_name = raw.get("_class_name")
    if isinstance(class_name, list):
        raise _own_code(where, str(class_name[0]))
    if not isinstance(class_name, str):
        raise GeneratorError(f"{path} has no _class_name, so it is not the index of a pipeline")
    parts = {
        name: (str(value[0]), str(value[1]))
        for name, value in raw.items()
        if isinstance(value, list) and [type(word) for word in value] == [str, str]
    }
    index = PipelineIndex(class_name=class_name, parts=parts, named=frozenset(raw))
    known = pipeline_class(class_name)
    if known is None:
        raise _unknown_class(class_name, raw, where)
    if lacking := missing_packages(index.called):
        raise GeneratorError(
            f"{where} holds a {class_name}, for which diffusers needs {', '.join(lacking)}; "
            f"pip install {' '.join(lacking)}"
        )
    if not any_task:
        _check_task(index, raw, where, given)
    missing = [name for name, needed in known.parts.items() if needed and name not in raw]
    if missing:
        raise GeneratorError(
            f"{where} holds {with_article(class_name)}, which needs {missing[0]!r}, and "
            f"its {INDEX} does not "
            "name that; copy or download the whole pipeline again"
        )
    return index


def check_directory(
    directory: Path,
    *,
    allow_pickle: bool,
    variant: str | None,
    given: Iterable[str] = (),
    any_task: bool = False,
    without: Iterable[str] = (),
) -> PipelineIndex:
    """Check a pipeline directory without reading weights; raise ``GeneratorError`` for what will
    not work. ``given`` and ``any_task`` are those of ``read_index``; parts in ``without`` need not
    be there.

    That is: no ``model_index.json``, not text-to-image, a part that is missing or incomplete, a
    file that is torn, and weights that exist as pickles or as another variant only.
    """
    if not (directory / INDEX).is_file():
        raise no_pipeline(directory)
    index = read_index(directory / INDEX, str(directory), given, any_task=any_task)
    for name, (library, _) in index.parts.items():
        for code in (directory / name / f"{library}.py", directory / f"{library}.py"):
            if code.is_file():
                raise _own_code(str(directory), str(code))
    if variant is not None:
        _check_variant(directory, variant)
    for name, (library, kind) in index.parts.items():
        if name not in (*_SKIPPED, *without):
            check_part(directory / name, library, kind, allow_pickle, variant)
    if not any_task:
        _check_channels(directory, index)
        _check_packed(directory, index)
    return index


def _own_code(where: str, what: str) -> GeneratorError:
    return GeneratorError(
        f"{where} brings its own Python code ({what}), which gandiff does not run; "
        "expected a pipeline whose class is part of diffusers"
    )


def _unknown_class(class_name: str, raw: Mapping[str, Any], where: str) -> GeneratorError:
    saved = raw.get("_diffusers_version")
    by = f" was saved by diffusers {saved} and" if isinstance(saved, str) else ""
    return GeneratorError(
        f"{where}{by} holds {with_article(class_name)}, which the installed diffusers "
        f"{version('diffusers')} "
        "does not have; install one that has it (pip install -U diffusers)"
    )


def _check_task(
    index: PipelineIndex, raw: Mapping[str, Any], where: str, given: Iterable[str]
) -> None:
    saved, called = pipeline_class(index.class_name), pipeline_class(index.called)
    problem = task_problem(called, given) if called and index.class_name not in ONE_TASK else None
    if raw.get("requires_aesthetics_score"):  # in the refiner of Stable Diffusion XL
        problem = "refines an image"
    reads_text = any(re.search(r"text_encoder|tokenizer|bert", name) for name in index.parts)
    decodes = saved is not None and saved.is_decoder
    if not reads_text and not decodes and problem in (None, "takes no prompt"):
        problem = "has no text encoder and makes images without a prompt"
    if problem is not None:
        raise GeneratorError(
            f"{where} holds {with_article(index.class_name)}, which {problem}; "
            "expected a text-to-image pipeline, such as StableDiffusionPipeline"
        )


def _check_variant(directory: Path, variant: str) -> None:
    """Refuse a variant that no part has; where one part lacks it, the plain weights are read."""
    files = sorted(p for p in directory.rglob("*") if p.suffix in (*WEIGHTS, *PICKLES))
    if not any(variant_of(file) == variant for file in files):
        names = ", ".join(sorted({file.name for file in files}))
        raise GeneratorError(
            f"{directory} has no weights of the variant {variant!r}; it has {names}"
        )


def _check_channels(directory: Path, index: PipelineIndex) -> None:
    """Refuse a U-Net with more channels than the latents: masks and images come in by those, and
    only the classes for inpainting give them.
    """
    takes = _config(directory / "unet").get("in_channels")
    gives = _config(directory / "vae").get("latent_channels")
    if not isinstance(takes, int) or not isinstance(gives, int):
        return
    fills = index.called in _INPAINTERS
    if fills and takes not in (gives, 2 * gives + 1):
        raise GeneratorError(
            f"the U-Net of {directory} ({index.class_name}) takes {takes} channels; for inpainting "
            f"it must take {2 * gives + 1} (noise, known pixels and mask), or {gives}"
        )
    if not fills and takes != gives:
        raise GeneratorError(
            f"the U-Net of {directory} ({index.class_name}) takes {takes} channels where the "
            f"latents have {gives}, so it is a model for inpainting or editing; "
            f"expected a text-to-image pipeline, or {' or '.join(_INPAINTERS)} as its class"
        )


def _check_packed(directory: Path, index: PipelineIndex) -> None:
    """The same for the transformers of FLUX, to which 2x2 latents are one token."""
    vae = _config(directory / "vae")
    takes = _config(directory / "transformer").get("in_channels")
    own, levels = vae.get("latent_channels"), vae.get("block_out_channels")
    if index.called not in _PACKED or not isinstance(takes, int):
        return
    if not isinstance(own, int) or not isinstance(levels, list):
        return
    wanted = 4 * own
    if index.called in ONE_TASK:
        wanted *= 2
    if index.called == "FluxFillPipeline":  # the mask is packed in pixels
        wanted += 4 * 4 ** (len(levels) - 1)
    if takes != wanted:
        raise GeneratorError(
            f"the transformer of {directory} ({index.class_name}) takes {takes} channels, and must "
            f"take {wanted} ({_PACKED[index.called]}); its class must be the one that it was made "
            f"for: {', '.join(_PACKED)}"
        )


def _config(part: Path) -> dict[str, Any]:
    path = part / "config.json"
    return read_json(path, GeneratorError) if path.is_file() else {}
