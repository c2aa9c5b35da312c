"""Queries of checks, the business date in them, and the values of one measurement. No verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

_BRACES = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"([^.\[\]]+|\[\d{1,6}\])(\.[^.\[\]]+|\[\d{1,6}\])*")
_FORMAT = re.compile(r"(%[YymdjGVuabAB%]|[^%])*")
_TAG = r"\$\w*\$"
_ANY_TAG = re.compile(rf"(?=({_TAG}))")
_LITERAL = re.compile(
    r"""--[^\n]*|/\*.*?\*/|"(?:""|[^"])*+"|(?P<string>[eE]'(?:\\.|''|[^'\\])*+'|'(?:''|[^'])*+')"""
    rf"""|(?P<tag>{_TAG})|(?P<open>(?:/\*|["']).*)""",
    re.DOTALL,
)
"""Comments, quoted names and strings, the tag that may begin a string, and what begins like one and never ends."""
_QUERIES = ("select", "with", "values", "table")


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A query of one table, or a user's statement. Only named values are queried."""

    table: tuple[str, ...] = ()
    """Its name, with its schema where one is given."""
    where: str = ""
    """SQL of a person's config; `{business_date}` in it is bound as a date."""
    counts: bool = False
    fresh: str = ""
    """Column with times."""
    unique: tuple[tuple[str, ...], ...] = ()
    not_null: tuple[str, ...] = ()
    columns: bool = False
    query: str = ""
    """A SELECT with one value, SQL as in `where`."""
    zone: str = "UTC"
    """In which times without a zone are meant."""


@dataclass(frozen=True, slots=True)
class HttpQuery:
    url: str
    json: str = ""
    """Where the value is in the answer: "data.items[0].rows"; empty: only whether there is an answer."""
    is_time: bool = False
    """The value is a time."""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ObjectQuery:
    bucket: str
    key: str = ""
    prefix: str = ""
    """Instead of a key: number, total size and newest instant of all objects below it."""


def with_business_date(text: str, business_date: date) -> str:
    """The text with `{business_date}` and `{business_date:%Y%m%d}` as that date; nothing else in it means anything."""

    def spelled(match: re.Match[str]) -> str:
        _, _, form = match[1].partition(":")
        return business_date.strftime(form) if form else business_date.isoformat()

    return _BRACES.sub(spelled, text)


def refuse_other_braces(text: str) -> str:
    """The text. ValueError where braces hold anything but a business date."""
    for inside in _BRACES.findall(text):
        name, colon, form = inside.partition(":")
        if name != "business_date" or (colon and (not form or _FORMAT.fullmatch(form) is None)):
            raise ValueError(
                f'"{{{inside}}}" is not a business date; write {{business_date}} or {{business_date:%Y%m%d}}'
            )
    return text


def refuse_other_than_select(query: str) -> str:
    """The query. Raises ValueError unless it is one statement that returns rows."""
    bare = _without_literals(query.strip().rstrip(";"))
    first = re.match(r"[\s(]*(\w*)", bare)
    keyword = first[1] if first else ""
    if not bare.strip():
        raise ValueError(
            "is empty; write a SELECT of one value: SELECT count(*) FROM orders WHERE day = {business_date}"
        )
    if keyword.lower() not in _QUERIES:
        raise ValueError(f'begins with "{keyword[:20] or bare.strip()[:1]}"; a check only reads: write one SELECT')
    return query


def refuse_no_condition(where: str) -> str:
    """The condition. Raises ValueError for text that cannot follow WHERE."""
    bare = _without_literals(where).strip()
    if not bare:
        raise ValueError("is empty; leave it out to ask of all rows")
    if re.match(r"where\b", bare, re.IGNORECASE):
        raise ValueError("begins with WHERE, which is added already; leave it out")
    return where


def _without_literals(sql: str) -> str:
    """The SQL without strings, quoted names and comments. ValueError where it is not one whole piece."""
    last_tags = {tag[1]: tag.start() for tag in _ANY_TAG.finditer(sql)}
    pieces, start = [], 0
    while literal := _LITERAL.search(sql, start):
        string, tag, end = literal["string"], literal["tag"], literal.end()
        if literal["open"]:
            kind = "comment" if literal["open"].startswith("/") else "quote"
            raise ValueError(f"has a {kind} that does not end; close it")
        pieces.append(sql[start : literal.start()])
        if tag and last_tags[tag] < end:  # part of a name: it closes nowhere
            pieces.append("$")
            start = literal.start() + 1
            continue
        if tag:
            end = sql.index(tag, end) + len(tag)
            string = sql[literal.start() : end]
        if "{business_date}" in (string or ""):
            raise ValueError("{business_date} is in quotes, where no date is bound; write it without them")
        pieces.append(" ")
        start = end
    bare, depth = "".join((*pieces, sql[start:])), 0
    if ";" in bare:
        raise ValueError('holds a ";": a check asks one statement; keep the one, without it')
    for item in bare:
        depth += (item == "(") - (item == ")")
        if depth < 0:
            break
    if depth:
        raise ValueError(f"has a bracket that is never {'closed' if depth > 0 else 'opened'}; each needs the other")
    return bare


def refuse_unreadable_path(path: str) -> str:
    if path and _PATH.fullmatch(path) is None:
        raise ValueError(f'"{path}" leads nowhere; write the names with dots in between, "data.items[0].rows"')
    return path


Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """The requested values; None or empty for the others. Texts are raw and bounded."""

    rows: int | None = None
    newest: datetime | None = None
    """The newest instant (aware) in the requested column; None also without rows."""
    duplicates: tuple[tuple[str, int], ...] = ()
    """For each unique key, as text: the number of its values that occur more than once."""
    nulls: tuple[tuple[str, int], ...] = ()
    """For each required column: the number of rows with NULL."""
    columns: tuple[tuple[str, str], ...] | None = None
    """Name and type of each column of the table, in its order; none where there is no such table."""
    value: Scalar = None
    """The value of a user's statement, or of a path into JSON."""
    has_value: bool = False
    """False where a requested value is missing: no row, no such path."""
    exists: bool | None = None
    size: int | None = None
    """Bytes."""
    modified: datetime | None = None
    """When it was last written, by the clock of where it is (aware)."""
