"""The audit as people read it, whether it is whole, and what waits for an approval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from console.clean import clean_line
from console.model.ids import EPOCH, instant, micros
from console.store import chain
from console.store.reads.base import Base, table


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


class AuditReads(Base):
    def audit(
        self, since: datetime | None = None, actor: str = "", about: str = "", limit: int = 200
    ) -> list[AuditRow]:
        """The latest rows that fit, oldest first. `actor`: exactly; `about`: part of the object's name."""
        rows = self.link.rows(
            f"{chain.SELECT} WHERE at_us >= ? AND (? = '' OR actor = ?) AND (? = '' OR {self.link.contains('object')})"
            " ORDER BY seq DESC LIMIT ?",
            (0 if since is None else micros(since), actor, actor, about, about, limit),
        )
        return [_row(chain.Link(*row)) for row in reversed(rows)]

    def verify_audit(self, head: str = "") -> chain.Verdict:
        """Whether the chain is whole, and still kept by the database; `head` was kept elsewhere ("seq:hash").
        All of it is read, row by row."""
        noted = self.link.rows("SELECT value FROM meta WHERE name = ?", (chain.HEAD,))
        rows: Iterable[Any] = self.link.each(f"{chain.SELECT} ORDER BY seq")
        found = chain.verify(rows, noted[0][0] if noted else "", head)
        return replace(found, unguarded=self.link.triggers_missing())

    def audit_head(self) -> str:
        """ "seq:hash" of the last row, to be kept elsewhere; empty before the first."""
        rows = self.link.rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return f"{rows[0][0]}:{rows[0][1]}" if rows else ""

    def approvals(self) -> list[ApprovalView]:
        """What waits for an approval, oldest first."""
        rows = self.link.rows(
            "SELECT a.key, a.verb, j.name, a.requested_by, a.requested_us, a.why, a.preview FROM action a"
            " JOIN job j ON j.id = a.job_id WHERE a.state = 'requested' AND a.needs_approval AND a.approved_by = ''"
            " ORDER BY a.requested_us"
        )
        return [
            ApprovalView(key, verb, job, by, instant(at), why, tuple(map(str, table(preview).get("native_calls", []))))
            for key, verb, job, by, at, why, preview in rows
        ]

    def has_permissions(self) -> bool:
        """False where config permits nobody anything: then whoever can write the store may do everything."""
        return bool(self.link.rows("SELECT 1 FROM permission LIMIT 1"))


def _row(one: chain.Link) -> AuditRow:
    try:
        detail = table(one.detail)
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
        verb=clean_line(one.verb),
        object=clean_line(one.object),
        why=clean_line(one.why),
        detail=detail,
        hash=one.hash,
    )
