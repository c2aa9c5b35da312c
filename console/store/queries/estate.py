"""The header, systems, drift, findings, actions, and what changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from console.domain.header import EngineView, HeaderView
from console.domain.ids import instant, micros, optional_instant
from console.domain.service import is_in_doubt
from console.domain.switches import SystemPause
from console.store.db.lease import is_provably_dead, stuck_text
from console.store.db.session import Row
from console.store.queries.base import ReadStore, to_view, visible_state
from console.store.queries.services import ServiceQueries
from console.store.queries.watched_jobs import watched_condition

if TYPE_CHECKING:
    from console.domain.incident import EventView
    from console.domain.switches import Modes
    from console.domain.system import DriftView, TargetView

# ruff: noqa: PLC0415  (the first paint needs only the header)

STOPPED_LASTS = timedelta(days=1)
_STOPPED = (
    "SELECT p.id FROM plan p WHERE p.state = 'stopped'"
    " AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.id = p.incident_id AND i.closed_us IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM plan n WHERE n.incident_id = p.incident_id AND n.id > p.id)"
    " AND (p.incident_id IS NOT NULL OR EXISTS (SELECT 1 FROM plan_step s LEFT JOIN run r ON r.job_id = s.job_id"
    " AND r.period_key = s.period_key WHERE s.plan_id = p.id AND s.state = 'failed'"
    " AND COALESCE(r.state, '') <> 'succeeded' AND COALESCE(s.ended_us, p.requested_us) > ?)) ORDER BY p.id"
)
"""Those that still need a person: not once their incident is over or has a newer plan; without an incident, not once
what failed in them is good, nor for longer than STOPPED_LASTS. The list of plans keeps them all."""
_DRIFT = (
    "SELECT d.id, j.name AS job, d.what, d.words, d.seen_us FROM drift d JOIN job j ON j.id = d.job_id"
    " WHERE d.accepted_us IS NULL AND d.ended_us IS NULL{watched} ORDER BY d.seen_us DESC, d.id DESC"
)


class EstateQueries:
    """The header, the engine, targets, drift and modes."""

    def __init__(self, store: ReadStore, services: ServiceQueries) -> None:
        self.store = store
        self.link = store.link
        self.services = services

    def header(self) -> HeaderView:
        meta: dict[str, str] = dict(self.link.rows("SELECT name, value FROM meta"))
        [(open_incidents,)] = self.link.rows("SELECT count(*) FROM incident WHERE closed_us IS NULL")
        [(jobs,)] = self.link.rows("SELECT COALESCE(SUM(n), 0) FROM job_counts")
        if unwatched := self.store.unwatched():
            jobs -= self.link.rows(f"SELECT count(*) FROM job j WHERE {unwatched}")[0][0]  # noqa: S608  (our own words)
        kept_back = self.link.rows("SELECT 1 FROM switch WHERE value IN ('on', 'shadow') LIMIT 1")
        frozen, in_shadow = self._kept_back() if kept_back else ("", ())
        endangered = [one for one in self.services.list_services() if one.is_endangered and one.delivered is None]
        return HeaderView(
            estate=meta.get("estate", ""),
            engine=self.engine(),
            open_incidents=open_incidents,
            at_risk=len(endangered),
            sick_targets=self._sick(),
            jobs=jobs,
            replay=self.store.clock_setting() is not None,
            late=sum(one.timeliness == "breached" for one in endangered),
            lost=sum(one.timeliness == "will_miss" for one in endangered),
            in_doubt=sum(is_in_doubt(one.timeliness, one.incident_id) for one in endangered),
            frozen=frozen,
            in_shadow=in_shadow,
            paused=tuple(self.store.paused().values()),
            stopped_plans=tuple(
                row[0] for row in self.link.rows(_STOPPED, (micros(self.store.now() - STOPPED_LASTS),))
            ),
            config=meta.get("config_digest", ""),
            config_since=instant(int(meta["config_since_us"])) if "config_since_us" in meta else None,
            console=meta.get("console", ""),
        )

    def any_awaiting_approval(self) -> bool:
        """Whether a requested action waits for another person's approval."""
        waits = "SELECT 1 FROM action WHERE state = 'requested' AND needs_approval AND approved_by = '' LIMIT 1"
        return bool(self.link.rows(waits))

    def engine(self) -> EngineView:
        """Who holds the lease; alive is judged on real time. A holder that is provably dead on this machine is not,
        though its lease still runs."""
        rows = self.link.rows(
            "SELECT holder, since_us, heartbeat_us, until_us,"
            " (SELECT value FROM meta WHERE name = 'engine_trouble') AS trouble FROM lease WHERE name = 'engine'"
        )
        if not rows:
            return EngineView("", None, None, False, stuck=stuck_text(self.link.place))
        [lease] = rows
        since = instant(lease.since_us)
        alive = bool(lease.holder) and lease.until_us > self.link.real_now_us() and not is_provably_dead(lease.holder)
        stuck = "" if alive else stuck_text(self.link.place, lease.holder, since)
        return EngineView(lease.holder, since, instant(lease.heartbeat_us), alive, lease.trouble or "", stuck)

    def _sick(self) -> tuple[tuple[str, datetime | None], ...]:
        """Targets that fail or were not seen for three intervals; longest out of sight first."""
        stale = self.store.stale_targets()
        rows = self.link.rows(
            "SELECT t.id, s.name AS system, t.name, t.last_ok_us, t.failing_since_us FROM target t"
            " JOIN system s ON s.id = t.system_id WHERE NOT t.removed AND NOT s.removed"
        )
        sick = [
            row for row in rows if row.failing_since_us is not None or (row.id in stale and row.last_ok_us is not None)
        ]
        sick.sort(key=lambda row: (row.last_ok_us or 0, row.id))
        return tuple((f"{row.system}/{visible_state(row.name)}", optional_instant(row.last_ok_us)) for row in sick)

    def systems(self) -> list[TargetView]:
        """Every target, by system and name."""
        jobs: dict[int, int] = dict(
            self.link.rows("SELECT target_id, count(*) FROM job WHERE NOT unwatched GROUP BY target_id")
        )
        rows = self.link.rows(
            "SELECT t.id, s.name AS system, s.kind, t.name, t.last_ok_us, t.failing_since_us, t.error, t.error_kind,"
            " t.skew_s, t.zone,"
            " t.poll_ms, s.poll_every_s, t.skipped, t.skipped_words, t.warnings, t.version, t.rights, s.capabilities,"
            " s.missing, t.lost_since_us, t.lost_until_us, t.last_try_us, t.failures, t.seen_until_us, t.inventory_us,"
            " t.booted_us, t.requests, t.requests_minute, t.allowed"
            " FROM target t JOIN system s ON s.id = t.system_id WHERE NOT t.removed AND NOT s.removed"
            " ORDER BY s.name, t.name"
        )
        pauses = self.store.paused()
        return [_target(row, jobs.get(row.id, 0), pauses.get(row.system)) for row in rows]

    def drift(self) -> list[DriftView]:
        """Drift of watched jobs that is neither accepted nor over, newest first."""
        from console.domain.system import DriftView

        rows = self.link.rows(_DRIFT.format(watched=watched_condition(self.link)))
        return [to_view(DriftView, row) for row in rows]

    def modes(self) -> Modes:
        """What is frozen, what is in shadow."""
        from console.store import switches

        return switches.load_modes(self.link)

    def _kept_back(self) -> tuple[str, tuple[str, ...]]:
        from console.domain.switches import format_freeze

        modes = self.modes()
        return (format_freeze(modes.frozen) if modes.frozen is not None else "", modes.in_shadow)

    def shadow_events(self, since: datetime) -> tuple[list[EventView], int]:
        """What a shadow kept from being told and held since then, newest first; how often people asked in vain."""
        from console.domain.incident import EventView

        rows = self.link.rows(
            "SELECT at_us, kind, words, actor FROM event WHERE at_us >= ? AND kind IN ('shadow', 'hold')"
            " AND words LIKE 'would have %' ORDER BY id DESC",
            (micros(since),),
        )
        [(refused,)] = self.link.rows(
            "SELECT count(*) FROM audit WHERE at_us >= ? AND verb LIKE 'refuse %' AND detail LIKE '%is in shadow:%'",
            (micros(since),),
        )
        return [to_view(EventView, row) for row in rows], int(refused)


def _target(row: Row, jobs: int, pause: SystemPause | None) -> TargetView:
    from console.domain.system import TargetView

    is_lost = row.lost_since_us is not None and row.lost_until_us is not None
    return to_view(
        TargetView,
        row,
        name=visible_state(row.name),
        jobs=jobs,
        pause=pause,
        capabilities=tuple(filter(None, row.capabilities.split(","))),
        lost=(instant(row.lost_since_us), instant(row.lost_until_us)) if is_lost else None,
    )
