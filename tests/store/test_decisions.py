"""Decisions as rows, and the estate that the next evaluation sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta
from typing import Any

import pytest

from connectors.sdk.records import JobRecord, instant_key
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from console.domain.alert import AlertKind, NotifiedDay, NotifiedIncident, SuppressedNotice, SuppressionFacts
from console.domain.decision import (
    AffectedServiceVerdict,
    Decisions,
    ExpectedRun,
    IncidentDecision,
    IncidentOwner,
    KnownIncident,
    MemberVerdict,
    NewIncident,
    Notice,
    ReopenedIncident,
    RunJudgement,
    ServiceDayVerdict,
    Suppressions,
)
from console.domain.dependency import DependencyOrigin
from console.domain.estate import DependencyFacts, EvaluationSettings, LastVerdict, RunFacts
from console.domain.forecast import ForecastTally, JobForecast
from console.domain.history import DurationEstimate, EstimateBasis, EstimateKind
from console.domain.ids import micros
from console.domain.incident_record import CauseRecord, Flaps, IncidentFingerprint, RootRun
from console.domain.inventory import DetectedDrift, InventoryChanges, VanishedJob
from console.domain.message import DIVIDER, Message, body_text, title_text
from console.domain.reason import BadDelivery, GreenAgain, LateBecause, Repetition
from console.domain.service import Timeliness
from console.domain.stored import stored_text
from console.domain.text import At, Title
from console.store.actions import run_ref
from console.store.db import lease
from console.store.decisions import AppliedDecisions, apply_decisions
from console.store.errors import LeaseLost
from console.store.ingest.inventory import write_inventory
from console.store.notification_state import last_notifications
from console.store.queries import open_queries
from console.store.snapshot.estate import load_estate
from tests.messages import message_of
from tests.store.estate import DATE, EXTRACT, JOBS, MIDNIGHT, Estate, at, failed, run, running

ROUTES = {"oncall": ("env ONCALL_MAIL", "env ONCALL_CHAT"), "nobody": ()}


def decide(served: Estate, now: str = "03:30", seq: int = 7, **decisions: Any) -> AppliedDecisions:
    return apply_decisions(served.store, Decisions(**decisions), at(now), seq, None, ROUTES)


def expected(period: str = "04:10", job: int = 1, **changes: Any) -> ExpectedRun:
    expected_run = ExpectedRun(
        job, instant_key(at(period)), at(period), DATE, RunState.PLANNED, RunEvidence.INFERRED, ("daily",)
    )
    return replace(expected_run, **changes)


def incident(root: int = 1, **changes: Any) -> IncidentDecision:
    """`root`: the number of its job and of its run."""
    decision = IncidentDecision(
        incident=NewIncident(),
        key="run:1:2026-11-20T03:10:00Z",
        title=Title(("etl-hosts/db07:extract_orders", " failed: exit 1")),
        cause=CauseRecord("run", DATE, RootRun(root, "2026-11-20T03:10:00Z")),
        reason=("exit 1",),
        owner=IncidentOwner("platform"),
        failed_since=at("03:12"),
        act_by=at("03:58"),
        repeated=Repetition("extract_orders", None, 2),
        members=(MemberVerdict(root, "2026-11-20T03:10:00Z", "root", root), MemberVerdict(4, "m", "threatened", None)),
        services=(
            AffectedServiceVerdict(
                "supply",
                DATE,
                at("05:30"),
                Timeliness.AT_RISK,
                expected_at=at("06:00"),
                act_by=at("03:58"),
                green_by=at("04:21"),
                reasons=(LateBecause(("x",)),),
                basis=EstimateBasis(EstimateKind.DECLARED),
            ),
        ),
        fingerprint=IncidentFingerprint(NotifiedIncident("f1")),
        notices=(Notice(AlertKind.OPENED, "oncall", message_of("{incident} extract_orders failed", "see {incident}")),),
        event=("opened",),
    )
    return replace(decision, **changes)


TABLES = ("run", "latest_run", "job_counts", "service_day", "incident", "incident_member", "incident_service", "event",
          "alert", "delivery", "meta")  # fmt: skip


def tables(served: Estate) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(served.rows(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


@pytest.mark.parametrize("reported, kind", [("", "instant"), ("2026-11-20", "name")])
def test_the_deduced_partition_of_an_expected_run_is_stored_and_gives_way_to_the_reported_one(
    served: Estate, reported: str, kind: str
) -> None:
    query = "SELECT period_kind, period_name FROM run WHERE job_id = 1 AND period_us = :due"
    of_name = PeriodKind.NAME
    for of, name in ((of_name, "2026-11-18"), (of_name, "2026-11-19"), (of_name, ""), (PeriodKind.INSTANT, "")):
        decide(served, expected=(expected(period_kind=of, period_name=name),))
        assert [(of.value, name)] == served.rows(query, due=micros(at("04:10")))
    decide(served, expected=(expected(period_kind=of_name, period_name="2026-11-19"),))
    [(run_id,)] = served.rows("SELECT id FROM run WHERE job_id = 1 AND period_us = :due", due=micros(at("04:10")))
    native = run_ref(served.store, run_id)
    assert native is not None
    assert "2026-11-19" == native.ref.period_name, "its start is launched with it"
    served.ingest(run(period="04:10", period_name=reported))
    assert [(kind, reported)] == served.rows(query, due=micros(at("04:10")))


def test_an_all_clear_that_was_put_off_is_dropped_when_its_incident_is_red_again(served: Estate) -> None:
    decide(served, incidents=(incident(),))
    over = Notice(AlertKind.RECOVERED, "oncall", message_of("over", "over"), not_before=at("04:10"))
    held = SuppressedNotice("oncall", "technical", AlertKind.RECOVERED, "flapping", "flapping", at("04:10"))
    decide(
        served,
        "03:40",
        incidents=(
            incident(
                incident=KnownIncident(1),
                close_reason=GreenAgain(),
                notices=(over,),
                suppressions=Suppressions((held,)),
                flaps=Flaps(2, at("03:12")),
            ),
        ),
    )
    decide(
        served, "03:50", incidents=(incident(incident=ReopenedIncident(1), notices=(), flaps=Flaps(3, at("03:12"))),)
    )
    query = "SELECT d.state, d.error FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE a.kind = 'recovered'"
    assert [("dropped", "it was reopened before that was sent")] * 2 == served.rows(query)
    assert ["pending", "pending"] == [
        state for (state,) in served.rows("SELECT d.state FROM delivery d JOIN alert a ON a.id = d.alert_id"
                                          " WHERE a.kind = 'opened'")
    ]  # fmt: skip
    assert (micros(at("03:50")), "it was reopened before that was sent") == served.fetch_one(
        "SELECT ended_us, ended_why FROM alert_suppressed"
    )
    text = "oncall was not notified of its recovery: it was reopened before that was sent"
    assert text == served.fetch_one("SELECT text FROM event WHERE kind = 'suppressed'")
    assert Flaps(3, at("03:12")) == load_estate(served.store, at("03:51"), EvaluationSettings()).incidents[0].flaps


def test_a_failure_that_was_over_before_it_was_seen_is_in_the_timeline(served: Estate) -> None:
    decide(served, incidents=(incident(),))
    line = "not notified: hosts/extract failed at 03:32 UTC"
    decide(
        served,
        "03:40",
        incidents=(
            incident(
                incident=KnownIncident(1), close_reason=GreenAgain(), suppressions=Suppressions(superseded=((line,),))
            ),
        ),
    )
    assert [(1, stored_text((line,)))] == served.rows("SELECT incident_id, text FROM event WHERE kind = 'suppressed'")


def test_what_left_before_its_incident_was_red_again_is_not_dropped(served: Estate) -> None:
    decide(served, incidents=(incident(),))
    over = Notice(AlertKind.RECOVERED, "oncall", message_of("over", "over"), not_before=at("04:10"))
    decide(
        served, "03:40", incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=(over,)),)
    )
    decide(served, "04:10", incidents=(incident(incident=ReopenedIncident(1), notices=()),))
    assert {"pending"} == {state for (state,) in served.rows("SELECT state FROM delivery")}


# -- expected runs ----------------------------------------------------------------------------------------------------
def test_an_expected_run_is_there_and_shown_where_a_job_has_no_other(served: Estate) -> None:
    decide(served, expected=(expected("04:10"), expected("05:10")))
    assert [("planned", '["daily"]', 0, True, "2026-11-19", micros(at("04:10")))] == served.rows(
        "SELECT state, reason, attempts, expected, business_date, period_us FROM run WHERE sort_us = :at",
        at=micros(at("04:10")),
    )
    assert ("planned", micros(at("04:10"))) == served.fetch_one(
        "SELECT state, sort_us FROM latest_run WHERE job_id = 1"
    )


def test_what_is_only_planned_does_not_hide_what_happened(served: Estate) -> None:
    served.ingest(failed())
    decide(served, expected=(expected("04:10"),))
    assert "failed" == served.fetch_one("SELECT state FROM latest_run WHERE job_id = 1")
    decide(served, expected=(expected("04:10", state=RunState.MISSED, why=("no start in the log",)),))
    assert "missed" == served.fetch_one("SELECT state FROM latest_run WHERE job_id = 1")


def test_an_expectation_never_overwrites_what_really_ran(served: Estate) -> None:
    served.ingest(running(period="04:10"), now="04:11")
    decide(served, expected=(expected("04:10", state=RunState.MISSED),))
    assert ("running", True, 1) == served.fetch_one("SELECT state, expected, attempts FROM run")


def test_an_expected_run_that_starts_is_the_same_run(served: Estate) -> None:
    decide(served, expected=(expected("04:10"),))
    served.ingest(running(period="04:10"), now="04:11")
    assert [(1, "running", True, 1)] == served.rows("SELECT id, state, expected, attempts FROM run")
    assert "running" == served.fetch_one("SELECT state FROM latest_run WHERE job_id = 1")


def test_a_withdrawn_expectation_is_deleted_and_one_that_began_stays(served: Estate) -> None:
    decide(served, expected=(expected("04:10"), expected("05:10")))
    served.ingest(running(period="04:10"), now="04:11")
    assert 2 == len(load_estate(served.store, at("04:12"), EvaluationSettings()).runs)
    decide(served, withdrawn=(1, 2))
    assert [(1, "running")] == served.rows("SELECT id, state FROM run")
    assert [1] == [run.id for run in load_estate(served.store, at("04:12"), EvaluationSettings()).runs]


def test_the_number_of_a_deleted_run_is_never_reused(served: Estate) -> None:
    """Somebody may still have its preview open: the rerun would be another job's."""
    decide(served, expected=(expected("04:10"), expected("05:10")))
    decide(served, withdrawn=(2,))
    decide(served, expected=(expected("06:10", job=2),))
    assert [(1, 1), (3, 2)] == served.rows("SELECT id, job_id FROM run ORDER BY id")


