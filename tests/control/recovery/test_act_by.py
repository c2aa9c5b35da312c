"""Until when a broken job can be repaired for a service. EXTRACT 03:10 (20 min) feeds LOAD 04:00 feeds MART; 06:30."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.incidents.impact import reruns_after
from console.domain.decision import AffectedServiceVerdict
from console.domain.dependency import DependencyOrigin
from console.domain.estate import JobFacts, RunFacts
from console.domain.history import NO_ESTIMATE, EstimateBasis, EstimateKind
from console.domain.job import Safety
from console.domain.reason import (
    NativeStart,
    Reason,
    StartEffect,
    UnknownReason,
    reason_lines,
    stale_starts,
)
from console.domain.service import Timeliness
from console.domain.stored import as_json, stored_value
from console.forecast.forecaster import Forecaster
from console.timing.formats import zoned_time
from tests.control.ledger import Ledger, ended
from tests.factories import NIGHT, at, estate, feeds, job, minutes, run, service
from tests.forecast.test_simulation import past
from tests.reasons import reason_of

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20))
LOAD = job(2, "warehouse/load", "04:00", expected=minutes(30))
MART = job(3, "dwh/mart", expected=minutes(60))
FAILED = run(1, EXTRACT, "03:10", RunState.FAILED)


def load(takes: float, **more: Any) -> JobFacts:
    return job(2, "warehouse/load", "04:00", expected=minutes(takes), **more)


def affected_service(
    second: JobFacts, *runs: RunFacts, now: str = "03:20", third: JobFacts = MART, native: bool = False, **more: Any
) -> AffectedServiceVerdict:
    origin = DependencyOrigin.NATIVE if native else DependencyOrigin.DECLARED
    deps = [*feeds(EXTRACT, second, origin=origin), *feeds(second, third)]
    decisions = evaluate(
        estate(
            EXTRACT,
            second,
            third,
            runs=[FAILED, *runs],
            feeds=deps,
            services=[service("daily", "06:30", third)],
            **more,
        ),
        at(now),
    )
    (incident,) = decisions.incidents
    (only,) = incident.services
    return only


def clocks(verdict: AffectedServiceVerdict) -> tuple[str, str, str]:
    shown = [f"{instant:%H:%M}" if instant else "" for instant in (verdict.act_by, verdict.green_by)]
    return shown[0], shown[1], reason_of(verdict)


def test_a_downstream_that_starts_by_the_clock_is_rerun_after_it_where_there_is_time() -> None:
    assert (
        "04:40",
        "05:00",
        "04:00 UTC load starts: reads stale data unless fixed by then; rerun it after the fix",
    ) == clocks(affected_service(load(30)))


def test_a_start_on_stale_data_is_stored_with_its_instant() -> None:
    [start] = affected_service(load(30)).reasons
    assert [start] == stale_starts([start])
    assert isinstance(start, NativeStart)
    assert at("04:00") == start.at
    malformed = json.dumps(as_json(start) | {"at": "04:00"})
    assert UnknownReason("native_start") == stored_value(Reason, malformed, None), "without a date or offset"
    assert [] == stale_starts(affected_service(load(30, rerun=Safety.NEVER)).reasons), "nothing is rerun after it"


def test_a_start_stays_one_line_whatever_its_job_is_called() -> None:
    named = job(2, "warehouse/load; verify", "04:00", expected=minutes(30))
    assert [
        "04:00 UTC  load; verify starts: reads stale data unless fixed by then; rerun it after the fix"
    ] == reason_lines(affected_service(named).reasons, partial(zoned_time, zone="UTC", near=at("03:20")))


def test_a_downstream_that_is_never_rerun_must_find_it_green() -> None:
    expected = "04:00 UTC load starts: must read fixed data, because it is never rerun"
    assert ("03:40", "04:00", expected) == clocks(affected_service(load(30, rerun=Safety.NEVER)))


def test_a_downstream_whose_rerun_would_end_too_late_must_find_it_green() -> None:
    """04:00 and twice 76 minutes are after 06:30 less the hour of the mart; twice 45 are just in time."""
    assert ("04:25", "04:45") == clocks(affected_service(load(45)))[:2]
    too_long = affected_service(load(76))
    assert ("03:40", "04:00") == clocks(too_long)[:2]
    assert (NativeStart("load", at("04:00"), StartEffect.LAST_IN_TIME),) == too_long.reasons


def test_a_downstream_that_its_scheduler_makes_wait_sets_no_clock_start() -> None:
    assert ("04:40", "05:00") == clocks(affected_service(load(30), native=True))[:2]
    assert ("03:54", "04:14") == clocks(affected_service(load(76), native=True))[:2]


def test_a_downstream_that_has_started_already_is_rerun_after_it() -> None:
    running = run(2, load(30), "04:00", RunState.RUNNING)
    assert ("04:40", "05:00") == clocks(affected_service(load(30), running, now="04:10"))[:2]


def test_without_a_figure_on_the_way_there_are_no_clocks_and_it_is_at_risk_all_the_same() -> None:
    result = affected_service(load(30), third=job(3, "dwh/mart"))
    assert (None, None, NO_ESTIMATE, Timeliness.AT_RISK) == (
        result.act_by, result.green_by, result.basis, result.timeliness)  # fmt: skip
    fix = 'declare its duration: expected = "…" in [jobs."dwh/mart"]'
    unknown = f"act-by unknown: dwh/mart has 0 successful runs with a duration, an estimate needs 5; {fix}"
    start = "04:00 UTC load starts: reads stale data unless fixed by then; rerun it after the fix"
    assert f"hosts/extract: restart before 04:00 UTC; {unknown}; {start}" == reason_of(result)
    assert [at("04:00")] == [start.at for start in stale_starts(result.reasons)]
    late = affected_service(load(30), third=job(3, "dwh/mart"), now="04:01")
    assert reason_of(late).startswith("hosts/extract: restart now; act-by unknown"), "that start has passed"
    earlier = affected_service(load(30), third=job(3, "dwh/mart", "03:50"))
    assert [at("04:00"), at("03:50")] == [start.at for start in stale_starts(earlier.reasons)]
    assert reason_of(earlier).startswith("hosts/extract: restart before 03:50 UTC; act-by unknown")


def test_without_a_figure_a_start_that_is_never_rerun_is_named_too() -> None:
    """It is the one that no rerun repairs afterwards."""
    result = affected_service(load(30, rerun=Safety.NEVER), third=job(3, "dwh/mart"))
    assert reason_of(result).startswith("hosts/extract: restart before 04:00 UTC; act-by unknown")
    assert reason_of(result).endswith("04:00 UTC load starts: must read fixed data, because it is never rerun")


def test_without_a_figure_the_earliest_start_downstream_counts_wherever_it_is() -> None:
    """A mart that follows, then a report by the clock; beside them an export at a later time, which is never rerun."""
    mart = job(3, "dwh/mart")
    report = job(4, "dwh/report", "04:30")
    export = job(5, "dwh/export", "05:00", rerun=Safety.NEVER)
    deps = [*feeds(EXTRACT, mart), *feeds(mart, report), *feeds(EXTRACT, export)]
    known = estate(EXTRACT, mart, report, export, runs=[FAILED], feeds=deps,
                   services=[service("daily", "06:30", report, export)])  # fmt: skip
    [incident] = evaluate(known, at("03:20")).incidents
    starts = stale_starts(incident.services[0].reasons)
    assert [("report", at("04:30"))] == [(start.job, start.at) for start in starts]


def test_the_only_deliverer_that_failed_puts_its_service_at_risk_before_it_has_a_history() -> None:
    """A restarted run stays at risk while its duration is unknown."""
    bare = job(1, "hosts/deliver", "03:10")
    ledger = Ledger(estate(bare, services=[service("daily", "06:30", bare, tier=1)]))
    entries = []
    for clock, state in (("03:20", RunState.FAILED), ("03:25", RunState.RUNNING)):
        ledger.run(bare, "03:10", state, started_at=at(clock), **({"ended_at": at(clock)} if not state.is_open else {}))
        verdict = min(ledger.evaluate(clock).service_days, key=lambda service_day: service_day.business_date)
        entries.append((verdict.timeliness, reason_of(verdict).partition(";")[0]))
    assert [
        (Timeliness.AT_RISK, "hosts/deliver: restart now"),
        (Timeliness.AT_RISK, "no estimate: hosts/deliver has 0 successful runs with a duration, an estimate needs 5"),
    ] == entries


def test_the_cause_that_has_no_figure_itself_is_named_with_its_runs() -> None:
    bare = job(1, "hosts/extract", "03:10")
    decisions = evaluate(estate(bare, runs=[FAILED], services=[service("daily", "06:30", bare)]), at("03:20"))
    ((verdict,),) = (incident.services for incident in decisions.incidents)
    unknown = "act-by unknown: hosts/extract has 0 successful runs with a duration, an estimate needs 5"
    assert reason_of(verdict).startswith(f"hosts/extract: restart now; {unknown}; declare its ")
    assert reason_of(verdict).endswith('[jobs."hosts/extract"]')


def test_the_source_of_the_schedules_is_stated() -> None:
    assert EstimateBasis(EstimateKind.DECLARED) == affected_service(load(30)).basis
    history = {number: (600.0,) * (number + 10) for number in (1, 2, 3)}
    assert EstimateBasis(EstimateKind.HISTORY, 11) == affected_service(load(30), durations=history).basis


def test_the_first_of_two_broken_jobs_sets_the_clocks() -> None:
    red = run(2, LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    result = affected_service(LOAD, red, now="04:10")
    assert ("04:40", "05:00") == clocks(result)[:2]
    assert "restart hosts/extract, then warehouse/load by 04:40 UTC, green by 05:00 UTC" == reason_of(result)


def test_a_cause_that_did_not_start_is_started_as_its_title_says() -> None:
    missed = replace(FAILED, state=RunState.MISSED, started_at=None, ended_at=None)
    only = job(1, "hosts/extract", "03:10")
    decisions = evaluate(
        estate(only, runs=[missed], services=[service("daily", "06:30", only)]),
        at("03:20"),
    )
    assert reason_of(decisions.incidents[0].services[0]).startswith("hosts/extract: start now; act-by unknown")


def test_after_its_deadline_there_is_no_act_by_but_the_breach_is_shown() -> None:
    assert Timeliness.BREACHED == affected_service(load(30), now="06:31").timeliness


def night(*runs: RunFacts, now: str = "05:20") -> Ledger:
    ledger = Ledger(estate(EXTRACT, LOAD, MART, runs=runs, feeds=[*feeds(EXTRACT, LOAD), *feeds(LOAD, MART)],
                           services=[service("daily", "06:30", MART)]))  # fmt: skip
    ledger.evaluate(now)
    return ledger


def test_once_the_root_is_repaired_the_text_names_what_to_restart_now() -> None:
    """ "extract: restart by 04:40" would have a person restart what is green."""
    second = load(30)
    deps = [*feeds(EXTRACT, second), *feeds(second, MART)]
    night = Ledger(estate(EXTRACT, second, MART, feeds=deps, services=[service("daily", "06:30", MART)]))
    night.run(EXTRACT, "03:10", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:20"))
    night.run(second, "04:00", RunState.SUCCEEDED, started_at=at("04:00"), ended_at=at("04:10"))
    night.evaluate("04:11")
    assert reason_of(night.day("daily")).startswith("hosts/extract: restart by ")
    night.run(EXTRACT, "03:10", RunState.SUCCEEDED, started_at=at("04:20"), ended_at=at("04:25"))
    night.evaluate("04:26")
    assert reason_of(night.day("daily")).startswith("warehouse/load: restart by ")


def test_followers_are_what_is_red_or_stale_from_upstream_to_downstream() -> None:
    stale, red = run(2, LOAD, "04:00"), run(3, MART, "05:00", RunState.FAILED)
    ledger = night(FAILED, red, stale)
    incident = ledger.estate.incidents[0]
    assert [LOAD.id, MART.id] == [run.job_id for run in reruns_after(ledger.estate, incident, at("05:20"))]


def test_without_red_or_stale_followers_there_is_nothing_to_rerun_after_the_root() -> None:
    ledger = night(FAILED, now="03:40")
    assert [] == reruns_after(ledger.estate, ledger.estate.incidents[0], at("03:40"))


def test_a_follower_that_never_started_is_rerun_as_well() -> None:
    ledger = night(FAILED)
    assert [RunState.MISSED] == [
        run.state for run in reruns_after(ledger.estate, ledger.estate.incidents[0], at("05:20"))
    ]


def test_the_time_until_a_rerun_begins_comes_off_the_act_by_of_each_rerun_on_the_way() -> None:
    """The mart starts by itself after its upstream; the load is rerun too, once what it read is fixed."""
    slow = [replace(job, start_within=minutes(5)) for job in (EXTRACT, LOAD, MART)]
    deps = [*feeds(slow[0], slow[1]), *feeds(slow[1], slow[2])]
    known = estate(*slow, runs=[FAILED], feeds=deps, services=[service("daily", "06:30", slow[2])])
    [incident] = evaluate(known, at("03:20")).incidents
    assert ("04:30", "04:55") == clocks(incident.services[0])[:2]
    running = replace(known, runs=[FAILED, run(2, LOAD, "04:00", RunState.RUNNING)])
    [incident] = evaluate(running, at("04:10")).incidents
    assert ("04:30", "04:55") == clocks(incident.services[0])[:2]


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.RUNNING])
def test_a_simulated_act_by_leaves_the_time_until_the_rerun_begins(state: RunState) -> None:
    """A rerun of pg_cron begins up to 65 s later, also that of a run that hangs and is cancelled first."""
    act_by = []
    for start_within in (timedelta(), timedelta(seconds=65)):
        extract = replace(EXTRACT, start_within=start_within)
        promise = service("daily", "06:30", extract)
        seen = estate(extract, runs=[run(1, extract, "03:10", state, started_at=at("03:10"))], services=[promise],
                      durations={1: (1200.0, 1260.0) * 10})  # fmt: skip
        seen = replace(seen, history={1: past(extract, "03:10", [20.0, 21.0] * 10)})
        [day] = (
            day for day in evaluate(seen, at("05:30"), foresee=Forecaster()).service_days if day.business_date == NIGHT
        )
        assert day.act_by is not None
        act_by.append(day.act_by)
    assert timedelta(seconds=65) == act_by[0] - act_by[1]


def test_the_path_of_a_service_day_has_the_failed_job_beside_a_longer_path() -> None:
    first = job(1, "dwh/load_a", "03:10", expected=minutes(5))
    second = job(2, "dwh/load_b", "03:30", expected=minutes(50))
    known = estate(first, second, runs=[run(1, first, "03:10", RunState.FAILED)])
    for ends, feeding, path in (
        ([first, second], (), (1,)),
        ([MART], [*feeds(first, MART), *feeds(second, MART)], (1, 3)),
    ):
        jobs = {**known.jobs, MART.id: MART}
        night = replace(known, jobs=jobs, dependencies=tuple(feeding), services=(service("daily", "06:30", *ends),))
        [day] = (day for day in evaluate(night, at("03:20")).service_days if day.business_date == NIGHT)
        assert ("dwh/load_a", path) == (day.cause, day.path)
