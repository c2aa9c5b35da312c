"""What was promised, given and kept, as rows and as what is read of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from console.cli.attainment import attainment_json, attainment_lines, attainment_rows
from console.model.attainment import Attained, KeptDay, attainment
from console.model.decisions import Decisions, Estimate, ServiceDayVerdict
from console.model.ids import micros
from console.model.promises import Agreement, DeadlineRule, Objective, Promise
from console.model.values import Settings, Timeliness
from console.store.apply import apply
from console.store.config_sync import sync_config
from console.store.estate import load
from console.store.extensions import extend
from console.store.reads import NotFound, Reads
from tests.store.estate import BD, EXTRACT, MIDNIGHT, SERVED, SUPPLY, Estate, at, failed, run
from tests.store.test_apply import ROUTES, day

KEPT = Promise(DeadlineRule(after_start=timedelta(minutes=90), of=EXTRACT), Objective(0.9, 30), Agreement(1, 90))


def promise(night: Estate, what: Promise) -> None:
    sync_config(night.store, replace(SERVED, services=(replace(SUPPLY, promise=what),)), MIDNIGHT, None)


def judged(night: Estate, *days: ServiceDayVerdict) -> None:
    apply(night.store, Decisions(service_days=days), at("03:20"), 1, None, ROUTES)


def past(ago: int, delivered: datetime | None, timeliness: Timeliness = Timeliness.MET) -> ServiceDayVerdict:
    """The day so many business dates ago, due 05:30."""
    due = at("05:30") - timedelta(days=ago)
    shown = delivered - timedelta(days=ago) if delivered else None
    return day(
        bd=BD - timedelta(days=ago), deadline=due, promised=None, agreed=due, delivered_at=shown,
        timeliness=timeliness, incident_key=None,
    )  # fmt: skip


def give(night: Estate, until: datetime | None, why: str = "late") -> str:
    until_us = None if until is None else micros(until)
    return extend(night.store, None, "supply", BD.isoformat(), until_us, "ann", "here", why, micros(at("03:20")))  # type: ignore[arg-type]


def test_a_promise_comes_back_as_config_has_it_with_the_number_of_its_job(served: Estate) -> None:
    promise(served, KEPT)
    [found] = load(served.store, at("03:20"), Settings()).services
    assert replace(KEPT, deadline=replace(KEPT.deadline, of_id=served.job_id())) == found.promise


def test_the_last_word_on_more_time_is_what_an_evaluation_sees(served: Estate) -> None:
    judged(served, day())
    assert "" == give(served, at("06:00"), "late\x1b[2J files")
    assert "" == give(served, at("06:30"), "later")
    [found] = load(served.store, at("03:20"), Settings()).extensions
    assert ("supply", BD, at("06:30"), "ann", "later") == (found.service, found.bd, found.until, found.by, found.why)
    assert "" == give(served, None)
    assert () == load(served.store, at("03:20"), Settings()).extensions
    assert [("late files",)] == served.rows("SELECT why FROM extension WHERE id = 1")


def test_time_is_given_only_to_what_is_promised_and_only_more(served: Estate) -> None:
    assert "has no promise on 2026-11-19" in give(served, at("06:00"))
    judged(served, day())
    assert "due later already" in give(served, at("05:00"))
    assert [] == served.rows("SELECT * FROM extension")


def test_days_in_time_and_what_is_left_are_told(served: Estate, reads: Reads) -> None:
    promise(served, KEPT)
    late = past(3, at("05:31"), Timeliness.MET_LATE)
    never = past(2, None, Timeliness.BREACHED)
    unproved = past(1, None, Timeliness.NO_ESTIMATE)
    judged(served, late, never, unproved, *(past(ago, at("05:30")) for ago in range(4, 60)), past(0, None))
    [view] = reads.attainment()
    assert (Attained(30, 28, 26, 1), Attained(90, 58, 56, 1)) == view.attainment.windows
    assert [(
        "Supply plan", "3", "92.9 % (26 of 28, 1 unknown)", "96.6 % (56 of 58, 1 unknown)", "0.9 over 30d",
        "0.8 of 2.8 days", "2 late of 1 allowed in 90d: broken",
    )] == attainment_rows([view])  # fmt: skip
    assert attainment_lines(view)[1] == "objective      0.9 over 30d; error budget left: 0.8 of 2.8 days"
    assert {"days": 90, "allowed": 1, "missed": 2, "left": -1} == attainment_json(view)["sla"]
    with pytest.raises(NotFound, match="did you mean supply"):
        reads.attainment("suply")


def test_more_time_counts_for_the_objective_and_not_for_the_agreement() -> None:
    due = at("05:30")
    extended = KeptDay(BD, due + timedelta(hours=1), due, due, due + timedelta(minutes=30), Timeliness.MET)
    found = attainment([extended], KEPT, BD, at("08:00"))
    assert (1.0, 1, 0) == (found.windows[0].share, found.sla_missed, found.sla_left)


def test_a_service_without_days_has_no_share_and_all_of_its_budget() -> None:
    found = attainment([], KEPT, BD, at("08:00"))
    assert (None, 0.0, 1) == (found.windows[0].share, found.budget_left, found.sla_left)
    assert None is attainment([], Promise(), BD, at("08:00")).budget


def test_the_critical_path_of_a_day_is_read_with_its_runs_and_attempts(served: Estate, reads: Reads) -> None:
    sources = (Estimate(served.job_id(), "history", 14, timedelta(minutes=4), timedelta(minutes=6)),)
    judged(served, replace(day(incident_key=None), sources=sources, path=(served.job_id(),)))
    served.ingest(failed(), run(attempt="2", started_at=at("03:20"), ended_at=at("03:26")), now="03:30")
    [found] = reads.path_of("supply", BD.isoformat())
    assert (EXTRACT, 240.0, "history") == (found.job, found.usual_s, found.source)
    [shown] = found.runs
    assert [(at("03:10"), "failed"), (at("03:20"), "succeeded")] == [(one.started, one.state) for one in shown.tries]
    assert [] == reads.path_of("supply", "2020-01-01")