# -- judgements and service days --------------------------------------------------------------------------------------
def test_a_judgement_is_stored_beside_the_state_and_survives_the_next_poll(served: Estate) -> None:
    served.ingest(run())
    decide(served, judgements=(RunJudgement(1, Timeliness.MET, True),))
    assert ("succeeded", "met", True) == served.fetch_one("SELECT state, timeliness, stale_read FROM run")
    assert 2 == served.fetch_one("SELECT attention FROM latest_run WHERE job_id = 1")
    served.ingest(run(), failed(attempt="2", started_at=at("03:40")), now="03:50")
    assert ("failed", "met", True) == served.fetch_one("SELECT state, timeliness, stale_read FROM run")


def day(**changes: Any) -> ServiceDayVerdict:
    service_day = ServiceDayVerdict(
        "supply",
        DATE,
        at("05:30"),
        Timeliness.AT_RISK,
        data_state="open",
        expected_at=at("05:00"),
        late_at=at("06:00"),
        act_by=at("03:58"),
        green_by=at("04:21"),
        cause=EXTRACT,
        incident_key="run:1:2026-11-20T03:10:00Z",
        sources=(DurationEstimate(1, EstimateKind.DECLARED, 0, None),),
        path=(1, 4),
        reasons=(LateBecause(("act by 03:58",)),),
    )
    return replace(service_day, **changes)


