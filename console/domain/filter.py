"""The filter language of Jobs and Runs, shared by screens and commands. `word` occurs in the job's name, `-word` or
`!word` does not, `~word` has its letters in that order; `field:value` tests a field, `-field:value` excludes; `a,b` is
a or b; quotes join words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple

from connectors.sdk.states import RunState
from console.timing.durations import parse_duration

FILTER_FIELDS = {
    "state": "state:failed, or how it begins: state:fail",
    "system": "system:airflow, part of the system's name or its kind",
    "owner": "owner:data-platform, part of the owner; owner:me is you and your groups",
    "service": "service:supply, jobs upstream of that service",
    "tier": "tier:1 or tier:<=2, jobs upstream of a service of that tier",
    "age": "age:<2h or age:>1d, how long ago its run began",
    "since": "since:-2h, since:22:00 or since:2026-11-20, what ran, ended or began since",
    "business_date": "business_date:2026-11-19, the business date",
}
ME = "me"
TIERS = range(1, 6)
_SINGLE_VALUE = ("state", "tier", "age", "business_date")
_TERM = r'(?s)(?P<sign>[-!~]?)(?:(?P<field>[^\s:"]+):)?(?P<value>.*)'
_SHELL_TERM = r'[-!~]?(?:[^\s:"]+:)?"[^"]*"?|\S+'
_TIER = r"(<=|>=|<|>)?([1-5])"
MAX_AGE = timedelta(days=36_525)
"""Longer ages have no date."""
MAX_VALUES = 200
"""Words and values of a filter: each is a condition that the database tests for every job."""


class FilterError(ValueError):
    """An invalid filter. `faults`: each faulty term as typed, with the problem; `names`: terms with a colon that are
    parts of a name instead of fields."""

    faults: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()

    def text(self, how: str) -> str:
        """All faults in one line; `how` formats a faulty term."""
        faults = "; ".join(f"{how.format(term)} {problem}" for term, problem in self.faults)
        names = ", ".join(f'"{name}" is not a field, but part of a name' for name in self.names)
        return "; ".join(filter(None, (faults, names)))


class JobFilter(NamedTuple):
    """A parsed filter: words in the job's name, and fields; empty: everything. One value of a field must match, and
    every field."""

    terms: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    """Parts of a system's name, or its whole kind."""
    owners: tuple[str, ...] = ()
    problems_only: bool = False
    services: tuple[str, ...] = ()
    """Upstream jobs of one of these services."""
    fuzzy: tuple[str, ...] = ()
    """Words whose letters occur in the name in that order."""
    tiers: tuple[int, ...] = ()
    """Upstream jobs of services of these tiers."""
    younger: timedelta | None = None
    older: timedelta | None = None
    """How long ago the run began."""
    since: timedelta | datetime | None = None
    """Not ended before: that long ago, or that instant."""
    dates: tuple[str, ...] = ()
    """Business dates, ISO."""
    not_states: tuple[str, ...] = ()
    not_systems: tuple[str, ...] = ()
    not_owners: tuple[str, ...] = ()
    not_services: tuple[str, ...] = ()


def parse_filter(text: str, now: datetime | None = None, zone: tzinfo = UTC, only_problems: bool = False) -> JobFilter:
    """The typed filter; `now` and `zone` resolve `since:22:00`. Raises FilterError."""
    return parse_terms(split_filter(text), now, zone, only_problems)


def field_term(field: str, value: str) -> str:
    """The term of a field with this value, quoted if it has a space."""
    return f'{field}:"{value}"' if " " in value else f"{field}:{value}"


def split_filter(text: str) -> list[str]:
    """Its terms; quoted text is one."""
    return re.findall(_SHELL_TERM, text)


def parse_terms(
    terms: Iterable[str], now: datetime | None = None, zone: tzinfo = UTC, only_problems: bool = False
) -> JobFilter:
    """The filter of terms that a shell has split already. Raises FilterError."""
    filtered, terms = JobFilter(problems_only=only_problems), list(terms)
    faults: list[tuple[str, str]] = []
    if sum(1 + term.count(",") for term in terms) > MAX_VALUES:
        faults, terms = [(f"{terms[0][:40]} …", f"the filter has more than {MAX_VALUES} words and values")], []
    for term in terms:
        try:
            filtered = _with_term(filtered, term, now, zone)
        except FilterError as error:
            faults.append((term, str(error)))
    if faults:
        combined = FilterError("; ".join(message for _, message in faults))
        combined.faults = tuple(faults)
        wrong = {term for term, _ in faults}
        combined.names = tuple(term for term in name_terms(terms) if term not in wrong)
        raise combined
    return filtered


def parse_typed(
    text: str, now: datetime | None = None, zone: tzinfo = UTC, only_problems: bool = False
) -> tuple[JobFilter | None, str]:
    """The filter in effect while it is typed, and its fault. An invalid last term is ignored; None if an earlier term
    is invalid: the filter does not change."""
    terms = split_filter(text)
    try:
        return parse_terms(terms, now, zone, only_problems), ""
    except FilterError as error:
        fault = error
    try:
        return parse_terms(terms[:-1], now, zone, only_problems), fault.text('"{}" is ignored:')
    except FilterError:
        return None, "the filter is not applied: " + fault.text('"{}":')


def argument_terms(argument: str) -> list[str]:
    """The terms of one argument of a command line. A shell removed the quotes, so an argument with a space is one term
    unless it plainly has several: another field follows, or the first is a field with a single value."""
    first, *rest = split_filter(argument) or [argument]
    is_several = any(_field_of(term) in FILTER_FIELDS for term in rest) or (rest and _field_of(first) in _SINGLE_VALUE)
    return [first, *rest] if is_several else [argument]


