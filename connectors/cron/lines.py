"""Which job a start belongs to: the nearest due line of that user and command. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo

from connectors.cron import anacron
from connectors.cron.anacron import AnacronJob
from connectors.cron.attempts import text_mark
from connectors.cron.crontab import Line
from connectors.cron.fields import LOOK_BACK, times
from connectors.cron.records import native_id
from connectors.cron.spool import KEPT_TEXT, as_recorded
from connectors.transport.answer import bytes_of

FAR = int(LOOK_BACK.total_seconds())


class Lines:
    """The lines of a host's crontabs, by what log and wrapper say of them."""

    def __init__(
        self,
        host: str,
        lines: Iterable[Line],
        zone: tzinfo,
        older: Mapping[str, str],
        of_anacron: Iterable[AnacronJob] = (),
    ) -> None:
        self.host = host
        self.zone = zone
        self.older = older
        self.names: dict[str, str] = {}
        self._by_text: dict[tuple[str, str], list[Line]] = {}
        self._by_mark: dict[str, Line] = {}
        for line in lines:
            self._add(line)
        self._of_anacron: dict[str, str] = {}
        """By the mark of a rerun."""
        for one in of_anacron:
            job = anacron.native_id(host, one.name)
            self.names[name_mark(anacron.USER, anacron.text_of(one.name))] = self._of_anacron[f"{one.hash}.1"] = job

    def _add(self, line: Line) -> None:
        self._by_mark.setdefault(f"{line.hash}.{line.ordinal}", line)
        for text in {line.logged, line.command, recorded(line.command)}:
            self._by_text.setdefault((line.user, text), []).append(line)
            self.names.setdefault(name_mark(line.user, text), native_id(self.host, line))

    def find(self, user: str, text: str, started: datetime, mark: str) -> tuple[str, ...]:
        """Native ids of the lines to which this start may belong: several where they are alike and equally near; none
        where no crontab, now or just before, has such a line."""
        named = self._by_mark.get(mark)
        if named is not None and named.user == user:
            return (native_id(self.host, named),)
        if user == anacron.USER and mark in self._of_anacron:
            return (self._of_anacron[mark],)
        found = self._by_text.get((user, text))
        if not found:
            by = name_mark(user, text)
            known = self.names.get(by) or self.older.get(by)
            return (known,) if known is not None else ()
        return tuple(native_id(self.host, line) for line in self._nearest(found, started))

    def _nearest(self, lines: list[Line], started: datetime) -> list[Line]:
        if len(lines) == 1:
            return lines
        local = started.astimezone(self.zone).replace(tzinfo=None)

        def distance(line: Line) -> int:
            due = times(line.expression)
            minutes = due.minutes_since_due(local) if due else None
            return FAR if minutes is None else minutes

        known = [(distance(line), line) for line in lines]
        least = min(at for at, _ in known)
        return [line for at, line in known if at == least]


def recorded(command: str) -> str:
    """A command as the wrapper's records have it: blanks for tabs and newlines, its first KEPT_TEXT bytes."""
    return bytes_of(as_recorded(command))[:KEPT_TEXT].decode("utf-8", "surrogateescape")


def name_mark(user: str, text: str) -> str:
    """A short name of user and command."""
    return f"{text_mark(f'{user} {text}'):x}"
