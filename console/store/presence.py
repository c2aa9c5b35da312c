"""Who has an incident open: one row a console, told anew while it shows it. A console that dies tells nothing more.

Times are real ones, as a lease's: a replay's clock says nothing of who is awake. Standard library only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.store.chain import Run

LAPSES = timedelta(seconds=60)
"""After so long without a word a console shows the incident no more."""
TELL_SECONDS = 25.0
"""How often a console tells: twice within LAPSES."""
_LAPSES_US = LAPSES // timedelta(microseconds=1)
_TELL = (
    "INSERT INTO presence (console, incident_id, person, came_from, since_us, seen_us) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (console) DO UPDATE SET incident_id = excluded.incident_id, seen_us = excluded.seen_us,"
    " since_us = CASE WHEN presence.incident_id = excluded.incident_id AND presence.seen_us > ?"
    " THEN presence.since_us ELSE excluded.since_us END"
)


def tell(run: Run, console: str, incident_id: int | None, person: str, came_from: str, now_us: int) -> None:
    """This console shows that incident now; None: none any more. `now_us` is real time."""
    run(_TELL, (console, incident_id, person, came_from, now_us, now_us, now_us - _LAPSES_US))
