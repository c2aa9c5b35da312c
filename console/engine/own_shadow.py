"""What Headway tells of itself while the whole estate is in shadow: the shadow route is told, or it is only recorded.

As soon as anything is live, somebody counts on being told of it, and so of what would keep that from them: then it is
told as ever.
"""

from __future__ import annotations

from dataclasses import replace

from console.model.modes import Modes
from console.store import routing as rows
from console.store import switches
from console.store.alert_rows import NewAlert
from console.store.open import Store
from console.store.wire import wire


def modes_in(store: Store) -> Modes:
    """What is in shadow now. Raises StoreError."""
    with store.read() as connection:
        return switches.modes(wire(connection).rows)


def tell_or_note(
    store: Store, fence: int, routes: rows.Routes, alert: NewAlert, shadow_route: str, now_us: int, since_us: int
) -> None:
    """An alert about Headway itself, through the store. What is only recorded is so once since `since_us`. Raises
    LeaseLost, StoreError."""
    if not modes_in(store).nothing_is_live:
        rows.tell(store, fence, routes, alert, now_us)
    elif shadow_route:
        rows.tell(store, fence, routes, in_shadow(alert, shadow_route), now_us)
    else:
        rows.note(store, fence, would_have_told(alert), since_us, now_us)


def in_shadow(alert: NewAlert, shadow_route: str) -> NewAlert:
    """The same for the shadow route."""
    first = f"In shadow: this would have gone to {alert.route}.\n\n"
    return replace(
        alert,
        route=shadow_route,
        title=f"[shadow] {alert.title}",
        body=first + alert.body,
        plain_title=f"[shadow] {alert.plain_title}",
        plain_body=first + alert.plain_body,
    )


def would_have_told(alert: NewAlert) -> str:
    """The line of the shadow report."""
    return f"would have told {alert.route}: {alert.title}"
