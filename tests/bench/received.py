"""What the receiver of a bench got: the incident and the meaning of each message, never its words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from console.domain.alert import AlertKind
from console.domain.message import Message, title_text
from console.engine.notify.outbox import REPEAT
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.self_monitoring import OUTBOX, PARTS, STORE
from console.engine.notify.senders import SendResult
from console.store.alerts import PERSON
from console.store.queries.reader import Queries
from tests.invariants.worlds import Sink

RECEIVED = "received"
OF_HEADWAY = frozenset({STORE, OUTBOX, PARTS})
"""Keys of alerts about the engine itself."""
SENT_ABOUT = (
    "SELECT i.key, COALESCE(g.dedup_key, i.key) FROM job j JOIN incident p ON p.root_job_id = j.id JOIN incident i ON"
    " i.id = p.id OR i.id = p.merged_into JOIN alert a ON a.incident_id = i.id LEFT JOIN alert g ON g.id = a.digest_id"
    f" WHERE j.name = ? AND a.kind <> '{PERSON}' AND (a.kind = '{AlertKind.RECOVERED}') = CAST(? AS BOOLEAN)"
)
"""The incidents of a job, those that they were merged into included, that were notified of, and the digest if any."""


@dataclass(frozen=True)
class Received:
    """One message."""

    key: str
    """Dedup key of its incident, digest, action or plan."""
    action: PageAction
    resolves: tuple[str, ...] = ()
    """Keys that are resolved with it, besides its own."""
    is_repeat: bool = False
    title: str = ""
    """For people."""


def note_received(sink: Sink, _url: str, message: Message, page: Page) -> SendResult:
    """In place of `Sink.__call__`: the receiver notes the meaning of the message in a file of its folder."""
    is_repeat = REPEAT in message.blocks
    got = Received(page.key, page.action, page.resolves, is_repeat, title_text(message.title))
    with (sink.folder / RECEIVED).open("a") as file:
        file.write(json.dumps(asdict(got)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return SendResult(True)


def received(folder: Path) -> list[Received]:
    """In order."""
    path = folder / RECEIVED
    rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return [Received(**row | {"action": PageAction(row["action"]), "resolves": tuple(row["resolves"])}) for row in rows]


def is_notified(job: str, kind: AlertKind, got: Iterable[Received], reads: Queries) -> bool:
    """Whether one of these is about an open incident of the job, or, for `RECOVERED`, about the end of one."""
    is_end = kind is AlertKind.RECOVERED
    keys = {each.key for each in got if is_end == (each.action is PageAction.RESOLVE)}
    keys |= {key for each in got if is_end for key in each.resolves}
    return bool(keys) and any(not keys.isdisjoint(row) for row in reads.link.rows(SENT_ABOUT, (job, is_end)))
