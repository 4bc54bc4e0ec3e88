"""Names in the records of older trainings and runs, and what they are called now.

Applied wherever a record, a checkpoint's progress or a log is read, so that the rest of the code
knows the current names alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECIPE_FIELDS = {
    "reading": "d_warmup",
    "reading_lr": "d_warmup_lr",
    "reading_lr_end": "d_warmup_lr_end",
    "sketching": "g_warmup",
    "lazy": "penalty_interval",
    "mismatches": "num_mismatched",
    "silent": "caption_dropout",
}
MEASUREMENTS = {
    "match_real": "match_loss_real",
    "match_fake": "match_loss_fake",
    "energy": "energy_score",
    "p_caption": "caption_accuracy",
    "p_caption_judge": "caption_accuracy_adversarial",
    "grad_d": "d_grad_norm",
    "grad_g": "g_grad_norm",
}
ALARMS = {
    "starved generator": "discriminator too strong",
    "blind discriminator": "discriminator at chance",
    "deaf discriminator": "captions ignored",
    "steep discriminator": "gradient penalty spike",
    "collapse within prompts": "mode collapse within prompts",
}

# What older checkpoints do not say of their networks, by label: they had nothing else.
NETWORKS: dict[str, dict[str, Any]] = {
    "autoencoder": {"autoencoder_optimizer": "adamw"},
    "denoiser": {"attention_layers": 1, "optimizer": "adamw"},
}

ABILITIES = {"text": "text_to_image", "img2img": "image_to_image"}


def current_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a run records of a generator, with the names that abilities have now."""
    abilities = facts.get("abilities")
    if not isinstance(abilities, list):
        return dict(facts)
    return {**facts, "abilities": sorted(ABILITIES.get(one, one) for one in map(str, abilities))}


def current_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """A training record, or the progress in a checkpoint, with the names of now.

    Recipes (``recipe`` and those in ``commands``), the rows of ``curve`` and the alarms in
    ``events`` are renamed; what is not of such a form is left as it is.
    """
    renamed = dict(record)
    if isinstance(record.get("recipe"), Mapping):
        renamed["recipe"] = _renamed(record["recipe"], RECIPE_FIELDS)
    if isinstance(record.get("commands"), list):
        renamed["commands"] = [
            current_names(one) if isinstance(one, Mapping) else one for one in record["commands"]
        ]
    if isinstance(record.get("curve"), list):
        renamed["curve"] = [current_row(row) for row in record["curve"]]
    if isinstance(record.get("events"), list):
        renamed["events"] = [_current_event(event) for event in record["events"]]
    return renamed


def current_networks(label: str, networks: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint of this label says of its networks, with what older ones left out."""
    return {**NETWORKS.get(label, {}), **networks}


def current_row(row: Any) -> Any:
    """A logged row of losses with the names of now."""
    return _renamed(row, MEASUREMENTS) if isinstance(row, Mapping) else row


def _current_event(event: Any) -> Any:
    if not isinstance(event, Mapping):
        return event
    alarm, _, rest = str(event.get("text")).partition(":")
    return {**event, "text": f"{ALARMS[alarm]}:{rest}"} if alarm in ALARMS else event


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
