"""GitHub's REST API for one repository, one method per call. Checked against GitHub's own OpenAPI description, version
2022-11-28; see docs/connectors/github_actions.md.

What a quiet poll asks is kept with its ETag: an answer 304 costs nothing of the token's hour.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from connectors.github_actions.limits import Budget, exceeded
from connectors.transport.account import Account
from connectors.transport.http import Deadline, HttpDoor, Reply
from connectors.transport.http_reply import refusal

PAGE_LIMIT = 100  # per_page: "max 100", REST docs
VARIABLES_LIMIT = 30  # per_page of variables: "max 30", REST docs
MOST_RESULTS = 1000  # "up to 1,000 results for each search" by created, event, status: List workflow runs, REST docs
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
KEPT_BYTES = 24 * 1024 * 1024
"""Of answers that may come again as 304."""
ANSWERED = frozenset({401, 403, 404, 409, 410, 422, 429})


class GitHubClient:
    """All calls of one repository. `deadline` is set anew for each call of the connector; `polling` is true while
    nobody waits: then the requests that are kept for people are not touched."""

    def __init__(self, door: HttpDoor, account: Account, repository: str, budget: Budget) -> None:
        self.door = door
        self.repository = repository
        self.deadline = Deadline(0.0)
        self.polling = False
        self._account = account
        self._budget = budget
        self._base = f"/repos/{'/'.join(_part(one) for one in repository.split('/'))}"
        self._kept: OrderedDict[str, Reply] = OrderedDict()

    def close(self) -> None:
        self.door.close()

    # what is there

    def repository_row(self) -> Reply:
        return self._get("", keep=True)

    def workflows(self, page: int) -> Reply:
        return self._get("/actions/workflows", {"per_page": PAGE_LIMIT, "page": page}, keep=True)

    def workflow(self, workflow: int | str) -> Reply:
        """By id or file name. 404 where it is gone."""
        return self._get(f"/actions/workflows/{_part(str(workflow))}", accept={404})

    def folder(self, path: str) -> Reply:
        """Names and hashes of the files in a folder of the default branch. 404 without it."""
        return self._get(f"/contents/{quote(path)}", accept={404}, keep=True)

    def file(self, path: str) -> Reply:
        """A file of the default branch, in base64. 404 without it."""
        return self._get(f"/contents/{quote(path)}", accept={404})

    def variables(self, page: int) -> Reply:
        """Of Actions. 403 without the right to read them."""
        return self._get("/actions/variables", {"per_page": VARIABLES_LIMIT, "page": page}, accept={403})

    def variable(self, name: str) -> Reply:
        return self._get(f"/actions/variables/{_part(name)}", accept={404})

    def user(self) -> Reply:
        """Who asks. An app's token has no user: 403."""
        return self._ask("/user", None, {403, 404}, keep=False)

    # what ran

    def runs(self, page: int, *, keep: bool = False, **where: str) -> Reply:
        """Runs, newest first, a page of PAGE_LIMIT; with `created`, `event` or `status` MOST_RESULTS at most."""
        params = {**where, "per_page": PAGE_LIMIT, "page": page, "exclude_pull_requests": "true"}
        return self._get("/actions/runs", params, keep=keep)

    def runs_of(self, workflow: int, **where: str) -> Reply:
        params = {**where, "per_page": PAGE_LIMIT, "exclude_pull_requests": "true"}
        return self._get(f"/actions/workflows/{workflow}/runs", params)

    def run(self, run: int) -> Reply:
        """404 where it was deleted."""
        return self._get(f"/actions/runs/{run}", accept={404})

    def attempt(self, run: int, number: int) -> Reply:
        return self._get(f"/actions/runs/{run}/attempts/{number}", accept={404})

    def jobs(self, run: int, number: int, page: int) -> Reply:
        """The jobs of an attempt, a page. 404 where it is gone."""
        params = {"per_page": PAGE_LIMIT, "page": page}
        return self._get(f"/actions/runs/{run}/attempts/{number}/jobs", params, accept={404}, keep=page == 1)

    def log_place(self, job: int) -> Reply:
        """Where a job's log is: a redirect that is good for a minute. 404 and 410 without a log."""
        return self._get(f"/actions/jobs/{job}/logs", accept={302, 404, 410})

    # what changes something

    def rerun(self, run: int, failed_only: bool) -> Reply:
        return self._send("POST", f"/actions/runs/{run}/{'rerun-failed-jobs' if failed_only else 'rerun'}")

    def rerun_job(self, job: int) -> Reply:
        return self._send("POST", f"/actions/jobs/{job}/rerun")

    def cancel(self, run: int) -> Reply:
        return self._send("POST", f"/actions/runs/{run}/cancel")

    def dispatch(self, workflow: int, body: Mapping[str, Any]) -> Reply:
        return self._send("POST", f"/actions/workflows/{workflow}/dispatches", body)

    def enable(self, workflow: int, on: bool) -> Reply:
        return self._send("PUT", f"/actions/workflows/{workflow}/{'enable' if on else 'disable'}")

    def set_variable(self, name: str, value: str) -> Reply:
        return self._send("POST", "/actions/variables", {"name": name, "value": value})

    def delete_variable(self, name: str) -> Reply:
        return self._send("DELETE", f"/actions/variables/{_part(name)}")

    # the wire

    def _get(
        self, path: str, params: Mapping[str, Any] | None = None, accept: Collection[int] = (), *, keep: bool = False
    ) -> Reply:
        return self._ask(self._base + path, params, accept, keep)

    def _ask(self, path: str, params: Mapping[str, Any] | None, accept: Collection[int], keep: bool) -> Reply:
        """Reads. What is kept comes back without having been sent again, where GitHub says that it still holds."""
        if self.polling:
            self._budget.spare()
        name = f"{path}?{params}"
        known = self._kept.get(name) if keep else None

        def call(headers: dict[str, str]) -> Reply:
            again = {"If-None-Match": known.headers["etag"]} if known is not None else {}
            wanted = {*accept, 304, 401, 403, 429} if known is not None else {*accept, 401, 403, 429}
            given = {**HEADERS, **headers, **again}
            return self.door.call("GET", path, self.deadline, params=params, headers=given, accept=wanted)

        reply = self._account.asking(call)
        self._judge(reply, accept)
        if known is not None and reply.status == 304:
            self._kept.move_to_end(name)
            return replace(known, clock=reply.clock)
        if keep:
            self._keep(name, reply)
        return reply

    def _judge(self, reply: Reply, accept: Collection[int]) -> None:
        self._budget.note(reply)
        over = exceeded(reply)
        if over is not None:
            raise over
        if reply.status in (403, 429) and reply.status not in accept:
            raise refusal(reply)

    def _keep(self, name: str, reply: Reply) -> None:
        self._kept.pop(name, None)
        if reply.status == 200 and reply.headers.get("etag") and len(reply.body) < KEPT_BYTES // 4:
            self._kept[name] = reply
        while sum(len(one.body) for one in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Once, never repeated. What comes back with a 4xx proves that nothing was done."""
        headers = {**HEADERS, **self._account.headers()}
        reply = self.door.call(
            method, self._base + path, self.deadline, body=body, headers=headers, accept=ANSWERED, once=True
        )
        self._judge(reply, {403})
        if reply.status == 401 or (reply.status == 403 and _is_about_rights(reply.said)):
            raise refusal(reply)
        return reply


def _is_about_rights(said: str) -> bool:
    """GitHub answers 403 also where a run cannot be run again: then the account may do it, and the run may not."""
    words = said.lower()
    return not any(one in words for one in ("already running", "cannot be", "can't be", "over a month", "disabled"))


def _part(raw: str) -> str:
    return quote(raw, safe="")
