"""The audit as people read it, whether its chain is intact, and what awaits approval."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from console.domain.access import APPROVAL_SECONDS
from console.domain.ids import EPOCH, instant, micros
from console.store import access, approvals
from console.store import audit as audit_rows
from console.store.db.session import Row
from console.store.names import decode_name
from console.store.queries.base import ReadStore, json_object, to_view
from console.text.cleaning import clean_line


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row: who did what to what, when, from where and why; `detail` is what was sent and what came back."""

    seq: int
    at: datetime
    actor: str
    origin: str
    verb: str
    object: str
    why: str
    detail: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An action that another person must approve before it is sent."""

    key: str
    verb: str
    job: str
    requested_by: str
    requested: datetime
    why: str
    sends: tuple[str, ...]
    """Calls as its scheduler named them when it was asked for; empty where only it can tell: a shared store keeps no
    preview that a console claims."""
    until: datetime
    """Approved later, it is not sent."""
    system: str = ""
    words: str = ""
    """What it would do, in its scheduler's words."""
    scope: str = ""
    period: str = ""
    """Of its run; empty where it has none."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    touches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    plan: int | None = None
    """The plan that it is a step of."""
    periods: tuple[str, ...] = ()
    """All that one approval covers, its own among them, where they are more: the rest of a backfill."""
    at_once: int = 1
    """Of these so many run at a time."""
    run_id: int | None = None
    job_id: int | None = None

    def previewed(self, shown: Mapping[str, Any]) -> ApprovalView:
        """With what its scheduler would be sent, as it was shown or says now."""
        notes = (shown.get("refused"), shown.get("overlap"), *shown.get("notes", ()))
        return replace(
            self,
            words=str(shown.get("summary", "")),
            scope=str(shown.get("scope", "")),
            touches=tuple(map(str, shown.get("affected", ()))),
            sends=tuple(map(str, shown.get("native_calls", ()))),
            notes=tuple(str(one) for one in notes if one),
        )

    @property
    def told(self) -> list[tuple[str, str]]:
        """(label, text) of all that an approver should know but the times, in order; without what is not known."""
        given = ", ".join(f"{name} {value}" for name, value in self.parameters.items() if name != "why")
        by = f"{self.requested_by}{f', in plan {self.plan}' * (self.plan is not None)}"
        unknown = "its scheduler is asked for it right before it leaves"
        rows = [("asked by", by), ("why", self.why or "no reason given"), ("system", self.system), ("does", self.words)]
        rows += [("scope", self.scope), ("period", self.period), ("given", given)]
        many = approvals.format_periods([*self.periods])
        rows += [("covers", f"{many}, {self.at_once} at a time" if many else ""), ("periods", ", ".join(self.periods))]
        rows += [("touches", one) for one in self.touches]
        rows += [("sends", one) for one in self.sends or (unknown,)]
        rows += [("note", one) for one in self.notes]
        return [row for row in rows if row[1]]


HASH_BATCH = 100
PAUSE_SECONDS = 0.0002


def _with_pauses(rows: Iterable[Any]) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number % HASH_BATCH == 0:
            time.sleep(PAUSE_SECONDS)
        yield row


_OLD_VERBS = {("freeze", "turn on"): "freeze", ("freeze", "turn off"): "thaw"}
"""(object, verb) of rows that an earlier version wrote, which nobody may rewrite -> what they are called now."""


def verb_shown(verb: str, about: str) -> str:
    """What a row's verb is called by now."""
    return _OLD_VERBS.get((about, verb), verb)


