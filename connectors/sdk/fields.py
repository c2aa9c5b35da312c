"""Fields of a JSON row, validated on reading. A field of the wrong shape raises RecordUnreadable with its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakSet

from pydantic import TypeAdapter, ValidationError

from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.records import SkippedRecord

T = TypeVar("T")
Row = Mapping[str, Any]
Parsed = TypeVar("Parsed")

SAMPLE_CHARACTERS = 200
CONTEXT_CHARACTERS = 2000


class Masker(Protocol):
    """The part of a `SecretStore` that masks."""

    @property
    def longest(self) -> int:
        """Length of the longest text that it masks."""

    def mask_part(self, text: str, begins_cut: bool, ends_cut: bool) -> str: ...


MASKERS: WeakSet[Masker] = WeakSet()
"""Every secret store of this process adds itself."""


def mask_known(text: str) -> str:
    """The text without the secrets that this process knows."""
    for masker in list(MASKERS):
        text = masker.mask_part(text, begins_cut=False, ends_cut=False)
    return text


def masked_head(text: str, limit: int) -> str:
    """The beginning of outside text, masked before it is cut: the rest of a secret after a cut is not found. A text as
    long as the limit may have been cut by its host. A shorter one is masked where it leaves the process, as any
    other."""
    if len(text) < limit:
        return text
    maskers = list(MASKERS)
    text = text[: limit + 2 * max((masker.longest for masker in maskers), default=0)]
    for masker in maskers:
        text = masker.mask_part(text, begins_cut=False, ends_cut=True)
    return text[:limit]


def clean(value: str) -> str:
    """`value` with lone surrogates, which JSON can contain and no store accepts, replaced."""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text(row: Row, name: str) -> str:
    """A required text that is not empty."""
    result = row.get(name)
    if not isinstance(result, str) or not result:
        raise RecordUnreadable(f"{name} is {_sample(result)}, not a text")
    return clean(result)


def optional_text(row: Row, name: str) -> str:
    return "" if row.get(name) in (None, "") else text(row, name)


def number(row: Row, name: str, missing: int) -> int:
    result = row.get(name)
    if result is None:
        return missing
    if isinstance(result, bool) or not isinstance(result, int):
        raise RecordUnreadable(f"{name} is {_sample(result)}, not a whole number")
    return result


def positive(row: Row, name: str) -> int:
    """A whole number above 0: a required id."""
    value = number(row, name, 0)
    if value <= 0:
        raise RecordUnreadable(f"{name} is {value}, not an id")
    return value


def instant(row: Row, name: str) -> datetime | None:
    """An aware instant in UTC, or None where it is missing."""
    result = row.get(name)
    if result is None:
        return None
    try:
        at = datetime.fromisoformat(result)
        if at.tzinfo is None:
            raise RecordUnreadable(f"{name} {_sample(result)} has no zone")
        return at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise RecordUnreadable(f"{name} is {_sample(result)}, not an instant") from None


def rows(value: Any) -> list[Any]:
    """A list, or an empty one."""
    return value if isinstance(value, list) else []


def table(value: Any) -> Row:
    """A JSON object. Raises RecordUnreadable for anything else."""
    if not isinstance(value, dict):
        raise RecordUnreadable(f"the row is {_sample(value)}, not an object")
    return value


def subtable(value: Any, *names: str) -> Row:
    """The JSON object below `value` by these names, one below the other; an empty one without it."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def tables(value: Any) -> list[Row]:
    """The JSON objects of a list; anything else in it, or in its place, is left out."""
    return [row for row in rows(value) if isinstance(row, dict)]


def parse_table(document: str) -> Row:
    """The JSON object in a text of ours: a cursor, a reference, a place in a log. Raises RecordUnreadable."""
    try:
        return table(json.loads(document))
    except (ValueError, RecursionError):
        raise RecordUnreadable("it is not JSON") from None


def readable(
    items: Iterable[Any], parse: Callable[[Any], Parsed], where: str = "", unreadable: list[SkippedRecord] | None = None
) -> list[Parsed]:
    """The result of `parse` for each row; unreadable rows are added to `unreadable` as records of `where`."""
    parsed = []
    for row in items:
        try:
            parsed.append(parse(row))
        except RecordUnreadable as error:
            if unreadable is not None:
                unreadable.append(skipped(where, error, row))
    return parsed


def skipped(where: str, error: RecordUnreadable, row: Any) -> SkippedRecord:
    return SkippedRecord(where, str(error), clean(_sample(row)))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raises RecordUnreadable, naming `what`, for any error that values of a wrong shape cause. Also a decorator."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"{what}: {type(error).__name__}: {error}") from None


def _sample(value: Any) -> str:
    try:
        return masked_head(json.dumps(value), SAMPLE_CHARACTERS)
    except (ValueError, TypeError, RecursionError):
        return f"a {type(value).__name__}"


