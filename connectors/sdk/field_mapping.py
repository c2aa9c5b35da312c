"""Rows of any API or table, read as jobs and runs by the field names that the config gives.

Shared by the kinds that only the config defines (`http`, `sql`): the settings, and the functions that apply them. A
path selects a value of a row ("run.result[0].code", "conditions[type=Completed].state"), or the part of a text between
slashes ("name[5]"); with braces it joins texts ("{project}/{name}"). Pure. For any row, only RecordUnreadable is
raised.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo

from connectors.sdk.contract import ACTION_KEY, ActionFound, ActionUnknown, LookUpResult
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import digest, listed, local_instant, masked_head
from connectors.sdk.option_errors import StrictOptions, checked_zone
from connectors.sdk.records import Inventory, JobRecord, RunRecord, Schedule, SkippedRecord, TargetClock, instant_key
from connectors.sdk.states import PeriodKind, ProofLevel, RunState, Verb

STEP = re.compile(r"\[(?:(\*|-1|\d{1,6})|([^=\[\]{}]+)=([^=\[\]{}]+))\]|([^.\[\]]+)")
"""Of a path: a place, a field and its value, or a name."""
EVERY_ITEM = "*"
"""The place of every item of a list."""
OF_SEVERAL_VALUES = frozenset({"key", "upstreams"})
"""Paths that may have several values: an item of a list each."""
OF_THE_ANSWER = frozenset({"rows", "columns", "count", "next", "one_row", "parts"})
"""Paths that begin at the answer; all others begin at a row of it."""
_ITEM = r"\[(?:\*|-1|\d{1,6}|[^=\[\]{}]+=[^=\[\]{}]+)\]"
_PATH = re.compile(rf"([^.\[\]{{}}]+|{_ITEM})(\.[^.\[\]{{}}]+|{_ITEM})*")
BRACES = re.compile(r"\{([^{}]*)\}")
PROFILE_PLACES = "profile places"
"""In the context of a validation: the names that a profile declares for its calls ("option.account", "target")."""
PROFILE_SECRETS = "profile secrets"
"""The names among them whose values are secrets."""
DERIVED_STATES = frozenset({RunState.PLANNED, RunState.MISSED})
"""States that Headway derives; no source reports them."""


_PLAIN_PATH = re.compile(r"[\w @:/$#+.\[\]{}*=-]*")
"""Of a profile: no name has a character that a person would take for code."""


_TEMPLATE = re.compile(r"\{\{|\}\}|\$[.{]")
"""Marks of templates and JSONPath: no path contains one."""


def _checked_path(text: str, info: ValidationInfo) -> str:
    parts = BRACES.findall(text) if "{" in text else [text]
    is_plain = PROFILE_PLACES not in (info.context or {}) or _PLAIN_PATH.fullmatch(text)
    if text and not (
        is_plain and not _TEMPLATE.search(text) and parts and all(_PATH.fullmatch(part) for part in parts)
    ):
        raise ValueError(f'{text!r} is not a path into a row; write "status", "run.result[0].code" or "{{a}}/{{b}}"')
    if "[*]" in text and info.field_name not in OF_SEVERAL_VALUES:
        raise ValueError(f"{text!r} has no single value. Fix: write [0] or [-1] for [*], the first or the last item")
    return text


FieldPath = Annotated[str, AfterValidator(_checked_path)]


def is_field_path(model: type[BaseModel], name: str) -> bool:
    """Whether a setting is a path into a row."""
    return any(getattr(item, "func", None) is _checked_path for item in model.model_fields[name].metadata)


Profile = TypeVar("Profile", bound=BaseModel)
Meaning = TypeVar("Meaning")


def with_zones(profile: Profile, values: Mapping[str, Any]) -> Profile:
    """The profile with the zones of a system's options in the place of their names."""
    parts = {name: part for name, part in dict(profile).items() if isinstance(part, MappedFields)}
    zones = {name: str(values.get(part.zone.strip("{}"), part.zone)) for name, part in parts.items()}
    return profile.model_copy(
        update={name: part.model_copy(update={"zone": zones[name]}) for name, part in parts.items()}
    )


