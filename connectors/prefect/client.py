"""Prefect's REST API, one method per call. Facts are of Prefect 3.8.8, measured; see docs/connectors/prefect.md.

An unknown key inside a filter is refused (422), one beside it is ignored and everything comes back: whoever asks for
named rows looks at what came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from connectors.contract import SystemUnreachable
from connectors.transport.account import Account
from connectors.transport.http import Deadline, HttpDoor, Reply

PAGE_LIMIT = 200  # PREFECT_API_DEFAULT_LIMIT: a larger limit is answered 422
EVENTS_LIMIT = 50  # of POST /events/filter: a larger one is answered 422
RUN_EVENTS = "prefect.flow-run."
HEARTBEATS = "prefect.flow-run.heartbeat"


class PrefectClient:
    """All calls of one Prefect. `deadline` is set anew for each call of the connector."""

    def __init__(self, door: HttpDoor, account: Account) -> None:
        self.door = door
        self.deadline = Deadline(0.0)
        self._account = account

    def close(self) -> None:
        self.door.close()

    # what is there

    def version(self) -> Reply:
        """The version as a JSON text; its Date is the server's clock."""
        return self._ask("GET", "/admin/version")

    def deployments(self, offset: int) -> Reply:
        return self._list("/deployments", {}, "NAME_ASC", offset)

    def deployments_of(self, ids: Collection[str]) -> Reply:
        """At most PAGE_LIMIT deployments by their ids."""
        return self._list("/deployments", {"deployments": _any(ids)}, "NAME_ASC", 0)

    def deployment(self, job: str) -> Reply | None:
        """One deployment by "flow/deployment"; None for a name that is none. 404 where it is gone."""
        flow, _, name = job.partition("/")
        return (
            self._ask("GET", f"/deployments/name/{_part(flow)}/{_part(name)}", accept={404}) if flow and name else None
        )

    def flows(self, offset: int) -> Reply:
        return self._list("/flows", {}, "NAME_ASC", offset)

    def flows_of(self, ids: Collection[str]) -> Reply:
        return self._list("/flows", {"flows": _any(ids)}, "NAME_ASC", 0)

    def flows_without_deployment(self, offset: int) -> Reply:
        """Flows that have runs of no deployment: called by other flows, or started by hand."""
        return self._list("/flows", {"flow_runs": {"deployment_id": {"is_null_": True}}}, "NAME_ASC", offset)

    def work_pools(self) -> Reply:
        """The work pools with their limits; 403 where the account may not read them."""
        return self._ask("POST", "/work_pools/filter", {"limit": PAGE_LIMIT}, accept={403, 404, 405})

    def automations(self, offset: int) -> Reply:
        body = {"limit": PAGE_LIMIT, "offset": offset}
        return self._ask("POST", "/automations/filter", body, accept={403, 404, 405})

    # what ran

    def runs(self, where: Mapping[str, Any], sort: str, offset: int = 0, limit: int = PAGE_LIMIT) -> Reply:
        """Flow runs, a page of at most PAGE_LIMIT."""
        return self._list("/flow_runs", {"flow_runs": dict(where)}, sort, offset, limit)

    def runs_of(self, ids: Collection[str]) -> Reply:
        return self.runs(_any(ids), "ID_DESC")

    def run(self, run: str) -> Reply:
        """404 where it was deleted."""
        return self._ask("GET", f"/flow_runs/{_part(run)}", accept={404})

    def states(self, run: str) -> Reply:
        """Every state that a run ever had, oldest first; an empty list for a run that is gone."""
        return self._ask("GET", f"/flow_run_states/?flow_run_id={_part(run)}", shown="/flow_run_states/")

    def not_green(self, runs: Sequence[str], offset: int) -> Reply:
        """Task runs of these flow runs that are not green, or wait (NotReady: what they needed failed)."""
        where = {
            "flow_runs": _any(runs),
            "task_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED", "PENDING"]}}},
        }
        return self._list("/task_runs", where, "ID_DESC", offset)

    def events(self, since: datetime) -> Reply:
        """A page of changes of flow runs since then, oldest first."""
        names = {"prefix": [RUN_EVENTS], "exclude_prefix": [HEARTBEATS]}
        where = {"occurred": {"since": since.isoformat()}, "event": names, "order": "ASC"}
        return self._ask("POST", "/events/filter", {"filter": where, "limit": EVENTS_LIMIT}, accept={403, 404, 405})

    def more_events(self, page: str) -> Reply:
        """The page that an answer named; of its link only the token is taken."""
        return self._ask("GET", f"/events/filter/next?page-token={_part(page)}", shown="/events/filter/next")

    def log(self, run: str, where: Mapping[str, Any], sort: str, offset: int) -> Reply:
        """Log lines of a flow run and of its tasks. `after_` of a time is inclusive."""
        return self._list("/logs", {"logs": {"flow_run_id": {"any_": [run]}, **where}}, sort, offset)

    # what changes something

    def create_run(self, deployment: str, body: Mapping[str, Any]) -> Reply:
        return self._send("POST", f"/deployments/{_part(deployment)}/create_flow_run", body)

    def set_state(self, run: str, state: Mapping[str, Any], force: bool) -> Reply:
        """Answers 2xx also where it did nothing: `status` says ACCEPT, REJECT, ABORT or WAIT."""
        return self._send("POST", f"/flow_runs/{_part(run)}/set_state", {"state": dict(state), "force": force})

    def change_deployment(self, deployment: str, body: Mapping[str, Any]) -> Reply:
        """What the body does not name stays as it is. Runs that were made ahead are deleted and made anew."""
        return self._send("PATCH", f"/deployments/{_part(deployment)}", body)

    # whether it may

    def may(self, method: str, path: str, body: Mapping[str, Any]) -> int:
        """The status of a call, whatever it is."""
        return self._ask(method, path, body, accept=range(300, 600)).status

    # the wire

    def _list(self, path: str, where: Mapping[str, Any], sort: str, offset: int, limit: int = PAGE_LIMIT) -> Reply:
        body = {**where, "sort": sort, "limit": limit, "offset": offset}
        return self._ask("POST", f"{path}/filter", body)

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        accept: Collection[int] = (),
        shown: str | None = None,
    ) -> Reply:
        """Reads."""

        def call(headers: dict[str, str]) -> Reply:
            wanted = {*accept, 401}
            return self.door.call(method, path, self.deadline, body=body, headers=headers, accept=wanted, shown=shown)

        return self._account.asking(call)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Reply:
        """Once, never repeated. 404, 409 and 422 come back: they prove that nothing was done."""
        headers = self._account.headers()
        return self.door.call(
            method, path, self.deadline, body=dict(body), headers=headers, accept={404, 409, 422}, once=True
        )


def rows_of(reply: Reply) -> list[Any]:
    """The rows of a list. Raises SystemUnreachable for any other shape."""
    found = reply.json()
    if not isinstance(found, list):
        raise SystemUnreachable(f"{reply.place} is no list; is the url that of Prefect's API, with its /api?")
    return found


def page_token(link: Any) -> str:
    """What a link to the next page holds; the link itself is never followed. "" without one."""
    if not isinstance(link, str):
        return ""
    try:
        return parse_qs(urlsplit(link).query).get("page-token", [""])[0]
    except ValueError:
        return ""


def _any(ids: Collection[str]) -> dict[str, Any]:
    return {"id": {"any_": sorted(ids)}}


def _part(raw: str) -> str:
    return quote(raw, safe="")
