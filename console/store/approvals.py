"""Actions that another person must approve before they are sent."""

from __future__ import annotations

from typing import Any

from console.durations import duration_words
from console.model.rights import APPROVED_WITHIN_SECONDS
from console.store import audit, covered, permissions, switches, told
from console.store.open import Store
from console.store.told import Audience, Need
from console.store.wire import wire

NOBODY = f"nobody approved it within {duration_words(APPROVED_WITHIN_SECONDS)}: ask again"


def approve(store: Store, fence: int, key: str, by: str, origin: str, now_us: int) -> str:
    """Approves an action that waits for it. Why not, in words; empty when it is approved."""
    with store.write(fence, durable=True) as connection:
        lines = wire(connection)
        found = lines.rows(
            "SELECT a.state, a.needs_approval, a.approved_by, a.requested_by, a.requested_us, a.verb, a.why, j.name,"
            " s.name FROM action a JOIN job j ON j.id = a.job_id JOIN system s ON s.id = j.system_id WHERE a.key = ?",
            (key,),
        )
        if not found:
            return f'nothing was asked for as "{key}"; headway approvals lists what waits'
        state, needed, approved_by, asked_by, asked_us, verb, why, job, system = found[0]
        if approved_by:
            return f"it is approved already, by {approved_by}"
        if state != "requested" or not needed:
            return f"it is {state} and waits for no approval"
        if asked_by == by:
            return f"{by} asked for it: another person must approve it"
        if (words := too_old(asked_us, now_us)) != "":
            return words
        if kept := switches.modes(lines.rows).why_not_sent(system):
            return f"{kept}. Then approve it"  # approved now it would be refused for that
        with_it = covered.covered(lines.rows, key)
        lines.many(
            "UPDATE action SET approved_by = ?, approved_us = ?, next_us = 0 WHERE key = ?",
            [(by, now_us, one) for one in dict.fromkeys((key, *(each.key for each in with_it if each.key)))],
        )
        detail: dict[str, Any] = {"key": key, "asked_by": asked_by}
        if len(with_it) > 1:
            number, periods = permissions.plan_of(lines.rows, key)[0], [each.period for each in with_it]
            detail |= {"plan": number, "count": len(periods), "periods": periods}
        audit.append(connection, now_us, by, origin, f"approve {verb}", job, detail, why)
    return ""


def require(store: Store, fence: int, key: str, now_us: int, audience: Audience = told.NOBODY) -> None:
    """The action waits for an approval from here on, if it did not yet; and somebody is told so, once for all that one
    approval covers. What was told is due again (`next_us`) when its time is over; before, nothing can become of it."""
    with store.write(fence) as connection:
        lines = wire(connection)
        rows = lines.rows(
            "UPDATE action SET needs_approval = TRUE, words = ?, next_us = ?, changed_seq = changed_seq + 1"
            " WHERE key = ? AND state = 'requested' AND approved_by = '' AND (NOT needs_approval OR next_us = 0)"
            " RETURNING verb, job_id, incident_id, requested_by, why",
            (
                f"waits for the approval of another person: headway approve {key}",
                now_us + APPROVED_WITHIN_SECONDS * 1_000_000,
                key,
            ),
        )
        with_it = covered.covered(lines.rows, key)
        for verb, job_id, incident_id, by, why in rows if all(each.key in ("", key) for each in with_it) else []:
            [(job,)] = lines.rows("SELECT name FROM job WHERE id = ?", (job_id,))
            about = f"{verb} {job}".replace("_", " ")
            many = covered.words([each.period for each in with_it])
            ways = (f"See and approve it, within the hour: headway approve {key}",)
            need = Need(key, "an approval is wanted", f"{about}, {many}" if many else about,
                        why or "no reason given", ways, by, incident_id, job_id)  # fmt: skip
            told.tell(lines, audience, need, now_us)


def too_old(since_us: int, now_us: int) -> str:
    """Why something of then counts no more; empty while it does."""
    if now_us - since_us <= APPROVED_WITHIN_SECONDS * 1_000_000:
        return ""
    ago, limit = duration_words((now_us - since_us) / 1e6), duration_words(APPROVED_WITHIN_SECONDS)
    return f"that was {ago} ago, and an approval counts for {limit}: ask again"