def test_a_service_day_names_the_incident_that_was_opened_with_it(served: Estate) -> None:
    served.ingest(failed())
    decide(served, service_days=(day(),), incidents=(incident(),))
    columns = "business_date, deadline_us, timeliness, act_by_us, cause, incident_id, path, reasons, sources"
    assert (
        "2026-11-19", micros(at("05:30")), "at_risk", micros(at("03:58")), EXTRACT, 1, "[1, 4]",
        '[{"kind": "late_because", "delays": ["act by 03:58"]}]',
        f'[{{"job": "{EXTRACT}", "source": "declared", "runs": 0, "p50_s": null, "p90_s": null, "p95_s": null}}]',
    ) == served.fetch_one(f"SELECT {columns} FROM service_day")  # fmt: skip
    decide(served, service_days=(day(timeliness=Timeliness.MET, delivered_at=at("05:00")),))
    assert [("met", micros(at("05:00")))] == served.rows("SELECT timeliness, delivered_us FROM service_day")


# -- incidents --------------------------------------------------------------------------------------------------------
def test_an_incident_is_opened_with_one_delivery_for_each_url_of_its_route(served: Estate) -> None:
    served.ingest(failed())
    assert AppliedDecisions((1,), (), (1,)) == decide(served, incidents=(incident(),))
    title = '["etl-hosts/db07:extract_orders", " failed: exit 1"]'
    assert (title, micros(at("03:30")), None, 1) == served.fetch_one(
        "SELECT title, opened_us, closed_us, version FROM incident"
    )
    key, kind, stored = served.fetch_one("SELECT dedup_key, kind, message FROM alert")
    message = Message.from_json(stored)
    assert (
        "run:1:2026-11-20T03:10:00Z",
        "opened",
        "INC-0001 extract_orders failed",
        "see INC-0001\n",
    ) == (key, kind, title_text(message.title), body_text(message.blocks))
    assert [(0, "env ONCALL_MAIL", "pending", 0), (1, "env ONCALL_CHAT", "pending", 0)] == served.rows(
        "SELECT url_index, receiver, state, tries FROM delivery ORDER BY url_index"
    )
    assert [("opened", '["opened"]')] == served.rows("SELECT kind, text FROM event")
    assert ("supply", "at_risk", '{"kind": "declared"}') == served.fetch_one(
        "SELECT s.name, x.timeliness, x.basis FROM incident_service x JOIN service s ON s.id = x.service_id"
    )


