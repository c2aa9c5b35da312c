"""Shell completion: the setup for a shell, and the names that fit at the cursor.

A missing or unreadable store offers nothing: completion must not print errors.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from console.cli.commands import NOUNS, Handler, command_index, full_name, option, verbs_of
from console.cli.exits import Exit
from console.cli.reader import store_url_of

if TYPE_CHECKING:
    from console.store.db.read_connection import ReadConnection
    from console.store.queries import Queries
    from console.store.queries.completion import Completion


SHELL_SETUPS = ("bash", "zsh", "fish")
SETUP_HINTS = {
    "bash": 'eval "$(headway completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(headway completion zsh)"   in ~/.zshrc, after compinit',
    "fish": "headway completion fish | source   in ~/.config/fish/config.fish",
}


def run_completion(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["headway"], shell=arguments.shell))
    if sys.stdout.isatty():
        print(f"# {SETUP_HINTS[arguments.shell]}")
    return Exit.OK


Names = Callable[[Any, str], Iterable[str]]
"""Names from a connection to the store, for the text that is typed so far."""


def _stored(kind: Completion) -> Names:
    def names(link: ReadConnection, begins: str) -> Iterable[str]:
        from console.store.queries.completion import complete_names

        return complete_names(link, kind, begins)

    return names


def _incidents(link: ReadConnection, _: str) -> Iterable[str]:
    from console.store.queries.completion import complete_incidents

    return complete_incidents(link)


def _held_jobs(link: ReadConnection, begins: str) -> Iterable[str]:
    from console.store.queries.completion import complete_held_jobs

    return complete_held_jobs(link, begins)


def _queried(names: Callable[[Queries, str], Iterable[str]]) -> Names:
    """Names that need all queries of the store, which take longer to import."""

    def read_names(link: ReadConnection, begins: str) -> Iterable[str]:
        from console.store.queries.reader import Queries

        return names(Queries(link), begins)

    return read_names


def _manual_steps(reads: Queries, begins: str) -> Iterable[str]:
    systems = {target.system for target in reads.estate.systems() if target.kind == "manual"}
    return (name for name in reads.names.names_starting_with("job", begins) if name.partition("/")[0] in systems)


def _targets(reads: Queries, _: str) -> Iterable[str]:
    targets = reads.estate.systems()
    return dict.fromkeys(
        (*(target.system for target in targets), *(f"{target.system}/{target.name}" for target in targets))
    )


def _views_of(table: str) -> Names:
    def names(reads: Queries, _: str) -> Iterable[str]:
        from console.config.preferences import effective_preferences, read_preferences

        views = effective_preferences(reads.estate.header().console, read_preferences()).views
        return (view.name for view in views if view.table == table)

    return _queried(names)


def _jobs_and_services(link: ReadConnection, begins: str) -> Iterable[str]:
    return (*services(link, begins), *jobs(link, begins))


jobs, services, systems = _stored("job"), _stored("service"), _stored("system")
OPTIONS: dict[str, Names] = {
    **dict.fromkeys(("--job", "--restart", "--skip", "--faster"), jobs), "--service": services, "--system": systems,
}  # fmt: skip
"""Names for the value of an option, whatever the command."""
JOB_COMMANDS = (
    "blast", "gate", "hold add", "job", "job start", "lineage", "log", "plan backfill", "rerun", "run", "run cancel",
    "run mark-ok", "run skip", "system drift accept",
)  # fmt: skip
ARGUMENT_NAMES: dict[str, Names] = {
    **dict.fromkeys(("ack", "incident", "incident note", "incident report", "recover"), _incidents),
    **dict.fromkeys(JOB_COMMANDS, jobs),
    **dict.fromkeys(("service", "service extend", "service review", "forecast score"), services),
    "action approve": _queried(lambda reads, _: (approval.key for approval in reads.approvals.list_approvals())),
    "action complete": _queried(_manual_steps),
    "action withdraw": _queried(lambda reads, _: (action.key for action in reads.actions.withdrawable())),
    "calendar": _queried(lambda reads, _: (calendar.name for calendar in reads.declared().calendars)),
    "datacheck": _queried(lambda reads, _: (check.name for check in reads.declared().checks)),
    "hold release": _held_jobs,
    "oncall": _queried(lambda reads, _: (rota.name for rota in reads.alerts.rotas(reads.now()))),
    **dict.fromkeys(("system", "system pause", "system probe", "system shell"), _queried(_targets)),
    **dict.fromkeys(("forecast", "why"), _jobs_and_services),
}
"""Full name of a command -> names for its positional arguments without fixed choices."""
VIEW_TABLES = {"job list": "jobs", "run": "runs"}
"""Command with saved views -> the table of those views."""
FILES = ("config", "store", "file")
"""Arguments that are paths."""


class TypedLine(NamedTuple):
    """A line as far as it is typed."""

    line: str
    """With the full name of the command as one quoted word."""
    command: str | None
    """None while the cursor is on the noun, or before it."""
    is_first: bool
    """True if the cursor is on the first word after the command, and that is not an option."""


def read_line(line: str) -> TypedLine:
    """The line split at its command; the cursor is at its end."""
    text = list(re.finditer(r"\S+", line))[1:]
    typed = [match.group() for match in (text if line[-1:].isspace() else text[:-1])]
    at = command_index(typed)
    if at is None or typed[at] not in NOUNS:
        return TypedLine(line, None, False)
    noun, after = typed[at], typed[at + 1 :]
    command, taken = full_name(noun, after)
    current = "" if line[-1:].isspace() else text[-1].group()
    is_first = len(after) == taken and not current.startswith("-")
    if is_first and not taken:
        command = noun
    return TypedLine(f'{line[: text[at].start()]}"{command}"{line[text[at + taken].end() :]}', command, is_first)


def complete(line: str, point: int, build_parser: Callable[[str | None, bool], argparse.ArgumentParser]) -> None:
    """Answers the shell and ends the process."""
    from argcomplete import autocomplete
    from argcomplete.completers import FilesCompleter, SuppressCompleter

    typed = read_line(line[:point])
    command = typed.command
    verbs = list(verbs_of(command)) if command is not None and typed.is_first else []
    # the first word is a verb or a name: offered without importing the command's module
    parser = build_parser(command, bool(verbs) or (typed.is_first and command in ARGUMENT_NAMES))
    for action in _arguments_of(parser, command):
        names = _names_for(action, command)
        if action.dest in FILES:
            action.completer = FilesCompleter()  # type: ignore[attr-defined]  # read by argcomplete
        elif names is not None or (verbs and action.dest == "name"):
            action.completer = partial(_offer, names, verbs)  # type: ignore[attr-defined]
    os.environ["COMP_LINE"], os.environ["COMP_POINT"] = typed.line, str(len(typed.line))
    autocomplete(parser, always_complete_options=False, default_completer=SuppressCompleter())


def _arguments_of(parser: argparse.ArgumentParser, command: str | None) -> Iterable[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction) and command is not None:
            yield from action.choices[command]._actions


def _names_for(action: argparse.Action, command: str | None) -> Names | None:
    if "--view" in action.option_strings and command in VIEW_TABLES:
        return _views_of(VIEW_TABLES[command])
    if action.option_strings:
        return next((OPTIONS[name] for name in action.option_strings if name in OPTIONS), None)
    is_free = action.choices is None and action.dest in ("name", "names", "key", "filter")
    return ARGUMENT_NAMES.get(command or "") if is_free else None


def _offer(
    names: Names | None, verbs: Sequence[str], prefix: str, parsed_args: argparse.Namespace, **_: object
) -> list[str]:
    offered = [verb for verb in verbs if verb.startswith(prefix)]
    if names is None:
        return offered
    try:
        from console.store.db.read_connection import open_read_connection

        with closing(open_read_connection(store_url_of(parsed_args))) as link:
            return offered + [name for name in names(link, prefix) if name.startswith(prefix) and name.isprintable()]
    except Exception:  # noqa: BLE001 - a shell prompt must not show an error
        return offered


HANDLERS = {
    "completion": Handler(
        run_completion,
        option("shell", choices=SHELL_SETUPS),
        epilog=" · ".join(" ".join(line.split()) for line in SETUP_HINTS.values()),
    )
}
