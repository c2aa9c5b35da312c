"""The HTTP API for operators: who may acknowledge and request a plan, what is stored, and what is refused."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from connectors.sdk.transport import http_server
from console.config.sections import EndpointSettings
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.plan import REQUESTED, UNTIL_RESUMED
from console.engine import endpoints, write_api
from console.engine.endpoints import API, ApiRequest
from console.engine.write_api import AcknowledgeBody, PlanBody, write_endpoints
from console.store.access import write_permissions
from console.store.db.session import Session
from console.store.errors import NotAllowed, StoreUnusable
from console.store.request_queue import check_key
from tests.engine.bench import Bench
from tests.engine.endpoints.test_endpoints import TOKEN, listening
from tests.engine.endpoints.test_read_api import bearer, check
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS, free_port, wait_until

READER, OPERATOR, VIEWER = (f"{name}-0123456789abcdef" for name in ("reader", "operator", "viewer"))
ACKNOWLEDGEMENTS, PLANS = "/acknowledgements", "/plans"
INCIDENT = {"incident": "INC-0001"}


def has_no_command(reply: httpx.Response) -> None:
    """A client has fields and paths, not commands and flags."""
    reply.read()
    assert reply.is_success or re.search(r"headway |--\w", reply.text) is None, reply.text


@pytest.fixture
def api(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A client with an operator's token, at the endpoints of an engine that answers requests; a job has failed."""
    settings = EndpointSettings(
        listen=f"127.0.0.1:{free_port()}",
        token=SecretRef(env="TOKEN"),
        readers={"wiki": SecretRef(env="READER")},
        operators={"pager": SecretRef(env="OPERATOR"), "guest": SecretRef(env="VIEWER")},
    )
    for name, token in (("TOKEN", TOKEN), ("READER", READER), ("OPERATOR", OPERATOR), ("VIEWER", VIEWER)):
        monkeypatch.setenv(name, token)
    bench.config = replace(bench.config, endpoints=settings)
    bench.restart()
    bench.turn()
    permit(bench, PermissionRule("pager", Role.ACT), PermissionRule("*", Role.VIEW))
    bench.scheduler.attempt("extract", "x1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=9))
    bench.turn()
    ended = threading.Event()
    answers = threading.Thread(target=bench.parts.answers.run, args=(bench.fence, ended.is_set))
    answers.start()
    assert bench.parts.endpoints is not None
    try:
        with (
            listening(bench.parts.endpoints) as url,
            httpx.Client(
                base_url=f"{url}{API}",
                headers=bearer(OPERATOR),
                timeout=HANGS_SECONDS,
                event_hooks={"response": [has_no_command]},
            ) as client,
        ):
            yield client
    finally:
        ended.set()
        answers.join(HANGS_SECONDS)


def permit(bench: Bench, *rules: PermissionRule, acting: ActingRules | None = None) -> None:
    with bench.store.write(bench.fence) as session:
        write_permissions(session, rules, acting or ActingRules())


def printed(bench: Bench, *line: str) -> Any:
    return json.loads(headway(bench.url, *line, "--json").out)


def audited(bench: Bench) -> list[tuple[str, str, str, str, str]]:
    with bench.store.read() as session:
        rows = session.rows("SELECT actor, origin, verb, object, why FROM audit ORDER BY seq")
    return [(row.actor, row.origin, row.verb, row.object, row.why) for row in rows if row.actor in ("pager", "guest")]


def close_incident(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "x1", RunState.SUCCEEDED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    assert 0 == len(printed(bench, "incident", "list"))


def count(bench: Bench, table: str) -> int:
    with bench.store.read() as session:
        return int(session.rows(f"SELECT count(*) AS total FROM {table}")[0].total)


def test_an_operator_acknowledges_an_incident_in_their_own_name(api: httpx.Client, bench: Bench) -> None:
    reply = api.post(ACKNOWLEDGEMENTS, json={**INCIDENT, "for": "30m", "why": "looking at it"})
    assert (200, "pager") == (reply.status_code, reply.json()["acknowledged_by"])
    until = datetime.fromisoformat(reply.json()["acknowledged_until"])
    assert abs(until - datetime.now(UTC) - timedelta(minutes=30)) < timedelta(minutes=1)
    assert printed(bench, "incident", "list") == [reply.json()]
    assert audited(bench) == [("pager", "HTTP API", "acknowledge", "INC-0001", "looking at it")]


def test_without_a_duration_it_is_acknowledged_as_long_as_by_the_command(api: httpx.Client) -> None:
    until = datetime.fromisoformat(api.post(ACKNOWLEDGEMENTS, json=INCIDENT).json()["acknowledged_until"])
    assert abs(until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


def test_only_a_duration_shortens_an_acknowledgement(api: httpx.Client) -> None:
    def until(**fields: str) -> str:
        return str(api.post(ACKNOWLEDGEMENTS, json={**INCIDENT, **fields}).json()["acknowledged_until"])

    long = until(**{"for": "8h"})
    assert (long, True) == (until(), until(**{"for": "1h"}) < long)


def test_a_requested_plan_sends_nothing_until_a_person_resumes_it(api: httpx.Client, bench: Bench) -> None:
    reply = api.post(PLANS, json={**INCIDENT, "why": "disk is free again"})
    plan = reply.json()
    assert (201, "paused", REQUESTED) == (reply.status_code, plan["state"], plan["text"])
    assert [("rerun", "fake/extract", "planned")] == [(s["verb"], s["job"], s["state"]) for s in plan["steps"]]
    assert ("pager", "disk is free again") == (plan["requested_by"], plan["why"])
    bench.parts.plans.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert (0, []) == (count(bench, "action"), bench.scheduler.acted)
    assert printed(bench, "plan", "1") == {**plan, "text": UNTIL_RESUMED}
    permit(bench)
    resumed = headway(bench.url, "plan", "resume", "1", "--yes")
    assert "plan 1 is running" in resumed.out + resumed.err
    bench.parts.plans.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert 1 == count(bench, "action")
    assert [("pager", "HTTP API", "propose plan", "plan 1", "disk is free again")] == audited(bench)


@pytest.mark.parametrize("path, table", [(ACKNOWLEDGEMENTS, "acknowledgement"), (PLANS, "plan")])
def test_a_repeated_request_with_the_same_key_is_one(api: httpx.Client, bench: Bench, path: str, table: str) -> None:
    def post(_: int) -> tuple[bool, Any]:
        reply = api.post(path, json=INCIDENT, headers={"Idempotency-Key": "a-1"})
        return reply.is_success, reply.json()

    with ThreadPoolExecutor(3) as pool:
        replies = [*pool.map(post, range(3)), post(3)]
    assert [(True, replies[0][1])] * 4 == replies
    assert 1 == count(bench, table)


@pytest.mark.parametrize("path, table", [(ACKNOWLEDGEMENTS, "acknowledgement"), (PLANS, "plan")])
def test_a_request_repeated_after_the_incident_closed_is_still_one(
    api: httpx.Client, bench: Bench, path: str, table: str
) -> None:
    headers = {"Idempotency-Key": "a-1"}
    first = api.post(path, json=INCIDENT, headers=headers)
    close_incident(bench)
    again = api.post(path, json=INCIDENT, headers=headers)
    assert (first.status_code, 1) == (again.status_code, count(bench, table))
    assert 409 == api.post(path, json=INCIDENT, headers={"Idempotency-Key": "a-2"}).status_code
    assert 422 == api.post(path, json=INCIDENT | {"why": "x"}, headers=headers).status_code
    assert 1 == count(bench, table)


@pytest.mark.parametrize("path, table", [(ACKNOWLEDGEMENTS, "acknowledgement"), (PLANS, "plan")])
def test_a_key_with_another_body_is_refused(api: httpx.Client, bench: Bench, path: str, table: str) -> None:
    headers = {"Idempotency-Key": "a-1"}
    assert api.post(path, json=INCIDENT, headers=headers).is_success
    for other in (INCIDENT | {"why": "disk full"}, {"incident": "INC-0002"}):
        refused = api.post(path, json=other, headers=headers)
        assert (422, 'Idempotency-Key: "a-1" was used for another request') == (
            refused.status_code,
            refused.json()["error"],
        )
    assert api.post(path, json=INCIDENT, headers=headers).is_success
    assert 1 == count(bench, table)


@pytest.mark.parametrize("path, table", [(ACKNOWLEDGEMENTS, "acknowledgement"), (PLANS, "plan")])
def test_of_two_requests_at_once_with_the_same_key_and_different_bodies_one_is_refused(
    api: httpx.Client, bench: Bench, monkeypatch: pytest.MonkeyPatch, path: str, table: str
) -> None:
    both_checked = threading.Barrier(2)

    def check_both_before_either_writes(session: Session, key: str, by: str) -> None:
        check_key(session, key, by)
        both_checked.wait(HANGS_SECONDS)

    monkeypatch.setattr(write_api, "check_key", check_both_before_either_writes)

    def post(why: str) -> tuple[int, str]:
        reply = api.post(path, json=INCIDENT | {"why": why}, headers={"Idempotency-Key": "a-1"})
        return reply.status_code, reply.json().get("error", "")

    with ThreadPoolExecutor(2) as pool:
        [made, refused] = sorted(pool.map(post, ("disk full", "disk is free again")))
    assert made[0] in (200, 201)
    assert (422, 'Idempotency-Key: "a-1" was used for another request') == refused
    assert 1 == count(bench, table)


def test_another_key_is_another_acknowledgement_but_never_a_second_plan(api: httpx.Client, bench: Bench) -> None:
    for key in ("a", "b"):
        assert 200 == api.post(ACKNOWLEDGEMENTS, json=INCIDENT, headers={"Idempotency-Key": key}).status_code
    assert 2 == count(bench, "acknowledgement")
    assert 201 == api.post(PLANS, json=INCIDENT, headers={"Idempotency-Key": "a"}).status_code
    refused = api.post(PLANS, json=INCIDENT, headers={"Idempotency-Key": "b"})
    assert 409 == refused.status_code
    assert "plan 1 was requested by pager" in refused.json()["error"]
    assert 1 == count(bench, "plan")


def test_a_token_that_names_no_operator_is_refused_with_what_to_configure(api: httpx.Client, bench: Bench) -> None:
    refused = api.post(ACKNOWLEDGEMENTS, json=INCIDENT, headers=bearer(READER))
    assert (403, "the token of wiki may only read") == (refused.status_code, refused.json()["error"])
    assert "add wiki = { env = " in refused.json()["fix"]
    assert "[endpoints.operators]" in refused.json()["fix"]
    assert '{ who = ["wiki"], role = "act" } to [[permissions]]' in refused.json()["fix"]
    assert 403 == api.post(ACKNOWLEDGEMENTS, json=INCIDENT, headers=bearer(TOKEN)).status_code
    assert 401 == api.post(ACKNOWLEDGEMENTS, json=INCIDENT, headers=bearer("wrong")).status_code
    assert 0 == count(bench, "acknowledgement")


@pytest.mark.parametrize("path", [ACKNOWLEDGEMENTS, PLANS])
def test_an_operator_without_the_role_act_is_refused(api: httpx.Client, bench: Bench, path: str) -> None:
    refused = api.post(path, json=INCIDENT, headers=bearer(VIEWER))
    assert 403 == refused.status_code
    assert "needs role act on fake (tier 3 (supply)); you (guest) have view; ask pager" in refused.json()["error"]
    assert 'who = ["guest"], role = "act"' in refused.json()["fix"]
    assert [("guest", "HTTP API")] == [(actor, origin) for actor, origin, verb, *_ in audited(bench)]
    assert (0, 0) == (count(bench, "acknowledgement"), count(bench, "plan"))
    assert 200 == api.get("/services", headers=bearer(VIEWER)).status_code


@pytest.mark.parametrize("path", [ACKNOWLEDGEMENTS, PLANS])
def test_without_permissions_an_operator_may_only_read(api: httpx.Client, bench: Bench, path: str) -> None:
    permit(bench)
    refused = api.post(path, json=INCIDENT)
    assert 403 == refused.status_code
    assert "you (pager) have view; no user has it: add it under [[permissions]]" in refused.json()["error"]
    assert 200 == api.get("/services").status_code


def test_a_missing_reason_is_named(api: httpx.Client, bench: Bench) -> None:
    permit(bench, PermissionRule("pager", Role.ACT), acting=ActingRules(reason_tiers=(3,)))
    refused = api.post(PLANS, json=INCIDENT)
    assert (400, 'add "why" to the body') == (refused.status_code, refused.json()["fix"])
    assert "tier 3 (supply) depends on it" in refused.json()["error"]
    assert 201 == api.post(PLANS, json={**INCIDENT, "why": "disk is free again"}).status_code


def test_an_invalid_body_names_place_value_and_fix(api: httpx.Client, bench: Bench) -> None:
    invalid = [
        (ACKNOWLEDGEMENTS, b"{", "the body is not a JSON object", '{"incident": "INC-0001"}, of incident, why, for'),
        (ACKNOWLEDGEMENTS, b"[" * 5000, "the body is not a JSON object", "INC-0001"),
        (ACKNOWLEDGEMENTS, b"", "the body is not a JSON object", "INC-0001"),
        (ACKNOWLEDGEMENTS, b"[1]", "the body is not a JSON object", "INC-0001"),
        (ACKNOWLEDGEMENTS, b"\xff", "the body is not a JSON object", "INC-0001"),
        (ACKNOWLEDGEMENTS, b"{}", "incident is missing", 'add "incident"; fields: incident, why, for'),
        (ACKNOWLEDGEMENTS, b'{"incident": 1}', "incident: 1 is not text", "write text in quotes"),
        (ACKNOWLEDGEMENTS, b'{"incident": "{x}; {0}"}', "is invalid", "write INC-0001"),
        (ACKNOWLEDGEMENTS, b'{"incident": "x"}', 'incident: "x" is invalid', "write INC-0001"),
        (ACKNOWLEDGEMENTS, b'{"incident": "1", "for": "soon"}', 'for: "soon" is invalid', "write 15s, 14m"),
        (ACKNOWLEDGEMENTS, b'{"incident": "1", "for": 7}', "for: 7 is not text", "write text in quotes"),
        (ACKNOWLEDGEMENTS, b'{"incident": "1", "for": "0s"}', 'for: "0s" is invalid', "of at most 90 days"),
        (ACKNOWLEDGEMENTS, b'{"incident": "1", "for": "91d"}', 'for: "91d" is invalid', "of at most 90 days"),
        (ACKNOWLEDGEMENTS, b'{"incident": "1", "to": 1}', 'no field "to"', "use incident, why, for"),
        (
            ACKNOWLEDGEMENTS,
            json.dumps({**INCIDENT, "why": "x" * 301}).encode(),
            "why: ",
            "write at most 300 characters",
        ),
        (
            PLANS,
            b'{"incident": "1", "all": "yes"}',
            'all: "yes" is neither true nor false',
            "write true or false, without quotes",
        ),
        (PLANS, b'{"incident": "1", "for": "1h"}', 'no field "for"', "use incident, why, all"),
    ]
    wrong = {}
    for path, body, error, fix in invalid:
        reply = api.post(path, content=body, headers={"Content-Type": "application/json"})
        got = reply.json()
        named = got.keys() == {"error", "fix"} and error in got["error"] and fix in got["fix"]
        if not named or reply.status_code != 400 or "nput should" in got["fix"]:  # pydantic's texts are no fixes
            wrong[body] = reply.status_code, got
    assert {} == wrong
    assert (0, 0) == (count(bench, "acknowledgement"), count(bench, "plan"))


def test_a_request_is_refused_by_its_head(api: httpx.Client) -> None:
    text = api.post(PLANS, content=b"{}", headers={"Content-Type": "text/plain"})
    assert (415, 'Content-Type: "text/plain" is not JSON') == (text.status_code, text.json()["error"])
    assert 415 == api.post(PLANS, content=b"{}").status_code
    assert (
        400 == api.post(PLANS, content=b"{}", headers={"Content-Type": "application/json; charset=utf-8"}).status_code
    )
    keyed = api.post(PLANS, json=INCIDENT, headers={"Idempotency-Key": "a b"})
    assert (400, 'Idempotency-Key: "a b" is invalid') == (keyed.status_code, keyed.json()["error"])
    got = api.get(PLANS)
    assert (405, "POST") == (got.status_code, got.headers["Allow"])


@pytest.mark.parametrize("path", [ACKNOWLEDGEMENTS, PLANS])
def test_an_unknown_or_closed_incident_is_named(api: httpx.Client, bench: Bench, path: str) -> None:
    unknown = api.post(path, json={"incident": "INC-4711"})
    assert 404 == unknown.status_code
    assert "4711" in unknown.json()["error"]
    close_incident(bench)
    closed = api.post(path, json=INCIDENT)
    assert 409 == closed.status_code
    assert "INC-0001 is closed" in closed.json()["error"]
    assert f"{API}/incidents" in closed.json()["fix"]


def test_a_long_body_and_a_slow_client_are_refused(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    long = api.post(PLANS, json={**INCIDENT, "why": "x" * endpoints.MAX_BODY_BYTES})
    assert (413, "send less in one request") == (long.status_code, long.json()["fix"])
    monkeypatch.setattr(http_server, "REQUEST_SECONDS", 0.2)
    head = f"POST {API}{PLANS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR}\r\n"
    for part in (head, f"{head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{"):
        with socket.create_connection((api.base_url.host, api.base_url.port or 0), 10) as slow:
            slow.sendall(part.encode())
            assert slow.makefile("rb").readline().startswith(b"HTTP/1.1 408")


def test_a_slow_scheduler_delays_no_other_request(
    api: httpx.Client, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = threading.Event()
    monkeypatch.setattr(write_api, "MAX_REQUESTS", 1)
    monkeypatch.setattr(bench.parts.answers, "_answer", lambda *_: answering.set())  # claimed, and never answered
    now = [0.0]
    monkeypatch.setattr(write_api, "time", SimpleNamespace(monotonic=lambda: now[0]))
    replies = list[httpx.Response]()
    plan = threading.Thread(target=lambda: replies.append(httpx.post(
        f"{api.base_url}plans", json=INCIDENT, headers=bearer(OPERATOR), timeout=HANGS_SECONDS
    )))  # fmt: skip
    plan.start()
    assert answering.wait(HANGS_SECONDS)
    assert 200 == api.get("/services").status_code
    busy = api.post(PLANS, json=INCIDENT)
    assert (429, "10") == (busy.status_code, busy.headers["Retry-After"])
    now[0] += 2 * write_api.ANSWER_SECONDS
    plan.join(HANGS_SECONDS)
    assert [(503, "ask again with the same Idempotency-Key")] == [(r.status_code, r.json()["fix"]) for r in replies]


def test_a_client_that_leaves_does_not_stop_its_request(api: httpx.Client, bench: Bench) -> None:
    body = json.dumps(INCIDENT)
    head = (
        f"POST {API}{PLANS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR}\r\nContent-Type: application/json"
    )
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), 10) as leaving:
        leaving.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    wait_until(lambda: count(bench, "plan") == 1, "the plan is stored")
    assert 200 == api.get("/services").status_code


def test_a_store_that_fails_and_a_surprise_say_nothing_of_themselves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = write_endpoints(bench.url)[f"{API}{PLANS}"]

    def reply_to(error: Exception) -> tuple[int, dict[str, str]]:
        def fail(url: str) -> Any:
            raise error

        monkeypatch.setattr(write_api, "open_queries", fail)
        request = ApiRequest(f"{API}{PLANS}", "pager", "", "")
        later: Future[http_server.ServerReply] = endpoint.write(request, json.dumps(INCIDENT).encode())
        reply = later.result(HANGS_SECONDS)
        return reply.status, json.loads(reply.body)

    assert (503, {"error": "the store cannot be used now", "fix": "ask again"}) == reply_to(StoreUnusable("/secret"))
    assert (500, {"error": "failed", "fix": "the engine's log has the details"}) == reply_to(ValueError(TOKEN))
    assert 403 == reply_to(NotAllowed("refused by the database"))[0]
    endpoint.close()


def test_the_description_is_valid_and_true_of_both(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    validate(document)
    for path, body in ((ACKNOWLEDGEMENTS, {**INCIDENT, "for": "1h", "why": "x"}), (PLANS, {**INCIDENT, "all": True})):
        operation = document["paths"][f"{API}{path}"]["post"]
        check(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        reply = api.post(path, json=body)
        described = operation["responses"][str(reply.status_code)]["content"]["application/json"]["schema"]
        check(document, described, reply.json())
        refused = api.post(path, json={})
        check(document, operation["responses"]["400"]["content"]["application/json"]["schema"], refused.json())
    assert ("1h", False) == (AcknowledgeBody(incident="1").length, PlanBody(incident="1").all)


def test_a_login_is_a_reader_or_an_operator() -> None:
    token = SecretRef(env="TOKEN")
    with pytest.raises(ValueError, match=r"readers.wiki: operators has it too\. Fix: leave it out of readers"):
        EndpointSettings(readers={"wiki": token}, operators={"wiki": token})
