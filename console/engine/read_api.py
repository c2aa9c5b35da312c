"""HTTP API for reading: the documents that commands print with `--json`, and their OpenAPI description.

A client may ask often: it sends the ETag of the reply that it has, and a reply is repeated without queries for as long
as nothing is committed.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType, NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlencode

from connectors.sdk.transport.http_server import NOT_MODIFIED, ServerReply
from console.control.access.authorization import AccessRefusal
from console.domain.access import Person
from console.domain.alert import DeliveryView, SuppressionView
from console.domain.failure import FailureMemory
from console.domain.filter import ME, FilterError, JobFilter, parse_filter, split_filter
from console.domain.ids import MAX_ID_DIGITS
from console.domain.incident import IncidentRow
from console.domain.job import JobRow
from console.domain.reason import Reason
from console.domain.request import RequestKind
from console.domain.run import RunRow
from console.domain.service import ServiceView
from console.domain.text import Text, Title
from console.engine.access import AccessRights
from console.engine.api.documents import (
    DEFAULT_DEPTH,
    LineageDocument,
    incidents_list,
    job_reach,
    json_text,
    lineage_document,
    service_document,
    services_on,
    unknown_field_fault,
)
from console.engine.endpoints import API, JSON, ApiFault, ApiRequest, ReadEndpoint, error_reply
from console.engine.write_api import OPERATIONS, ApiOperation
from console.store.errors import NotFound, StoreError
from console.store.queries import open_queries
from console.store.queries.reader import Queries

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_OFFSET = 1_000_000
MAX_DEPTH = 50
MAX_PARAMETERS = 20
CACHED_REPLIES = 16
CACHE_SECONDS = 2.0
"""A reply is computed again after this although nothing was committed: some of it changes by time alone."""
OPENAPI = f"{API}/openapi.json"

Values = Mapping[str, Any]
"""The values of a query's parameters, by name."""


class QueryParameter(NamedTuple):
    """A parameter of a query. `parse` raises ValueError with the fix."""

    name: str
    description: str
    parse: Callable[[str], Any] = str
    schema: Mapping[str, Any] = MappingProxyType({"type": "string"})
    default: Any = None
    is_required: bool = False


class DocumentPage(NamedTuple):
    """A document, and what to change in the query for the next page; None: it is the last."""

    document: Any
    following: Mapping[str, int] | None = None


class ApiResource(NamedTuple):
    """One path of the API."""

    path: str
    summary: str
    kind: Any
    """The type of the document."""
    parameters: tuple[QueryParameter, ...]
    page: Callable[[Queries, Values], DocumentPage]
    """Raises ApiFault, StoreError."""


@dataclass(frozen=True, slots=True)
class _Cached:
    version: int
    until: float
    reply: ServerReply


class ReadApi:
    """Answers GET below /api/v1 from the store, for one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._queries: Queries | None = None
        self._cache = OrderedDict[str, _Cached]()
        """By path and query."""

    @property
    def endpoints(self) -> dict[str, ReadEndpoint]:
        """By path."""
        endpoints = {resource.path: self._endpoint_of(resource) for resource in RESOURCES}
        described = ReadEndpoint(lambda request: _unless_known(self._description, request), self.close)
        return {**endpoints, OPENAPI: described}

    @cached_property
    def _description(self) -> ServerReply:
        """The reply that the first request for it composes: an engine starts without it."""
        return _with_etag(json_text(openapi_document(), indent=2))

    def close(self) -> None:
        """Closes the store's connection; the next request opens it again."""
        queries, self._queries = self._queries, None
        self._cache.clear()
        if queries is not None:
            queries.close()

    def _endpoint_of(self, resource: ApiResource) -> ReadEndpoint:
        return ReadEndpoint(lambda request: self._answer(resource, request), self.close)

    def _answer(self, resource: ApiResource, request: ApiRequest) -> ServerReply:
        """Raises StoreError."""
        try:
            if self._queries is None:
                self._queries = open_queries(self._url)
            _require_view(self._queries, request.login)
            return _unless_known(self._reply(self._queries, resource, request.target), request)
        except ApiFault as fault:
            return fault.reply
        except NotFound as error:
            is_listed = any(parameter.name in ("service", "signature") for parameter in resource.parameters)
            names = resource.path if is_listed else f"{API}/jobs or {API}/runs"
            return error_reply(404, error.short, f"use a name that {names} lists")
        except StoreError:
            self.close()
            raise

    def _reply(self, queries: Queries, resource: ApiResource, target: str) -> ServerReply:
        version, now = queries.data_version(), time.monotonic()
        cached = self._cache.get(target)
        if cached is not None and cached.version == version and now < cached.until:
            return cached.reply
        values = parsed_query(resource, target)
        page = resource.page(queries, values)
        links = []
        if page.following is not None:
            query = parse_qsl(target.partition("?")[2], keep_blank_values=True)
            following = urlencode({**dict(query), **page.following})
            links.append(("Link", f'<{resource.path}?{following}>; rel="next"'))
        reply = _with_etag(json_text(page.document), *links)
        self._cache[target] = _Cached(version, now + CACHE_SECONDS, reply)
        self._cache.move_to_end(target)
        if len(self._cache) > CACHED_REPLIES:
            self._cache.popitem(last=False)
        return reply