def test_the_same_decision_again_writes_nothing(served: Estate) -> None:
    served.ingest(failed())
    again: dict[str, Any] = {"expected": (expected(),), "judgements": (RunJudgement(1, Timeliness.BREACHED, False),),
             "service_days": (day(),)}  # fmt: skip
    decide(served, **again, incidents=(incident(),))
    before = tables(served)
    assert AppliedDecisions() == decide(
        served, now="03:31", **again, incidents=(incident(incident=KnownIncident(1), notices=(), event=()),)
    )
    assert before == tables(served)


def test_a_deadline_that_passes_with_stale_data_is_not_called_undelivered(served: Estate) -> None:
    served.ingest(failed())
    given = BadDelivery(at("05:10"))
    missed = replace(incident().services[0], timeliness=Timeliness.BREACHED, reasons=(given,))
    decide(served, "05:31", incidents=(incident(services=(missed,)),))
    text = f"supply of {DATE}: not delivered with good data by its deadline, ", At(at("05:30"))
    assert [(stored_text(text),)] == served.rows("SELECT text FROM event WHERE kind = 'breached'")


def test_a_deadline_that_passes_is_an_event_once_also_where_it_was_delivered_late_after_that(served: Estate) -> None:
    """It is shown in the timeline of `headway incident` and in the report."""
    served.ingest(failed())
    service = incident().services[0]
    decide(served, incidents=(incident(),))
    for clock, timeliness in (("05:31", "breached"), ("05:32", "breached"), ("06:10", "met_late")):
        missed = replace(service, timeliness=Timeliness(timeliness))
        decide(
            served, clock, incidents=(incident(incident=KnownIncident(1), notices=(), event=(), services=(missed,)),)
        )
    text = f"supply of {DATE}: not delivered by its deadline, ", At(at("05:30"))
    assert [("breached", stored_text(text), micros(at("05:31")))] == served.rows(
        "SELECT kind, text, at_us FROM event WHERE kind <> 'opened'"
    )


def test_an_update_keeps_the_key_and_is_a_further_alert(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    update = incident(
        incident=KnownIncident(1),
        members=(MemberVerdict(1, "2026-11-20T03:10:00Z", "root", 1), MemberVerdict(2, "p", "red", None)),
        fingerprint=IncidentFingerprint(NotifiedIncident("f2")),
        notices=(Notice(AlertKind.UPDATED, "oncall", message_of("t", "b")),),
        event=("load_stock hit too",),
    )
    assert AppliedDecisions((), (), (2,)) == decide(served, incidents=(update,))
    assert [(1, "opened"), (2, "updated")] == served.rows("SELECT version, kind FROM alert ORDER BY id")
    assert 1 == served.fetch_one("SELECT count(DISTINCT dedup_key) FROM alert")
    assert [(1, "root"), (2, "red")] == served.rows("SELECT job_id, role FROM incident_member ORDER BY job_id")
    assert ["opened", "updated"] == [item for (item,) in served.rows("SELECT kind FROM event ORDER BY id")]


def test_a_closed_incident_has_a_reason_and_notifies_the_same_route(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    closing = incident(
        incident=KnownIncident(1), close_reason=GreenAgain(), event=("closed",),
        notices=(Notice(AlertKind.RECOVERED, "oncall", message_of("t", "b")),),
    )  # fmt: skip
    assert AppliedDecisions((), (1,), (2,)) == decide(served, now="04:00", incidents=(closing,))
    assert (micros(at("04:00")), '{"kind": "green_again"}') == served.fetch_one(
        "SELECT closed_us, close_reason FROM incident"
    )
    assert () == load_estate(served.store, at("04:00"), EvaluationSettings()).incidents


def test_the_repetition_of_an_incident_without_a_service_is_read_until_it_closes(
    served: Estate, store_url: str
) -> None:
    served.ingest(failed())
    repeated = Repetition("extract_orders", at("04:00"), 2)
    decide(served, incidents=(incident(services=(), repeated=repeated),))
    with open_queries(store_url) as reads:
        assert repeated == reads.incidents.incident(1).repeated
    closed = incident(incident=KnownIncident(1), close_reason=GreenAgain(), services=(), repeated=None)
    decide(served, now="04:00", incidents=(closed,))
    with open_queries(store_url) as reads:
        assert reads.incidents.incident(1).repeated is None


def test_the_time_to_escalation_of_a_reopened_incident_restarts(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=(Notice(AlertKind.OPENED, "oncall", message_of("t", "b")),)),))
    decide(served, now="04:00", incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain()),))
    decide(served, now="04:20", incidents=(incident(incident=ReopenedIncident(1), notices=()),))
    decide(served, now="04:30", incidents=(incident(incident=KnownIncident(1), notices=()),))
    [notification] = load_estate(served.store, at("04:30"), EvaluationSettings()).notifications.notified[1]
    assert at("04:20") == notification.first_at


