"""Shared by all queries: the open store, its clock, stale targets, and texts of rows as shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from connectors.sdk.records import Schedule
from connectors.sdk.states import OPEN_STATES, RunEvidence, RunState
from console.domain.action import preview_notes
from console.domain.ids import instant, optional_instant
from console.domain.switches import SystemPause
from console.domain.text import Text
from console.store import meta
from console.store.db import schema_version
from console.store.db.location import incomplete_text, no_store_text
from console.store.db.read_connection import ReadConnection
from console.store.db.session import Row
from console.store.errors import NO_TABLE, StoreMissing, StoreUnusable
from console.store.names import decode_name, encode_name
from console.store.queries.watched_jobs import unwatched_condition
from console.store.row_values import from_row, json_object
from console.text.cleaning import clean_line
from console.timing.clock import Clock, ClockSetting

if TYPE_CHECKING:
    from console.domain.settings import Declared

STALE_POLLS = 3
"""Missed polls after which open runs are shown as unknown (evidence STALE)."""
_OPEN = frozenset(state.value for state in OPEN_STATES)


class RunVisibility(NamedTuple):
    """A run's state as shown: as last reported, or unknown because its target is stale."""

    state: str
    evidence: str
    stale_since: datetime | None


class ReadStore:
    def __init__(self, link: ReadConnection) -> None:
        self.link = link
        self._clock = Clock(self.clock_setting)
        try:
            self._check()
        except BaseException:
            link.close()
            raise

    def _check(self) -> None:
        try:
            rows = self.link.rows(schema_version.SCHEMA_QUERY)
        except StoreUnusable as error:
            try:
                tables = "SELECT 1 FROM sqlite_master WHERE type = 'table'"
                is_half_made = not self.link.is_postgres and not self.link.rows(tables)
            except StoreUnusable:
                is_half_made = False
            if is_half_made:
                raise StoreMissing(incomplete_text(self.link.place)) from error
            if getattr(error.__cause__, "sqlstate", "") == NO_TABLE:
                raise StoreMissing(no_store_text(f"{self.link.place} yet")) from error
            raise StoreUnusable(f"{self.link.place} is not a Headway store: {error}") from error
        schema_version.check_schema(rows, self.link.place)

    def meta(self, name: str) -> str | None:
        """The value in `meta`; None without one."""
        return meta.get_meta(self.link, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.link.close()

    def interrupt(self) -> None:
        """From another thread: the query in progress fails, if the database supports it."""
        self.link.interrupt()

    def clock_setting(self) -> ClockSetting | None:
        """The clock row of a replay; None on real time."""
        return meta.clock_setting(self.link)

    def service_zones(self) -> set[str]:
        return {str(row.zone) for row in self.link.rows("SELECT DISTINCT zone FROM service WHERE NOT removed")}

    def now(self) -> datetime:
        """By the store's clock: real, or the replay's."""
        return self._clock.now()

    def data_version(self) -> int:
        """Changes after a commit on any other connection."""
        return self.link.data_version()

    def unwatched(self) -> str:
        """SQL condition that a job `j` is no longer watched; empty if all are."""
        return unwatched_condition(self.link)

    def stale_targets(self) -> dict[int, datetime | None]:
        """Target id -> last successful poll, of targets not seen for three poll intervals or with paused polls."""
        now = self.now()
        rows = self.link.rows(
            "SELECT t.id, t.last_ok_us, s.poll_every_s, w.until_us FROM target t JOIN system s ON s.id = t.system_id"
            " LEFT JOIN switch w ON w.name = 'polling ' || s.name"
        )
        return {
            row.id: optional_instant(row.last_ok_us)
            for row in rows
            if row.last_ok_us is None
            or now - instant(row.last_ok_us) > timedelta(seconds=row.poll_every_s) * STALE_POLLS
            or (row.until_us is not None and now < instant(row.until_us))
        }

    def declared(self) -> Declared:
        """Calendars and other declarations of the config; empty before the first."""
        from console.store.config_documents import load_declared  # noqa: PLC0415 - pydantic is slow to import

        return load_declared(self.link)

    def paused(self) -> dict[str, SystemPause]:
        """System -> its active pause of polling."""
        now = self.now()
        rows = self.link.rows(
            "SELECT s.name AS system, w.set_by AS by, w.why, w.at_us, w.until_us FROM system s JOIN switch w"
            " ON w.name = 'polling ' || s.name WHERE w.until_us IS NOT NULL AND NOT s.removed ORDER BY s.name"
        )
        pauses = (from_row(SystemPause, row) for row in rows)
        return {pause.system: pause for pause in pauses if pause.lasts(now)}


_CHANGED_SCHEDULES = (
    "SELECT s.job_id, s.dialect AS seen_dialect, s.expression AS seen_expression, s.zone AS seen_zone, s.text AS"
    " seen_text, s.next_us AS seen_next_us, d.seen_us AS since_us, c.dialect, c.expression, c.zone FROM {keys} CROSS"
    " JOIN drift d CROSS JOIN schedule s LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x WHERE"
    " x.job_id = s.job_id AND x.accepted_us IS NOT NULL) WHERE d.job_id = k.a AND d.what = 'schedule' AND d.accepted_us"
    " IS NULL AND d.ended_us IS NULL AND s.id = (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = d.job_id)"
)


class ChangedSchedule(NamedTuple):
    """The accepted schedule of a job, the one at its source, and since when that is seen."""

    accepted: Schedule
    seen: Schedule
    since: datetime

    def start(self, due: datetime) -> datetime:
        """When its clock starts the run, or started it, that the accepted schedule has at `due`."""
        from console.timing.schedule import start_of_run  # noqa: PLC0415 - the first paint does not need it

        return start_of_run(self.accepted, self.seen, self.since, due)


class ContextQueries:
    """Queries of one context over an open store."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def changed_schedules(self, ids: Iterable[int]) -> dict[int, ChangedSchedule]:
        """Of these jobs: id -> both schedules, where that of its source changed and is not accepted."""
        return {
            row.job_id: ChangedSchedule(
                Schedule(row.dialect or "none", decode_name(row.expression or ""), row.zone or "UTC"),
                Schedule(
                    row.seen_dialect, decode_name(row.seen_expression), row.seen_zone, row.seen_text,
                    optional_instant(row.seen_next_us),
                ),
                instant(row.since_us),
            )
            for row in self.link.by_keys(_CHANGED_SCHEDULES, sorted(set(ids)))
        }  # fmt: skip

    def job_names(self, ids: Iterable[int]) -> dict[int, str]:
        return dict(self.link.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", sorted(set(ids))))


def run_visibility(state: str, evidence: str, target_id: int, stale: dict[int, datetime | None]) -> RunVisibility:
    """Ended runs keep their state; open runs of a stale target are unknown."""
    if target_id not in stale:
        return RunVisibility(state, evidence, None)
    if state in _OPEN:
        return RunVisibility(RunState.UNKNOWN.value, RunEvidence.STALE.value, stale[target_id])
    return RunVisibility(state, evidence, stale[target_id])


def clean_name(stored: str) -> str:
    """A raw name, such as a period key or native reference, cleaned for display."""
    return clean_line(decode_name(stored))


def like_pattern(text: str) -> str:
    """`ReadConnection.like` pattern for texts that contain this one."""
    return f"%{_escaped(encode_name(text))}%"


def fuzzy_pattern(text: str) -> str:
    """Pattern for texts that contain these letters in this order."""
    return f"%{'%'.join(map(_escaped, encode_name(text)))}%"


def exact_pattern(text: str) -> str:
    return _escaped(encode_name(text))


def _escaped(text: str) -> str:
    return re.sub("[!%_]", r"!\g<0>", text)


def stored_preview(row: Row) -> dict[str, Any]:
    """The preview stored with an action, else with its plan step."""
    return json_object(row.preview) or json_object(row.step_preview or "{}")


def preview_parts(preview: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[Text, ...]]:
    """Summary, native calls and notes of a preview."""
    summary = str(preview.get("summary") or "")
    refused = tuple((str(why),) for why in (preview.get("refused"), preview.get("overlap")) if why)
    return summary, tuple(map(str, preview.get("native_calls", ()))), (*refused, *preview_notes(preview))