def _checked_state(name: Any) -> Any:
    known = [state.value for state in RunState if state not in DERIVED_STATES]
    if not isinstance(name, str) or name not in known:
        near = get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f"{name!r} is not a state that a source reports.{hint} There are {', '.join(known)}")
    return name


def _some_green(states: dict[str, RunState]) -> dict[str, RunState]:
    if RunState.SUCCEEDED not in states.values():
        raise ValueError('none of its values means "succeeded", so no run could ever be green')
    return states


def _no_green_prefix(states: dict[str, RunState]) -> dict[str, RunState]:
    for name, state in states.items():
        if "*" in name[:-1]:
            raise ValueError(f"{name!r} has a * before its end: a * matches the rest of a state")
        if name.endswith("*") and state is RunState.SUCCEEDED:
            raise ValueError(f'{name!r} means "succeeded": name each such state in full, so that no other is green')
    return states


def _distinct_ignoring_case(states: dict[str, RunState]) -> dict[str, RunState]:
    by_lower_case: dict[str, str] = {}
    for name in states:
        if (first := by_lower_case.setdefault(name.lower(), name)) != name:
            raise ValueError(
                f"{first!r} and {name!r} are the same state: states are case-insensitive. Fix: keep one of them"
            )
    return states


States = Annotated[
    dict[str, Annotated[RunState, BeforeValidator(_checked_state)]],
    AfterValidator(_some_green),
    AfterValidator(_no_green_prefix),
    AfterValidator(_distinct_ignoring_case),
]
"""Native state -> ours, case-insensitive. A native state that is missing here is UNKNOWN and a warning, never
green. A name that ends with "*" is every other state that begins so; the longest one counts."""


_ZONE_PLACE = re.compile(r"\{(option\.[a-z_]+)\}")


def _zone_or_option(text: str, info: ValidationInfo) -> str:
    match = _ZONE_PLACE.fullmatch(text)
    if match and match[1] in (info.context or {}).get(PROFILE_PLACES, ()):
        return text
    try:
        return checked_zone(text)
    except ValueError as error:
        is_field = _PATH.fullmatch(text) and "/" not in text
        hint = ". Where each job has its own zone, name its field in jobs.schedule_zone" if is_field else ""
        raise ValueError(f"{error}{hint}") from None


ZoneOrOption = Annotated[str, AfterValidator(_zone_or_option)]
"""A zone; in a profile also "{option.NAME}", an option of type "zone"."""


class MappedFields(StrictOptions):
    """Settings of all rows."""

    times: Literal["iso", "seconds", "milliseconds", "compact"] = "iso"
    """How instants are written: ISO 8601, a number since 1970, or YYYYMMDDhhmmss. Where they are numbers, ISO 8601 with
    a zone is read as well: some APIs have both."""
    zone: ZoneOrOption = "UTC"
    """In which zone an instant without one is meant, and a job's schedule."""


class MappedJobFields(MappedFields):
    """Paths to the fields of a job."""

    id: FieldPath = Field(min_length=1)
    """Its identity: never changed, never reused."""
    title: FieldPath = ""
    """Its name for people."""
    schedule: FieldPath = ""
    """When it is meant to run."""
    schedule_zone: FieldPath = ""
    """The zone of its schedule, where each job has its own."""
    dialect: Literal["debian-cron", "cronie", "pg_cron", "airflow", "snowflake", "dbt_cloud", "quartz"] = "debian-cron"
    """How that is written: five fields of cron, by Debian's rules of DST or another's. `L` in the days is read by
    "snowflake", "dbt_cloud" and "airflow"; "quartz" has six fields, with `L`, `LW` and `#`."""
    next_at: FieldPath = ""
    """The instant of its next run: that of `schedule`, which may be a text of the source's own."""
    window: FieldPath = ""
    """How much later than its schedule it may begin, or be listed: seconds, or "180s". With it the instants of cron
    count, and `next_at` of other schedules alone: that instant may have the delay in it, or be that of a retry."""
    paused: FieldPath = ""
    """True while it starts nothing."""
    paused_if: tuple[str, ...] = ()
    """The values of paused that mean so, where it is a word."""
    enabled: FieldPath = ""
    """The opposite of paused."""
    definition: FieldPath = ""
    """The command or the SQL."""
    owner: FieldPath = ""
    """Its owner."""
    url: FieldPath = ""
    """Its page."""
    parent: FieldPath = ""
    """The id of the job that it is a task of: a flow or a group that is listed as a job too."""
    upstreams: FieldPath = ""
    """The ids of the jobs for which the source makes it wait: a list, its JSON, or one id. Of a list of objects, the
    field with the id: "needs.job"."""


