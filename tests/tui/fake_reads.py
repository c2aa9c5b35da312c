"""The store's readers and the engine's requests with canned views: the night of design §1, frozen at 03:17:42 CET."""

from __future__ import annotations

import dataclasses
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from console.clock import Hand
from console.model.views import (
    ActionView,
    AttemptView,
    DeliveryView,
    DriftView,
    EngineView,
    EventView,
    HeaderView,
    HurtService,
    IncidentRow,
    IncidentView,
    JobFilter,
    JobRow,
    JobView,
    MemberView,
    RunRow,
    RunView,
    ServiceView,
    TargetView,
)
from console.store.errors import ReasonNeeded
from console.store.reads import NotFound

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
    sick = (("etl-hosts/etl02", NOW - timedelta(minutes=4)),)
    return dataclasses.replace(HeaderView("prod", engine, 1, 2, sick, 14, False), **changes)


def service(number: int, name: str, title: str, tier: int, deadline: str, **changes: Any) -> ServiceView:
    view = ServiceView(
        number,
        name,
        title,
        tier,
        "data-platform",
        "https://wiki.internal/" + name,
        ZONE,
        "2026-11-19",
        at(deadline),
        "on_time",
        "open",
        None,
        at(deadline) - timedelta(minutes=50),
        None,
        None,
        None,
        "",
        None,
        "",
    )
    return dataclasses.replace(view, **changes)


def services() -> list[ServiceView]:
    hurt = {"cause": EXTRACT, "incident_id": 412, "timeliness": "at_risk", "data_state": "open"}
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
            reason="supply-mart starts by the clock at 04:30 and must find load_orders green",
            **hurt,
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
            reason="load_orders, then revenue_mart",
            **hurt,
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
        412,
        f"{EXTRACT} failed: exit 1",
        "run",
        "2026-11-19",
        "exit 1: No space left on device",
        "data-platform",
        at("03:12:04"),
        at("03:12:09"),
        at("03:58"),
        None,
        2,
        2,
        1,
        EXTRACT,
        "https://wiki.internal/extract-orders",
    )
    return dataclasses.replace(row, **changes)


def incident() -> IncidentView:
    hurt = tuple(
        HurtService(
            s.name,
            s.title,
            s.tier,
            s.zone,
            s.deadline,
            s.act_by,
            s.green_by,
            s.expected,
            s.timeliness,
            "declared 14m" if s.tier == 2 else "history (31 runs)",
            s.reason,
        )
        for s in services()[:2]
    )
    members = (
        MemberView(
            "root", EXTRACT, 1, 1, "2026-11-20T02:10:00Z", "failed", "native", False, at("03:12"), at("03:12:04")
        ),
        MemberView("stale", LOAD, 2, 2, "scheduled__2026-11-20", "succeeded", "native", True, at("03:13"), at("03:14")),
        MemberView("red", MART, 3, 3, "2026-11-20T02:15:00Z", "failed", "native", False, at("03:15"), at("03:16")),
        MemberView("threatened", SUPPLY, 4, None, "2026-11-20T03:30:00Z", "planned", "native", False, None, None),
    )
    events = (
        EventView(at("03:12:09"), "opened", "opened: exit 1 of the root", "engine"),
        EventView(at("03:12:10"), "told", "told #oncall and data-platform", "engine"),
        EventView(at("03:16:05"), "regrouped", f"{MART} belongs to it", "engine"),
    )
    deliveries = (
        DeliveryView("data-platform", "opened", "env ONCALL_MAIL", "sent", 1, 0, at("03:12:10"), ""),
        DeliveryView(
            "chat", "opened", "env CHAT_HOOK", "failed", 3, 0, None, "connection refused by chat.internal:443"
        ),
    )
    seen = ((at("03:12") - timedelta(days=9), "rerun by mara, 14m"),)
    return IncidentView(incident_row(), hurt, members, events, deliveries, LOG, "", (), seen)


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
        job_row(12, "pg-dwh/never_ran", state="", run_id=None, started=None, ended=None, bd=""),
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


