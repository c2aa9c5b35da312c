"""The audit as people read it, whether it is whole, and what waits for an approval."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from console.clean import clean_line
from console.model.ids import EPOCH, instant, micros
from console.model.rights import APPROVED_WITHIN_SECONDS
from console.store import chain, covered, permissions
from console.store.keys import unpack
from console.store.reads.base import Base, table
from console.store.reads.link import Row


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
            words=str(shown.get("words", "")),
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
        many = covered.words([*self.periods])
        rows += [("covers", f"{many}, {self.at_once} at a time" if many else ""), ("periods", ", ".join(self.periods))]
        rows += [("touches", one) for one in self.touches]
        rows += [("sends", one) for one in self.sends or (unknown,)]
        rows += [("note", one) for one in self.notes]
        return [row for row in rows if row[1]]


HASHED_AT_ONCE = 100
PAUSE_SECONDS = 0.0002


def _with_pauses(rows: Iterable[Any]) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number % HASHED_AT_ONCE == 0:
            time.sleep(PAUSE_SECONDS)
        yield row


_FORMERLY = {("freeze", "turn on"): "freeze", ("freeze", "turn off"): "thaw"}
"""(object, verb) of rows that an earlier version wrote, which nobody may rewrite -> what they are called now."""


def verb_shown(verb: str, about: str) -> str:
    """What a row's verb is called by now."""
    return _FORMERLY.get((about, verb), verb)


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

    def verify_audit(self, head: str = "", *, politely: bool = False) -> chain.Verdict:
        """Whether the chain is whole, and still kept by the database; `head` was kept elsewhere ("seq:hash").
        All of it is read, row by row; `politely`: with pauses for the other threads of this process."""
        noted = self.link.rows("SELECT value FROM meta WHERE name = ?", (chain.HEAD,))
        rows: Iterable[Any] = self.link.each(f"{chain.SELECT} ORDER BY seq")
        found = chain.verify(_with_pauses(rows) if politely else rows, noted[0][0] if noted else "", head)
        return replace(found, unguarded=self.link.triggers_missing())

    def audit_head(self) -> str:
        """ "seq:hash" of the last row, to be kept elsewhere; empty before the first."""
        rows = self.link.rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return f"{rows[0][0]}:{rows[0][1]}" if rows else ""

    def approvals(self) -> list[ApprovalView]:
        """What waits for an approval, oldest first; without steps of a plan that was given up."""
        valid_for_s = permissions.rights_of(self.link.rows)[1].valid_for_s
        seconds = min(APPROVED_WITHIN_SECONDS, valid_for_s or APPROVED_WITHIN_SECONDS)
        return [_approval(row, seconds, self._periods(row)) for row in self.link.rows(_WAITING)]

    def _periods(self, row: Row) -> tuple[str, ...]:
        found = [one.period for one in covered.covered(self.link.rows, row[0])] if row[-1] is not None else []
        return tuple(found) if len(found) > 1 else ()

    def has_permissions(self) -> bool:
        """False where config permits nobody anything: then whoever can write the store may do everything."""
        return bool(self.link.rows("SELECT 1 FROM permission LIMIT 1"))


_WAITING = (
    "SELECT a.key, a.verb, j.name, a.requested_by, a.requested_us, a.why, a.preview, s.preview, y.name,"
    " COALESCE(r.period_key, ''), a.parameters, a.run_id, a.job_id, p.at_once, p.id FROM action a"
    " JOIN job j ON j.id = a.job_id JOIN system y ON y.id = j.system_id LEFT JOIN run r ON r.id = a.run_id"
    " LEFT JOIN plan_step s ON s.action_key = a.key LEFT JOIN plan p ON p.id = s.plan_id"
    " WHERE a.state = 'requested' AND a.needs_approval AND a.approved_by = '' AND COALESCE(p.state, '') <> 'aborted'"
    " ORDER BY a.requested_us"
)
"""A step's preview is its plan's, as it was shown when that was proposed; its action's comes right before it leaves."""


def _approval(row: Row, seconds: float, periods: tuple[str, ...]) -> ApprovalView:
    key, verb, job, by, at, why, preview, of_step, system, period, parameters, run_id, job_id, at_once, plan = row
    view = ApprovalView(
        key=key,
        verb=verb,
        job=job,
        requested_by=by,
        requested=instant(at),
        why=why,
        sends=(),
        until=instant(at) + timedelta(seconds=seconds),
        system=system,
        period=unpack(period),
        parameters=table(parameters),
        plan=plan,
        periods=periods,
        at_once=at_once or 1,
        run_id=run_id,
        job_id=job_id,
    )
    return view.previewed(table(preview) or table(of_step or "{}"))


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
        verb=verb_shown(clean_line(one.verb), one.object),
        object=clean_line(one.object),
        why=clean_line(one.why),
        detail=detail,
        hash=one.hash,
    )