def _require_view(queries: Queries, login: str) -> None:
    """Raises ApiFault unless the reader may view the whole estate."""
    allowed = AccessRights(queries.link).may(Person(login), RequestKind.LOG)
    if isinstance(allowed, AccessRefusal):
        fix = f'add {{ who = ["{login}"], role = "view" }} to [[permissions]], without systems, services and tiers'
        raise ApiFault(allowed.reason, fix, 403)


def _with_etag(text: str, *headers: tuple[str, str]) -> ServerReply:
    body = text.encode() + b"\n"
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return ServerReply(200, body, JSON, (("ETag", etag), ("Cache-Control", "private, no-cache"), *headers))


def _unless_known(reply: ServerReply, request: ApiRequest) -> ServerReply:
    """304 if the client has this reply."""
    known = {tag.strip().removeprefix("W/") for tag in request.if_none_match.split(",")}
    is_known = "*" in known or dict(reply.headers)["ETag"] in known
    return ServerReply(NOT_MODIFIED, b"", headers=reply.headers) if is_known else reply


def parsed_query(resource: ApiResource, target: str) -> dict[str, Any]:
    """The value of each parameter. Raises ApiFault."""
    try:
        pairs = parse_qsl(
            target.partition("?")[2], keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise ApiFault("the query is not readable", "write ?name=value&name=value in UTF-8, percent-encoded") from None
    return parsed_values(resource.parameters, pairs)


def parsed_values(parameters: Sequence[QueryParameter], pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The value of each parameter, from names and texts. Raises ApiFault."""
    known = {parameter.name: parameter for parameter in parameters}
    values = {parameter.name: parameter.default for parameter in parameters}
    names = [name for name, _ in pairs]
    for name, text in pairs:
        if name not in known:
            raise ApiFault(f'no parameter "{name[:40]}"', f"use {', '.join(known) or 'none'}")
        if names.count(name) > 1:
            raise ApiFault(f"{name} is given twice", f"write {name} once")
        try:
            values[name] = known[name].parse(text)
        except ValueError as error:
            raise ApiFault(f'{name}: "{text[:40]}" is invalid', str(error)) from None
    for parameter in parameters:
        if parameter.is_required and not values[parameter.name]:
            raise ApiFault(f"{parameter.name} is missing", f"add {parameter.name}=…: {parameter.description}")
    return values


# parameters


def number_parameter(name: str, description: str, least: int, most: int, default: int | None) -> QueryParameter:
    """A whole number within bounds, both included."""
    # the 18 digits themselves would be masked
    bounds_text = f"of at most {MAX_ID_DIGITS} digits, from {least} on" if most == MAX_ID else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > MAX_ID_DIGITS or not least <= int(text) <= most:
            raise ValueError(f"write a whole number {bounds_text}")
        return int(text)

    bounds = {"type": "integer", "minimum": least, "maximum": most}
    return QueryParameter(name, description, parse, bounds, default)


def flag_parameter(name: str, description: str) -> QueryParameter:
    """True or false; false if absent."""

    def parse(text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError("write true or false")
        return text == "true"

    return QueryParameter(name, description, parse, {"type": "boolean"}, default=False)


def _choice(name: str, description: str, choices: Sequence[str]) -> QueryParameter:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"write one of {', '.join(choices)}")
        return text

    return QueryParameter(name, description, parse, {"type": "string", "enum": list(choices)}, choices[0])


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("write a date as 2026-11-20") from None


MAX_ID = 10**MAX_ID_DIGITS - 1
_LIMIT = number_parameter("limit", "most rows", 1, MAX_LIMIT, DEFAULT_LIMIT)
_OFFSET = number_parameter("offset", "rows left out before the first; the header Link has the next", 0, MAX_OFFSET, 0)
_FILTER = QueryParameter("filter", "in the language of docs/filters.md; times of day are UTC", default="")
_PROBLEMS = flag_parameter("problems", "only what needs attention")
JOB_HELP = "system/native-id, or a unique suffix"
_SORTS = [sign + order for order in ("name", "attention", "age", "deadline", "slack") for sign in ("", "-")]
_PAGING = (_LIMIT, _OFFSET)


def _filter_of(queries: Queries, values: Values) -> JobFilter:
    """Raises ApiFault."""
    text = values["filter"]
    try:
        parsed = parse_filter(text, queries.now(), UTC, values["problems"])
    except FilterError as error:
        raise ApiFault(error.text('"{}" in the filter is invalid:'), "see docs/filters.md") from None
    if ME in parsed.owners or ME in parsed.not_owners:
        raise ApiFault(f"owner:{ME} is not supported here", "write owner:TEAM")
    if fault := unknown_field_fault(split_filter(text), queries):
        raise ApiFault(fault, "see docs/filters.md")
    return parsed


# resources


def _services(queries: Queries, values: Values) -> DocumentPage:
    name, business_date = values["service"], values["date"]
    return page_of([service_document(service) for service in services_on(queries, name, business_date)], values)


def _incidents(queries: Queries, values: Values) -> DocumentPage:
    return page_of(incidents_list(queries, values["closed"]), values)


def _failures(queries: Queries, values: Values) -> DocumentPage:
    signature = values["signature"]
    return page_of([queries.failures.failure(signature)] if signature else queries.failures.list_failures(), values)


def _jobs(queries: Queries, values: Values) -> DocumentPage:
    ids = queries.jobs.job_ids(_filter_of(queries, values), values["sort"])
    page = page_of(ids, values)
    return DocumentPage(queries.jobs.jobs_by_ids(page.document.tolist()), page.following)


def _runs(queries: Queries, values: Values) -> DocumentPage:
    limit, before = values["limit"], values["before"]
    if values["job"]:
        if values["filter"] or values["problems"]:
            raise ApiFault("job excludes filter and problems", "leave out job, and name it in the filter")
        runs = queries.runs.list_runs(queries.jobs.job(values["job"]).row.id, limit + 1, before)
    else:
        runs = queries.run_table.runs_before(_filter_of(queries, values), before, limit + 1)
    return DocumentPage(runs[:limit], {"before": runs[limit - 1].id} if len(runs) > limit else None)


def _lineage(queries: Queries, values: Values) -> DocumentPage:
    reach = job_reach(queries, queries.jobs.job(values["job"]).row.id, values["run"])
    return DocumentPage(lineage_document(reach, values["up"], values["down"]))


def page_of(rows: Any, values: Values) -> DocumentPage:
    """The rows that `limit` and `offset` select."""
    first, limit = values["offset"], values["limit"]
    following = first + limit
    is_last = following >= len(rows) or following > MAX_OFFSET
    return DocumentPage(rows[first:following], None if is_last else {"offset": following})


RESOURCES = (
    ApiResource(
        f"{API}/services",
        "Services with deadline, timeliness and forecast, as `headway service --json`",
        list[ServiceView],
        (
            QueryParameter("service", "only this one"),
            QueryParameter(
                "date", "business date instead of the current one", _date, {"type": "string", "format": "date"}
            ),
            *_PAGING,
        ),
        _services,
    ),
    ApiResource(
        f"{API}/incidents",
        "Open incidents, as `headway incident list --json`",
        list[IncidentRow],
        (flag_parameter("closed", "also the latest closed ones"), *_PAGING),
        _incidents,
    ),
    ApiResource(
        f"{API}/failures",
        "Failures by signature, with the repairs that were tried, as `headway failure --json`",
        list[FailureMemory],
        (QueryParameter("signature", "only the failure with this id"), *_PAGING),
        _failures,
    ),
    ApiResource(
        f"{API}/jobs",
        "Jobs with their latest run, as `headway job list --json`",
        list[JobRow],
        (_FILTER, _PROBLEMS, _choice("sort", "order; - reverses it", _SORTS), *_PAGING),
        _jobs,
    ),
    ApiResource(
        f"{API}/runs",
        "Runs, the newest period first, as `headway run --json`",
        list[RunRow],
        (
            QueryParameter("job", f"only runs of this job: {JOB_HELP}", default=""),
            _FILTER,
            _PROBLEMS,
            _LIMIT,
            number_parameter(
                "before", "only runs after this one in the list: its id; the header Link has it", 0, MAX_ID, None
            ),
        ),
        _runs,
    ),
    ApiResource(
        f"{API}/lineage",
        "Upstream and downstream of a job over all systems, as `headway lineage JOB --json`",
        LineageDocument,
        (
            QueryParameter("job", JOB_HELP, is_required=True),
            QueryParameter("run", "period key or id of a run: show its business date", default=""),
            number_parameter("up", "levels upstream", 0, MAX_DEPTH, DEFAULT_DEPTH),
            number_parameter("down", "levels downstream", 0, MAX_DEPTH, DEFAULT_DEPTH),
        ),
        _lineage,
    ),
)


# OpenAPI


_SIMPLE: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    object: {},
}
_NAMES = {"DeliveryView": DeliveryView, "SuppressionView": SuppressionView}
"""Names of types that their modules import for type checking only."""
_STATUSES = {
    400: "a parameter is invalid",
    401: "no token, or an unknown one",
    403: "the reader may not view",
    404: "no such service, failure, job or run",
    429: "too many requests with a wrong token",
    503: "the store cannot be used now",
}

_WRITE_STATUSES = {
    400: "the body or the key is invalid, or a reason is missing",
    401: "no token, or an unknown one",
    403: "the token names no operator, or the operator may not act",
    404: "no such incident",
    408: "the request was not whole in time",
    409: "the incident is closed, the same was requested already, or nothing can be sent",
    413: "the body is too long",
    415: "the body is not declared as JSON",
    422: "the Idempotency-Key was used for another request",
    429: "too many requests in progress, or with a wrong token",
    503: "the store cannot be used now, or the engine does not answer",
}


_REASON = {"kind": _SIMPLE[str], "text": _SIMPLE[str]}
"""Each reason also has the fields of its kind."""


class _Schemas:
    """JSON schemas of types, those with fields as components."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        arguments, origin = get_args(kind), get_origin(kind)
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        if kind in (Title, Text):
            return self.of(str)
        if origin is UnionType:
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin in (list, tuple):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return {"type": "string", "enum": [item.value for item in kind]}
        if kind is Reason:
            return {"type": "object", "properties": _REASON, "required": list(_REASON)}
        return self._component(kind)

    def _component(self, kind: Any) -> dict[str, Any]:
        name = kind.__name__.removesuffix("View").removesuffix("Row").removesuffix("Document")
        if name not in self.components:
            self.components[name] = {}
            hints = get_type_hints(kind, localns=_NAMES)
            names = [field.name for field in fields(kind)] if is_dataclass(kind) else hints
            properties = {name: self.of(hints[name]) for name in names}
            if kind is ServiceView:  # as `service_document`
                properties |= {
                    "deadline": self.of(datetime | None),
                    "reason": self.of(str),
                    "is_unverified": self.of(bool),
                }
            self.components[name] = {
                "type": "object",
                "description": (kind.__doc__ or "").partition("\n")[0],
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{name}"}


def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 description of the API: of `RESOURCES` and `OPERATIONS`."""
    schemas = _Schemas()
    error = {"type": "object", "properties": {"error": _SIMPLE[str], "fix": _SIMPLE[str]}, "required": ["error", "fix"]}
    schemas.components["Error"] = error
    unusual: dict[str, Any] = {
        str(status): {"description": text, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
        for status, text in _STATUSES.items()
    }
    unusual["304"] = {"description": "the client has it already"}
    paths = {
        resource.path: {
            "get": {
                "operationId": resource.path.rpartition("/")[2],
                "summary": resource.summary,
                "parameters": [_described(parameter) for parameter in resource.parameters],
                "responses": unusual | {"200": _document(schemas.of(resource.kind))},
            }
        }
        for resource in RESOURCES
    }
    paths |= {operation.path: {"post": _operation(operation, schemas, unusual)} for operation in OPERATIONS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headway",
            "version": "1",
            "description": "Reads the estate, acknowledges incidents and requests plans.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: ApiOperation, schemas: _Schemas, unusual: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a path that takes POST."""
    refused = {str(status): unusual["400"] | {"description": text} for status, text in _WRITE_STATUSES.items()}
    refused["408"]["content"] = {"text/plain": {"schema": _SIMPLE[str]}}
    content = {JSON: {"schema": schemas.of(operation.kind)}}
    key = QueryParameter("Idempotency-Key", "repeated with the same key, the request is made once")
    return {
        "operationId": f"post-{operation.path.rpartition('/')[2]}",
        "summary": operation.summary,
        "parameters": [_described(key) | {"in": "header"}],
        "requestBody": {"required": True, "content": {JSON: {"schema": operation.body.model_json_schema()}}},
        "responses": refused | {str(operation.status): {"description": "the document", "content": content}},
    }


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    """The description of a reply with a document."""
    headers = {
        "ETag": {"description": "send it as If-None-Match", "schema": _SIMPLE[str]},
        "Link": {"description": 'the next page: rel="next"', "schema": _SIMPLE[str]},
    }
    return {"description": "the document", "headers": headers, "content": {JSON: {"schema": schema}}}


def parameter_schema(parameter: QueryParameter) -> dict[str, Any]:
    """The JSON schema of its value."""
    default = {} if parameter.default in (None, "") else {"default": parameter.default}
    return {**parameter.schema, **default}


def _described(parameter: QueryParameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "required": parameter.is_required,
        "schema": parameter_schema(parameter),
    }
