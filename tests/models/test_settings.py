from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from gandiff.models.settings import DiffusersSettings, FolderSettings, GanSettings


def test_defaults_are_those_of_the_design() -> None:
    assert GanSettings().weights == "gan-scenes"
    settings = DiffusersSettings(pipeline="diffusion-scenes")
    assert (settings.num_inference_steps, settings.guidance_scale) == (50, 7.5)
    assert settings.scheduler is None
    assert not settings.allow_pickle


def test_whole_numbers_become_floats_where_floats_are_meant() -> None:
    settings = DiffusersSettings(pipeline="x", guidance_scale=7)
    assert isinstance(settings.guidance_scale, float)
    assert isinstance(GanSettings(truncation_psi=1).truncation_psi, float)


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (GanSettings, {"weights": ""}, "weights is '', needed is a text"),
        (GanSettings, {"truncation_psi": -0.1}, "truncation_psi is -0.1, needed is 0 to 2"),
        (GanSettings, {"truncation_psi": "0.7"}, "truncation_psi is '0.7', needed is a number"),
        (GanSettings, {"truncation_psi": float("nan")}, "truncation_psi is nan"),
        (DiffusersSettings, {"pipeline": 3}, "pipeline is 3, needed is a text"),
        (DiffusersSettings, {"scheduler": "dimm"}, "Did you mean 'ddim'?"),
        (DiffusersSettings, {"scheduler": "edm_euler"}, "no scheduler named 'edm_euler'"),
        (DiffusersSettings, {"num_inference_steps": 0}, "whole number of 1 or more"),
        (DiffusersSettings, {"num_inference_steps": 2.5}, "num_inference_steps is 2.5"),
        (DiffusersSettings, {"num_inference_steps": True}, "num_inference_steps is True"),
        (DiffusersSettings, {"guidance_scale": -1}, "guidance_scale is -1.0, needed is 0 or more"),
        (DiffusersSettings, {"height": 64}, "give both height and width or neither"),
        (DiffusersSettings, {"height": 64, "width": 60}, "width is 60 px, needed is a multiple of"),
        (DiffusersSettings, {"family": "gan"}, "family is 'gan', needed is one of diffusion"),
        (DiffusersSettings, {"allow_pickle": "yes"}, "allow_pickle is 'yes', needed is true or"),
        (DiffusersSettings, {"extra": {"generator": 1}}, "extra may not hold 'generator'"),
        (DiffusersSettings, {"extra": [1]}, "extra is [1], needed is a mapping"),
        (DiffusersSettings, {"scheduler_options": {1: 2}}, "needed is a mapping of names"),
        (FolderSettings, {"folder": " "}, "folder is ' ', needed is a text"),
        (
            FolderSettings,
            {"pattern": "{index}", "mapping": "m.csv"},
            "pattern or mapping, not both",
        ),
        (
            FolderSettings,
            {"pattern": "{promt}.png"},
            "has the field {promt}; known are {prompt_id}",
        ),
        (FolderSettings, {"pattern": "{prompt_id.x}"}, "has the field {prompt_id.x}"),
        (FolderSettings, {"pattern": "a.png"}, "names one file for all prompts"),
        (FolderSettings, {"pattern": "{sample"}, "cannot be read"),
        (FolderSettings, {"pattern": "{prompt_id:05d}"}, "has a format that does not fit"),
        (FolderSettings, {"resize": 0}, "resize is 0"),
        (FolderSettings, {"resize_filter": "cubic"}, "needed is one of nearest, box"),
    ],
)
def test_bad_settings_are_told(cls: type, settings: dict[str, Any], message: str) -> None:
    required = {DiffusersSettings: {"pipeline": "x"}, FolderSettings: {"folder": "x"}}.get(cls, {})
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        cls(**{**required, **settings})
    assert "\n" not in str(caught.value)


def test_given_mappings_are_copied() -> None:
    extra = {"clip_skip": 1}
    settings = DiffusersSettings(pipeline="x", extra=extra)
    extra["eta"] = 0
    assert settings.extra == {"clip_skip": 1}


def test_importing_settings_and_generators_needs_no_torch() -> None:
    code = (
        "import sys, gandiff.models.settings, gandiff.models.folder, gandiff.models.callable, "
        "gandiff.models.diffusion.pipeline; "
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
