"""What becomes of one delivery: what the receiver said, when it is tried again, and when it says that it may repeat."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from console.engine import outbox
from console.engine.outbox import send_by_apprise

SECONDS = 10.0


@contextmanager
def web_hook(answer: Callable[[str], int]) -> Iterator[str]:
    """The apprise URL of a server that says for each path which status it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answer(self.path))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(SECONDS)


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "pagerduty://integrationkey@apikey",
        "ntfy://a-topic",
    ],
)
def test_a_token_in_the_place_of_the_host_is_not_looked_for_on_the_network(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for, it is never found: no such alert would ever leave, and the token would be told as an error."""
    import apprise

    monkeypatch.setattr(outbox.socket, "create_connection", _refuse)
    assert "" == outbox._unreachable(apprise.Apprise.instantiate(url))


def _refuse(*_: object) -> None:
    raise OSError("nobody is asked")


def test_a_server_of_ones_own_behind_a_proxy_is_not_looked_for_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    monkeypatch.setenv("http_proxy", "http://proxy.internal:3128")
    monkeypatch.setattr(outbox.socket, "create_connection", _refuse)
    assert "" == outbox._unreachable(
        apprise.Apprise.instantiate("mmost://chat.internal/3ccdd113474722377935511fc85d3dd4")
    )


def test_where_nobody_listens_the_wire_was_not_touched() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        port = gone.server_address[1]
    sent = send_by_apprise(f"json://127.0.0.1:{port}/", "title", "body")
    assert (False, f"127.0.0.1:{port}: Connection refused") == (sent.arrived, sent.words)


def test_a_refusal_is_heard_although_another_sending_ended_meanwhile() -> None:
    """Senders share apprise's one logger; each must hear its own receiver."""
    begun, over = threading.Event(), threading.Event()
    entered = threading.Event()

    def answer(path: str) -> int:
        if path == "/taken":
            entered.set()
            assert begun.wait(SECONDS)
            return 200
        begun.set()
        assert over.wait(SECONDS)
        return 500

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # as the engine's logs are set up
    said: list[outbox.Sent] = []
    with web_hook(answer) as url:
        first = threading.Thread(target=lambda: said.append(send_by_apprise(f"{url}/taken", "title", "body")))
        first.start()
        assert entered.wait(SECONDS)
        second = threading.Thread(target=lambda: said.append(send_by_apprise(f"{url}/refused", "title", "body")))
        second.start()
        first.join(SECONDS)
        over.set()
        second.join(SECONDS)
    assert [True, False] == [one.arrived for one in said]
    assert "error=500" in said[1].words