class MappedRunFields(MappedFields):
    """Paths to the fields of a run."""

    id: FieldPath = Field(min_length=1)
    """Its identity."""
    job: FieldPath = Field(min_length=1)
    """The id of its job."""
    state: FieldPath = Field(min_length=1)
    """Its native state."""
    state_else: FieldPath = ""
    """Its native state where `state` has no value."""
    queued: FieldPath = ""
    """When it was requested."""
    started: FieldPath = ""
    """When it began."""
    ended: FieldPath = ""
    """When it ended."""
    duration: FieldPath = ""
    """From its start to its end, where the row has no end: exact where a zone changes its clock meanwhile. In
    milliseconds where times are, else in seconds."""
    period: FieldPath = ""
    """The instant for which it was due."""
    period_name: FieldPath = ""
    """Its data, where that is not the instant for which it was due: their date, a partition. Another
    name repairs nothing of this one."""
    scheduled: FieldPath = ""
    """A field with a value where its schedule started it: the start of any other run answers no schedule."""
    business_date: FieldPath = ""
    """Its business date, where the source has one: YYYY-MM-DD, YYYYMMDD or YYMMDD."""
    changed: FieldPath = ""
    """When the row changed last; by default its end, start or queueing."""
    exit_code: FieldPath = ""
    """A number."""
    message: FieldPath = ""
    """The outcome as the source reports it: an error."""
    url: FieldPath = ""
    """Its page."""
    first: FieldPath = ""
    """The id of the first run of its group, where a rerun is a run of its own that names it."""
    key: FieldPath = ""
    """Our action's id, as `verbs` send it: identifies a run that we requested. Of a list ("retries[*].reason") each
    item counts: a run may be repeated several times, and a source may merge several requests into one run."""


Row = Mapping[str, Any]


@dataclass(slots=True)
class FieldTally:
    """Which fields that a mapping names the rows have, while it counts."""

    rows: Counter[str] = field(default_factory=Counter)
    """Table ("jobs", "runs") -> number of its rows."""
    having: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(table, key, path) -> number of rows with that field."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Table -> the names in its first row."""
    known: set[str] = field(default_factory=set)
    """Digests of the rows that are counted: a row may be read twice."""

    def missing(self) -> Iterator[str]:
        """For each field that no row has, a sentence with its key, its value and the fix."""
        for (table, key, path), count in self.having.items():
            if not count:
                near = get_close_matches(path, self.names[table], n=1)
                fix = (
                    f'did you mean "{near[0]}"?' if near else "correct it, or ignore this where only some rows have it"
                )
                alone = " A run that is read alone may have it." if key in ("key", "started") else ""
                rows = f"none of {self.rows[table]} rows has" if self.rows[table] > 1 else "the only row does not have"
                yield f'{table}.{key}: {rows} "{path}".{alone} Fix: {fix}'


_thread = threading.local()


@contextmanager
def tallying(tally: FieldTally) -> Iterator[None]:
    """Counts the fields of the rows that this thread reads, as `counting` does its requests."""
    before, _thread.tally = getattr(_thread, "tally", None), tally
    try:
        yield
    finally:
        _thread.tally = before


def _note_fields(table: str, row: Row, fields: MappedFields) -> None:
    tally: FieldTally | None = getattr(_thread, "tally", None)
    if tally is None or not isinstance(row, dict) or (fingerprint := digest([table, row])) in tally.known:
        return
    tally.known.add(fingerprint)
    tally.rows[table] += 1
    tally.names.setdefault(table, list(row))
    for key in type(fields).model_fields:
        path = getattr(fields, key) if is_field_path(type(fields), key) and key not in OF_THE_ANSWER else ""
        if path:
            tally.having[table, key, path] += has_field(row, path)


