"""The audit as people read it, whether its chain is intact, and what awaits approval."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.domain.action import parameters_text
from console.domain.approval import ApprovalTerms
from console.domain.ids import EPOCH, instant, micros, utc_minute
from console.domain.text import render
from console.store import approvals
from console.store import audit as audit_rows
from console.store.db.session import Row
from console.store.names import decode_name
from console.store.queries.base import ContextQueries, preview_parts, stored_preview
from console.store.row_values import from_row, json_object
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.store.audit_export import AuditExport

# ruff: noqa: S608  (only our own names; every value is bound)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An audit entry: actor, verb, object, time, origin and reason; `detail` includes the calls sent and the reply."""

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
    """An action that awaits approval by a second person."""

    key: str
    verb: str
    job: str
    requested_by: str
    requested: datetime
    why: str
    sends: tuple[str, ...]
    """Calls from the preview; empty if unknown until it is sent: a shared store keeps no preview of a console."""
    terms: ApprovalTerms
    system: str = ""
    text: str = ""
    """The preview's summary."""
    scope: str = ""
    period: str = ""
    """Of its run, if any."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    touches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    plan: int | None = None
    """Number of its plan."""
    periods: tuple[str, ...] = ()
    """All periods covered by one approval, if more than one: the rest of a backfill."""
    at_once: int = 1
    """Periods that run at a time."""
    run_id: int | None = None
    job_id: int | None = None
    digest: str = ""
    """`store.approvals.approval_digest`: an approval covers the facts shown here and no others."""

    @property
    def until(self) -> datetime:
        return self.terms.until

    def previewed(self, preview: Mapping[str, Any]) -> ApprovalView:
        """With the preview's texts."""
        summary, sends, notes = preview_parts(preview)
        scope, touches = str(preview.get("scope", "")), tuple(map(str, preview.get("affected", ())))
        texts = tuple(render(note, utc_minute) for note in notes)
        return replace(self, text=summary, scope=scope, touches=touches, sends=sends, notes=texts)

    @property
    def details(self) -> list[tuple[str, str]]:
        """(label, text) of all facts for the approver except times, in order, known ones only."""
        given = parameters_text({name: value for name, value in self.parameters.items() if name != "why"})
        by = self.requested_by if self.plan is None else f"{self.requested_by}, in plan {self.plan}"
        unknown = "requested from its scheduler right before sending"
        lines = [("by", by), ("why", self.why or "no reason given"), ("system", self.system), ("does", self.text)]
        lines += [("scope", self.scope), ("period", self.period), ("given", given)]
        periods = approvals.format_periods([*self.periods])
        lines += [
            ("covers", f"{periods}, {self.at_once} at a time" if periods else ""),
            ("periods", ", ".join(self.periods)),
        ]
        lines += [("touches", text) for text in self.touches]
        lines += [("sends", text) for text in self.sends or (unknown,)]
        lines += [("note", text) for text in self.notes]
        return [line for line in lines if line[1]]


HASH_BATCH = 100
PAUSE_SECONDS = 0.0002


def _with_pauses(rows: Iterable[Any]) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number % HASH_BATCH == 0:
            time.sleep(PAUSE_SECONDS)
        yield row


_AUDITED = (
    "SELECT 1 WHERE (EXISTS (SELECT 1 FROM action) OR EXISTS (SELECT 1 FROM plan) OR EXISTS (SELECT 1 FROM event WHERE"
    " kind = 'note')) AND NOT EXISTS (SELECT 1 FROM request WHERE state = 'unchained')"
)
"""A row if the audit has what people requested; not while entries wait for the engine to chain them."""
_SELECT_CHAIN = (
    "SELECT 0 AS seq, 0 AS at_us, '' AS actor, '' AS origin, '' AS verb, '' AS object, '' AS detail, '' AS why, (SELECT"
    f" value FROM meta WHERE name = '{audit_rows.ANCHOR_KEY}') AS prev_hash, (SELECT value FROM meta WHERE name ="
    f" '{audit_rows.HEAD_KEY}') AS hash UNION ALL {audit_rows.SELECT_AUDIT} ORDER BY seq"
)
"""The store's records of the last deleted and of the last row, as row 0, then the rows: one statement, as the engine
appends meanwhile."""


