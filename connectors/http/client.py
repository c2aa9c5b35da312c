"""Client of the configured API: one method per call, raw rows out; and logs in chunks, by Range if the server can."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import groupby
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_plus, urljoin, urlsplit
from zoneinfo import ZoneInfo

from httpx import QueryParams

from connectors.http.options import (
    NEXT_HEADER,
    PLACEHOLDER,
    HttpCall,
    HttpHeadersCall,
    HttpJobsCall,
    HttpListCall,
    HttpMapping,
    HttpRunsCall,
    HttpWriteCall,
)
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import InvalidAnswer, NotSupported, OutcomeUnknown, RecordUnreadable
from connectors.sdk.field_mapping import MappedFields, has_field, instant_at, rows_at, text_at, texts_at, value_at
from connectors.sdk.fields import EPOCH, digest
from connectors.sdk.records import TargetClock
from connectors.sdk.states import Capability
from connectors.sdk.transport.call_limits import lists_requests
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply, SignedClient, path_segment, refusal

GONE_STATUSES = frozenset({404, 410})
REDIRECTS = frozenset(range(300, 400))
DONE_REDIRECTS = frozenset({302, 303})
MAX_PAGES = 1000
RESERVED_SHARE = 0.3  # share of a call's time in which no further run and no further list is read
AHEAD_OF_CLOCKS = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class HttpPage:
    """Rows as they came, and the page to request next (None: that was the last). `cut`: why rows may be left out, or
    ""."""

    rows: list[Any]
    following: str | int | None
    clock: TargetClock | None
    cut: str = ""

    def ids_digest(self, path: str) -> str:
        """A digest of the ids of the rows, of the rows themselves where one has none; "" without rows."""
        ids = [value_at(row, path) for row in self.rows]
        return digest(self.rows if None in ids else ids) if self.rows else ""

    def is_before(self, since: datetime, fields: HttpRunsCall, limit: int) -> bool:
        """Whether the runs behind this page of a list that is sorted so were made before `since`; of a list of each
        job, those behind every one that has as many as the `limit`."""
        if not fields.newest_first or not self.rows:
            return False
        lists = [rows for rows in lists_of(self.rows) if len(rows) >= limit or not fields.is_nested]
        try:
            made = [instant_at(rows[-1], fields.queued or fields.started, fields) for rows in lists]
        except RecordUnreadable:
            return False
        return all(at is not None and at < since for at in made)


def lists_of(rows: list[Any]) -> list[list[Any]]:
    """The rows by the outer row of each: one list, where they have none."""
    return [list(group) for _, group in groupby(rows, key=lambda row: value_at(row, "*"))]


MAX_EMPTY_PAGES = 20  # pages in a row without a row that a walk asks for: some APIs filter behind their pages
TOO_MANY_PAGES = f"more than {MAX_PAGES} pages: no more are read"
ENDLESS_PAGES = "the pages do not end: one repeated under another token, so no more are read; correct next and query"

BEHIND_THE_LAST = frozenset({400, 404, 416, 422})
"""Statuses by which a server refuses a page behind the last one."""


@dataclass(slots=True)
class ListPages:
    """The pages of a list. By {page} or {offset}, one is the last that has fewer rows than another page had: a server
    may give fewer than `limit`."""

    most: int = 0
    """Rows of the largest page."""
    size: int = 0
    """Rows of each page, fewer than `limit`, once a page with rows followed such a one; else 0."""
    list_of: Mapping[str, str] | None = None
    """The values of the places of the list that was read last."""
    following: str | int | None = None
    """The page behind the one that was read last."""
    count: int = 0
    """Rows of that one."""
    last: Sequence[Any] = ()
    """Them, where it may be the last."""
    rows: int = 0
    """Rows from the first page to that one."""
    total: int = 0
    """Rows of the list by that one; 0 where it does not say."""

    def is_next(self, page: str | int | None, places: Mapping[str, str] | None) -> bool:
        return page is not None and (page, places) == (self.following, self.list_of)

    def may_be_last(self, limit: int) -> bool:
        """Whether the page that was read last had fewer rows than requested, as no page behind one had rows yet."""
        return 0 < self.count < limit and self.most < limit and not self.size

    def may_go_on(self, count: int, is_next: bool, limit: int, is_one_of_many: bool) -> bool:
        """Whether another page may follow one by {page} or {offset} with `count` rows. `is_one_of_many`: lists of this
        path are read for many runs or jobs, and one proves for all that a page of so many rows may be the last."""
        if is_next and count and self.may_be_last(limit):
            self.size = self.count
        if is_next and not count and is_one_of_many and self.count == self.most < limit:
            self.most += 1
        self.most = max(self.most, count)
        self.size = self.size if self.most < limit else 0
        return count > 0 and (self.size > 0 or count >= min(self.most, limit))

    def is_repeated(self, rows: Sequence[Any], limit: int) -> bool:
        """Whether a page of these rows is the last one again: some servers answer each page behind it so."""
        return self.may_be_last(limit) and all(row in self.last for row in rows)

    def add_read(
        self, list_of: Mapping[str, str] | None, count: int, following: str | int | None, is_next: bool, total: int
    ) -> None:
        self.rows = count + (self.rows if is_next else 0)
        self.list_of, self.count, self.following, self.total = list_of, count, following, total

    def missing_text(self, path: str) -> str:
        """Which rows are missing behind the last page; "" for none."""
        if self.total <= self.rows:
            return ""
        return f"{path} has {self.total} rows and gave {self.rows}: the rest cannot be read"


class ListNotFound(NotSupported):
    """Nothing is at the path of a list: it is wrong, or what it names was deleted."""


class PageExpired(NotSupported):
    """The token of a later page is no longer valid."""


@dataclass(frozen=True, slots=True)
class PageWalk:
    """`page_ids`, a digest of one of the `pages` read, and `empty`, the number of last pages without rows, detect
    endless walks."""

    page_ids: str = ""
    pages: int = 0
    empty: int = 0

    def repeats(self, ids: str) -> bool:
        """Whether a page whose rows have this digest ("" without rows) shows that the pages do not end."""
        return self.empty >= MAX_EMPTY_PAGES if not ids else ids == self.page_ids

    def after(self, ids: str) -> Self:
        """With one more page read. The stored digest is replaced at every power of two (Brent): so a circle of any
        length is found."""
        pages = self.pages + 1
        page_ids = ids if ids and (not self.page_ids or pages & (pages - 1) == 0) else self.page_ids
        return replace(self, pages=pages, page_ids=page_ids, empty=0 if ids else self.empty + 1)


@dataclass(frozen=True, slots=True)
class HttpSource:
    """The API of a system: its mapping, and what a profile says of it besides."""

    mapping: HttpMapping
    values: Mapping[str, Any] = field(default_factory=dict)
    """Place -> its value in every call."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Header -> the reference to its value."""
    fixed_headers: Mapping[str, str] = field(default_factory=dict)
    """Header -> its value, the same for each system."""
    name: str = "the API"
    secret_values: Mapping[str, Any] = field(default_factory=dict)
    """Place -> the reference to its value, None where the config has none."""
    lacks: Mapping[Capability, str] = field(default_factory=dict)
    """Why a capability is missing, where the config cannot add it."""


