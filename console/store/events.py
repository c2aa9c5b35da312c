"""The timeline: events of incidents, jobs, systems and the estate, notes; and what others report: alerts, lineage.
Standard library only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from console.domain.external_alert import ExternalAlert
from console.domain.ids import incident_name, micros, optional_micros
from console.domain.incident import EventView
from console.domain.request import RequestKind
from console.domain.stored import stored_text
from console.domain.text import Text, text_of
from console.store import audit
from console.store.db.session import Row, Session, WriteSession
from console.store.errors import NotFound
from console.store.names import encode_name
from console.store.row_values import from_row
from console.text.cleaning import clean_line

MAX_NOTE = 2000


def record_event(
    session: Session,
    at_us: int,
    kind: str,
    text: str | Text,
    *,
    incident_id: int | None = None,
    job_id: int | None = None,
    system_id: int | None = None,
    actor: str = "",
) -> None:
    """Adds one event within the caller's transaction."""
    session.rows(
        "INSERT INTO event (at_us, kind, text, incident_id, job_id, system_id, actor) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at_us, kind, text if isinstance(text, str) else stored_text(text), incident_id, job_id, system_id, actor),
    )


def event_of(row: Row) -> EventView:
    """The event that `record_event` added; a note as its author wrote it."""
    return from_row(EventView, row, text=(row.text,) if row.kind == "note" else text_of(row.text))


def record_external_alerts(session: WriteSession, alerts: Sequence[ExternalAlert], now_us: int) -> None:
    """Records them as received now; of one that is known, what can change."""
    session.many(
        "INSERT INTO external_alert (target_id, started_us, fingerprint, name, severity, summary, ended_us,"
        " received_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (target_id, started_us, fingerprint) DO UPDATE SET"
        " severity = excluded.severity, summary = excluded.summary, ended_us = excluded.ended_us,"
        " received_us = excluded.received_us",
        [
            (
                alert.target_id,
                micros(alert.started),
                alert.fingerprint,
                alert.name,
                alert.severity,
                alert.summary,
                optional_micros(alert.ended),
                now_us,
            )
            for alert in alerts
        ],
    )


def root_job(session: Session, incident_id: int) -> int | None:
    """The job of the incident's root. Raises NotFound."""
    row = session.first("SELECT root_job_id FROM incident WHERE id = ?", (incident_id,))
    if row is None:
        newest = session.rows("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT 3")
        names = tuple(incident_name(incident.id) for incident in newest)
        raise NotFound(incident_name(incident_id), names, "headway incident list --all")
    return None if row.root_job_id is None else int(row.root_job_id)


def add_note(session: Session, incident_id: int, note: str, by: str, origin: str, now_us: int) -> None:
    text = clean_line(note, MAX_NOTE)
    if session.is_restricted:
        session.rows("SELECT headway_note(?, ?, ?)", (incident_id, text, origin))
        return
    audit.append(session, now_us, by, origin, RequestKind.NOTE, incident_name(incident_id), {"text": text})
    record_event(session, now_us, "note", text, incident_id=incident_id, actor=by)


# ruff: noqa: S608  (only our own names; every value is bound)
_JOBS = (
    "SELECT j.id, j.source_id, s.name AS system FROM {keys} CROSS JOIN system s CROSS JOIN job j WHERE"
    " j.system_id = s.id AND j.source_id = k.a AND NOT s.removed AND j.gone_since_us IS NULL"
)
_NEWER = "producer = excluded.producer, seen_us = excluded.seen_us WHERE excluded.seen_us > {}.seen_us"
_ADD_DATASET = (
    "INSERT INTO job_dataset (job_id, is_output, dataset, producer, seen_us) VALUES (?, ?, ?, ?, ?)"
    f" ON CONFLICT (job_id, is_output, dataset) DO UPDATE SET {_NEWER.format('job_dataset')}"
)
_ADD_FACET = (
    "INSERT INTO job_facet (job_id, name, text, producer, seen_us) VALUES (?, ?, ?, ?, ?)"
    f" ON CONFLICT (job_id, name) DO UPDATE SET text = excluded.text, {_NEWER.format('job_facet')}"
)


class DatasetUse(NamedTuple):
    job_id: int
    is_output: bool
    dataset: str


class FacetOf(NamedTuple):
    job_id: int
    name: str


class Reported(NamedTuple):
    """Producer and time of a report. `text`: of a facet."""

    producer: str
    seen_us: int
    text: str = ""


def jobs_by_source_id(session: Session, names: Iterable[str]) -> Mapping[str, Sequence[tuple[str, int]]]:
    """(system, job id) of the known jobs with these names at their source."""
    raw = {encode_name(name): name for name in names}
    jobs: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in session.by_keys(_JOBS, list(raw)):
        jobs[raw[row.source_id]].append((row.system, row.id))
    return jobs


def record_lineage(
    session: WriteSession, datasets: Sequence[tuple[DatasetUse, Reported]], facets: Sequence[tuple[FacetOf, Reported]]
) -> None:
    """Records them, unless a later report is known."""
    session.many(_ADD_DATASET, [(*use, reported.producer, reported.seen_us) for use, reported in datasets])
    session.many(_ADD_FACET, [(*facet, of.text, of.producer, of.seen_us) for facet, of in facets])
