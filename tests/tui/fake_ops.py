"""What was requested, the audit and the shadow of the fake night."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.domain.action import ActionDetailView, ActionHistoryEntry, ActionProofView
from console.domain.incident import EventView
from console.domain.switches import Modes
from console.store.audit import ChainVerdict
from console.store.errors import NotFound
from console.store.queries.audit import AuditRow
from tests.lab.process import HANGS_SECONDS

AT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
"""03:00 in Berlin."""
EXTRACT = "etl-hosts/db07:extract_orders"


def minute(number: float) -> datetime:
    return AT + timedelta(minutes=number)


def action_detail(key: str = "headway-5k2m8r", **changes: Any) -> ActionDetailView:
    made = ActionDetailView(
        key=key, verb="rerun", job=EXTRACT, job_id=1, system="etl-hosts", run_id=101, period="2026-11-19",
        incident_id=412, plan=None, state="verified", origin="person", requested_by="mara", requested_from="10.2.0.4",
        requested=minute(13), why="the disk is empty again", needs_approval=False, approved_by="", approved=None,
        sent=minute(13.1), ended=minute(16), text="succeeded (native)", native_verb="run once",
        native_summary="run extract_orders once on db07 as etl", scope="extract_orders 2026-11-19",
        sends=("setsid /opt/etl/extract_orders.sh 2026-11-19  # headway-5k2m8r",), notes=(), native_ref="",
        proof=ActionProofView(101, 3, "succeeded", "native", "exit 0", minute(13.2), minute(15.9), 0, ""),
    )  # fmt: skip
    return replace(made, **changes)


def several() -> list[ActionDetailView]:
    """One of each end, newest first."""
    none: dict[str, Any] = {"sent": None, "ended": None, "proof": None}
    failed = ActionProofView(101, 2, "failed", "native", "exit 1", minute(12.2), minute(12.5), 1, "")
    load: dict[str, Any] = {"job": "warehouse-airflow/load_orders", "job_id": 2, "system": "warehouse-airflow"}
    return [
        action_detail(
            "headway-9wait1",
            **load,
            **none,
            state="requested",
            requested=minute(17),
            requested_by="ben",
            needs_approval=True,
            native_verb="clear failed tasks",
            why="reads yesterday's file",
            text="waits for the approval of another person",
            sends=("POST /api/v2/dags/load_orders/clearTaskInstances",),
        ),
        action_detail(
            "headway-8hold1",
            **load,
            verb="hold",
            state="sent",
            requested=minute(16),
            ended=None,
            proof=None,
            run_id=None,
            requested_by="headway",
            origin="hold",
            native_verb="pause",
            why="its upstream is red",
            text="",
        ),
        action_detail(
            "headway-7lost1",
            job="cloud/supply-mart",
            job_id=6,
            system="cloud",
            state="unknown",
            requested=minute(15),
            ended=None,
            proof=None,
            native_verb="redrive",
            text="its answer was lost: timed out; asked again in 20s",
        ),
        action_detail(),
        action_detail(
            "headway-4fail1",
            state="failed",
            requested=minute(12),
            sent=minute(12.1),
            ended=minute(12.6),
            why="",
            text="failed: exit 1",
            proof=failed,
        ),
        action_detail(
            "headway-3shad1",
            **load,
            **none,
            state="refused",
            requested=minute(2),
            requested_by="ben",
            text="warehouse-airflow is in shadow: nothing is sent there",
        ),
    ]


def audit_rows() -> list[AuditRow]:
    """Oldest first, as the store gives them."""

    def row(seq: int, at: float, actor: str, verb: str, about: str, why: str = "", **detail: Any) -> AuditRow:
        origin = "engine" if actor == "headway" else "10.2.0.4"
        return AuditRow(seq, minute(at), actor, origin, verb, about, why, detail, f"{seq:064x}")

    key = "headway-5k2m8r"
    return [
        row(1, -60, "headway", "change config", "config", before="", after="3f0a91c2"),
        row(2, 2, "ben", "refuse rerun", "warehouse-airflow/load_orders", refused="warehouse-airflow is in shadow"),
        row(
            3, 13, "mara", "request rerun", EXTRACT, "the disk is empty again", key=key, sends=["setsid /opt/etl/x.sh"]
        ),
        row(4, 13.1, "headway", "send rerun", EXTRACT, "the disk is empty again", key=key, requested_by="mara"),
        row(5, 16, "headway", "verified rerun", EXTRACT, key=key, text="succeeded (native)"),
    ]


@dataclass
class FakeOps:
    """The part of `FakeReads` that answers for these screens."""

    asked_: list[ActionDetailView] = field(default_factory=several)
    audit_: list[AuditRow] = field(default_factory=audit_rows)
    verdict: ChainVerdict = field(default_factory=lambda: ChainVerdict(5, f"{5:064x}"))
    hashed: threading.Event | None = None
    """Until it is set, a chain is still being hashed."""
    shadow_: list[EventView] = field(default_factory=list)
    in_vain: int = 0
    modes_: Modes = field(default_factory=Modes)

    def list_details(self) -> Sequence[ActionDetailView]:
        return self.asked_

    def count(self) -> int:
        return len(self.asked_)

    def history_of(self, key: str) -> tuple[ActionDetailView, Sequence[ActionHistoryEntry]]:
        action_detail_view = next((action_detail for action_detail in self.asked_ if action_detail.key == key), None)
        if action_detail_view is None:
            raise NotFound(f'action "{key}"')
        rows = [row for row in self.audit_ if row.detail.get("key") == key]
        return action_detail_view, [
            ActionHistoryEntry(row.at, row.actor, row.origin, row.verb, row.detail.get("text", "")) for row in rows
        ]

    def list_entries(self, *, limit: int) -> Sequence[AuditRow]:
        return self.audit_[-limit:]

    def verify_audit(self, *, politely: bool = False) -> ChainVerdict:
        assert politely
        if self.hashed is not None:
            self.hashed.wait(HANGS_SECONDS)
        return self.verdict

    def shadow_events(self, since: datetime) -> tuple[Sequence[EventView], int]:
        return [event for event in self.shadow_ if event.at >= since], self.in_vain

    def modes(self) -> Modes:
        return self.modes_
