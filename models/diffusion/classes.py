"""What the pipeline classes of the installed diffusers take and make, read from its source."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
from collections.abc import Container, Iterable, Iterator, Mapping

from gandiff.models.diffusion.class_source import (
    Argument,
    arguments_of,
    class_files,
    class_node,
    literal,
    method,
)

# What a call takes that is no text, where it cannot do without.
_INPUT = re.compile(r"(^|_)(image|mask|video|frames|hint|boxes|depth_map|conditions)(_|$)")
_PRIOR_GIVES = {"image_embeds", "image_embeddings", "negative_image_embeds"}
# What a pipeline gives, by a field of its output.
_GIVES = {
    "frames": "makes videos",
    "audios": "makes sound",
    "texts": "writes text",
    "prediction": "measures an image",
    "rgb": "makes images with their depth",
    "image_embeds": "makes image embeddings, half of the way to an image",
    "image_embeddings": "makes image embeddings, half of the way to an image",
    "prompt_embeds": "makes embeddings, half of the way to an image",
}
# The same by an argument of its call, where the output holds lists of images.
_COUNTS = {
    "video_length": "makes videos",
    "num_frames": "makes videos",
    "frame_size": "makes three-dimensional shapes",
}
# How the needs of a class are put, by a word in its name; the words of the second table also name
# those whose signature does not say that they need an image.
_DOES = {
    "Inpaint": "fills a masked part of an image",
    "Fill": "fills a masked part of an image",
    "PaintByExample": "fills a masked part of an image",
    "Upscale": "enlarges an image",
    "SuperResolution": "enlarges an image",
    "ImageVariation": "varies an image",
    "Depth2Img": "redraws an image with its depth",
    "Control": "needs a control image",
    "Adapter": "needs a control image",
    "GLIGEN": "needs a layout",
    "CycleDiffusion": "edits an image",
    "DiffEdit": "edits an image",
    "Blip": "needs an image of its subject",
}
_EDITS = {
    "EditP": "edits an image",
    "Pix2Pix": "edits an image",
    "Layered": "splits an image into layers",
    "Refiner": "refines an image",
    "Onnx": "runs in ONNX Runtime, not in PyTorch",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineClass:
    """A pipeline class: arguments of its call, its parts with whether it needs them, what the
    output of its call holds (nothing where another pipeline makes it).

    ``heights`` are the expressions that its call takes where no height is given, and ``assigned``
    those that it keeps under a name when it is built.
    """

    name: str
    arguments: Mapping[str, Argument]
    parts: Mapping[str, bool]
    output: frozenset[str]
    heights: tuple[str, ...] = ()
    assigned: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_decoder(self) -> bool:
        """Whether it needs what another pipeline, the prior, makes of a text."""
        return any(name in _PRIOR_GIVES and a.required for name, a in self.arguments.items())


@functools.cache
def pipeline_class(name: str) -> PipelineClass | None:
    """The pipeline class of this name, None if the installed diffusers has no such class."""
    node = class_node(name) if "Pipeline" in name and not name.endswith("Output") else None
    if node is None:
        return None
    call, build = method(node, "__call__"), method(node, "__init__")
    parts = arguments_of(build)
    optional = _optional(node)
    return PipelineClass(
        name=name,
        arguments=arguments_of(call),
        parts={part: a.required and part not in optional for part, a in parts.items()},
        output=frozenset(_output(name, call) if call else ()),
        heights=tuple(_heights(call) if call else ()),
        assigned=dict(reversed([*_assigned(build)]) if build else ()),  # the first counts
    )


def called_class(name: str, parts: Container[str] | None = None) -> str:
    """The class that makes images from text out of what was saved as the class ``name``.

    What redraws images (Img2Img) has the weights of text-to-image, and what decodes the embeddings
    of a prior is called through both at once. ``parts`` are those that were saved; a class that
    needs others is not meant.
    """
    plain = name.replace("Img2Img", "")
    known = pipeline_class(plain)
    lacking = (
        known is not None
        and parts is not None
        and any(needed and part not in parts for part, needed in known.parts.items())
    )
    if known is None or lacking:
        return name
    combined = plain.replace("Decoder", "").replace("Pipeline", "CombinedPipeline")
    return combined if known.is_decoder and pipeline_class(combined) else plain


def task_problem(known: PipelineClass, given: Iterable[str] = ()) -> str | None:
    """Why a pipeline class does not make an image of a text alone; None if it does.

    ``given`` are further arguments that it will be called with. The answer continues "which".
    """
    name, arguments = known.name, known.arguments
    signs = {
        **{s: does for s, does in _GIVES.items() if s in known.output},
        **{s: does for s, does in _COUNTS.items() if s in arguments},
    }
    if signs:
        return next(iter(signs.values()))
    named = next((does for word, does in {**_DOES, **_EDITS}.items() if word in name), None)
    edits = any(word in name for word in _EDITS)
    inputs = [
        key
        for key, a in arguments.items()
        if key == "mask_image" or (a.is_needed and _INPUT.search(key))
    ]
    if edits or inputs:
        return named or f"needs {inputs[0]!r}"
    if "prompt" not in arguments:
        return "takes no prompt"
    missing = [key for key, a in arguments.items() if a.required and key not in ("prompt", *given)]
    return f"needs {missing[0]!r}" if missing else None


def _optional(node: ast.ClassDef) -> Container[str]:
    """The parts that a class names as optional."""
    for part in node.body:
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "_optional_components":
            value = literal(part.value)
            return value if isinstance(value, list) else ()
    return ()


def _heights(call: ast.FunctionDef) -> Iterator[str]:
    """``height or THIS`` in a call."""
    for node in ast.walk(call):
        if isinstance(node, ast.BoolOp) and ast.unparse(node.values[0]) == "height":
            yield ast.unparse(node.values[-1])


def _assigned(build: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """``self.NAME = THIS`` where a class is built."""
    for node in ast.walk(build):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Attribute):
            yield target.attr, ast.unparse(node.value)


def _output(name: str, call: ast.FunctionDef) -> Iterator[str]:
    """The fields of the output classes that a call makes."""
    near = class_files()[name][0]
    for node in ast.walk(call):
        made = node.func if isinstance(node, ast.Call) else None
        if isinstance(made, ast.Name) and made.id.endswith("Output"):
            known = class_node(made.id, near)
            for field in known.body if known else ():
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id
