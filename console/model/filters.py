"""The filter language of Jobs and Runs, one for screens and commands: text in, a value out. Pure.

`word` stands in the job's name, `-word` or `!word` does not, `~word` has its letters in that order; `field:value` is
about a field, `-field:value` leaves out; `a,b` is a or b. What is quoted is a word whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from connectors.words import State
from console.durations import parse_duration

FIELDS = {
    "state": "state:failed, or how it begins: state:fail",
    "system": "system:airflow, part of the system's name or its kind",
    "owner": "owner:data-platform, part of the owner; owner:me is you and your groups",
    "service": "service:supply, what hangs below a service of that name",
    "tier": "tier:1 or tier:<=2, what a service of that tier hangs on",
    "age": "age:<2h or age:>1d, how long ago its run began",
    "since": "since:-2h, since:22:00 or since:2026-11-20, what ran, ended or began since",
    "bd": "bd:2026-11-19, the business date",
}
ME = "me"
TIERS = range(1, 6)
_TERM = re.compile(r'(?P<sign>[-!~]?)(?:(?P<field>[^\s:"]+):)?(?P<value>.*)', re.DOTALL)
_WORD = re.compile(r'[-!~]?(?:[^\s:"]+:)?"[^"]*"?|\S+')
_TIER = re.compile(r"(<=|>=|<|>)?([1-5])")


class FilterError(ValueError):
    """A filter that cannot be read: place, value and mend in one line."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What `/` means: words that must stand in the job's name, and fields. Empty: everything. Of a field with several
    values one must hold; of several fields each."""

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    """Parts of a system's name, or its whole kind."""
    owners: tuple[str, ...] = ()
    problems_only: bool = False
    services: tuple[str, ...] = ()
    """Jobs that one of these services hangs on."""
    fuzzy: tuple[str, ...] = ()
    """Words whose letters stand in the name in that order."""
    tiers: tuple[int, ...] = ()
    """Jobs that a service of one of these tiers hangs on."""
    younger: timedelta | None = None
    older: timedelta | None = None
    """How long ago the run began."""
    since: timedelta | datetime | None = None
    """Not over before: so long ago, or that instant."""
    dates: tuple[str, ...] = ()
    """Business dates, ISO."""
    not_states: tuple[str, ...] = ()
    not_systems: tuple[str, ...] = ()
    not_owners: tuple[str, ...] = ()
    not_services: tuple[str, ...] = ()

    @property
    def is_about_runs(self) -> bool:
        """True where the run itself must be looked at, not only its job and state."""
        return any((self.younger, self.older, self.since, self.dates))


def parse_filter(text: str, now: datetime | None = None, zone: tzinfo = UTC, only_problems: bool = False) -> JobFilter:
    """The filter that was typed. `now` and `zone`: what `since:22:00` goes by. Raises FilterError."""
    return parse_terms(_WORD.findall(text), now, zone, only_problems)


def parse_terms(
    terms: Iterable[str], now: datetime | None = None, zone: tzinfo = UTC, only_problems: bool = False
) -> JobFilter:
    """The same of words that are split already, as a shell does it. Raises FilterError."""
    found = JobFilter(problems_only=only_problems)
    for term in terms:
        found = _with_term(found, term, now, zone)
    return found


def _with_term(found: JobFilter, term: str, now: datetime | None, zone: tzinfo) -> JobFilter:
    match = _TERM.fullmatch(term)
    sign, field, value = match.group("sign", "field", "value") if match else ("", None, term)
    is_quoted = value.startswith('"')
    if field and field.lower() in FIELDS and sign != "~":
        return _with_field(found, field.lower(), _bare(value), sign in ("-", "!"), now, zone)
    word = _bare(term[len(sign) :])
    if field and not is_quoted:
        _refuse_typo(field)
    if not word:
        return found
    return _added(found, {"": "words", "~": "fuzzy"}.get(sign, "without"), [word])


def _added(found: JobFilter, name: str, values: Sequence[Any]) -> JobFilter:
    changes: dict[str, Any] = {name: (*getattr(found, name), *values)}
    return replace(found, **changes)


def _bare(value: str) -> str:
    return value.replace('"', "")


def _refuse_typo(field: str) -> None:
    """Names of jobs hold colons, so a word may; one that is nearly a field is taken for a slip."""
    from difflib import get_close_matches  # noqa: PLC0415 - no first paint waits for it

    near = get_close_matches(field.lower(), FIELDS, n=1, cutoff=0.75)
    if near:
        raise FilterError(f'no field "{field}:"; did you mean {near[0]}:? In quotes it is a word of a name')


def _with_field(
    found: JobFilter, field: str, value: str, is_out: bool, now: datetime | None, zone: tzinfo
) -> JobFilter:
    values = tuple(filter(None, value.split(",")))
    if not values:
        raise FilterError(f"{field}: wants a value, as in {FIELDS[field]}")
    if field in ("state", "system", "owner", "service"):
        name = f"not_{field}s" if is_out else f"{field}s"
        return _added(found, name, [one for part in values for one in _states(part)] if field == "state" else values)
    if is_out:
        raise FilterError(f"-{field}: cannot be left out; write it the other way round, as in {FIELDS[field]}")
    if field == "tier":
        return _added(found, "tiers", [one for part in values for one in _tiers(part)])
    if field == "bd":
        return _added(found, "dates", list(map(_date, values)))
    if field == "since":
        return replace(found, since=_since(value, now, zone))
    return replace(found, **_age(value))


def _states(value: str) -> Sequence[str]:
    wanted = value.lower().replace("-", "_")
    states = [state.value for state in State if state.value.startswith(wanted)]
    if not states:
        raise FilterError(f'no state begins with "{value}"; there are {", ".join(State)}')
    return [wanted] if wanted in states else states


def _tiers(value: str) -> Sequence[int]:
    match = _TIER.fullmatch(value)
    if match is None:
        raise FilterError(f'tier: "{value}" is no tier; there are 1 to 5, as in {FIELDS["tier"]}')
    than, number = match[1] or "=", int(match[2])
    is_meant = {
        "=": number.__eq__, "<": number.__gt__, "<=": number.__ge__, ">": number.__lt__, ">=": number.__le__
    }[than]  # fmt: skip
    return [tier for tier in TIERS if is_meant(tier)]


def _age(value: str) -> dict[str, Any]:
    if value[0] not in "<>":
        raise FilterError(f'age: "{value}" is neither younger nor older; write age:<2h or age:>1d')
    try:
        return {"younger" if value[0] == "<" else "older": parse_duration(value[1:].removeprefix("="))}
    except ValueError as error:
        raise FilterError(f"age: {error}") from None


def _date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise FilterError(f'bd: "{value}" is no date; write {FIELDS["bd"]}') from None


def _since(value: str, now: datetime | None, zone: tzinfo) -> timedelta | datetime:
    try:
        return parse_duration(value.removeprefix("-"))
    except ValueError:
        pass
    try:
        if now is not None and re.fullmatch(r"\d{1,2}:\d\d", value):
            return _last(time.fromisoformat(value.zfill(5)), now.astimezone(zone))
        at = datetime.fromisoformat(value)
    except ValueError:
        raise FilterError(f'since: "{value}" is no time; write {FIELDS["since"]}') from None
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def _last(clock: time, local: datetime) -> datetime:
    """The last time that the wall clock showed this, up to now."""
    at = datetime.combine(local.date(), clock, local.tzinfo)
    return at if at <= local else datetime.combine(local.date() - timedelta(days=1), clock, local.tzinfo)
