"""What the Tab key offers: commands and options from the command line's own table, names from the store.

argcomplete speaks with the shells; this says which names fit an argument. A store that is not there, or cannot be read,
offers nothing: a shell is no place for an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from console.cli.common import store_of

if TYPE_CHECKING:
    from console.store.reads import Reads
    from console.store.reads.begins import Named
    from console.store.reads.link import Link

Names = Callable[[Any, str], Iterable[str]]
"""From the `Link` of the store, or where `_asks` says so its `Reads`, and what is typed so far."""


def _of_store(named: Named, link: Link, begins: str) -> Iterable[str]:
    from console.store.reads.begins import names_that_begin

    return names_that_begin(link, named, begins)


def _incidents(link: Link, _: str) -> Iterable[str]:
    from console.store.reads.begins import incidents_to_name

    return incidents_to_name(link)


def _held(link: Link, begins: str) -> Iterable[str]:
    from console.store.reads.begins import held_that_begin

    return held_that_begin(link, begins)


def _asks(names: Names) -> Names:
    """The same names, of who asks more than a link: all questions, which take longer to load."""

    def asked(link: Link, begins: str) -> Iterable[str]:
        from console.store.reads import Reads

        return names(Reads(link), begins)

    return asked


@_asks
def _calendars(reads: Reads, _: str) -> Iterable[str]:
    return (one.name for one in reads.declared().calendars)


@_asks
def _checks(reads: Reads, _: str) -> Iterable[str]:
    return (one.name for one in reads.declared().checks)


@_asks
def _manual_steps(reads: Reads, begins: str) -> Iterable[str]:
    manual = {one.system for one in reads.systems() if one.kind == "manual"}
    return (name for name in reads.names("job", begins) if name.partition("/")[0] in manual)


@_asks
def _rotas(reads: Reads, _: str) -> Iterable[str]:
    return (one.name for one in reads.rotas(reads.now()))


@_asks
def _approvals(reads: Reads, _: str) -> Iterable[str]:
    return (one.key for one in reads.approvals())


@_asks
def _withdrawable(reads: Reads, _: str) -> Iterable[str]:
    return (one.key for one in reads.withdrawable())


@_asks
def _targets(reads: Reads, _: str) -> Iterable[str]:
    found = reads.systems()
    return (*dict.fromkeys(one.system for one in found), *(f"{one.system}/{one.name}" for one in found))


def _views_of(table: str) -> Names:
    """Saved views of a table, a person's own and those of the config."""

    @_asks
    def names(reads: Reads, _: str) -> Iterable[str]:
        from console.personal.file import read_personal
        from console.personal.shared import own_of

        return (one.name for one in own_of(reads.header().console, read_personal()).views if one.table == table)

    return names


def _jobs_and_services(link: Link, begins: str) -> Iterable[str]:
    return (*services(link, begins), *jobs(link, begins))


jobs, services, systems = (partial(_of_store, each) for each in ("job", "service", "system"))

OPTIONS: dict[str, Names] = {
    **dict.fromkeys(("--job", "--restart", "--skip", "--faster"), jobs), "--service": services, "--system": systems,
}  # fmt: skip
"""Names for the value of an option, whatever the command."""
WORDS: dict[str, Names] = {
    **dict.fromkeys(("ack", "incident", "note", "recover", "report"), _incidents),
    **dict.fromkeys(
        ("backfill", "blast", "cancel", "drift", "gate", "hold", "job", "lineage", "log", "mark-ok", "rerun", "runs",
         "skip", "start"),
        jobs,
    ),
    **dict.fromkeys(("extend", "review", "services"), services),
    "calendar": _calendars,
    "checks": _checks,
    "done": _manual_steps,
    **dict.fromkeys(("pause", "probe", "shell", "systems"), _targets),
    "release": _held,
    "rota": _rotas,
    "approve": _approvals,
    "withdraw": _withdrawable,
    **dict.fromkeys(("forecast", "why"), _jobs_and_services),
}  # fmt: skip
"""Names for the words of a command that are no option and no fixed choice."""
FILES = ("config", "store", "file")
"""Arguments that are paths."""


def complete(parser: argparse.ArgumentParser, command: str | None) -> None:
    """Answers the shell and ends the process."""
    from argcomplete import autocomplete
    from argcomplete.completers import FilesCompleter, SuppressCompleter

    for action in _arguments_of(parser, command):
        names = _names_for(action, command)
        if action.dest in FILES:
            action.completer = FilesCompleter()  # type: ignore[attr-defined]  # read by argcomplete
        elif names is not None:
            action.completer = partial(_offer, names)  # type: ignore[attr-defined]
    autocomplete(parser, always_complete_options=False, default_completer=SuppressCompleter())


NAME_FIRST = frozenset({
    "ack", "blast", "cancel", "hold", "incident", "job", "lineage", "log", "mark-ok", "note", "recover", "release",
    "forecast", "report", "rerun", "services", "skip", "why",
})  # fmt: skip
"""Commands whose first word is such a name: it is offered without loading what the command does."""


def has_name_next(line: str, point: int, command: str | None) -> bool:
    """Whether the cursor, at the end of the line, is on the first word after the command."""
    words = line.split()
    if command not in NAME_FIRST or command not in words or point < len(line):
        return False
    after = words[words.index(command) + 1 :]
    return not after if line[-1:].isspace() else len(after) == 1 and not after[0].startswith("-")


def _arguments_of(parser: argparse.ArgumentParser, command: str | None) -> Iterable[argparse.Action]:
    """All of the line's own, and those of its command."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction) and command is not None:
            yield from action.choices[command]._actions


def _names_for(action: argparse.Action, command: str | None) -> Names | None:
    if "--view" in action.option_strings and command is not None:
        return _views_of(command)
    if action.option_strings:
        return next((OPTIONS[each] for each in action.option_strings if each in OPTIONS), None)
    is_free = action.choices is None and action.dest in ("name", "names", "key")
    return WORDS.get(command or "") if is_free else None


def _offer(names: Names, prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    try:
        from console.store.reads.link import open_link

        with closing(open_link(store_of(parsed_args))) as link:
            return [each for each in names(link, prefix) if each.startswith(prefix) and each.isprintable()]
    except Exception:  # noqa: BLE001 - a prompt is no place for an error, whatever it is
        return []
