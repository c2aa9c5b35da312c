"""Can we see and act? Asked by reading the lists. Databricks gives rights job by job (CAN VIEW, CAN MANAGE RUN, CAN
MANAGE), so what may be done to a job shows only when it is done; what the account may do nowhere shows before."""

from __future__ import annotations

from collections.abc import Callable

from connectors import fields
from connectors.contract import AccessRefused, NotSupported, Probe, Right
from connectors.databricks.client import DatabricksClient
from connectors.transport.http import Reply

NOBODY = 1
"""A run and a job below all that Databricks gives."""
GRANTS = "headway grants databricks"


def probe(client: DatabricksClient) -> Probe:
    """Rights and what is seen. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    reply = client.jobs("")
    rows = fields.rows(reply.table().get("jobs"))
    rights = [
        Right("list jobs", True),
        _read("list runs", client.runs),
        _act("repair, cancel and start runs", lambda: client.cancel(NOBODY), "CAN MANAGE RUN"),
        _act("pause jobs (hold)", lambda: client.update({"job_id": NOBODY}), "CAN MANAGE"),
    ]
    notes = [] if rows else ["no job is listed: there is none, or this account may view none"]
    return Probe(True, "Jobs API 2.2", tuple(rights), tuple(notes), reply.clock)


def _read(name: str, ask: Callable[[], Reply]) -> Right:
    try:
        ask()
    except (AccessRefused, NotSupported) as error:
        return Right(
            name, False if isinstance(error, AccessRefused) else None, str(error), f"CAN VIEW on jobs: {GRANTS}"
        )
    return Right(name, True)


def _act(name: str, ask: Callable[[], Reply], right: str) -> Right:
    mend = f"give the account {right} on each job: {GRANTS}"
    try:
        reply = ask()
    except AccessRefused as error:
        return Right(name, False, str(error), mend, "act")
    if reply.status in (400, 404):
        return Right(name, None, f"it is given job by job ({right}) and shows when it is used", mend, "act")
    return Right(name, None, f"{reply.place}: {reply.said}", mend, "act")
