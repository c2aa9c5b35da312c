"""What a person who closes a breaker or ends an incident leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from connectors.sdk.states import RunState
from console.domain.policy import PolicyRepair, RepairAction
from console.domain.policy_report import RepairResult, ReportedRepair
from tests.cli.test_active_policies import FILE, bench, command, settle
from tests.cli.test_failures import fail
from tests.engine.bench import Bench
from tests.hostile.commands import headway

__all__ = ["bench"]
AT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)


def test_closing_forgets_failed_repairs_also_of_a_breaker_that_has_not_opened(bench: Bench) -> None:
    settle(bench, fail(bench, 0, FILE), RunState.FAILED)
    for _ in range(2):
        assert "policy full: closed: repairs that failed so far" in command(bench, "close", "full").out
    settle(bench, fail(bench, 1, FILE), RunState.FAILED)
    assert not [title for _, title, _ in bench.sink.got if "breaker" in title]
    assert "stopped" not in headway(bench.url, "policy").out


def test_an_incident_that_is_closed_names_no_policy_that_repairs_it(bench: Bench) -> None:
    now = fail(bench, 0, FILE)
    with bench.reads() as reads:
        assert "full" == reads.incidents.incident(1).row.policy
    settle(bench, now, RunState.SUCCEEDED)
    with bench.reads() as reads:
        row = reads.incidents.incident(1).row
    assert (True, "", None) == (row.closed is not None, row.policy, row.policy_at)


def test_only_a_repair_in_shadow_has_saved_the_time_until_a_person_sent_it() -> None:
    repair = PolicyRepair("full", "rerun", 1, date(2026, 11, 19), 7, 1, AT)
    reported = ReportedRepair(repair, 1, "fake/extract", AT + timedelta(hours=5), "mara", RepairResult.RIGHT)
    assert timedelta(hours=5) == reported.saved
    sent = replace(repair, action=RepairAction("headway-1", "verified"))
    assert timedelta(0) == replace(reported, repair=sent).saved
