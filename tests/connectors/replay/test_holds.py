"""What a hold does to a night: nothing starts by its clock, its release brings nothing back, a start runs once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.replay.actions import NOT_REAL
from connectors.replay.client import HOLD, PAUSE, RELEASE, RERUN, START, ActionLog, SentAction
from connectors.replay.parse import JobKey
from connectors.replay.world import ReplayAttempt, world
from connectors.sdk.contract import ActionSpec, HoldMark, Preview
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.replay import nights
from tests.connectors.replay.nights import CALM, CHECK, EXTRACT, LOAD, SETTLE, at
from tests.connectors.replay.test_connector import opened

NIGHT = nights.night()
DUE = {EXTRACT: 15.0, LOAD: 16.0, CHECK: 16.0, SETTLE: 18.0, CALM: 14.9}
HOLD_KEY, RELEASE_KEY, START_KEY = (f"headway-{number:010d}" for number in (7, 8, 9))


def hold(job: JobKey, hours: float, key: str = HOLD_KEY) -> SentAction:
    return SentAction(key, job, "", at(hours), HOLD, HoldMark(key, "alice", at(24)).text)


def release(job: JobKey, hours: float, hold_key: str = HOLD_KEY) -> SentAction:
    return SentAction(RELEASE_KEY, job, "", at(hours), RELEASE, hold_key)


def start(job: JobKey, hours: float) -> SentAction:
    return SentAction(START_KEY, job, instant_key(at(DUE[job])), at(hours), START)


def tries(job: JobKey, *actions: SentAction, hour: float = 20.0) -> list[ReplayAttempt]:
    """The attempts of the last night's run."""
    return [item for item in world(NIGHT, actions, at(hour)) if item.job == job and item.due == at(DUE[job])]


def fresh(job: JobKey, *actions: SentAction) -> list[bool]:
    return [item.ending is not None and item.ending.fresh for item in tries(job, *actions)]


@pytest.mark.parametrize("job", [LOAD, CALM], ids=["scripted", "recorded"])
def test_what_is_held_at_its_instant_does_not_start_and_its_release_does_not_bring_it_back(job: JobKey) -> None:
    due = DUE[job]
    assert [] == tries(job, hold(job, due - 0.1))
    assert [] == tries(job, hold(job, due - 0.1), release(job, due + 0.5))


@pytest.mark.parametrize("job", [LOAD, CALM], ids=["scripted", "recorded"])
def test_what_is_let_go_before_its_instant_or_held_after_it_starts_by_its_clock(job: JobKey) -> None:
    due = DUE[job]
    untouched = tries(job)
    assert 1 == len(untouched)
    assert untouched == tries(job, hold(job, due - 0.2), release(job, due - 0.1))
    assert untouched == tries(job, hold(job, due + 0.1))
    assert untouched == tries(job, hold(job, due)), "what was seen at an instant is taken back"


@pytest.mark.parametrize("job", [LOAD, CALM], ids=["scripted", "recorded"])
def test_a_held_start_runs_once_at_once_under_its_key(job: JobKey) -> None:
    due = DUE[job]
    [item] = tries(job, hold(job, due - 0.1), release(job, due + 0.3), start(job, due + 0.4))
    assert (START_KEY, 1, at(due + 0.4)) == (item.action_key, item.number, item.queued_at)
    assert item.ending is not None
    assert item.ending.state is RunState.SUCCEEDED


def test_a_load_that_is_held_until_the_extract_is_good_makes_all_after_it_good() -> None:
    late = nights.rerun(EXTRACT, 15.9)
    held = (late, hold(LOAD, 15.8), release(LOAD, 16.2), start(LOAD, 16.21))
    assert [False] == fresh(LOAD, late), "without the hold it reads yesterday's file"
    assert ([True], [True], [True]) == (fresh(LOAD, *held), fresh(CHECK, *held), fresh(SETTLE, *held))


def test_what_another_job_starts_while_it_is_held_starts_when_it_is_let_go() -> None:
    assert [] == tries(CHECK, hold(CHECK, 15.0))
    [item] = tries(CHECK, hold(CHECK, 15.0), release(CHECK, 19.0))
    assert at(19.0) == item.queued_at


def test_a_run_that_the_recording_never_had_can_be_started_and_run_again() -> None:
    run = instant_key(at(17.0))
    requested = (
        SentAction(START_KEY, EXTRACT, run, at(17), START),
        SentAction(RELEASE_KEY, EXTRACT, run, at(18), RERUN),
    )
    seen = [item for item in world(NIGHT, requested, at(20)) if item.run == run]
    assert [(1, START_KEY), (2, RELEASE_KEY)] == [(item.number, item.action_key) for item in seen]


def test_a_hold_that_is_not_the_one_and_a_pause_of_a_person_are_not_let_go() -> None:
    assert [] == tries(LOAD, hold(LOAD, 15.5), release(LOAD, 15.6, START_KEY))
    paused = SentAction("headway-0000000003", LOAD, "", at(15.5), PAUSE)
    assert [] == tries(LOAD, paused, hold(LOAD, 15.6), release(LOAD, 15.7))


