"""The store's readers and the engine's requests with canned views: the night of design §1, frozen at 03:17:42 CET."""

from __future__ import annotations

import dataclasses
import json
import threading
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from connectors.sdk.states import Verb
from console.control.recovery.exclusion import without_steps
from console.domain.action import ActionView
from console.domain.alert import DeliveryView
from console.domain.approval import ApprovalTerms
from console.domain.dependency import GateView, LineageRun, LineageView, UpstreamView
from console.domain.failure import FailureMemory, FailureSignature, PastFailure, RepairTry, memory_of
from console.domain.filter import JobFilter
from console.domain.handover import ServiceNight
from console.domain.header import EngineShare, EngineView, HeaderView, UnseenTarget
from console.domain.history import NO_ESTIMATE, EstimateBasis, EstimateKind
from console.domain.hold import HoldReason, HoldView
from console.domain.ids import micros
from console.domain.incident import (
    AffectedServiceView,
    EventView,
    IncidentRow,
    IncidentView,
    MemberView,
    PastRepair,
)
from console.domain.job import CardView, JobRow, JobView
from console.domain.plan import (
    STEERING,
    DraftStep,
    ExcludedRun,
    PlanDraft,
    PlanStepView,
    PlanView,
    SavedService,
    StepKey,
    StepPeriod,
)
from console.domain.reason import EarlierRun, GreenAgain, LateBecause
from console.domain.report import MonthFigures
from console.domain.request import RequestKind
from console.domain.run import AttemptView, HourlyRunCount, RunRow, RunView
from console.domain.service import ServiceView
from console.domain.settings import NOTHING_DECLARED, Declared
from console.domain.switches import SwitchState, SystemPause
from console.domain.system import DriftView, TargetView
from console.domain.text import At, Title
from console.domain.timeline import TimelineView
from console.engine.api.action_request import ActionRequest
from console.engine.api.requests import (
    AcceptDrift,
    Acknowledge,
    AddSilence,
    ApproveAction,
    ClientRequest,
    ForecastScenarios,
    PausePolicy,
    ProbeSystem,
    ProposeRecovery,
    ReadLog,
    Unacknowledge,
    WithdrawAction,
)
from console.store.errors import NotFound, ReasonNeeded
from console.store.queries.audit import ApprovalView
from console.store.queries.estate import EndedWork
from console.store.queries.reader import Queries
from console.timing.clock import ClockSetting
from tests.tui.fake_ahead import FakeAhead, otherwise
from tests.tui.fake_lineage import EDGES, lineage_of, runs_of
from tests.tui.fake_night import night_of
from tests.tui.fake_ops import FakeOps

Found = TypeVar("Found")
NOW = datetime(2026, 11, 20, 2, 17, 42, tzinfo=UTC)
"""03:17:42 in Berlin."""
ZONE = "Europe/Berlin"
EXTRACT = "etl-hosts/db07:extract_orders"
LOAD = "warehouse-airflow/load_orders"
MART = "pg-dwh/revenue_mart"
SUPPLY = "cloud/supply-mart"
LOG = """03:12:00 extract_orders starting for 2026-11-19
03:12:01 connecting to db07
03:12:02 reading orders since 2026-11-18T23:00Z
03:12:03 1,204,551 rows to copy
03:12:04 ERROR could not extend file "base/16401/24911": No space left on device
03:12:04 HINT check free disk space
03:12:04 Traceback (most recent call last):
03:12:04   File "extract.py", line 88, in copy_out
03:12:04 extract_orders failed, exit 1"""


def at(clock: str) -> datetime:
    """An instant of that night, by Berlin's clock: "03:12:04"; before noon is the 20th."""
    hours, minutes, seconds = [*(int(part) for part in clock.split(":")), 0][:3]
    day = 20 if hours < 12 else 19
    return datetime(2026, 11, day, hours, minutes, seconds, tzinfo=UTC) - timedelta(hours=1)


def header(**changes: Any) -> HeaderView:
    engine = EngineView("host-1", at("22:00"), NOW - timedelta(seconds=2), True)
    sick = (UnseenTarget("etl-hosts/etl02", NOW - timedelta(minutes=4), "unreachable"),)
    return HeaderView("prod", engine, 1, 2, sick, 14, False)._replace(**changes)


def service(number: int, name: str, title: str, tier: int, deadline: str, **changes: Any) -> ServiceView:
    view = ServiceView(
        id=number,
        name=name,
        title=title,
        tier=tier,
        owner="data-platform",
        runbook="https://wiki.internal/" + name,
        zone=ZONE,
        business_date="2026-11-19",
        deadline=at(deadline),
        timeliness="on_time",
        expected=at(deadline) - timedelta(minutes=50),
    )
    return dataclasses.replace(view, **changes)


