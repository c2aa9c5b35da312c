"""An engine that was stopped in mid mail, and goes on after another one sent that mail, ends it nowhere (I1, F4): two
engine processes, a real SMTP server, a real SIGSTOP."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from console.engine.notify.senders import send_by_apprise
from tests.invariants import engines
from tests.invariants.test_alerts_killed import is_recorded
from tests.invariants.worlds import ROUTE, World, config_of
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.lab.sinks import SmtpSink
from tests.messages import REPEAT_TEXT


@pytest.fixture
def server() -> Iterator[SmtpSink]:
    made = SmtpSink()
    made.start()
    yield made
    made.stop()


def mails_to(url: str) -> None:
    """The engine of this process sends by mail."""

    def config(folder: Path, *worlds: World) -> Any:
        made = config_of(folder, *worlds)
        os.environ[ROUTE] = url
        return made

    vars(engines).update(config_of=config, Sink=lambda _: send_by_apprise)


def is_still(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return {"T"} == {file.read_text().rpartition(")")[2].split()[0] for file in threads}


@pytest.mark.deep
def test_f04_a_mail_that_the_stopped_engine_had_begun_is_ended_by_the_other_alone(
    tmp_path: Path, server: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the unmarked copy comes after the marked one, which says that it may be a duplicate."""
    begun, push, lost = threading.Event(), SMTP.push, SMTP.connection_lost
    mailing: list[SMTP] = []
    closed: list[SMTP] = []
    processes: list[engines.Child] = []

    async def stops(self: SMTP, status: Any) -> None:
        if str(status).startswith("354"):
            mailing.append(self)
        if len(mailing) == 1 and not begun.is_set():
            begun.set()
            processes[0].signal(signal.SIGSTOP)
            wait_until(lambda: is_still(processes[0].pid), "each thread of the first to stop", pause=0.001)
        await push(self, status)

    def ended(self: SMTP, error: Exception | None) -> None:
        lost(self, error)
        if self in mailing:  # the server's own probe sends no mail
            closed.append(self)

    monkeypatch.setattr(SMTP, "push", stops)
    monkeypatch.setattr(SMTP, "connection_lost", ended)
    prepare = partial(mails_to, server.url())
    with engines.child(tmp_path, "first", prepare=prepare, lease=engines.LEASE_SECONDS) as first:
        processes.append(first)
        World(tmp_path, "good").fail("extract")
        assert begun.wait(HANGS_SECONDS), "the first engine begins no mail"
        with engines.child(tmp_path, "second", prepare=prepare):
            server.wait_for(1)
            wait_until(lambda: is_recorded(tmp_path), "the record of the second")
            first.signal(signal.SIGCONT)
            wait_until(lambda: len(closed) == 2, "both connections to end")
    [mail] = server.mails
    assert [mail.subject, "", REPEAT_TEXT.strip()] == mail.text.splitlines()[:3]
