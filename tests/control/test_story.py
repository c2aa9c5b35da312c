"""The incident of the design, end to end, as a timeline: one failed cron job, two services, one alert, the repair."""

from __future__ import annotations

from connectors.sdk.states import RunState
from console.control.incidents.impact import reruns_after
from console.domain.alert import AlertKind
from console.domain.decision import Decisions, MemberVerdict
from console.domain.history import EstimateBasis, EstimateKind
from console.domain.job import Safety
from console.domain.reason import NativeStart, StartEffect
from console.domain.service import Timeliness
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, service, target
from tests.messages import written
from tests.reasons import close_text, evidence_of, title_of, zoned

EXTRACT = job(1, "etl-hosts/db07:extract_orders", "03:10", expected=minutes(23), owner="data-platform",
              runbook="https://wiki.internal/extract", rerun=Safety.SAFE, notify=("platform",))  # fmt: skip
LOAD = job(
    2, "warehouse-airflow/load_orders", daily("04:00", "airflow"), expected=minutes(20), target_id=2, kind="airflow"
)
REVENUE = job(3, "dwh/refresh_revenue", daily("05:00", "pg_cron"), expected=minutes(30), target_id=3, kind="pg_cron")
PLAN = job(4, "aws/plan_supply", expected=minutes(109), target_id=4, kind="step_functions")
MART = job(5, "dwh/revenue_mart", daily("05:45", "pg_cron"), expected=minutes(10), target_id=3, kind="pg_cron")

SUPPLY = service("supply-plan", "06:30", PLAN, notify=("planning",), tier=2)
DAILY = service("daily-revenue", "07:30", MART, notify=("platform", "finance"), tier=1)

NIGHT = estate(
    EXTRACT, LOAD, REVENUE, PLAN, MART,
    feeds=[*feeds(EXTRACT, LOAD), *feeds(LOAD, REVENUE, PLAN), *feeds(REVENUE, MART)],
    services=[SUPPLY, DAILY],
    targets=[target(1), target(2, "airflow", "airflow"), target(3, "dwh", "dwh"), target(4, "aws", "aws")],
)  # fmt: skip


def roles(decisions: Decisions) -> dict[int, str]:
    (incident,) = decisions.incidents
    return {member.job_id: member.role for member in incident.members}


def failed_at_night() -> Ledger:
    """Until 03:12: extract_orders ran for two minutes and exited 1."""
    night = Ledger(NIGHT)
    night.evaluate("02:00")
    night.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2, exit_code=1, message="ORA-12541: no listener"))
    night.log_read(night.state(EXTRACT, "03:10"), "connecting\nORA-12541: no listener\n")
    night.evaluate("03:12")
    return night


def test_before_anything_fails_every_service_is_on_time() -> None:
    night = Ledger(NIGHT)
    decisions = night.evaluate("02:00")
    assert ((), Timeliness.ON_TIME) == (decisions.incidents, night.day("supply-plan").timeliness)
    assert (at("06:09"), (1, 2, 4)) == (night.day("supply-plan").expected_at, night.day("supply-plan").path)
    assert at("05:55") == night.day("daily-revenue").expected_at


def test_one_failure_is_one_incident_with_two_times_for_each_affected_service() -> None:
    night = failed_at_night()
    incident = night.incident()
    assert "etl-hosts/db07:extract_orders failed: exit 1" == title_of(incident)
    assert "run:etl-hosts/db07:extract_orders@2026-11-20T03:10:00Z" == incident.key
    assert ("ORA-12541: no listener", at("03:12"), "data-platform") == (
        evidence_of(incident), incident.failed_since, incident.owner.name)  # fmt: skip
    supply, revenue = incident.services
    assert ("supply-plan", at("03:58"), at("04:21")) == (supply.service, supply.act_by, supply.green_by)
    assert (NativeStart("load_orders", at("04:00"), StartEffect.RERUN_AFTER, reads_stale=True),) == supply.reasons
    assert (EstimateBasis(EstimateKind.DECLARED), Timeliness.AT_RISK) == (supply.basis, supply.timeliness)
    assert at("03:58") == incident.act_by == night.day("supply-plan").act_by
    assert "daily-revenue" == revenue.service
    assert {1: "root", 2: "threatened", 3: "threatened", 4: "threatened", 5: "threatened"} == roles(night.decisions)


def test_one_alert_leaves_for_each_route_and_says_all_that_is_needed() -> None:
    notices = failed_at_night().incident().notices
    assert [("platform", AlertKind.OPENED), ("planning", AlertKind.OPENED), ("finance", AlertKind.OPENED)] == [
        (notice.route, notice.kind) for notice in notices
    ]
    assert (
        "Supply plan 06:30 and 1 more at risk: restart extract_orders by 03:58 (in 46 min) [{incident}]"
        == written(notices[0]).title
    )
    assert BODY == written(notices[0]).body
    assert BUSINESS == written(notices[1]).body