def run_view(number: int = 1, **changes: Any) -> RunView:
    row = run_row(1, 1, EXTRACT, attempts=2)
    attempts = (
        AttemptView(11, 1, "failed", "native", "exit 75", at("03:10"), at("03:11"), 75, "db07 busy", None, "a1", ""),
        AttemptView(
            12, 2, "failed", "native", "exit 1", at("03:12"), at("03:12:04"), 1, "No space left", None, "a2", ""
        ),
    )
    view = RunView(row, attempts, LOG, "", False, ZONE, "safe", ("rerun", "log"), {}, 412)
    if number != 1:
        found = {job.run_id: job for job in jobs()}.get(number, job_row(number, LOAD))
        row = run_row(
            number,
            found.id,
            found.name,
            state=found.state,
            exit_code=None,
            message="",
            started=found.started,
            ended=found.ended,
        )
        view = dataclasses.replace(view, row=row, attempts=attempts[1:])
    return dataclasses.replace(view, **changes)


def job_view(row: JobRow, **changes: Any) -> JobView:
    runs = tuple(
        run_row(
            row.run_id - night if not night else 1000 * row.id + night,
            row.id,
            row.name,
            bd=f"2026-11-{19 - night:02d}",
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
        "",
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
    )
    return dataclasses.replace(view, **changes)


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
        {},
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
    "words": "run this crontab line once on db07 as etl",
    "scope": "extract_orders, business date 2026-11-19",
    "affected": ["db07:extract_orders"],
    "overlap": None,
    "native_calls": ["ssh headway@db07 headway-run 3f9c… as etl: /opt/etl/extract_orders.sh --since yesterday"],
    "notes": ["it runs with today's clock: the line itself must know its period"],
    "refused": None,
    "plan": {},
    "safety": "safe",
    "followers": [[LOAD, 2, "read stale data"], [MART, 3, "failed after it"]],
}


