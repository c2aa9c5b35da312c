"""Which alertmanager:// URLs are refused, and what check and init say of them."""

from __future__ import annotations

import pytest

from console.cli.configure import _url_fault, send_test_message
from console.engine.notify.alertmanager import is_alertmanager
from tests.lab.sinks import Behaviour, HttpSink


@pytest.mark.parametrize(
    "url, fault",
    [
        ("alertmanager://am.example.com", ""),
        ("alertmanagers://ann:CANARY@am.example.com:443/prefix", ""),
        ("alertmanager://ann:CANARY@127.0.0.1:9093", ""),
        ("alertmanager://ann:CANARY@am.example.com", "password would cross the network unencrypted"),
        ("alertmanager://", "server: missing"),
        ("alertmanager://am:99999", "server or port: unreadable"),
        ("alertmanager://am?x=1", "nothing may follow the path"),
    ],
)
def test_check_names_the_wrong_part_without_the_password(url: str, fault: str) -> None:
    assert is_alertmanager(url)
    found = _url_fault(url)
    assert fault in found
    assert bool(fault) == bool(found)
    assert "CANARY" not in found


def test_a_first_route_is_tried_with_a_test_that_ends() -> None:
    sink = HttpSink()
    sink.start()
    try:
        assert "" == send_test_message(f"alertmanager://ann:pass@127.0.0.1:{sink.port}/am/")
        opened, ended = [post.data[0] for post in sink.posts]
        assert opened["labels"] == ended["labels"]
        assert (True, True) == (opened["endsAt"] > opened["startsAt"], ended["endsAt"] == ended["startsAt"])
        assert {"/am/api/v2/alerts"} == {post.path for post in sink.posts}
        assert sink.posts[0].headers["Authorization"].startswith("Basic ")
        sink.behaviour = Behaviour(status=503)
        assert "HTTP 503: ok" == send_test_message(f"alertmanager://127.0.0.1:{sink.port}")
    finally:
        sink.stop()
