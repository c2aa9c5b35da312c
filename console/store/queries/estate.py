"""The header, systems, drift, findings, actions, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from console.domain.header import (
    MAX_SILENCED,
    EngineShare,
    EngineView,
    HeaderView,
    PausedPlan,
    UnseenTarget,
    unseen_status,
)
from console.domain.ids import instant, micros, optional_instant, utc_minute
from console.domain.service import ServiceView, is_in_doubt
from console.domain.switches import SHADOW, SHADOW_EVENTS, SystemPause
from console.domain.text import Title
from console.store.db.lease import is_of_other_file, is_provably_dead, living_holder, stuck_text
from console.store.db.session import Row
from console.store.queries.base import ContextQueries, ReadStore, clean_name
from console.store.queries.services import ServiceQueries
from console.store.queries.watched_jobs import watched_condition
from console.store.row_values import from_row, parse_object

if TYPE_CHECKING:
    from console.domain.incident import EventView
    from console.domain.switches import Modes
    from console.domain.system import DriftView, TargetView

# ruff: noqa: PLC0415  (the first paint needs only the header)

STOPPED_LASTS = timedelta(days=1)
_STOPPED = (
    "SELECT p.id FROM plan p WHERE p.state = 'stopped' AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.id ="
    " p.incident_id AND i.closed_us IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM plan n WHERE n.incident_id ="
    " p.incident_id AND n.id > p.id) AND (p.incident_id IS NOT NULL OR EXISTS (SELECT 1 FROM plan_step s LEFT JOIN run"
    " r ON r.job_id = s.job_id AND r.period_key = s.period_key WHERE s.plan_id = p.id AND s.state = 'failed' AND"
    " COALESCE(r.state, '') <> 'succeeded' AND COALESCE(s.ended_us, p.requested_us) > ?)) ORDER BY p.id"
)
"""Stopped plans that still need a person: not if their incident is closed or has a newer plan; without an incident, not
once the failed runs succeeded, nor after STOPPED_LASTS."""
_PAUSED = (
    "SELECT p.id, p.requested_from, count(*) AS steps, SUM(CASE WHEN s.state = 'verified' THEN 1 ELSE 0 END) AS done,"
    " SUM(CASE WHEN s.state = 'planned' THEN 1 ELSE 0 END) AS planned FROM plan p JOIN plan_step s ON s.plan_id = p.id"
    " WHERE p.state = 'paused' GROUP BY p.id, p.requested_from ORDER BY p.id"
)
_DRIFT = (
    "SELECT d.id, j.name AS job, d.what, d.text, d.seen_us FROM drift d JOIN job j ON j.id = d.job_id"
    " WHERE d.accepted_us IS NULL AND d.ended_us IS NULL{watched} ORDER BY d.seen_us DESC, d.id DESC"
)


_ENDED = (
    "SELECT * FROM (SELECT 'incident' AS kind, i.id, j.name AS job, i.title, 'closed' AS state FROM incident i"
    " LEFT JOIN run f ON f.id = i.root_run_id LEFT JOIN job j ON j.id = COALESCE(f.job_id, i.root_job_id)"
    " WHERE i.closed_us IS NOT NULL ORDER BY i.closed_us DESC LIMIT 200) closed_incident"
    " UNION ALL SELECT * FROM (SELECT 'plan' AS kind, id, title AS job, '' AS title, state FROM plan"
    " WHERE state IN ('done', 'aborted') ORDER BY id DESC LIMIT 200) ended_plan"
)

_ENGINES = (
    "SELECT e.holder, e.since_us, e.heartbeat_us, e.trouble, e.hand_overs, e.handed_over_us,"
    " (SELECT count(*) FROM shard s WHERE s.holder = e.holder) AS shards, EXISTS (SELECT 1 FROM lease l WHERE"
    " l.name = 'engine' AND l.holder = e.holder) AS leads FROM engine e ORDER BY leads DESC, e.since_us, e.holder"
)
_SILENCED = (
    "SELECT incident_id, max(why) AS why FROM alert_suppressed WHERE ended_us IS NULL AND stage = 'silence' AND"
    " incident_id IN (SELECT id FROM incident WHERE closed_us IS NULL) GROUP BY incident_id ORDER BY incident_id"
    " LIMIT ?"
)
HEARTBEAT_LIMIT_US = 15_000_000
"""An engine without a heartbeat for this long has lost its shards."""


class EndedWork(NamedTuple):
    """An incident that is closed, or a plan that has ended."""

    kind: str
    """ "incident" or "plan"."""
    id: int
    title: str
    state: str


class EstateQueries(ContextQueries):
    def __init__(self, store: ReadStore, services: ServiceQueries) -> None:
        super().__init__(store)
        self.services = services

    def ended_work(self) -> list[EndedWork]:
        """The latest 200 closed incidents and the latest 200 ended plans, each newest first."""
        rows = self.link.rows(_ENDED)
        titles = (row.job or Title.from_json(row.title, is_past=True).text(utc_minute) for row in rows)
        return [EndedWork(row.kind, row.id, title, row.state) for row, title in zip(rows, titles, strict=True)]

    def header(self, services: Sequence[ServiceView] | None = None) -> HeaderView:
        """`services`: those that it counts, where they are read already, so that both have the same verdicts."""
        meta: dict[str, str] = dict(self.link.rows("SELECT name, value FROM meta"))
        [counts] = self.link.rows(
            "SELECT (SELECT count(*) FROM incident WHERE closed_us IS NULL) AS incidents,"
            " (SELECT COALESCE(SUM(n), 0) FROM job_counts) AS jobs"
        )
        jobs = counts.jobs
        if unwatched := self.store.unwatched():
            [unwatched_count] = self.link.rows(f"SELECT count(*) AS jobs FROM job j WHERE {unwatched}")  # noqa: S608
            jobs -= unwatched_count.jobs
        frozen, in_shadow = None, tuple[str, ...]()
        if self.link.rows("SELECT 1 FROM switch WHERE value IN ('on', 'shadow') LIMIT 1"):
            modes = self.modes()
            frozen, in_shadow = modes.frozen, modes.in_shadow
        days = self.services.list_services() if services is None else services
        endangered = [day for day in days if day.is_endangered and day.delivered is None]
        stopped = self.link.rows(_STOPPED, (micros(self.store.now() - STOPPED_LASTS),))
        return HeaderView(
            estate=meta.get("estate", ""),
            engine=self.engine(),
            open_incidents=counts.incidents,
            at_risk=len(endangered),
            unseen_targets=self.unseen_targets(),
            jobs=jobs,
            replay=self.store.clock_setting() is not None,
            late=sum(day.timeliness == "breached" for day in endangered),
            lost=sum(day.timeliness == "will_miss" for day in endangered),
            no_estimate=sum(is_in_doubt(day.timeliness, day.incident_id) for day in endangered),
            frozen=frozen,
            in_shadow=in_shadow,
            paused=tuple(self.store.paused().values()),
            silenced=tuple((row.incident_id, row.why) for row in self.link.rows(_SILENCED, (MAX_SILENCED + 1,))),
            stopped_plans=tuple(plan.id for plan in stopped),
            paused_plans=self._paused_plans(),
            config=meta.get("config_digest", ""),
            config_since=instant(int(meta["config_since_us"])) if "config_since_us" in meta else None,
            console=meta.get("console", ""),
        )

    def _paused_plans(self) -> tuple[PausedPlan, ...]:
        rows = self.link.rows(_PAUSED)
        if not rows:
            return ()
        from console.domain.plan import may_await_approval

        paused = (
            row for row in rows if row.planned < row.steps or not may_await_approval("paused", row.requested_from)
        )
        return tuple(PausedPlan(row.id, int(row.done), row.steps) for row in paused)

    def any_awaiting_approval(self) -> bool:
        """Whether a requested action waits for another person's approval."""
        waits = "SELECT 1 FROM action WHERE state = 'requested' AND needs_approval AND approved_us IS NULL LIMIT 1"
        return bool(self.link.rows(waits))

    def engine(self) -> EngineView:
        """The lease holder; alive by real time. A holder that is provably dead on this machine, or works on the
        original of this copy, is not alive, whatever its lease."""
        rows = self.link.rows(
            "SELECT holder, since_us, heartbeat_us, until_us,"
            " (SELECT value FROM meta WHERE name = 'engine_trouble') AS trouble FROM lease WHERE name = 'engine'"
        )
        if not rows:
            return EngineView("", None, None, False, stuck=stuck_text(self.link.path))
        [lease] = rows
        since = instant(lease.since_us)
        alive = bool(lease.holder) and lease.until_us > self.link.real_now_us() and not is_provably_dead(lease.holder)
        alive = alive and not is_of_other_file(self.link.path, lease.holder)
        stuck = "" if alive else stuck_text(self.link.path, lease.holder, since)
        return EngineView(lease.holder, since, instant(lease.heartbeat_us), alive, lease.trouble or "", stuck)

    def engines(self) -> list[EngineShare]:
        """The engines of a shared store, the one with the lease first; dead ones for an hour. Empty on SQLite."""
        rows = self.link.rows(_ENGINES)
        now = self.link.real_now_us()
        return [
            from_row(
                EngineShare,
                row,
                heartbeat_age_s=max(0.0, (now - row.heartbeat_us) / 1_000_000),
                alive=now - row.heartbeat_us < HEARTBEAT_LIMIT_US and not is_provably_dead(row.holder),
            )
            for row in rows
        ]

    def working_engine(self) -> str:
        """The engine that works on the store, also one that cannot write any more; empty without one."""
        engine = self.engine()
        lives = engine.alive or living_holder(self.link.path, engine.holder, engine.since) is not None
        return engine.holder if lives else ""

    def unseen_targets(self) -> tuple[UnseenTarget, ...]:
        """Targets that fail or were not seen for three intervals; the one seen least recently first."""
        stale = self.store.stale_targets()
        rows = self.link.rows(
            "SELECT t.id, s.name AS system, t.name, t.last_ok_us, t.failing_since_us, t.error_kind FROM target t"
            " JOIN system s ON s.id = t.system_id WHERE NOT t.removed AND NOT s.removed"
        )
        sick = [
            row for row in rows if row.failing_since_us is not None or (row.id in stale and row.last_ok_us is not None)
        ]
        sick.sort(key=lambda row: (row.last_ok_us or 0, row.id))
        return tuple(
            UnseenTarget(
                f"{row.system}/{clean_name(row.name)}",
                optional_instant(row.last_ok_us),
                unseen_status(row.error_kind, is_failing=row.failing_since_us is not None),
                optional_instant(row.failing_since_us),
            )
            for row in sick
        )

    def systems(self) -> list[TargetView]:
        """Every target, by system and name."""
        jobs: dict[int, int] = dict(
            self.link.rows("SELECT target_id, count(*) FROM job WHERE NOT unwatched GROUP BY target_id")
        )
        rows = self.link.rows(
            "SELECT t.id, s.name AS system, s.kind, t.name, t.last_ok_us, t.failing_since_us, t.error,"
            " t.error_fix, t.error_kind, t.skew_s, t.zone, t.poll_ms, s.poll_every_s, t.skipped,"
            " t.skipped_text AS skipped_reasons, t.warnings, t.version, t.rights,"
            " s.capabilities, s.missing, t.lost_since_us, t.lost_until_us, t.last_try_us, t.failures, t.seen_until_us,"
            " t.inventory_us, t.booted_us, t.requests, t.requests_minute, t.allowed FROM target t JOIN system s ON s.id"
            " = t.system_id WHERE NOT t.removed AND NOT s.removed ORDER BY s.name, t.name"
        )
        pauses = self.store.paused()
        return [_target(row, jobs.get(row.id, 0), pauses.get(row.system)) for row in rows]

    def drift(self) -> list[DriftView]:
        """Open drift of watched jobs, newest first."""
        from console.domain.system import DriftView

        rows = self.link.rows(_DRIFT.format(watched=watched_condition(self.link)))
        return [from_row(DriftView, row) for row in rows]

    def modes(self) -> Modes:
        from console.store import switches

        return switches.load_modes(self.link)

    def shadow_events(self, since: datetime) -> tuple[list[EventView], int]:
        """Notifications and holds prevented by a shadow since then, newest first; number of actions it refused."""
        from console.store.events import event_of

        rows = self.link.rows(
            "SELECT at_us, kind, text, actor FROM event WHERE at_us >= ? AND kind IN (?, ?, ?) ORDER BY id DESC",
            (micros(since), *SHADOW_EVENTS),
        )
        refusals = self.link.rows(
            "SELECT detail FROM audit WHERE at_us >= ? AND verb LIKE 'refuse %'", (micros(since),)
        )
        refused = sum(parse_object(row.detail).get("code") == SHADOW for row in refusals)
        return [*map(event_of, rows)], refused


def _target(row: Row, jobs: int, pause: SystemPause | None) -> TargetView:
    from console.domain.system import TargetView

    is_lost = row.lost_since_us is not None and row.lost_until_us is not None
    return from_row(
        TargetView,
        row,
        name=clean_name(row.name),
        jobs=jobs,
        pause=pause,
        capabilities=tuple(filter(None, row.capabilities.split(","))),
        lost=(instant(row.lost_since_us), instant(row.lost_until_us)) if is_lost else None,
    )
