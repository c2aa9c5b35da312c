"""What stands behind an incident: facts that its verdicts rest on, how it was repaired before, who looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from connectors.words import RED_STATES, State, Verb
from console.clock import real_now
from console.model.ids import instant, maybe_instant, micros
from console.model.views import DeliveryView, HeldView, Looker, MemberView
from console.model.views.repairs import Repair, is_same_fault
from console.store.presence import LAPSES
from console.store.reads.base import seen, visible
from console.store.reads.estate import EstateReads
from console.store.reads.link import Row

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
REPAIRS = 12
"""Earlier failures that are shown at most."""
_RED = ", ".join(f"'{state}'" for state in sorted(RED_STATES))
_MEMBERS = (
    "SELECT m.role, j.name, m.job_id, m.run_id, m.period_key, COALESCE(r.state, 'planned'), COALESCE(r.evidence,"
    " 'native'), COALESCE(r.stale_read, m.role = 'stale'), r.started_us, r.ended_us, j.target_id, r.native_state,"
    " r.exit_code, r.message, r.reason, r.observed_us, j.proof, s.name || '/' || t.name, t.last_ok_us, r.partial_input,"
    " s.capabilities"
    " FROM incident_member m JOIN job j ON j.id = m.job_id JOIN target t ON t.id = j.target_id"
    " JOIN system s ON s.id = t.system_id"
    " LEFT JOIN run r ON r.job_id = m.job_id AND r.period_key = m.period_key WHERE m.incident_id = ?"
    " ORDER BY m.place, j.name"
)
_BEFORE = (
    "SELECT recent.id, recent.sort_us, recent.state, recent.ended_us, t.ended_us, t.message, t.exit_code,"
    " (SELECT a.verb FROM action a WHERE a.run_id = recent.id AND a.state = 'verified'"
    " ORDER BY a.requested_us DESC LIMIT 1),"
    " (SELECT a.requested_by FROM action a WHERE a.run_id = recent.id AND a.state = 'verified'"
    " ORDER BY a.requested_us DESC LIMIT 1),"
    " (SELECT max(o.id) FROM incident o WHERE o.root_run_id = recent.id),"
    " (SELECT min(g.ended_us) FROM run g WHERE g.job_id = recent.job_id AND g.sort_us > recent.sort_us"
    " AND g.sort_us < recent.sort_us + 86400000000 AND g.bd = recent.bd AND g.period_us IS NULL"
    " AND g.state = 'succeeded')"
    " FROM (SELECT r.id, r.job_id, r.bd, r.sort_us, r.state, r.ended_us FROM incident i"
    " JOIN run f ON f.id = i.root_run_id JOIN run r ON r.job_id = f.job_id AND r.sort_us < f.sort_us WHERE i.id = ?"
    " ORDER BY r.sort_us DESC LIMIT 500) recent"
    f" JOIN attempt t ON t.id = (SELECT x.id FROM attempt x WHERE x.run_id = recent.id AND x.state IN ({_RED})"
    " ORDER BY x.number LIMIT 1) ORDER BY recent.sort_us DESC LIMIT ?"
)
"""Of the latest 500 runs of the root's job before it: those that failed first, with their first failure, and when a
start outside of the schedule was good for the same business date."""

DELIVERIES = (
    "SELECT a.incident_id, a.route, a.kind, d.url_words, d.state, d.tries, d.repeats, COALESCE(d.sent_us,"
    " (SELECT max(g.sent_us) FROM delivery g WHERE g.alert_id = a.digest_id AND g.url_words = d.url_words)),"
    " d.error, a.made_us"
)
HELD = "SELECT incident_id, route, words, kind, stage, why, since_us, until_us, ended_us, ended_why FROM alert_held"


class GroundReads(EstateReads):
    def _hits(self, incidents: Sequence[int]) -> dict[int, list[str]]:
        """Titles of the services that each of these incidents hurts, each once, the soonest due first."""
        rows = self.link.by_ids(
            "SELECT x.incident_id, s.title, s.name FROM {ids} JOIN incident_service x ON x.incident_id = k.a"
            " JOIN service s ON s.id = x.service_id ORDER BY x.deadline_us, s.tier, s.name",
            incidents,
        )
        found: dict[int, list[str]] = {}
        for incident_id, title, name in rows:
            titles = found.setdefault(incident_id, [])
            titles += [] if (title or name) in titles else [title or name]
        return found

    def _last_told(self, incidents: Sequence[int]) -> dict[int, list[DeliveryView]]:
        """The last alert about each of these incidents, to each of its addresses."""
        rows = self.link.by_ids(
            f"{DELIVERIES} FROM {{ids}} JOIN alert a ON a.id ="
            " (SELECT max(x.id) FROM alert x WHERE x.incident_id = k.a) JOIN delivery d ON d.alert_id = a.id"
            " ORDER BY a.id, d.url_index",
            incidents,
        )
        found: dict[int, list[DeliveryView]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(delivery(row))
        return found

    def _held_now(self, incidents: Sequence[int]) -> dict[int, HeldView]:
        """What is held back of each of these incidents now, the latest."""
        rows = self.link.by_ids(
            f"SELECT h.* FROM {{ids}} JOIN ({HELD}) h ON h.incident_id = k.a WHERE h.ended_us IS NULL"
            " ORDER BY h.since_us",
            incidents,
        )
        return {row[0]: held_view(row) for row in rows}

    def _members(self, incident_id: int) -> tuple[MemberView, ...]:
        """Every run of it as its source told it last, and when that was."""
        stale = self.stale_targets()
        found = []
        for row in self.link.rows(_MEMBERS, (incident_id,)):
            shown = seen(row[5], row[6], row[10], stale)
            found.append(_member(row, shown.state, shown.evidence))
        return tuple(found)

    def _repairs(self, incident_id: int) -> tuple[Repair, ...]:
        """Earlier failures of its root's job, newest first, and what became of each."""
        rows = self.link.rows("SELECT reason FROM incident WHERE id = ?", (incident_id,))
        said = str(rows[0][0]) if rows else ""
        found = [_repair(row, said) for row in self.link.rows(_BEFORE, (incident_id, REPAIRS))]
        notes = self._last_notes([one.incident_id for one in found if one.incident_id is not None])
        return tuple(replace(one, note=notes.get(one.incident_id, "")) for one in found)

    def _last_notes(self, incidents: list[int]) -> dict[int | None, str]:
        """The last note that a person wrote at each of these incidents."""
        rows = self.link.by_ids(
            "SELECT e.incident_id, e.words FROM {ids} JOIN event e ON e.incident_id = k.a WHERE e.kind = 'note'"
            " ORDER BY e.id",
            incidents,
        )
        return dict(rows)

    def _lookers(self) -> dict[int, list[Looker]]:
        """Who has which incident open by now, real time; the longest first. A console of this machine that has ended
        is gone at once; of another one it is after `LAPSES`."""
        rows = self.link.rows(
            "SELECT incident_id, person, came_from, since_us, seen_us, console FROM presence"
            " WHERE seen_us > ? AND incident_id IS NOT NULL ORDER BY since_us, console",
            (micros(real_now() - LAPSES),),
        )
        if not rows:
            return {}
        from console.store.reads.holders import is_dead_here  # noqa: PLC0415 - the first paint goes without

        found: dict[int, list[Looker]] = {}
        for incident_id, person, came_from, since, last, console in rows:
            if is_dead_here(console):
                continue
            looker = Looker(person, came_from, instant(since), instant(last), console)
            found.setdefault(incident_id, []).append(looker)
        return found


