"""Client of GitHub's REST API for one repository: one method per call, and GitHub's rate limits.

Checked against GitHub's OpenAPI description, version 2022-11-28; see docs/connectors/github_actions.md. Answers of
quiet polls are cached with their ETag: a 304 costs nothing of the token's hourly quota.

The primary limit is a token's requests per hour (x-ratelimit-*). Secondary limits are on concurrent requests or
requests per minute, reported by Retry-After or by a message alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.transport.http import (
    RETRY_AFTER_CEILING_SECONDS,
    HttpAccount,
    HttpEndpoint,
    HttpReply,
    SignedClient,
    path_segment,
    refusal,
    retry_after_of,
)

PAGE_LIMIT = 100  # per_page: "max 100", REST docs
VARIABLES_LIMIT = 30  # per_page of variables: "max 30", REST docs
MAX_RESULTS = 1000  # "up to 1,000 results for each search" by created, event, status: List workflow runs, REST docs
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
CACHE_BYTES = 24 * 1024 * 1024  # of answers that may come again as 304
ANSWERED_STATUSES = frozenset({401, 403, 404, 409, 410, 422, 429})
RUN_REFUSALS = ("already running", "cannot be", "can't be", "over a month", "disabled")


class GitHubClient(SignedClient):
    """All calls of one repository. While `polling` is true, the requests reserved for people are not used."""

    def __init__(self, endpoint: HttpEndpoint, account: HttpAccount, repository: str, budget: GitHubRateLimit) -> None:
        super().__init__(endpoint, account)
        self.repository, self.polling, self._budget = repository, False, budget
        self._base = f"/repos/{'/'.join(path_segment(part) for part in repository.split('/'))}"
        self._cache: OrderedDict[str, HttpReply] = OrderedDict()

    # objects

    def repository_row(self) -> HttpReply:
        return self._get("", keep=True)

    def workflows(self, page: int) -> HttpReply:
        return self._get("/actions/workflows", {"per_page": PAGE_LIMIT, "page": page}, keep=True)

    def workflow(self, workflow: int | str) -> HttpReply:
        return self._get(f"/actions/workflows/{path_segment(str(workflow))}", accept={404})

    def workflow_folder(self) -> HttpReply:
        """Names and hashes of the workflow files of the default branch. 404 without their folder."""
        return self._get("/contents/.github/workflows", accept={404}, keep=True)

    def file(self, path: str) -> HttpReply:
        """A file of the default branch, in base64. 404 without it."""
        return self._get(f"/contents/{quote(path)}", accept={404})

    def variables(self, page: int) -> HttpReply:
        return self._get("/actions/variables", {"per_page": VARIABLES_LIMIT, "page": page}, accept={403})

    def variable(self, name: str) -> HttpReply:
        return self._get(f"/actions/variables/{path_segment(name)}", accept={404})

    def user(self) -> HttpReply:
        """The token's user. An app's token has none: 403."""
        return self._read("/user", None, {403, 404}, keep=False)

    # runs

    def runs(self, page: int, *, keep: bool = False, **where: str) -> HttpReply:
        """Runs, newest first, a page of PAGE_LIMIT; with `created`, `event` or `status` MAX_RESULTS at most."""
        params = {**where, "per_page": PAGE_LIMIT, "page": page, "exclude_pull_requests": "true"}
        return self._get("/actions/runs", params, keep=keep)

    def runs_of(self, workflow: int, **where: str) -> HttpReply:
        params = {**where, "per_page": PAGE_LIMIT, "exclude_pull_requests": "true"}
        return self._get(f"/actions/workflows/{workflow}/runs", params)

    def run(self, run: int) -> HttpReply:
        return self._get(f"/actions/runs/{run}", accept={404})

    def attempt(self, run: int, number: int) -> HttpReply:
        return self._get(f"/actions/runs/{run}/attempts/{number}", accept={404})

    def jobs(self, run: int, number: int, page: int) -> HttpReply:
        params = {"per_page": PAGE_LIMIT, "page": page}
        return self._get(f"/actions/runs/{run}/attempts/{number}/jobs", params, accept={404}, keep=page == 1)

    def log_place(self, job: int) -> HttpReply:
        """Where a job's log is: a redirect that is good for a minute. 404 and 410 without a log."""
        return self._get(f"/actions/jobs/{job}/logs", accept={302, 404, 410})

    # writes

    def rerun(self, run: int, failed_only: bool) -> HttpReply:
        return self._send("POST", f"/actions/runs/{run}/{'rerun-failed-jobs' if failed_only else 'rerun'}")

    def rerun_job(self, job: int) -> HttpReply:
        return self._send("POST", f"/actions/jobs/{job}/rerun")

    def cancel(self, run: int) -> HttpReply:
        return self._send("POST", f"/actions/runs/{run}/cancel")

    def dispatch(self, workflow: int, body: Mapping[str, Any]) -> HttpReply:
        return self._send("POST", f"/actions/workflows/{workflow}/dispatches", body)

    def enable(self, workflow: int, on: bool) -> HttpReply:
        return self._send("PUT", f"/actions/workflows/{workflow}/{'enable' if on else 'disable'}")

    def set_variable(self, name: str, value: str) -> HttpReply:
        return self._send("POST", "/actions/variables", {"name": name, "value": value})

    def delete_variable(self, name: str) -> HttpReply:
        return self._send("DELETE", f"/actions/variables/{path_segment(name)}")

    # transport

    def _get(
        self, path: str, params: Mapping[str, Any] | None = None, accept: Collection[int] = (), *, keep: bool = False
    ) -> HttpReply:
        return self._read(self._base + path, params, accept, keep)

    def _read(self, path: str, params: Mapping[str, Any] | None, accept: Collection[int], keep: bool) -> HttpReply:
        if self.polling:
            self._budget.spare()
        name = f"{path}?{params}"
        cached = self._cache.get(name) if keep else None
        etag, statuses = ({"If-None-Match": cached.headers["etag"]}, {304}) if cached is not None else ({}, set[int]())
        reply = self.read("GET", path, {*accept, *statuses, 403, 429}, {**HEADERS, **etag}, params=params)
        self._judge(reply, accept)
        if cached is not None and reply.status == 304:
            self._cache.move_to_end(name)
            return replace(cached, clock=reply.clock)
        if keep:
            self._cache.pop(name, None)
            if reply.status == 200 and reply.headers.get("etag") and len(reply.body) < CACHE_BYTES // 4:
                self._cache[name] = reply
            while sum(len(reply.body) for reply in self._cache.values()) > CACHE_BYTES:
                self._cache.popitem(last=False)
        return reply

    def _judge(self, reply: HttpReply, accept: Collection[int]) -> None:
        self._budget.note(reply)
        limited = rate_limit_error(reply)
        if limited is not None:
            raise limited
        if reply.status in (403, 429) and reply.status not in accept:
            raise refusal(reply)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> HttpReply:
        """Sent once, never repeated. A 4xx proves that nothing was done."""
        reply = self.send(method, self._base + path, body, ANSWERED_STATUSES, HEADERS)
        self._judge(reply, {403})
        # 403 is also the answer where a run cannot be run again: then the account may do it, and the run may not.
        is_about_run = any(phrase in reply.error.lower() for phrase in RUN_REFUSALS)
        if reply.status == 401 or (reply.status == 403 and not is_about_run):
            raise refusal(reply)
        return reply


