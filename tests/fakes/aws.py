"""What the fakes of AWS share: their wire, logs of CloudWatch, refusals, and answers that are checked as botocore's
Stubber does, by AWS's own model of each operation. AWS never saw them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from typing import Any

import botocore.session
import httpx
from botocore.model import OperationModel
from botocore.validate import validate_parameters

from connectors.sdk.conformance.faults import HOUR_OFF, FaultyTransport

Body = dict[str, Any]
PAGE_BYTES = 1_000_000
"""Of a page of log events."""
TARGETS = {"AWSGlue": "glue", "Logs_20140328": "logs", "AWSStepFunctions": "stepfunctions", "ElasticMapReduce": "emr"}


class Refused(Exception):
    """An error answer: status, AWS's word, message."""


def operation_of(request: httpx.Request) -> tuple[str, str]:
    """Service (boto3's name of it) and operation; ("", "") for what is none that is played."""
    target, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if target:
        return TARGETS.get(target, ""), operation
    if request.url.path == "/schedules":
        return "scheduler", "ListSchedules"
    if request.url.path.startswith("/schedules/"):
        return "scheduler", "UpdateSchedule" if request.method == "PUT" else "GetSchedule"
    by_path: dict[str, tuple[str, str]] = {path: ("batch", name) for path, name in _batch_paths().items()}
    return by_path.get(request.url.path, ("", ""))


@cache
def _batch_paths() -> dict[str, str]:
    model = botocore.session.get_session().get_service_model("batch")
    return {model.operation_model(name).http["requestUri"]: name for name in model.operation_names}


@cache
def _operation(service: str, name: str) -> OperationModel:
    return botocore.session.get_session().get_service_model(service).operation_model(name)


class FakeAws(httpx.BaseTransport):
    """An AWS whose operations are the methods `_NAME`; `calls` are the requests, `refused` the forbidden operations."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Body]] = []
        self.refused: set[str] = set()
        self.lost: set[str] = set()
        """Operations whose next answer is lost after they were done."""
        self.streams: dict[tuple[str, str], list[Body]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        service, operation = operation_of(request)
        if not operation:
            return answer(404, b"", "text/plain")
        body: Body = json.loads(request.read() or b"{}") | dict(request.url.params)
        if service == "scheduler" and operation != "ListSchedules":
            body["Name"] = request.url.path.rpartition("/")[2]
        self.calls.append((operation, body))
        if operation in self.refused:
            return answer(400, {"__type": "AccessDeniedException", "message": f"not authorized: {operation}"})
        try:
            result: Body = getattr(self, f"_{operation}")(body)
        except Refused as error:
            status, code, message = error.args
            return answer(status, {"__type": code, "message": message}, x_amzn_errortype=code)
        shape = _operation(service, operation).output_shape
        assert shape is not None, f"AWS knows no answer to {operation}"
        validate_parameters(result, shape)
        if operation in self.lost:
            self.lost.discard(operation)
            raise httpx.ReadError("the connection was closed")
        return answer(200, json.dumps(result, default=_seconds).encode())

    def write(self, group: str, stream: str, *lines: str, at: datetime | None = None) -> None:
        """Log events of one stream, one after another."""
        first = int((at or datetime.now(UTC)).timestamp() * 1000)
        setdefault = self.streams.setdefault((group, stream), [])
        setdefault += [{"timestamp": first + number, "message": line} for number, line in enumerate(lines)]

    def _GetLogEvents(self, body: Body) -> Body:
        events = self.streams.get((body["logGroupName"], body["logStreamName"]))
        if events is None:
            raise Refused(400, "ResourceNotFoundException", "The specified log stream does not exist.")
        direction, _, place = str(body.get("nextToken", "")).partition("/")
        most = int(body.get("limit", 10_000))
        if direction == "f" or (not direction and body.get("startFromHead")):
            first = int(place or 0)
            last = self._within(events, first, most)
        else:
            last = int(place) if direction == "b" else len(events)
            first = last
            size = 0
            while first > 0 and last - first < most and size < PAGE_BYTES:
                first -= 1
                size += len(events[first]["message"])
        tokens = {"nextForwardToken": f"f/{last}", "nextBackwardToken": f"b/{first}"}
        return {"events": events[first:last], **tokens}

    def _within(self, events: list[Body], first: int, most: int) -> int:
        last, size = first, 0
        while last < len(events) and last - first < most and size < PAGE_BYTES:
            size += len(events[last]["message"])
            last += 1
        return last


def page(rows: list[Body], term: str, size: int, token: str | None, next_text: str) -> Body:
    """One page of rows; the token is the number of its first."""
    first = int(token or 0)
    more = {next_text: str(first + size)} if first + size < len(rows) else {}
    return {term: rows[first : first + size], **more}


def answer(status: int, body: Body | bytes, kind: str = "application/x-amz-json-1.1", **headers: str) -> httpx.Response:
    """An answer as it comes over a wire: not read yet."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    date = format_datetime(datetime.now(UTC), usegmt=True)
    given = {"content-type": kind, "date": date} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=given, stream=httpx.ByteStream(content))


def _seconds(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} does not go over this wire")


@dataclass
class NastyAws(FaultyTransport):
    """An AWS that answers some operations as no server should."""

    operations: tuple[str, ...] = ()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.how == HOUR_OFF or operation_of(request)[1] in self.operations:
            result = super().handle_request(request)
            stream = httpx.ByteStream(result.read())
            return httpx.Response(result.status_code, headers=result.headers, stream=stream)
        return self.handler(request)


def endless(term: str, stays: bool = False) -> Callable[[Any, int], Any]:
    """Pages that promise a next one for ever, under a new token each time or always the same."""
    return lambda body, times: body | {term: "0" if stays else f"{times}0"}
