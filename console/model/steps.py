"""In which order an incident is repaired: its root, then what it left red or stale. Screens and commands share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from connectors.words import State, Verb, is_open
from console.model.views import IncidentView, MemberView
from console.model.words import Safety, Timeliness

ON_ITS_WAY = ("requested", "sending", "sent", "unknown")
"""States of an action that has not ended."""
_NAMED = 8
"""Jobs that are named one by one."""
_LOST = (Timeliness.WILL_MISS, Timeliness.BREACHED)


BY_HAND = "repair it at its source, then mark it OK"
"""What is left where a system can run nothing again."""
NEVER = 'its owner marked it rerun = "never"; repair it at its source'


def refusal(preview: Mapping[str, Any], verb: Verb = Verb.RERUN, safety: str = "") -> str:
    """Why a step may not be sent, by its preview and its owner's word (`safety`, else as the preview has it); empty
    when it may. Only a rerun can be forbidden by an owner."""
    if preview.get("refused"):
        return str(preview["refused"])
    never = (safety or str(preview.get("safety", ""))) == Safety.NEVER
    return NEVER if never and verb is Verb.RERUN else ""


def open_steps(view: IncidentView) -> list[MemberView]:
    """What must be rerun, in order: the root while it has not succeeded, then what it left red or stale, in the
    order of the incident's members."""
    live = [one for one in view.members if one.run_id is not None]
    return [one for one in live if one.role == "root" and one.state != State.SUCCEEDED] + [
        one for one in live if one.role in ("red", "stale")
    ]


def next_step(view: IncidentView) -> MemberView | None:
    """The step to send now; None when none is left, or while the first one is being rerun."""
    steps = [] if view.row.closed is not None else open_steps(view)
    return steps[0] if steps and not _is_under_way(view, steps[0]) else None


def waiting_for(view: IncidentView) -> str:
    """Why an incident has no next step, in one line."""
    if view.row.closed is not None:
        return next((one.words for one in reversed(view.events) if one.kind in ("closed", "merged")), "it is closed")
    first = open_steps(view)[:1]
    ahead = [one.job for one in first or view.members if _is_under_way(view, one)]
    if ahead:
        return f"no step to send now: it waits for {', '.join(ahead)}"
    if view.row.root_run_id is None:
        return "its root cause is no run: nothing to rerun"
    return "no step is left to send: it closes as soon as its runs are seen to be green"


def left_open(view: IncidentView) -> list[str]:
    """Why an incident stays open though a plan of it is done: what is still red or stale, which services that costs,
    and which it may cost still. Empty where it is closed, or closes once what starts by itself has run."""
    if view.row.closed is not None:
        return []
    left = [one for one in open_steps(view) if not _is_under_way(view, one)]
    lost = [one.title or one.name for one in view.services if one.timeliness in _LOST]
    risks = [one.title or one.name for one in view.services if left and one.timeliness == Timeliness.AT_RISK]
    more = [f"and {len(left) - _NAMED} more"] if len(left) > _NAMED else []
    often = {job for job, times in Counter(one.job for one in left).items() if times > 1}
    named = (f"{one.job} {one.period_key}" if one.job in often else one.job for one in left[:_NAMED])
    lines = [*(f"still red or stale: {each}" for each in named), *more]
    told = (("not saved", lost), ("at risk, not lost yet", risks))
    return lines + [f"{words}: {', '.join(names)}" for words, names in told if names]


def _is_under_way(view: IncidentView, member: MemberView) -> bool:
    """True while its run is open, or an action on it has not ended."""
    sent = (one for one in view.actions if one.run_id == member.run_id and member.run_id is not None)
    return is_open(member.state) or any(one.state in ON_ITS_WAY for one in sent)
