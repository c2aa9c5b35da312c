"""The HTTP API for reading: the documents of the commands, who may read them, and what an ETag saves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import validate

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from connectors.sdk.transport.http_server import ServerReply
from console.config.sections import EndpointSettings
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.service import Timeliness
from console.engine import read_api
from console.engine.api.documents import json_text, service_document
from console.engine.endpoints import API, Endpoint, EndpointWorker
from console.engine.read_api import ReadApi
from console.store.access import write_permissions
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.engine.bench import Bench
from tests.engine.endpoints.test_endpoints import TOKEN, listening
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS, free_port

READER = "reader-0123456789abcdef"


nothing = Endpoint(frozenset({"GET", "POST"}), lambda bodies, _: [ServerReply.of_text(200, "")] * len(bodies))


@pytest.fixture
def api(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A client with a reader's token, of an estate in which a job has failed."""
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("READER", READER)
    for number in range(3):
        at = datetime.now(UTC) - timedelta(minutes=30 - number)
        bench.scheduler.attempt("extract", f"x{number}", RunState.FAILED, at, message="exit 1", period_key=f"p{number}")
    bench.turn()
    settings = EndpointSettings(
        listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="TOKEN"), readers={"wiki": SecretRef(env="READER")}
    )
    worker = EndpointWorker(settings, {"/metrics": nothing}, SecretStore(), ReadApi(bench.url).endpoints)
    with (
        listening(worker) as url,
        httpx.Client(base_url=f"{url}{API}", headers=bearer(READER), timeout=HANGS_SECONDS) as client,
    ):
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def printed(bench: Bench, *line: str) -> Any:
    """What the command prints with --json."""
    return json.loads(headway(bench.url, *line, "--json").out)


@pytest.mark.parametrize(
    "path, line",
    [
        ("/services", ("service",)),
        ("/incidents", ("incident", "list")),
        ("/incidents?closed=true", ("incident", "list", "--all")),
        ("/jobs?sort=name", ("job", "list")),
        ("/jobs?filter=state:failed%20-load", ("job", "list", "state:failed", "!load")),
        ("/runs?job=extract", ("run", "extract")),
        ("/runs?filter=~xtra", ("run", "~xtra")),
        ("/lineage?job=extract&down=1", ("lineage", "extract", "--down", "1")),
    ],
)
def test_the_api_returns_what_the_command_prints(
    api: httpx.Client, bench: Bench, path: str, line: tuple[str, ...]
) -> None:
    reply = api.get(path)
    assert (200, "application/json") == (reply.status_code, reply.headers["Content-Type"])
    assert printed(bench, *line) == reply.json()
    assert reply.json()


def test_a_reader_reads_the_api_alone_and_needs_the_role_view(api: httpx.Client, bench: Bench) -> None:
    reader = bearer(READER)
    base = str(api.base_url).removesuffix(f"{API}/")
    assert 200 == api.get("/services", headers=reader).status_code
    assert (200, 403) == tuple(httpx.get(f"{base}/metrics", headers=bearer(t)).status_code for t in (TOKEN, READER))
    limited = PermissionRule("wiki", Role.ADMIN, systems=("other",))
    permit(bench, limited)
    refused = api.get("/services", headers=reader)
    assert 403 == refused.status_code
    assert "needs role view on the whole estate; you (wiki)" in refused.json()["error"]
    assert 'who = ["wiki"], role = "view"' in refused.json()["fix"]
    permit(bench, limited, PermissionRule("wiki", Role.VIEW))
    assert 200 == api.get("/services", headers=reader).status_code


def test_the_token_of_monitors_reads_nothing(api: httpx.Client) -> None:
    """Prometheus, Alertmanager, Airflow and dbt have it, in files that others read."""
    for path in ("/services", "/jobs", "/openapi.json", "/nothing"):
        refused = api.get(path, headers=bearer(TOKEN))
        assert (403, "the token of [endpoints] is only for /metrics") == (refused.status_code, refused.json()["error"])
        assert "[endpoints.readers]" in refused.json()["fix"]


def permit(bench: Bench, *rules: PermissionRule) -> None:
    with bench.store.write(bench.fence) as session:
        write_permissions(session, rules, ActingRules())


def test_without_a_token_nobody_reads_not_even_on_this_machine(bench: Bench) -> None:
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}")
    worker = EndpointWorker(settings, {"/metrics": nothing}, SecretStore(), ReadApi(bench.url).endpoints)
    with listening(worker) as url:
        assert 200 == httpx.get(f"{url}/metrics").status_code
        refused = httpx.get(f"{url}{API}/services")
        assert (401, "Bearer") == (refused.status_code, refused.headers["WWW-Authenticate"])
        assert "set [endpoints] readers or operators" in refused.json()["fix"]
        assert 401 == httpx.get(f"{url}{API}/openapi.json").status_code