def services() -> list[ServiceView]:
    affected = {"cause": EXTRACT, "incident_id": 412, "timeliness": "at_risk", "data_state": "open"}
    return [
        service(
            1,
            "supply-plan",
            "Supply plan",
            2,
            "06:30",
            act_by=at("03:58"),
            green_by=at("04:21"),
            expected=at("05:50"),
            reasons=(LateBecause(("supply-mart starts by the clock at 04:30 and must find load_orders green",)),),
            path=(EXTRACT, LOAD, SUPPLY),
            p_late=0.38,
            sources=tuple({"job": job, "source": term} for job, term in ((EXTRACT, "history"), (SUPPLY, "declared"))),
            **affected,
        ),
        service(
            2,
            "daily-revenue",
            "Daily revenue",
            1,
            "07:30",
            act_by=at("04:40"),
            green_by=at("04:54"),
            expected=at("06:08"),
            reasons=(LateBecause(("load_orders, then revenue_mart",)),),
            path=(EXTRACT, LOAD, MART),
            p_late=0.04,
            **affected,
        ),
        service(3, "churn-scores", "Churn scores", 3, "11:00", expected=at("06:00")),
        service(
            4,
            "stock-levels",
            "Stock levels",
            2,
            "03:00",
            delivered=at("02:51"),
            timeliness="met",
            data_state="complete",
        ),
        service(5, "weekly-finance", "Weekly finance", 4, "09:00", timeliness="no_estimate", expected=None),
    ]


def incident_row(**changes: Any) -> IncidentRow:
    row = IncidentRow(
        id=412,
        title=Title((EXTRACT, " failed: exit 1")),
        cause="run",
        business_date="2026-11-19",
        reason=("exit 1: No space left on device",),
        owner="data-platform",
        failed_since=at("03:12:04"),
        opened=at("03:12:09"),
        act_by=at("03:58"),
        closed=None,
        services=2,
        affected_runs=2,
        root_run_id=1,
        root_job=EXTRACT,
        runbook="https://wiki.internal/extract-orders",
        hits=("Supply plan", "Daily revenue"),
        notifications=deliveries(),
    )
    return dataclasses.replace(row, **changes)


def deliveries() -> tuple[DeliveryView, ...]:
    """Deliveries of the incident: one address accepted it, one did not."""
    made, refused = at("03:12:09"), "connection refused by chat.internal:443"
    return (
        DeliveryView("data-platform", "opened", "env ONCALL_MAIL", "sent", 1, 0, at("03:12:10"), "", made),
        DeliveryView("chat", "opened", "env CHAT_HOOK", "pending", 3, 0, None, refused, made),
    )


def repairs() -> tuple[PastRepair, ...]:
    """What became of the root's job on three nights before."""
    nights = [at("03:12") - timedelta(days=days) for days in (9, 31, 40)]
    space = 'could not extend file "base/16401/7": No space left on device'
    return (
        PastRepair(
            81, nights[0], space, "rerun", 1080.0, "mara", 377, "purged /var/spool/etl by hand, then rerun", True
        ),
        PastRepair(52, nights[1], space, "rerun", 1560.0, "noor", 341, "", True),
        PastRepair(40, nights[2], "exit 143", "its scheduler's own retry", 300.0),
    )


def memory() -> FailureMemory:
    """Two of those nights ended with a rerun, and one rerun failed."""
    signature = FailureSignature("run", "cron", "failed", "could not extend file: No space left on device", "extract")
    known = [_repaired(377, 9, "mara", "failed", "verified"), _repaired(341, 31, "noor", "verified")]
    return memory_of(signature, known)


def _repaired(incident_id: int, days: int, by: str, *states: str) -> PastFailure:
    """An incident so many days before; `states`: of its reruns."""
    night = at("03:12") - timedelta(days=days)
    tries = tuple(RepairTry("rerun", state, by, night, night + timedelta(minutes=18), "person") for state in states)
    return PastFailure(incident_id, EXTRACT, night, night + timedelta(hours=1), GreenAgain(), None, "", tries)


def incident() -> IncidentView:
    views = tuple(
        AffectedServiceView(
            name=s.name,
            title=s.title,
            tier=s.tier,
            zone=s.zone,
            deadline=s.deadline,
            act_by=s.act_by,
            green_by=s.green_by,
            expected=s.expected,
            timeliness=s.timeliness,
            basis=EstimateBasis(EstimateKind.DECLARED) if s.tier == 2 else EstimateBasis(EstimateKind.HISTORY, 31),
            reasons=s.reasons,
            estimates=({"job": LOAD, "source": "history", "runs": 31, "p50_s": 720.0, "p90_s": 1134.0},),
            p_late=s.p_late,
            p80=at("06:14"),
            p95=at("06:52"),
            business_date="2026-11-19",
        )
        for s in services()[:2]
    )
    members = (
        MemberView(
            "root",
            EXTRACT,
            1,
            1,
            "2026-11-20T02:10:00Z",
            "failed",
            "native",
            False,
            at("03:12"),
            at("03:12:04"),
            "END",
            1,
            'could not extend file "base/16401/24911": No space left on device',
            (),
            at("03:12:05"),
            "full",
            "etl-hosts/db07",
            NOW - timedelta(seconds=4),
        ),
        MemberView("stale", LOAD, 2, 2, "scheduled__2026-11-20", "succeeded", "native", True, at("03:13"), at("03:14")),
        MemberView("red", MART, 3, 3, "2026-11-20T02:15:00Z", "failed", "native", False, at("03:15"), at("03:16")),
        MemberView("threatened", SUPPLY, 4, None, "2026-11-20T03:30:00Z", "planned", "native", False, None, None),
    )
    events = (
        EventView(at("03:12:09"), "opened", ("opened: exit 1 of the root",), "engine"),
        EventView(at("03:12:10"), "notified", ("notified #oncall and data-platform",), "engine"),
        EventView(at("03:16:05"), "regrouped", (f"{MART} belongs to it",), "engine"),
    )
    seen = ((at("03:12") - timedelta(days=9), EarlierRun("succeeded", attempts=2, by="mara")),)
    return IncidentView(incident_row(), views, members, events, deliveries(), LOG, "", (), seen, repairs=repairs())