class AuditQueries(ContextQueries):
    def list_entries(
        self, since: datetime | None = None, actor: str = "", about: str = "", limit: int = 200
    ) -> list[AuditRow]:
        """The latest matching rows, oldest first. `actor`: exactly; `about`: part of the object's name."""
        rows = self.link.rows(
            f"{audit_rows.SELECT_AUDIT} WHERE at_us >= ? AND (? = '' OR actor = ?) AND (? = '' OR"
            f" {self.link.contains('object')}) ORDER BY seq DESC LIMIT ?",
            (0 if since is None else micros(since), actor, actor, about, about, limit),
        )
        return [_audit_row(row) for row in reversed(rows)]

    def verify_audit(
        self, head: str = "", exports: Sequence[Path] = (), *, politely: bool = False
    ) -> audit_rows.ChainVerdict:
        """Verifies the whole chain and the triggers that protect it; `head` was kept elsewhere ("seq:hash"). `exports`:
        files of the deleted rows, in order; without them the chain starts at its anchor. `politely`: with pauses for
        the other threads of this process."""
        has_requests = bool(self.link.rows(_AUDITED))  # queried first: by then the chain has their rows
        rows: Iterator[Any] = self.link.stream(_SELECT_CHAIN)
        records = next(rows)
        anchor = records.prev_hash or ""
        if exports:
            from console.store.audit_export import read_export  # noqa: PLC0415 - slow to import

            deleted = audit_rows.row_number(anchor.partition(" ")[0]) or 0
            exported = chain.from_iterable(map(read_export, exports))
            rows, anchor = chain((row for row in exported if row.seq <= deleted), rows), ""
        verdict = audit_rows.verify_chain(_with_pauses(rows) if politely else rows, records.hash or "", head, anchor)
        if verdict.rows == 0 and verdict.bad is None and has_requests:
            text = "the audit log is empty, and the store holds what people requested: all rows were removed"
            verdict = replace(verdict, bad=1, text=text)
        foreign = self.link.foreign_objects()
        return replace(verdict, missing_triggers=self.link.triggers_missing(), foreign_objects=foreign)

    def export(self, file: Path, before: datetime | None = None) -> AuditExport | None:
        """Writes the rows up to the first one at or after `before` into a new file and verifies them; None without
        rows. Raises StoreUnusable."""
        from console.store.audit_export import write_export  # noqa: PLC0415 - slow to import

        anchor = self.store.meta(audit_rows.ANCHOR_KEY) or ""
        end = "" if before is None else " WHERE seq < COALESCE((SELECT min(seq) FROM audit WHERE at_us >= ?), seq + 1)"
        values = () if before is None else (micros(before),)
        return write_export(self.link.stream(f"{audit_rows.SELECT_AUDIT}{end} ORDER BY seq", values), file, anchor)

    def audit_head(self) -> str:
        """ "seq:hash" of the last row, to be kept elsewhere; empty before the first."""
        last = self.link.first("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return "" if last is None else f"{last.seq}:{last.hash}"


_SELECT_AWAITING = (
    "SELECT a.key, a.verb, j.name AS job, a.requested_by, a.requested_us, a.why, a.preview, s.preview AS step_preview,"
    " y.name AS system, r.period_key, a.parameters, a.run_id, a.job_id, COALESCE(p.at_once, 1) AS at_once, p.id AS plan"
    " FROM action a JOIN job j ON j.id = a.job_id JOIN system y ON y.id = j.system_id LEFT JOIN run r ON r.id ="
    " a.run_id LEFT JOIN plan_step s ON s.action_key = a.key LEFT JOIN plan p ON p.id = s.plan_id WHERE a.state ="
    " 'requested' AND a.needs_approval AND a.approved_us IS NULL AND COALESCE(p.state, '') <> 'aborted' ORDER BY"
    " a.requested_us"
)
"""A step's preview is stored with its plan; its action's preview is made right before sending."""


class ApprovalQueries(ContextQueries):
    def list_approvals(self) -> list[ApprovalView]:
        """Actions that await approval, oldest first, without steps of aborted plans."""
        return [self._approval(row) for row in self.link.rows(_SELECT_AWAITING)]

    def _approval(self, row: Row) -> ApprovalView:
        covered = approvals.covered_periods(self.link, row.key) if row.plan is not None else []
        view = from_row(
            ApprovalView,
            row,
            sends=(),
            terms=approvals.terms_of(self.link, row.key),
            period=decode_name(row.period_key or ""),
            parameters=json_object(row.parameters),
            periods=tuple(period.period for period in covered) if len(covered) > 1 else (),
            digest=approvals.approval_digest(self.link, row.key),
        )
        return view.previewed(stored_preview(row))

    def has_permissions(self) -> bool:
        """False without permissions in the config: then every user who can write the store has all of them."""
        return bool(self.link.rows("SELECT 1 FROM permission LIMIT 1"))


MAX_DEPTH = 50
MAX_UNREADABLE = 500


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether a JSON value has more levels than `depth`; printing it recurses."""
    level = [value]
    for _ in range(depth):
        groups = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for group in groups for item in group]
    return bool(level)


def _audit_row(row: Row) -> AuditRow:
    try:
        detail = json_object(row.detail)
        if _is_deeper(detail, MAX_DEPTH):
            raise ValueError
    except (ValueError, TypeError, RecursionError):  # not written by Headway; `verify` names the row
        detail = {"unreadable": clean_line(str(row.detail), MAX_UNREADABLE)}
    try:
        at = instant(row.at_us)
    except (TypeError, OverflowError):
        at = EPOCH
    actor, origin, verb, about, why = map(clean_line, (row.actor, row.origin, row.verb, row.object, row.why))
    return AuditRow(row.seq, at, actor, origin, verb, about, why, detail, row.hash)