MAX_ID_CHARACTERS = 500
MAX_TEXT_CHARACTERS = 4000
TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE = frozenset({"false", "f", "no", "n", "off", "0", ""})
MAX_AHEAD = timedelta(minutes=5)
"""How far ahead of the source's clock and ours a run's start or end may be."""
MAX_SECONDS = 10 * 366 * 86_400
"""The longest duration of a run."""
SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s?")
MAX_WINDOW = timedelta(days=7)
CRON = re.compile(r"[\d*/,-]+(?: +[\w*/,#?-]+){4,5}")
"""Five or six fields, unlike "first monday of may 17:00"."""
EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
"""Older instants are placeholders for "none"."""


class AheadOfClock(RecordUnreadable):
    """A run that began or ended in the future: a wrong zone or clock. It proves nothing before its time."""


def value_at(row: Any, path: str, missing: Any = None) -> Any:
    """The value at a path; `missing` without one. Braces make a text, `missing` where a part is missing or NaN."""
    if "{" not in path:
        return value_at_names(row, path, missing)
    parts = {name: value_at_names(row, name) for name in BRACES.findall(path)}
    if any(part is None or part != part for part in parts.values()):
        return missing
    return BRACES.sub(lambda match: str(parts[match[1]]), path)


@lru_cache(maxsize=4096)
def _steps(path: str) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(STEP.findall(path))


def value_at_names(row: Any, path: str, missing: Any = None) -> Any:
    """The same for a path without templates: a brace in it is part of a name."""
    for place, key, value, name in _steps(path):
        items = row.split("/") if place and isinstance(row, str) else row
        if key and isinstance(row, list):
            row = next((item for item in row if isinstance(item, dict) and item.get(key) == value), missing)
        elif place not in ("", EVERY_ITEM) and isinstance(items, list) and -len(items) <= int(place) < len(items):
            row = items[int(place)]
        elif name and isinstance(row, dict) and name in row:
            row = row[name]
        else:
            return missing
    return row


def has_field(row: Any, path: str) -> bool:
    """Whether a row has the field at a path, be its value null. A list or null above the field counts as having it."""
    return isinstance(row, dict) and all(_has_names(row, part) for part in BRACES.findall(path) or [path])


def _has_names(row: Any, path: str) -> bool:
    for _, _, _, name in _steps(path):
        if not (name and isinstance(row, dict)):
            return True
        if name not in row:
            return False
        row = row[name]
    return True


def with_value(row: Row, path: str, value: Any) -> Row:
    """The row with another value at a path of names; all of them are there."""
    name, _, below = path.partition(".")
    return {**row, name: with_value(row[name], below, value) if below else value}


def rows_at(document: Any, path: str) -> list[Any] | None:
    """The list of rows at a path ("" is the document itself); None for any other value. A path that ends with ".*" is
    an object of rows: the name of each is its field "*". "jobs.*.builds" is the rows of every row of a list, one after
    the other: the outer row is the field "*" of each, and alone where it has no such list."""
    outer, is_nested, inner = path.partition(".*.")
    if is_nested:
        return _inner_rows(rows_at(document, outer), inner)
    if path.endswith(".*"):
        value = value_at(document, path.removesuffix(".*"))
        rows = value.items() if isinstance(value, dict) else ()
        is_keyed = isinstance(value, dict) and all(isinstance(row, dict) for _, row in rows)
        return [{**row, "*": name} for name, row in rows] if is_keyed else None
    value = value_at(document, path) if path else document
    return value if isinstance(value, list) else None


def _inner_rows(outer: list[Any] | None, inner: str) -> list[Any] | None:
    """None where an outer row is not an object, or has another value than a list at `inner`."""
    rows: list[Any] = []
    for parent in outer or ():
        below = value_at(parent, inner, [{}])
        if not isinstance(parent, dict) or not isinstance(below, list):
            return None
        fields = {name: value for name, value in parent.items() if name != inner}
        rows += [{**row, "*": fields} if isinstance(row, dict) else row for row in below]
    return None if outer is None else rows


