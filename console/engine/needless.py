"""Why what was asked for is not sent any more, though it may be: nobody needs it by now."""

from __future__ import annotations

from connectors.contract import Verb
from console.control.carry_out import by_other_means
from console.engine.rights import POLICIES
from console.model.holding import is_over
from console.model.ids import instant
from console.store import plans
from console.store.asked import ActionRow
from console.store.open import Store


def needless(store: Store, action: ActionRow, now_us: int) -> str:
    """In words; empty while it is needed. A hold that a person wanted is over (a policy asks for its own anew), or the
    run that a plan's step repairs became good while the step waited. Raises StoreError."""
    if action.verb is Verb.HOLD and action.origin not in POLICIES:
        return is_over(action.parameters, instant(now_us))
    if action.origin != "plan":
        return ""
    try:
        found = plans.before_it_leaves(store, action.key)
    except plans.UNREADABLE:  # whoever carries the plan out gives it up
        return ""
    return by_other_means(*found) if found is not None else ""
