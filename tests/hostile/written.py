"""What people and schedulers said about what was done, hostile in every field: holds, plans, approvals, the freeze."""

from __future__ import annotations

import json

from console.domain.ids import micros
from console.store.names import encode_name
from tests.hostile.world import TEXTS, World

HOUR = 3_600_000_000
HOSTILE = [text.encode("utf-8", "replace").decode() for text in TEXTS]
"""As a database can keep them."""
PLAN = 901
"""The plan whose steps say all of them."""


def write_all(world: World) -> None:
    """A hold, an approval that is waited for and a step of a plan for every text, with it wherever there is room."""
    with world.bench.reads() as reads:
        now = micros(reads.now())
    with world.bench.store.write(None) as connection:
        runs = connection.rows("SELECT job_id, MIN(id) FROM run GROUP BY job_id ORDER BY job_id")
        insert = connection.rows
        insert(
            "INSERT INTO plan (id, key, kind, title, state, requested_by, requested_from, why, requested_us, at_once,"
            " text, changed_seq) VALUES (?, 'plan-of-all', ?, ?, 'paused', ?, ?, ?, ?, 1, ?, 0)",
            (PLAN, "recovery", *[HOSTILE[0]] * 4, now, HOSTILE[0]),
        )
        for number, text in enumerate(HOSTILE):
            job_id, run_id = runs[number % len(runs)]
            _hold(insert, number, job_id, text, now)
            _action(insert, number, job_id, run_id, text, now)
            _card(insert, job_id, text, now)
            insert(
                "INSERT INTO plan_step (plan_id, place, verb, job_id, run_id, period_key, parameters, after, wait_s,"
                " safety, saves, preview, state, text) VALUES"
                " (?, ?, 'rerun', ?, ?, ?, '{}', '[]', 0, 'ask', '[]', '{}', 'failed', ?)",
                (PLAN, number + 1, job_id, run_id, encode_name(text), text),
            )  # fmt: skip


def _hold(insert: object, number: int, job_id: int, text: str, now: int) -> None:
    assert callable(insert)
    insert(
        "INSERT INTO hold (key, job_id, upstream_id, business_date, kind, mode, state, held_by, why, until_us, due_us,"
        " period_key, reason, detail, changed_seq)"
        " VALUES (?, ?, NULL, '', 'person', 'hold', 'held', ?, ?, ?, ?, ?, 'other', ?, 0)",
        (f"hold-{number}", job_id, text, text, now + HOUR, now, encode_name(text), text),
    )


def _card(insert: object, job_id: int, text: str, now: int) -> None:
    """The latest text of a card or definition is the job's."""
    assert callable(insert)
    for field in ("owner", "runbook"):
        insert(
            "INSERT INTO job_card (job_id, field, value, was, said_by, said_us) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (job_id, field) DO UPDATE SET value = excluded.value, said_by = excluded.said_by",
            (job_id, field, text, text, text, now),
        )
    insert("UPDATE job SET owner = ?, runbook = ? WHERE id = ?", (text, text, job_id))


def _action(insert: object, number: int, job_id: int, run_id: int, text: str, now: int) -> None:
    assert callable(insert)
    preview = json.dumps({"verb": text, "summary": text, "scope": text, "native_calls": [text], "notes": [text]})
    insert(
        "INSERT INTO action (key, verb, job_id, run_id, state, preview, parameters, origin, requested_by,"
        " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, text, next_us,"
        " looked_up, changed_seq) VALUES (?, 'rerun', ?, ?, 'requested', ?, '{}', 'person', ?, ?, ?, 'refuse', 1, '',"
        " ?, '', ?, 0, 0, 0)",
        (f"asked-{number}", job_id, run_id, preview, text, text, text, now, text),
    )
