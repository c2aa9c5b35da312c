"""Receivers of alerts: a real SMTP server and an HTTP server that record what they get and misbehave on request."""

from __future__ import annotations

import asyncio
import email
import json
import threading
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as modern
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.lab.process import free_port, wait_until

MailMode = Literal["accept", "refuse", "reject", "drop"]


@dataclass(frozen=True)
class Mail:
    """One mail as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    arrived: float
    """time.monotonic() when its last byte was there."""
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text part; empty where there is none."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part is not None else ""

    @property
    def html(self) -> str:
        """The HTML part; empty where there is none."""
        part = self.message.get_body(("html",))
        return str(part.get_content()) if part is not None else ""


class SmtpSink:
    """A mail server on a free port.

    `mode`: accept · refuse (451 before the mail is taken) · reject (550, for good) · drop (the connection is cut after
    the mail was taken and before our answer: the sender cannot know).
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.mode: MailMode = "accept"
        self.mails: list[Mail] = []
        self.rejected = 0
        self.refused: dict[str, str] = {}
        """Recipient -> reply that refuses it."""
        self._controller: Controller | None = None

    def start(self) -> None:
        """Listens, on a thread of its own."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, server_hostname="lab")
        self._controller.start()

    def stop(self) -> None:
        """Stops listening: later senders are refused. What arrived stays in `mails`."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def url(self, recipient: str = "oncall@example.org") -> str:
        """The apprise URL that mails `recipient` through this server."""
        return f"mailto://127.0.0.1:{self.port}?from=headway@example.org&to={recipient}&mode=insecure"

    def wait_for(self, count: int) -> list[Mail]:
        """The mails so far, once there are `count` of them."""
        wait_until(lambda: len(self.mails) >= count, f"mail {count} (there are {len(self.mails)})", pause=0.01)
        return list(self.mails)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd's hook: one recipient of a mail."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook: one mail, whole."""
        if self.mode == "refuse":
            return "451 try again later"
        if self.mode == "reject":
            self.rejected += 1
            return "550 5.1.1 no such user here"
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = email.message_from_bytes(content, policy=modern)
        recipients = tuple(envelope.rcpt_tos)
        self.mails.append(Mail(envelope.mail_from or "", recipients, time.monotonic(), message))
        if self.mode == "drop" and isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
        return "250 kept"


@dataclass(frozen=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    arrived: float
    """time.monotonic() when its last byte was there."""

    @property
    def data(self) -> Any:
        """The body read as JSON (the payloads of json:// and mmost://)."""
        return json.loads(self.body)


@dataclass
class Behaviour:
    """How the HTTP sink answers from now on."""

    status: int = 200
    delay_seconds: float = 0.0
    drop: bool = False
    """Keep the request, then close the connection without an answer."""
    body: bytes = b"ok"


@dataclass
class HttpSink:
    """A web hook on a free port; every POST is recorded in `posts`, whatever the answer was."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    posts: list[Post] = field(default_factory=list)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listens, each request on a thread of its own. A second start takes the same port again."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stops listening: later senders are refused. What arrived stays in `posts`."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def json_url(self, path: str = "hook") -> str:
        """The apprise URL for a plain JSON POST."""
        return f"json://127.0.0.1:{self.port}/{path}"

    def chat_url(self, token: str = "0123456789abcdefghijklmnop") -> str:
        """The apprise URL for a POST in the shape of Mattermost and Slack."""
        return f"mmost://127.0.0.1:{self.port}/{token}"

    def wait_for(self, count: int) -> list[Post]:
        """The requests so far, once there are `count` of them."""
        wait_until(lambda: len(self.posts) >= count, f"POST {count} (there are {len(self.posts)})", pause=0.01)
        return list(self.posts)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                sink.posts.append(Post(self.path, dict(self.headers), body, time.monotonic()))
                behaviour = sink.behaviour
                time.sleep(behaviour.delay_seconds)
                if behaviour.drop:
                    self.close_connection = True
                    return
                self.send_response(behaviour.status)
                self.send_header("content-length", str(len(behaviour.body)))
                self.end_headers()
                self.wfile.write(behaviour.body)

            def log_message(self, format: str, *args: object) -> None:
                """The sink keeps requests, not lines on standard error."""

        return Handler
