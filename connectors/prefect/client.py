"""Client of Prefect's REST API: one method per call.

Facts measured on Prefect 3.8.8; see docs/connectors/prefect.md. An unknown key inside a filter is rejected (422); one
beside it is ignored and everything is returned, so callers that ask for named rows check what came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.transport.http import HttpReply, SignedClient, path_segment

PAGE_LIMIT = 200  # PREFECT_API_DEFAULT_LIMIT: a larger limit is answered 422
EVENTS_LIMIT = 50  # of POST /events/filter: a larger one is answered 422
RUN_EVENT_PREFIX = "prefect.flow-run."
HEARTBEAT_EVENT = "prefect.flow-run.heartbeat"


class PrefectClient(SignedClient):
    # objects

    def version(self) -> HttpReply:
        """The version as a JSON text; its Date is the server's clock."""
        return self.read("GET", "/admin/version")

    def deployments(self, offset: int) -> HttpReply:
        return self._list("/deployments", {}, "NAME_ASC", offset)

    def deployments_of(self, ids: Collection[str]) -> HttpReply:
        return self._list("/deployments", {"deployments": _any_of(ids)}, "NAME_ASC", 0)

    def deployment(self, job: str) -> HttpReply | None:
        """One deployment by "flow/deployment"; None for another kind of name. 404 if it was deleted."""
        flow, _, name = job.partition("/")
        if not flow or not name:
            return None
        return self.read("GET", f"/deployments/name/{path_segment(flow)}/{path_segment(name)}", accept={404})

    def flows(self, offset: int) -> HttpReply:
        return self._list("/flows", {}, "NAME_ASC", offset)

    def flows_of(self, ids: Collection[str]) -> HttpReply:
        return self._list("/flows", {"flows": _any_of(ids)}, "NAME_ASC", 0)

    def flows_without_deployment(self, offset: int) -> HttpReply:
        """Flows that have runs of no deployment: called by other flows, or started by hand."""
        return self._list("/flows", {"flow_runs": {"deployment_id": {"is_null_": True}}}, "NAME_ASC", offset)

    def work_pools(self) -> HttpReply:
        """The work pools with their limits; 403 where the account may not read them."""
        return self.read("POST", "/work_pools/filter", accept={403, 404, 405}, body={"limit": PAGE_LIMIT})

    def automations(self, offset: int) -> HttpReply:
        body = {"limit": PAGE_LIMIT, "offset": offset}
        return self.read("POST", "/automations/filter", accept={403, 404, 405}, body=body)

    # runs

    def runs(self, where: Mapping[str, Any], sort: str, offset: int = 0, limit: int = PAGE_LIMIT) -> HttpReply:
        return self._list("/flow_runs", {"flow_runs": dict(where)}, sort, offset, limit)

    def runs_of(self, ids: Collection[str]) -> HttpReply:
        return self.runs(_any_of(ids), "ID_DESC")

    def run(self, run: str) -> HttpReply:
        return self.read("GET", f"/flow_runs/{path_segment(run)}", accept={404})

    def states(self, run: str) -> HttpReply:
        """Every state that a run ever had, oldest first; an empty list for a deleted run."""
        return self.read("GET", f"/flow_run_states/?flow_run_id={path_segment(run)}", shown="/flow_run_states/")

    def not_green(self, runs: Sequence[str], offset: int) -> HttpReply:
        """Failed task runs of these flow runs, and those whose upstream failed (NotReady)."""
        where = {
            "flow_runs": _any_of(runs),
            "task_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED", "PENDING"]}}},
        }
        return self._list("/task_runs", where, "ID_DESC", offset)

    def events(self, since: datetime) -> HttpReply:
        names = {"prefix": [RUN_EVENT_PREFIX], "exclude_prefix": [HEARTBEAT_EVENT]}
        where = {"occurred": {"since": since.isoformat()}, "event": names, "order": "ASC"}
        body = {"filter": where, "limit": EVENTS_LIMIT}
        return self.read("POST", "/events/filter", accept={403, 404, 405}, body=body)

    def more_events(self, page: str) -> HttpReply:
        """The next page that a reply names; only the token of its link is used."""
        return self.read("GET", f"/events/filter/next?page-token={path_segment(page)}", shown="/events/filter/next")

    def log(self, run: str, where: Mapping[str, Any], sort: str, offset: int) -> HttpReply:
        """Log lines of a flow run and of its tasks. `after_` of a time is inclusive."""
        return self._list("/logs", {"logs": {"flow_run_id": {"any_": [run]}, **where}}, sort, offset)

    # writes

    def create_run(self, deployment: str, body: Mapping[str, Any]) -> HttpReply:
        return self._change("POST", f"/deployments/{path_segment(deployment)}/create_flow_run", body)

    def set_state(self, run: str, state: Mapping[str, Any], force: bool) -> HttpReply:
        """Replies 2xx even if it did nothing: `status` is ACCEPT, REJECT, ABORT or WAIT."""
        return self._change("POST", f"/flow_runs/{path_segment(run)}/set_state", {"state": dict(state), "force": force})

    def change_deployment(self, deployment: str, body: Mapping[str, Any]) -> HttpReply:
        """Fields not in the body are unchanged. Runs created ahead of time are deleted and created again."""
        return self._change("PATCH", f"/deployments/{path_segment(deployment)}", body)

    # whether it may

    def probe(self, method: str, path: str, body: Mapping[str, Any]) -> int:
        return self.read(method, path, accept=range(300, 600), body=body).status

    def _list(self, path: str, where: Mapping[str, Any], sort: str, offset: int, limit: int = PAGE_LIMIT) -> HttpReply:
        return self.read("POST", f"{path}/filter", body={**where, "sort": sort, "limit": limit, "offset": offset})

    def _change(self, method: str, path: str, body: Mapping[str, Any]) -> HttpReply:
        return self.send(method, path, body, accept={404, 409, 422})


def list_rows(reply: HttpReply) -> list[Any]:
    """The rows of a list. Raises SystemUnreachable for any other shape."""
    rows = reply.json()
    if not isinstance(rows, list):
        raise SystemUnreachable(f"{reply.place} is not a list; is the url that of Prefect's API, with its /api?")
    return rows


def page_token(link: Any) -> str:
    """Token in a link to the next page; the link itself is never followed. "" without one."""
    if not isinstance(link, str):
        return ""
    try:
        return parse_qs(urlsplit(link).query).get("page-token", [""])[0]
    except ValueError:
        return ""


def _any_of(ids: Collection[str]) -> dict[str, Any]:
    return {"id": {"any_": sorted(ids)}}
