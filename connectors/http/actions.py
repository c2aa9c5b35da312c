"""RERUN, START and CANCEL by the calls of the mapping; an action is found again by the run that shows our key."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http.client import HttpApiClient, fill_placeholders
from connectors.http.options import PLACEHOLDER, HttpVerbCall
from connectors.sdk.errors import NotSupported
from connectors.sdk.field_mapping import text_at
from connectors.sdk.fields import EPOCH
from connectors.sdk.mapped_actions import KEY_PLACEHOLDER, MappedActions
from connectors.sdk.settle import sent_at
from connectors.sdk.states import Verb

SEARCH_WINDOW = timedelta(minutes=5)
"""How long before an action was sent runs are searched for it: the clocks may differ by as much."""
MAX_SEARCHED_PAGES = 50


class HttpActions(MappedActions[HttpVerbCall]):
    what, setting, id_place = "call", "path", "id"

    def __init__(self, client: HttpApiClient) -> None:
        super().__init__(client.options.verbs, client.options.runs, client.options.states)
        self._client, self._runs = client, client.options.runs

    def shown(self, call: HttpVerbCall, verb: Verb, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        given = {**self._client.source.values, **values, "key": KEY_PLACEHOLDER}
        body = json.dumps(fill_placeholders(call.body, given)) if call.body is not None else ""
        path = PLACEHOLDER.sub(lambda match: str(given[match[1]]) or f"<{match[1]}>", call.path)
        native_call = f"{call.method} {self._client.endpoint.base_url}{path} {body}".rstrip()
        return call.title or f"{call.method} {call.path}", f"{call.method} {path}", (native_call,)

    def missing(self, verb: Verb) -> str:
        return self._client.source.lacks.get(verb.needs) or super().missing(verb)

    def refusal(self, call: HttpVerbCall, verb: Verb, values: Mapping[str, str]) -> str | None:
        """Why a requested run could not be looked up later."""
        if verb is Verb.CANCEL or "since" in self._runs.places:
            return None
        try:
            deque(self._recent_rows(datetime.now(UTC) - SEARCH_WINDOW), maxlen=0)
        except NotSupported as error:
            return str(error)
        return None

    def send(self, call: HttpVerbCall, values: Mapping[str, Any]) -> str:
        self._client.request(call, values, once=True)
        return f"accepted by {call.method} {call.path}"

    def run_with_key(self, key: str, plan: Mapping[str, Any]) -> tuple[str | None, str]:
        since = (sent_at(plan) or datetime.now(UTC)) - SEARCH_WINDOW
        rows = (row for row in self._recent_rows(since) if text_at(row, self._runs.key) == key)
        return next((text_at(row, self._runs.id) for row in rows), None), ""

    def run_row(self, run_id: str) -> Any | None:
        return next((row for row in self._recent_rows(EPOCH) if text_at(row, self._runs.id) == run_id), None)

    def _recent_rows(self, since: datetime) -> Iterator[Any]:
        """The rows of runs that changed since. Raises NotSupported where the list may leave out rows: then a run that
        is not among them may exist."""
        page, cut = None, f"more than {MAX_SEARCHED_PAGES} pages of runs are listed"
        for _ in range(MAX_SEARCHED_PAGES):
            result = self._client.page(self._runs, page, since)
            yield from result.rows
            page, end = result.following, result.is_before(since, self._runs)
            if end or (page is None and not result.cut):
                return
            if result.cut:
                cut = result.cut
                break
        fix = "" if "since" in self._runs.places else ". Fix: add {since} to the query of runs"
        raise NotSupported(f"the outcome of a lost reply cannot be checked: {cut}{fix}")