class AuditQueries:
    """The audit log and its hash chain."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def list_entries(
        self, since: datetime | None = None, actor: str = "", about: str = "", limit: int = 200
    ) -> list[AuditRow]:
        """The latest rows that fit, oldest first. `actor`: exactly; `about`: part of the object's name."""
        rows = self.link.rows(
            f"{audit_rows.SELECT_AUDIT} WHERE at_us >= ? AND (? = '' OR actor = ?)"
            f" AND (? = '' OR {self.link.contains('object')})"
            " ORDER BY seq DESC LIMIT ?",
            (0 if since is None else micros(since), actor, actor, about, about, limit),
        )
        return [_row(audit_rows.AuditEntry(*row)) for row in reversed(rows)]

    def verify_audit(self, head: str = "", *, politely: bool = False) -> audit_rows.ChainVerdict:
        """Whether the chain is whole, and still kept by the database; `head` was kept elsewhere ("seq:hash").
        All of it is read, row by row; `politely`: with pauses for the other threads of this process."""
        noted = self.store.meta(audit_rows.HEAD_KEY) or ""
        rows: Iterable[Any] = self.link.stream(f"{audit_rows.SELECT_AUDIT} ORDER BY seq")
        found = audit_rows.verify_chain(_with_pauses(rows) if politely else rows, noted, head)
        return replace(found, unguarded=self.link.triggers_missing())

    def audit_head(self) -> str:
        """ "seq:hash" of the last row, to be kept elsewhere; empty before the first."""
        rows = self.link.rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return f"{rows[0][0]}:{rows[0][1]}" if rows else ""


_SELECT_AWAITING = (
    "SELECT a.key, a.verb, j.name AS job, a.requested_by, a.requested_us, a.why, a.preview, s.preview AS step_preview,"
    " y.name AS system, r.period_key, a.parameters, a.run_id, a.job_id, COALESCE(p.at_once, 1) AS at_once,"
    " p.id AS plan FROM action a"
    " JOIN job j ON j.id = a.job_id JOIN system y ON y.id = j.system_id LEFT JOIN run r ON r.id = a.run_id"
    " LEFT JOIN plan_step s ON s.action_key = a.key LEFT JOIN plan p ON p.id = s.plan_id"
    " WHERE a.state = 'requested' AND a.needs_approval AND a.approved_by = '' AND COALESCE(p.state, '') <> 'aborted'"
    " ORDER BY a.requested_us"
)
"""A step's preview is its plan's, as it was shown when that was proposed; its action's comes right before it leaves."""


class ApprovalQueries:
    """Actions that wait for the approval of a second person."""

    def __init__(self, store: ReadStore) -> None:
        self.link = store.link

    def list_approvals(self) -> list[ApprovalView]:
        """What waits for an approval, oldest first; without steps of a plan that was given up."""
        valid_for_s = access.load_permissions(self.link)[1].valid_for_s
        seconds = min(APPROVAL_SECONDS, valid_for_s or APPROVAL_SECONDS)
        return [_approval(row, seconds, self._periods(row)) for row in self.link.rows(_SELECT_AWAITING)]

    def _periods(self, row: Row) -> tuple[str, ...]:
        covered = approvals.covered_periods(self.link, row.key) if row.plan is not None else []
        return tuple(one.period for one in covered) if len(covered) > 1 else ()

    def has_permissions(self) -> bool:
        """False where config permits nobody anything: then whoever can write the store may do everything."""
        return bool(self.link.rows("SELECT 1 FROM permission LIMIT 1"))


def _approval(row: Row, seconds: float, periods: tuple[str, ...]) -> ApprovalView:
    until = instant(row.requested_us) + timedelta(seconds=seconds)
    period = decode_name(row.period_key or "")
    view = to_view(ApprovalView, row, sends=(), until=until, period=period, parameters=json_object(row.parameters),
                   periods=periods)  # fmt: skip
    return view.previewed(json_object(row.preview) or json_object(row.step_preview or "{}"))


def _row(one: audit_rows.AuditEntry) -> AuditRow:
    try:
        detail = json_object(one.detail)
    except ValueError:  # somebody wrote it past us; `verify` names the row
        detail = {"unreadable": one.detail}
    try:
        at = instant(one.at_us)
    except (TypeError, OverflowError):
        at = EPOCH
    return AuditRow(
        seq=one.seq,
        at=at,
        actor=clean_line(one.actor),
        origin=clean_line(one.origin),
        verb=verb_shown(clean_line(one.verb), one.object),
        object=clean_line(one.object),
        why=clean_line(one.why),
        detail=detail,
        hash=one.hash,
    )
