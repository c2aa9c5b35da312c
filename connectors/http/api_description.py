"""A profile compared with a machine-readable description of its API: OpenAPI 2 or 3, or Google's discovery format.

A description may leave open the fields of an answer, or of an object that takes any, and the type of a field. Fields
that a profile reads there are named; they are not faults.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.http.options import (
    NEXT_HEADER,
    PLACEHOLDER,
    HttpCall,
    HttpHoldCall,
    HttpJobsCall,
    HttpListCall,
    HttpLogCall,
    HttpMapping,
    HttpRunsCall,
)
from connectors.http.sign_in import SessionCall
from connectors.sdk.contract import ApiComparison
from connectors.sdk.field_mapping import (
    BRACES,
    OF_SEVERAL_VALUES,
    OF_THE_ANSWER,
    STEP,
    MappedFields,
    is_field_path,
    state_of,
)
from connectors.sdk.fields import masked_head
from connectors.sdk.states import RunState
from connectors.sdk.yaml_document import read_yaml

Schema = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
MAX_DEPTH = 30
SENT_BY_HTTP = frozenset({"accept", "authorization", "content-type", "user-agent"})
"""Headers that OpenAPI describes elsewhere, and User-Agent, which every request has."""


class Undescribed(Exception):
    """The description does not say what is there."""


@dataclass(frozen=True, slots=True)
class DescribedOperation:
    method: str
    path: str
    query: Mapping[str, Schema]
    """Parameter -> its schema."""
    required: frozenset[tuple[str, str]]
    """("query", name) or ("header", name) of each parameter that every request has."""
    body: Schema
    answer: Schema

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile("[^/]+".join(map(re.escape, re.split(r"\{[^/{}]+\}", self.path))))


class ApiDescription:
    def __init__(self, text: str) -> None:
        """Raises ValueError for a text that is neither."""
        self._document = _parsed(text)
        if not isinstance(self._document, dict):
            self._document = {}
        is_google = self._document.get("kind") == "discovery#restDescription"
        self.operations = list(self._discovered() if is_google else self._openapi())
        servers = [item.get("url", "") for item in self._document.get("servers", ()) if isinstance(item, dict)]
        addresses = [*servers, self._document.get("rootUrl", "")]
        self.origins = {"://".join(urlsplit(address)[:2]) for address in addresses if address}
        if not self.operations:
            fix = "Fix: name a file that does"
            raise ValueError(f"has no operation of OpenAPI (paths) or Google's discovery format (resources). {fix}")

    def operations_at(self, method: str, path: str) -> list[DescribedOperation]:
        """Those that a path with names in braces may mean; a name may stand for several segments."""
        path = path.partition("?")[0]
        concrete = PLACEHOLDER.sub("0", path)
        same = [item for item in self.operations if item.method == method and item.pattern.fullmatch(concrete)]
        if same:
            fewest = min(item.path.count("{") for item in same)
            return [item for item in same if item.path.count("{") == fewest]
        pattern = re.compile("/".join(map(_segment, path.split("/"))))
        return [item for item in self.operations if item.method == method and pattern.fullmatch(item.path)]

    def schemas_at(self, schema: Schema, path: str, enters_lists: bool = False) -> list[Schema]:
        """The schemas of a path; empty where there is no such field. `enters_lists`: a name is also a field of each
        item of a list. Raises Undescribed."""
        schemas = [schema]
        for place, key, _, name in STEP.findall(path):
            if place and all(variant.get("type") == "string" for variant in self._variants(schemas)):
                continue  # a part of a text
            if name and enters_lists:
                schemas = [variant.get("items", variant) for variant in self._variants(schemas)] or schemas
            schemas = self._below(schemas, name) if name else self.items(schemas)
            if name and not schemas:
                return []
            if key and not self._below(schemas, key):
                return []
        return schemas

    def items(self, schemas: list[Schema]) -> list[Schema]:
        """Of lists. Raises Undescribed."""
        variants = list(self._variants(schemas))
        if not variants:
            raise Undescribed
        return [variant["items"] for variant in variants if isinstance(variant.get("items"), dict)]

    def types_of(self, schemas: list[Schema]) -> frozenset[str]:
        """The JSON types that a value may have; empty where the description leaves one open. An integer in a text
        is int64."""
        types: set[str] = set()
        for variant in self._variants(schemas):
            kinds = variant.get("type") or (
                "object" if "properties" in variant else "array" if "items" in variant else ""
            )
            is_long = kinds == "string" and variant.get("format") in ("int64", "uint64")
            types |= {"int64"} if is_long else {kinds} if isinstance(kinds, str) else set(kinds)
        return frozenset() if types & {"", "any"} else frozenset(types - {"null"})

    def values_of(self, schemas: list[Schema]) -> frozenset[str]:
        """The values that a field may have; empty where the description does not name them all."""
        values: set[str] = set()
        for variant in self._variants(schemas):
            named = variant.get("enum", [variant["const"]] if "const" in variant else None)
            if not isinstance(named, list):
                return frozenset()
            values |= {str(value).lower() if isinstance(value, bool) else str(value) for value in named}
        return frozenset(values)

    def maximum_of(self, schema: Schema) -> float:
        """The largest number that a parameter may have; infinite where the description does not say."""
        named = [variant["maximum"] for variant in self._variants([schema]) if "maximum" in variant]
        return max(map(float, named), default=inf)

    def is_date(self, schema: Schema) -> bool:
        return any("date" in str(variant.get("format", "")) for variant in self._variants([schema]))

    def required_of(self, schema: Schema, depth: int = 0) -> frozenset[str]:
        """The fields that a body must have, in each of its forms."""
        schema = self._resolved(schema)
        properties, listed = schema.get("properties", {}), schema.get("required", ())
        named = {*listed} if isinstance(listed, list) else set()  # Google's properties say it themselves
        named |= {name for name, item in properties.items() if _is_true(item, "required")}
        required = frozenset(name for name in named if not _is_true(properties.get(name, {}), "readOnly"))
        for kind in ("allOf", "oneOf", "anyOf"):
            forms = [self.required_of(part, depth + 1) for part in schema.get(kind, ())] if depth < MAX_DEPTH else []
            if forms:
                required |= frozenset.union(*forms) if kind == "allOf" else frozenset.intersection(*forms)
        return required

    def _below(self, schemas: list[Schema], name: str) -> list[Schema]:
        below, variants, is_closed = [], list(self._variants(schemas)), False
        is_open = not variants
        for variant in variants:
            properties, extra = variant.get("properties"), variant.get("additionalProperties")
            if isinstance(properties, dict) and name in properties:
                below.append(properties[name])
            elif isinstance(extra, dict) and extra:
                below.append(extra)
            elif properties or "items" in variant:
                is_closed = True
            else:
                is_open |= _may_be_object(variant)
        if is_open and not is_closed and not below:
            raise Undescribed
        return below

    def _variants(self, schemas: list[Schema]) -> Iterator[Schema]:
        """Each form that a value may have, once, without references."""
        queue, visited = deque(schemas), set[int]()
        while queue:
            schema = self._resolved(queue.popleft())
            if id(schema) in visited:
                continue
            visited.add(id(schema))
            combined = [part for name in ("allOf", "oneOf", "anyOf") for part in schema.get(name, ())]
            queue.extendleft(reversed(combined))
            if schema and (not combined or "properties" in schema):
                yield schema

    def _resolved(self, value: Any) -> Schema:
        for _ in range(MAX_DEPTH):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                break
            name, target = value["$ref"], self._document
            steps = name.removeprefix("#/").split("/") if name.startswith("#/") else ("schemas", name)
            for step in steps:
                key = step.replace("~1", "/").replace("~0", "~")
                target = target.get(key, {}) if isinstance(target, dict) else {}
            value = target
        return value if isinstance(value, dict) else {}

    def _openapi(self) -> Iterator[DescribedOperation]:
        document = self._document
        servers = [server.get("url", "") for server in document.get("servers", ()) if isinstance(server, dict)]
        bases = {"", *(urlsplit(url).path.rstrip("/") for url in (*servers, document.get("basePath", "")))}
        for path, item in document.get("paths", {}).items():
            methods = {**self._resolved(item), **item}
            if list(methods) == ["$ref"]:
                fix = "Fix: bundle the description into one file"
                raise ValueError(f"{path} refers to {methods['$ref']}, which it does not hold. {fix}")
            for method in METHODS:
                if isinstance(methods.get(method), dict):
                    own = methods[method]
                    parameters = [
                        self._resolved(item) for item in (*methods.get("parameters", ()), *own.get("parameters", ()))
                    ]
                    query = {item["name"]: item.get("schema", item) for item in parameters if item.get("in") == "query"}
                    required = frozenset(
                        (item["in"], item["name"]) for item in parameters if _is_true(item, "required")
                    )
                    body = _content(self._resolved(own.get("requestBody"))) or _body_of(parameters)
                    answers = own.get("responses", {})
                    codes = sorted(code for code in answers if code.startswith("2")) or ["default"]
                    answer = _content(self._resolved(answers.get(codes[0])))
                    yield from (
                        DescribedOperation(method.upper(), base + path, query, required, body, answer) for base in bases
                    )

    def _discovered(self) -> Iterator[DescribedOperation]:
        common, resources = self._document.get("parameters", {}), [self._document]
        base = "/" + self._document.get("servicePath", "")
        while resources:
            resource = resources.pop()
            resources += resource.get("resources", {}).values()
            for method in resource.get("methods", {}).values():
                parameters = method.get("parameters", {}).items()
                query = {name: item for name, item in parameters if item.get("location") == "query"}
                path = base + method.get("flatPath", method.get("path", ""))
                yield DescribedOperation(
                    method.get("httpMethod", ""),
                    path,
                    {**common, **query},
                    frozenset(
                        (item.get("location", ""), name) for name, item in parameters if _is_true(item, "required")
                    ),
                    method.get("request", {}),
                    method.get("response", {}),
                )


def _segment(text: str) -> str:
    """A pattern of what a segment of a profile's path is in a description: a name in braces may stand for several,
    and "-" for any parameter."""
    if text == "-":
        return r"\{[^/{}]+\}"
    return ".+".join(map(re.escape, PLACEHOLDER.split(text)[::2]))


def _parsed(text: str) -> Any:
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    merge_only = {"<": base.yaml_implicit_resolvers["<"]}  # a field may be named on, and a code is 200: all are texts
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return read_yaml(text, type("TextLoader", (base,), {"yaml_implicit_resolvers": merge_only}))
    except (ValueError, RecursionError) as error:
        reason = masked_head(" ".join(str(error).split()), 200)
        raise ValueError(f"is neither JSON nor YAML: {reason}. Fix: name the file of the description") from None


def _is_true(part: Schema, key: str) -> bool:
    """In YAML, which is read as texts, too."""
    return part.get(key) in (True, "true")


def _may_be_object(schema: Schema) -> bool:
    """By its type: a name ("any" is Google's), a list of names (OpenAPI 3.1), or absent."""
    kinds = schema.get("type", "any")
    return not {"any", "object"}.isdisjoint(kinds if isinstance(kinds, list) else [kinds])


def _content(part: Schema) -> Schema:
    """The schema of a body or an answer, of OpenAPI 2 or 3; that of JSON where there are several."""
    content = part.get("content", {})
    media = content[min(content, key=_json_rank)] if content else part
    schema = media.get("schema") if isinstance(media, dict) else None
    return schema if isinstance(schema, dict) else {}


def _json_rank(media_type: str) -> int:
    name = media_type.partition(";")[0].strip().lower()
    return 0 if name == "application/json" else 1 if name.endswith("+json") else 2


def _body_of(parameters: list[Schema]) -> Schema:
    """The body by the parameters of OpenAPI 2."""
    form = {item["name"]: item for item in parameters if item.get("in") == "formData"}
    whole: Schema = next((item.get("schema", {}) for item in parameters if item.get("in") == "body"), {})
    return {"type": "object", "properties": form} if form else whole


INSTANTS = frozenset({"queued", "started", "first_started", "ended", "period", "changed", "next_at"})
SCALARS = frozenset({"string", "integer", "number", "int64"})
TYPES_READ = {
    **dict.fromkeys(("rows", "parts", "columns"), frozenset({"array", "object"})),
    **dict.fromkeys(("exit_code", "duration", "attempt", "count"), frozenset({"integer", "number"})),
    **dict.fromkeys(("paused", "enabled"), SCALARS | {"boolean"}),
    **dict.fromkeys(
        ("id", "job", "name", "parent", "first", "state", "state_else", "next", "business_date", "note"),
        SCALARS,
    ),
    **dict.fromkeys(("key", "upstreams"), SCALARS | {"array"}),
    **dict.fromkeys(("schedule", "schedule_zone", "url"), frozenset({"string"})),
}
"""Key of a profile -> the types that it can read. Other keys read a value of any type as text."""
TYPES_OF_TIMES = {"iso": frozenset({"string"}), "compact": frozenset({"string", "integer", "int64"})}


STATES = ("state", "state_else")


def _types_sent(value: Any) -> frozenset[str]:
    """The JSON types of a value of a body; empty where that is known only when it is sent."""
    if value is None or (isinstance(value, str) and PLACEHOLDER.search(value)):
        return frozenset()
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        return frozenset({"number", "int64", "integer"} if float(value).is_integer() else {"number"})
    if isinstance(value, str):
        return frozenset({"string", "int64"})
    return frozenset({"array" if isinstance(value, list) else "object"})


def _query_of(path: str) -> dict[str, str]:
    return dict(parse_qsl(path.partition("?")[2], keep_blank_values=True))


def _types_read(call: object, name: str) -> frozenset[str]:
    """Empty for a key that reads any type."""
    if name in INSTANTS and isinstance(call, MappedFields):
        return TYPES_OF_TIMES.get(call.times, SCALARS)
    return TYPES_READ.get(name, frozenset())


@dataclass
class ProfileComparison:
    """The calls of a profile in a description, and what was compared. A fault: the profile's key, and its problem."""

    api: ApiDescription
    base: str = ""
    """Path of the profile's address."""
    always: frozenset[str] = frozenset()
    """Names of headers and parameters that every request sends, in lower case."""
    limit: int = 0
    """Rows of a page: {limit}."""
    times: str = "iso"
    """How {since} and {until} are written."""
    notes: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    faults: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    calls: int = 0
    names: int = 0
    undescribed: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    states: list[frozenset[str]] = field(default_factory=list)
    """The values of each field with a state, as `ApiDescription.values_of`."""

    def compare(self, key: tuple[str, ...], call: HttpCall) -> None:
        def sent_and_read(result: ProfileComparison, operation: DescribedOperation) -> None:
            result.sent(key, call, operation)
            result.read(key, call, operation.answer, is_single=False)

        self.compare_path((*key, "path"), call.method, call.path, sent_and_read)
        if isinstance(call, HttpListCall) and call.next_path:

            def next_read(result: ProfileComparison, operation: DescribedOperation) -> None:
                result._required((*key, "next_path"), _query_of(call.next_path), (), operation)
                result.read(key, call, operation.answer, False)

            self.compare_path((*key, "next_path"), "GET", call.next_path, next_read)

    def compare_run(self, runs: HttpRunsCall, copied: Collection[str]) -> None:
        """The single run. `copied`: the fields of it that a rerun sends again."""

        def read(result: ProfileComparison, operation: DescribedOperation) -> None:
            result._required(("runs", "one"), _query_of(runs.one), (), operation)
            result.read(("runs",), runs, operation.answer, is_single=True)
            for name in sorted(copied):
                path = ".".join(filter(None, (runs.one_row, name.removeprefix("run."))))
                result._schemas(operation.answer, ("verbs", "rerun"), path)

        self.compare_path(("runs", "one"), "GET", runs.one, read)

    def compare_hold(self, hold: HttpHoldCall, jobs: HttpJobsCall) -> None:
        """The note of a hold where it is read: in the list of jobs, and in the job alone."""
        key = ("hold", "note")

        def listed(result: ProfileComparison, operation: DescribedOperation) -> None:
            path = jobs.rows.removesuffix(".*")
            reached = result._schemas(operation.answer, key, path) if path else [operation.answer]
            row = result._row(reached, jobs, is_single=False)
            if row is not None:
                result._schemas(row, key, hold.note, types=TYPES_READ["note"])

        def alone(result: ProfileComparison, operation: DescribedOperation) -> None:
            result._required(("hold", "job_path"), _query_of(hold.job_path), (), operation)
            result._schemas(operation.answer, key, hold.note, types=TYPES_READ["note"])

        if hold.job_path:
            self.compare_path(("hold", "job_path"), "GET", hold.job_path, alone)
        if hold.note_in == "list" and self.api.operations_at(jobs.method, self.base + jobs.path):
            self.compare_path(("jobs", "path"), jobs.method, jobs.path, listed, is_counted=False)

    def compare_sign_in(self, session: SessionCall) -> None:
        """A login that the description has; many have none."""
        if self.api.operations_at(session.method, self.base + session.path):
            self.compare(("session",), session)
        else:
            self.undescribed.append((("session", "path"), session.path))

    def compare_path(
        self,
        key: tuple[str, ...],
        method: str,
        path: str,
        check: Callable[[ProfileComparison, DescribedOperation], object],
        is_counted: bool = True,
    ) -> None:
        """A path, and with `check` what is sent and read there. `is_counted`: False where the call has a comparison of
        its own."""
        self.calls += is_counted
        operations = self.api.operations_at(method, self.base + path)
        if not operations:
            self.faults.append((key, f"{method} {path} is not in the description. Fix: correct it"))
            return
        results = [
            ProfileComparison(self.api, always=self.always, limit=self.limit, times=self.times) for _ in operations
        ]
        for operation, result in zip(operations, results, strict=True):
            result._parameters(key, _query_of(path), operation)
            check(result, operation)
        best = min(results, key=lambda result: (len(result.faults), len(result.undescribed)))
        self.faults += best.faults
        self.names, self.undescribed = self.names + best.names, self.undescribed + best.undescribed
        self.states += best.states

    def sent(self, key: tuple[str, ...], call: HttpCall, operation: DescribedOperation) -> None:
        self._parameters((*key, "query"), call.query, operation)
        self._required(key, {*call.query, *_query_of(call.path)}, getattr(call, "headers", {}), operation)
        self._body(operation.body, call.body, (*key, "body"))

    def _required(
        self, key: tuple[str, ...], query: Collection[str], headers: Collection[str], operation: DescribedOperation
    ) -> None:
        sent = {"query": {*query}, "header": {name.lower() for name in headers}}
        for place, name in sorted(operation.required):
            name_sent = name.lower() if place == "header" else name
            if place in sent and name_sent not in sent[place] and name.lower() not in self.always:
                what = "parameter" if place == "query" else "header"
                fix = f"send it in {'query' if place == 'query' else 'headers'}"
                self.faults.append((key, f"{operation.path} requires the {what} {name!r}. Fix: {fix}"))

    def _parameters(self, key: tuple[str, ...], query: Mapping[str, Any], operation: DescribedOperation) -> None:
        known = {name.removesuffix("[]"): schema for name, schema in operation.query.items()}
        for name, value in query.items():
            self.names += 1
            schema = known.get(name.removesuffix("[]"))
            if schema is None:
                fix = f"use one of {', '.join(sorted(known)[:20])}" if known else "remove it: there are none"
                problem = f"no parameter of {operation.path}. Fix: {fix}"
            else:
                problem = self._problem_of(value, schema)
            self.faults += [((*key, name), problem)] if problem else []

    def _problem_of(self, value: Any, schema: Schema) -> str:
        """Why a parameter cannot have this value in a query; "" where it can."""
        if value == "{limit}" and self.limit > (maximum := self.api.maximum_of(schema)):
            return f"{value} is {self.limit}, and the maximum in the description is {maximum:g}. Fix: set limit to that"
        if value not in ("{since}", "{until}"):
            return ""
        described = self.api.types_of([schema])
        if self.times in TYPES_OF_TIMES:
            fits = not described or not described.isdisjoint(TYPES_OF_TIMES[self.times])
            fix = '"seconds" or "milliseconds"'
        else:
            fits, fix = described != {"string"} or not self.api.is_date(schema), '"iso"'
        types = " or ".join(sorted(described))
        problem = f'is written by times = "{self.times}", and the description has the type {types}'
        return "" if fits else f"{value} {problem}. Fix: set runs.times = {fix}"

    def _body(self, schema: Schema, value: Any, key: tuple[str, ...]) -> None:
        items = value.items() if isinstance(value, dict) else ()
        for name in sorted(self.api.required_of(schema) - set(value)) if isinstance(value, dict) else ():
            self.faults.append((key, f"the description requires the field {name!r}. Fix: send it"))
        for name, item in items:
            schemas = self._schemas(schema, (*key, name), name)
            is_list = isinstance(item, list)
            described, types = self.api.types_of(schemas or []), _types_sent(item)
            if described and types and described.isdisjoint(types):
                problem = f"has type {' or '.join(sorted(described))} in the description"
                self.faults.append(((*key, name), f"{problem}. Fix: send that instead of {json.dumps(item)[:60]}"))
                continue
            nested = self.api.items(schemas) if schemas and is_list else schemas
            for below in item if is_list else [item]:
                if nested and isinstance(below, dict):
                    self._body(nested[0], below, (*key, name))

    def read(self, key: tuple[str, ...], call: HttpCall, answer: Schema, is_single: bool) -> None:
        """The paths into the answer. `is_single`: it is that of runs.one."""
        row: Schema | None = answer
        outer: Schema | None = None
        place = "one_row" if is_single else "parts" if isinstance(call, HttpLogCall) else "rows"
        if isinstance(call, HttpListCall | HttpLogCall):
            path = str(getattr(call, place)).removesuffix(".*")
            first, is_nested, inner = path.partition(".*.")
            reached = self._schemas(answer, (*key, place), first, types=_types_read(call, "rows")) if path else [answer]
            if is_nested:
                outer = self._row(reached, call, is_single=False)
                reached = None if outer is None else self._schemas(outer, (*key, place), inner)
            row = self._row(reached, call, is_single or (place == "parts" and not path))
        for name in type(call).model_fields:
            path = getattr(call, name)
            if not is_field_path(type(call), name) or not path or (name in OF_THE_ANSWER and is_single):
                continue
            if name == "started" and isinstance(call, HttpRunsCall) and call.first_started and not is_single:
                continue  # the single run shows it
            if name == "next" and path == NEXT_HEADER and isinstance(call, HttpListCall):
                continue  # a header
            if name in OF_THE_ANSWER and name not in ("rows", "one_row", "parts"):
                self._schemas(answer, (*key, name), path, types=_types_read(call, name))
            elif name not in OF_THE_ANSWER:
                for part in BRACES.findall(path) or [path]:
                    schema = outer if part.startswith("*.") else row
                    if schema is not None and part != "*":  # that is the name of a row
                        types = SCALARS | {"boolean"} if part != path else _types_read(call, name)
                        schemas = self._schemas(
                            schema, (*key, name), part.removeprefix("*."), name in OF_SEVERAL_VALUES, types
                        )
                        values = self.api.values_of(schemas) if schemas and part == path else frozenset()
                        self._values(key, call, name, values)
                    elif name in STATES:
                        self.states.append(frozenset())

    def _values(self, key: tuple[str, ...], call: HttpCall, name: str, values: frozenset[str]) -> None:
        """`values`: those that the field `name` of a row may have; empty where they are open."""
        if name in STATES:
            self.states.append(values)
        elif name == "paused" and isinstance(call, HttpJobsCall) and values:
            for text in call.paused_if:
                if text not in values:
                    self._no_value((*key, "paused_if"), text, values)

    def compare_states(self, states: Collection[str]) -> None:
        """The names in `states`, where the description names the values of each field with a state."""
        values = frozenset().union(*self.states) if all(self.states) else frozenset()
        for name in states if values else ():
            if all(state_of(value, {name: RunState.RUNNING}) is RunState.UNKNOWN for value in values):
                self._no_value(("states", name), name, values)
        named = dict.fromkeys(states, RunState.RUNNING)
        if unnamed := sorted(value for value in values if state_of(value, named) is RunState.UNKNOWN):
            text = f"the description has these values too, which are UNKNOWN until named: {', '.join(unnamed)}"
            self.notes.append((("states",), text))

    def _no_value(self, key: tuple[str, ...], text: str, values: frozenset[str]) -> None:
        fix = f"use one of {', '.join(sorted(values)[:20])}"
        self.faults.append((key, f"{text!r} is not a value of the field in the description. Fix: {fix}"))

    def _row(self, reached: list[Schema] | None, call: HttpListCall | HttpLogCall, is_single: bool) -> Schema | None:
        """None where fields cannot be compared: rows are lists of values, or their list is wrong itself."""
        if not reached or (isinstance(call, HttpListCall) and call.columns):
            return None
        if is_single:
            return reached[0]
        if isinstance(call, HttpListCall) and call.rows.endswith(".*"):
            return reached[0].get("additionalProperties") or {}
        try:
            items = self.api.items(reached)
        except Undescribed:
            return {}
        return items[0] if items else reached[0]  # some descriptions of a list name its rows alone

    def _schemas(
        self,
        schema: Schema,
        key: tuple[str, ...],
        path: str,
        enters_lists: bool = False,
        types: frozenset[str] = frozenset(),
    ) -> list[Schema] | None:
        """None where the description leaves the field open. `types`: those that the profile can read there."""
        self.names += 1
        try:
            schemas = self.api.schemas_at(schema, path, enters_lists)
        except Undescribed:
            self.undescribed.append((key, path))
            return None
        described = self.api.types_of(schemas)
        if not schemas:
            self.faults.append((key, f"{path!r} is not in the description. Fix: correct it"))
        elif types and described and described.isdisjoint(types):
            fix = f"name a field of type {' or '.join(sorted(types))}"
            if key[-1] in INSTANTS and not described.isdisjoint({"integer", "number", "int64"}):
                fix = 'set times = "seconds" or "milliseconds", or name another field'
            self.faults.append(
                (key, f"{path!r} has type {' or '.join(sorted(described))} in the description. Fix: {fix}")
            )
        return schemas


def compare(
    profile: HttpMapping, url: str, text: str, session: SessionCall | None = None, always: Collection[str] = ()
) -> ApiComparison:
    """Every path, parameter and field of a profile that its API's description does not have, each required one that
    the profile does not send, and each field of a type that it cannot read. `always`: names of headers and parameters
    that every request sends. Calls with a `server` are compared by the description of that server, and only they.
    Raises ValueError."""
    runs, log = profile.runs, profile.log
    calls: dict[tuple[str, ...], HttpCall | None] = {
        ("jobs",): profile.jobs, ("runs",): runs, ("runs", "open"): runs.open, ("runs", "of_job"): runs.of_job,
        ("runs", "queue"): runs.queue,
        ("parts",): profile.parts, ("parts", "children"): profile.parts.children if profile.parts else None,
        ("log",): log, ("log", "files"): log.files if log else None,
        ("account",): profile.account, ("liveness",): profile.liveness, ("hold",): profile.hold,
        ("hold", "pause"): profile.hold.pause if profile.hold else None,
        ("hold", "resume"): profile.hold.resume if profile.hold else None,
        **{("verbs", name): getattr(profile.verbs, name) for name in type(profile.verbs).model_fields},
    }  # fmt: skip
    try:
        api = ApiDescription(text)
        own = {call.server for call in calls.values() if call is not None} & api.origins
        present = {key: call for key, call in calls.items() if call is not None and call.server in (own or {""})}
        sent = frozenset(name.lower() for name in always)
        base = urlsplit(url).path.rstrip("/")
        result = ProfileComparison(api, base, SENT_BY_HTTP | sent, profile.limit, runs.times)
        for key, call in present.items():
            result.compare(key, call)
        if runs.one and ("runs",) in present:
            result.compare_run(runs, profile.verbs.rerun.copied if profile.verbs.rerun else ())
        if profile.hold is not None and ("hold",) in present:
            result.compare_hold(profile.hold, profile.jobs)
        if session is not None and not own:
            result.compare_sign_in(session)
        if not own:
            result.compare_states(profile.states)
    except (AttributeError, KeyError, TypeError, re.error) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"is not valid OpenAPI or discovery format: {reason}. Fix: validate the file") from None
    undescribed = [*dict.fromkeys(result.undescribed)]
    return ApiComparison([*dict.fromkeys(result.faults)], result.calls, result.names, undescribed, result.notes)
