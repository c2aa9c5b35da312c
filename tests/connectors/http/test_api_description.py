"""A profile compared with descriptions of its API in each format: what is not in them has its key, and a fix."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml

from connectors.http.api_description import compare
from connectors.http.options import HttpMapping
from connectors.http.sign_in import SessionCall
from connectors.sdk.field_mapping import PROFILE_PLACES
from tests.rows import each_row

PROFILE = """
[jobs]
path = "/v1/{option.project}/jobs"
query = { per_page = "{limit}", page = "{page}" }
rows = "items"
id = "name"
enabled = "settings.on"

[runs]
path = "/v1/{option.project}/jobs/-/runs"
query = { per_page = "{limit}", after = "{cursor}" }
rows = "items"
next = "next"
one = "/v1/{id}"
id = "name"
job = "job"
state = "steps[0].state"
message = "labels.why"
key = "labels.key"

[states]
ok = "succeeded"
"retry_*" = "running"

[log]
path = "/v1/{id}/log"
parts = "lines"
text = "text"

[verbs.start]
path = "/v1/{job}:run"
body = { labels = { key = "{key}" }, force = true }
"""
STEPS = {"type": "array", "items": {"allOf": [{"$ref": "STATE"}, {"properties": {"n": {"type": "integer"}}}]}}
SCHEMAS: dict[str, Any] = {
    "State": {"properties": {"state": {"type": "string", "enum": ["OK", "RETRY_OF_A", "RETRY_OF_B", "BAD"]}}},
    "Job": {"properties": {"name": {"type": "string"}, "settings": {"properties": {
        "on": {"type": "boolean"}, "mode": {"enum": ["ON", "OFF"]}
    }}}},
    "Run": {
        "properties": {
            "name": {"type": "string"}, "job": {"type": "string"}, "steps": STEPS,
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    },
    "Jobs": {"properties": {"items": {"type": "array", "items": {"$ref": "JOB"}}}},
    "Runs": {"properties": {"items": {"type": "array", "items": {"$ref": "RUN"}}, "next": {"type": "string"}}},
    "Start": {"properties": {"labels": {"type": "object"}, "force": {"type": "boolean"}}},
    "Log": {"properties": {"lines": {"type": "array", "items": {"properties": {"text": {"type": "string"}}}}}},
}  # fmt: skip
CALLS = [
    ("GET", "projects/{p}/jobs", ["per_page", "page"], "", "Jobs"),
    ("GET", "projects/{p}/jobs/{j}", [], "", "Job"),
    ("GET", "projects/{p}/jobs/{j}/runs", ["per_page", "after"], "", "Runs"),
    ("GET", "projects/{p}/jobs/{j}/runs/{r}", [], "", "Run"),
    ("GET", "projects/{p}/jobs/{j}/runs/{r}/log", [], "", "Log"),
    ("POST", "projects/{p}/jobs/{j}:run", [], "Start", ""),
]


def schemas(prefix: str) -> dict[str, Any]:
    text = json.dumps(SCHEMAS)
    for name in ("State", "Job", "Run"):
        text = text.replace(f'"{name.upper()}"', f'"{prefix}{name}"')
    return dict(json.loads(text))


def openapi(version: int) -> str:
    """As YAML of version 2, or JSON of version 3."""
    prefix = "#/definitions/" if version == 2 else "#/components/schemas/"
    paths: dict[str, Any] = {}
    for method, path, query, sent, answer in CALLS:
        parameters = [{"name": name, "in": "query"} for name in query]
        operation: dict[str, Any] = {"parameters": parameters}
        schema, body = {"$ref": prefix + answer}, {"schema": {"$ref": prefix + sent}}
        if version == 2:
            operation["parameters"] += [{"name": "body", "in": "body", **body}] if sent else []
            operation["responses"] = {200: {"schema": schema}} if answer else {}
        else:
            operation |= {"requestBody": {"content": {"application/json": body}}} if sent else {}
            operation["responses"] = {"200": {"content": {"application/json": {"schema": schema}}}} if answer else {}
        paths.setdefault(f"/{path}", {})[method.lower()] = operation
    if version == 2:
        document = {"swagger": "2.0", "basePath": "/v1", "paths": paths, "definitions": schemas(prefix)}
        return str(yaml.safe_dump(document))
    servers = [{"url": "https://api.example.com/v1"}]
    return json.dumps({"servers": servers, "paths": paths, "components": {"schemas": schemas(prefix)}})


def discovery() -> str:
    methods = {}
    for number, (method, path, query, sent, answer) in enumerate(CALLS):
        methods[str(number)] = {
            "httpMethod": method, "path": "v1/{+name}", "flatPath": f"v1/{path}",
            "parameters": {"name": {"location": "path"}, **{name: {"location": "query"} for name in query}},
            **({"request": {"$ref": sent}} if sent else {}), **({"response": {"$ref": answer}} if answer else {}),
        }  # fmt: skip
    resources = {"projects": {"resources": {"jobs": {"methods": methods}}}}
    return json.dumps({"kind": "discovery#restDescription", "resources": resources, "schemas": schemas("")})


DESCRIPTIONS = {"openapi 2": openapi(2), "openapi 3": openapi(3), "discovery": discovery()}


def profile(old: str = "", new: str = "") -> HttpMapping:
    assert old in PROFILE
    document = tomllib.loads(PROFILE.replace(old, new, 1) if old else PROFILE)
    return HttpMapping.model_validate(document, context={PROFILE_PLACES: {"option.project"}})


def compared(description: str, old: str = "", new: str = "") -> list[tuple[str, str]]:
    result = compare(profile(old, new), "https://api.example.com", description)
    assert (5, 1) == (result.calls, len(result.undescribed)) or old, result
    return [(".".join(key), problem) for key, problem in result.faults]


@pytest.mark.parametrize("format_name", DESCRIPTIONS)
def test_a_profile_that_fits_its_description_has_no_fault(format_name: str) -> None:
    """A name covers several segments; the fields of labels are open, one list combines schemas."""
    assert [] == compared(DESCRIPTIONS[format_name])


@each_row("format_name", DESCRIPTIONS)
@each_row(
    "old, new, key, problem",
    [
        ("/jobs/-/runs", "/jobs/-/run", "runs.path", "GET /v1/{option.project}/jobs/-/run is not in the description"),
        ("/{id}/log", "/{id}/logs", "log.path", "GET /v1/{id}/logs is not in the description"),
        ("after =", "since =", "runs.query.since", "Fix: use one of after, per_page"),
        ("force =", "forced =", "verbs.start.body.forced", "'forced' is not in the description"),
        ("settings.on", "settings.off", "jobs.enabled", "'settings.off' is not in the description"),
        ("steps[0].state", "steps[0].status", "runs.state", "'steps[0].status' is not in the description"),
        ('next = "next"', 'next = "following"', "runs.next", "'following' is not in the description"),
        ('rows = "items"', 'rows = "list"', "jobs.rows", "'list' is not in the description"),
        ('one = "/v1/{id}"', 'one = "/v1/runs/{id}"', "runs.one", "GET /v1/runs/{id} is not in the description"),
        ('text = "text"', 'text = "line"', "log.text", "'line' is not in the description"),
        # a value of another type, or that the field never has
        ("force = true", 'force = "yes"', "verbs.start.body.force", "has type boolean in the description. Fix: send"),
        ("force = true", "force = 1", "verbs.start.body.force", "has type boolean in the description. Fix: send"),
        ('labels = { key = "{key}" }', 'labels = ["{key}"]', "verbs.start.body.labels", "has type object in the descr"),
        ('ok = "succeeded"', 'ok = "succeeded"\nbed = "failed"', "states.bed", "Fix: use one of BAD, OK, RETRY_OF_A"),
        ('"retry_*"', '"rerun_*"', "states.rerun_*", "'rerun_*' is not a value of the field in the description"),
        ("force = true", "force = inf", "verbs.start.body.force", "has type boolean in the description. Fix: send"),
        *(
            (
                'enabled = "settings.on"',
                f'paused = "settings.mode"\npaused_if = ["{text}"]',
                "jobs.paused_if",
                "OFF, ON",
            )
            for text in ("OF*", "off")
        ),
    ],
)
def test_what_is_not_in_the_description_is_named(format_name: str, old: str, new: str, key: str, problem: str) -> None:
    faults = dict(compared(DESCRIPTIONS[format_name], old, new))
    assert key in faults
    assert problem in faults[key]


@each_row("format_name", DESCRIPTIONS)
@each_row(
    "old, new, key",
    [
        ('next = "next"', 'next = "paging.next"', "runs.next"),
        ('enabled = "settings.on"', 'enabled = "setings.on"', "jobs.enabled"),
        ('message = "labels.why"', 'message = "reasons.text"', "runs.message"),
    ],
)
def test_a_field_below_one_that_is_not_described_is_named_once(format_name: str, old: str, new: str, key: str) -> None:
    """It counted as not described, with no word about which; others were printed for each answer that has them."""
    assert [key] == [named for named, _ in compared(DESCRIPTIONS[format_name], old, new)]
    [named] = [
        named for named, _ in compared(DESCRIPTIONS[format_name], 'state = "steps[0].state"', 'state = "status"')
    ]
    assert "runs.state" == named


@pytest.mark.parametrize("name, faults", [("after", []), ("since", ["runs.next_path.since"])])
def test_the_query_of_a_path_of_later_pages_is_compared_by_its_parameters(name: str, faults: list[str]) -> None:
    old = 'per_page = "{limit}", after = "{cursor}" }\nrows'
    path = f"/v1/{{option.project}}/jobs/-/runs?per_page=9&{name}={{cursor}}"
    new = f'per_page = "{{limit}}" }}\nnext_path = "{path}"\nrows'
    assert faults == [key for key, _ in compared(openapi(3), old, new)]


def test_a_header_that_names_the_next_page_is_no_field() -> None:
    assert [] == compared(openapi(3), 'next = "next"', 'next = "Link"\nnext_query = "after"')


@pytest.mark.parametrize("value, faults", [("settings.mode", []), ("settings.mood", ["liveness.value"])])
def test_the_value_of_liveness_is_a_field_of_its_answer(value: str, faults: list[str]) -> None:
    call = f'path = "/v1/projects/p/jobs/j"\nvalue = "{value}"\nstarts = ["ON"]\nfix = "switch it on"'
    new = f'[liveness]\n{call}\nstopped = {{ OFF = "it is switched off" }}\n\n[states]'
    assert faults == [key for key, _ in compared(openapi(3), "[states]", new)]


@pytest.mark.parametrize("path, faults", [("/v1/projects/p/jobs/j:run", ["session.body.user"]), ("/login", [])])
def test_a_login_is_compared_where_the_description_has_it(path: str, faults: list[str]) -> None:
    body = {"user": "{username}", "labels": {"password": "{password}"}}
    session = SessionCall.model_validate({"path": path, "body": body, "token": "session.token"})
    result = compare(profile("", ""), "https://api.example.com", openapi(3), session)
    assert faults == [".".join(key) for key, _ in result.faults]


@each_row("text", ["", "[1]", "{}", '{"paths": {}}', "a: [", '{"paths": {', '{"paths": {"/a": []}}'])
def test_a_text_that_describes_no_api_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match=r"(has no operation|is neither JSON nor YAML|is not valid OpenAPI).*Fix: "):
        compared(text)


def described(labels: Any) -> str:
    document = json.loads(DESCRIPTIONS["openapi 3"])
    document["components"]["schemas"]["Run"]["properties"]["labels"] = labels
    return json.dumps(document)


OBJECT = {"type": "object"}
REF = {"$ref": "#/components/schemas/Run/properties/labels"}


@each_row(
    "labels, is_fault",
    [
        ({"type": ["object", "null"]}, False),
        ({"anyOf": [OBJECT, {"type": "null"}]}, False),
        ({"anyOf": [REF, REF, OBJECT]}, False),
        ({"type": ["string", "null"]}, True),
    ],
)
def test_fields_of_an_object_without_properties_are_no_faults(labels: Any, is_fault: bool) -> None:
    """Its type may be a list, and its schema may name itself, twice."""
    result = compare(profile(), "https://api.example.com", described(labels))
    assert is_fault == (("runs", "message") in dict(result.faults))


def test_a_path_may_be_a_reference_and_json_counts_among_the_media_types() -> None:
    document = json.loads(DESCRIPTIONS["openapi 3"])
    for path, item in document["paths"].items():
        for content in (response["content"] for method in item.values() for response in method["responses"].values()):
            content.update(
                {"text/html": {"schema": {"type": "string"}}, "application/json": content.pop("application/json")}
            )
        document["components"][path.replace("/", ".")] = item
        document["paths"][path] = {"$ref": f"#/components/{path.replace('/', '.')}"}
    assert [] == compared(json.dumps(document))
    document["paths"]["/elsewhere"] = {"$ref": "paths/elsewhere.yaml"}
    with pytest.raises(ValueError, match=r"/elsewhere refers to paths/elsewhere.yaml.* Fix: bundle"):
        compared(json.dumps(document))


def test_a_field_of_yaml_may_be_named_on() -> None:
    """Which YAML 1.1 reads as true where it is not quoted."""
    text = DESCRIPTIONS["openapi 2"]
    assert "'on':" in text
    assert [] == compared(text.replace("'on':", "on:"))


NESTED = """
[jobs]
path = "/jobs"
rows = "jobs.*"
paging = "none"
id = "*"

