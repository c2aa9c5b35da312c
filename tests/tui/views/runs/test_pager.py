"""`v` lends the terminal to the pager that the environment names, with the log in a file; and it is given back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.tui.app.navigation import HeadwayApp
from tests.tui.driving import Night, on_the_night


@contextmanager
def _lent(app: HeadwayApp) -> Iterator[None]:
    yield


async def open_log(night: Night) -> None:
    await night.press("2")
    await night.see("INC-0412")
    await night.press("enter")
    await night.see("AFFECTED SERVICES")
    await night.press("enter")
    await night.see("LOG attempt 2", "No space left")


def test_the_pager_gets_the_log_without_its_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, str]] = []

    def ran(argv: Sequence[str], check: bool) -> subprocess.CompletedProcess[str]:
        shown.append((argv[0], Path(argv[-1]).read_text(encoding="utf-8")))
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(HeadwayApp, "suspend", _lent)
    monkeypatch.setattr(subprocess, "run", ran)
    monkeypatch.setenv("PAGER", "more -d")

    @on_the_night()
    async def drive(night: Night) -> None:
        night.requests.log_text = "one\x1b]0;mine\x07\nNo space left\n"
        await open_log(night)
        await night.act("pager")
        await night.until(lambda: bool(shown), "the pager")

    drive()
    assert [("more", "one\nNo space left\n")] == shown


def test_a_missing_pager_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeadwayApp, "suspend", _lent)
    monkeypatch.setenv("PAGER", "no-such-pager")

    @on_the_night(size=(120, 36))
    async def drive(night: Night) -> None:
        await open_log(night)
        await night.act("pager")
        await night.see("the pager no-such-pager cannot be started", "set PAGER to one that can")

    drive()


def test_a_terminal_that_cannot_be_lent_is_reported() -> None:
    @on_the_night(size=(120, 36))
    async def drive(night: Night) -> None:
        await open_log(night)
        await night.act("pager")
        await night.see("this terminal cannot open a pager")

    drive()


def test_a_session_opens_on_the_selected_row_and_reports_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Sequence[str]] = []

    def ran(argv: Sequence[str], check: bool) -> subprocess.CompletedProcess[str]:
        requests.append(argv)
        return subprocess.CompletedProcess(argv, 255)

    monkeypatch.setattr(HeadwayApp, "suspend", _lent)
    monkeypatch.setattr(subprocess, "run", ran)

    @on_the_night()
    async def drive(night: Night) -> None:
        night.app.command = ("headway", "--config", "x")
        await night.press("5")
        await night.see("SYSTEMS", "etl-hosts/etl02")
        await night.press("dollar_sign")
        await night.see("the session at etl-hosts/etl02 failed")

    drive()
    assert [("headway", "--config", "x", "system", "shell", "etl-hosts/etl02")] == requests


def test_a_terminal_that_cannot_be_lent_to_a_session_is_reported_and_the_console_continues() -> None:
    @on_the_night()
    async def drive(night: Night) -> None:
        await night.press("5")
        await night.see("SYSTEMS", "etl-hosts/etl02")
        await night.press("dollar_sign")
        await night.see("a replay has no hosts")
        night.app.command = ("headway",)
        await night.press("dollar_sign")
        await night.see("this terminal cannot open a session: headway system shell")

    drive()
