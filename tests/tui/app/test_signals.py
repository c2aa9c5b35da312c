"""Title, bell and notification: what is sent beside the screen, when, and that the old title comes back."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from textual import events

from connectors.sdk.states import RunState
from console.tui.app.start import CONSOLE_FAILED, CONSOLE_TERMINATED
from console.tui.terminal.signals import (
    BELL,
    POP_TITLE,
    PUSH_TITLE,
    TerminalSignals,
    notification_codes,
    supports_titles,
    window_title,
)
from tests.deep import few
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.pty.terminal import Terminal
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import FakeReads

__all__ = ["bench"]

XTERM = {"TERM": "xterm-256color"}
READS = FakeReads()


def affected_services(*incidents: tuple[int, int]) -> list[Any]:
    """Services: (tier, incident) each."""
    [service, *_] = READS.services.list_services()
    return [replace(service, tier=tier, incident_id=incident) for tier, incident in incidents]


def sent_signals(polls: Sequence[list[Any]], is_watched: bool = True) -> list[str]:
    """What is sent as these services are seen one after the other."""
    sent: list[str] = []
    signaller = TerminalSignals(sent.append, lambda _: None)
    for services in polls:
        signaller.update(READS.header(), services, is_watched)
    return sent


@pytest.fixture(autouse=True)
def plain_xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_new_tier_1_incident_rings_once() -> None:
    assert [BELL] == sent_signals(
        [
            affected_services((1, 7)),
            affected_services((1, 7), (1, 8)),
            affected_services((1, 7), (1, 8)),
            affected_services((1, 8)),
            affected_services((1, 7), (1, 8)),
        ]
    )


def test_incidents_present_when_the_console_opened_ring_no_bell() -> None:
    assert [] == sent_signals([affected_services((1, 7), (1, 8)), affected_services((1, 7))])


def test_an_incident_without_a_tier_1_service_rings_no_bell_until_it_affects_one() -> None:
    assert [BELL] == sent_signals(
        [affected_services(), affected_services((2, 7)), affected_services((2, 7), (3, 8)), affected_services((1, 7))]
    )


def test_an_unfocused_terminal_is_notified_too() -> None:
    note = "\x1b]9;Headway: INC-0007 affects a tier-1 service\x07"
    assert [BELL, note] == sent_signals([affected_services(), affected_services((1, 7))], is_watched=False)


def test_a_flood_is_one_bell_and_one_line() -> None:
    sent = sent_signals(
        [affected_services(), affected_services(*((1, number) for number in range(40)))], is_watched=False
    )
    assert [BELL, "\x1b]9;Headway: INC-0000, INC-0001, INC-0002 and 37 more affect a tier-1 service\x07"] == sent


@each_row(
    "environment, sent",
    [
        (XTERM, "\x1b]9;now\x07"),
        ({**XTERM, "TMUX": "/tmp/x,1,0"}, "\x1bPtmux;\x1b\x1b]9;now\x07\x1b\\"),
        ({"TERM": "screen", "STY": "1.pts"}, "\x1bP\x1b]9;now\x07\x1b\\"),
        ({"TERM": "linux"}, ""),
        ({"TERM": "dumb"}, ""),
        ({}, ""),
    ],
)
def test_a_notification_passes_through_a_multiplexer(environment: dict[str, str], sent: str) -> None:
    assert sent == notification_codes("now", environment)


@each_row(
    "environment, knows",
    [
        (XTERM, True),
        ({"TERM": "tmux-256color", "TMUX": "x"}, True),
        ({"TERM": "screen", "TMUX": "x"}, True),
        ({"TERM": "screen", "STY": "1.pts"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "vt220"}, False),
        ({}, False),
    ],
)
def test_a_terminal_without_titles_gets_none(environment: dict[str, str], knows: bool) -> None:
    assert knows == supports_titles(environment)


def test_the_title_says_what_is_worst() -> None:
    header = READS.header()
    assert "Headway: 2 at risk" == window_title(header._replace(at_risk=2, late=0))
    assert "Headway: 1 breached, 2 at risk" == window_title(header._replace(at_risk=3, late=1))
    assert "Headway: 1 no estimate" == window_title(header._replace(at_risk=1, late=0, no_estimate=1))
    assert "Headway: 1 breached, 1 will miss, 1 at risk" == window_title(header._replace(at_risk=3, late=1, lost=1))
    assert "Headway: 1 breached" == window_title(header._replace(at_risk=1, late=1))
    assert "Headway: 0 at risk" == window_title(header._replace(at_risk=0, late=0))
    assert "Headway: not monitoring" == window_title(header._replace(engine=header.engine._replace(alive=False)))


def test_a_title_is_given_once_for_as_long_as_it_is_true() -> None:
    given: list[str] = []
    signaller = TerminalSignals(lambda _: None, given.append)
    for at_risk in (1, 1, 2):
        signaller.update(READS.header()._replace(at_risk=at_risk, late=0), [], is_watched=True)
    assert ["Headway: 1 at risk", "Headway: 2 at risk"] == given


def test_the_console_rings_for_what_it_has_just_read() -> None:
    sent: list[str] = []

    @on_the_night()
    async def drive(night: Night) -> None:
        night.app._signaller = TerminalSignals(sent.append, lambda _: None)
        night.app.read_header()
        await night.until(lambda: night.app._signaller._known is not None, "the first look")
        await night.app._post_message(events.AppBlur())
        await night.until(lambda: not night.app.app_focus, "the blur")
        services = night.reads.services.list_services()
        worst = [replace(service, tier=1, incident_id=900 + at) for at, service in enumerate(services)]
        night.reads.list_services = lambda: worst  # type: ignore[method-assign]
        night.app.read_header()
        await night.until(lambda: bool(sent), "the bell")

    drive()
    assert (BELL, True) == (sent[0], "INC-0900" in sent[1])


@pytest.mark.deep
def test_a_real_terminal_gets_title_bell_and_notification_and_its_old_title_back(bench: Bench) -> None:
    bench.turn()
    with bench.store.write(bench.fence) as connection:
        connection.rows("UPDATE service SET tier = 1")
    argv = [sys.executable, "-m", "console", "--store", bench.url, "console", "--no-engine"]
    with Terminal(argv, env={"TERM": "xterm-256color"}) as terminal:
        terminal.wait_for("SERVICES")
        received(terminal, f"{PUSH_TITLE}\x1b]0;Headway: 0 at risk\x07")
        terminal.press("3")
        terminal.wait_for("JOBS")
        terminal.press("\x1b[O")
        started = datetime.now(UTC) - timedelta(minutes=1)
        bench.scheduler.attempt("extract", "a1", RunState.FAILED, started, message="exit 1")
        bench.turn()
        received(terminal, "\x1b]9;Headway: INC-0001 affects a tier-1 service\x07")
        received(terminal, "\x1b]0;Headway: 1 at risk\x07")
        codes = re.findall(rb"\x1b\][^\x07]*\x07|\x07", terminal.received)
        assert (1, 1) == (codes.count(b"\x07"), terminal.received.count(PUSH_TITLE.encode()))
        terminal.press("ctrl+c")
        terminal.wait_for_end()
        assert bytes(terminal.received).rindex(POP_TITLE.encode()) > bytes(terminal.received).rindex(b"\x1b]0;")


@pytest.mark.deep
def test_a_console_whose_errors_go_to_a_file_is_painted_on_the_terminal(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    errors = tmp_path / "errors.txt"
    console = [sys.executable, "-m", "console", "--store", bench.url, "console", "--no-engine"]
    with Terminal(["sh", "-c", f'exec "$@" 2>{errors}', "sh", *console]) as terminal:
        terminal.wait_for("SERVICES")
        terminal.press("3")
        terminal.wait_for("JOBS")
        terminal.press("ctrl+c")
        terminal.wait_for_end()
    assert "" == errors.read_text()


@pytest.mark.deep
def test_a_console_under_make_ends_with_its_terminal_though_no_signal_reaches_it(bench: Bench, tmp_path: Path) -> None:
    """As under `make run`: make leads the session, gets the SIGHUP, and waits for its child."""
    bench.turn()
    ended = tmp_path / "exit"
    console = [sys.executable, "-m", "console", "--store", bench.url, "console", "--no-engine"]
    with Terminal(["sh", "-c", f'trap "" HUP; "$@"; echo $? >{ended}', "sh", *console]) as terminal:
        terminal.wait_for("SERVICES")
        terminal.hang_up()
    assert "129" == ended.read_text().strip()


@pytest.mark.deep
def test_a_console_that_is_continued_has_one_thread_that_reads_keys(bench: Bench) -> None:
    """SIGCONT comes with the SIGHUP of a lost terminal too: then the second thread kept the process alive, and busy."""
    bench.turn()
    with Terminal([sys.executable, "-m", "console", "--store", bench.url, "console", "--no-engine"]) as terminal:
        terminal.wait_for("SERVICES")
        threads = Path(f"/proc/{terminal.pid}/task")
        numbers = []
        for key in "xyz":
            terminal.press("/", *("backspace",) * 3, key)
            terminal.wait_for(f"/ {key}")
            numbers.append(len(list(threads.iterdir())))
            terminal.press("escape")
            os.kill(terminal.pid, signal.SIGCONT)
        terminal.hang_up()
    assert numbers == [numbers[0]] * 3


CRASHES = """
import sys
from console.cli.main import main
from console.tui.frame.console_app import ConsoleApp
def fail(self):
    raise RuntimeError("a bug")
