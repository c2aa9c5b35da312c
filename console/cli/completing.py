"""What the Tab key offers: commands and options from the command line's own table, names from the store.

argcomplete speaks with the shells; this says which names fit an argument. A store that is not there, or cannot be read,
offers nothing: a shell is no place for an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial

from console.cli.common import store_of
from console.store.reads import Reads, open_reads
from console.store.reads.begins import Named, incidents_to_name, names_that_begin

Names = Callable[[Reads, str], Iterable[str]]


def _of_store(named: Named, reads: Reads, begins: str) -> Iterable[str]:
    return names_that_begin(reads.link, named, begins)


def _incidents(reads: Reads, _: str) -> Iterable[str]:
    return incidents_to_name(reads.link)


def _calendars(reads: Reads, _: str) -> Iterable[str]:
    return (one.name for one in reads.declared().calendars)


def _checks(reads: Reads, _: str) -> Iterable[str]:
    return (one.name for one in reads.declared().checks)


def _manual_steps(reads: Reads, begins: str) -> Iterable[str]:
    manual = {one.system for one in reads.systems() if one.kind == "manual"}
    return (name for name in reads.names("job", begins) if name.partition("/")[0] in manual)


def _rotas(reads: Reads, _: str) -> Iterable[str]:
    return (one.name for one in reads.rotas(reads.now()))


def _approvals(reads: Reads, _: str) -> Iterable[str]:
    return (one.key for one in reads.approvals())


def _withdrawable(reads: Reads, _: str) -> Iterable[str]:
    return (one.key for one in reads.withdrawable())


def _targets(reads: Reads, _: str) -> Iterable[str]:
    found = reads.systems()
    return (*dict.fromkeys(one.system for one in found), *(f"{one.system}/{one.name}" for one in found))


def _jobs_and_services(reads: Reads, begins: str) -> Iterable[str]:
    return (*services(reads, begins), *jobs(reads, begins))


jobs, services, systems = (partial(_of_store, each) for each in ("job", "service", "system"))

OPTIONS: dict[str, Names] = {"--job": jobs, "--service": services, "--system": systems}
"""Names for the value of an option, whatever the command."""
WORDS: dict[str, Names] = {
    **dict.fromkeys(("ack", "incident", "note", "recover", "report"), _incidents),
    **dict.fromkeys(
        ("backfill", "blast", "cancel", "drift", "gate", "hold", "job", "lineage", "log", "mark-ok", "release", "rerun",
         "runs", "skip"),
        jobs,
    ),
    **dict.fromkeys(("extend", "review", "services"), services),
    "calendar": _calendars,
    "checks": _checks,
    "done": _manual_steps,
    **dict.fromkeys(("pause", "probe", "shell", "systems"), _targets),
    "rota": _rotas,
    "approve": _approvals,
    "withdraw": _withdrawable,
    "why": _jobs_and_services,
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


def _arguments_of(parser: argparse.ArgumentParser, command: str | None) -> Iterable[argparse.Action]:
    """All of the line's own, and those of its command."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction) and command is not None:
            yield from action.choices[command]._actions


def _names_for(action: argparse.Action, command: str | None) -> Names | None:
    if action.option_strings:
        return next((OPTIONS[each] for each in action.option_strings if each in OPTIONS), None)
    is_free = action.choices is None and action.dest in ("name", "names", "key")
    return WORDS.get(command or "") if is_free else None


def _offer(names: Names, prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    try:
        with open_reads(store_of(parsed_args)) as reads:
            return [each for each in names(reads, prefix) if each.startswith(prefix) and each.isprintable()]
    except Exception:  # noqa: BLE001 - a prompt is no place for an error, whatever it is
        return []