def job_row(number: int, name: str, **changes: Any) -> JobRow:
    system = name.partition("/")[0]
    kind = {"etl-hosts": "cron", "warehouse-airflow": "airflow", "pg-dwh": "pg_cron"}.get(system, "step_functions")
    row = JobRow(
        number,
        name,
        system,
        kind,
        "succeeded",
        "native",
        "success",
        "on_time",
        "2026-11-19",
        number,
        at("02:00"),
        at("02:14"),
        at("02:00") + timedelta(days=1),
        "daily at 02:00",
        "data-platform",
        False,
        False,
        False,
        None,
    )
    return dataclasses.replace(row, **changes)


def jobs() -> list[JobRow]:
    stale = {"stale_since": NOW - timedelta(minutes=4), "state": "running", "ended": None}
    return [
        job_row(
            1, EXTRACT, state="failed", started=at("03:12"), ended=at("03:12:04"), schedule="daily at 03:10", attempts=1
        ),
        job_row(3, MART, state="failed", started=at("03:15"), ended=at("03:16"), schedule="daily at 03:15"),
        job_row(2, LOAD, stale_read=True, started=at("03:13"), ended=at("03:14"), schedule="daily at 03:13"),
        job_row(4, SUPPLY, state="planned", run_id=None, started=None, ended=None, next=at("04:30")),
        job_row(5, "etl-hosts/etl02:sync_stock", **stale),
        job_row(6, "etl-hosts/db07:rotate", state="unknown", evidence="inferred"),
        job_row(7, "etl-hosts/db07:nightly_dump", state="missed", started=None, ended=None),
        job_row(8, "warehouse-airflow/load_orders.publish", is_task=True),
        job_row(9, "pg-dwh/vacuum_all", paused=True),
        job_row(10, "cloud/old-export", gone=True),
        job_row(11, "pg-dwh/refresh_stock", state="running", started=at("03:05"), ended=None),
        job_row(12, "pg-dwh/never_ran", state="", run_id=None, started=None, ended=None, business_date=""),
        job_row(13, "cloud/churn-scores", state="skipped"),
        job_row(14, "cloud/close-books", state="retrying", started=at("03:00"), ended=None),
    ]


def run_row(number: int, job_id: int, job: str, **changes: Any) -> RunRow:
    row = RunRow(
        number,
        job_id,
        job,
        "2026-11-20T02:10:00Z",
        "2026-11-19",
        "failed",
        "native",
        "exit 1",
        "at_risk",
        1,
        at("03:10"),
        at("03:12"),
        at("03:12"),
        at("03:12:04"),
        1,
        "No space left on device",
        True,
        False,
        None,
    )
    return dataclasses.replace(row, **changes)


LOG_PAGE = "https://etl.internal/db07/extract_orders/a2"


def run_view(number: int = 1, **changes: Any) -> RunView:
    row = run_row(1, 1, EXTRACT, attempts=2)
    attempts = (
        AttemptView(11, 1, "failed", "native", "exit 75", at("03:10"), at("03:11"), 75, "db07 busy", None, "a1", ""),
        AttemptView(
            12, 2, "failed", "native", "exit 1", at("03:12"), at("03:12:04"), 1, "No space left", None, "a2", LOG_PAGE
        ),
    )
    able = ("rerun", "cancel", "hold", "log")
    view = RunView(row, attempts, LOG, "", False, ZONE, "safe", able, {}, 412)
    if number != 1:
        job = {job.run_id: job for job in jobs()}.get(number, job_row(number, LOAD))
        row = run_row(
            number,
            job.id,
            job.name,
            state=job.state,
            exit_code=None,
            message="",
            started=job.started,
            ended=job.ended,
        )
        view = dataclasses.replace(view, row=row, attempts=attempts[1:])
    return dataclasses.replace(view, **{"runs": (row, *nights_before(row)), **changes})


def nights_before(row: RunRow) -> Iterator[RunRow]:
    """The 59 runs before it, between 9 and 17 minutes long, every twentieth of them red."""
    begun = row.started or at("03:12")
    for night in range(1, 60):
        started = begun - timedelta(days=night)
        ended = started + timedelta(minutes=9 + night * 7 % 9)
        yield dataclasses.replace(
            row,
            id=100_000 + night,
            business_date=f"{begun - timedelta(days=night + 1):%Y-%m-%d}",
            period=row.period and row.period - timedelta(days=night),
            started=started,
            ended=ended,
            state="failed" if night % 20 == 0 else "succeeded",
            exit_code=int(night % 20 == 0),
            message="",
            attempts=1,
        )