def text_at(row: Row, path: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    return _text_of(value_at(row, path) if path else None)[:most]


def texts_at(row: Any, path: str) -> list[str]:
    """The texts at a path, as `values_at`; null has none."""
    return [masked_head(_text_of(item), MAX_TEXT_CHARACTERS) for item in values_at(row, path) if item is not None]


def values_at(row: Any, path: str) -> list[Any]:
    """The values at a path: a step "[field=value]" selects every such item of a list, "[*]" and a name every one, and a
    list at the end has a value for each item."""
    values = [row if "{" not in path else value_at(row, path)] if path else []
    for step in STEP.finditer(path) if "{" not in path else ():
        values = [below for value in values for below in _values_below(value, step)]
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _values_below(value: Any, step: re.Match[str]) -> list[Any]:
    if step[2] or step[1] == EVERY_ITEM:
        return _items_with(value, step[2], step[3])
    items = value if step[4] and isinstance(value, list) else [value]
    return [value_at_names(item, step[0]) for item in items]


def _items_with(row: Any, field: str, value: str) -> list[Any]:
    """Those with a value in a field; all of them without a field."""
    items = row if isinstance(row, list) else ()
    return [item for item in items if not field or (isinstance(item, dict) and item.get(field) == value)]


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else json.dumps(value, ensure_ascii=False)  # an encoder costs 20 times that


def id_at(row: Row, path: str, what: str) -> str:
    """A name or number that identifies `what`. Raises RecordUnreadable."""
    value = value_at(row, path)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise RecordUnreadable(f"{what}: no name or number at {path!r}")
    if len(str(value)) > MAX_ID_CHARACTERS:
        raise RecordUnreadable(f"{what} at {path!r} is longer than {MAX_ID_CHARACTERS} characters")
    return str(value)


def instant_at(row: Row, path: str, fields: MappedFields, after: datetime | None = None) -> datetime | None:
    """Aware UTC; None without a value. `after`: an instant of the row before it, which decides between the two readings
    of a local time in the hour that comes twice. Raises RecordUnreadable for a value that is not an instant."""
    value = value_at(row, path) if path else None
    return None if value is None or value == "" else instant_of(value, path, fields, after)


def instant_of(value: Any, what: str, fields: MappedFields, after: datetime | None = None) -> datetime:
    try:
        if fields.times in ("seconds", "milliseconds") and not (isinstance(value, str) and _ZONED.fullmatch(value)):
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
            seconds = number if fields.times == "seconds" or number is None else number / 1000
            return datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]  # None is refused below
        digits = str(value) if isinstance(value, int) else value
        at = datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}" if fields.times == "compact" else value)
        return local_instant(at, ZoneInfo(fields.zone), after) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        text, near = f"{masked_head(str(value), 60)!a} at {what!r} is not an instant", _likely_times(value)
        fix = f'times = "{near}"' if near not in ("", fields.times) else "name another field, or correct times"
        raise RecordUnreadable(f"{text} written as {fields.times} (times = …). Fix: {fix}") from None


_ZONED = re.compile(r"\d{4}-\d\d-\d\dT.{1,20}(?:Z|[+-]\d\d:?\d\d)")


def _likely_times(value: Any) -> str:
    """The setting of `times` by which a value would be an instant; "" without one."""
    digits = str(value).partition(".")[0]
    if digits.isascii() and digits.isdigit():
        return {10: "seconds", 13: "milliseconds", 14: "compact"}.get(len(digits), "")
    return "iso" if isinstance(value, str) and re.match(r"\d{4}-?\d\d-?\d\dT", value) else ""


def date_at(row: Row, path: str) -> date | None:
    """None without a value. Raises RecordUnreadable for a value that is not a date."""
    text = text_at(row, path, 20)
    try:
        return date.fromisoformat(f"20{text}" if len(text) == len("YYMMDD") else text) if text else None
    except ValueError:
        raise RecordUnreadable(f"{text!a} at {path!r} is not a date") from None


