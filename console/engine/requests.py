"""What screens and commands may ask of the engine: rows in the store, answered by whoever holds the lease.

Plain SQL on its own short connection: the console needs neither SQLAlchemy nor an engine of its own for it.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connectors.words import Verb
from console.clock import Clock, Hand
from console.durations import duration_words
from console.model.ids import instant, micros
from console.store.errors import NotFound, StoreUnusable

BUSY_SECONDS = 5.0
ASKERS_LOCK = 7305
"""PostgreSQL's advisory lock of whoever asks: two people who ask for the same run are one after the other there too."""


_NEW_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    " changed_seq) SELECT ?, ?, j.id, r.id, COALESCE(CAST(? AS BIGINT), (SELECT MIN(i.id) FROM incident_member m"
    " JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = r.job_id AND m.period_key = r.period_key AND i.closed_us IS NULL)),"
    " 'requested', ?, ?, 'person', ?, ?, ?, ?, ?, '', ?, '', '', 0, 0, 0"
    " FROM job j LEFT JOIN run r ON r.job_id = j.id AND r.id = CAST(? AS BIGINT)"
    " WHERE j.id = COALESCE((SELECT job_id FROM run WHERE id = CAST(? AS BIGINT)), CAST(? AS BIGINT)) RETURNING key"
)
"""Without a named incident it is told in that of which the run is part, whichever way it was asked."""

_ONE_AT_A_TIME = (
    (Verb.RERUN, Verb.START, Verb.MARK_OK, Verb.SKIP),
    (Verb.CANCEL,),
    (Verb.HOLD, Verb.RELEASE),
)
"""Of each group one action at most is under way for a run (for a job, where it is about no run)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of a run, or of a job."""

    verb: Verb
    run_id: int | None = None
    job_id: int | None = None
    """Where there is no run yet, and for hold and release."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """`Ask.parameters` of the contract."""
    preview: Mapping[str, Any] = field(default_factory=dict)
    """What the person saw; empty: the engine asks for it right before sending, and sends what it then says."""
    why: str = ""
    overlap: str = "refuse"
    """Where its job is running already: "refuse", "queue" until it is not, "allow" what the person was shown."""
    incident_id: int | None = None
    needs_approval: bool = False


class AlreadyAsked(Exception):
    """Somebody asked for this run already; the message says who and when."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said. Not ok: `error` says why, in words for a person."""

    ok: bool
    data: dict[str, Any]
    error: str = ""


