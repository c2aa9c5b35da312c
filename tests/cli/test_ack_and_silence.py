"""`headway ack`, `silence`, and `alert --suppressed`: what people say of alerts, and what it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.control.alerts.headline import NO_SERVICE
from console.domain.access import PermissionRule, Role
from console.domain.alert import AlertingSettings, RouteRule
from console.domain.settings import Declared
from console.engine.api.alerts import add_silence
from console.engine.api.requests import AddSilence, RequestSubject
from console.engine.api.server import Caller, RequestFailed
from console.store import subjects
from tests.cli.test_audit import answering
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import Done, headway
from tests.present import present

MUTE = ("silence", "add", "--for", "1h", "--why", "x")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An unacknowledged incident is notified again at each turn."""
    monkeypatch.setattr("console.store.access.os_user", lambda: "ann")
    scheduler = FakeScheduler()
    config = estate_config(tmp_path, scheduler)
    again = RouteRule("oncall", repeat_every=timedelta(microseconds=1))
    declared = Declared(alerting=AlertingSettings(routes=(again,)))
    with running_bench(tmp_path, scheduler, replace(config, declared=declared)) as made:
        yield made


def fails(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=1), exit_code=1)
    bench.turn()


def say(bench: Bench, *line: str) -> Done:
    with answering(bench):
        return headway(bench.url, *line)


def notifications(bench: Bench) -> list[str]:
    return [title for _, title, _ in bench.sink.got]


FAILED = f"fake/extract failed, {NO_SERVICE}: exit 1 [INC-0001]"


def test_who_is_on_it_is_shown_and_nothing_is_repeated_until_they_are_not_any_more(bench: Bench) -> None:
    fails(bench)
    done = say(bench, "ack", "INC-0001", "--for", "2h", "--why", "disk is full")
    assert (0, True) == (done.code, "INC-0001: acknowledged by ann until" in done.out), done.err
    bench.turn()
    assert [FAILED] == notifications(bench)
    shown = headway(bench.url, "incident", "1").out
    assert "acknowledged by ann until" in shown
    assert "repeated   oncall: suppressed by acknowledgement: acknowledged by ann until" in shown
    assert ["ann"] == [
        incident["acknowledged_by"] for incident in headway(bench.url, "incident", "list", "--json").data
    ]
    assert ["acknowledgement"] == [
        alert["stage"] for alert in headway(bench.url, "alert", "--suppressed", "--json").data
    ]
    assert "unacknowledged" in say(bench, "ack", "INC-0001", "--off").out
    bench.turn()
    assert f"Reminder: {FAILED}" in notifications(bench)
    verbs = [(entry["actor"], entry["verb"], entry["why"]) for entry in headway(bench.url, "audit", "--json").data]
    assert ("ann", "acknowledge", "disk is full") in verbs
    assert ("ann", "unacknowledge", "") in verbs
    assert 0 == headway(bench.url, "audit", "verify").code


def runs(bench: Bench, job: str, key: str, state: RunState, minutes_ago: float, **changes: Any) -> None:
    bench.scheduler.attempt(job, key, state, present() - timedelta(minutes=minutes_ago), **changes)
    bench.turn()


def test_an_acknowledgement_ends_when_the_job_fails_with_another_error_after_a_success(bench: Bench) -> None:
    runs(bench, "extract", "a1", RunState.FAILED, 9, exit_code=1)
    assert 0 == say(bench, "ack", "INC-0001", "--for", "2h").code
    success = present() - timedelta(minutes=6)
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, success)
    runs(bench, "extract", "a3", RunState.FAILED, 4, exit_code=7)
    assert [FAILED, f"Update: {FAILED.replace('exit 1', 'exit 7')}"] == notifications(bench)
    assert "Failed again after a success, with another error: fake/extract" in bench.sink.got[-1][2]
    shown = headway(bench.url, "incident", "1").out
    assert re.search(rf"last success, ({success:%a} {success.day} {success:%b} )?{success:%H:%M} UTC\n", shown)
    assert "unacknowledged (was ann): failed again after a success, with another error: fake/extract" in shown
    assert [""] == [incident["acknowledged_by"] for incident in headway(bench.url, "incident", "list", "--json").data]


def test_a_reopened_incident_is_unacknowledged(bench: Bench) -> None:
    runs(bench, "extract", "a1", RunState.FAILED, 9, exit_code=1)
    assert 0 == say(bench, "ack", "INC-0001", "--for", "2h").code
    runs(bench, "extract", "a2", RunState.SUCCEEDED, 6)
    runs(bench, "extract", "a3", RunState.FAILED, 4, exit_code=1)
    assert [FAILED, "Resolved: fake/extract recovered", f"Reopened: {FAILED}"] == [
        name.partition(" (")[0] for name in notifications(bench)
    ]
    assert "Acknowledge  headway ack INC-0001" in bench.sink.got[-1][2]
    assert [""] == [incident["acknowledged_by"] for incident in headway(bench.url, "incident", "list", "--json").data]


@pytest.mark.parametrize(
    "matchers, system",
    [
        ({"job": "fake/extract"}, None),
        ({"system": "fake", "job": "fake/extract"}, None),
        ({"system": "fake", "job": "fake/*"}, "fake"),
        ({"system": "fake", "tier": "3"}, "fake"),
        ({"system": "fa*"}, ""),
        ({"job": "fake/[*]"}, ""),
    ],
)
def test_a_silence_needs_the_permission_for_all_that_it_may_match(
    bench: Bench, matchers: dict[str, str], system: str | None
) -> None:
    fails(bench)
    with bench.store.read() as session:
        [extract] = subjects.jobs_named(session, "fake/extract")
        needed = AddSilence(matchers, 60).subjects(session)
    assert [RequestSubject(extract) if system is None else RequestSubject(system=system)] == needed