def truth_at(row: Row, path: str) -> bool | None:
    value = value_at(row, path) if path else None
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in TRUE | FALSE:
        raise RecordUnreadable(f"{masked_head(text, 60)!a} at {path!r} is neither true nor false")
    return text in TRUE


def read_job(row: Row, fields: MappedJobFields, proof: ProofLevel) -> JobRecord:
    """One job. Raises RecordUnreadable."""
    _note_fields("jobs", row, fields)
    native_id = id_at(row, fields.id, "the job's id")
    expression, next_at = text_at(row, fields.schedule), instant_at(row, fields.next_at, fields)
    values = fields.paused_if
    is_paused = text_at(row, fields.paused) in values if values else truth_at(row, fields.paused)
    paused = is_paused or truth_at(row, fields.enabled) is False
    definition = text_at(row, fields.definition)
    parent, upstreams = text_at(row, fields.parent, MAX_ID_CHARACTERS), _upstreams(row, fields.upstreams)
    relations = [parent, *sorted(upstreams)] if parent or upstreams else []
    return JobRecord(
        native_id=native_id,
        title=text_at(row, fields.title, 200),
        schedule=_schedule(row, fields, expression, next_at),
        paused=paused,
        definition=definition,
        definition_hash=digest([definition, *relations]) if fields.definition or relations else "",
        proof=proof,
        native_url=text_at(row, fields.url, 500),
        owner=text_at(row, fields.owner, 200),
        parent=parent or None,
        upstreams=upstreams,
    )


def _upstreams(row: Row, path: str) -> tuple[str, ...]:
    """The ids at a path, in JSON where one is not a text; without null and ""."""
    values = values_at(row, path)
    if len(values) == 1 and isinstance(values[0], str) and values[0].lstrip().startswith("["):
        with suppress(ValueError, RecursionError):  # another text
            values = json.loads(values[0])
    return tuple(_text_of(value)[:MAX_ID_CHARACTERS] for value in values if value not in (None, ""))


