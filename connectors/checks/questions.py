"""What may be asked of data, and how a business date stands in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

_BRACES = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"([^.\[\]]+|\[\d{1,6}\])(\.[^.\[\]]+|\[\d{1,6}\])*")
_FORMAT = re.compile(r"(%[YymdjGVuabAB%]|[^%])*")
_STRING = r"[eE]'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|(?P<tag>\$\w*\$).*?(?P=tag)"
_UNREAD = re.compile(rf'--[^\n]*|/\*.*?\*/|"(?:""|[^"])*"|(?P<string>{_STRING})', re.DOTALL)
"""Comments, quoted names and strings: what stands in them is no SQL."""
_QUERIES = ("select", "with", "values", "table")


@dataclass(frozen=True, slots=True)
class SqlQuestion:
    """Of one table, or of a statement of the user's own. Nothing is asked that is not named."""

    table: tuple[str, ...] = ()
    """Its name, with its schema where one is given."""
    where: str = ""
    """SQL of a person's config; `{bd}` in it is bound as a date."""
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
class HttpQuestion:
    url: str
    json: str = ""
    """Where the value is in the answer: "data.items[0].rows"; empty: only whether there is an answer."""
    is_time: bool = False
    """The value is a time."""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ObjectQuestion:
    bucket: str
    key: str = ""
    prefix: str = ""
    """Instead of a key: all objects below it, counted, added up, the newest of them told."""


def dated(text: str, bd: date) -> str:
    """The text with `{bd}` and `{bd:%Y%m%d}` as that date; nothing else in it means anything."""

    def spelled(match: re.Match[str]) -> str:
        _, _, form = match[1].partition(":")
        return bd.strftime(form) if form else bd.isoformat()

    return _BRACES.sub(spelled, text)


def refuse_other_braces(text: str) -> str:
    """The text. ValueError where braces hold anything but a business date."""
    for inside in _BRACES.findall(text):
        name, colon, form = inside.partition(":")
        if name != "bd" or (colon and (not form or _FORMAT.fullmatch(form) is None)):
            raise ValueError(f'"{{{inside}}}" is no business date; write {{bd}} or {{bd:%Y%m%d}}')
    return text


def refuse_other_than_select(query: str) -> str:
    """The query. ValueError where it is not one statement that gives rows, as far as its words tell."""
    bare = _bare(query.strip().rstrip(";"))
    first = re.match(r"[\s(]*(\w*)", bare)
    word = first[1] if first else ""
    if not bare.strip():
        raise ValueError("is empty; write a SELECT of one value: SELECT count(*) FROM orders WHERE day = {bd}")
    if word.lower() not in _QUERIES:
        raise ValueError(f'begins with "{word[:20] or bare.strip()[:1]}"; a check only reads: write one SELECT')
    return query


def refuse_no_condition(where: str) -> str:
    """The condition. ValueError for what cannot stand behind WHERE, as far as its words tell."""
    bare = _bare(where).strip()
    if not bare:
        raise ValueError("is empty; leave it out to ask of all rows")
    if re.match(r"where\b", bare, re.IGNORECASE):
        raise ValueError("begins with the word WHERE, which is written already; leave it out")
    return where


def _bare(sql: str) -> str:
    """The SQL without strings, quoted names and comments. ValueError where it is not one whole piece."""
    for quoted in _UNREAD.finditer(sql):
        if "{bd}" in (quoted["string"] or ""):
            raise ValueError("{bd} stands in quotes, where no date is bound; write it without them")
    bare, depth = _UNREAD.sub(" ", sql), 0
    if ";" in bare:
        raise ValueError('holds a ";": a check asks one statement; keep the one, without it')
    if "'" in bare or '"' in bare:
        raise ValueError("has a quote that does not end; close it")
    for each in bare:
        depth += (each == "(") - (each == ")")
        if depth < 0:
            break
    if depth:
        raise ValueError(f"has a bracket that is never {'closed' if depth > 0 else 'opened'}; each needs the other")
    return bare


def refuse_unreadable_path(path: str) -> str:
    """The path. ValueError for what is none."""
    if path and _PATH.fullmatch(path) is None:
        raise ValueError(f'"{path}" leads nowhere; write the names with dots in between, "data.items[0].rows"')
    return path
