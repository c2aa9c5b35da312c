"""A replayed system: records of a poll as time passes, conditions of a rerun, errors of a bad file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.replay import connector as room
from connectors.replay.client import ActionLog, ReplayClock
from connectors.replay.connector import ReplayConnector
from connectors.replay.options import ReplayOptions
from connectors.sdk.contract import ActionSpec
from connectors.sdk.errors import NotSupported, SystemUnreachable
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import RunEvidence, RunState, Verb
from tests.connectors.replay import nights
from tests.connectors.replay.nights import at


def opened(folder: Path, now: datetime, system: str = "hosts", target: str = "db07") -> ReplayConnector:
    options = ReplayOptions.model_validate({**nights.files(folder, now), "system": system})
    return ReplayConnector(options, target)


def follow(connector: ReplayConnector, cursor: str = "") -> tuple[list[RunRecord], str]:
    runs: list[RunRecord] = []
    while True:
        poll: Poll = connector.poll(cursor, (), 5.0)
        runs += poll.runs
        cursor = poll.cursor
        if not poll.more:
            return runs, cursor


def ref(run: RunRecord) -> RunRef:
    return RunRef(run.job, run.period_key or "", run.attempt_key, run.native_ref, run.started_at)


def the_failure(connector: ReplayConnector, job: str = "db07:extract") -> RunRecord:
    return [item for item in follow(connector)[0] if item.job == job and item.state.is_red][-1]


@given(st.lists(st.floats(0, 24), min_size=1, max_size=6), st.integers(1, 4))
def test_polls_at_any_pace_and_size_end_with_the_same_state(
    tmp_path_factory: pytest.TempPathFactory, hours: list[float], page: int
) -> None:
    folder = tmp_path_factory.mktemp("night")
    runs: dict[str, RunRecord] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "PAGE_RUNS", page)
        cursor = ""
        for hour in [*sorted(hours), 24.0]:
            reported, cursor = follow(opened(folder, at(hour)), cursor)
            runs |= {item.attempt_key: item for item in reported}
    whole, _ = follow(opened(folder, at(24)))
    assert {item.attempt_key: item for item in whole} == runs


def test_a_poll_reports_only_changes_since_its_cursor(tmp_path: Path) -> None:
    _, cursor = follow(opened(tmp_path, at(15.01)))
    reported, cursor = follow(opened(tmp_path, at(15.1)), cursor)
    assert [("db07:extract", RunState.FAILED, "exit 3")] == [
        (item.job, item.state, item.native_state) for item in reported
    ]
    assert [] == follow(opened(tmp_path, at(15.2)), cursor)[0]


def test_an_action_that_reached_the_file_after_its_attempt_was_due_is_reported_all_the_same(tmp_path: Path) -> None:
    _, cursor = follow(opened(tmp_path, at(15.6)))
    ActionLog(tmp_path / "actions.jsonl").append(nights.rerun(nights.EXTRACT, 15.5))
    reported, _ = follow(opened(tmp_path, at(15.6)), cursor)
    assert [("headway-0000000001", RunState.RUNNING)] == [
        (item.action_key, item.state) for item in reported if item.action_key
    ]


def test_starts_that_prove_no_end_stay_unknown(tmp_path: Path) -> None:
    reported, _ = follow(opened(tmp_path, at(20), target="old1"))
    assert [(RunState.UNKNOWN, RunEvidence.INFERRED, None)] == [
        (item.state, item.evidence, item.ended_at) for item in reported
    ]
    with pytest.raises(NotSupported, match="keeps no output"):
        opened(tmp_path, at(20), target="old1").log(ref(reported[0]), None, 100, 1.0)


def test_periods_are_reported_as_each_kind_reports_them(tmp_path: Path) -> None:
    cron, _ = follow(opened(tmp_path, at(20)))
    flow, _ = follow(opened(tmp_path, at(20), "flow", "airflow"))
    aws, _ = follow(opened(tmp_path, at(20), "aws", "eu"))
    assert {None} == {item.period_key for item in cron}
    assert "2026-11-20T04:00:00Z" in {item.period_key for item in flow if item.job == "load"}
    assert {"triggered__2026-11-20T04:00:00Z"} == {item.period_key for item in flow if item.job == "check"}
    assert {"settle-20261120T060000"} == {item.period_key for item in aws}


def test_the_recording_proves_no_absence_after_its_end(tmp_path: Path) -> None:
    poll = opened(tmp_path, at(30)).poll("", (), 5.0)
    assert at(24) == poll.seen_until
    assert ("the recording ends here",) == poll.warnings


def test_a_preview_uses_the_terms_of_the_replayed_kind(tmp_path: Path) -> None:
    def text(system: str, target: str, job: str) -> tuple[str, str]:
        connector = opened(tmp_path, at(20), system, target)
        preview = connector.preview(ActionSpec(Verb.RERUN, ref(the_failure(connector, job)), RunState.FAILED), 5.0)
        assert "replay: no real scheduler is touched" in preview.notes
        return preview.verb, preview.scope

    assert ("run once", "one run of db07:extract, for 2026-11-20 03:00") == text("hosts", "db07", "db07:extract")
    verb, scope = text("flow", "airflow", "check")
    assert ("clear failed tasks", True) == (verb, scope.endswith(": compare, tell"))
    assert "redrive" == text("aws", "eu", "settle")[0]


def test_what_is_still_running_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    connector = opened(tmp_path, at(15.01))
    running = [item for item in follow(connector)[0] if item.state is RunState.RUNNING and item.job == "db07:extract"]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(running[0]), RunState.RUNNING), 5.0)
    assert "db07:extract is still running" == preview.refused
    with pytest.raises(NotSupported, match="still running"):
        connector.act(preview, "headway-0000000001", 5.0)
    assert () == ActionLog(tmp_path / "actions.jsonl").read()


def test_a_run_that_never_started_has_nothing_to_run_again(tmp_path: Path) -> None:
    planned = RunRef("db07:extract", "2026-11-21T03:00:00Z", "", "")
    preview = opened(tmp_path, at(20)).preview(ActionSpec(Verb.RERUN, planned, RunState.PLANNED), 5.0)
    assert preview.refused is not None
    assert "nothing of db07:extract 2026-11-21T03:00:00Z has started yet" in preview.refused


def test_the_same_key_twice_is_one_action(tmp_path: Path) -> None:
    connector = opened(tmp_path, at(16))
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(the_failure(connector)), RunState.FAILED), 5.0)
    for _ in range(2):
        connector.act(preview, "headway-0000000001", 5.0)
    assert 1 == len(ActionLog(tmp_path / "actions.jsonl").read())


def test_a_line_that_a_crash_cut_is_no_action_and_spoils_no_other(tmp_path: Path) -> None:
    actions = ActionLog(tmp_path / "actions.jsonl")
    (tmp_path / "actions.jsonl").write_text('{"key": "headway-00')
    assert () == actions.read()
    actions.append(nights.rerun(nights.EXTRACT, 15.5))
    assert ("headway-0000000001",) == tuple(item.key for item in actions.read())


def test_the_clock_runs_from_its_origin_at_its_rate_and_is_stopped_before(tmp_path: Path) -> None:
    nights.set_clock(tmp_path, at(15))
    assert at(15) == ReplayClock(tmp_path / "clock.json").now()
    (tmp_path / "clock.json").write_text("{")
    with pytest.raises(SystemUnreachable, match="clock"):
        ReplayClock(tmp_path / "clock.json").now()


@pytest.mark.parametrize("text, message", [
    ("{}", "is not a night of format 1"),
    ("[1", "night.json"),
    ('{"format": 1}', "lacks 'begins'"),
])  # fmt: skip
def test_a_file_that_is_no_night_is_a_fault_of_the_config(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "night.json").write_text(text)
    given_: dict[str, Any] = {"night": tmp_path / "bad" / "night.json", "actions": tmp_path / "a", "system": "hosts"}
    with pytest.raises(ValidationError, match=message):
        ReplayOptions.model_validate(given_)


def test_a_system_that_the_night_does_not_have_is_named_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match='no system "host"; it has aws, flow, hosts'):
        ReplayOptions.model_validate({**nights.files(tmp_path, at(15)), "system": "host"})
