"""A kubelet of ours, for logs only: the real API server requests a container's log from it, and it has one text."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit


class FakeKubelet:
    """`lines`: a time, a space and the words of each, in their order; what every container wrote."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="headway-kubelet-")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = self._tls().wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> FakeKubelet:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    def log(self, query: str) -> bytes:
        """As a kubelet answers: from a second on, the last lines, with or without times, so many bytes."""
        values = {name: values[0] for name, values in parse_qs(query).items()}
        lines = [line for line in self.lines if line[:19] >= values.get("sinceTime", "")[:19]]
        lines = lines[-int(values["tailLines"]) :] if "tailLines" in values else lines
        if values.get("timestamps") != "true":
            lines = [line.partition(" ")[2] for line in lines]
        body = "".join(f"{line}\n" for line in lines).encode()
        return body[: int(values["limitBytes"])] if "limitBytes" in values else body

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                split_result = urlsplit(self.path)
                body = kubelet.log(split_result.query) if split_result.path.startswith("/containerLogs/") else b""
                self.send_response(200 if body else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the tests' output is theirs."""

        return Handler

    def _tls(self) -> ssl.SSLContext:
        key, certificate = (Path(self._folder.name) / name for name in ("key.pem", "cert.pem"))
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=node1"]
        subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context
