"""Actions that another person must approve before they are sent."""

from __future__ import annotations

from console.durations import duration_words
from console.model.rights import APPROVED_WITHIN_SECONDS
from console.store import audit, switches
from console.store.open import Store
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
        lines.rows("UPDATE action SET approved_by = ?, approved_us = ?, next_us = 0 WHERE key = ?", (by, now_us, key))
        audit.append(connection, now_us, by, origin, f"approve {verb}", job, {"key": key, "asked_by": asked_by}, why)
    return ""


def require(store: Store, fence: int, key: str) -> None:
    """From here on the action waits for an approval, though it did not when it was asked for."""
    with store.write(fence) as connection:
        wire(connection).rows(
            "UPDATE action SET needs_approval = TRUE, words = ?, changed_seq = changed_seq + 1"
            " WHERE key = ? AND state = 'requested'",
            (f"waits for the approval of another person: headway approve {key}", key),
        )


def too_old(since_us: int, now_us: int) -> str:
    """Why something of then counts no more; empty while it does."""
    if now_us - since_us <= APPROVED_WITHIN_SECONDS * 1_000_000:
        return ""
    ago, limit = duration_words((now_us - since_us) / 1e6), duration_words(APPROVED_WITHIN_SECONDS)
    return f"that was {ago} ago, and an approval counts for {limit}: ask again"