def test_the_notification_of_each_route_is_stored_with_its_alert_also_for_merged_incidents(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]))
    symptom = (Notice(AlertKind.OPENED, "second", message_of("t", "b"), content=NotifiedIncident("s")),)
    decide(served, incidents=(incident(key="run:2:x", root=2, notices=symptom),))
    first = (Notice(AlertKind.OPENED, "oncall", message_of("t", "b"), content=NotifiedIncident("f")),)
    decide(served, incidents=(incident(merges={1: "load"}, notices=first),))
    with served.store.read() as connection:
        notifications = last_notifications(connection, [2])
    assert {"second": "s", "oncall": "f"} == {
        notification.route: notification.content.cause for notification in notifications[2]
    }


def test_a_service_day_is_known_as_a_merged_incident_notified_it_last(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]))

    def notices_of(status: str) -> tuple[Notice, ...]:
        content = NotifiedIncident(days=(NotifiedDay("supply", date(2026, 11, 19), status),))
        return (Notice(AlertKind.UPDATED, "planning", message_of("t", "b"), style="business", content=content),)

    decide(served, now="04:00", incidents=(incident(notices=notices_of("at_risk")),))
    symptom = incident(key="run:2:x", root=2, notices=notices_of("breached"))
    decide(served, now="04:10", incidents=(symptom,))
    decide(served, now="04:20", incidents=(incident(incident=KnownIncident(1), merges={2: "load"}, notices=()),))
    notified = load_estate(served.store, at("04:30"), EvaluationSettings()).notifications.notified
    newest = max((notice for notices in notified.values() for notice in notices), key=lambda notice: notice.last_at)
    assert ["breached"] == [day.status for day in newest.content.days]


def test_a_suppressed_notification_is_a_row_until_it_is_sent(served: Estate) -> None:
    served.ingest(failed())
    until = at("06:00")
    held = (SuppressedNotice("oncall", "technical", AlertKind.OPENED, "quiet hours", "quiet hours until 06:00", until),)
    decide(served, incidents=(incident(suppressions=Suppressions(held), notices=()),))
    decide(served, incidents=(incident(incident=KnownIncident(1), suppressions=Suppressions(held), notices=()),))
    question = "SELECT stage, why, ended_why, ended_us IS NULL FROM alert_suppressed"
    assert [("quiet hours", "quiet hours until 06:00", "", 1)] == served.rows(question)
    assert [] == served.rows("SELECT 1 FROM event WHERE kind = 'unsent'")
    dropped = (
        (
            SuppressionFacts("oncall", "technical", "opened", "quiet hours", "", since=at("03:30")),
            "resolved during quiet hours",
        ),
    )
    decide(
        served,
        incidents=(
            incident(
                incident=KnownIncident(1),
                close_reason=GreenAgain(),
                suppressions=Suppressions(dropped=dropped),
                notices=(),
            ),
        ),
    )
    assert [("quiet hours", "quiet hours until 06:00", "resolved during quiet hours", 0)] == served.rows(question)
    assert [("oncall was not notified: resolved during quiet hours",)] == served.rows(
        "SELECT text FROM event WHERE kind = 'suppressed'"
    )


def test_notices_of_one_group_leave_as_one_message_and_each_says_in_which(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]))
    notices = [(Notice(AlertKind.OPENED, "oncall", message_of(f"t  {n}", f"b{n}\n"), group="oncall"),) for n in (1, 2)]
    incident_decision = incident(notices=notices[0])
    decide(served, incidents=(incident_decision, incident(key="run:2:x", root=2, notices=notices[1])))
    assert [("opened", 3, "digested"), ("opened", 3, "digested"), ("group", None, "pending")] == served.rows(
        "SELECT a.kind, a.digest_id, d.state FROM alert a JOIN delivery d ON d.alert_id = a.id WHERE d.url_index = 0"
        " ORDER BY a.id"
    )
    [(stored,)] = served.rows("SELECT message FROM alert WHERE kind = 'group'")
    message = Message.from_json(stored)
    body = body_text(message.blocks)
    assert "t  1, and 1 more alert" == title_text(message.title)
    assert body.startswith(f"{DIVIDER}\nt 1\n\nb1\n")
    assert f"\n{DIVIDER}\nt 2\n\nb2\n" in body  # two blanks would part cells of a table


def test_incidents_with_one_key_are_numbered_beside_keys_that_look_like_it(served: Estate) -> None:
    others = ("run:a0b0c#7", "RUN:A_B%C#7", "run:a_b%c!#7", "run:a_b%c$7", "run:a_b%c2", "run:a_b%")
    for key in (*others, *["run:a_b%c"] * 3):
        decide(served, incidents=(incident(key=key, close_reason=GreenAgain()),))
    keys = served.rows("SELECT key FROM incident ORDER BY id")
    assert [(key,) for key in (*others, "run:a_b%c", "run:a_b%c#2", "run:a_b%c#3")] == keys


