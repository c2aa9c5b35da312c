"""Holds: several schedules of one job, what is cut short between mark and stop, and what is no longer loaded."""

from __future__ import annotations

import json

import httpx
import pytest

from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector, NativeHold, Preview
from connectors.sdk.errors import OutcomeUnknown, PermissionMissing, SystemUnreachable
from tests.connectors.dagster.test_recorded import opened
from tests.fakes.dagster import FakeDagster

JOB, ASSET = "lab/load", ("headway", "holds", "lab", "load")


def dagster(*by_hand: str, by_code: tuple[str, ...] = ()) -> FakeDagster:
    fake = FakeDagster("load")
    for name in (*by_hand, *by_code):
        fake.schedule("load", name, by_code=name in by_code)
    return fake


def mark_states(fake: FakeDagster) -> dict[str, str]:
    return {name: row["scheduleState"]["status"] for name, row in fake.schedules.items()}


def allowed(connector: Connector, ask: ActionSpec) -> Preview:
    preview = connector.preview(ask, 5)
    assert preview.refused is None, preview.refused
    return preview


def hold(connector: Connector) -> str:
    key = new_key()
    connector.act(allowed(connector, hold_ask(JOB)), key, 5)
    return key


def release(connector: Connector, key: str) -> None:
    connector.act(allowed(connector, release_ask(JOB, key)), new_key(), 5)


def marks(connector: Connector) -> list[tuple[str, bool]]:
    return [(hold.mark.id, hold.bare) for hold in connector.holds(5)]


def test_the_mark_is_the_last_state_of_its_asset_and_names_the_stopped_schedules() -> None:
    fake = dagster("nightly", by_code=("hourly",))
    connector = opened(fake)
    key = hold(connector)
    (native_hold,) = connector.holds(5)
    assert native_hold == NativeHold(JOB, native_hold.mark, "last observation of the asset headway/holds/lab/load")
    assert [f"{native_hold.mark.text}\nStopped for it: nightly, hourly (as its code says)"] == fake.observed[ASSET]
    assert {"nightly": "STOPPED", "hourly": "STOPPED"} == mark_states(fake)
    release(connector, key)
    assert f"headway: released, it was {key}" == fake.observed[ASSET][-1]
    assert [] == marks(connector)


def test_a_release_starts_what_the_hold_stopped_and_nothing_that_a_person_had_stopped() -> None:
    fake = dagster("nightly", "monthly")
    fake.set_schedule("monthly", "STOPPED")
    connector = opened(fake)
    release(connector, hold(connector))
    assert {"nightly": "RUNNING", "monthly": "STOPPED"} == mark_states(fake)


def test_a_schedule_that_ran_because_its_code_says_so_does_so_again() -> None:
    fake = dagster("nightly", by_code=("hourly",))
    connector = opened(fake)
    key = hold(connector)
    fake.requests.clear()
    release(connector, key)
    assert {"nightly": True, "hourly": False} == {name: row["canReset"] for name, row in fake.schedules.items()}
    changes = [request for request in fake.requests if request.endswith("Schedule")]
    assert ["startSchedule", "startSchedule", "resetSchedule"] == changes, "a reset alone makes up for what was missed"


def test_a_held_job_with_several_schedules_retains_the_one_that_counted() -> None:
    fake = dagster("nightly", "monthly")
    fake.set_schedule("monthly", "STOPPED")
    fake.schedules["monthly"]["cronSchedule"] = "0 0 1 * *"
    connector = opened(fake)
    (before,) = connector.inventory("", 5).jobs
    hold(connector)
    (held,) = connector.inventory("", 5).jobs
    assert (False, "0 6 * * *") == (before.paused, before.schedule.expression)
    assert (True, before.schedule) == (held.paused, held.schedule)


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_partial_hold_is_undone_by_its_lookup_and_may_be_sent_again(stopped: int) -> None:
    fake = dagster("nightly", "hourly")
    connector, key = opened(fake), new_key()
    preview = allowed(connector, hold_ask(JOB))
    if stopped:
        fake.lose_answer_of = "stopRunningSchedule"
    else:
        fake.stop_before = "stopRunningSchedule"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    assert [(key, not stopped)] == marks(connector), "the mark stands, bare unless something is stopped for it"
    fake.stop_before = ""
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    assert ({"nightly": "RUNNING", "hourly": "RUNNING"}, []) == (mark_states(fake), marks(connector))
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert {"nightly": "STOPPED", "hourly": "STOPPED"} == mark_states(fake)


