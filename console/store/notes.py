"""What a person writes at an incident: an event of its timeline, and a row of the audit."""

from __future__ import annotations

from console.clean import clean_line
from console.model.ids import incident_name
from console.store import chain
from console.store.chain import Run
from console.store.errors import NotFound

LIMIT = 2000


def root_job(run: Run, incident_id: int) -> int | None:
    """The job that the incident's root is a run of. Raises NotFound for no incident."""
    rows = run("SELECT root_job_id FROM incident WHERE id = ?", (incident_id,))
    if not rows:
        open_ones = run("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT 3", ())
        raise NotFound(incident_name(incident_id), tuple(incident_name(row[0]) for row in open_ones))
    return None if rows[0][0] is None else int(rows[0][0])


def add(run: Run, incident_id: int, words: str, by: str, origin: str, now_us: int) -> None:
    """Writes the note, cleaned, in the caller's transaction."""
    said = clean_line(words, LIMIT)
    chain.append(run, now_us, by, origin, "note", incident_name(incident_id), {"words": said})
    run(
        "INSERT INTO event (at_us, kind, words, incident_id, job_id, actor) VALUES (?, 'note', ?, ?, NULL, ?)",
        (now_us, said, incident_id, by),
    )