class HttpApiClient(SignedClient):
    def __init__(
        self, source: HttpSource, secrets: SecretResolver, endpoint: HttpEndpoint, account: HttpAccount
    ) -> None:
        self.options, self.source, self._secrets = source.mapping, source, secrets
        self._paged: set[str] = set()
        """Paths of the lists whose answers had the token of a next page."""
        self._pages: dict[str, ListPages] = {}
        """Table and path of a list -> its pages."""
        super().__init__(endpoint, account)

    def page(
        self, call: HttpListCall, page: str | int | None, since: datetime, places: Mapping[str, str] | None = None
    ) -> HttpPage:
        """One page of a list. `places`: values of other places. Raises InvalidAnswer where the answer has no list at
        the place that the config names, PageExpired where runs refuse the token of a later page as too old."""
        values: dict[str, Any] = {
            "cursor": page or None,
            "offset": page or 0,
            "page": call.first_page if page is None else page,
            "limit": self.options.limit,
        }
        values["end"] = int(page or 0) + self.options.limit if "end" in call.places else None
        is_later = bool(call.next_path) and page is not None
        request = HttpCall.model_construct(server=call.server, path=call.next_path) if is_later else call
        expired_text = call.expired_text if isinstance(call, HttpRunsCall) else ""
        expiries = gone_statuses(expired_text) - {HTTPStatus.NOT_FOUND} if page is not None and call.next else set()
        window = self.window(since) if call.places & {"since", "until"} else {}
        values |= {**window, **(places or {})}
        pages = self._pages.setdefault(f"{call.table} {call.path}", ListPages())
        is_next = pages.is_next(page, places)
        is_first = page is None or ("page" in call.places and page == call.first_page)
        limit = self._requested_rows(call)
        is_end = call.paging == "server" or pages.size or pages.count < pages.most or pages.may_be_last(limit)
        ends = {HTTPStatus.NOT_FOUND, *(BEHIND_THE_LAST if is_end else ())}
        ends = ends if is_next and not call.next else set()
        if not (is_first or call.next or pages.most):
            expiries |= BEHIND_THE_LAST  # the pages before were read by an earlier process
        reply = self.request(request, values, accept={*expiries, *ends, HTTPStatus.NOT_FOUND})
        if reply.status in ends:
            self._following(call, pages, page, 0, is_next)
            return HttpPage([], None, reply.clock, pages.missing_text(call.path))
        if reply.status == HTTPStatus.NOT_FOUND and reply.status not in expiries:
            key = f"{call.table}.{'next_path' if is_later else 'path'}"
            raise ListNotFound(f"{refusal(reply)} ({key}). Fix: correct the path, or url of the system")
        if reply.status in expiries:
            if reply.status == HTTPStatus.BAD_REQUEST and not has_text(reply, expired_text):
                raise refusal(reply)
            raise PageExpired(f"{reply.place} no longer knows the next page: {reply.error or reply.status}")
        document = reply.json(float)  # an instant that is NaN is there, and unreadable
        rows = _named_rows(document, call)
        if rows is None:
            where = f"at rows = {call.rows!r}" if call.rows else "as a whole"
            where += f" with names at columns = {call.columns!r}" if call.columns else ""
            raise InvalidAnswer(f"{reply.place} has no list {where}. Correct rows; headway connector try shows it.")
        if is_next and not call.next and pages.is_repeated(rows, limit):
            rows = []
        count = max(map(len, lists_of(rows)), default=0) if call.is_nested else len(rows)
        names = _next_names(call, reply, document)
        token = self._token(call, names) if call.next else None
        is_token = isinstance(token, str | int) and not isinstance(token, bool) and token not in ("", page)
        following = (token if is_token else None) if call.next else self._following(call, pages, page, count, is_next)
        total = value_at(document, call.count) if call.count else None
        pages.add_read(places, count, following, is_next, total if isinstance(total, int) else 0)
        pages.last = rows if pages.may_be_last(limit) else ()
        cut = pages.missing_text(call.path) if following is None and (is_first or is_next) else ""
        if count and page is not None and call.next and token == page:
            cut = f"{call.path} names as its next page the one that it answers: later pages cannot be read"
        elif token is True:
            cut = (
                f'{call.path} has true at "{call.next}" ({call.table}.next), which is not a token: later pages are '
                "not read. Fix: name the field of the token, or page by {page} or {offset}"
            )
        elif token == "" and value_at(names, call.next):
            cut = (
                f'{call.path} names its next page by a link without "{call.next_query}" ({call.table}.next_query): '
                "later pages are not read. Fix: name the parameter of the link that has the token"
            )
        elif call.next and not (following or page) and self._never_names_next(call, names, count, values):
            what = "header" if call.next == NEXT_HEADER else "field"
            cut = (
                f'{call.path} gave {count} rows, and no answer has the {what} "{call.next}" ({call.table}.next): later '
                "pages are not read. Fix: name in next where an answer has the token of the next page"
            )
        elif count >= self.options.limit and call.paging == "capped":
            cut = f"{call.path} gave {count} rows, the most that it gives: others are not seen. Watch fewer jobs"
        elif count >= self.options.limit and call.paging != "none" and not {"cursor", "offset", "page"} & call.places:
            cut = (
                f"{call.path} gave {count} rows, limit is {self.options.limit}, and no later page can be requested: say"
                ' how it pages, or paging = "none" where this is all'
            )
        if isinstance(call, HttpJobsCall) and call.only_with:
            rows = [row for row in rows if value_at(row, call.only_with) is not None or value_at(row, call.id) is None]
        return HttpPage(rows, following, reply.clock, cut)

    def _never_names_next(self, call: HttpListCall, names: Any, count: int, values: Mapping[str, Any]) -> bool:
        """True where `next` is probably wrong: the first page is full, has no such field, and a page of one row has
        none either."""
        if has_field(names, call.next) or call.path in self._paged:
            self._paged.add(call.path)
            return False
        if count < max(self.options.limit, 2) or "limit" not in call.places or call.is_nested:
            return False
        reply = self.request(call, {**values, "limit": 1})
        first = reply.json(float)
        if has_field(_next_names(call, reply, first), call.next):
            self._paged.add(call.path)
            return False
        return len(_named_rows(first, call) or ()) == 1

    def runs_page(self, page: str | int | None, since: datetime) -> HttpPage:
        """One page of the list of runs; it has no following one where runs are sorted and older than `since`. Where
        each job has its own list, the ends of several together: the position is a job and a page of its list."""
        call = self.options.runs
        if "job" not in call.places:
            return self._until(self.page(call, page, since), since)
        listed, clock, cut = self.all_rows(self.options.jobs, self.options.jobs.id)
        ids = {text_at(row, self.options.jobs.id) for row in listed if isinstance(row, dict)}
        cut = cut or ("a job has no id, and so its runs cannot be read" if "" in ids else "")
        begun, token = json.loads(str(page)) if page else ("", None)
        names = sorted(name for name in ids if name and name >= begun)
        rows: list[Any] = []
        for number, name in enumerate(names):
            if number and (len(rows) >= self.options.limit or self.deadline.is_below(RESERVED_SHARE)):
                return HttpPage(rows, json.dumps([name, None]), clock, cut)
            position = token if name == begun else None
            result = self._until(self.page(call, position, since, {"job": name}), since)
            if call.job == "*":
                result = replace(result, rows=[_of_job(row, name) for row in result.rows])
            rows, clock, cut = rows + result.rows, result.clock, cut or result.cut
            if result.following is not None:
                return HttpPage(rows, json.dumps([name, result.following]), clock, cut)
        return HttpPage(rows, None, clock, cut)

    def _until(self, page: HttpPage, since: datetime) -> HttpPage:
        is_before = page.is_before(since, self.options.runs, self.options.limit)
        return replace(page, following=None, cut="") if is_before else page

    def window(self, since: datetime) -> dict[str, Any]:
        """{since}, and {until}, which is ahead of every clock."""
        fields, until = self.options.runs, datetime.now(UTC) + AHEAD_OF_CLOCKS
        return {"since": format_instant(since, fields), "until": format_instant(until, fields)}

    def all_rows(
        self, call: HttpListCall, id_path: str, places: Mapping[str, str] | None = None
    ) -> tuple[list[Any], TargetClock | None, str]:
        """All rows of a list, the source's clock, and why rows may be missing ("" for none)."""
        rows: list[Any] = []
        page, walk = None, PageWalk()
        for _ in range(MAX_PAGES):
            result = self.page(call, page, EPOCH, places)
            if page is None and result.following is None:
                return result.rows, result.clock, result.cut
            ids = result.ids_digest(id_path)
            if walk.repeats(ids):
                return rows, result.clock, ENDLESS_PAGES
            rows, page, walk = rows + result.rows, result.following, walk.after(ids)
            if page is None:
                return rows, result.clock, result.cut
        return rows, None, TOO_MANY_PAGES

    def _following(
        self, call: HttpListCall, pages: ListPages, page: str | int | None, count: int, is_next: bool
    ) -> int | None:
        """The number of the next page of a list by {page} or {offset}; None for none."""
        if not {"offset", "page"} & call.places:
            return None
        has_more = pages.may_go_on(count, is_next, self._requested_rows(call), bool({"id", "job"} & call.places))
        if "end" in call.places:  # the request names its last row
            has_more = count >= self.options.limit
        number = call.first_page if page is None else int(page)
        following = int(page or 0) + count if "offset" in call.places else number + 1
        return following if has_more else None

    def _requested_rows(self, call: HttpListCall) -> int:
        """Rows that a page has unless it is the last one; 0 where the server decides."""
        return 0 if call.paging == "server" else self.options.limit

    def page_warnings(self) -> list[str]:
        """A warning for each list whose server gives fewer rows a page than requested."""
        return [
            f"{name} gives {pages.size} rows a page, and limit is {self.options.limit}; all pages were read. "
            f'Fix: set limit = {pages.size}, or say paging = "server"'
            for name, pages in self._pages.items()
            if pages.size
        ]

    def _token(self, call: HttpListCall, names: Any) -> Any:
        """The token of the next page, as `_next_names` has it."""
        token = value_at(names, call.next)
        if not isinstance(token, str):
            return token
        if call.next_path and ("://" in token or token.startswith("/")):
            return token.rpartition("/")[2]
        return link_parameter(token, call.next_query) if call.next_query else token

    def job(self, native_id: str) -> Any | None:
        """The row of one job, for a hold; None where it was deleted."""
        assert self.options.hold is not None, "only a mapping with a hold reads one job"
        reply = self.request(
            HttpCall.model_construct(server=self.options.hold.server, path=self.options.hold.job_path),
            {"job": native_id},
            accept=GONE_STATUSES,
        )
        return None if reply.status in GONE_STATUSES else reply.table()

    def account_name(self) -> str:
        """Our account at the API; "" where the mapping or the answer does not name it."""
        call = self.options.account
        return "" if call is None else text_at(self.request(call, {}).table(), call.name, 200)

    def liveness(self) -> Any:
        """The answer that shows whether the scheduler starts jobs."""
        assert self.options.liveness is not None, "read only where the mapping names it"
        return self.request(self.options.liveness, {}).json(float)

    def run(self, native_id: str, job: str) -> Any | None:
        """The row of one run; None where it was deleted."""
        runs = self.options.runs
        accept = gone_statuses(runs.gone_text)
        reply = self.request(
            HttpCall.model_construct(server=runs.server, path=runs.one), {"id": native_id, "job": job}, accept=accept
        )
        if reply.status == HTTPStatus.BAD_REQUEST and not has_text(reply, runs.gone_text):
            raise refusal(reply)
        row = None if reply.status in accept else value_at(reply.json(float), runs.one_row) or {}
        if runs.is_nested and isinstance(row, dict) and row:
            return {**row, "*": {runs.job.removeprefix("*."): job}}
        return _of_job(row, job) if row and runs.job == "*" else row

    def has_queued(self, key: str) -> bool:
        """Whether a requested run with our key waits in the source's queue."""
        runs = self.options.runs
        if runs.queue is None:
            return False
        return any(key in texts_at(row, runs.key) for row in self.all_rows(runs.queue, runs.key)[0])

    def request(
        self,
        call: HttpCall,
        values: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        once: bool = False,
        end_bytes: int | None = None,
    ) -> HttpReply:
        if missing := self.missing_secret(call):
            raise NotSupported(missing)
        listed = self.shown(call, {**self.shown_values(), **values}, path_segment) if lists_requests() else ""
        secrets = {name: self._secrets(ref) for name, ref in self.source.secret_values.items() if name in call.places}
        values = {**self.source.values, **secrets, **values}
        return self.read(
            call.method,
            self.path(call.path, values),
            accept,
            {**self.source.fixed_headers, **self._secret_headers(), **(headers or {}), **filled_headers(call, values)},
            params={name: _plain(value) for name, value in fill_placeholders(call.query, values).items()} or None,
            body=None if call.body is None else fill_placeholders(call.body, values),
            once=once,
            end_bytes=end_bytes,
            listed=listed,
            base_url=call.server,
        )

    def missing_secret(self, call: HttpCall) -> str:
        """Why the call cannot be sent: the config has no reference to a secret of it; "" where it has."""
        unset = [name for name, reference in self.source.secret_values.items() if reference is None]
        name = next((name.removeprefix("option.") for name in unset if name in call.places), "")
        return name and f"the config has no {name}, which this call sends"

    def write(self, call: HttpWriteCall, values: Mapping[str, Any]) -> None:
        """Sends it once. Raises as `request`, and OutcomeUnknown for a redirect that is not the answer of a call that
        was done."""
        reply = self.request(call, values, accept=REDIRECTS, once=True)
        if reply.status in REDIRECTS:
            is_done = call.redirects and reply.status in DONE_REDIRECTS
            if not (is_done and self._is_at_its_job(call, values, reply.headers.get("location", ""))):
                raise OutcomeUnknown(f"{refusal(reply)} Its outcome is unknown and is looked up.")

    def _is_at_its_job(self, call: HttpWriteCall, values: Mapping[str, Any], location: str) -> bool:
        """Whether a redirect leads to a page at or below the job or run of a call, and not to a login."""
        server, filled = call.server or self.endpoint.base_url, {**self.source.values, **values}
        ends = [match.end() for match in PLACEHOLDER.finditer(call.path) if match[1] in ("id", "job")]
        try:
            page = urlsplit(server + self.path(call.path[: max(ends, default=None)], filled))
            target = urlsplit(urljoin(server + self.path(call.path, filled), location))
            is_same_server = _origin(page) == _origin(target)
        except ValueError:
            return False
        own, names = (unquote(parts.path).split("/") for parts in (page, target))
        return bool(location) and is_same_server and ".." not in names and names[: len(own)] == own

    def shown_values(self) -> dict[str, Any]:
        """Place -> its value in every call, for people: of a secret its name."""
        return {**self.source.values, **{name: f"<{name}>" for name in self.source.secret_values}}

    def shown(self, call: HttpCall, values: Mapping[str, Any], encode: Callable[[str], str] | None = None) -> str:
        """The text of a call for people: the values in its path are encoded, so that it can be copied; the rest is not.
        `encode` encodes in place of the default, which keeps names in angle brackets."""
        path = self.path(
            call.path, {name: str(value) or f"<{name}>" for name, value in values.items()}, encode or _shown_segment
        )
        query = {name: _plain(value) for name, value in fill_placeholders(call.query, values).items()}
        params = f"?{unquote_plus(str(QueryParams(query)))}" if query else ""
        headers = "".join(f" {name}: {value}" for name, value in filled_headers(call, values).items())
        body = json.dumps(fill_placeholders(call.body, values)) if call.body is not None else ""
        return f"{call.method} {call.server or self.endpoint.base_url}{path}{params}{headers} {body}".rstrip()

    def path(self, path: str, values: Mapping[str, Any], encode: Callable[[str], str] = path_segment) -> str:
        """The path of a call, its places filled in."""
        return PLACEHOLDER.sub(lambda match: self._part(match[1], _text_of(values[match[1]]), encode), path)

    def _part(self, place: str, value: str, encode: Callable[[str], str]) -> str:
        slash = self.options.slash
        if not slash or place not in ("id", "job"):
            return encode(value)
        job, _, number = value.rpartition("/") if place == "id" else (value, "", "")
        names = slash.join(map(encode, job.split("/")))
        return f"{names}/{encode(number)}" if number else names

    def _secret_headers(self) -> dict[str, str]:
        return {name: self._secrets(value) for name, value in self.source.headers.items()}


