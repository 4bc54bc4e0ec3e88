"""Where the hub does not answer, its client looks into the cache at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants, utils

from gandiff.common import hub_cache
from gandiff.common.errors import RequestError
from gandiff.experiments.plugins.registry import make_generator


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client would ask the hub, which is at an address where nothing listens."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    utils.close_session()
    hub_cache._ANSWERS.clear()


@pytest.fixture
def server() -> Iterator[str]:
    class Says(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Stay quiet."""

    answering = HTTPServer(("127.0.0.1", 0), Says)
    threading.Thread(target=answering.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{answering.server_port}"
    answering.shutdown()
    answering.server_close()


def test_a_hub_that_does_not_answer_is_not_asked_again(online: None) -> None:
    with hub_cache.quick_hub():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    start = time.perf_counter()
    with hub_cache.quick_hub():
        assert constants.HF_HUB_OFFLINE
    assert time.perf_counter() - start < 0.1


def test_a_hub_that_answers_is_asked(
    online: None, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", server)
    with hub_cache.quick_hub():
        assert not constants.HF_HUB_OFFLINE


def test_a_hub_id_offline_is_refused_at_once_and_taken_for_a_path(
    online: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "sdxl").mkdir(parents=True)
    start = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        make_generator("toy", "diffusers", {"pipeline": "models/sd15"}, tmp_path)
    assert time.perf_counter() - start < 10
    said = str(caught.value)
    assert "it is not in the local cache, and the hub is not reachable" in said
    assert f"pipeline as a path: {tmp_path / 'models'} has sdxl" in said
