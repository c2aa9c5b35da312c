"""A message counts as sent only if somebody could receive it: programs of this machine may be missing."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from apprise.manager_plugins import NotificationManager

from console.engine.notify import senders
from console.engine.notify.paging import Page
from console.engine.notify.senders import send_by_apprise, unreadable_url
from tests.messages import message_of


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_syslog_is_sent_only_where_a_daemon_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: socket.SocketKind
) -> None:
    """syslog(3) reports success without one; it may be started later, so that the alert is retried."""
    place = tmp_path / "log"
    monkeypatch.setattr(senders, "SYSLOG_SOCKET", str(place))
    refused = send_by_apprise("syslog://", message_of("title", "body"), Page("a"))
    assert (False, False) == (refused.arrived, refused.for_good)
    assert f"no syslog daemon listens on {place} (No such file or directory). Fix: start one" in refused.reason
    with closing(socket.socket(socket.AF_UNIX, kind)) as daemon:
        daemon.bind(str(place))
        if kind is socket.SOCK_STREAM:
            daemon.listen()
        assert True is send_by_apprise("syslog://", message_of("title", "body"), Page("a")).arrived
    assert "Connection refused" in send_by_apprise("syslog://", message_of("title", "body"), Page("a")).reason


def test_what_no_receiver_confirms_is_never_sent() -> None:
    """rsyslog:// sends UDP; apprise reports it as sent, whether or not somebody listens."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        url = f"rsyslog://127.0.0.1:{receiver.getsockname()[1]}"
        result = send_by_apprise(url, message_of("title", "body"), Page("a"))
        assert (False, True) == (result.arrived, result.for_good)
        assert result.reason.startswith("rsyslog:// sends UDP, which no receiver confirms: not sent. Fix: ")
        with pytest.raises(BlockingIOError):
            receiver.recv(1)


@pytest.mark.parametrize(
    "url, reason",
    [
        ("windows://", "windows:// cannot be used on this machine: A local Microsoft Windows environment is required."),
        ("macosx://", "macosx:// cannot be used on this machine: "),
        ("nothing://host", "apprise cannot read the URL. Fix: check its scheme and parts"),
    ],
)
def test_a_url_that_this_machine_cannot_use_is_refused_for_good(url: str, reason: str) -> None:
    result = send_by_apprise(url, message_of("title", "body"), Page("a"))
    assert (False, True, True) == (result.arrived, result.for_good, result.reason.startswith(reason))


@pytest.mark.parametrize("packages, names", [("gntp", "gntp"), (["gntp", "six >= 1"], "gntp, six >= 1")])
def test_the_packages_that_a_receiver_needs_are_named(
    monkeypatch: pytest.MonkeyPatch, packages: str | list[str], names: str
) -> None:
    """Apprise declares one as a text, several as a list."""
    known: Any = NotificationManager
    plugin = known()["windows"]
    monkeypatch.setattr(plugin, "requirements", {"packages_required": packages})
    text = unreadable_url("windows://", None)
    assert text.startswith(f"windows:// cannot be used on this machine: not installed: {names}. Fix: ")
