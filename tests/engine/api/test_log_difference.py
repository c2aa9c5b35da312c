"""`headway log --diff`: both logs come from their scheduler, and a good one that is gone is said to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.engine.api.jobs import compare_logs
from console.engine.api.requests import CompareLogs
from console.engine.api.server import Caller, RequestFailed
from tests.cli.test_audit import answering
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway

__all__ = ["bench"]


@pytest.fixture
def failed(bench: Bench) -> Bench:
    now = datetime.now(UTC)
    bench.scheduler.attempt("extract", "a0", RunState.SUCCEEDED, now - timedelta(days=1, minutes=1))
    bench.scheduler.logs = {"a0": "10:00 begin\n10:01 done\n", "a1": "11:00 begin\n11:01 ERROR no disk\n"}
    bench.turn()
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, now - timedelta(minutes=1))
    bench.turn()
    return bench


def diff(bench: Bench, *arguments: str) -> Any:
    with answering(bench):
        return headway(bench.url, "log", "fake/extract", "--diff", *arguments)


def test_new_and_missing_lines_are_shown_with_the_first_error(failed: Bench) -> None:
    done = diff(failed)
    assert (Exit.OK, "first error: 11:01 ERROR no disk\n\n+ 11:01 ERROR no disk\n- 10:01 done\n") == (
        done.code,
        done.out,
    )
    data = diff(failed, "--json").data
    assert (["11:01 ERROR no disk"], ["10:01 done"]) == (data["new"], data["missing"])


def test_a_deleted_log_of_a_successful_run_is_reported_as_deleted(failed: Bench) -> None:
    failed.scheduler.logs["a0"] = ""
    done = diff(failed)
    assert "the scheduler no longer has the log of the last successful run" in done.err
    assert "+ 11:00 begin" in done.out


def test_a_good_log_that_cannot_be_read_says_why(failed: Bench) -> None:
    def refuse(key: str) -> None:
        if key == "a0":
            raise SystemUnreachable("no route to host")

    failed.scheduler.on_log = refuse
    assert "the log of the last successful run cannot be read: no route to host" in diff(failed).err


def test_a_run_that_is_unknown_or_of_a_system_out_of_the_config_is_refused(
    failed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestFailed, match=r"^no run 999$"):
        compare_logs(failed.parts.answers._engine, CompareLogs(999), Caller("ann", "", failed.fence))
    monkeypatch.setattr(failed.parts.connectors, "places", {})
    done = diff(failed)
    assert (Exit.PROBLEM, "") == (done.code, done.out)
    assert "is not in the config of the running engine" in done.err
    assert "shown as new" not in done.err


def test_without_a_good_run_there_is_nothing_to_compare_with(bench: Bench) -> None:
    bench.scheduler.logs = {"a1": "boom\n"}
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    done = diff(bench)
    assert ("no earlier successful run of this job is known" in done.err, "+ boom" in done.out) == (True, True)
