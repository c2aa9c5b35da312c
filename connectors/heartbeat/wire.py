"""One request of one connection, as its bytes come in: h11 parses, this keeps what counts, within limits."""

from __future__ import annotations

from collections.abc import Callable

import h11

from connectors.heartbeat.book import LOG_BYTES
from connectors.heartbeat.ping import Ping, Refused

HEADER_BYTES = 8192
"""Of request line and headers together."""
BODY_BYTES = 16 * 1024 * 1024
"""Most that is read of a body; of that its end is kept. A report with more counts all the same."""

Admit = Callable[[str, str, str], Ping]
"""(method, target, authorization) -> the ping. Raises Refused."""


class Exchange:
    """What one connection says; it is answered once, and closed."""

    def __init__(self, admit: Admit) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)
        self._admit = admit
        self._seen = 0
        self._is_head = False
        self._end = bytearray()
        self.ping: Ping | None = None
        self.whole = False
        """The ping may be counted."""
        self.refused: Refused | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more is wanted of the sender."""
        return self.whole or self.refused is not None

    @property
    def body(self) -> bytes:
        """The end of what was sent."""
        return bytes(self._end[-LOG_BYTES:])

    @property
    def left_out(self) -> int:
        """Bytes of the body before `body`."""
        return self._seen - len(self.body)

    @property
    def is_too_long(self) -> bool:
        return self._seen > BODY_BYTES

    def receive(self, data: bytes) -> bytes:
        """Takes what came (nothing: the sender has ended), and gives back what to send at once."""
        try:
            self._http.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            self.refused = Refused(error.error_status_hint or 400, "this is no HTTP request that can be read")
        except Refused as error:
            self.refused = error
        return b""

    def _read(self) -> bytes:
        answer = b""
        while not self.is_over:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    answer += self._send(h11.InformationalResponse(status_code=100, headers=[]))
                break
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._keep(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.whole = self.ping is not None
            else:
                raise Refused(400, "it ended before it said anything")
        return answer

    def _begin(self, request: h11.Request) -> None:
        headers = {name: value for name, value in request.headers if name in (b"authorization", b"content-length")}
        self._is_head = request.method == b"HEAD"
        authorization = headers.get(b"authorization", b"").decode("ascii", "replace")
        self.ping = self._admit(request.method.decode("ascii"), request.target.decode("ascii"), authorization)
        if int(headers.get(b"content-length", b"0")) > BODY_BYTES:
            self._seen, self.whole = BODY_BYTES + 1, True

    def _keep(self, data: bytes) -> None:
        self._seen += len(data)
        self._end += data
        if len(self._end) > 4 * LOG_BYTES:
            del self._end[:-LOG_BYTES]
        self.whole = self.is_too_long

    def answer(self, status: int, words: str, retry_after: int = 0) -> bytes:
        """The one response, after which the connection is closed."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        body = f"{words}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        headers += [("Connection", "close"), ("Cache-Control", "no-store")]
        headers += [("Retry-After", str(retry_after))] if retry_after else []
        sent = self._send(h11.Response(status_code=status, headers=headers))
        if not self._is_head:
            sent += self._send(h11.Data(data=body))
        return sent + self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""
