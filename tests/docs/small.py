"""What the tests of README and docs put in the place of what takes long or needs a network."""

from __future__ import annotations

# A hub id is replaced by a pipeline on the disk, a large encoder by one that ships.
QUICK = "timing: {warmup: 0, repeats: 1, batch_sizes: [1]}\n"
MINE = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "toy-pipeline",
    "ViT-B-32/openai": "scenes",
    "encoder=dinov2": "encoder=scenes",
    "samples_per_prompt: 4": "samples_per_prompt: 2",
    "num_inference_steps: 20": "num_inference_steps: 3",
    "metrics:": f"{QUICK}metrics:",
}
SCENES = {
    "prompts: 128": "prompts: 4",
    "reference: {type: scenes": f"{QUICK}reference: {{type: scenes, images: 40",
}
# Of what one page times, another need not be timed again.
UNTIMED = {**MINE, "metrics:": "timing: off\nmetrics:"}
PYTHON = {
    '"prompts": 8': '"prompts": 2',
    "samples_per_prompt=2,": "samples_per_prompt=2,\n"
    '    reference={"type": "scenes", "images": 40},\n'
    '    timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},',
}
PYTHON_UNTIMED = {
    **PYTHON,
    "samples_per_prompt=2,": "samples_per_prompt=2,\n"
    '    reference={"type": "scenes", "images": 40},\n    timing="off",',
}
