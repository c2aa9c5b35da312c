"""Commits of Delta and Iceberg tables, by deltalake and pyiceberg; no data file is read.

Neither library has a deadline: each read runs on a thread of its own. Sources: Delta Lake documentation, "Operation
metrics keys"; Iceberg table specification, "Snapshots".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.fields import epoch_instant, masked_head
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.call_limits import Deadline, UninterruptedCalls, count_request
from connectors.tables.options import TableOptions, TablesOptions

T = TypeVar("T")

LAST_YEAR = 9000
DATA = frozenset({
    "WRITE", "MERGE", "STREAMING UPDATE", "COPY INTO", "CREATE TABLE AS SELECT", "REPLACE TABLE AS SELECT",
    "CREATE OR REPLACE TABLE AS SELECT", "CLONE", "append", "overwrite",
})  # fmt: skip
NO_DATA = frozenset({
    "OPTIMIZE", "VACUUM START", "VACUUM END", "DELETE", "TRUNCATE", "UPDATE", "RESTORE", "FSCK", "CONVERT", "REORG",
    "CREATE TABLE", "REPLACE TABLE", "CREATE OR REPLACE TABLE", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES",
    "ADD COLUMNS", "CHANGE COLUMN", "DROP COLUMNS", "RENAME COLUMN", "REPLACE COLUMNS", "ADD COLUMN",
    "ADD CONSTRAINT", "DROP CONSTRAINT", "UPGRADE PROTOCOL", "UPDATE SCHEMA", "CLUSTER BY", "ADD FEATURE",
    "DROP FEATURE", "COMPUTE STATS", "replace", "delete",
})  # fmt: skip
ROWS = (
    ("num_target_rows_inserted", "num_target_rows_updated"), ("numTargetRowsInserted", "numTargetRowsUpdated"),
    ("num_added_rows",), ("numOutputRows",), ("added-records",),
)  # fmt: skip
"""Metrics that count written rows, by writer; a merge's own come before its output, which holds copied rows."""
_REFUSED = re.compile(
    r"\b40[13]\b|AccessDenied|Forbidden|Unauthorized|InvalidAccessKey|SignatureDoesNotMatch|InvalidToken"
)

REACH_FIX = "Fix: check the address of its store or catalog, and the network"
_READS = UninterruptedCalls("headway-tables")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a table was read: its id, the last version or snapshot, and its milliseconds since 1970."""

    table: str = ""
    after: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    key: str
    at_ms: int
    operation: str
    rows: int | None
    """Written rows; None where the writer does not count them."""
    milliseconds: int
    """How long the write took; 0 where unknown."""
    by: str

    @property
    def is_known(self) -> bool:
        return self.operation in DATA or self.operation in NO_DATA

    @property
    def brings_data(self) -> bool:
        return self.operation in DATA and self.rows != 0

    @property
    def at(self) -> datetime | None:
        """None without a time, and for one that no calendar holds."""
        at = epoch_instant(self.at_ms / 1000) if self.at_ms > 0 else None
        return at if at is not None and at.year < LAST_YEAR else None


@dataclass(frozen=True, slots=True)
class NewCommits:
    """Commits after a position, oldest first. `is_cut`: earlier ones are gone or too many."""

    commits: list[Commit]
    position: Position
    is_cut: bool


def delta_commits(table: Any, position: Position, limit: int) -> NewCommits:
    """Of a DeltaTable that was just updated."""
    identity, newest = str(table.metadata().id), int(table.version())
    last = int(position.after) if position.table == identity and position.after else -1
    count = min(newest - last, limit)
    history = [commit for commit in (table.history(count) if count > 0 else []) if commit["version"] > last]
    commits = [_delta_commit(identity, row) for row in reversed(history)]
    end = Position(identity, str(newest), commits[-1].at_ms if commits else position.at_ms)
    return NewCommits(commits, end, last >= 0 and len(commits) < newest - last)


def _delta_commit(identity: str, row: Mapping[str, Any]) -> Commit:
    metrics = row.get("operationMetrics") or {}
    milliseconds = _number(metrics, ("execution_time_ms",)) or _number(metrics, ("executionTimeMs",)) or 0
    by = str(row.get("userName") or row.get("engineInfo") or "")
    key, operation = f"{identity[:8]}.{row['version']}", str(row.get("operation", "(none)"))
    return Commit(key, _number(row, ("timestamp",)) or 0, operation, _rows(metrics), milliseconds, by)


def iceberg_commits(metadata: Any, position: Position, limit: int) -> NewCommits:
    """Of a table's metadata: snapshots of its main branch, so that others and rolled-back ones do not count."""
    by_id = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    identity, current = str(metadata.table_uuid), by_id.get(metadata.current_snapshot_id)
    if position.table != identity:
        position = Position(identity)
    commits = list[Commit]()
    snapshot = current
    while snapshot is not None and str(snapshot.snapshot_id) != position.after and len(commits) < limit:
        if snapshot.timestamp_ms >= position.at_ms:
            commits.append(_iceberg_commit(snapshot))
        snapshot = by_id.get(snapshot.parent_snapshot_id)
    end = position if current is None else Position(identity, str(current.snapshot_id), current.timestamp_ms)
    if snapshot is None:  # the position was deleted; one that is still there was rolled back
        is_cut = bool(position.after) and int(position.after) not in by_id
    else:
        is_cut = bool(position.after) and str(snapshot.snapshot_id) != position.after
    return NewCommits(commits[::-1], end, is_cut and bool(commits))