def test_a_hold_of_which_the_rest_is_sent_under_its_key_is_one_hold() -> None:
    fake = dagster("nightly", "hourly")
    connector, key = opened(fake), new_key()
    preview = allowed(connector, hold_ask(JOB))
    fake.lose_answer_of = "stopRunningSchedule"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    connector.act(preview, key, 5)
    assert {"nightly": "STOPPED", "hourly": "STOPPED"} == mark_states(fake)
    release(connector, key)
    assert {"nightly": "RUNNING", "hourly": "RUNNING"} == mark_states(fake), "what the first try stopped is started too"


def test_a_stop_that_is_refused_leaves_no_mark() -> None:
    fake = dagster("nightly")
    fake.refuse = {"stopRunningSchedule"}
    connector = opened(fake)
    with pytest.raises(PermissionMissing):
        hold(connector)
    assert [] == marks(connector)


@pytest.mark.parametrize("undone, is_bare", [(2, False), (3, True)])
def test_a_stop_that_the_daemon_undoes_is_repeated_twice(undone: int, is_bare: bool) -> None:
    fake = dagster("nightly")
    fake.undone_stops = undone
    connector = opened(fake)
    assert [(hold(connector), is_bare)] == marks(connector)


def test_a_release_that_was_cut_short_is_finished_when_it_is_sent_again() -> None:
    fake = dagster(by_code=("hourly",))
    connector = opened(fake)
    key, again = hold(connector), new_key()
    preview = allowed(connector, release_ask(JOB, key))
    fake.stop_before = "resetSchedule"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, again, 5)
    fake.stop_before = ""
    assert isinstance(connector.look_up(preview, again, 5), ActionAbsent)
    connector.act(preview, again, 5)
    assert isinstance(connector.look_up(preview, again, 5), ActionFound)
    assert ({"hourly": "RUNNING"}, False, []) == (
        mark_states(fake),
        fake.schedules["hourly"]["canReset"],
        marks(connector),
    )


def test_a_job_without_a_schedule_is_not_held() -> None:
    refused = opened(dagster()).preview(hold_ask(JOB), 5).refused
    assert f"{JOB} has no schedule that could be stopped" == refused


def test_a_mark_of_an_unloaded_job_remains_and_one_of_a_removed_job_can_be_removed() -> None:
    fake = dagster("nightly")
    connector = opened(fake)
    key = hold(connector)
    fake.jobs, fake.broken = (), ["dwh"]
    assert [(key, False)] == marks(connector)
    with pytest.raises(SystemUnreachable, match="the code location of lab/load is not loaded"):
        connector.preview(release_ask(JOB, key), 5)
    fake.broken = []
    assert [(key, True)] == marks(connector)
    release(connector, key)
    assert [] == marks(connector)


def test_marks_beyond_one_page_of_the_catalogue_are_found() -> None:
    fake, requests = FakeDagster(*(f"job_{number}" for number in range(130))), []

    def paged(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        reply = fake.answer(request)
        if "assetsOrError" not in body["query"]:
            return reply
        data = reply.json()
        assets_or_error = data["data"]["assetsOrError"]
        first = int(body["variables"]["c"] or 0)
        requests.append(first)
        assets_or_error["nodes"] = assets_or_error["nodes"][first : first + 100]
        assets_or_error["cursor"] = str(first + len(assets_or_error["nodes"]))
        return httpx.Response(200, json=data)

    for number in range(130):
        mark = f"headway-hold id=headway-{number:010} by=alice until=2099-01-01T00:00:00Z"
        fake.observed["headway", "holds", "lab", f"job_{number}"] = [mark]
    assert 130 == len(opened(fake, httpx.MockTransport(paged)).holds(5))
    assert [0, 100] == requests


def test_a_job_that_is_not_watched_has_no_holds_here() -> None:
    fake = dagster("nightly")
    hold(opened(fake))
    assert [] == marks(opened(fake, jobs=("other/*",)))


def test_a_release_that_is_refused_after_its_start_is_unknown() -> None:
    fake = dagster("nightly")
    connector = opened(fake)
    key = hold(connector)
    preview = allowed(connector, release_ask(JOB, key))
    fake.refuse = {"reportRunlessAssetEvents"}
    with pytest.raises(OutcomeUnknown, match="nightly was started, then: "):
        connector.act(preview, new_key(), 5)
    assert {"nightly": "RUNNING"} == mark_states(fake)


def test_a_stop_that_is_refused_and_whose_mark_stays_is_unknown() -> None:
    fake = dagster("nightly")
    connector = opened(fake)
    preview = allowed(connector, hold_ask(JOB))
    fake.refuse_after = {"reportRunlessAssetEvents": {"stopRunningSchedule", "reportRunlessAssetEvents"}}
    with pytest.raises(OutcomeUnknown, match="the changes before it are left: "):
        connector.act(preview, new_key(), 5)
    assert [True] == [is_bare for _, is_bare in marks(connector)]