def test_a_root_that_fails_again_after_its_incident_was_closed_opens_another(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    decide(served, incidents=(incident(incident=KnownIncident(1), close_reason=GreenAgain(), notices=()),))
    assert AppliedDecisions((2,), (), (2,)) == decide(served, now="05:00", incidents=(incident(),))
    assert 2 == served.fetch_one("SELECT count(DISTINCT key) FROM incident")
    assert 2 == served.fetch_one("SELECT count(DISTINCT dedup_key) FROM alert")


def test_a_symptom_notified_first_is_merged_into_its_cause_silently(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]))
    decide(served, incidents=(incident(key="run:2:x", root=2),))
    assert AppliedDecisions((2,), (1,), (2,)) == decide(served, incidents=(incident(merges={1: "load"}),))
    assert [(1, '{"kind": "symptom_of", "incident": 2}', 2), (2, "", None)] == served.rows(
        "SELECT id, close_reason, merged_into FROM incident ORDER BY id"
    )


def test_an_incident_merged_twice_counts_as_notified_and_suppresses_nothing(served: Estate) -> None:
    served.ingest(failed(), failed(JOBS[1]), failed(JOBS[2]))
    held = (SuppressedNotice("oncall", "technical", AlertKind.OPENED, "group", "w", at("06:00")),)
    for number, merges in ((3, {}), (2, {1: "a"}), (1, {2: "b"})):
        values = (Notice(AlertKind.OPENED, f"route{number}", message_of("t", "b"), content=NotifiedIncident("f")),)
        incident_decision = incident(key=f"run:{number}:x", root=number, notices=values, merges=merges)
        decide(served, incidents=(replace(incident_decision, suppressions=Suppressions(held if number == 3 else ())),))
    with served.store.read() as connection:
        known = last_notifications(connection, [3])
    assert {"route1", "route2", "route3"} == {notification.route for notification in known[3]}
    assert [(1, "a symptom of INC-0002")] == served.rows(
        "SELECT incident_id, ended_why FROM alert_suppressed WHERE ended_us IS NOT NULL"
    )
    assert [] == served.rows("SELECT 1 FROM alert_suppressed WHERE ended_us IS NULL")


def test_a_route_without_a_url_is_recorded_in_the_timeline(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=(Notice(AlertKind.OPENED, "nobody", message_of("t", "b")),)),))
    assert 0 == served.fetch_one("SELECT count(*) FROM delivery")
    assert ['route "nobody" has no URL: not notified'] == [
        item for (item,) in served.rows("SELECT text FROM event WHERE kind = 'unsent'")
    ]


def test_an_incident_that_no_route_is_named_for_says_so_in_its_timeline(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(notices=()),))
    decide(served, incidents=(incident(incident=KnownIncident(1), notices=(), event=()),))
    assert ["no route is configured for it, and there is no default route: not notified"] == [
        item for (item,) in served.rows("SELECT text FROM event WHERE kind = 'unsent'")
    ]


def test_an_evaluation_without_the_lease_writes_nothing(served: Estate) -> None:
    lease.acquire_lease(served.store, "other", 10)
    before = tables(served)
    with pytest.raises(LeaseLost):
        apply_decisions(
            served.store, Decisions(expected=(expected(),), incidents=(incident(),)), at("03:30"), 7, 99, ROUTES
        )
    assert before == tables(served)


# -- what the next evaluation sees ------------------------------------------------------------------------------------
def test_the_estate_holds_what_matters_as_values(served: Estate) -> None:
    served.ingest(failed(), now="03:20", seen_until=at("03:19"))
    served.ingest(run(attempt="2", started_at=at("03:30"), ended_at=at("03:40")), now="03:45")
    estate = load_estate(served.store, at("04:00"), EvaluationSettings())
    job = estate.jobs[1]
    assert (EXTRACT, "cron", "10 3 * * *", MIDNIGHT, timedelta(minutes=14), "platform", time(12)) == (
        job.name, job.kind, job.schedule.expression, job.accepted_at, job.expected, job.owner, job.cutoff,
    )  # fmt: skip
    [run_facts] = estate.runs
    assert (2, at("03:10"), at("03:30"), DATE, ((at("03:30"), at("03:40")),)) == (
        run_facts.attempt,
        run_facts.first_started_at,
        run_facts.started_at,
        run_facts.business_date,
        run_facts.successes,
    )
    assert {1: (600.0,), 4: ()} == {job_id: tuple(seconds) for job_id, seconds in estate.durations.items()}
    assert (DependencyFacts(1, 4, DependencyOrigin.DECLARED),) == estate.dependencies
    [service] = estate.services
    assert ("supply", (4,), time(6, 30), ("oncall",)) == (
        service.name, service.terminals, service.deadline, service.notify,
    )  # fmt: skip
    target = estate.targets[served.host]
    assert (at("03:45"), at("03:19"), at("03:20")) == (target.last_ok_at, target.seen_until, target.first_ok_at)


def test_a_job_that_nothing_is_expected_of_and_that_never_ran_is_seen_too(served: Estate) -> None:
    write_inventory(served.store, served.airflow, InventoryChanges(new=(JobRecord("idle"),)), MIDNIGHT, None)
    assert {1, 2, 3, 4, 5} == set(load_estate(served.store, at("04:00"), EvaluationSettings()).jobs)


