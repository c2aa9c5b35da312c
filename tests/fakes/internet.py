"""A fake of the internet: every HTTP request of `requests` and httpx goes to one server on loopback, which counts it.

Too long texts are refused as by the receiver of that host.

Redirected below both libraries, so that what they would put on the wire is on a wire.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import httpx
import requests

from tests.fakes.receiver_limits import refusal
from tests.lab.process import HANGS_SECONDS

PLAIN_REPLIES = {"hooks.slack.com": b"ok"}


@dataclass
class FakeInternet:
    status: int = 200
    reply: bytes = b'{"ok": true, "success": true, "requestId": "r-1", "status": "success", "code": 0}'
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """(host, path with its query, body), in order; a JSON body is parsed."""

    @property
    def bodies(self) -> list[Any]:
        return [body for _, _, body in self.requests]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        data = content.decode("utf-8", "replace")
        try:
            body = json.loads(data)
        except ValueError:
            body = data
        _, host, path = handler.path.split("/", 2)
        self.requests.append((host, f"/{path}", body))
        handler.send_response(refusal(host, f"/{path}", content) or self.status)
        reply = PLAIN_REPLIES.get(host, self.reply)
        handler.send_header("Content-Length", str(len(reply)))
        handler.end_headers()
        handler.wfile.write(reply)


@contextmanager
def fake_internet() -> Iterator[FakeInternet]:
    internet = FakeInternet()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            internet.answer(self)

        do_GET = do_PUT = do_DELETE = do_POST

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()

        def redirected(url: str) -> str:
            parts = urlsplit(url)
            query = f"?{parts.query}" if parts.query else ""
            return f"http://127.0.0.1:{server.server_address[1]}/{parts.hostname}{parts.path or '/'}{query}"

        send, handle = requests.adapters.HTTPAdapter.send, httpx.HTTPTransport.handle_request

        def by_requests(self: Any, request: Any, *args: Any, **more: Any) -> Any:
            request.url = redirected(request.url)
            return send(self, request, *args, **more)

        def by_httpx(self: Any, request: httpx.Request) -> httpx.Response:
            request.url = httpx.URL(redirected(str(request.url)))
            return handle(self, request)

        try:
            with (
                mock.patch.object(requests.adapters.HTTPAdapter, "send", by_requests),
                mock.patch.object(httpx.HTTPTransport, "handle_request", by_httpx),
                mock.patch("console.engine.notify.senders.unreachable_reason", return_value=""),
                mock.patch("apprise.url.URLBase.throttle"),  # it waits up to 5.5 s between two requests
            ):
                yield internet
        finally:
            server.shutdown()
            thread.join(HANGS_SECONDS)
