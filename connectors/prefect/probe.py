"""Can we see and act? Asked by reading a row of each list, and by acts on ids that do not exist: a server or proxy that
would allow them answers 404, one that does not 401 or 403. Nothing is changed.

Prefect's own server has no rights: who gets in may do everything. Prefect Cloud has roles; before an own server, a
proxy that lets only some paths through is the only right there is (connectors/prefect/grants.txt).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors import fields
from connectors.contract import NotSupported, Probe, Right
from connectors.prefect.client import PrefectClient, rows_of

NOBODY = "00000000-0000-4000-8000-000000000000"
ONE = {"limit": 1}

READS: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("/deployments/filter", ONE, "read deployments"),
    ("/flows/filter", ONE, "read flows"),
    ("/flow_runs/filter", ONE, "read flow runs"),
    ("/task_runs/filter", ONE, "read task runs"),
    ("/logs/filter", ONE, "read logs"),
    ("/events/filter", ONE, "read events"),
    ("/automations/filter", ONE, "read automations"),
)
ACTS: tuple[tuple[str, str, Mapping[str, Any], str], ...] = (
    ("POST", f"/deployments/{NOBODY}/create_flow_run", {}, "start runs"),
    (
        "POST",
        f"/flow_runs/{NOBODY}/set_state",
        {"state": {"type": "CANCELLING"}},
        "rerun, cancel and mark runs",
    ),
    ("PATCH", f"/deployments/{NOBODY}", {"paused": True}, "pause deployments (hold)"),
)
REFUSED = (401, 403, 405)


def probe(client: PrefectClient) -> Probe:
    """Version and rights. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    reply = client.version()
    found = reply.json()
    version = found if isinstance(found, str) else ""
    if not version.startswith("3."):
        raise NotSupported(f"{reply.place}: this is no Prefect 3, or the url lacks its /api")
    rights = [_read(client, *one) for one in READS]
    rights += [_act(client, *one) for one in ACTS]
    return Probe(True, fields.clean(version)[:40], tuple(rights), tuple(_notes(client, rights[0])), reply.clock)


def _read(client: PrefectClient, path: str, body: Mapping[str, Any], name: str) -> Right:
    status = client.may("POST", path, body)
    if status == 200:
        return Right(name, True)
    mend = f"let the account, or the proxy in front, use POST {path}"
    return Right(name, False if status in REFUSED else None, f"POST {path} answered {status}", mend)


def _act(client: PrefectClient, method: str, path: str, body: Mapping[str, Any], name: str) -> Right:
    status = client.may(method, path, body)
    if status == 404:
        return Right(name, True, needed_for="act")
    place = f"{method} {path.replace(NOBODY, 'ID')}"
    mend = f"let the account, or the proxy in front, use {place}: headway grants prefect"
    return Right(name, False if status in REFUSED else None, f"{place} answered {status}", mend, "act")


def _notes(client: PrefectClient, deployments: Right) -> list[str]:
    if not deployments.held:
        return []
    rows = [row for row in rows_of(client.deployments(0)) if isinstance(row, dict)]
    if not rows:
        return ["no deployment is listed: there is none, or this account may read none"]
    idle = sorted(str(row.get("name")) for row in rows if row.get("status") == "NOT_READY")
    shown = fields.clean(", ".join(idle[:6])) + (f" and {len(idle) - 6} more" if len(idle) > 6 else "")
    return [f"nobody asks for the runs of: {shown}"] if idle else []