def test_drift_is_seen_with_its_reason(served: Estate) -> None:
    load_estate(served.store, at("04:00"), EvaluationSettings())
    changes = InventoryChanges(gone=(VanishedJob(1, "line gone"),))
    write_inventory(served.store, served.host, changes, at("04:00"), None)
    job = load_estate(served.store, at("04:01"), EvaluationSettings()).jobs[1]
    assert ("line gone", at("04:00"), "10 3 * * *") == (job.drift_reason, job.gone_since, job.schedule.expression)
    assert DetectedDrift("gone", "line gone") == DetectedDrift("gone", job.drift_reason)
    assert 0 == job.drift_change
    with served.store.write(None) as connection:
        connection.rows(
            "INSERT INTO drift (id, job_id, what, text, seen_us, accepted_by)"
            " VALUES (70, 1, 'definition', 'A.sh became B.sh', 0, '')"
        )
    job = load_estate(served.store, at("04:02"), EvaluationSettings()).jobs[1]
    assert ("line gone", 70) == (job.drift_reason, job.drift_change)


def test_an_open_incident_comes_with_the_runs_it_affects(served: Estate) -> None:
    served.ingest(failed())
    decide(served, incidents=(incident(),))
    [incident_facts] = load_estate(served.store, at("04:00"), EvaluationSettings()).incidents
    assert (
        1,
        "run:1:2026-11-20T03:10:00Z",
        1,
        frozenset({1}),
        frozenset({1}),
        IncidentFingerprint(NotifiedIncident("f1")),
        at("03:12"),
    ) == (
        incident_facts.id,
        incident_facts.key,
        incident_facts.cause.job_id,
        incident_facts.member_run_ids,
        incident_facts.affected_run_ids,
        incident_facts.fingerprint,
        incident_facts.failed_since,
    )


def test_an_incremental_read_equals_a_full_read(served: Estate) -> None:
    """Run by run through a night: the cached estate equals one that is read again each time."""

    def fresh(now: str) -> tuple[Any, ...]:
        from console.store.snapshot import estate as module

        estate = load_estate(served.store, at(now), EvaluationSettings())
        module._caches.pop(served.store)
        reloaded = load_estate(served.store, at(now), EvaluationSettings())
        assert estate == reloaded
        return tuple(reloaded.runs)

    seen: tuple[RunFacts, ...] = ()
    load_estate(served.store, at("03:00"), EvaluationSettings())
    served.ingest(running(), now="03:11")
    seen += fresh("03:12")
    decide(served, expected=(expected("04:10"), expected("05:10")))
    seen += fresh("03:31")
    served.ingest(failed(), run(JOBS[1]), now="03:40")
    decide(served, judgements=(RunJudgement(1, Timeliness.BREACHED, True),), withdrawn=(3,))
    seen += fresh("03:50")
    served.ingest(run(attempt="2", started_at=at("03:50"), ended_at=at("03:55")), now="03:56")
    seen += fresh("04:00")
    assert () == fresh("99:00")
    assert 2 < len(seen)


def test_what_is_open_is_seen_however_long_ago_it_began(served: Estate) -> None:
    served.ingest(running(started_at=at("03:10") - timedelta(days=30), period_at=at("03:10") - timedelta(days=30)))
    assert 1 == len(load_estate(served.store, at("04:00"), EvaluationSettings()).runs)


def verdict(late: float | None, **changes: Any) -> ServiceDayVerdict:
    service_day = ServiceDayVerdict(
        service="supply", business_date=DATE, deadline=at("05:30"), timeliness=Timeliness.AT_RISK, data_state="open",
        delivered_at=None, expected_at=at("05:10"), late_at=at("05:40"), act_by=None, green_by=None, cause="",
        incident_key=None, sources=(), path=(), p95_at=at("05:50"), p80_at=at("05:20"), p_late=late,
    )  # fmt: skip
    return replace(service_day, **changes)


def test_what_a_day_leaves_to_its_jobs_is_read_by_service_and_by_job(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "console.store.queries.base.ReadStore.now", lambda _: at("03:30")
    )  # days long past wait for nothing
    ids = [served.job_id(name) for name in JOBS[:2]]
    ahead = [
        JobForecast(
            job_id,
            0.2,
            1.0,
            at("04:00"),
            at("04:10"),
            at("05:00"),
            slack,
            at("03:58"),
            None,
            EstimateBasis(EstimateKind.DECLARED),
        )
        for job_id, slack in zip(ids, (-60, None), strict=True)
    ]
    decide(served, "03:00", service_days=(verdict(0.2, jobs=tuple(ahead), distrust="far off"),))
    with open_queries(served.store.url) as reads:
        both, [last] = (
            reads.service_days.job_forecasts("supply", DATE.isoformat()),
            reads.service_days.forecasts_of_job(ids[1]),
        )
        assert "far off" == reads.services.service("supply", DATE.isoformat()).unreliable_because
        assert (
            []
            == reads.service_days.forecasts_of_job(served.job_id(JOBS[2]))
            == reads.service_days.job_forecasts("daily", DATE.isoformat())
        )
    assert [f"etl-hosts/{name}" for name in JOBS[:2]] == [forecast.job for forecast in both]
    assert (0.2, 1.0, at("05:00"), -60, at("03:58"), None) == (
        both[0].p_late, both[0].decides, both[0].p95, both[0].slack_s, both[0].act_by, both[0].green_by,
    )  # fmt: skip
    assert both[1] == last
    decide(served, "05:25", service_days=(verdict(None, delivered_at=at("05:20"), timeliness=Timeliness.MET),))
    with open_queries(served.store.url) as reads:
        assert [] == reads.service_days.forecasts_of_job(ids[0]), "what is delivered waits for nothing"


