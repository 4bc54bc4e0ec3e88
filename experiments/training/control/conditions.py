"""What a ControlNet is to follow, and how much of it a picture follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from gandiff.evaluate.numerics import regions
from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.facts import Scenes
from gandiff.experiments.scenes.maps import depth, outlines
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import scene_suite
from gandiff.experiments.training.control.recipe import Condition


def control_images(
    condition: Condition, scenes: Scenes, resolution: int
) -> UInt8[np.ndarray, "n h w 3"]:
    """The control images of scenes."""
    draw = outlines if condition == "outline" else depth
    return draw(scenes, resolution)


def to_control(pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[torch.Tensor, "n 3 h w"]:
    """Control images as a network reads them: 0 to 1, as diffusers' pipelines scale them."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255).contiguous()


def foreground(pictures: UInt8[np.ndarray, "n h w 3"]) -> Bool[np.ndarray, "n h w"]:
    """Pixels that are not of the background, picture by picture, as metrics see them."""
    return np.stack([regions.foreground(picture) for picture in pictures])


def overlap(
    drawn: Bool[np.ndarray, "n h w"], wanted: Bool[np.ndarray, "n h w"]
) -> Float[np.ndarray, " n"]:
    """Intersection over union of regions, picture by picture; 1 where both are empty."""
    shares = [regions.overlap(one, two) for one, two in zip(drawn, wanted, strict=True)]
    return np.nan_to_num(shares, nan=1.0)


@dataclasses.dataclass(frozen=True)
class Targets:
    """Prompts with a scene of each, whose outline or depth pictures of it have to follow."""

    captions: list[str]
    expected: list[dict[str, Any]]
    controls: UInt8[np.ndarray, "n h w 3"]
    wanted: Bool[np.ndarray, "n h w"]

    @classmethod
    def of_suite(cls, condition: Condition, resolution: int, prompts: int) -> Targets:
        """Those of the first validation prompts.

        What is wanted is the foreground of the scene itself, seen as that of pictures is, so that a
        picture that is right overlaps with it wholly.
        """
        suite = scene_suite("validation", prompts)
        scenes = [matching_scenes(one["expected"], 1, i) for i, one in enumerate(suite)]
        controls = [control_images(condition, one, resolution) for one in scenes]
        drawn = np.concatenate([render(one, resolution) for one in scenes])
        texts, facts = [one["text"] for one in suite], [one["expected"] for one in suite]
        return cls(texts, facts, np.concatenate(controls), foreground(drawn))

    def first(self, prompts: int) -> Targets:
        """Those of the first prompts."""
        rows = slice(prompts)
        return Targets(
            self.captions[rows], self.expected[rows], self.controls[rows], self.wanted[rows]
        )

    def of(self, captions: Sequence[str]) -> UInt8[np.ndarray, "n h w 3"]:
        """The control image of each caption, which must be one of the prompts."""
        return self.controls[[self.captions.index(caption) for caption in captions]]