def name_terms(terms: Iterable[str]) -> list[str]:
    """The terms with a colon that are parts of a name instead of fields."""
    return [term for term in terms if _field_of(term) not in ("", *FILTER_FIELDS)]


def _field_of(term: str) -> str:
    match = re.fullmatch(_TERM, term)
    return (match["field"] or "").lower() if match else ""


def _with_term(parsed: JobFilter, term: str, now: datetime | None, zone: tzinfo) -> JobFilter:
    match = re.fullmatch(_TERM, term)
    sign, field, value = match.group("sign", "field", "value") if match else ("", None, term)
    is_quoted = value.startswith('"')
    if field and field.lower() in FILTER_FIELDS and sign != "~":
        return _with_field(parsed, field.lower(), _unquote(value), sign in ("-", "!"), now, zone)
    text = _unquote(term[len(sign) :])
    if field and not is_quoted:
        _check_typo(field)
    if not text:
        return parsed
    return _with_values(parsed, {"": "terms", "~": "fuzzy"}.get(sign, "without"), [text])


def _with_values(parsed: JobFilter, name: str, values: Sequence[Any]) -> JobFilter:
    changes: dict[str, Any] = {name: (*getattr(parsed, name), *values)}
    return parsed._replace(**changes)


def _unquote(value: str) -> str:
    return value.replace('"', "")


def _check_typo(field: str) -> None:
    """Names of jobs contain colons, so only a near miss of a field is an error."""
    from difflib import get_close_matches  # noqa: PLC0415 - no first paint waits for it

    near = get_close_matches(field.lower(), FILTER_FIELDS, n=1, cutoff=0.75)
    if near:
        raise FilterError(f'no field "{field}:"; did you mean {near[0]}:? In quotes it is part of a name')


def _with_field(
    parsed: JobFilter, field: str, value: str, is_out: bool, now: datetime | None, zone: tzinfo
) -> JobFilter:
    values = tuple(filter(None, value.split(",")))
    if not values:
        raise FilterError(f"{field}: wants a value, as in {FILTER_FIELDS[field]}")
    if field in ("state", "system", "owner", "service"):
        name = f"not_{field}s" if is_out else f"{field}s"
        return _with_values(
            parsed, name, [state for part in values for state in _states(part)] if field == "state" else values
        )
    if is_out:
        raise FilterError(f"-{field}: cannot be excluded; write the opposite, as in {FILTER_FIELDS[field]}")
    if field == "tier":
        return _with_values(parsed, "tiers", [tier for part in values for tier in _tiers(part)])
    if field == "business_date":
        return _with_values(parsed, "dates", list(map(_date, values)))
    if field == "since":
        return parsed._replace(since=_since(value, now, zone))
    return parsed._replace(**_age(value))


def _states(value: str) -> Sequence[str]:
    prefix = value.lower().replace("-", "_")
    states = [state.value for state in RunState if state.value.startswith(prefix)]
    if not states:
        raise FilterError(f'no state begins with "{value}"; {state_hint(value)}')
    return [prefix] if prefix in states else states


def state_hint(value: str) -> str:
    """ "did you mean failed?"; all states if none is spelled like that."""
    from difflib import get_close_matches  # noqa: PLC0415 - no first paint waits for it

    near = get_close_matches(value.lower().replace("-", "_"), list(RunState), n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(RunState)}"


def _tiers(value: str) -> Sequence[int]:
    match = re.fullmatch(_TIER, value)
    if match is None:
        raise FilterError(f'tier: "{value}" is not a tier; there are 1 to 5, as in {FILTER_FIELDS["tier"]}')
    than, number = match[1] or "=", int(match[2])
    is_meant = {
        "=": number.__eq__, "<": number.__gt__, "<=": number.__ge__, ">": number.__lt__, ">=": number.__le__
    }[than]  # fmt: skip
    return [tier for tier in TIERS if is_meant(tier)]


def _age(value: str) -> dict[str, Any]:
    if value[0] not in "<>":
        raise FilterError(f'age: "{value}" is neither younger nor older; write age:<2h or age:>1d')
    try:
        return {"younger" if value[0] == "<" else "older": _length(value[1:].removeprefix("="))}
    except ValueError as error:
        raise FilterError(f"age: {error}") from None


def _length(text: str) -> timedelta:
    length = parse_duration(text)
    if length > MAX_AGE:
        raise ValueError(f'"{text}" is more than a hundred years; write 15s, 14m, 1h30m or 2d')
    return length


def _date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise FilterError(f'business_date: "{value}" is not a date; write {FILTER_FIELDS["business_date"]}') from None


def _since(value: str, now: datetime | None, zone: tzinfo) -> timedelta | datetime:
    with suppress(ValueError):
        return _length(value.removeprefix("-"))
    try:
        if now is not None and re.fullmatch(r"\d{1,2}:\d\d", value):
            return _last_occurrence(time.fromisoformat(value.zfill(5)), now.astimezone(zone))
        at = datetime.fromisoformat(value)
        at = at if at.tzinfo is not None else at.replace(tzinfo=zone)
        at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterError(f'since: "{value}" is not a time; write {FILTER_FIELDS["since"]}') from None
    return at


def _last_occurrence(clock: time, local: datetime) -> datetime:
    """The last time up to now at which the clock showed this."""
    at = datetime.combine(local.date(), clock, local.tzinfo)
    return at if at <= local else datetime.combine(local.date() - timedelta(days=1), clock, local.tzinfo)


def matches_terms(text: str, query: str) -> bool:
    """True if the text has every term of `query`, and none that begins with "-" or "!"."""
    lower = text.lower()
    return all((term.lstrip("-!") in lower) != (term[0] in "-!" and len(term) > 1) for term in query.lower().split())
