"""Requests to the engine as rows: claimed, answered, refused, removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from console.store import audit
from console.store.db.session import Row, Session
from console.store.errors import KeyReused
from console.store.row_values import parse_object

if TYPE_CHECKING:
    from console.store.db.database import Database


def insert_request(session: Session, kind: str, arguments: dict[str, Any], by: str, now_us: int) -> int:
    """Inserts a request for the engine; its id."""
    if session.is_restricted:
        return int(session.rows("SELECT headway_ask(?, ?) AS id", (kind, json.dumps(arguments)))[0].id)
    rows = session.rows(
        "INSERT INTO request (kind, arguments, requested_by, requested_us, state, answer)"
        " VALUES (?, ?, ?, ?, 'pending', '{}') RETURNING id",
        (kind, json.dumps(arguments), by, now_us),
    )
    return int(rows[0].id)


_OTHER_KEYS = " UNION ALL ".join(
    f"SELECT 1 FROM {table} WHERE key BETWEEN ? AND ? AND key <> ? AND {person} = ?"  # noqa: S608 - our own names
    for table, person in (("plan", "requested_by"), ("acknowledgement", "made_by"))
)


def check_key(session: Session, key: str, by: str) -> None:
    """Raises KeyReused if a plan or an acknowledgement of this person's Idempotency-Key has another body. A key is its
    digest, a dot, and the digest of the body; without a dot the request has none. Write transactions run one after
    another, so the result holds until the end of the one that inserts the row."""
    given, dot, _ = key.partition(".")
    if dot and session.rows(_OTHER_KEYS, 2 * (f"{given}.", f"{given}.z", key, by)):
        raise KeyReused("the Idempotency-Key was used for another request")


def load_answer(session: Session, request_id: int) -> Row | None:
    """`state` and `answer` of a request; None without it, or, for a restricted login, of another person's."""
    source = "headway_answer(?)" if session.is_restricted else "request WHERE id = ?"
    return session.first(f"SELECT state, answer FROM {source}", (request_id,))  # noqa: S608 - our own names


CLAIMED_AT_ONCE = 10


def claim_requests(store: Database, fence: int) -> list[tuple[int, str, dict[str, Any], str]]:
    """Unanswered requests, oldest first: (id, kind, arguments, user). Claiming a request deletes its arguments from
    the store: they may contain a secret, which the answer refuses."""
    pending = "SELECT id, kind, arguments, requested_by FROM request WHERE state = 'pending' ORDER BY id LIMIT ?"
    if not store.rows("SELECT 1 FROM request WHERE state IN ('pending', 'unchained') LIMIT 1"):
        return []
    with store.write(fence) as session:
        audit.chain_waiting(session)
        rows = session.rows(pending, (CLAIMED_AT_ONCE,))
        session.many(
            "UPDATE request SET state = 'answering', arguments = '{}' WHERE id = ?", [(row.id,) for row in rows]
        )
    return [(row.id, row.kind, parse_object(row.arguments), row.requested_by) for row in rows]


def answer_request(
    store: Database, fence: int, request_id: int, answer: dict[str, Any], error: str, now_us: int
) -> None:
    """With an `error` it is refused; `answer` may then say more of why."""
    with store.write(fence) as session:
        set_answer(session, request_id, answer, error, now_us)


def set_answer(session: Session, request_id: int, answer: dict[str, Any], error: str, now_us: int) -> None:
    reply = json.dumps({**answer, "error": error} if error else answer)
    session.rows(
        "UPDATE request SET state = ?, answer = ?, answered_us = ? WHERE id = ?",
        ("refused" if error else "answered", reply, now_us, request_id),
    )


def delete_answered(store: Database, fence: int, before_us: int) -> None:
    """Deletes requests answered before `before_us`; their clients have read them or have ended."""
    with store.write(fence) as session:
        session.rows("DELETE FROM request WHERE state IN ('answered', 'refused') AND answered_us < ?", (before_us,))


def refuse_unanswered(store: Database, fence: int, now_us: int) -> None:
    """Refuses requests that a dead engine had begun to answer; clients may repeat them."""
    answer = json.dumps({"error": "the engine was restarted while it answered; ask again"})
    with store.write(fence) as session:
        session.rows(
            "UPDATE request SET state = 'refused', answer = ?, answered_us = ? WHERE state = 'answering'",
            (answer, now_us),
        )
