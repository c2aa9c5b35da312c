"""The header, the systems, drift, actions, and what changed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from console.model.ids import instant, maybe_instant, micros
from console.model.pauses import Pause
from console.model.views import ActionView, DriftView, EngineView, EventView, HeaderView, TargetView
from console.model.views.incidents import in_doubt
from console.store.reads.base import table, visible, words
from console.store.reads.findings import FindingReads
from console.store.reads.holders import is_dead_here, stuck_words
from console.store.reads.link import Row
from console.store.reads.watched import still_watched

if TYPE_CHECKING:
    from console.model.modes import Modes


_ACTIONS = (
    "SELECT a.key, a.verb, j.name, a.job_id, a.run_id, a.incident_id, a.state, a.requested_by, a.requested_us,"
    " a.sent_us,"
    " a.ended_us, a.words, a.preview FROM action a JOIN job j ON j.id = a.job_id"
)
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
    "SELECT d.id, j.name, d.what, d.words, d.seen_us FROM drift d JOIN job j ON j.id = d.job_id"
    " WHERE d.accepted_us IS NULL AND d.ended_us IS NULL{watched} ORDER BY d.seen_us DESC, d.id DESC"
)


class EstateReads(FindingReads):
    def header(self) -> HeaderView:
        meta: dict[str, str] = dict(self.link.rows("SELECT name, value FROM meta"))
        [(open_incidents,)] = self.link.rows("SELECT count(*) FROM incident WHERE closed_us IS NULL")
        [(jobs,)] = self.link.rows("SELECT COALESCE(SUM(n), 0) FROM job_counts")
        if unwatched := self.unwatched():
            jobs -= self.link.rows(f"SELECT count(*) FROM job j WHERE {unwatched}")[0][0]  # noqa: S608  (our own words)
        kept_back = self.link.rows("SELECT 1 FROM switch WHERE value IN ('on', 'shadow') LIMIT 1")
        frozen, in_shadow = self._kept_back() if kept_back else ("", ())
        endangered = [one for one in self.services() if one.is_endangered and one.delivered is None]
        return HeaderView(
            estate=meta.get("estate", ""),
            engine=self.engine(),
            open_incidents=open_incidents,
            at_risk=len(endangered),
            sick_targets=self._sick(),
            jobs=jobs,
            replay=self.hand() is not None,
            late=sum(one.timeliness == "breached" for one in endangered),
            lost=sum(one.timeliness == "will_miss" for one in endangered),
            in_doubt=sum(in_doubt(one.timeliness, one.incident_id) for one in endangered),
            frozen=frozen,
            in_shadow=in_shadow,
            paused=tuple(self.paused().values()),
            stopped_plans=tuple(row[0] for row in self.link.rows(_STOPPED, (micros(self.now() - STOPPED_LASTS),))),
            config=meta.get("config_digest", ""),
            config_since=instant(int(meta["config_since_us"])) if "config_since_us" in meta else None,
            console=meta.get("console", ""),
        )

    def engine(self) -> EngineView:
        """Who holds the lease; alive is judged on real time. A holder that is provably dead on this machine is not,
        though its lease still runs."""
        rows = self.link.rows(
            "SELECT holder, since_us, heartbeat_us, until_us,"
            " (SELECT value FROM meta WHERE name = 'engine_trouble') FROM lease WHERE name = 'engine'"
        )
        if not rows:
            return EngineView("", None, None, False, stuck=stuck_words(self.link.place))
        [(holder, since, heartbeat, until, trouble)] = rows
        alive = bool(holder) and until > self.link.real_now_us() and not is_dead_here(holder)
        stuck = "" if alive else stuck_words(self.link.place, holder, instant(since))
        return EngineView(holder, maybe_instant(since), maybe_instant(heartbeat), alive, trouble or "", stuck)

    def _sick(self) -> tuple[tuple[str, datetime | None], ...]:
        """Targets that fail or were not seen for three intervals; longest out of sight first."""
        stale = self.stale_targets()
        rows = self.link.rows(
            "SELECT t.id, s.name, t.name, t.last_ok_us, t.failing_since_us FROM target t"
            " JOIN system s ON s.id = t.system_id WHERE NOT t.removed AND NOT s.removed"
        )
        sick = [row for row in rows if row[4] is not None or (row[0] in stale and row[3] is not None)]
        sick.sort(key=lambda row: (row[3] or 0, row[0]))
        return tuple((f"{system}/{visible(name)}", maybe_instant(last_ok)) for _, system, name, last_ok, _ in sick)

    def systems(self) -> list[TargetView]:
        """Every target, by system and name."""
        jobs: dict[int, int] = dict(
            self.link.rows("SELECT target_id, count(*) FROM job WHERE NOT unwatched GROUP BY target_id")
        )
        rows = self.link.rows(
            "SELECT t.id, s.name, s.kind, t.name, t.last_ok_us, t.failing_since_us, t.error, t.error_kind,"
            " t.skew_s, t.zone,"
            " t.poll_ms, s.poll_every_s, t.skipped, t.skipped_words, t.warnings, t.version, t.rights, s.capabilities,"
            " s.missing, t.lost_since_us, t.lost_until_us, t.last_try_us, t.failures, t.seen_until_us, t.inventory_us,"
            " t.booted_us, t.requests, t.requests_minute, t.allowed"
            " FROM target t JOIN system s ON s.id = t.system_id WHERE NOT t.removed AND NOT s.removed"
            " ORDER BY s.name, t.name"
        )
        pauses = self.paused()
        return [_target(row, jobs.get(row[0], 0), pauses.get(row[1])) for row in rows]

    def drift(self) -> list[DriftView]:
        """Drift of watched jobs that is neither accepted nor over, newest first."""
        rows = self.link.rows(_DRIFT.format(watched=still_watched(self.link)))
        return [DriftView(row[0], row[1], row[2], row[3], instant(row[4])) for row in rows]

    def actions(self, run_id: int | None = None, incident_id: int | None = None) -> list[ActionView]:
        """Actions on a run or for an incident, or the 100 latest; newest first."""
        where = (
            " WHERE a.run_id = ?"
            if run_id is not None
            else " WHERE a.incident_id = ?"
            if incident_id is not None
            else ""
        )
        value = run_id if run_id is not None else incident_id
        rows = self.link.rows(
            f"{_ACTIONS}{where} ORDER BY a.requested_us DESC, a.key DESC LIMIT 100", () if value is None else (value,)
        )
        return [_action(row) for row in rows]

    def withdrawable(self) -> list[ActionView]:
        """What was asked for and not sent, or of which nobody can tell; oldest first."""
        sql = f"{_ACTIONS} WHERE a.state IN ('requested', 'unknown') ORDER BY a.requested_us, a.key"
        return [_action(row) for row in self.link.rows(sql)]

    def modes(self) -> Modes:
        """What is frozen, what is in shadow."""
        from console.store import switches  # noqa: PLC0415 - only where somebody turned one

        return switches.modes(self.link.rows)

    def anything_to_approve(self) -> bool:
        """Whether something waits for another person's yes: cheap, for a header that asks often."""
        waits = "SELECT 1 FROM action WHERE state = 'requested' AND needs_approval AND approved_by = '' LIMIT 1"
        return bool(self.link.rows(waits))

    def _kept_back(self) -> tuple[str, tuple[str, ...]]:
        from console.model.modes import frozen_words  # noqa: PLC0415

        modes = self.modes()
        return (frozen_words(modes.frozen) if modes.frozen is not None else "", modes.in_shadow)

    def on_the_wire(self) -> list[tuple[str, str, str]]:
        """(job, verb, who) of what is being sent or may have arrived: no freeze calls it back."""
        return [
            (row[0], row[1], row[2])
            for row in self.link.rows(
                "SELECT j.name, a.verb, a.requested_by FROM action a JOIN job j ON j.id = a.job_id"
                " WHERE a.state IN ('sending', 'unknown') ORDER BY a.requested_us"
            )
        ]

    def would_have(self, since: datetime) -> tuple[list[EventView], int]:
        """What a shadow kept from being told and held since then, newest first; how often people asked in vain."""
        rows = self.link.rows(
            "SELECT at_us, kind, words, actor FROM event WHERE at_us >= ? AND kind IN ('shadow', 'hold')"
            " AND words LIKE 'would have %' ORDER BY id DESC",
            (micros(since),),
        )
        [(refused,)] = self.link.rows(
            "SELECT count(*) FROM audit WHERE at_us >= ? AND verb LIKE 'refuse %' AND detail LIKE '%is in shadow:%'",
            (micros(since),),
        )
        return [EventView(instant(row[0]), row[1], row[2], row[3]) for row in rows], int(refused)


