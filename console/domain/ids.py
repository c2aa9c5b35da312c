"""Names and ids of jobs, incidents and actions, and the one conversion between instants and stored integers."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from unicodedata import normalize

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=366)
"""Limit of times in requests, from now: a later one is a typing error."""
MAX_ID_DIGITS = 18
"""Maximum digits of an id in the database."""
MAX_INTEGER = 2**63 - 1
"""Largest integer of the database."""
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def name_key(name: str) -> str:
    """The name of a person as names are compared: in any case, with an accent as one character or two."""
    return normalize("NFC", normalize("NFC", name).casefold())


def micros(instant: datetime) -> int:
    """Microseconds since 1970, UTC, as stored. Raises ValueError for a naive time."""
    if instant.tzinfo is None:
        raise ValueError(f"a stored instant must be aware, got {instant!r}")
    return (instant - EPOCH) // timedelta(microseconds=1)


def optional_micros(instant: datetime | None) -> int | None:
    return None if instant is None else micros(instant)


_FIRST, _LAST = (
    (end - EPOCH) // timedelta(microseconds=1)
    for end in (datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC))
)
"""Two days from either end of the calendar, so that every zone can show it."""


def instant(stored: int) -> datetime:
    """The aware UTC instant of a stored integer; of one out of range the nearest that every zone can show."""
    return EPOCH + timedelta(microseconds=stored if _FIRST <= stored <= _LAST else min(max(stored, _FIRST), _LAST))


def exact_instant(stored: int) -> datetime:
    """As `instant`, but raises OverflowError out of range."""
    return EPOCH + timedelta(microseconds=stored)


def optional_instant(stored: int | None) -> datetime | None:
    return None if stored is None else instant(stored)


def utc_second(at: datetime) -> str:
    """ "2026-11-20 06:26:50Z": as `utc_minute`, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def utc_minute(at: datetime) -> str:
    """ "2026-11-20 06:26Z": an instant in a text that is shown in every zone."""
    return f"{at:%Y-%m-%d %H:%M}Z"


def job_name(system: str, native_id: str) -> str:
    """ "system/native-id"."""
    return f"{system}/{native_id}"


def split_job_name(name: str) -> tuple[str, str]:
    """(system, native id). Raises ValueError without a slash."""
    system, slash, native_id = name.partition("/")
    if not slash or not system or not native_id:
        raise ValueError(f'"{name}" is not a job name; write system/native-id')
    return system, native_id


def is_suffix_of(typed: str, name: str) -> bool:
    """True if `typed` is an end of the job's name after "/" or ":": "load_orders" and "db07:load_orders" for
    "etl/db07:load_orders"."""
    return typed != "" and name.endswith((f"/{typed}", f":{typed}"))


def incident_name(incident_id: int) -> str:
    return f"INC-{incident_id:04d}"


def incident_id(name: str) -> int:
    """The id in "INC-0412", "inc-412" or "412". Raises ValueError otherwise."""
    digits = name.upper().removeprefix("INC-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > MAX_ID_DIGITS:
        raise ValueError(f'"{name}" is not an incident; write INC-0001')
    return int(digits)


def new_action_key() -> str:
    """A new id of an action, sortable by time, valid in every scheduler's names (contract.ACTION_KEY)."""
    import secrets  # noqa: PLC0415 - hmac and hashlib with it: 3 ms that no first paint needs

    number = (time.time_ns() // 1_000_000 << 50) | secrets.randbits(50)
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _DIGITS[digit] + digits
    return f"headway-{digits}"


def derived_key(*parts: str) -> str:
    """An action's id derived from these parts, so that the same decision is one action."""
    import hashlib  # noqa: PLC0415 - see new_action_key

    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:15])
    digits = "".join(_DIGITS[number >> 5 * place & 31] for place in range(24))
    return f"headway-{digits}"
