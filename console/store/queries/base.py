"""What all queries share: the connection, the store's clock, and which targets are out of sight."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast

from connectors.sdk.states import OPEN_STATES, RunEvidence, RunState
from console.domain.ids import instant, optional_instant
from console.domain.switches import SystemPause, parse_pause
from console.store import meta
from console.store.db import location
from console.store.db.location import LIST_TABLES, incomplete_text, is_incomplete
from console.store.db.read_connection import ReadConnection
from console.store.db.session import Row
from console.store.errors import StoreMissing, StoreUnusable
from console.store.names import decode_name, encode_name
from console.store.queries.watched_jobs import unwatched_condition
from console.text.cleaning import clean_line
from console.timing.clock import Clock, ClockSetting

if TYPE_CHECKING:
    from console.domain.settings import Declared

STALE_POLLS = 3
"""Polls that may be missed before what is open is shown as unknown (docs: evidence STALE)."""
_OPEN = frozenset(state.value for state in OPEN_STATES)


class RunVisibility(NamedTuple):
    """How a run is shown: as its source last told, or as out of sight."""

    state: str
    evidence: str
    stale_since: datetime | None


class ReadStore:
    """A store that is open for reading: its connection, its clock, and what queries of all contexts ask of it."""

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
            rows = self.link.rows(location.SCHEMA_QUERY)
        except StoreUnusable as error:
            if self._is_half_made():
                raise StoreMissing(incomplete_text(self.link.place)) from error
            raise StoreUnusable(f"{self.link.place} is not a Headway store: {error}") from error
        location.check_schema(rows, self.link.place)

    def _is_half_made(self) -> bool:
        try:
            return not self.link.is_postgres and is_incomplete(self.link.rows(LIST_TABLES))
        except StoreUnusable:
            return False

    def meta(self, name: str) -> str | None:
        """What the store keeps under a name of its own."""
        return meta.get_meta(self.link, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.link.close()

    def interrupt(self) -> None:
        """From another thread: the question that is being answered fails, where the database allows it."""
        self.link.interrupt()

    def clock_setting(self) -> ClockSetting | None:
        """The clock row of a replay; None on real time."""
        return meta.clock_setting(self.link)

    def service_zones(self) -> set[str]:
        """The zones that services have."""
        return {str(zone) for (zone,) in self.link.rows("SELECT DISTINCT zone FROM service WHERE NOT removed")}

    def now(self) -> datetime:
        """The present of this store: real, or the replay's."""
        return self._clock.now()

    def data_version(self) -> int:
        """Another number after anything was committed by anybody else."""
        return self.link.data_version()

    def unwatched(self) -> str:
        """The condition that a job `j` is watched no more; empty where all are."""
        return unwatched_condition(self.link)

    def stale_targets(self) -> dict[int, datetime | None]:
        """Target id -> last good poll, of the targets that were not seen for three poll intervals, or whose polls are
        paused."""
        now = self.now()
        rows = self.link.rows(
            "SELECT t.id, t.last_ok_us, s.poll_every_s, w.value FROM target t JOIN system s ON s.id = t.system_id"
            " LEFT JOIN switch w ON w.name = 'polling ' || s.name AND w.value <> ''"
        )
        return {
            target_id: optional_instant(last_ok)
            for target_id, last_ok, every, until in rows
            if last_ok is None
            or now - instant(last_ok) > timedelta(seconds=every) * STALE_POLLS
            or (until and (pause := parse_pause("", until, "", "", None)) is not None and pause.lasts(now))
        }

    def declared(self) -> Declared:
        """Calendars and all else that the configuration declares; nothing where none was written yet."""
        from console.domain.settings import NOTHING_DECLARED  # noqa: PLC0415 - see below
        from console.store.config_documents import parse_declared  # noqa: PLC0415 - pydantic, which no first paint needs

        document = self.meta("declared")
        return parse_declared(document) if document is not None else NOTHING_DECLARED

    def paused(self) -> dict[str, SystemPause]:
        """System -> the pause of its polls that lasts."""
        now = self.now()
        rows = self.link.rows(
            "SELECT s.name, w.value, w.set_by, w.why, w.at_us FROM system s JOIN switch w"
            " ON w.name = 'polling ' || s.name WHERE w.value <> '' AND NOT s.removed ORDER BY s.name"
        )
        pauses = (parse_pause(row.name, row.value, row.set_by, row.why, optional_instant(row.at_us)) for row in rows)
        return {pause.system: pause for pause in pauses if pause is not None and pause.lasts(now)}


View = TypeVar("View")
_CONVERTERS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("datetime", optional_instant),
    ("bool", bool),
    ("tuple", lambda text: tuple(json.loads(text)) if text else ()),
    ("dict", lambda text: json_object(text) if text else {}),
)


@cache
def _fields(view: Any, columns: type) -> list[tuple[str, str, Callable[[Any], Any] | None]]:
    """(field, column, how the column becomes it) of the view's fields that rows of these columns have."""
    found = []
    for name, annotation in get_annotations(view).items():
        kind = str(getattr(annotation, "__forward_arg__", annotation))  # of a NamedTuple
        column = "bd" if name == "business_date" else f"{name}_us" if kind.startswith("datetime") else name
        convert = next((convert for begins, convert in _CONVERTERS if kind.startswith(begins)), None)
        if hasattr(columns, column):
            found.append((name, column, (lambda text: text or "") if kind == "str" else convert))
    return found


def to_view(view: type[View], row: Row, /, **given: Any) -> View:
    """The view of a row: what is not given comes from the columns of the same name, an instant from `NAME_us`.

    A text that is NULL becomes empty; tables and lists are kept as JSON. A field without a column keeps its default.
    """
    for name, column, convert in _fields(cast(Any, view), type(row)):
        if name not in given:
            value = getattr(row, column)
            given[name] = value if convert is None else convert(value)
    return view(**given)


def run_visibility(state: str, evidence: str, target_id: int, stale: dict[int, datetime | None]) -> RunVisibility:
    """What has ended stays a fact; what is open and out of sight is unknown."""
    if target_id not in stale:
        return RunVisibility(state, evidence, None)
    if state in _OPEN:
        return RunVisibility(RunState.UNKNOWN.value, RunEvidence.STALE.value, stale[target_id])
    return RunVisibility(state, evidence, stale[target_id])


def visible_state(stored: str) -> str:
    """A raw name, such as a period key or a native reference, as a person may see it."""
    return clean_line(decode_name(stored))


def like_pattern(text: str) -> str:
    """What `Link.like` takes for "holds this text"."""
    return f"%{_escaped(encode_name(text))}%"


def fuzzy_pattern(text: str) -> str:
    """What `Link.like` takes for "holds these letters in this order"."""
    return f"%{'%'.join(map(_escaped, encode_name(text)))}%"


def exact_pattern(text: str) -> str:
    """What `Link.like` takes for "is this text"."""
    return _escaped(encode_name(text))


def _escaped(text: str) -> str:
    return re.sub("[!%_]", r"!\g<0>", text)


def join_names(stored: str) -> tuple[str, ...]:
    """A JSON list of texts."""
    return tuple(str(one) for one in json.loads(stored))


def json_object(stored: str) -> dict[str, Any]:
    """A JSON object."""
    found = json.loads(stored)
    return found if isinstance(found, dict) else {}
