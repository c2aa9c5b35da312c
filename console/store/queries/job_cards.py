"""A job's card: who set which field, and why people may not change others. Apart from `jobs`, which loads it when a
job
is opened.
"""

from __future__ import annotations

from collections.abc import Mapping

from console.domain import job
from console.domain.ids import instant
from console.domain.job import CardView
from console.store.access import load_permissions
from console.store.db.read_connection import ReadConnection


def job_card(link: ReadConnection, job_id: int, known: Mapping[str, str]) -> tuple[CardView, ...]:
    """Each field of the card. `known`: the values as they stand."""
    [(config_says,)] = link.rows("SELECT config_says FROM job WHERE id = ?", (job_id,))
    rows = link.rows("SELECT field, value, said_by, said_us FROM job_card WHERE job_id = ?", (job_id,))
    said = {field: (value, by, at) for field, value, by, at in rows}
    allowed = load_permissions(link)[1].cards
    found = []
    for field in job.CARD_FIELDS:
        why_not = job.card_locked_reason(field, config_says.split(","), allowed)
        value, by, at = said.get(field, ("", "", 0))
        is_theirs = bool(value) and not why_not
        found.append(
            CardView(field, known[field], by if is_theirs else "", instant(at) if is_theirs else None, why_not)
        )
    return tuple(found)