def job_view(row: JobRow, **changes: Any) -> JobView:
    runs = tuple(
        run_row(
            row.run_id - night if not night else 1000 * row.id + night,
            row.id,
            row.name,
            business_date=f"2026-11-{19 - night:02d}",
            period=at("03:10") - timedelta(days=night),
            started=at("03:12") - timedelta(days=night),
            ended=at("03:26") - timedelta(days=night),
            state=row.state if not night else "succeeded",
            exit_code=1 if not night and row.state == "failed" else 0,
            message="",
        )
        for night in range(6)
        if row.run_id is not None
    )
    drift = tuple(item for item in drifts() if item.job == row.name)
    view = JobView(
        row,
        "/opt/etl/extract_orders.sh --since yesterday",
        "etl",
        "full",
        "https://wiki.internal/extract-orders",
        "safe",
        None,
        31,
        852.0,
        1140.0,
        "",
        (("etl-hosts/db07:extract_items", "declared"),),
        ((LOAD, "declared"),),
        ("supply-plan", "daily-revenue"),
        drift,
        runs,
        coming=tuple(at("03:10") + timedelta(days=days) for days in (1, 2, 3)) if row.next else (),
        card=card_of(row.owner),
    )
    return dataclasses.replace(view, **changes)


def card_of(owner: str) -> tuple[CardView, ...]:
    """Config says the owner; the rest is for people to say."""
    return (
        CardView("owner", owner, why_not="the config has it"),
        CardView("runbook", "https://wiki.internal/extract-orders"),
        CardView("rerun", "safe", "mara", at("03:02")),
    )


def drifts() -> list[DriftView]:
    return [DriftView(1, "etl-hosts/db07:nightly_dump", "gone", "line gone since 02:40", at("02:40"))]


def target(system: str, name: str, kind: str, **changes: Any) -> TargetView:
    view = TargetView(
        system,
        kind,
        name,
        NOW - timedelta(seconds=4),
        None,
        "",
        "",
        0.1,
        ZONE,
        210.0,
        15.0,
        0,
        (),
        (),
        "",
        (),
        12,
        ("rerun", "log"),
        {"hold": "its role may only read"} if kind == "step_functions" else {},
    )
    return dataclasses.replace(view, **changes)


def targets() -> list[TargetView]:
    return [
        target("etl-hosts", "db07", "cron"),
        target(
            "etl-hosts",
            "etl02",
            "cron",
            last_ok=NOW - timedelta(minutes=4),
            failing_since=NOW - timedelta(minutes=4),
            error="10.0.3.12 port 22: no answer in 10 s",
            error_kind="unreachable",
        ),
        target("warehouse-airflow", "warehouse-airflow", "airflow", version="3.1", jobs=12_411),
        target("pg-dwh", "pg-dwh", "pg_cron", version="1.6", rights=({"name": "bypass row security", "held": False},)),
        target("cloud", "cloud", "step_functions", skew_s=-3.2),
    ]


PREVIEW: dict[str, Any] = {
    "verb": "run once",
    "summary": "run extract_orders once on db07 as etl",
    "scope": "extract_orders, business date 2026-11-19",
    "affected": ["db07:extract_orders"],
    "overlap": None,
    "native_calls": ["ssh headway@db07 headway-run 3f9c… as etl: /opt/etl/extract_orders.sh --since yesterday"],
    "notes": ["it runs with today's clock: the line itself must know its period"],
    "refused": None,
    "plan": {},
    "safety": "safe",
    "confirm": "extract_orders",
    "followers": [[LOAD, 2, "read stale data"], [MART, 3, "failed after it"]],
}


def step(place: int, job_id: int, job: str, **changes: Any) -> DraftStep:
    draft_step = DraftStep(
        place=place,
        verb="rerun",
        job_id=job_id,
        job=job,
        system=job.partition("/")[0],
        run_id=job_id,
        period=StepPeriod(f"2026-11-20T02:1{job_id}:00Z"),
        state="failed",
        why=("it ended failed",),
        after=(place - 1,) if place > 1 else (),
        safety="safe",
        expected_s=840.0,
        basis=EstimateBasis(EstimateKind.HISTORY, 31),
        saves=(
            SavedService("supply-plan", "2026-11-19", at("06:30"), True, ("act by ", At(at("03:58"))), "Supply plan",
                         expected=at("06:06"), late=0.12),
            SavedService("daily-revenue", "2026-11-19", at("07:00"), True, ("act by ", At(at("04:40"))),
                         "Daily revenue", expected=at("06:20"), late=0.004),
        ),
        preview={"verb": "run once", "summary": f"run {job.rpartition('/')[2]} once", "scope": "2026-11-19",
                 "native_calls": [f"ssh headway@db07 headway-run {job_id}"]},
    )  # fmt: skip
    return dataclasses.replace(draft_step, **changes)


def draft() -> PlanDraft:
    """Root, what read its stale data, then two run in parallel."""
    first = dataclasses.replace(step(1, 1, EXTRACT), preview={**PREVIEW, "followers": []})
    steps = (
        first,
        step(2, 2, LOAD, state="succeeded", why=("it read old data",), expected_s=1320.0),
        step(3, 3, MART, after=(2,)),
        step(4, 14, "cloud/close-books", after=(2,), expected_s=None, basis=NO_ESTIMATE,
             saves=(SavedService("weekly-finance", "2026-11-19", at("04:00"), False,
                                 ("its act-by ", At(at("02:50")), " has passed"),
                                 expected=at("05:03"), late=0.97),)),    )  # fmt: skip
    remaining = (ExcludedRun(SUPPLY, None, ("starts by itself at ", At(at("04:30")))),)
    notes = (("weekly-finance cannot be saved any more; the plan repairs it for those who read it late",),)
    return PlanDraft("recovery", f"repair {EXTRACT}", 412, steps, remaining, notes)


