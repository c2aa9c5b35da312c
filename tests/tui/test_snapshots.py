"""One picture for each state worth seeing, on the fake night with a stopped clock.

After a wanted change: look at the difference, then `make snapshots`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from textual.pilot import Pilot

from console.model.views import EngineView
from console.tui.app import HeadwayApp
from tests.tui.driving import Night
from tests.tui.fake_reads import NOW, ZONE, at

SnapCompare = Callable[..., bool]
Prepare = Callable[[Night], None]
SMALL, WIDE = (80, 24), (120, 36)


def shot(
    compare: SnapCompare,
    keys: tuple[str, ...],
    see: str,
    size: tuple[int, int] = SMALL,
    prepare: Prepare | None = None,
    **options: Any,
) -> bool:
    """Compares the screen after `keys`, once `see` stands on it."""
    night = Night()
    if prepare is not None:
        prepare(night)
    night.app = HeadwayApp(lambda: night.reads, night.open_requests, frozen=NOW, mine=ZoneInfo(ZONE), **options)

    async def before(pilot: Pilot[int]) -> None:
        night.pilot = pilot
        await night.until(lambda: night.app.header is not None, "the header")
        for key in keys:
            await _press(night, key)
        await night.see(see)
        await night.at_rest()

    run_before: Callable[[Pilot[int]], Awaitable[None]] = before
    return compare(night.app, terminal_size=size, run_before=run_before)


async def _press(night: Night, key: str) -> None:
    """A key, or a text to wait for: "see:HURTS"."""
    if key.startswith("see:"):
        await night.see(key.removeprefix("see:"))
    else:
        await night.press(key)


STATES: dict[str, tuple[tuple[str, ...], str]] = {
    "services": ((), "Supply plan"),
    "incidents": (("2",), "INC-0412"),
    "incident": (("2", "see:INC-0412", "enter"), "HURTS"),
    "jobs": (("3",), "JOBS 1 of 14"),
    "job": (("3", "see:JOBS 1 of 14", "enter"), "after etl-hosts"),
    "run": (("2", "see:INC-0412", "enter", "see:HURTS", "enter"), "LOG attempt 2"),
    "systems": (("5",), "out of reach"),
    "help": (("see:Supply plan", "?"), "keys of Services"),
    "jump": (("see:Supply plan", ":"), "incident  INC-0412"),
    "preview": (("see:Supply plan", "r"), "Send it"),
    "record": (("see:Supply plan", "i"), '"title"'),
}


@pytest.mark.parametrize("state", sorted(STATES))
def test_at_80_by_24(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *STATES[state])


@pytest.mark.parametrize("state", ["services", "incident", "jobs", "run", "preview"])
def test_at_120_by_36(snap_compare: SnapCompare, state: str) -> None:
    assert shot(snap_compare, *STATES[state], size=WIDE)


def _dead_engine(night: Night) -> None:
    engine = EngineView("host-1", at("22:00"), at("03:12"), False)
    night.reads.head = dataclasses.replace(night.reads.head, engine=engine)


def _replay(night: Night) -> None:
    night.reads.head = dataclasses.replace(night.reads.head, replay=True, estate="demo")


def _nothing(night: Night) -> None:
    night.reads.services_, night.reads.incidents_, night.reads.jobs_, night.reads.targets_ = [], [], [], []
    night.reads.head = dataclasses.replace(night.reads.head, at_risk=0, open_incidents=0, sick_targets=(), jobs=0)


def _ask(night: Night) -> None:
    night.requests.preview |= {"safety": "ask", "overlap": "extract_orders runs on db07 since 03:15 (pid 812)"}


def _never(night: Night) -> None:
    night.requests.preview["safety"] = "never"


@pytest.mark.parametrize(
    "prepare,see",
    [(_dead_engine, "no engine since 03:12"), (_replay, "REPLAY"), (_nothing, "no service is configured yet")],
    ids=["dead-engine", "replay", "empty-estate"],
)
def test_services_when_something_is_special(snap_compare: SnapCompare, prepare: Prepare, see: str) -> None:
    assert shot(snap_compare, (), see, prepare=prepare)


@pytest.mark.parametrize("prepare,see", [(_ask, "type the job's name"), (_never, "refused")], ids=["ask", "never"])
def test_a_preview_that_one_enter_does_not_send(snap_compare: SnapCompare, prepare: Prepare, see: str) -> None:
    assert shot(snap_compare, ("see:Supply plan", "r"), see, prepare=prepare)


def test_a_rerun_that_was_verified(snap_compare: SnapCompare) -> None:
    def prepare(night: Night) -> None:
        send = night.requests.rerun

        def at_once(*given: Any, **named: Any) -> None:
            send(*given, **named)
            night.requests.advance("verified", "exit 0 after 14m02s")

        night.requests.rerun = at_once  # type: ignore[method-assign]

    assert shot(snap_compare, ("see:Supply plan", "r", "see:Send it", "down", "enter"), "● verified", prepare=prepare)


def test_plain_letters_where_shapes_would_not_be_drawn(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, ("3",), "JOBS 1 of 14", ascii=True)


def test_a_terminal_that_is_too_small(snap_compare: SnapCompare) -> None:
    assert shot(snap_compare, (), "terminal too small", size=(50, 12))
