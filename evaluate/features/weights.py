"""Whether the weights of an encoder are on this machine, and if not, whether they can be fetched.

Libraries that fetch weights try for minutes where there is no network; here one brief question
decides before they are asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gandiff.common.errors import MetricError
from gandiff.evaluate.features.encoders import encoder_module, is_shipped

_SECONDS = 5.0  # for a server to answer
HUB = "https://huggingface.co"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Missing:
    """Weights that are not here: which, the address that they come from, what else can be done."""

    what: str
    url: str
    advice: str

    def error(self, reason: str) -> MetricError:
        """That they cannot be fetched either."""
        return MetricError(
            f"{self.what} and {self.url} cannot be reached ({reason}); {self.advice}"
        )


def missing_weights(encoder: str, weights: Mapping[str, str] | None = None) -> Missing | None:
    """What is missing on this machine of an encoder's weights; nothing is fetched or loaded.

    Raises ``MetricError`` for weights that are named and are not there.
    """
    if is_shipped(encoder):
        return None
    module, variant, source = encoder_module(encoder, weights or {})
    missing: Missing | None = module.missing(variant=variant, source=source)
    return missing


def check_weights(encoder: str, weights: Mapping[str, str]) -> None:
    """Raise ``MetricError`` at once if weights are missing and their server does not answer."""
    missing = missing_weights(encoder, weights)
    if missing is not None and (reason := _no_answer(missing.url)):
        raise missing.error(reason)


def forbidden(url: str) -> str | None:
    """What keeps this machine from asking for an address, without a look at the network."""
    from huggingface_hub import constants

    offline = url.startswith(HUB) and constants.HF_HUB_OFFLINE
    return "HF_HUB_OFFLINE is set" if offline else None


def _no_answer(url: str) -> str | None:
    """Why a server does not answer, whatever it would say; None if it does."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if reason := forbidden(url):
        return reason
    if url.startswith(HUB):
        from huggingface_hub import constants

        url = constants.ENDPOINT
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_SECONDS):
            return None
    except (HTTPError, HTTPException):
        return None  # an answer all the same
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
