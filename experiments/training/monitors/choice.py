"""Which monitor measures a training."""

from __future__ import annotations

from gandiff.common.errors import MetricError, RequestError
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.training.checks import judged
from gandiff.experiments.training.monitors.base import Monitor
from gandiff.experiments.training.request import TrainingRequest


def open_monitor(request: TrainingRequest, data: CaptionedImages) -> Monitor:
    """What measures the generator at each tick; raises ``RequestError`` for what cannot."""
    if judged(request):
        from gandiff.experiments.training.monitors.scenes import SceneMonitor

        return SceneMonitor()
    from gandiff.experiments.training.monitors.files import FileMonitor

    try:
        return FileMonitor(data, request.monitor, request.device)
    except MetricError as error:  # an encoder that cannot read pictures of this size, or none
        raise RequestError(f"--monitor {request.monitor}: {error}") from error