def stored_forecasts(served: Estate) -> list[tuple[Any, ...]]:
    with served.store.read() as connection:
        return [*connection.rows("SELECT at_us, p_late, p50_us, p95_us FROM forecast ORDER BY id")]


def test_a_forecast_is_stored_when_it_changes_much_and_now_and_then_besides(served: Estate) -> None:
    for now, late in (("03:00", 0.2), ("03:01", 0.22), ("03:02", 0.3), ("03:31", 0.31), ("03:33", 0.31)):
        decide(served, now, service_days=(verdict(late),))
    decide(served, "05:31", service_days=(verdict(1.0),))
    entries = [(micros(at(now)), late) for now, late in (("03:00", 0.2), ("03:02", 0.3), ("03:33", 0.31))]
    assert entries == [row[:2] for row in stored_forecasts(served)]
    assert (micros(at("05:10")), micros(at("05:50"))) == stored_forecasts(served)[0][2:]


def test_a_forecast_without_a_simulation_is_not_stored(served: Estate) -> None:
    decide(served, "03:00", service_days=(verdict(None),))
    assert [] == stored_forecasts(served)


def test_how_a_day_in_danger_was_judged_last_is_known_to_the_next_evaluation(served: Estate) -> None:
    decide(served, "03:00", service_days=(verdict(0.2),))
    assert {("supply", DATE): LastVerdict(Timeliness.AT_RISK)} == dict(
        load_estate(served.store, at("03:01"), EvaluationSettings()).last_verdicts
    )
    decide(served, "03:02", service_days=(verdict(0.0, timeliness=Timeliness.ON_TIME),))
    assert {} == dict(load_estate(served.store, at("03:03"), EvaluationSettings()).last_verdicts)


def test_forecasts_given_in_time_for_past_dates_are_known_to_later_evaluations(served: Estate) -> None:
    decide(served, "03:00", service_days=(verdict(0.4),))
    done = verdict(0.0, delivered_at=at("05:20"), timeliness=Timeliness.MET)
    decide(served, "05:21", service_days=(done,))
    later = at("05:22") + timedelta(days=3)
    known = load_estate(served.store, later, EvaluationSettings())
    assert {"supply": ForecastTally(1, 0, ((0.0, 0.5, 0.0), (0.4, 0.5, 0.0)))} == dict(known.tallies), "two, of one day"
    assert {float} == {type(value) for row in known.tallies["supply"].counts for value in row}, "on either database"


@pytest.mark.parametrize("timeliness", [Timeliness.NO_ESTIMATE, Timeliness.NO_PROMISE])
def test_of_a_day_that_was_not_proved_late_nothing_is_learned(served: Estate, timeliness: Timeliness) -> None:
    """Its source does not prove how it ended, or its calendar has left it out since."""
    decide(served, "03:00", service_days=(verdict(0.4, p_own=0.2),))
    decide(served, "05:21", service_days=(verdict(None, timeliness=timeliness),))
    later = load_estate(served.store, at("05:22") + timedelta(days=3), EvaluationSettings())
    assert () == later.forecasts


def test_calibration_uses_the_raw_simulation_of_past_dates(served: Estate) -> None:
    decide(served, "03:30", service_days=(verdict(0.4, p_own=0.2),))
    decide(served, "05:21", service_days=(verdict(0.0, delivered_at=at("05:35"), timeliness=Timeliness.MET_LATE),))
    assert () == load_estate(served.store, at("05:36"), EvaluationSettings()).forecasts
    (forecast,) = load_estate(served.store, at("05:36") + timedelta(days=3), EvaluationSettings()).forecasts
    assert ([0.2, 0.0], True) == (forecast.late, forecast.was_late)
    assert DATE == date.fromordinal(forecast.night)


def test_the_oldest_forecasts_go(served: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.store.services.MAX_FORECASTS", 2)
    for now, late in (("03:00", 0.1), ("03:01", 0.3), ("03:02", 0.5), ("03:03", 0.7)):
        decide(served, now, service_days=(verdict(late),))
    assert [0.5, 0.7] == [row[1] for row in stored_forecasts(served)]