@dataclass
class FakeReads:
    """Serves what its fields hold; a test changes them and calls `changed`."""

    head: HeaderView = field(default_factory=header)
    services_: list[ServiceView] = field(default_factory=services)
    incidents_: list[IncidentRow] = field(default_factory=lambda: [incident_row()])
    incident_: IncidentView = field(default_factory=incident)
    jobs_: list[JobRow] = field(default_factory=jobs)
    targets_: list[TargetView] = field(default_factory=targets)
    to_mend_: int = 0
    drifts_: list[DriftView] = field(default_factory=drifts)
    actions_: list[ActionView] = field(default_factory=list)
    runs_: dict[int, RunView] = field(default_factory=dict)
    version: int = 1
    broken: str = ""
    threads: set[str] = field(default_factory=set)

    def changed(self) -> None:
        self.version += 1

    def _look(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise OSError(self.broken)

    def header(self) -> HeaderView:
        self._look()
        return self.head

    def services(self) -> Sequence[ServiceView]:
        self._look()
        return self.services_

    def service(self, name: str) -> ServiceView:
        return _found(name, (view for view in self.services_ if view.name == name))

    def incidents(self, closed: bool = False) -> Sequence[IncidentRow]:
        self._look()
        return self.incidents_

    def incident(self, incident_id: int) -> IncidentView:
        self._look()
        view = _found(f"INC-{incident_id:04d}", (view for view in (self.incident_,) if view.row.id == incident_id))
        return dataclasses.replace(view, actions=tuple(self.actions_))

    def job_ids(self, wanted: JobFilter, sort: str = "attention") -> array[int]:
        self._look()
        return array("q", [row.id for row in self.jobs_ if _matches(row, wanted)])

    def jobs_first_page(self, wanted: JobFilter, sort: str = "attention", limit: int = 128) -> Sequence[JobRow]:
        return [row for row in self.jobs_ if _matches(row, wanted)][:limit]

    def jobs_by_ids(self, ids: Sequence[int]) -> Sequence[JobRow]:
        wanted = set(ids)
        return [row for row in self.jobs_ if row.id in wanted]

    def job(self, name_or_id: str | int) -> JobView:
        row = _found(name_or_id, (row for row in self.jobs_ if name_or_id in (row.id, row.name)))
        return job_view(row, drift=tuple(d for d in self.drifts_ if d.job == row.name))

    def runs(self, job_id: int, limit: int = 60) -> Sequence[RunRow]:
        return self.job(job_id).runs[:limit]

    def run(self, run_id: int) -> RunView:
        return self.runs_.get(run_id) or run_view(run_id)

    def systems(self) -> Sequence[TargetView]:
        return self.targets_

    def to_mend(self) -> int:
        return self.to_mend_

    def drift(self) -> Sequence[DriftView]:
        return self.drifts_

    def actions(self, run_id: int | None = None, incident_id: int | None = None) -> Sequence[ActionView]:
        return [action for action in self.actions_ if run_id in (None, action.run_id)]

    def hand(self) -> Hand | None:
        return None

    def data_version(self) -> int:
        self._look()
        return self.version


def _found(name: object, views: Iterable[Found]) -> Found:
    for view in views:
        return view
    raise NotFound(str(name))


def _matches(row: JobRow, wanted: JobFilter) -> bool:
    text = row.name.lower()
    return (
        all(word.lower() in text for word in wanted.words)
        and not any(word.lower() in text for word in wanted.without)
        and (not wanted.states or row.state in wanted.states)
        and (not wanted.systems or row.system in wanted.systems)
        and (not wanted.owners or row.owner in wanted.owners)
        and (not wanted.problems_only or row.state in ("failed", "missed", "timed_out", "lost", "blocked"))
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
    preview: dict[str, Any] = field(default_factory=lambda: dict(PREVIEW))
    preview_error: str = ""
    silent: bool = False
    refuses: str = ""
    wants_why: bool = False
    log_text: str = LOG
    asked: list[tuple[str, Any]] = field(default_factory=list)
    sent: list[tuple[int, str]] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)

    def _ask(self, kind: str, what: Any) -> int:
        self.asked.append((kind, what))
        return len(self.asked)

    def preview_rerun(self, run_id: int) -> int:
        return self._ask("preview", run_id)

    def log(self, run_id: int, attempt_id: int | None = None, start: str | None = None) -> int:
        return self._ask("log", (run_id, attempt_id, start))

    def probe(self, system: str) -> int:
        return self._ask("probe", system)

    def accept_drift(self, job_id: int) -> int:
        self.reads.drifts_ = []
        self.reads.changed()
        return self._ask("drift", job_id)

    def answer(self, request_id: int) -> FakeAnswer | None:
        kind, what = self.asked[request_id - 1]
        if self.silent:
            return None
        if kind == "preview":
            return FakeAnswer(False, error=self.preview_error) if self.preview_error else FakeAnswer(True, self.preview)
        if kind == "log":
            text = self.log_text if what[1] != 11 else "03:10 db07 is busy\n03:11 exit 75"
            return FakeAnswer(True, {"text": text, "next": None, "more": False, "cut": False})
        return FakeAnswer(True)

    def rerun(
        self, run_id: int, preview: dict[str, Any], key: str, why: str = "", incident_id: int | None = None
    ) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        if self.wants_why and not why:
            raise ReasonNeeded("tier 1 (daily-revenue) hangs on it: say why (--why)")
        if any(action.key == key for action in self.reads.actions_):
            return
        self.sent.append((run_id, key))
        self.whys.append(why)
        job = {job.run_id: job.name for job in self.reads.jobs_}.get(run_id, EXTRACT)
        self.reads.actions_.append(
            ActionView(
                key, "rerun", job, run_id, run_id, incident_id, "requested", "mara", NOW, None, None, "", preview
            )
        )
        self.reads.changed()

    def advance(self, state: str, words: str = "") -> None:
        """The engine moves the last action on."""
        ended = NOW + timedelta(seconds=90) if state not in ("requested", "sending", "sent") else None
        sent = NOW + timedelta(seconds=2) if state != "requested" else None
        last = self.reads.actions_[-1]
        self.reads.actions_[-1] = dataclasses.replace(last, state=state, words=words, sent=sent, ended=ended)
        self.reads.changed()