def gone_statuses(text: str) -> set[int]:
    """The statuses of a refusal by which something is gone; 400 among them where its `text` is named."""
    return {*GONE_STATUSES, *([HTTPStatus.BAD_REQUEST] if text else [])}


def has_text(reply: HttpReply, text: str) -> bool:
    """Whether a refusal has a text: in its message, or anywhere in its body, as a code of the error."""
    return text in reply.error or text in reply.body.decode("utf-8", "replace")


def _of_job(row: Any, job: str) -> Any:
    """A row of the list of a job, with that job as its field "*"."""
    return {**row, "*": job} if isinstance(row, dict) else row


def _named_rows(document: Any, call: HttpListCall) -> list[Any] | None:
    """The rows, those of a table as objects; None for any other answer."""
    rows = rows_at(document, call.rows)
    if call.rows_optional and isinstance(document, dict) and value_at(document, call.rows) is None:
        return []
    if not call.columns or rows is None:
        return rows
    columns = rows_at(document, call.columns)
    names = [text_at(column, "name") for column in columns or () if isinstance(column, dict)]
    if not names or not all(names):
        return None
    fits = [isinstance(row, list) and len(row) == len(names) for row in rows]
    return [dict(zip(names, row, strict=True)) if fit else row for row, fit in zip(rows, fits, strict=True)]


