"""What previews share: the deployment behind a job, other runs of it that are under way."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors import fields
from connectors.contract import SystemUnreachable
from connectors.prefect.client import PrefectClient, rows_of

ACTIVE = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]


def told(at: datetime) -> str:
    """As Prefect takes and gives instants."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def deployment_of(client: PrefectClient, job: str) -> fields.Row | None:
    """The row of a deployment; None for a flow without one, or where it is gone."""
    reply = client.deployment(job)
    if reply is None or reply.status == 404:
        return None
    row = reply.table()
    if not isinstance(row.get("id"), str) or not isinstance(row.get("paused"), bool):
        raise SystemUnreachable(f"{reply.place} is no deployment")
    return row


def no_deployment(job: str, verb: str) -> str:
    """Why a job that is no deployment cannot be started or held."""
    if "/" in job:
        return f"Prefect has no deployment {job}"
    return f"{job} is a flow without a deployment: Prefect can {verb} deployments only"


def active(client: PrefectClient, deployment: str, but: str = "") -> str | None:
    """Other runs of the deployment that are under way."""
    where = {"deployment_id": {"any_": [deployment]}, "state": {"type": {"any_": ACTIVE}}}
    rows = rows_of(client.runs(where, "ID_DESC", limit=5))
    names = [
        f"{row.get('name')} ({row.get('state_name')})" for row in rows if isinstance(row, dict) and row.get("id") != but
    ]
    return fields.clean(f"other runs are active: {', '.join(names)}") if names else None


def idle(row: fields.Row) -> tuple[str, ...]:
    """What to know where nobody seems to work for this deployment."""
    if row.get("status") != "NOT_READY":
        return ()
    seen = fields.words(row, "last_polled")
    return (f"no runner or worker asks for its runs{f' since {seen}' if seen else ''}: the run would wait",)