[runs]
path = "/runs"
rows = "jobs.*.builds"
only_with = "*.buildable"
paging = "none"
id = "{*.name}/{number}"
job = "*.name"
state = "result"

[states]
ok = "succeeded"
"""
BUILDS = {"type": "array", "items": {"properties": {"number": {"type": "integer"}, "result": {"type": "string"}}}}
JOB = {"properties": {"name": {"type": "string"}, "buildable": {"type": "boolean"}, "builds": BUILDS}}


@each_row(
    "old, new, key",
    [
        ("", "", ""),
        ("jobs.*.builds", "jobs.*.bilds", "runs.rows"),
        ("jobs.*.builds", "jbs.*.builds", "runs.rows"),
        ('job = "*.name"', 'job = "*.number"', "runs.job"),
        ('state = "result"', 'state = "buildable"', "runs.state"),
        ("{*.name}/{number}", "{*.name}/{nr}", "runs.id"),
    ],
)
def test_rows_of_every_row_are_compared_with_the_inner_and_the_outer_list(old: str, new: str, key: str) -> None:
    answers = {
        "/jobs": {"properties": {"jobs": {"additionalProperties": JOB}}},
        "/runs": {"properties": {"jobs": {"type": "array", "items": JOB}}},
    }
    paths = {
        path: {"get": {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}}
        for path, schema in answers.items()
    }
    mapping = HttpMapping.model_validate(tomllib.loads(NESTED.replace(old, new)))
    result = compare(mapping, "https://api.example.com", json.dumps({"paths": paths}))
    assert (key.split(), []) == ([".".join(place) for place, _ in result.faults], result.undescribed)


def test_fields_of_the_items_of_a_list_and_of_the_run_alone_are_described() -> None:
    """They were faults of a profile that fits its API."""
    item = {"type": "object", "properties": {"job": {"type": "string"}}}
    row = {"name": {"type": "string"}, "state": {"type": "string"}, "tries": {"type": "integer"}, "began": {}}
    listed = {"type": "object", "properties": {**row, "needs": {"type": "array", "items": item}}}
    single = {"properties": {**row, "attempts": {"type": "array", "items": {"properties": {"began": {}}}}}}

    def answering(schema: Any) -> dict[str, Any]:
        return {"get": {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}}

    rows = {"type": "array", "items": listed}
    paths = {"/jobs": answering(rows), "/runs": answering(rows), "/runs/{id}": answering(single)}
    mapping = {
        "jobs": {"path": "/jobs", "id": "name", "upstreams": "needs.job", "paging": "none"},
        "runs": {
            "path": "/runs", "one": "/runs/{id}", "paging": "none", "id": "name", "job": "name", "state": "state",
            "attempt": "tries", "first_started": "began", "started": "attempts[-1].began",
        },
        "states": {"ok": "succeeded"},
    }  # fmt: skip
    for path, faults in (("needs.job", 0), ("needs[*].job", 0), ("needs.jobs", 1)):
        jobs = {**mapping["jobs"], "upstreams": path}
        result = compare(HttpMapping.model_validate({**mapping, "jobs": jobs}), "", json.dumps({"paths": paths}))
        assert faults == len(result.faults), result.faults
    runs = {**mapping["runs"], "started": "attempts[-1].start"}
    result = compare(HttpMapping.model_validate({**mapping, "runs": runs}), "", json.dumps({"paths": paths}))
    assert [("runs", "started")] == [key for key, _ in result.faults]


PAGED, BY_SERVER = 'query = { per_page = "{limit}", ', 'paging = "server"\nquery = { '
REQUIRED = {"per_page": "query", "X-Tenant": "header", "X-Any": "header", "User-Agent": "header"}


@each_row("format_name", DESCRIPTIONS)
@each_row(
    "old, new, always, faults",
    [
        ("", "", ["x-tenant"], []),
        ("", "", [], ["jobs", "runs"]),
        (f'runs"\n{PAGED}after', f'runs"\n{BY_SERVER}after', ["X-Tenant"], ["runs"]),
        (f'runs"\n{PAGED}after', f'runs?per_page=9"\n{BY_SERVER}after', ["X-Tenant"], []),
    ],
)  # fmt: skip
def test_each_required_parameter_and_header_is_sent(
    format_name: str, old: str, new: str, always: list[str], faults: list[str]
) -> None:
    """Of the lists of jobs and of runs, whose query names one and whose sign-in may send the other."""
    import yaml

    text = DESCRIPTIONS[format_name]
    document = yaml.safe_load(text.replace("'on':", "'on' :"))
    if format_name == "discovery":
        methods = document["resources"]["projects"]["resources"]["jobs"]["methods"]
        for number in "02":
            methods[number]["parameters"] |= {
                name: {"location": place, "required": name != "X-Any"} for name, place in REQUIRED.items()
            }
    else:
        for path in ("/projects/{p}/jobs", "/projects/{p}/jobs/{j}/runs"):
            parameters = document["paths"][path]["get"]["parameters"]
            parameters[:] = [item for item in parameters if item["name"] != "per_page"]
            parameters += [{"name": name, "in": place, "required": name != "X-Any"} for name, place in REQUIRED.items()]
    written = json.dumps(document) if text.startswith("{") else yaml.safe_dump(document)
    result = compare(profile(old, new), "https://api.example.com", written, always=always)
    assert faults == [".".join(key) for key, _ in result.faults], result.faults
    assert all("requires the" in problem and "Fix: send it in" in problem for _, problem in result.faults)


def assert_named(schema: str, field_type: Any, replaced: str, place: str, problem: str) -> None:
    """With a field of this type named at `place`, that is the only fault; none without a `problem`."""
    document = json.loads(DESCRIPTIONS["openapi 3"])
    document["components"]["schemas"][schema]["properties"]["extra"] = field_type
    changed = profile(replaced, f'{place.partition(".")[2]} = "extra"')
    faults = compare(changed, "https://api.example.com", json.dumps(document)).faults
    assert [place] * bool(problem) == [".".join(key) for key, _ in faults]
    assert problem in "".join(text for _, text in faults)


@each_row(
    "field_type, key, problem",
    [
        ({"type": "string", "format": "date-time"}, "started", ""),
        ({"type": "integer"}, "started", 'set times = "seconds" or "milliseconds"'),
        ({"type": "string", "format": "int64"}, "started", "has type int64 in the description"),
        ({"type": ["integer", "null"]}, "message", ""),
        (
            {"type": "array", "items": {}},
            "state_else",
            "Fix: name a field of type int64 or integer or number or string",
        ),
        ({"type": "boolean"}, "business_date", "has type boolean"),
        ({"type": "string"}, "attempt", "has type string"),
        ({"type": "string", "format": "int64"}, "exit_code", "has type int64"),
        ({"type": "string"}, "exit_code", "has type string in the description. Fix: name a field of type integer"),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, "url", ""),
        ({}, "ended", ""),
    ],
)
def test_a_field_of_a_type_that_a_profile_cannot_read_is_named(field_type: Any, key: str, problem: str) -> None:
    assert_named("Run", field_type, 'message = "labels.why"', f"runs.{key}", problem)


@each_row(
    "field_type, key, problem",
    [
        ({"type": "string"}, "schedule", ""),
        (
            {"type": "integer"},
            "schedule",
            "'extra' has type integer in the description. Fix: name a field of type string",
        ),
        ({"type": "integer"}, "schedule_zone", "Fix: name a field of type string"),
        ({"type": "object"}, "url", "Fix: name a field of type string"),
        ({"type": "object"}, "parent", "Fix: name a field of type int"),
        ({"type": "array", "items": {"type": "string"}}, "upstreams", ""),
        ({"type": "object"}, "upstreams", "Fix: name a field of type array or int"),
    ],
)
def test_a_field_of_a_job_has_a_type_that_a_profile_reads(field_type: Any, key: str, problem: str) -> None:
    assert_named("Job", field_type, 'enabled = "settings.on"', f"jobs.{key}", problem)


def test_a_text_is_no_list_of_rows_and_a_required_field_of_a_body_is_sent() -> None:
    document = json.loads(DESCRIPTIONS["openapi 3"])
    document["components"]["schemas"]["Jobs"]["properties"]["items"] = {"type": "string"}
    document["components"]["schemas"]["Cause"] = {"type": "object", "required": ["force", "cause"]}
    document["components"]["schemas"]["Start"]["allOf"] = [{"$ref": "#/components/schemas/Cause"}]
    faults = dict(compare(profile(), "https://api.example.com", json.dumps(document)).faults)
    assert "has type string in the description" in faults["jobs", "rows"]
    assert "the description requires the field 'cause'" in faults["verbs", "start", "body"]


def test_a_field_that_the_description_leaves_open_is_named() -> None:
    result = compare(profile(), "https://api.example.com", DESCRIPTIONS["openapi 3"])
    assert [(("verbs", "start", "body", "labels", "key"), "key")] == result.undescribed


def described_query(format_name: str, name: str, schema: dict[str, Any]) -> str:
    """A description in which a parameter of the list of runs has this schema."""
    document = json.loads(DESCRIPTIONS[format_name]) if format_name != "openapi 2" else yaml.safe_load(openapi(2))
    if format_name == "discovery":
        method = document["resources"]["projects"]["resources"]["jobs"]["methods"]["2"]
        numbers = {key: str(value) for key, value in schema.items()}
        method["parameters"][name] = {"location": "query", **numbers}
        return json.dumps(document)
    parameter = {"name": name, "in": "query", **({"schema": schema} if format_name == "openapi 3" else schema)}
    listed = document["paths"]["/projects/{p}/jobs/{j}/runs"]["get"]["parameters"]
    listed[:] = [*(item for item in listed if item["name"] != name), parameter]
    return json.dumps(document) if format_name == "openapi 3" else str(yaml.safe_dump(document))


@each_row("format_name", DESCRIPTIONS)
@each_row(
    "times, schema, problem",
    [
        ("iso", {"type": "string", "format": "date-time"}, ""),
        ("iso", {"type": "string"}, ""),
        (
            "iso",
            {"type": "integer"},
            'times = "iso", and the description has the type integer. Fix: set runs.times = "s',
        ),
        ("iso", {"type": "string", "format": "int64"}, "has the type int64"),
        ("compact", {"type": "number"}, "has the type number"),
        ("compact", {"type": "string"}, ""),
        ("seconds", {"type": "integer"}, ""),
        ("seconds", {"type": "string"}, ""),
        ("milliseconds", {"type": "string", "format": "date-time"}, 'type string. Fix: set runs.times = "iso"'),
        ("seconds", {}, ""),
        ("iso", {}, ""),
    ],
)
def test_an_instant_is_sent_as_its_parameter_is_written(
    format_name: str, times: str, schema: dict[str, Any], problem: str
) -> None:
    new = f'query = {{ after = "{{cursor}}", per_page = "{{limit}}", begun = "{{since}}" }}\ntimes = "{times}"'
    old = 'query = { per_page = "{limit}", after = "{cursor}" }'
    faults = compared(described_query(format_name, "begun", schema), old, new)
    assert ["runs.query.begun"] * bool(problem) == [key for key, _ in faults]
    assert problem in str(faults)


@each_row("format_name", DESCRIPTIONS)
@each_row("maximum, is_fault", [(100, False), (99, True), (None, False)])
def test_the_rows_of_a_page_are_not_above_the_maximum(format_name: str, maximum: int | None, is_fault: bool) -> None:
    schema = {"type": "integer", **({"maximum": maximum} if maximum else {})}
    faults = compare(profile(), "https://api.example.com", described_query(format_name, "per_page", schema)).faults
    problem = "{limit} is 100, and the maximum in the description is 99. Fix: set limit to that"
    assert [(("runs", "query", "per_page"), problem)] * is_fault == faults


@pytest.mark.parametrize("format_name", DESCRIPTIONS)
def test_states_that_the_description_has_and_the_profile_does_not_are_a_note(format_name: str) -> None:
    """A run in such a state was UNKNOWN when it happened first."""
    text = "the description has these values too, which are UNKNOWN until named: BAD"
    assert [(("states",), text)] == compare(profile(), "https://api.example.com", DESCRIPTIONS[format_name]).notes
    named = profile('ok = "succeeded"', 'ok = "succeeded"\nbad = "failed"')
    assert [] == compare(named, "https://api.example.com", DESCRIPTIONS[format_name]).notes


@pytest.mark.parametrize("sent, faults", [("", ["runs.next_path", "runs.one"]), ("?v=1", [])])
def test_a_single_run_and_a_later_page_are_read_with_what_they_require(sent: str, faults: list[str]) -> None:
    document = json.loads(DESCRIPTIONS["openapi 3"])
    required = {"name": "v", "in": "query", "required": True}
    document["paths"]["/projects/{p}/jobs/{j}/runs/{r}"]["get"]["parameters"].append(required)
    document["paths"]["/pages/{c}"] = {"get": {"parameters": [required], "responses": {}}}
    paged = f'query = {{ per_page = "{{limit}}" }}\nnext_path = "/v1/pages/{{cursor}}{sent}"\npaging = "server"\nrows'
    text = PROFILE.replace('query = { per_page = "{limit}", after = "{cursor}" }\nrows', paged)
    mapping = tomllib.loads(text.replace('one = "/v1/{id}"', f'one = "/v1/{{id}}{sent}"'))
    profile = HttpMapping.model_validate(mapping, context={PROFILE_PLACES: {"option.project"}})
    result = compare(profile, "https://api.example.com", json.dumps(document))
    assert faults == [".".join(key) for key, text in result.faults if "requires" in text]
