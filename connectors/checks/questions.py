"""What may be asked of data, and how a business date stands in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

_BRACES = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"([^.\[\]]+|\[\d{1,6}\])(\.[^.\[\]]+|\[\d{1,6}\])*")
_FORMAT = re.compile(r"(%[YymdjGVuabAB%]|[^%])*")


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


def refuse_unreadable_path(path: str) -> str:
    """The path. ValueError for what is none."""
    if path and _PATH.fullmatch(path) is None:
        raise ValueError(f'"{path}" leads nowhere; write the names with dots in between, "data.items[0].rows"')
    return path