REQUESTS_RESERVED = 300
"""Of the token's requests an hour, those that polls leave to people and actions."""
DEFAULT_WAIT_SECONDS = 60.0  # "wait for at least one minute", REST docs, rate limits


@dataclass(slots=True)
class GitHubRateLimit:
    """Requests that remain in this hour of the limit, by the last reply."""

    remaining: int | None = None
    until: datetime | None = None
    """By our clock."""

    def note(self, reply: HttpReply) -> None:
        remaining, reset = _header_number(reply.headers.get("x-ratelimit-remaining")), _reset_seconds(reply)
        if remaining is not None and reset is not None:
            self.remaining, self.until = remaining, datetime.now(UTC) + timedelta(seconds=reset)

    def spare(self) -> None:
        """Raises SystemUnreachable if only the reserved requests remain."""
        now = datetime.now(UTC)
        if self.remaining is None or self.until is None or now >= self.until or self.remaining > REQUESTS_RESERVED:
            return
        seconds = min((self.until - now).total_seconds(), RETRY_AFTER_CEILING_SECONDS)
        raise SystemUnreachable(
            f"GitHub: {self.remaining} requests of this token are left until {self.until:%H:%M:%S} UTC,"
            f" of which {REQUESTS_RESERVED} are for people and actions, so nothing is polled until then",
            seconds,
        )


def rate_limit_error(reply: HttpReply) -> SystemUnreachable | None:
    """Why an answer 403 or 429 is about a limit, and for how long; None where it is about a right."""
    if reply.status not in (403, 429):
        return None
    seconds = retry_after_of(reply)
    if seconds is None and reply.headers.get("x-ratelimit-remaining") == "0":
        seconds = _reset_seconds(reply)
    if seconds is None and "rate limit" in reply.error.lower():
        seconds = DEFAULT_WAIT_SECONDS
    if seconds is None and reply.status == 403:
        return None
    detail = f": {reply.error}" if reply.error else ""
    return SystemUnreachable(f"{reply.place} says that a limit of requests is reached{detail}", seconds)


def _reset_seconds(reply: HttpReply) -> float | None:
    """Seconds until the limit resets, by GitHub's own clock."""
    reset = _header_number(reply.headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    now = reply.clock.target.timestamp() if reply.clock else datetime.now(UTC).timestamp()
    return min(max(reset - now, 0.0), 3600.0)


def _header_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 12 else None