def _iceberg_commit(snapshot: Any) -> Commit:
    summary = snapshot.summary.model_dump() if snapshot.summary is not None else {}
    operation = summary.pop("operation", "(none)")
    by = str(summary.get("engine-name") or summary.get("spark.app.id") or "")
    operation = str(getattr(operation, "value", operation))
    rows = _rows(summary)
    if rows is None and "total-records" in summary:  # a count of 0 is left out
        rows = 0
    return Commit(str(snapshot.snapshot_id), snapshot.timestamp_ms, operation, rows, 0, by)


def _rows(metrics: Mapping[str, Any]) -> int | None:
    counts = (_number(metrics, names) for names in ROWS)
    return next((count for count in counts if count is not None), None)


def _number(metrics: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    values = [str(metrics[name]) for name in names if metrics.get(name) is not None]
    return sum(map(int, values)) if values and all(value.isdigit() for value in values) else None


class TableReader:
    """The tables of one system. Kept open between polls, so that a quiet one reads only what is new."""

    def __init__(self, options: TablesOptions, secrets: SecretResolver) -> None:
        self._options, self._secrets, self.deadline = options, secrets, Deadline(0.0)
        self._place = f"{options.storage} {options.catalog}"
        self._delta: dict[str, Any] = {}
        self._catalog: Any = None

    def new_commits(self, table: TableOptions, position: Position, limit: int) -> NewCommits:
        """Raises ConnectorError; the table is then opened again at the next call, other tables stay open."""
        name = table.delta or table.iceberg
        try:
            if table.delta:
                return self._within(name, "delta", lambda: delta_commits(self._delta_table(name), position, limit))
            return self._within(name, "iceberg", lambda: iceberg_commits(self._iceberg_metadata(name), position, limit))
        except ConnectorError as error:
            self._delta.pop(name, None)
            if table.iceberg and not isinstance(error, NotSupported):  # a missing table leaves its catalog usable
                self._catalog = None
            raise

    def check(self, table: TableOptions) -> None:
        """Reads its newest commit. Raises ConnectorError."""
        self.new_commits(table, Position(), 1)

    def close(self) -> None:
        self._delta, self._catalog = {}, None

    def _delta_table(self, address: str) -> Any:
        from deltalake import DeltaTable

        if (table := self._delta.get(address)) is not None:
            table.update_incremental()
            return table
        table = DeltaTable(address, storage_options=dict(self._resolved(self._options.storage)))
        self._delta[address] = table
        return table

    def _iceberg_metadata(self, name: str) -> Any:
        if self._catalog is None:
            from pyiceberg.catalog import load_catalog

            properties = dict(self._resolved(self._options.catalog))
            # another name than "default": pyiceberg adds what this machine configures under a catalog's name
            properties.setdefault("name", "default" if properties.get("type") == "sql" else "headway")
            self._catalog = load_catalog(**properties)
        return self._catalog.load_table(name).metadata

    def _resolved(self, properties: Mapping[str, str | SecretRef]) -> Iterator[tuple[str, str]]:
        for name, value in properties.items():
            yield name, self._secrets(value) if isinstance(value, SecretRef) else value

    def _within(self, name: str, extra: str, work: Callable[[], T]) -> T:
        if self.deadline.left <= 0:
            raise SystemUnreachable(f"{name}: no time left for it. {REACH_FIX}")
        count_request()
        try:
            return _READS.call(f"{name} {self._place}", work, self.deadline.left)
        except ConnectorError:
            raise
        except ImportError as error:
            raise NotSupported(f'{name}: {error}. Fix: pip install "headway[{extra}]"') from None
        except TimeoutError as error:
            raise SystemUnreachable(f"{name}: {error}. {REACH_FIX}") from None
        except Exception as error:  # noqa: BLE001 - object stores, catalogs and their drivers raise what they like
            raise _sorted(name, error) from None


def _sorted(name: str, error: Exception) -> ConnectorError:
    """By class name, since both libraries are imported at use."""
    text = f"{name}: {type(error).__name__}: {masked_head(' '.join(str(error).split()), 300)}"
    if type(error).__name__ in ("TableNotFoundError", "NoSuchTableError", "NoSuchNamespaceError"):
        return NotSupported(
            f"{text}. Fix: correct its address or the name of its catalog, or give our account the right to list it"
        )
    if type(error).__name__ in ("UnauthorizedError", "ForbiddenError", "OAuthError") or _REFUSED.search(str(error)):
        return AccessRefused(f"{text}. Fix: check the account and its right to read the table")
    return SystemUnreachable(f"{text}. {REACH_FIX}")
