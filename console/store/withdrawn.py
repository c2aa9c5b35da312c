"""What a person takes back: an action that was not sent yet, or one of which nobody can tell whether it arrived."""

from __future__ import annotations

from console.store import audit, permissions
from console.store.asked import ActionStep, move_action
from console.store.open import Store
from console.store.wire import wire

_ASKED = (
    "SELECT a.state, a.origin, a.requested_by, a.verb, a.why, j.name FROM action a JOIN job j ON j.id = a.job_id"
    " WHERE a.key = ?"
)


def withdraw(store: Store, fence: int, key: str, by: str, origin: str, why: str, now_us: int) -> str:
    """Ends the action, unless it was sent meanwhile: whoever sends commits its intent by compare-and-set on the same
    row. Why not, in words; empty when it is withdrawn."""
    with store.write(fence, durable=True) as connection:
        lines = wire(connection)
        rows = lines.rows(_ASKED, (key,))
        if not rows:
            return f'nothing was asked for as "{key}"; headway withdraw lists what can be taken back'
        [(state, asked_as, asked_by, verb, asked_why, job)] = rows
        if state == "requested" and asked_as == "plan":
            number, _ = permissions.plan_of(lines.rows, key)
            return f"it is a step of plan {number}: headway recovery {number} --abort gives up what was not sent"
        step = _end(state, by)
        if step is None:
            return _too_late(state)
        move_action(connection, key, state, step, now_us)
        detail = {"key": key, "asked_by": asked_by, "it was": state, "asked_why": asked_why}
        audit.append(connection, now_us, by, origin, f"withdraw {verb}", job, detail, why)
    return ""


def _end(state: str, by: str) -> ActionStep | None:
    if state == "requested":
        words = f"withdrawn by {by} before it was sent"
        return ActionStep("refused", words, ended=True, event=words)
    if state == "unknown":
        words = f"given up by {by}: nobody could tell whether it arrived"
        return ActionStep("failed", words, ended=True, event=words)
    return None


def _too_late(state: str) -> str:
    if state in ("sending", "sent"):
        return "it was sent already; headway cancel ends what runs"
    return f"it is over: {state}"