def who() -> str:
    """The OS user by the kernel's word, never by the environment's."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def where_from() -> str:
    """The far end of an SSH line, else this host."""
    line = os.environ.get("SSH_CONNECTION", "").split()
    return line[0] if line else socket.gethostname()


def _now_us(run: Any) -> int:
    """Now by the store's clock: real, or a replay's."""
    rows = run("SELECT origin_us, started_us, rate, paused FROM clock", ())
    hand = Hand(instant(rows[0][0]), instant(rows[0][1]), rows[0][2], bool(rows[0][3])) if rows else None
    return micros(Clock(lambda: hand).now())


def _refuse_a_second(run: Any, wish: Wish, now_us: int) -> None:
    """Raises AlreadyAsked where one of the same group is under way."""
    group = next(verbs for verbs in _ONE_AT_A_TIME if wish.verb in verbs)
    column, number = ("job_id", wish.job_id) if wish.run_id is None else ("run_id", wish.run_id)
    open_ones = run(
        f"SELECT requested_by, requested_us, state FROM action WHERE {column} = ?"  # noqa: S608 - one of our own names
        f" AND verb IN ({', '.join('?' * len(group))}) AND state IN ('requested', 'sending', 'sent', 'unknown')"
        " ORDER BY requested_us DESC",
        (number, *(verb.value for verb in group)),
    )
    if open_ones:
        by, at, state = open_ones[0]
        ago = duration_words((now_us - at) / 1e6)
        raise AlreadyAsked(f"already asked by {by} {ago} ago; it is {state}")


class Requests:
    """Asks the engine of one store. Every call is short; none waits for the engine but `wait`. All raise StoreUnusable
    where the store cannot be read or written."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._postgres = url.startswith(("postgresql://", "postgres://"))

    def preview_rerun(self, run_id: int) -> int:
        """Asks what a rerun of this run would send; the request's id."""
        return self.preview(Wish(Verb.RERUN, run_id))

    def preview(self, wish: Wish) -> int:
        """Asks what this would send; the request's id."""
        of = {"run_id": wish.run_id, "job_id": wish.job_id}
        return self._ask("preview", {**of, "verb": wish.verb.value, "parameters": dict(wish.parameters)})

    def log(self, run_id: int, attempt_id: int | None = None, start: str | None = None) -> int:
        """Asks for the log of a run's latest or named attempt; the request's id."""
        return self._ask("log", {"run_id": run_id, "attempt_id": attempt_id, "start": start})

    def probe(self, system: str) -> int:
        """Asks whether every target of a system can be reached and which rights are held; the request's id."""
        return self._ask("probe", {"system": system})

    def accept_drift(self, job_id: int) -> int:
        """Asks to accept what a job's source says now; the request's id."""
        return self._ask("accept_drift", {"job_id": job_id, "by": who()})

    def answer(self, request_id: int) -> Answer | None:
        """The engine's answer; None while there is none."""
        with self._connect(writes=False) as run:
            rows = run("SELECT state, answer FROM request WHERE id = ?", (request_id,))
        if not rows:
            return Answer(False, {}, "this question is gone from the store; ask again")
        state, answer = rows[0]
        if state not in ("answered", "refused"):
            return None
        data = json.loads(answer)
        return Answer(state == "answered", data, str(data.get("error", "")) if state == "refused" else "")

    def wait(self, request_id: int, seconds: float) -> Answer:
        """The answer, for commands. Not ok after `seconds` without one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.answer(request_id)
            if found is not None:
                return found
            time.sleep(0.05)
        return Answer(False, {}, f"no answer in {seconds:.0f} s; is an engine running? See: headway status")

    def rerun(
        self, run_id: int, preview: dict[str, Any], key: str, why: str = "", incident_id: int | None = None
    ) -> None:
        """Asks for the rerun that `preview` showed, with the overlap that it showed. As `act`."""
        wish = Wish(Verb.RERUN, run_id, preview=preview, why=why, overlap="allow", incident_id=incident_id)
        self.act(wish, key)

    def act(self, wish: Wish, key: str) -> None:
        """Asks for what is wished, under `key`. The same key twice is one action.

        Raises AlreadyAsked when another action for this run is still under way, NotFound when run or job is gone."""
        with self._connect() as run:
            now = _now_us(run)
            if run("SELECT 1 FROM action WHERE key = ?", (key,)):
                return
            _refuse_a_second(run, wish, now)
            words = (json.dumps(dict(wish.preview)), json.dumps(dict(wish.parameters)))
            asker = (who(), where_from(), wish.why, wish.overlap, wish.needs_approval, now)
            of = (wish.run_id, wish.run_id, wish.job_id)
            asked = run(_NEW_ACTION, (key, wish.verb.value, wish.incident_id, *words, *asker, *of))
        if not asked:
            raise NotFound(f"run {wish.run_id}" if wish.run_id is not None else f"job {wish.job_id}")

    def _ask(self, kind: str, arguments: dict[str, Any]) -> int:
        with self._connect() as run:
            rows = run(
                "INSERT INTO request (kind, arguments, asked_by, asked_us, state, answer)"
                " VALUES (?, ?, ?, ?, 'asked', '{}') RETURNING id",
                (kind, json.dumps(arguments), who(), _now_us(run)),
            )
        return int(rows[0][0])

    @contextmanager
    def _connect(self, writes: bool = True) -> Iterator[Any]:
        """A function that runs one statement in one short transaction of its own. One that only reads waits for no
        writer, and keeps none waiting."""
        if self._postgres:
            yield from self._connect_postgres(writes)
        else:
            yield from self._connect_sqlite(writes)

    def _connect_sqlite(self, writes: bool) -> Iterator[Any]:
        path = Path(self._url.removeprefix("sqlite:///")).expanduser().absolute()
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
            )
            try:
                if writes:
                    connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield lambda sql, values: connection.execute(sql, values).fetchall()
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreUnusable(f"the store at {path}: {error}") from error

    def _connect_postgres(self, writes: bool) -> Iterator[Any]:
        import psycopg  # noqa: PLC0415 - an extra, only for a shared store

        try:
            with psycopg.connect(self._url) as connection:
                if writes:
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (ASKERS_LOCK,))

                def run(sql: str, values: tuple[Any, ...]) -> list[Any]:
                    done = connection.execute(sql.replace("?", "%s"), values)
                    return done.fetchall() if done.description else []

                yield run
        except psycopg.Error as error:
            raise StoreUnusable(f"the store on PostgreSQL: {str(error).strip().partition(chr(10))[0]}") from error