def _target(row: Row, jobs: int, pause: Pause | None) -> TargetView:
    (
        _, system, kind, name, last_ok, failing, error, error_kind, skew, zone, poll_ms, every, skipped, skipped_words,
        warnings, version, rights, capabilities, missing, lost_since, lost_until, last_try, failures, seen_until,
        inventory, booted, requests, requests_minute, allowed,
    ) = row  # fmt: skip
    return TargetView(
        system=system,
        kind=kind,
        name=visible(name),
        last_ok=maybe_instant(last_ok),
        failing_since=maybe_instant(failing),
        error=error,
        error_kind=error_kind,
        skew_s=skew,
        zone=zone,
        poll_ms=poll_ms,
        poll_every_s=every,
        skipped=skipped,
        skipped_words=words(skipped_words),
        warnings=words(warnings),
        version=version,
        rights=tuple(json.loads(rights)),
        jobs=jobs,
        capabilities=tuple(filter(None, capabilities.split(","))),
        missing=table(missing),
        lost=None if lost_since is None or lost_until is None else (instant(lost_since), instant(lost_until)),
        last_try=maybe_instant(last_try),
        failures=failures,
        seen_until=maybe_instant(seen_until),
        inventory=maybe_instant(inventory),
        booted=maybe_instant(booted),
        pause=pause,
        requests=requests,
        requests_minute=requests_minute,
        allowed=allowed,
    )


def _action(row: Row) -> ActionView:
    key, verb, job, job_id, run_id, incident_id, state, by, requested, sent, ended, said, preview = row
    return ActionView(
        key=key,
        verb=verb,
        job=job,
        job_id=job_id,
        run_id=run_id,
        incident_id=incident_id,
        state=state,
        requested_by=by,
        requested=instant(requested),
        sent=maybe_instant(sent),
        ended=maybe_instant(ended),
        words=said,
        preview=table(preview),
    )
