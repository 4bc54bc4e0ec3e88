from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from gandiff.common.errors import SettingError
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.settings import FolderSettings, GanSettings


def test_defaults_are_those_of_the_design() -> None:
    assert GanSettings().weights == "gan-scenes"
    settings = DiffusersSettings(pipeline="diffusion-scenes")
    assert (settings.num_inference_steps, settings.guidance_scale) == (None, None)
    assert settings.scheduler is None
    assert not settings.allow_pickle


def test_whole_numbers_become_floats_where_floats_are_meant() -> None:
    settings = DiffusersSettings(pipeline="x", guidance_scale=7)
    assert isinstance(settings.guidance_scale, float)
    assert isinstance(GanSettings(truncation_psi=1).truncation_psi, float)


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (GanSettings, {"weights": ""}, "weights: must be text that is not empty, got ''"),
        (
            GanSettings,
            {"truncation_psi": -0.1},
            "truncation_psi: must be between 0 and 2, got -0.1",
        ),
        (GanSettings, {"truncation_psi": "0.7"}, "truncation_psi: must be a number, got '0.7'"),
        (GanSettings, {"truncation_psi": float("nan")}, "truncation_psi: must be a finite number"),
        (GanSettings, {"truncation_pis": 1}, "unknown field; did you mean 'truncation_psi'?"),
        (DiffusersSettings, {"pipeline": 3}, "pipeline: must be text, got 3"),
        (DiffusersSettings, {"scheduler": "dimm"}, "did you mean 'ddim'?"),
        (
            DiffusersSettings,
            {"scheduler": "edm_euler"},
            "scheduler: there is no scheduler named 'edm_euler'",
        ),
        (DiffusersSettings, {"num_inference_steps": 0}, "must be at least 1, got 0"),
        (DiffusersSettings, {"num_inference_steps": 2.5}, "must be a whole number, got 2.5"),
        (DiffusersSettings, {"num_inference_steps": True}, "must be a whole number, got true"),
        (DiffusersSettings, {"guidance_scale": -1}, "guidance_scale: must be at least 0, got -1"),
        (DiffusersSettings, {"height": 64}, "give both height and width or neither"),
        (DiffusersSettings, {"height": 64, "width": 60}, "width: must be a multiple of 8, got 60"),
        (
            DiffusersSettings,
            {"family": "gan"},
            "family: must be one of diffusion, distilled, hybrid, got 'gan'",
        ),
        (DiffusersSettings, {"allow_pickle": "yes"}, "must be true or false, got 'yes'"),
        (DiffusersSettings, {"extra": {"generator": 1}}, "extra: must not hold 'generator'"),
        (DiffusersSettings, {"extra": [1]}, "extra: must be a mapping of names to values, got a"),
        (DiffusersSettings, {"scheduler_options": {1: 2}}, "scheduler_options.1: must be text"),
        (FolderSettings, {"folder": " "}, "folder: must be text that is not empty, got ' '"),
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
        (FolderSettings, {"pattern": "a.png"}, "pattern: 'a.png' names one file for all prompts"),
        (FolderSettings, {"pattern": "{sample"}, "cannot be read"),
        (FolderSettings, {"pattern": "{prompt_id:05d}"}, "has a format that does not fit"),
        (FolderSettings, {"resize": 0}, "resize: must be at least 1, got 0"),
        (FolderSettings, {"resize_filter": "cubic"}, "did you mean 'bicubic'?"),
    ],
)
def test_bad_settings_are_refused(cls: type, settings: dict[str, Any], message: str) -> None:
    required = {DiffusersSettings: {"pipeline": "x"}, FolderSettings: {"folder": "x"}}.get(cls, {})
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
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