def _is_zone(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _schedule(row: Row, fields: MappedJobFields, expression: str, next_at: datetime | None) -> Schedule:
    zone = text_at(row, fields.schedule_zone, 100) or fields.zone
    window = _window_at(row, fields)
    if not expression:
        return Schedule("none", next_at=next_at, window=window)
    if next_at is not None and not _is_zone(zone):
        return Schedule(fields.dialect, text=f"{expression} {zone}", next_at=next_at, window=window)
    following = None if window and CRON.fullmatch(expression) else next_at
    return Schedule(fields.dialect, expression, zone, expression, following, window)


def _window_at(row: Row, fields: MappedJobFields) -> timedelta:
    text = text_at(row, fields.window)
    seconds = SECONDS.fullmatch(text or "0")
    if seconds is None:
        raise RecordUnreadable(f"{masked_head(text, 60)!a} at {fields.window!r} is not a number of seconds")
    return min(timedelta(seconds=float(seconds[1])), MAX_WINDOW)


def read_run(
    row: Row,
    fields: MappedRunFields,
    states: Mapping[str, RunState],
    clock: TargetClock | None = None,
    job: str = "",
    started_path: str = "",
) -> RunRecord:
    """The run in a row. `clock`: the source's; `job`: of a row that does not name it; `started_path`: the path of its
    start where `fields` names another. Raises RecordUnreadable."""
    _note_fields("runs", row, fields)
    fields = fields.model_copy(update={"started": started_path}) if started_path else fields
    native_state = native_state_at(row, fields)
    state = state_of(native_state, states)
    queued = instant_at(row, fields.queued, fields)
    started, ended = _times(row, fields, clock, queued)
    period, keys = instant_at(row, fields.period, fields), texts_at(row, fields.key)
    native_id = id_at(row, fields.id, "the run's id")
    by_hand = fields.scheduled != "" and not text_at(row, fields.scheduled)
    code = value_at(row, fields.exit_code) if fields.exit_code else None
    first = text_at(row, fields.first, MAX_ID_CHARACTERS)
    is_next_try = state is RunState.RETRYING and first not in ("", native_id)
    return RunRecord(
        job=job or id_at(row, fields.job, "the job of the run"),
        attempt_key=native_id,
        state=state,
        native_state=native_state,
        period_key=instant_key(period) if period else native_id if by_hand else None,
        period_at=period,
        period_kind=PeriodKind.RUN if by_hand else None,
        period_name=text_at(row, fields.period_name),
        queued_at=None if is_next_try else queued,  # some sources keep that of the first try
        started_at=started,
        ended_at=None if state.is_open else ended,
        exit_code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        message=text_at(row, fields.message),
        native_ref=native_id,
        native_url=text_at(row, fields.url, 500),
        action_key=next(filter(ACTION_KEY.fullmatch, reversed(keys)), None),
        business_date=date_at(row, fields.business_date),
        again_of=first if first != native_id else "",
    )


RESULTS = {
    Verb.CANCEL: (RunState.CANCELLED,),
    Verb.MARK_OK: (RunState.SUCCEEDED,),
    Verb.SKIP: (RunState.SKIPPED, RunState.SUCCEEDED),
}
"""The states of a run by which a verb that changes it is found."""


def has_result(
    verb: Verb, row: Row | None, run_id: str, fields: MappedRunFields, states: Mapping[str, RunState]
) -> LookUpResult:
    """Whether a cancel or a mark arrived, by the row of its run. Any other result is ActionUnknown."""
    if row is None:
        return ActionUnknown(f"run {run_id} is not listed any more")
    try:
        native_state = native_state_at(row, fields)
    except RecordUnreadable as error:
        return ActionUnknown(f"run {run_id} cannot be read: {error}")
    state = state_of(native_state, states)
    if state.is_open:
        return ActionUnknown(f"run {run_id} is still {native_state}")
    if state not in RESULTS[verb]:
        why = "it ended by itself, or before the cancel came" if verb is Verb.CANCEL else "it does not show the mark"
        return ActionUnknown(f"run {run_id} is {native_state}: {why}")
    return ActionFound(run_id, f"it has ended: {native_state}")


def _times(
    row: Row, fields: MappedRunFields, clock: TargetClock | None, queued: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Start and end, where plausible. Raises RecordUnreadable."""
    started = instant_at(row, fields.started, fields, queued)
    ended = instant_at(row, fields.ended, fields, started or queued)
    duration = value_at(row, fields.duration) if fields.duration else None
    now = max(datetime.now(UTC), clock.target if clock is not None else EARLIEST)
    if ended is None and started is not None and started <= now + MAX_AHEAD and isinstance(duration, int | float):
        per_second = 1000 if fields.times == "milliseconds" else 1
        # compared first: a long integer does not fit into a float
        is_plausible = 0 <= duration < MAX_SECONDS * per_second
        ended = started + timedelta(seconds=duration / per_second) if is_plausible else None
    for at, what, path in ((started, "began", fields.started), (ended, "ended", fields.ended)):
        if at is not None and at < EARLIEST:
            shown = masked_head(str(value_at(row, path)), 60)
            raise RecordUnreadable(f"{shown!a} at {path!r} is not a run's time: leave it empty without one")
        if at is not None and at > now + MAX_AHEAD:
            minutes = round((at - now).total_seconds() / 60)
            fix = "correct zone or times in the config, or the clock that wrote it"
            raise AheadOfClock(f"it {what} at {instant_key(at)}, {minutes} min in the future: {fix}")
    if started is not None and ended is not None and ended < started:
        raise RecordUnreadable(f"it ended ({instant_key(ended)}) before it began ({instant_key(started)})")
    return started, ended


def native_state_at(row: Row, fields: MappedRunFields) -> str:
    """The source's state of a run. Raises RecordUnreadable without one."""
    is_missing = fields.state_else and value_at(row, fields.state) is None
    return id_at(row, fields.state_else if is_missing else fields.state, "the state")


def state_of(native_state: str, states: Mapping[str, RunState]) -> RunState:
    """Our state for the source's; UNKNOWN for one that `states` does not name."""
    return matched(native_state, states) or RunState.UNKNOWN


def matched(native: str, meanings: Mapping[str, Meaning]) -> Meaning | None:
    """The meaning of a source's value, whatever its case; None for one that is not named. A name that ends with "*" is
    every other value that begins so; the longest one counts."""
    if native in meanings:
        return meanings[native]
    by_lower_case, name = {name.lower(): meaning for name, meaning in meanings.items()}, native.lower()
    if name in by_lower_case:
        return by_lower_case[name]
    prefixes = [key for key in by_lower_case if key.endswith("*") and name.startswith(key[:-1])]
    return by_lower_case[max(prefixes, key=len)] if prefixes else None


def changed_at(row: Row, fields: MappedRunFields, run: RunRecord) -> datetime | None:
    """When the row changed last; None where it does not say."""
    latest = run.ended_at or run.started_at or run.queued_at
    return instant_at(row, fields.changed, fields, latest) or latest


def unknown_states(runs: Iterable[RunRecord]) -> tuple[str, ...]:
    names = dict.fromkeys(run.native_state for run in runs if run.state is RunState.UNKNOWN)
    return tuple(f"unknown state {masked_head(name, 60)!r}: shown as UNKNOWN until states names it" for name in names)


def skipped(place: str, row: Any, error: RecordUnreadable) -> SkippedRecord:
    return SkippedRecord(place, str(error), masked_head(json.dumps(row, default=str), 200))


def jobs_of(
    rows: Iterable[Any], fields: MappedJobFields, proof: ProofLevel
) -> tuple[list[JobRecord], list[SkippedRecord]]:
    """The jobs by id, each once; and the rows that cannot be read."""
    jobs: dict[str, JobRecord] = {}
    bad: list[SkippedRecord] = []
    for number, row in enumerate(rows, 1):
        try:
            job = read_job(row, fields, proof)
            if jobs.setdefault(job.native_id, job) != job:
                raise RecordUnreadable(f"another job has the id {job.native_id!r} as well")
        except RecordUnreadable as error:
            bad.append(skipped(f"job {number}", row, error))
    return [jobs[name] for name in sorted(jobs)], bad


def inventory_of(
    rows: Iterable[Any], fields: MappedJobFields, proof: ProofLevel, previous_hash: str, clock: TargetClock | None,
    cut: str,
) -> Inventory:  # fmt: skip
    """The jobs of a whole list. `cut`: why rows may be missing, or "". Not complete where a row cannot be read."""
    jobs, unread = jobs_of(rows, fields, proof)
    unread += [SkippedRecord("jobs", cut)] if cut else []
    jobs, unrelated = _related(jobs, is_complete=not unread)
    skipped = (*unread, *unrelated)
    jobs_hash = digest([[str(job) for job in jobs], [str(record) for record in skipped]])
    inventory = Inventory(tuple(jobs), not unread, jobs_hash, clock=clock, skipped=skipped)
    return inventory.unless_same(previous_hash)


def _related(jobs: Iterable[JobRecord], is_complete: bool) -> tuple[list[JobRecord], list[SkippedRecord]]:
    """The jobs, each with another job as its parent and with every other upstream once; and what is wrong. An id that
    a complete list does not have is reported, and stays: it may be of a job of another target."""
    jobs = list(jobs)
    known, related, faulty = {job.native_id for job in jobs}, list[JobRecord](), list[SkippedRecord]()
    for job in jobs:
        faults = list[str]()
        for name, times in Counter(job.upstreams).items():
            if name == job.native_id:
                faults.append("it waits for itself")
            elif is_complete and name not in known:
                faults.append(f"upstream {masked_head(name, 60)!a} is not in this list of jobs")
            elif times > 1:
                faults.append(f"upstream {masked_head(name, 60)!a} is named {times} times")
        if job.parent == job.native_id:
            faults.append("it is its own parent")
        elif is_complete and job.parent is not None and job.parent not in known:
            faults.append(f"parent {masked_head(job.parent, 60)!a} is not in this list of jobs")
        if faults:
            faulty.append(SkippedRecord(f"job {masked_head(job.native_id, 200)}", listed(faults, 10), is_relation=True))
        parent = job.parent if job.parent != job.native_id else None
        related.append(replace(job, parent=parent, upstreams=tuple(sorted({*job.upstreams} - {job.native_id}))))
    return related, faulty
