"""The notifications that an evaluation reads are found by its incidents, however many there ever were."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from console.domain.estate import EvaluationSettings
from console.domain.ids import micros
from console.domain.message import Message, body_text
from console.store import alert_responses, notification_state, request_queue, switches
from console.store.alerts import AlertRouting, AttentionRequest, request_attention
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.snapshot.estate import load_estate
from tests.store.estate import Estate, at

GROWING = ("alert_notified", "alert_suppressed", "acknowledgement", "incident", " a ", " h ", " o ", " i ")


@pytest.mark.parametrize("name", ["_SELECT_NOTIFICATIONS", "_SELECT_SUPPRESSIONS", "_SELECT_ACKNOWLEDGEMENTS"])
def test_no_growing_table_is_walked_through(served: Estate, name: str) -> None:
    query = f"EXPLAIN QUERY PLAN {getattr(notification_state, name)}"
    values = (0,) * query.count("?")
    with served.store.read() as session:
        rows = session.by_keys(query, [1], values) if "{keys}" in query else session.rows(query, values)
    steps = [str(row.detail) for row in rows]
    assert [] == [step for step in steps if step.startswith("SCAN") and any(name in f"{step} " for name in GROWING)]


def test_another_request_with_the_same_idempotency_key_is_found_by_an_index(store: Database) -> None:
    with store.read() as session:
        steps = [
            row.detail
            for row in session.rows(
                f"EXPLAIN QUERY PLAN {request_queue._OTHER_KEYS}", ("",) * request_queue._OTHER_KEYS.count("?")
            )
        ]
    assert 2 == sum("USING INDEX" in step or "USING COVERING INDEX" in step for step in steps), steps


@pytest.mark.parametrize("until_us", [micros(datetime.max.replace(tzinfo=UTC)), 1 << 62])
def test_a_silence_that_ends_when_no_calendar_does_stops_no_evaluation(served: Estate, until_us: int) -> None:
    origin = ChangeOrigin("ann", "h", "w", micros(at("03:00")))
    alert_responses.add_silence(served.store, None, {"system": "x"}, until_us, until_us, origin)  # type: ignore[arg-type]
    [silence] = load_estate(served.store, at("04:00"), EvaluationSettings()).notifications.silences
    silence.until.astimezone(ZoneInfo("Pacific/Kiritimati"))


def test_a_reason_of_several_lines_is_shown_on_one_without_a_replaced_letter(store: Database) -> None:
    """PostgreSQL gives its CONTEXT on a line of its own."""
    why = "table orders is empty\nCONTEXT: PL/pgSQL function obey(text)"
    need = AttentionRequest("plan:2", "plan 2 stopped", "repair", why, (), "mara", None, None)
    with store.write(None) as connection:
        switches.initialize_mode(connection, "live", 1)
        request_attention(connection, AlertRouting({"oncall": ("env A",)}, "oncall"), need, 1)
        [body] = [
            body_text(Message.from_json(row.message).blocks) for row in connection.rows("SELECT message FROM alert")
        ]
    assert body.startswith("  | table orders is empty · CONTEXT: PL/pgSQL function obey(text)\n\n")
