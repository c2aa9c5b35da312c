"""Which Airflow answers: 3 has its API at /api/v2, 2 at /api/v1, and each is told by a place that needs no account."""

from __future__ import annotations

from connectors import fields
from connectors.contract import NotSupported
from connectors.transport.http import Deadline, HttpDoor

NOT_HERE = {401, 403, 404, 405, 410}
PLACES = (("/api/v2/version", 3), ("/api/v1/version", 2))


def major_of(door: HttpDoor, deadline: Deadline) -> int:
    """2 or 3. Raises SystemUnreachable, and NotSupported for another program or another Airflow."""
    for path, major in PLACES:
        reply = door.call("GET", path, deadline, accept=NOT_HERE)
        if reply.status != 200:
            continue
        version = fields.words(reply.table(), "version")
        if version.startswith(f"{major}."):
            return major
        raise NotSupported(
            f"{reply.place}: this is Airflow {version[:40] or 'without a version'}; this kind speaks to 2.x and 3.x"
        )
    raise NotSupported(
        f"Airflow: neither {PLACES[0][0]} nor {PLACES[1][0]} is at {door.base_url}. Is it the address of an Airflow, "
        "with its path if it has one?"
    )
