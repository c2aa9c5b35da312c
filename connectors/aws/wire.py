"""The wire below boto3: botocore signs and parses, our own door sends.

botocore's timeouts count per socket operation, so a server that drips bytes outlives any of them, and it has no size
limit. Its event "before-send" lets another sender answer: here one with a deadline for the whole call.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from connectors.contract import AccessRefused, AnswerUnfit, Clock, OutcomeUnknown, RecordUnreadable, SystemUnreachable
from connectors.transport.counting import count_request
from connectors.transport.http_reply import clock_of
from connectors.transport.http_wire import LIMIT_BYTES, NOT_SENT, Deadline, DeadlineTransport, tls

Lane = tuple[httpx.Client, httpx.BaseTransport]
"""A client and the transport below it, which keeps deadlines unless a test gave its own."""


class AwsWire:
    """Sends what botocore has signed. Not thread safe."""

    def __init__(self, place: str, ca_file: Path | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.place = place
        self.deadline = Deadline(0.0)
        self.clock: Clock | None = None
        """The service's clock by the last answer's Date header."""
        self.once = False
        """True while an action is sent: on a fresh connection, and what is lost after its first byte is unknown."""
        self._tls = tls(place, ca_file)
        self._given = transport
        self._kept = self._lane()

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """The answer to a signed request. Raises SystemUnreachable, AccessRefused, or with `once` OutcomeUnknown.

        A kept connection may be dead without our knowing: a read is tried once more on a fresh one, an action never
        uses a kept one."""
        if self.once:
            return self._send_on_fresh(request)
        try:
            return self._send(self._kept, request)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if isinstance(error, NOT_SENT) or self.deadline.left <= 0:
                raise self._lost(error) from None
        except httpx.HTTPError as error:
            raise self._lost(error) from None
        return self._send_on_fresh(request)

    def _send_on_fresh(self, request: AWSPreparedRequest) -> AWSResponse:
        lane = self._lane()
        try:
            return self._send(lane, request)
        except httpx.HTTPError as error:
            raise self._lost(error) from None
        finally:
            lane[0].close()

    def close(self) -> None:
        """Closes the kept connections."""
        self._kept[0].close()

    def _send(self, lane: Lane, request: AWSPreparedRequest) -> AWSResponse:
        client, transport = lane
        if isinstance(transport, DeadlineTransport):
            transport.backend.deadline = self.deadline
        timeout = httpx.Timeout(max(self.deadline.left, 0.001)).as_dict()
        body: Any = request.body
        try:
            message = httpx.Request(
                str(request.method),
                str(request.url),
                headers=[(_text(name), _text(value)) for name, value in request.headers.items()],
                content=body,
                extensions={"timeout": timeout},
            )
        except httpx.InvalidURL as error:
            raise RecordUnreadable(f"{self.place}: a name that no address can hold: {error}"[:300]) from None
        count_request()
        answer = client.send(message, stream=True)
        try:
            content = self._body(answer)
        finally:
            answer.close()
        self._check(answer, content)
        if answer.status_code < 300 and not _is_xml(answer):
            content = self._checked_json(content)
        self.clock = clock_of(answer.headers.get("date")) or self.clock
        headers: Any = dict(answer.headers)
        return AWSResponse(str(request.url), answer.status_code, headers, _Raw(content))

    def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > LIMIT_BYTES:
                words = f"{self.place}: an answer is larger than {LIMIT_BYTES // 1024**2} MiB"
                raise (OutcomeUnknown if self.once else AnswerUnfit)(words)
        return bytes(body)

    def _lost(self, error: httpx.HTTPError) -> Exception:
        words = f"{type(error).__name__}: {error}"[:300]
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return AccessRefused(f"{self.place}: the certificate is not trusted ({words}). Set ca_file to your own CA.")
        if isinstance(error, httpx.TimeoutException):
            words = f"no whole answer within {self.deadline.seconds:g} s"
        if self.once and not isinstance(error, NOT_SENT):
            return OutcomeUnknown(f"{self.place}: sent, and the answer was lost: {words}. It is looked up.")
        return SystemUnreachable(f"{self.place}: {words}")

    def _check(self, answer: httpx.Response, content: bytes) -> None:
        """A login page or a redirect is no answer of AWS, whatever its status says. (moto calls its schedules HTML.)"""
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_page = kind in ("text/html", "text/plain") and not content.lstrip().startswith(b"{")
        if 300 <= answer.status_code < 400 or (answer.status_code < 300 and is_page):
            raise AccessRefused(
                f"{self.place}: answered {answer.status_code} with {kind or 'no content type'}, not as AWS does: "
                "a login or a proxy stands in between. Correct endpoint_url or the network."
            )

    def _checked_json(self, content: bytes) -> bytes:
        """The body as botocore may have it. botocore takes one that is no JSON for an empty answer: half a list would
        look like no state machines. What is no number (NaN) is none."""
        error = OutcomeUnknown if self.once else AnswerUnfit
        odd: list[str] = []
        try:
            found = json.loads(content.decode("utf-8"), parse_constant=odd.append)
        except UnicodeDecodeError as why:
            words = (
                f"{self.place}: an answer of {len(content)} bytes cannot be read: it is not UTF-8 at byte {why.start}"
            )
            raise error(words) from None
        except (ValueError, RecursionError) as why:
            raise error(f"{self.place}: an answer of {len(content)} bytes cannot be read: {str(why)[:100]}") from None
        if not isinstance(found, dict):
            raise error(f"{self.place}: an answer is not a JSON object: {type(found).__name__}")
        return json.dumps(found).encode() if odd else content

    def _lane(self) -> Lane:
        transport = self._given or DeadlineTransport(self._tls)
        return httpx.Client(transport=transport, trust_env=False, follow_redirects=False), transport


def _is_xml(answer: httpx.Response) -> bool:
    """STS speaks XML; everything else that is asked here JSON."""
    return str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower().endswith("xml")


class _Raw(io.BytesIO):
    """A body as botocore wants to read it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