hours = st.floats(12, 20).map(lambda hour: round(hour, 2))
acts = st.lists(
    st.tuples(st.sampled_from([hold, release, start]), st.sampled_from(sorted(DUE)), hours), max_size=5
).map(lambda rows: sorted((do(job, hour) for do, job, hour in rows), key=_sent))


def _sent(action: SentAction) -> datetime:
    return action.sent_at


@given(hours, hours, acts)
def test_no_hold_takes_back_what_was_seen(item: float, other: float, actions: list[SentAction]) -> None:
    earlier, later = sorted((at(item), at(other)))
    after = {(entry.job, entry.run, entry.queued_at, entry.action_key) for entry in world(NIGHT, actions, later)}
    before = world(NIGHT, actions, earlier)
    assert {(entry.job, entry.run, entry.queued_at, entry.action_key) for entry in before} <= after


def ask(verb: Verb, job: str, **parameters: Any) -> ActionSpec:
    return ActionSpec(verb, RunRef(job, "", "", ""), RunState.PLANNED, parameters)


def previews(folder: Path, system: str, target: str, job: str) -> tuple[Preview, Preview]:
    """Of a hold that is then sent, and of its release."""
    connector = opened(folder, at(15.8), system, target)
    held = connector.preview(ask(Verb.HOLD, job, by="alice", until=instant_key(at(24))), 5.0)
    connector.act(held, HOLD_KEY, 5.0)
    return held, connector.preview(ask(Verb.RELEASE, job, hold=HOLD_KEY), 5.0)


@pytest.mark.parametrize("system, target, job, hold_verb, release_verb, call", [
    ("flow", "airflow", "load", "pause the DAG", "resume the DAG", '"is_paused": true'),
    ("hosts", "db07", "db07:calm", "comment the line out", "enable the line", "under # headway-hold id=KEY by=alice"),
    ("aws", "eu", "settle", "disable its schedules", "enable its schedules", "State=DISABLED"),
])  # fmt: skip
def test_a_hold_and_its_release_use_the_terms_of_the_replayed_kind(
    tmp_path: Path, system: str, target: str, job: str, hold_verb: str, release_verb: str, call: str
) -> None:
    held, released = previews(tmp_path, system, target, job)
    assert (hold_verb, release_verb) == (held.verb, released.verb)
    assert call in "\n".join(held.native_calls)
    assert NOT_REAL in held.notes
    assert NOT_REAL in released.notes


def test_pg_cron_is_held_by_alter_job_under_a_comment(tmp_path: Path) -> None:
    nights.files(tmp_path, at(15.8))
    path = tmp_path / "night.json"
    path.write_text(path.read_text().replace('"as": "step_functions"', '"as": "pg_cron"'))
    held, released = previews(tmp_path, "aws", "eu", "settle")
    assert "active := false, command := '/* headway-hold id=KEY by=alice" in held.native_calls[1]
    assert "active := true" in released.native_calls[1]


def test_a_hold_without_an_end_and_one_of_a_task_are_refused(tmp_path: Path) -> None:
    connector = opened(tmp_path, at(15.8), "flow", "airflow")
    endless = connector.preview(ask(Verb.HOLD, "load", by="alice"), 5.0)
    assert 'a hold by "alice" until ""' in str(endless.refused)
    task = connector.preview(ask(Verb.HOLD, "load.stage", by="alice", until=instant_key(at(24))), 5.0)
    assert "a task starts with its DAG" in str(task.refused)
    with pytest.raises(NotSupported):
        connector.act(endless, HOLD_KEY, 5.0)
    with pytest.raises(NotSupported, match="a replay has no"):
        connector.preview(ask(Verb.CANCEL, "load"), 5.0)


def test_airflow_starts_no_run_that_is_there_or_to_come(tmp_path: Path) -> None:
    connector = opened(tmp_path, at(17), "flow", "airflow")
    preview = connector.preview(ask(Verb.START, "load", period_at=instant_key(at(16))), 5.0)
    to_come = connector.preview(ask(Verb.START, "load", period_at=instant_key(at(18))), 5.0)
    assert ("by now" in str(preview.refused), "it is to come" in str(to_come.refused)) == (True, True)


def test_old_files_of_actions_stay_readable_and_a_verb_of_tomorrow_is_none(tmp_path: Path) -> None:
    path = tmp_path / "actions.jsonl"
    old = '{"key": "headway-0000000001", "job": ["flow", "load"], "run": "r", "sent_at": "2026-11-20T04:00:00+00:00"'
    path.write_text(f'{old}}}\n{old.replace("1", "2", 1)}, "verb": "teleport"}}\n')
    actions = ActionLog(path)
    actions.append(hold(LOAD, 15.5))
    assert [(RERUN, ""), (HOLD, hold(LOAD, 15.5).mark)] == [(item.verb, item.mark) for item in actions.read()]
