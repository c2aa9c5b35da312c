"""Suggested dependencies in the console: the real command, on a store of thirty nights, lists and decides them."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.test_suggest import PAIR, SYSTEMS, store
from tests.tui.driving import Night, on_the_night

__all__ = ["store"]

UPSTREAM, DOWNSTREAM = PAIR
SIZE = (120, 36)
BROKEN = "[systems.fake]\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "headway.toml"
    path.write_text(SYSTEMS)
    path.chmod(0o600)
    return path


def run(steps: Callable[[Night], Awaitable[None]], command: tuple[str, ...], size: tuple[int, int] = SIZE) -> None:
    async def opened(night: Night) -> None:
        await night.see("Supply plan")
        await night.act("lineage")
        await night.see("LINEAGE", "root cause")
        await steps(night)

    on_the_night(size=size, command=command)(opened)()


def is_unchanged(config: Path) -> bool:
    return config.read_text() == SYSTEMS


def break_config(config: Path) -> None:
    config.write_text(BROKEN)


def command(store: Path, config: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "console", "--config", str(config), "--store", str(store))


@pytest.mark.parametrize(
    "choice, table, size",
    [
        pytest.param("Accept", "dependencies", SIZE, marks=pytest.mark.deep),
        pytest.param("Reject", "rejected_dependencies", (80, 24), marks=pytest.mark.deep),
    ],
)
def test_a_pair_is_decided_in_the_console(
    store: Path, config: Path, choice: str, table: str, size: tuple[int, int]
) -> None:
    async def steps(night: Night) -> None:
        await night.act("suggestions")
        await night.see("suggested dependencies", UPSTREAM)
        await night.press("enter")
        await night.see("Back", "4 of 30 nights", "harmed on 4 of 4 violated nights", "downstream fake/mart")
        assert is_unchanged(config)
        await night.press(*(("down",) if choice == "Accept" else ("down", "down")), "enter")
        await night.see("dded to" if choice == "Accept" else "ejected in")

    run(steps, command(store, config), size)
    [pair] = tomllib.loads(config.read_text())[table]
    assert PAIR == (pair["upstream"], pair["downstream"])


@pytest.mark.deep
def test_back_changes_nothing_and_a_config_that_cannot_be_written_is_named(store: Path, config: Path) -> None:
    async def steps(night: Night) -> None:
        await night.act("suggestions")
        await night.see(UPSTREAM)
        await night.press("enter")
        await night.see("Back")
        await night.press("enter")
        await night.see("LINEAGE")
        assert is_unchanged(config)
        await night.act("suggestions")
        await night.see(UPSTREAM)
        break_config(config)
        await night.press("enter")
        await night.see("Accept")
        await night.press("down", "enter")
        await night.see("1 problem in the config")

    run(steps, command(store, config))
    assert BROKEN == config.read_text()


def test_a_replay_and_a_browser_decide_nothing() -> None:
    async def replay(night: Night) -> None:
        await night.act("suggestions")
        await night.see("a replay has no config")

    async def browser(night: Night) -> None:
        night.app.visitor = "mara"
        await night.act("suggestions")
        await night.see("not from a browser")

    run(replay, ())
    run(browser, ("false",))


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    async def steps(night: Night) -> None:
        await night.act("suggestions")
        await night.see("cannot be read")

    script = "import sys; sys.exit('headway: x cannot be read. Fix: headway check')"
    run(steps, (sys.executable, "-c", script))


@pytest.mark.parametrize(
    "code, notice",
    [
        ("raise SystemExit(3)", "headway suggest ended with exit code 3"),
        ("print('Traceback')", "headway suggest printed no JSON: Expecting value"),
    ],
)
def test_an_answer_that_is_none_is_shown_as_a_failure(code: str, notice: str) -> None:
    async def steps(night: Night) -> None:
        await night.act("suggestions")
        await night.see(notice)

    run(steps, (sys.executable, "-c", code))
