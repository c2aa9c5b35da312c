"""The verdict of a polled target in one line: since when it is not polled, why, and the fix."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from connectors.sdk.states import STOPPED
from console.domain.switches import SystemPause
from console.domain.system import TargetView
from tests.rows import each_row
from tests.tui.fake_reads import at, target


def clock(instant: datetime) -> str:
    return f"{instant:%H:%M}"


def verdict(view: TargetView, **changes: object) -> str:
    return dataclasses.replace(view, **changes).verdict(clock)  # type: ignore[arg-type]


def test_a_target_that_is_not_polled_says_since_when_why_and_how_to_fix_it() -> None:
    db07 = target("etl-hosts", "db07", "cron")
    assert "" == verdict(db07)
    refused = {"error": "port 22: no answer", "error_kind": "unreachable", "failing_since": at("03:12")}
    end = "port 22: no answer. Fix: check that it runs and is reachable from the engine's machine"
    assert f"etl-hosts/db07: no successful poll since {clock(at('03:12'))}: {end}" == verdict(
        db07, last_ok=at("03:12"), **refused
    )
    assert f"etl-hosts/db07: no successful poll yet: {end}" == verdict(db07, last_ok=None, **refused)
    fixed = refused | {"error": "port 22: refused.", "error_fix": "open its port."}
    assert verdict(db07, last_ok=None, **fixed).endswith("refused. Fix: open its port."), "one fix"
    stopped = verdict(db07, error="cron is not running", error_kind=STOPPED, failing_since=at("03:12"))
    assert "etl-hosts/db07 starts nothing: cron is not running" == stopped


@each_row("kind, asks", [("unreachable", False), ("refused", False), ("limited", True), ("failing", True)])
def test_only_a_target_that_answers_can_ask_for_a_delay(kind: str, asks: bool) -> None:
    db07 = dataclasses.replace(
        target("etl-hosts", "db07", "cron"), error_kind=kind, failing_since=at("03:12"), last_try=at("03:17")
    )
    assert asks == db07.next_try_text(at("03:17")).endswith(", or after the delay that it asks for")
    assert kind == db07.unseen_status


def test_a_paused_target_says_until_when_and_how_to_poll_it_now() -> None:
    pause = SystemPause("etl-hosts", "mara", "a new disk", at("03:00"), at("05:00"))
    text = verdict(target("etl-hosts", "db07", "cron"), pause=pause, error="port 22: no answer")
    assert f"etl-hosts/db07 not polled until {clock(at('05:00'))}, paused by mara: a new disk" in text
    assert text.endswith("; to poll it now: headway system pause etl-hosts --off; last error: port 22: no answer")
