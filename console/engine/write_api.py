"""HTTP API for operators: acknowledge an incident, and request a plan, which sends nothing until a person resumes it.

Each is a request of the token's person, on the path of the console and the commands: the same rights, audit and
engine. Requests run on a few threads, so that a scheduler that previews a step slowly delays no other request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from connectors.sdk.transport.http_server import ServerReply
from console.domain.access import Person
from console.domain.ids import derived_key, incident_id, incident_name, new_action_key, utc_minute
from console.domain.incident import ACKNOWLEDGE_FOR, IncidentRow, IncidentView, blocked_text
from console.domain.plan import HTTP_API, WAIT, PlanDraft, PlanRefused, PlanView
from console.engine.api.action_request import AlreadyRequested
from console.engine.api.alerts import MAX_SILENCE
from console.engine.api.client import EngineClient
from console.engine.api.documents import json_text
from console.engine.api.queue import ANSWER_CHECK_SECONDS
from console.engine.api.requests import Acknowledge, ProposeRecovery
from console.engine.api.server import WHY_LIMIT
from console.engine.endpoints import API, JSON, ApiFault, ApiRequest, RequestThreads, WriteEndpoint, error_reply
from console.store.db.client import client_transaction
from console.store.errors import KeyReused, NotAllowed, NotFound, ReasonNeeded, StoreError
from console.store.queries import open_queries
from console.store.request_queue import check_key
from console.timing.durations import parse_duration

log = structlog.get_logger("headway.endpoints")

ANSWER_SECONDS = 45.0
MAX_REQUESTS = 8
"""Requests of one path in progress; further ones are refused."""


class _Body(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    incident: str = Field(description="INC-0001")
    why: str = Field("", max_length=WHY_LIMIT, description="reason, shown and kept in the audit log")

    @field_validator("incident")
    @classmethod
    def is_incident(cls, value: str) -> str:
        incident_id(value)
        return value

    @property
    def number(self) -> int:
        return incident_id(self.incident)


class AcknowledgeBody(_Body):
    length: str = Field(ACKNOWLEDGE_FOR, alias="for", description="duration: 30m, 1h30m, at most 90d")

    @field_validator("length")
    @classmethod
    def is_length(cls, value: str) -> str:
        if not 0 < parse_duration(value).total_seconds() <= MAX_SILENCE.total_seconds():
            raise ValueError(f"write a time above zero and of at most {MAX_SILENCE.days} days")
        return value


class PlanBody(_Body):
    all: bool = Field(False, description="every run that the incident left failed or stale")


class ApiOperation(NamedTuple):
    """One path that takes POST."""

    path: str
    summary: str
    body: type[_Body]
    kind: Any
    """The type of the reply's document."""
    status: int
    """Of success."""
    request: Callable[[EngineCall, Any], Any]
    """The document, once the engine has done it. Raises as `EngineCall.answer`, AlreadyRequested, PlanRefused."""


def write_endpoints(url: str) -> dict[str, WriteEndpoint]:
    """The endpoints that take POST below /api/v1, by path."""
    return {operation.path: _endpoint_of(operation, url) for operation in OPERATIONS}


def _endpoint_of(operation: ApiOperation, url: str) -> WriteEndpoint:
    threads = RequestThreads("operator")

    def write(request: ApiRequest, body: bytes) -> Future[ServerReply]:
        busy = error_reply(429, f"{MAX_REQUESTS} requests are in progress", "try again in 10 s")
        return threads.submit(lambda: _reply(operation, url, request, body, threads.closing), MAX_REQUESTS, busy)

    return WriteEndpoint(write, threads.close)


def _checked_key(url: str, login: str, path: str, given: str, values: _Body) -> str:
    """The key of the acknowledgement or plan, as `check_key` reads it. Raises KeyReused."""
    key = f"{derived_key(login, path, given)}.{derived_key(values.model_dump_json())}"
    with client_transaction(url, writes=False) as session:
        check_key(session, key, login)
    return key


def _reply(
    operation: ApiOperation, url: str, request: ApiRequest, body: bytes, closing: threading.Event
) -> ServerReply:
    try:
        values = parsed_body(operation.body, body)
        given = request.idempotency_key
        key = _checked_key(url, request.login, operation.path, given, values) if given else new_action_key()
        client = EngineClient(url, Person(request.login, is_visitor=True), HTTP_API)
        document = operation.request(EngineCall(url, client, key, closing), values)
        return ServerReply(operation.status, json_text(document).encode() + b"\n", JSON)
    except ApiFault as fault:
        return fault.reply
    except NotFound as error:
        return error_reply(404, error.short, f"use an open incident of {API}/incidents")
    except AlreadyRequested as error:
        return error_reply(409, problem_of(error), "wait until it ends, or ask a person to resume or abort it")
    except PlanRefused as error:
        return error_reply(409, problem_of(error), f"see {API}/incidents")
    except KeyReused:
        problem = f'Idempotency-Key: "{request.idempotency_key[:40]}" was used for another request'
        return error_reply(422, problem, "use a new key")
    except ReasonNeeded as error:
        return error_reply(400, f"why is missing: {error}", 'add "why" to the body')
    except NotAllowed as error:
        role = f'{{ who = ["{request.login}"], role = "act" }}'
        return error_reply(403, str(error), f"a missing role is given in [[permissions]]: {role}")
    except StoreError as error:
        log.warning("a request waits for the store", error=str(error))
        return error_reply(503, "the store cannot be used now", "ask again")
    except Exception:
        log.exception("a request failed")
        return error_reply(500, "failed", "the engine's log has the details")


