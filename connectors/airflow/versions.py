"""Which Airflow answers: 3 has its API at /api/v2, 2 at /api/v1, and each is told by a place that needs no account."""

from __future__ import annotations

from connectors import fields
from connectors.airflow.auth import Auth
from connectors.contract import NotSupported
from connectors.transport.http import Deadline, HttpDoor, Reply
from connectors.transport.http_reply import refusal

NOT_HERE = {401, 403, 404, 405, 410}
PLACES = (("/api/v2/version", 3), ("/api/v1/version", 2))


def major_of(door: HttpDoor, auth: Auth, deadline: Deadline) -> int:
    """2 or 3. Raises SystemUnreachable, and NotSupported for another program or another Airflow; AccessRefused where
    what stands in front lets nobody through."""
    refused: Reply | None = None
    for path, major in PLACES:
        headers = auth.headers(door, deadline) if auth.guards_all else {}
        reply = door.call("GET", path, deadline, accept=NOT_HERE, headers=headers)
        refused = reply if reply.status in (401, 403) else refused
        if reply.status != 200:
            continue
        version = fields.words(reply.table(), "version")
        if version.startswith(f"{major}."):
            return major
        raise NotSupported(
            f"{reply.place}: this is Airflow {version[:40] or 'without a version'}; this kind speaks to 2.x and 3.x"
        )
    if refused is not None:
        auth.forget()
        raise refusal(refused)
    raise NotSupported(
        f"Airflow: neither {PLACES[0][0]} nor {PLACES[1][0]} is at {door.base_url}. Is it the address of an Airflow, "
        "with its path if it has one?"
    )