RERUN_AFTER = NativeStart("", at("04:00"), StartEffect.RERUN_AFTER).consequence
BODY = f"""\
  | ORA-12541: no listener

Do           headway recover {{incident}}
Acknowledge  headway ack {{incident}}
Open         headway incident {{incident}}
Runbook      https://wiki.internal/extract

SERVICE        DUE (UTC)  STATUS
Supply plan    06:30      at risk, act by 03:58
Daily revenue  07:30      at risk, act by 06:07

----------------------------------------

Cause          etl-hosts/db07:extract_orders
Where          etl-hosts/db07 (cron)
Since          03:12 UTC
Period         03:10 UTC
Business date  2026-11-19
Supply plan    the cause must be green by 04:21; estimated from declared duration
Daily revenue  the cause must be green by 06:30; estimated from declared duration
Owner          data-platform

JOB              START (UTC)  EFFECT
load_orders      04:00        {RERUN_AFTER}
refresh_revenue  05:00        {RERUN_AFTER}
revenue_mart     05:45        {RERUN_AFTER}

Last log lines:

  | connecting
"""
BUSINESS = """\
Cause        a job owned by data-platform failed; the responsible team is being notified
Next update  by 03:58 UTC

SERVICE      DUE (UTC)  STATUS
Supply plan  06:30      at risk, act by 03:58
"""


def test_until_somebody_acts_time_alone_notifies_nothing_before_the_act_by_passes() -> None:
    night = failed_at_night()
    night.evaluate("03:40")
    assert ((), "") == (night.incident().notices, zoned(night.incident().event))
    night.evaluate("03:59")
    assert Timeliness.WILL_MISS == night.day("supply-plan").timeliness
    assert ["Update: Supply plan 06:30 will miss, expected 06:31 [{incident}]"] == [
        written(notice).title for notice in night.incident().notices
    ]
    night.evaluate("06:31")
    assert (Timeliness.BREACHED, "open") == (night.day("supply-plan").timeliness, night.day("supply-plan").data_state)


def test_a_rerun_before_its_follower_starts_repairs_the_night_and_closes_the_incident() -> None:
    night = failed_at_night()
    night.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:20"))
    night.evaluate("03:21")
    assert (Timeliness.AT_RISK, ()) == (night.day("supply-plan").timeliness, night.incident().notices)
    assert (None, None) == (night.day("supply-plan").act_by, night.incident().act_by)
    night.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:20", 11, exit_code=0))
    night.evaluate("03:31")
    closed = night.incident()
    assert (True, "green again, with all affected runs") == (closed.closed, close_text(closed))
    assert {("platform", AlertKind.RECOVERED), ("planning", AlertKind.RECOVERED), ("finance", AlertKind.RECOVERED)} == {
        (notice.route, notice.kind) for notice in closed.notices
    }
    assert Timeliness.ON_TIME == night.day("supply-plan").timeliness
    night.evaluate("03:32")
    assert () == night.decisions.incidents


def test_followers_that_started_by_the_clock_are_stale_and_are_rerun_in_order_before_it_closes() -> None:
    night = failed_at_night()
    night.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:00", 20))
    night.run(PLAN, "04:20", RunState.RUNNING, started_at=at("04:20"))
    night.evaluate("04:25")
    assert {1: "root", 2: "stale", 4: "stale", 3: "threatened", 5: "threatened"} == roles(night.decisions)
    assert night.state(LOAD, "04:00").stale_read
    night.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("04:26", 4))
    night.evaluate("04:31")
    incident = night.incident()
    assert (False, ()) == (incident.closed, incident.notices)
    assert [LOAD.id, PLAN.id] == [
        run.job_id for run in reruns_after(night.estate, night.estate.incidents[0], at("04:31"))
    ]
    night.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:32", 18))
    night.run(PLAN, "04:20", RunState.SUCCEEDED, **ended("04:20", 35))
    night.evaluate("04:56")
    assert {1: "repaired", 2: "repaired", 4: "root"} == {
        number: role for number, role in roles(night.decisions).items() if role != "threatened"
    }
    assert "stale" == night.day("supply-plan").data_state
    night.run(REVENUE, "05:00", RunState.SUCCEEDED, **ended("05:00", 29))
    night.run(MART, "05:45", RunState.SUCCEEDED, **ended("05:45", 9))
    night.run(PLAN, "04:20", RunState.SUCCEEDED, **ended("04:57", 80))
    night.evaluate("06:18")
    assert night.incident().closed
    assert (Timeliness.MET, at("06:17")) == (night.day("supply-plan").timeliness, night.day("supply-plan").delivered_at)
    assert (
        MemberVerdict(PLAN.id, "2026-11-20T04:20:00Z", "repaired", night.state(PLAN, "04:20").id)
        in night.incident().members
    )
