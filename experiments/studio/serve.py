"""The page behind an address of this machine, which nobody else can reach."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gandiff.common.errors import RequestError
from gandiff.experiments.studio.cards import TEMPLATES
from gandiff.experiments.studio.studio import Studio

if TYPE_CHECKING:
    import uvicorn

HOST, PORT = "127.0.0.1", 7860
_TRIED = 20  # ports, from the first one on, where none was asked for
# The browser fetches nothing from elsewhere, whatever a page asks for. Gradio builds functions from
# the templates of its components, and styles its elements in place.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'; "
    "frame-ancestors 'none'"
)


def open_port(port: int | None) -> socket.socket:
    """A socket at this port of this machine, or at the first free one from ``PORT`` on.

    Raises ``RequestError`` where it is taken.
    """
    for number in range(PORT, PORT + _TRIED) if port is None else [port]:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, number))
            return bound
        except OSError as error:
            bound.close()
            problem = error.strerror or error
    asked = f"port {port} cannot" if port else f"none of the ports {PORT} to {number} can"
    raise RequestError(f"{asked} be used: {problem}; choose another one with --port")


def serve(studio: Studio, bound: socket.socket, ready: Callable[[str], Any]) -> None:
    """Serve the page until the process is interrupted; ``ready`` is given its address."""
    with tempfile.TemporaryDirectory(prefix="gandiff-studio-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # what people bring goes with the studio
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        running = server(studio)
        bound.listen()  # who is given the address may come at once
        ready(f"http://{HOST}:{bound.getsockname()[1]}")
        running.run(sockets=[bound])
        if running.started:  # only Ctrl-C ends it, which uvicorn sometimes keeps to itself
            raise KeyboardInterrupt


class _Shielded:
    """An ASGI application whose pages fetch nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import ClientDisconnect

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy]}
            await send(message)

        with contextlib.suppress(ClientDisconnect):  # a tab was closed
            await self._app(scope, receive, send_with_policy)


def server(studio: Studio) -> uvicorn.Server:
    """A server of the page, which is not running yet."""
    import fastapi
    import gradio as gr
    import uvicorn
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from gandiff.experiments.studio.page import Page

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    app = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        Page(studio).build(),
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=True,
        max_file_size="64mb",
        theme=gr.themes.Default(**fonts),
        css_paths=[TEMPLATES / "studio.css"],
    )
    # Open tabs hold a connection, for which the end does not wait.
    shielded = TrustedHostMiddleware(_Shielded(app), [HOST, "localhost"])  # no other name of it
    config = uvicorn.Config(shielded, log_level="warning", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)
