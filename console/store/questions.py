"""Questions as rows: what screens and commands ask of the engine, and what it answered."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from console.store.open import Store


def claim_requests(store: Store, fence: int, limit: int = 10) -> list[tuple[int, str, dict[str, Any], str]]:
    """Questions that nobody answers yet, oldest first: (id, kind, arguments, who asks). Their arguments leave the store
    as they are taken: what a person typed may be a secret, which its answer refuses."""
    with store.read() as connection:
        if connection.execute(text("SELECT 1 FROM request WHERE state = 'asked' LIMIT 1")).first() is None:
            return []
    with store.write(fence) as connection:
        rows = connection.execute(
            text("SELECT id, kind, arguments, asked_by FROM request WHERE state = 'asked' ORDER BY id LIMIT :n"),
            {"n": limit},
        ).all()
        found = [(row.id, row.kind, table(row.arguments), row.asked_by) for row in rows]
        for row in rows:
            taken = text("UPDATE request SET state = 'answering', arguments = '{}' WHERE id = :id")
            connection.execute(taken, {"id": row.id})
    return found


def table(written: str) -> dict[str, Any]:
    """What whoever may ask wrote as JSON; an empty one for what is no object: its reader says what is missing."""
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def answer_request(store: Store, fence: int, request_id: int, answer: dict[str, Any], error: str, now_us: int) -> None:
    """With an `error` it is refused; `answer` may then say more of why."""
    with store.write(fence) as connection:
        connection.execute(
            text("UPDATE request SET state = :state, answer = :answer, answered_us = :now WHERE id = :id"),
            {
                "state": "refused" if error else "answered",
                "answer": json.dumps({**answer, "error": error} if error else answer),
                "now": now_us,
                "id": request_id,
            },
        )


def forget_answered(store: Store, fence: int, before_us: int) -> None:
    """Removes what was answered before then: whoever asked has read it, or has gone."""
    with store.write(fence) as connection:
        connection.execute(
            text("DELETE FROM request WHERE state IN ('answered', 'refused') AND answered_us < :before"),
            {"before": before_us},
        )


def forget_lookers(store: Store, fence: int, before_us: int) -> None:
    """Removes what consoles told that were last seen before then (real time)."""
    with store.write(fence) as connection:
        connection.execute(text("DELETE FROM presence WHERE seen_us < :before"), {"before": before_us})


def refuse_unanswered(store: Store, fence: int, now_us: int) -> None:
    """Questions that a dead engine had begun to answer are refused: whoever asked may ask again."""
    answer = json.dumps({"error": "the engine was restarted while it answered; ask again"})
    with store.write(fence) as connection:
        connection.execute(
            text("UPDATE request SET state = 'refused', answer = :a, answered_us = :now WHERE state = 'answering'"),
            {"a": answer, "now": now_us},
        )