def _next_names(call: HttpListCall, reply: HttpReply, document: Any) -> Any:
    """Where an answer names its next page: the document, or its header Link as a document."""
    if call.next != NEXT_HEADER:
        return document
    link = next_link(reply.headers.get("link", ""))
    return {NEXT_HEADER: link} if link else {}


def next_link(header: str) -> str:
    """The link of a header Link (RFC 8288) whose relation is next; "" without one."""
    for link, parameters in _LINK.findall(header):
        relations = (value for name, value in _LINK_PARAMETER.findall(parameters) if name.lower() == "rel")
        if "next" in next(relations, "").strip('"').lower().split():
            return str(link)
    return ""


_LINK = re.compile(r"<([^<>]*)>([^<>]*)")
_LINK_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*("[^"]*"|[^\s;,"]+)')


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port. Raises ValueError for another text than a port."""
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _shown_segment(value: str) -> str:
    return value if re.fullmatch("<[^<>]+>", value) else path_segment(value)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def link_parameter(link: str, name: str) -> str:
    """The value of a name in the query of a link; "" without one."""
    try:
        return next((value for key, value in parse_qsl(urlsplit(link).query) if key.lower() == name.lower()), "")
    except ValueError:
        return ""


def fill_placeholders(value: Any, values: Mapping[str, Any]) -> Any:
    """The value with each name in braces filled in. A text that is a name in braces alone becomes the value itself; it
    is left out where there is none."""
    if isinstance(value, dict):
        filled = {name: fill_placeholders(item, values) for name, item in value.items()}
        return {name: item for name, item in filled.items() if item is not None or value[name] is None}
    if isinstance(value, list):
        return [fill_placeholders(item, values) for item in value]
    if not isinstance(value, str):
        return value
    alone = PLACEHOLDER.fullmatch(value)
    return values[alone[1]] if alone else PLACEHOLDER.sub(lambda match: _text_of(values[match[1]]), value)


def _text_of(value: Any) -> str:
    return "" if value is None else str(value)


def filled_headers(call: HttpCall, values: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a call alone."""
    headers = call.headers if isinstance(call, HttpHeadersCall) else {}
    return {name: _text_of(value) for name, value in fill_placeholders(headers, values).items()}


def format_instant(at: datetime, fields: MappedFields) -> str | int:
    """The instant for a request, rounded down to seconds: not every source reads fractions."""
    if fields.times == "iso":
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if fields.times == "compact":
        return at.astimezone(ZoneInfo(fields.zone)).strftime("%Y%m%d%H%M%S")
    return int(at.timestamp() * (1000 if fields.times == "milliseconds" else 1))