def plan_of(draft: PlanDraft, number: int = 1, **changes: Any) -> PlanView:
    """The draft as it is once it was started."""
    steps = tuple(
        PlanStepView(
            place=step.place,
            verb=step.verb,
            job=step.job,
            system="",
            job_id=step.job_id,
            run_id=step.run_id,
            period=step.period,
            after=step.after,
            wait_s=step.wait_s,
            due=None,
            safety=step.safety,
            expected_s=step.expected_s,
            state="planned",
            action_key=None,
            action_state="",
            started=None,
            ended=None,
            saves=tuple(save.day for save in step.saves if save.saved),
            may_save=tuple(save.day for save in step.saves if save.saved is None),
        )
        for step in draft.steps
    )
    view = PlanView(
        id=number, key=f"headway-plan-{number}", kind=draft.kind, title=draft.title, incident_id=draft.incident_id,
        state="running", requested_by="mara", requested=NOW - timedelta(seconds=4), ended=None, why="", text="",
        at_once=1, steps=steps,
    )  # fmt: skip
    return dataclasses.replace(view, **changes)


def hold(number: int = 1, **changes: Any) -> HoldView:
    view = HoldView(
        f"headway-hold-{number}", 2, LOAD, "warehouse-airflow", "held", "reactive", "hold", EXTRACT, "headway",
        f"waits for {EXTRACT}", HoldReason.AWAITS_UPSTREAM, (f"{EXTRACT} is good",), at("03:14"), at("09:14"),
        at("04:00"), "scheduled__2026-11-20", None,
    )  # fmt: skip
    return dataclasses.replace(view, **changes)


def approval(number: int = 1, **changes: Any) -> ApprovalView:
    view = ApprovalView(
        f"headway-ask-{number}", "rerun", EXTRACT, "mara", NOW - timedelta(minutes=2), "the disk was full",
        ("ssh headway@db07 headway-run 3f9c",), ApprovalTerms(NOW + timedelta(minutes=58)), "etl-hosts",
        "run extract_orders once on db07 as etl", "extract_orders, business date 2026-11-19",
        "2026-11-20T02:10:00Z", {"scope": "failed"}, ("db07:extract_orders",), ("it runs with today's clock",), 7,
    )  # fmt: skip
    return dataclasses.replace(view, **changes)


