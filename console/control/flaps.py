"""How often a root came back without having been steady in between."""

from __future__ import annotations

from datetime import datetime

from console.control.cases import Case
from console.control.picture import Picture


def flaps(picture: Picture, case: Case) -> tuple[int, datetime | None]:
    """(how often its incident was reopened since it was steady last, since when); a red or a green time that lasted
    `steady_for` ends the row, and the next return is the first one again."""
    incident = case.incident
    if incident is None or not case.reopened:
        return (incident.flaps, incident.flaps_since) if incident is not None else (0, None)
    closed_at = incident.closed_at or picture.now
    # Green until now, not until it failed: by now an all-clear may have left.
    longest = max(closed_at - incident.failed_since, picture.now - closed_at)
    if not incident.flaps or longest >= picture.estate.declared.incidents.steady_for:
        return 1, incident.failed_since
    return incident.flaps + 1, incident.flaps_since