def delivery(row: Row) -> DeliveryView:
    """`row` in the order of DELIVERIES."""
    _, route, kind, words, state, tries, repeats, sent, error, made = row
    return DeliveryView(route, kind, words, state, tries, repeats, maybe_instant(sent), error, instant(made))


def held_view(row: Row) -> HeldView:
    """`row` in the order of HELD."""
    number, route, words, kind, stage, why, since, until, ended, ended_why = row
    return HeldView(
        number, route, words, kind, stage, why, instant(since), maybe_instant(until), maybe_instant(ended), ended_why
    )


def _member(row: Row, state: str, evidence: str) -> MemberView:
    role, job, job_id, run_id, period_key, _, _, stale_read, started, ended, _, native, exit_code, message = row[:14]
    reason, observed, proof, target, last_ok, partial, capabilities = row[14:]
    return MemberView(
        role=role,
        job=job,
        job_id=job_id,
        run_id=run_id,
        period_key=visible(period_key),
        state=state,
        evidence=evidence,
        stale_read=bool(stale_read),
        started=maybe_instant(started),
        ended=maybe_instant(ended),
        native_state=native or "",
        exit_code=exit_code,
        message=message or "",
        reason=reason or "",
        observed=maybe_instant(observed or None),
        proof=proof,
        target=target,
        target_seen=maybe_instant(last_ok),
        partial_input=partial or "",
        can_rerun=Verb.RERUN.needs in (capabilities or "").split(","),
    )


def _repair(row: Row, said_now: str) -> Repair:
    run_id, at, state, ended, failed, message, exit_code, verb, by, incident_id, anew = row
    said = str(message).partition("\n")[0] or (f"exit {exit_code}" if exit_code is not None else "")
    green = state in (State.SUCCEEDED, State.SKIPPED)
    how = str(verb).replace("_", " ") if verb else "its scheduler's own retry"
    if not green and anew and failed and anew > failed:
        green, ended, how, by = True, anew, "a fresh start", ""
    took = timedelta(microseconds=ended - failed).total_seconds() if green and ended and failed else None
    return Repair(
        run_id=run_id,
        at=instant(at),
        said=said,
        how=how if green else "",
        took_s=took,
        by=by or "" if green else "",
        incident_id=incident_id,
        is_alike=is_same_fault(said, said_now),
    )