@dataclass
class FakeReads(FakeOps, FakeAhead, Queries):
    """Serves what its fields hold; a test changes them and calls `changed`."""

    head: HeaderView = field(default_factory=header)
    services_: list[ServiceView] = field(default_factory=services)
    incidents_: list[IncidentRow] = field(default_factory=lambda: [incident_row()])
    closed_: list[IncidentRow] = field(default_factory=list)
    incident_: IncidentView = field(default_factory=incident)
    jobs_: list[JobRow] = field(default_factory=jobs)
    targets_: list[TargetView] = field(default_factory=targets)
    to_mend_: int = 0
    engines_: list[EngineShare] = field(default_factory=list)
    drifts_: list[DriftView] = field(default_factory=drifts)
    actions_: list[ActionView] = field(default_factory=list)
    plans_: list[PlanView] = field(default_factory=list)
    holds_: list[HoldView] = field(default_factory=list)
    approvals_: list[ApprovalView] = field(default_factory=list)
    upstream_: str = "failed"
    """State of what every job waits for, as `gate` tells it."""
    runs_: dict[int, RunView] = field(default_factory=dict)
    edges_: list[tuple[int, int]] = field(default_factory=lambda: list(EDGES))
    version: int = 1
    broken: str = ""
    threads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """It answers for every context itself."""
        mine: Any = self
        self.actions = self.alerts = self.approvals = self.audit = self.checks = self.estate = self.findings = mine
        self.handover = self.holds = self.incidents = self.jobs = self.lineage = self.members = self.names = mine
        self.plans = self.reports = self.run_table = self.runs = self.service_days = self.services = self.warnings = (
            mine
        )

    def changed(self) -> None:
        self.version += 1

    def _start_read(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise OSError(self.broken)

    def header(self, services: Sequence[ServiceView] = ()) -> HeaderView:
        self._start_read()
        return self.head

    def list_services(self) -> Sequence[ServiceView]:
        self._start_read()
        return self.services_

    def service(self, name: str) -> ServiceView:
        return _find(name, (view for view in self.services_ if view.name == name))

    def months(self, months: Sequence[str], name: str = "", kind: str = "") -> list[MonthFigures]:
        figures = (29, 30, 30, 30, 754.0, 2, 240.0, 1560.0, 1200, 1199, 14, 1, 3, 2, 1, 1204.5)
        return [MonthFigures(kind, name, name, month, *figures) for month in months]

    def list_incidents(self, closed: bool = False) -> Sequence[IncidentRow]:
        self._start_read()
        return self.closed_ if closed else self.incidents_

    def nights_of_incident(self, incident_id: int) -> Sequence[ServiceNight]:
        return []

    def incident(self, incident_id: int) -> IncidentView:
        self._start_read()
        view = _find(f"INC-{incident_id:04d}", (view for view in (self.incident_,) if view.row.id == incident_id))
        return dataclasses.replace(view, actions=tuple(self.actions_))

    def incident_of_job(self, job_id: int) -> int | None:
        open_ids = [row.id for row in self.incidents_ if row.closed is None]
        is_member = any(member.job_id == job_id for member in self.incident_.members)
        return self.incident_.row.id if is_member and self.incident_.row.id in open_ids else None

    def services_of(self, job_id: int) -> tuple[str, ...]:
        return job_view(_find(job_id, (row for row in self.jobs_ if row.id == job_id))).services

    def job_ids(self, criteria: JobFilter, sort: str = "attention") -> array[int]:
        self._start_read()
        return array("q", [row.id for row in self._ordered(criteria, sort)])

    def jobs_first_page(self, criteria: JobFilter, sort: str = "attention", limit: int = 128) -> Sequence[JobRow]:
        return self._ordered(criteria, sort)[:limit]

    def _ordered(self, criteria: JobFilter, sort: str) -> list[JobRow]:
        rows = [row for row in self.jobs_ if _matches(row, criteria)]
        if sort.endswith("name"):
            rows.sort(key=lambda row: row.name)
        return rows[::-1] if sort.startswith("-") else rows

    def jobs_by_ids(self, ids: Sequence[int]) -> Sequence[JobRow]:
        rows = {row.id: row for row in self.jobs_}
        return [rows[job_id] for job_id in ids if job_id in rows]

    def job(self, name_or_id: str | int) -> JobView:
        row = _find(name_or_id, (row for row in self.jobs_ if name_or_id in (row.id, row.name)))
        return job_view(row, drift=tuple(d for d in self.drifts_ if d.job == row.name))

    def list_runs(self, job_id: int, limit: int = 60) -> Sequence[RunRow]:
        return self.job(job_id).runs[:limit]

    def run(self, run_id: int) -> RunView:
        return self.runs_.get(run_id) or run_view(run_id)

    def lineage_of(self, job_id: int, run: str = "") -> LineageView:
        self._start_read()
        return lineage_of(self.jobs_, self.edges_, job_id, run)

    def timeline(self, business_date: str | None = None) -> TimelineView:
        self._start_read()
        return night_of(self.services_, self.jobs_, NOW, business_date)

    def timeline_of(self, services: Sequence[ServiceView], business_date: str, is_present: bool = True) -> TimelineView:
        return night_of(services, self.jobs_, NOW, business_date)

    def latest_runs(self, job_ids: Iterable[int]) -> Mapping[int, Sequence[LineageRun]]:
        return {job_id: runs_of(next(row for row in self.jobs_ if row.id == job_id)) for job_id in job_ids}

    def gate(self, name: str, period: str = "") -> GateView:
        upstream = UpstreamView(2, LOAD, None, "", self.upstream_, ("exit 75",), False)
        return GateView(2, "2026-11-19", NOW, (upstream,))

    def engine(self) -> EngineView:
        return EngineView("us", NOW, NOW, alive=True)

    def now(self) -> datetime:
        return NOW

    def declared(self) -> Declared:
        return NOTHING_DECLARED

    def systems(self) -> Sequence[TargetView]:
        return self.targets_

    def engines(self) -> list[EngineShare]:
        return self.engines_

    def ended_work(self) -> Sequence[EndedWork]:
        ended = [plan for plan in self.plans_ if plan.ended is not None]
        return [EndedWork("plan", plan.id, plan.title, plan.state) for plan in ended]

    def config_fault_count(self) -> int:
        return self.to_mend_

    def drift(self) -> Sequence[DriftView]:
        return self.drifts_

    def list_actions(self, run_id: int | None = None, incident_id: int | None = None) -> Sequence[ActionView]:
        return [action for action in self.actions_ if run_id in (None, action.run_id)]

    def list_plans(self, incident_id: int | None = None, ended: bool = True) -> Sequence[PlanView]:
        self._start_read()
        mine = [plan for plan in self.plans_ if incident_id in (None, plan.incident_id)]
        return [plan for plan in mine if ended or plan.state in ("running", "paused", "stopped")]

    def plan(self, number: int) -> PlanView:
        return _find(f"plan {number}", (plan for plan in self.plans_ if plan.id == number))

    def list_holds(self, ended: bool = False) -> Sequence[HoldView]:
        return self.holds_

    def any_awaiting_approval(self) -> bool:
        return bool(self.approvals_)

    def list_approvals(self) -> Sequence[ApprovalView]:
        return self.approvals_

    def clock_setting(self) -> ClockSetting | None:
        return None

    def data_version(self) -> int:
        self._start_read()
        return self.version

    def interrupt(self) -> None:
        """Nothing here takes long."""

    def close(self) -> None:
        """No store is open."""

    def all_runs(self) -> list[RunRow]:
        """The latest run of every job that has one, newest first."""
        rows = [
            run_row(
                job.run_id, job.id, job.name, state=job.state, evidence=job.evidence, native_state=job.native_state,
                business_date=job.business_date, started=job.started, ended=job.ended, period=job.started,
                attempts=job.attempts,
                stale_since=job.stale_since,
            )
            for job in self.jobs_
            if job.run_id is not None
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (row.started or NOW, row.id), reverse=True)

    def run_ids(self, criteria: JobFilter, sort: str = "age") -> array[int]:
        self._start_read()
        jobs = {row.id for row in self.jobs_ if _matches(row, criteria)}
        rows = [row for row in self.all_runs() if row.job_id in jobs]
        if sort.endswith("name"):
            rows.sort(key=lambda row: row.job)
        return array("q", [row.id for row in (reversed(rows) if sort.startswith("-") else rows)])

    def runs_first_page(self, criteria: JobFilter, sort: str = "age", limit: int = 128) -> Sequence[RunRow]:
        return self.runs_by_ids(self.run_ids(criteria, sort)[:limit])

    def runs_by_ids(self, ids: Sequence[int]) -> Sequence[RunRow]:
        rows = {row.id: row for row in self.all_runs()}
        return [rows[run_id] for run_id in ids if run_id in rows]

    def run_hours(self, criteria: JobFilter, hours: int) -> Sequence[HourlyRunCount]:
        return [
            HourlyRunCount(NOW.replace(minute=0, second=0) - timedelta(hours=n), 40 - n, n % 5 == 0) for n in (3, 2, 1)
        ]

    def promised(self) -> dict[int, tuple[int, int | None]]:
        return {job.id: (micros(at("05:30")), 2_418_000_000) for job in self.jobs_ if job.name in (EXTRACT, LOAD)}


def _find(name: object, views: Iterable[Found]) -> Found:
    for view in views:
        return view
    raise NotFound(str(name))


def _matches(row: JobRow, criteria: JobFilter) -> bool:
    text = row.name.lower()
    return (
        all(term.lower() in text for term in criteria.terms)
        and not any(term.lower() in text for term in criteria.without)
        and (not criteria.states or row.state in criteria.states)
        and (not criteria.systems or row.system in criteria.systems)
        and (not criteria.owners or row.owner in criteria.owners)
        and (not criteria.services or any(service in job_view(row).services for service in criteria.services))
        and (not criteria.problems_only or row.state in ("failed", "missed", "timed_out", "lost", "blocked"))
    )


@dataclass
class FakeAnswer:
    ok: bool
    data: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass
class FakeRequests:
    """Answers as an engine would: a preview, a log, an action that moves on when `advance` is called."""

    reads: FakeReads
    shown: dict[str, Any] = field(default_factory=lambda: dict(PREVIEW))
    draft: PlanDraft = field(default_factory=draft)
    preview_error: str = ""
    silent: bool = False
    refuses: str = ""
    wants_why: bool = False
    log_text: str = LOG
    calls: list[tuple[str, Any]] = field(default_factory=list)
    left_out: list[Collection[StepKey]] = field(default_factory=list)
    """Of each proposal, in their order."""
    sent: list[tuple[int, str]] = field(default_factory=list)
    action_requests: list[ActionRequest] = field(default_factory=list)
    started: list[PlanDraft] = field(default_factory=list)
    steered: list[tuple[int, RequestKind]] = field(default_factory=list)
    turned: list[tuple[str, str, str]] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)

    def _ask(self, kind: str, what: Any) -> int:
        self.calls.append((kind, what))
        return len(self.calls)

    def ask(self, request: ClientRequest) -> int:
        match request:
            case ProposeRecovery():
                self.left_out.append(frozenset(request.leave_out))
                return self._ask("plan", request.incident_id)
            case ReadLog():
                return self._ask("log", (request.run_id, request.attempt_id, request.start))
            case ApproveAction():
                self.reads.approvals_ = [item for item in self.reads.approvals_ if item.key != request.key]
                self.reads.changed()
                return self._ask("approve", request.key)
            case WithdrawAction():
                if any(action.key == request.key for action in self.reads.actions_):
                    self.advance("refused", f"withdrawn by mara: {request.key}")
                return self._ask("withdraw", (request.key, request.why))
            case Acknowledge():
                return self._ask("ack", (request.incident_id, request.seconds, request.why))
            case Unacknowledge():
                return self._ask("ack lapse", (request.incident_id, request.why))
            case PausePolicy():
                row = dataclasses.replace(self.reads.incident_.row, policy="", policy_at=None)
                self.reads.incident_ = dataclasses.replace(self.reads.incident_, row=row)
                self.reads.changed()
                return self._ask("policy", (request.policy, request.why))
            case AddSilence():
                return self._ask("silence", (request.matchers, request.seconds, request.why))
            case ForecastScenarios():
                return self._ask("what if", (request.job_id, list(request.ways)))
            case AcceptDrift():
                self.reads.drifts_ = []
                self.reads.changed()
                return self._ask("drift", (request.job_id, request.change))
            case ProbeSystem():
                return self._ask("probe", (request.system, request.target))
        raise AssertionError(request)

    def preview(self, request: ActionRequest) -> int:
        return self._ask("preview", request.run_id)

    def propose_bulk(self, run_ids: Sequence[int], verb: Verb, leave_out: Collection[StepKey] = ()) -> int:
        self.left_out.append(frozenset(leave_out))
        chosen = [step for step in self.draft.steps if step.run_id in run_ids]
        steps = tuple(
            dataclasses.replace(step, place=place, verb=verb.value, after=()) for place, step in enumerate(chosen, 1)
        )
        self.draft = dataclasses.replace(self.draft, kind="bulk", incident_id=None, steps=steps, excluded=(), notes=())
        return self._ask("plan", (tuple(run_ids), verb))

    def note(self, incident_id: int, text: str) -> None:
        self.notes.append((incident_id, text))

    def edit_card(self, job_id: int, given: Mapping[str, str], why: str = "") -> int:
        return self._ask("card", (job_id, dict(given)))

    def answer(self, request_id: int) -> FakeAnswer | None:
        kind, what = self.calls[request_id - 1]
        if self.silent:
            return None
        if kind in ("preview", "plan", "what if") and self.preview_error:
            return FakeAnswer(False, error=self.preview_error)
        if kind == "preview":
            return FakeAnswer(True, self.shown)
        if kind == "what if":
            return FakeAnswer(True, otherwise(what[1]) if what[0] in (1, 2, 3, 4) else {"services": []})
        if kind == "plan":
            number = [asked for asked, _ in self.calls[:request_id]].count("plan")
            draft = without_steps(self.draft, self.left_out[number - 1])
            return FakeAnswer(True, json.loads(json.dumps(draft.as_json())))
        if kind == "probe":
            right = {"name": "read the crontab", "held": False, "fix": "usermod -aG crontab headway"}
            details = {"reachable": True, "version": "cron 3.0", "rights": [right], "error": "", "took_ms": 41}
            return FakeAnswer(True, {"targets": [{"target": "/".join(what), **details}]})
        if kind == "log":
            text = self.log_text if what[1] != 11 else "03:10 db07 is busy\n03:11 exit 75"
            return FakeAnswer(True, {"text": text, "next": None, "more": False, "cut": False})
        return FakeAnswer(True)

    def _refuse_or_accept(self, why: str) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        if self.wants_why and not why:
            raise ReasonNeeded("tier 1 wants a reason")

    def check(self, candidates: Iterable[ActionRequest]) -> None:
        if list(candidates):
            self._refuse_or_accept("")

    def act(self, request: ActionRequest, key: str) -> None:
        self._refuse_or_accept(request.why)
        if any(action.key == key for action in self.reads.actions_):
            return
        self.sent.append((request.run_id or 0, key))
        self.whys.append(request.why)
        self.action_requests.append(request)
        jobs = {job.run_id if request.run_id else job.id: job for job in self.reads.jobs_}
        job = jobs[request.run_id or request.job_id]
        self.reads.actions_.append(
            ActionView(
                key,
                request.verb.value,
                job.name,
                job.id,
                request.run_id,
                request.incident_id,
                "requested",
                "mara",
                NOW,
                None,
                None,
                "",
                dict(request.preview),
            )
        )
        self.reads.changed()

    def requested_before(self, run_id: int, key: str) -> None:
        """Somebody requested a rerun of that run already."""
        self.act(ActionRequest(Verb.RERUN, run_id, incident_id=412), key)
        self.sent.clear()

    def advance(self, state: str, text: str = "") -> None:
        """The engine moves the last action on."""
        ended = NOW + timedelta(seconds=90) if state not in ("requested", "sending", "sent") else None
        sent = NOW + timedelta(seconds=2) if state != "requested" else None
        last = self.reads.actions_[-1]
        self.reads.actions_[-1] = dataclasses.replace(last, state=state, text=text, sent=sent, ended=ended)
        self.reads.changed()

    def start_plan(self, draft: PlanDraft, key: str, why: str = "", at_once: int = 1) -> int:
        self._refuse_or_accept(why)
        self.started.append(draft)
        self.whys.append(why)
        number = len(self.reads.plans_) + 1
        self.reads.plans_.insert(0, plan_of(draft, number, key=key, why=why))
        self.reads.changed()
        return number

    def steer_plan(self, number: int, how: RequestKind, why: str = "") -> str:
        self.steered.append((number, how))
        _, state, _ = STEERING[how]
        self.reads.plans_[0] = dataclasses.replace(self.reads.plans_[0], state=state, text=f"{state} by mara")
        self.reads.changed()
        return state

    def go_on(self, place: int, **changes: Any) -> None:
        """The engine moves a step of the newest plan on."""
        plan = self.reads.plans_[0]
        steps = [
            dataclasses.replace(plan_step, **changes) if plan_step.place == place else plan_step
            for plan_step in plan.steps
        ]
        self.reads.plans_[0] = dataclasses.replace(plan, steps=tuple(steps))
        self.reads.changed()

    def pause_polling(self, system: str, seconds: float, why: str) -> SystemPause:
        self._refuse_or_accept(why)
        self.turned.append(("polling " + system, f"{seconds:.0f}", why))
        pause = SystemPause(system, "mara", why, NOW, NOW + timedelta(seconds=seconds))
        self.reads.targets_ = [
            dataclasses.replace(target, pause=pause if seconds else None) if target.system == system else target
            for target in self.reads.targets_
        ]
        self.reads.head = self.reads.head._replace(paused=(pause,) if seconds else ())
        self.reads.changed()
        return pause

    def turn(self, name: str, value: str, why: str, system: str = "") -> bool:
        self._refuse_or_accept(why)
        self.turned.append((name, value, why))
        frozen = SwitchState("on", "mara", why, at("03:17")) if value == "on" else None
        self.reads.head = self.reads.head._replace(frozen=frozen)
        self.reads.changed()
        return True