ConsoleApp._tick = fail
sys.exit(main())
"""


@pytest.mark.parametrize(
    "start, number, code, text",
    [
        pytest.param(
            ["-c", CRASHES], 0, 1, f"RuntimeError: a bug\nheadway: {CONSOLE_FAILED}\n", marks=pytest.mark.deep
        ),
        (["-m", "console"], signal.SIGTERM, 143, f"headway: {CONSOLE_TERMINATED}\n"),
    ],
    ids=["a bug", "SIGTERM"],
)
def test_a_console_that_ends_unasked_says_so_and_exits_with_a_code(
    bench: Bench, tmp_path: Path, start: Sequence[str], number: int, code: int, text: str
) -> None:
    bench.turn()
    errors = tmp_path / "errors.txt"
    console = [sys.executable, *start, "--store", bench.url, "console", "--no-engine"]
    with Terminal(["sh", "-c", f'exec "$@" 2>{errors}', "sh", *console]) as terminal:
        if number:
            terminal.wait_for("SERVICES")
            os.kill(terminal.pid, number)
        assert code == terminal.wait_for_end()
    assert errors.read_text().endswith(text)


@pytest.mark.deep
@pytest.mark.parametrize("name", few(["linux", "xterm", "xterm-16color"], 1))
def test_a_row_that_changes_is_lit_on_a_terminal_with_sixteen_colours(bench: Bench, name: str) -> None:
    bench.turn()
    argv = [sys.executable, "-m", "console", "--store", bench.url, "console", "--no-engine"]
    with Terminal(argv, env={"TERM": name, "COLORTERM": ""}) as terminal:
        terminal.wait_for("SERVICES")
        terminal.press("3")
        terminal.wait_for("JOBS")
        started = datetime.now(UTC) - timedelta(minutes=1)
        bench.scheduler.attempt("extract", "a1", RunState.FAILED, started, message="exit 1")
        bench.turn()
        terminal.wait_for("failed")
        terminal.press("4")
        terminal.wait_for("TONIGHT")
        terminal.press("ctrl+c")
        terminal.wait_for_end()


def received(terminal: Terminal, codes: str) -> None:
    terminal.wait_for(lambda _: codes.encode() in terminal.received)
