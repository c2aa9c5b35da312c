"""A web server on a free port of this machine, answered by a function over httpx's requests and responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from tests.lab.process import HANGS_SECONDS

Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def web_server(answer: Answer) -> Iterator[str]:
    """Its address, "http://127.0.0.1:PORT". Each request is answered on a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = httpx.Request(
                self.command, f"{address}{self.path}", headers=self.headers.items(), content=content
            )
            response = answer(request)
            self.send_response(response.status_code)
            length = {} if response.status_code in (204, 304) else {"content-length": str(len(response.content))}
            for name, value in {**response.headers, **length}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = reply

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join(HANGS_SECONDS)
