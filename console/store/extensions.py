"""More time for tonight: who gave it to a service, until when and why, kept beside the deadline that was promised."""

from __future__ import annotations

from dataclasses import dataclass

from console.clean import clean_line
from console.model.ids import AHEAD_AT_MOST, instant, micros
from console.model.words import Timeliness
from console.store import audit
from console.store.open import Store, next_changed_seq
from console.store.wire import wire

_DAY = (
    "SELECT s.id, d.id, d.promised_us, d.deadline_us, d.incident_id, d.timeliness, d.reason FROM service s"
    " LEFT JOIN service_day d ON d.service_id = s.id AND d.bd = ? AND d.submission = ?"
    " WHERE s.name = ? AND NOT s.removed"
)


@dataclass(frozen=True, slots=True)
class Promised:
    """What is given more time: a service's business date, or one submission of that date."""

    service: str
    bd: str
    submission: str = ""
    """Period key of the run that submitted it."""
    instance: str = ""
    """What people call that submission."""

    @property
    def words(self) -> str:
        return f"{self.service} #{self.instance}" if self.submission else self.service


def extend(
    store: Store, fence: int, what: Promised, until_us: int | None, by: str, origin: str, why: str, now_us: int
) -> str:
    """Gives it time until then; None takes back what was given. Why not, in words; empty when done. Its line in the
    audit is written with it, and one in the timeline of the incident that hurts it."""
    service, bd = what.words, what.bd
    with store.write(fence, durable=True) as connection:
        lines = wire(connection)
        rows = lines.rows(_DAY, (bd, what.submission, what.service))
        if not rows:
            return f'there is no service "{what.service}"; headway services lists them'
        [(service_id, day_id, promised_us, deadline_us, incident_id, timeliness, reason)] = rows
        if day_id is None:
            return f"{service} has no promise on {bd}: nothing of it is due that date, or it was not judged yet"
        if timeliness == Timeliness.NO_PROMISE.value:
            return f"{service} has {reason}"
        promised_us = promised_us or deadline_us
        if until_us is not None and until_us > micros(instant(now_us) + AHEAD_AT_MOST):
            return f"that is more than {AHEAD_AT_MOST.days} days from now: look at the year, or change what is promised"
        if until_us is not None and until_us <= promised_us:
            return f"that is no more time: {service} is due later already on {bd}"
        lines.rows(
            "INSERT INTO extension (service_id, bd, until_us, by, why, at_us, submission) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (service_id, bd, until_us or 0, clean_line(by), clean_line(why), now_us, what.submission),
        )
        next_changed_seq(connection)
        verb = "extend" if until_us is not None else "take back the extension of"
        detail = {"bd": bd, "promised_us": promised_us, "until_us": until_us}
        audit.append(connection, now_us, by, origin, verb, service, detail, why)
        if incident_id is not None:
            told = f"{verb} {service} for {bd}: {clean_line(why)}".removesuffix(": ")
            lines.rows(
                "INSERT INTO event (at_us, kind, words, incident_id, job_id, actor)"
                " VALUES (?, 'extended', ?, ?, NULL, ?)",
                (now_us, told, incident_id, clean_line(by)),
            )
    return ""
