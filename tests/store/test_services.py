"""Service days promised, delivered and kept, as rows and as queries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from console.cli.services import attainment_json, attainment_lines, attainment_table, service_table
from console.domain.decision import Decisions, ServiceDayVerdict
from console.domain.estate import EvaluationSettings
from console.domain.history import DurationEstimate, DurationQuantiles, EstimateKind
from console.domain.ids import micros
from console.domain.promise import (
    AttainmentDay,
    AttainmentWindow,
    DeadlineRule,
    Promise,
    ServiceAgreement,
    ServiceObjective,
    attainment,
)
from console.domain.reason import LateBecause, LaterRisk
from console.domain.service import Timeliness
from console.domain.settings import JobBudget
from console.engine.api.documents import service_document
from console.engine.api.status_page import page_service
from console.store.audit import ChangeOrigin
from console.store.config_sync import sync_config
from console.store.decisions import apply_decisions
from console.store.errors import NotFound
from console.store.queries.reader import Queries
from console.store.services import extend_deadline
from console.store.snapshot.estate import load_estate
from tests.factories import minutes
from tests.reasons import reason_of
from tests.store.estate import DATE, EXTRACT, JOBS, MIDNIGHT, SERVED, SUPPLY, Estate, at, failed, run
from tests.store.test_decisions import ROUTES, day

PROMISE = Promise(
    DeadlineRule(after_start=timedelta(minutes=90), of=EXTRACT), ServiceObjective(0.9, 30), ServiceAgreement(1, 90)
)


def promise(night: Estate, what: Promise) -> None:
    sync_config(night.store, replace(SERVED, services=(replace(SUPPLY, promise=what),)), MIDNIGHT, None)


def judged(night: Estate, *days: ServiceDayVerdict) -> None:
    apply_decisions(night.store, Decisions(service_days=days), at("03:20"), 1, None, ROUTES)


def past(ago: int, delivered: datetime | None, timeliness: Timeliness = Timeliness.MET) -> ServiceDayVerdict:
    """The day so many business dates ago, due 05:30."""
    due = at("05:30") - timedelta(days=ago)
    shown = delivered - timedelta(days=ago) if delivered else None
    return day(
        business_date=DATE - timedelta(days=ago), deadline=due, promised=None, agreed=due, delivered_at=shown,
        timeliness=timeliness, incident_key=None,
    )  # fmt: skip


def give(night: Estate, until: datetime | None, why: str = "late") -> str:
    until_us = None if until is None else micros(until)
    what = ("supply", DATE.isoformat())
    change = ChangeOrigin("ann", "here", why, micros(at("03:20")))
    return extend_deadline(night.store, None, what, until_us, change)  # type: ignore[arg-type]


def test_a_promise_comes_back_as_config_has_it_with_the_number_of_its_job(served: Estate) -> None:
    promise(served, PROMISE)
    [service] = load_estate(served.store, at("03:20"), EvaluationSettings()).services
    assert replace(PROMISE, deadline=replace(PROMISE.deadline, of_id=served.job_id())) == service.promise


def test_the_last_extension_is_what_an_evaluation_sees(served: Estate) -> None:
    judged(served, day())
    assert "" == give(served, at("06:00"), "late files")
    assert "" == give(served, at("06:30"), "later")
    [deadline_extension] = load_estate(served.store, at("03:20"), EvaluationSettings()).extensions
    assert ("supply", DATE, at("06:30"), "ann", "later") == (
        deadline_extension.service,
        deadline_extension.business_date,
        deadline_extension.until,
        deadline_extension.by,
        deadline_extension.why,
    )
    assert "" == give(served, None)
    assert () == load_estate(served.store, at("03:20"), EvaluationSettings()).extensions
    assert [("late files",)] == served.rows("SELECT why FROM extension WHERE id = 1")


def test_time_is_given_only_to_what_is_promised_and_only_more(served: Estate) -> None:
    assert "has no promise on 2026-11-19" in give(served, at("06:00"))
    judged(served, day())
    assert "due later already" in give(served, at("05:00"))
    assert "more than 366 days ahead" in give(served, datetime(9999, 12, 31, 23, 30, tzinfo=UTC))
    assert [] == served.rows("SELECT * FROM extension")


def left_out(ago: int = 0) -> ServiceDayVerdict:
    """The day so many business dates ago, which its calendar does not have."""
    return replace(
        past(ago, None, Timeliness.NO_PROMISE),
        data_state="",
        reasons=(LateBecause(("no promise for it: calendar x, closed",)),),
    )


def test_a_date_without_a_promise_counts_for_nothing_and_gets_no_time(served: Estate, reads: Queries) -> None:
    promise(served, PROMISE)
    judged(served, past(1, at("05:30")), left_out())
    [view] = reads.service_days.service_attainment()
    assert (AttainmentWindow(30, 1, 1, 0), 0) == (view.attainment.windows[0], view.attainment.sla_missed)
    assert ["2026-11-18"] == [
        night.business_date for night in reads.handover.service_nights(at("00:00") - timedelta(days=3), at("23:00"))
    ]
    assert "supply has no promise for it: calendar x, closed" == give(served, at("06:00"))
    shown = reads.services.service("supply", DATE.isoformat())
    assert (False, None) == (shown.is_promised, service_document(shown)["deadline"])


def test_a_job_is_not_expected_on_a_date_without_a_promise(served: Estate, reads: Queries) -> None:
    judged(served, past(0, None, Timeliness.AT_RISK))
    assert {served.job_id()} <= reads.services.promised().keys()
    judged(served, left_out())
    assert {} == reads.services.promised()


def test_what_was_pending_is_promised_no_more_and_what_was_delivered_stays(served: Estate, reads: Queries) -> None:
    """A calendar that leaves out a date after it was judged."""
    judged(served, past(1, at("05:30")), past(0, None, Timeliness.AT_RISK))
    judged(served, left_out(1), left_out(0))
    texts = [reads.services.service("supply", (DATE - timedelta(days=ago)).isoformat()).timeliness for ago in (1, 0)]
    assert ["met", "no_promise"] == texts


def test_a_changed_config_forgets_which_dates_were_left_out(served: Estate, reads: Queries) -> None:
    """Nothing of it may run on a date that counts again, and then nobody would judge it again."""
    judged(served, left_out())
    promise(served, PROMISE)
    assert "not judged yet" == reason_of(reads.services.service("supply", DATE.isoformat()))


def test_dates_in_time_and_the_remaining_budget_are_shown(served: Estate, reads: Queries) -> None:
    promise(served, PROMISE)
    late = past(3, at("05:31"), Timeliness.MET_LATE)
    never = past(2, None, Timeliness.BREACHED)
    unproved = past(1, None, Timeliness.NO_ESTIMATE)
    judged(served, late, never, unproved, *(past(ago, at("05:30")) for ago in range(4, 60)), past(0, None))
    [view] = reads.service_days.service_attainment()
    assert (AttainmentWindow(30, 28, 26, 1), AttainmentWindow(90, 58, 56, 1)) == view.attainment.windows
    assert [(
        "Supply plan", "3", "92.9 % (26 of 28, 1 unknown)", "96.6 % (56 of 58, 1 unknown)", "0.9 over 30d",
        "0.8 of 2.8 days", "2 late of 1 allowed in 90d: broken",
    )] == [tuple(row) for row in attainment_table([view]).rows]  # fmt: skip
    assert attainment_lines(view)[1] == "objective      0.9 over 30d; error budget left: 0.8 of 2.8 days"
    assert {"days": 90, "allowed": 1, "missed": 2, "left": -1} == attainment_json(view)["sla"]
    with pytest.raises(NotFound, match="did you mean supply"):
        reads.service_days.service_attainment("suply")


def test_more_time_counts_for_the_objective_and_not_for_the_agreement() -> None:
    due = at("05:30")
    extended = AttainmentDay(DATE, due + timedelta(hours=1), due, due, due + timedelta(minutes=30), Timeliness.MET)
    result = attainment([extended], PROMISE, DATE, at("08:00"))
    assert (1.0, 1, 0) == (result.windows[0].share, result.sla_missed, result.sla_left)


def test_a_service_without_days_has_no_share_and_all_of_its_budget() -> None:
    result = attainment([], PROMISE, DATE, at("08:00"))
    assert (None, 0.0, 1) == (result.windows[0].share, result.budget_left, result.sla_left)
    assert None is attainment([], Promise(), DATE, at("08:00")).budget


def test_the_critical_path_of_a_day_is_read_with_its_runs_and_attempts(served: Estate, reads: Queries) -> None:
    sources = (
        DurationEstimate(served.job_id(), EstimateKind.HISTORY, 14, DurationQuantiles(*map(minutes, (4, 6, 7)))),
    )
    judged(served, replace(day(incident_key=None), sources=sources, path=(served.job_id(),)))
    served.ingest(failed(), run(attempt="2", started_at=at("03:20"), ended_at=at("03:26")), now="03:30")
    [job] = reads.service_days.critical_path("supply", DATE.isoformat())
    assert (EXTRACT, 240.0, "history") == (job.name, job.usual_s, job.source)
    [shown] = job.runs
    assert [(at("03:10"), "failed"), (at("03:20"), "succeeded")] == [
        (timeline_attempt.started, timeline_attempt.state) for timeline_attempt in shown.tries
    ]
    assert [] == reads.service_days.critical_path("supply", "2020-01-01")


def test_today_is_shown_until_it_is_delivered_with_the_risk_of_tomorrow_as_one_clause(
    served: Estate, reads: Queries
) -> None:
    """Repaired and expected on time; tomorrow has a 36 % risk."""
    today = day(timeliness=Timeliness.ON_TIME, act_by=None, incident_key=None, cause="", reasons=())
    risky = replace(
        today, business_date=DATE + timedelta(days=1), deadline=at("05:30") + timedelta(days=1),
        timeliness=Timeliness.AT_RISK, p_late=0.36,
    )  # fmt: skip
    judged(served, today, risky)
    view = reads.services.service("supply")
    assert ("on_time", at("05:30"), False) == (view.timeliness, view.deadline, view.is_later)
    assert (LaterRisk(risky.deadline, "at_risk", 0.36),) == view.reasons
    [row] = service_table([view], at("03:20")).rows
    assert any("next: " in cell and cell.endswith(", 36 % risk") for cell in row), row
    assert "; next: Sat 21 Nov 06:30 CET, 36 % risk" in page_service(view, None, at("03:20")).outlook
    judged(served, replace(risky, timeliness=Timeliness.WILL_MISS, act_by=at("04:00") + timedelta(days=1)))
    assert "next: 21 Nov 05:30 UTC, will miss" == reason_of(reads.services.service("supply"))
    judged(served, replace(today, delivered_at=at("05:00"), timeliness=Timeliness.MET))
    view = reads.services.service("supply")
    assert ("will_miss", risky.deadline, True, ()) == (view.timeliness, view.deadline, view.is_later, view.reasons)


def test_the_cost_of_the_attempts_of_a_run_is_summed_where_a_budget_needs_it(served: Estate) -> None:
    served.ingest(
        failed(context={"cost": 1.5}),
        run(attempt="2", started_at=at("03:20"), ended_at=at("03:25"), context={"cost": 2, "tokens": 9}),
        run(JOBS[1], "03:30", "3", context={"cost": 8}),
        run(period="04:00", attempt="4", context={"cost": "dear"}),
        now="04:30",
    )
    assert {} == load_estate(served.store, at("04:30"), EvaluationSettings()).costs
    job_setting = replace(SERVED.jobs[0], budget=JobBudget(timedelta(minutes=20), 3.0))
    sync_config(served.store, replace(SERVED, jobs=(job_setting,)), MIDNIGHT, None)
    estate = load_estate(served.store, at("04:30"), EvaluationSettings())
    assert [3.5] == list(estate.costs.values())
    job = estate.jobs[served.job_id()]
    assert (timedelta(minutes=20), 3.0) == (job.budget_time, job.budget_cost)