def to_json(value: Any) -> str:
    """A value as JSON on one line, for people."""
    return json.dumps(value, ensure_ascii=False)


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns, written as in a shell, matches the name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def listed(names: Sequence[str], most: int) -> str:
    """ "load, publish and 3 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def bounded_context(context: dict[str, Any], largest: str) -> Mapping[str, Any]:
    """`context` as plain JSON, without its None values, and without `largest` where that would make it too big."""
    context = {name: value for name, value in context.items() if value is not None}
    try:
        text = clean_json(context)
        if len(text) > CONTEXT_CHARACTERS:
            context.pop(largest, None)
            text = clean_json({**context, f"{largest}_left_out": "too large"})
        return dict(json.loads(text)) if len(text) <= CONTEXT_CHARACTERS else {}
    except (ValueError, TypeError, RecursionError):
        raise RecordUnreadable("the row's own values are not plain JSON") from None


def clean_json(value: Any) -> str:
    """JSON text without NaN, infinity and lone surrogates."""
    return clean(json.dumps(value, allow_nan=False, ensure_ascii=False))


def digest(value: object) -> str:
    """SHA-256 of anything that JSON can write; anything else counts as its text."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()


def short_digest(value: object) -> str:
    """A short fingerprint of plain values. Raises RecordUnreadable where they are not plain."""
    try:
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
    except (ValueError, TypeError, RecursionError):
        raise RecordUnreadable("the definition is not plain JSON") from None


def parse_instant(key: Any) -> datetime | None:
    """An aware instant from outside, in UTC, or None for anything else."""
    try:
        at = datetime.fromisoformat(key)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def from_json(kind: Callable[..., T], text: str) -> T:
    """The dataclass `kind` in a JSON text of ours: a cursor, a reference, a place in a log. Raises RecordUnreadable."""
    try:
        result: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        raise RecordUnreadable(f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip()) from None
    except ValueError:
        raise RecordUnreadable("it is not JSON") from None
    return result


def as_json(record: Any) -> str:
    """A dataclass as the text that `from_json` reads."""
    return json.dumps(asdict(record), default=datetime.isoformat, separators=(",", ":"))


def read_reference(kind: Callable[..., T], native_ref: str) -> T | None:
    """The dataclass `kind` in the reference of a run; None without one (a MISSED run)."""
    try:
        return from_json(kind, native_ref)
    except RecordUnreadable:
        return None


def reference_row(native_ref: str) -> Row:
    """The JSON object in the reference of a run; an empty one without a reference."""
    try:
        return parse_table(native_ref)
    except RecordUnreadable:
        return {}


CURSOR_UNREADABLE = "the cursor cannot be read"
"""Begin of the warning that says from where it is read again."""


def cursor_from_json(kind: Callable[..., T], text: str) -> T:
    """The dataclass `kind` in the JSON text of a stored cursor. Raises RecordUnreadable, also for a cursor of another
    layout: an object with none of its fields."""
    cursor, row = from_json(kind, text), parse_table(text)
    if row and not row.keys() & {field.name for field in fields_of(cast("Any", cursor))}:
        raise RecordUnreadable(f"its layout is not known: {masked_head(', '.join(row), SAMPLE_CHARACTERS)}")
    return cursor


def cursor_or_first(first: T, text: str, instead: str = "history is read again") -> tuple[T, tuple[str, ...]]:
    """The cursor (a dataclass as `first`) in a JSON text; `first` for "" and, with a warning that says what happens
    `instead`, for any other text."""
    try:
        return (cursor_from_json(type(first), text) if text else first), ()
    except RecordUnreadable as error:
        return first, (f"{CURSOR_UNREADABLE} ({error}); {instead}",)


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_instant(seconds: object) -> datetime | None:
    """Seconds since 1970, a number or its text, to aware UTC. None for None, and for what no datetime can hold."""
    try:
        return None if seconds is None else EPOCH + timedelta(microseconds=int(Decimal(str(seconds)) * 1_000_000))
    except (InvalidOperation, ValueError, OverflowError):
        return None


def local_instant(
    local: datetime, zone: tzinfo, after: datetime | None = None, until: datetime | None = None
) -> datetime:
    """The instant (UTC) of a naive reading of a zone's clock. Where the clocks go back, a reading comes twice: it is
    the later one if the earlier is before `after`, and the later not after `until`."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    is_second = second > first and after is not None and first < after and (until is None or second <= until)
    return second if is_second else first


def unreadable_times(row: Row) -> dict[str, Any]:
    """Context of a run whose start or end no calendar holds; {} for any other."""
    times = {name: row[name] for name in ("started", "ended") if row[name] is not None}
    unreadable = {name: value for name, value in times.items() if epoch_instant(value) is None}
    return {"times that no calendar holds": unreadable} if unreadable else {}
