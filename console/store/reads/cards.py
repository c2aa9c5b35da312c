"""A job's card as it stands: who says what of it, and why people may not say more."""

from __future__ import annotations

from collections.abc import Mapping

from console.model import cards
from console.model.ids import instant
from console.model.views import CardView
from console.store.permissions import rights_of
from console.store.reads.link import Link


def card_of(link: Link, job_id: int, known: Mapping[str, str]) -> tuple[CardView, ...]:
    """Each field of the card. `known`: the values as they stand."""
    [(config_says,)] = link.rows("SELECT config_says FROM job WHERE id = ?", (job_id,))
    rows = link.rows("SELECT field, value, said_by, said_us FROM job_card WHERE job_id = ?", (job_id,))
    said = {field: (value, by, at) for field, value, by, at in rows}
    allowed = rights_of(link.rows)[1].cards
    found = []
    for field in cards.FIELDS:
        why_not = cards.why_locked(field, config_says.split(","), allowed)
        value, by, at = said.get(field, ("", "", 0))
        is_theirs = bool(value) and not why_not
        found.append(
            CardView(field, known[field], by if is_theirs else "", instant(at) if is_theirs else None, why_not)
        )
    return tuple(found)