def test_a_client_that_has_the_reply_gets_304(api: httpx.Client, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api.get("/incidents")
    assert "private, no-cache" == first.headers["Cache-Control"]
    known = {"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
    second = api.get("/incidents", headers=known)
    assert (304, b"", first.headers["ETag"]) == (second.status_code, second.content, second.headers["ETag"])
    assert 200 == api.get("/jobs", headers=known).status_code
    bench.scheduler.attempt("load", "y", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    changed = api.get("/incidents", headers=known)
    assert 200 == changed.status_code
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_a_reply_is_repeated_without_queries_until_a_commit_or_for_two_seconds(
    api: httpx.Client, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ReadApi(bench.url)
    calls = list[str]()
    resource = read_api.RESOURCES[0]

    def counted(queries: Queries, values: read_api.Values) -> read_api.DocumentPage:
        calls.append("page")
        return resource.page(queries, values)

    with open_queries(bench.url) as queries:
        answers = [opened._reply(queries, resource._replace(page=counted), f"{API}/services") for _ in range(3)]
        assert (1, 1) == (len(calls), len(set(map(id, answers))))
        permit(bench, PermissionRule("ann", Role.VIEW))
        opened._reply(queries, resource._replace(page=counted), f"{API}/services")
        assert 2 == len(calls)
        monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
        opened._reply(queries, resource._replace(page=counted), f"{API}/services")
        assert 3 == len(calls)
        for number in range(2 * read_api.CACHED_REPLIES):
            opened._reply(queries, resource, f"{API}/services?limit={number + 1}")
        assert len(opened._cache) == read_api.CACHED_REPLIES


@pytest.mark.parametrize(
    "path, size",
    [("/runs?limit=1", 1), ("/runs?limit=1&job=extract", 1), ("/jobs?limit=1", 1), ("/runs?filter=extr&limit=2", 2)],
)
def test_the_link_leads_through_all_pages(api: httpx.Client, path: str, size: int) -> None:
    everything = api.get(path.replace(f"limit={size}", "limit=1000")).json()
    pages, rows = 0, list[Any]()
    reply = api.get(path)
    while True:
        rows += reply.json()
        pages += 1
        following = reply.links.get("next")
        if following is None:
            break
        reply = api.get(httpx.URL(str(api.base_url)).join(following["url"]))
    assert everything == rows
    assert pages == -(-len(everything) // size) >= 2


def test_an_invalid_request_names_the_error_and_the_fix(api: httpx.Client) -> None:
    invalid = [
        ("/jobs?color=red", 'no parameter "color"', "use filter, problems, sort, limit, offset"),
        ("/jobs?limit=0", 'limit: "0" is invalid', "from 1 to 1000"),
        ("/jobs?limit=1001", 'limit: "1001" is invalid', "from 1 to 1000"),
        ("/jobs?limit=\u0663", "limit: ", "from 1 to 1000"),
        ("/jobs?limit=1&limit=2", "limit is given twice", "write limit once"),
        ("/jobs?filter=age:soon", "age:soon", "docs/filters.md"),
        ("/jobs?filter=stat:failed", "did you mean state:?", "docs/filters.md"),
        ("/jobs?filter=owner:me", "owner:me is not supported here", "owner:TEAM"),
        ("/jobs?sort=color", 'sort: "color" is invalid', "name, -name"),
        ("/jobs?problems=yes", 'problems: "yes" is invalid', "true or false"),
        ("/jobs?filter=%ff", "the query is not readable", "UTF-8"),
        ("/services?date=2026-02-30", 'date: "2026-02-30" is invalid', "2026-11-20"),
        ("/runs?job=extract&filter=x", "job excludes filter", "leave out job"),
        ("/lineage", "job is missing", "add job="),
    ]
    wrong = {}
    for path, error, fix in invalid:
        reply = api.get(path)
        got = reply.json()
        named = got.keys() == {"error", "fix"} and error in got["error"] and fix in got["fix"]
        if not named or reply.status_code != 400:
            wrong[path] = reply.status_code, got
    assert {} == wrong


@pytest.mark.parametrize(
    "path, error, lists",
    [
        ("/failures?signature=odd", '"odd" not found', "/api/v1/failures"),
        ("/runs?job=extrct", '"extrct" not found; did you mean fake/extract?', "/api/v1/jobs or /api/v1/runs"),
        ("/services?service=zzzzzz", '"zzzzzz" not found', "/api/v1/services"),
        ("/lineage?job=zzzzzz", '"zzzzzz" not found', "/api/v1/jobs or /api/v1/runs"),
        ("/lineage?job=load&run=x", '"run x of this job" not found', "/api/v1/jobs or /api/v1/runs"),
    ],
)
def test_an_unknown_name_is_404_with_the_path_that_lists_names(
    api: httpx.Client, path: str, error: str, lists: str
) -> None:
    reply = api.get(path)
    assert (404, error) == (reply.status_code, reply.json()["error"])
    assert f"use a name that {lists} lists" == reply.json()["fix"]


def test_other_faults_are_json_too(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = api.post("/services", content=b"{}")
    assert (405, "GET, HEAD", "POST is not possible here") == (
        posted.status_code,
        posted.headers["Allow"],
        posted.json()["error"],
    )
    assert 404 == api.get("/service").status_code
    assert "/api/v1/services" in api.get("/service").json()["fix"]
    assert 401 == api.get("/services", headers=bearer("wrong")).status_code
    assert "" == api.head("/services").text
    assert 431 == api.get("/jobs?filter=" + "x" * 40_000).status_code

    def fail(url: str) -> Any:
        raise StoreUnusable("/secret/place")

    monkeypatch.setattr(read_api, "services_on", lambda *_: fail(""))
    broken = api.get("/services?limit=7")
    assert (503, "10", "ask again") == (broken.status_code, broken.headers["Retry-After"], broken.json()["fix"])
    assert "secret" not in broken.text
    monkeypatch.undo()
    assert 200 == api.get("/services?limit=7").status_code


def test_another_endpoint_may_have_the_same_path(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.turn()
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("READER", READER)
    settings = EndpointSettings(
        listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="TOKEN"), readers={"wiki": SecretRef(env="READER")}
    )
    received = Endpoint(frozenset({"POST"}), lambda bodies, _: [ServerReply.of_text(202, "received")] * len(bodies))
    worker = EndpointWorker(settings, {f"{API}/lineage": received}, SecretStore(), ReadApi(bench.url).endpoints)
    with listening(worker) as url, httpx.Client(base_url=url, headers=bearer(TOKEN)) as client:
        assert 202 == client.post(f"{API}/lineage", content=b"{}").status_code
        assert 403 == client.post(f"{API}/lineage", content=b"{}", headers=bearer(READER)).status_code
        assert 200 == client.get(f"{API}/lineage?job=extract", headers=bearer(READER)).status_code
        assert "GET, HEAD, POST" == client.put(f"{API}/lineage", headers=bearer(READER)).headers["Allow"]


def test_the_description_is_valid_and_true_of_every_reply(api: httpx.Client, bench: Bench) -> None:
    document = api.get("/openapi.json").json()
    validate(document)
    assert (
        304 == api.get("/openapi.json", headers={"If-None-Match": api.get("/openapi.json").headers["ETag"]}).status_code
    )
    paths = {path.removeprefix(API): path for path in document["paths"]}
    reading = {name: path for name, path in paths.items() if "get" in document["paths"][path]}
    assert {"/services", "/incidents", "/failures", "/jobs", "/runs", "/lineage"} == reading.keys()
    for name, path in reading.items():
        operation = document["paths"][path]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        parameters = {"job": "extract"} if name == "/lineage" else {}
        reply = api.get(name, params=parameters)
        check(document, schema, reply.json())
        assert reply.json()
        for parameter in operation["parameters"]:
            value = parameter["schema"].get("enum", [parameter["schema"].get("maximum", "")])[0]
            if value != "":
                assert api.get(name, params={**parameters, parameter["name"]: value}).status_code == 200
    error = document["paths"][f"{API}/jobs"]["get"]["responses"]["400"]["content"]["application/json"]["schema"]
    check(document, error, api.get("/jobs?limit=x").json())


def test_the_description_allows_a_date_without_a_promise(bench: Bench) -> None:
    [service] = bench.reads().services.list_services()
    shown = service_document(replace(service, timeliness=Timeliness.NO_PROMISE))
    document = read_api.openapi_document()
    check(document, {"$ref": "#/components/schemas/Service"}, json.loads(json_text(shown)))


def check(document: Any, schema: Any, value: Any) -> None:
    """Fails for a value that the schema does not describe, with all its fields."""
    components = {"components": document["components"]}
    OAS31Validator(components | schema, format_checker=oas31_format_checker).validate(value)


def test_outside_text_is_escaped_everywhere(api: httpx.Client, bench: Bench) -> None:
    bench.scheduler.attempt("load", "z", RunState.FAILED, datetime.now(UTC), message="\x1b[31mred\u202e")
    bench.turn()
    reply = api.get(f"/runs?filter={quote('load')}")
    assert reply.content.isascii()
    assert b"\x1b" not in reply.content


def test_readers_need_tokens_of_their_own_and_a_name() -> None:
    with pytest.raises(ValueError, match="readers"):
        EndpointSettings(readers={"no name": SecretRef(env="READER")})