@pytest.mark.parametrize(
    "matchers, text",
    [
        ({}, "without a matcher it would match everything; name one of system, job,"),
        ({"host": "x"}, '"host" is not a matcher; known are system, job,'),
    ],
)
def test_a_silence_of_everything_or_by_an_unknown_matcher_is_refused(
    bench: Bench, matchers: dict[str, str], text: str
) -> None:
    with pytest.raises(RequestFailed, match=re.escape(text)):
        add_silence(bench.parts.answers._engine, AddSilence(matchers, 60), Caller("ann", "", bench.fence))


def test_what_is_silenced_is_recorded_and_not_sent_until_the_silence_ends(bench: Bench) -> None:
    done = say(bench, "silence", "add", "--system", "fake", "--for", "2h", "--why", "disk swap")
    assert (0, True) == (done.code, "silence 1: system=fake until" in done.out), done.err
    fails(bench)
    assert [] == notifications(bench)
    assert "suppressed by silence: silence 1 of ann: disk swap" in headway(bench.url, "incident", "1").out
    assert [{"system": "fake"}] == [silence["matchers"] for silence in headway(bench.url, "silence", "--json").data]
    assert 0 == say(bench, "silence", "expire", "1").code
    assert [] == headway(bench.url, "silence", "--json").data
    bench.turn()
    assert 1 == len(notifications(bench))


def test_invalid_input_is_refused_with_the_reason(bench: Bench) -> None:
    invalid = [
        (("ack", "INC-0099"), 6, "INC-0099"),
        (("ack", "INC-0001", "--off"), 4, "INC-0001 is unacknowledged"),
        (("ack", "INC-0001", "--for", "120d"), 4, "for 120d: say a time above zero and of at most 90 days"),
        (("silence", "add", "--tier", "2", "--from", "9999-12-31T23:00Z", "--for", "2h", "--why", "x"), 4, "366 days"),
        (("silence", "expire", "7"), 6, "there is no active silence 7"),
        (("silence", "add", "--for", "1h", "--why", "x"), 2, "give at least one of"),
        (("silence", "add", "--tier", "2", "--why", "x"), 2, "arguments are required: --for"),
        (("silence", "add", "--tier", "2", "--for", "1h"), 2, "arguments are required: --why"),
        ((*MUTE, "--system", "fak"), 6, 'no silence added: no system "fak". Did you mean fake?'),
        ((*MUTE, "--job", "fake/extrakt"), 6, 'no silence added: no job "fake/extrakt". Did you mean fake/extract?'),
        ((*MUTE, "--service", "demand"), 6, 'no silence added: no service "demand". Known: supply.'),
        ((*MUTE, "--tier", "9"), 6, 'no silence added: no tier "9". Known: 1, 2, 3, 4, 5.'),
        ((*MUTE, "--owner", "nobody"), 6, 'no silence added: no owner "nobody".'),
        ((*MUTE, "--route", "oncal"), 6, 'no silence added: no route "oncal". Did you mean oncall?'),
    ]
    fails(bench)
    wrong = {}
    for line, code, text in invalid:
        done = say(bench, *line)
        if done.code != code or text not in done.err + done.out:
            wrong[line] = done.code, done.err + done.out
    assert {} == wrong


def test_ack_without_an_incident_lists_the_open_ones(bench: Bench) -> None:
    done = headway(bench.url, "ack")
    assert (Exit.USAGE, True) == (done.code, "name the incident; none is open" in done.err)
    fails(bench)
    done = headway(bench.url, "ack")
    assert (Exit.USAGE, True) == (done.code, "name the incident\n  INC-0001  fake/extract failed" in done.err), done.err


def test_a_viewer_cannot_acknowledge_or_silence(bench: Bench) -> None:
    fails(bench)
    object.__setattr__(bench.parts.config, "permissions", (PermissionRule("ann", Role.VIEW),))
    bench.parts.config_sync.sync(bench.fence)
    for line in (
        ("ack", "INC-0001"),
        ("silence", "add", "--system", "fake", "--for", "1h", "--why", "x"),
    ):
        assert "needs role act" in say(bench, *line).err
    with bench.reads() as reads:
        assert ("", []) == (reads.incidents.incident(1).row.acknowledged_by, reads.alerts.silences())


def test_who_may_act_on_one_system_mutes_that_one_alone(bench: Bench) -> None:
    limited = PermissionRule("ann", Role.ACT, systems=("fake",))
    object.__setattr__(bench.parts.config, "permissions", (limited,))
    bench.parts.config_sync.sync(bench.fence)
    assert 0 == say(bench, "silence", "add", "--system", "fake", "--for", "1h", "--why", "x").code
    assert "needs role act" in say(bench, "silence", "add", "--tier", "2", "--for", "1h", "--why", "x").err


def test_a_pattern_without_a_match_is_silenced_with_a_notice(bench: Bench) -> None:
    """A deployment may bring what it means."""
    done = say(bench, *MUTE, "--job", "fake/new-*")
    assert (0, True) == (done.code, 'no job matches "fake/new-*" yet' in done.err), done.err


def test_the_past_failures_of_an_incident_are_not_its_own(bench: Bench) -> None:
    runs(bench, "extract", "a1", RunState.FAILED, 9, exit_code=3)
    runs(bench, "extract", "a2", RunState.FAILED, 6, exit_code=7)
    shown = headway(bench.url, "incident", "1").out
    assert ("exit 3" in shown, "past failures" in shown) == (True, False)