@dataclass(frozen=True, slots=True)
class EngineCall:
    """One request of a person. `key`: key of the acknowledgement or plan that it creates."""

    url: str
    client: EngineClient
    key: str
    closing: threading.Event
    incidents: str = f"{API}/incidents"
    """Where its client lists open incidents."""
    late_fix: str = "ask again with the same Idempotency-Key"
    """The fix where the engine does not answer in time."""

    def open_incident(self, number: int) -> IncidentView:
        """Raises NotFound, and ApiFault for a closed one."""
        with open_queries(self.url) as queries:
            view = queries.incidents.incident(number)
        if view.row.closed is not None:
            raise ApiFault(f"incident: {incident_name(number)} is closed", f"use an open one of {self.incidents}", 409)
        return view

    def answer(self, request_id: int) -> dict[str, Any]:
        """The engine's answer. Raises KeyReused, and ApiFault if it refuses otherwise, or does not answer in time."""
        until = time.monotonic() + ANSWER_SECONDS
        while (answer := self.client.answer(request_id)) is None:
            if time.monotonic() > until or self.closing.wait(ANSWER_CHECK_SECONDS):
                raise ApiFault("the engine did not answer in time", self.late_fix, 503)
        if answer.data.get("key_reused"):
            raise KeyReused(answer.error)
        if not answer.ok:
            raise ApiFault(answer.error, f"see {self.incidents}", 404 if answer.data.get("not_found") else 409)
        return answer.data


def _acknowledge(call: EngineCall, body: AcknowledgeBody) -> IncidentRow:
    seconds = parse_duration(body.length).total_seconds()
    keeps_later = "length" not in body.model_fields_set
    call.answer(call.client.ask(Acknowledge(body.number, seconds, body.why, call.key, keeps_later)))
    with open_queries(call.url) as queries:
        return queries.incidents.incident(body.number).row


def request_plan(call: EngineCall, body: PlanBody) -> PlanView:
    """The requested plan, paused until a person resumes it. Raises as `EngineCall.answer`, AlreadyRequested,
    PlanRefused, NotAllowed."""
    with open_queries(call.url) as queries:
        plans = queries.plans.list_plans(incident_id=body.number)
    if known := next((plan for plan in plans if plan.key == call.key), None):
        return known
    view = call.open_incident(body.number)
    draft = PlanDraft.read(call.answer(call.client.ask(ProposeRecovery(view.row.id, body.all))))
    if all(step.verb == WAIT for step in draft.steps):
        raise PlanRefused(blocked_text(view, utc_minute))
    if refused := next((step for step in draft.steps if step.refusal_now), None):
        raise PlanRefused(f"step {refused.place}, {refused.job}: {refused.refusal_now}")
    number = call.client.start_plan(draft, call.key, body.why, is_paused=True)
    with open_queries(call.url) as queries:
        return queries.plans.plan(number)


def problem_of(error: AlreadyRequested | PlanRefused) -> str:
    """Without the commands that fix it: a client has none."""
    return error.problem if isinstance(error, AlreadyRequested) else str(error).partition(". Fix: ")[0]


OPERATIONS = (
    ApiOperation(
        f"{API}/acknowledgements",
        "Acknowledge an open incident, as `headway ack --json`",
        AcknowledgeBody,
        IncidentRow,
        200,
        _acknowledge,
    ),
    ApiOperation(
        f"{API}/plans",
        "Request a plan that recovers an incident, paused until a person resumes it, as `headway plan ID --json`",
        PlanBody,
        PlanView,
        201,
        request_plan,
    ),
)


def parsed_body(kind: type[_Body], body: bytes) -> Any:
    """Raises ApiFault with the first fault."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    names = ", ".join(info.alias or name for name, info in kind.model_fields.items())
    if not place:
        example = '{"incident": "INC-0001"}'
        raise ApiFault(f"the body is not a JSON object: {message}", f"send {example}, of {names}")
    if first["type"] == "extra_forbidden":
        raise ApiFault(f'no field "{place[:40]}"', f"use {names}")
    if first["type"] == "missing":
        raise ApiFault(f"{place} is missing", f'add "{place}"; fields: {names}')
    problem, fix = _BODY_FAULTS.get(first["type"], ("is invalid", message.rpartition("; ")[2]))
    raise ApiFault(f"{place}: {json_text(first['input'])[:60]} {problem}", fix.format(**first.get("ctx", {})))


_BODY_FAULTS = {
    "bool_type": ("is neither true nor false", "write true or false, without quotes"),
    "string_too_long": ("is too long", "write at most {max_length} characters"),
    "string_type": ("is not text", "write text in quotes"),
}
"""Error type of pydantic -> the fault and its fix. Other errors are Headway's, and end with the fix."""
