"""One table of commands. Only the module of the command that was typed is imported: start-up time is a feature."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from console.clean import clean
from console.cli.common import Stop, failed_document, say, write_document
from console.cli.examples import EXAMPLES
from console.cli.exits import Exit
from console.store.errors import NotAllowed, NotFound, StoreError

KEPT_WORDS = ("why", "actor", "object")
"""What is kept, or compared with what was: bytes of another encoding are spelled out in both."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: where it lives and what it is for."""

    module: str
    help: str
    takes_command: bool = False
    """What stands after -- is a command line of somebody else's: `argv`, as it was typed."""


COMMANDS: dict[str, Command] = {
    "console": Command("console.cli.console", "open the console (what `headway` alone does)"),
    "demo": Command("console.cli.demo", "open the console on a recorded night, no network needed"),
    "check": Command("console.cli.check", "validate the config and probe every system"),
    "checks": Command("console.cli.checks", "what is asked of data, and what was found; CHECK --now looks"),
    "engine": Command("console.cli.engine", "watch, evaluate, alert and send; `engine stop` ends it"),
    "status": Command("console.cli.status", "one page: engine, systems, services at risk, incidents"),
    "services": Command("console.cli.services", "services with deadline, left, slack, act-by, cause"),
    "review": Command(
        "console.cli.review", "what is written down about a service against what is observed, gaps ranked"
    ),
    "extend": Command(
        "console.cli.extend", "more time for a service tonight: --until 08:00 --why …; --off takes it back"
    ),
    "tonight": Command("console.cli.tonight", "services and critical jobs over the night: --bd, --at 03:20"),
    "jobs": Command("console.cli.jobs", "jobs by a filter: `state:failed system:airflow age:<2h`"),
    "job": Command("console.cli.job", "one job: schedule, history, dependencies, drift"),
    "runs": Command("console.cli.runs", "the latest runs of a job, or of all by a filter"),
    "lineage": Command("console.cli.lineage", "the jobs above and below a job, over all systems: --up 3 --down 3"),
    "blast": Command("console.cli.blast", "whom a job takes with it: services and their clocks, jobs by system"),
    "log": Command("console.cli.log", "the log of a run"),
    "incidents": Command("console.cli.incidents", "open incidents, or all with --all"),
    "incident": Command("console.cli.incident", "one incident: cause, clocks, services hurt, what was done"),
    "note": Command("console.cli.note", "write into an incident's timeline: INC-0001 TEXT"),
    "report": Command("console.cli.report", "an incident as a page of Markdown: cause, impact, what was done, proof"),
    "handover": Command("console.cli.handover", "what the next shift must know, since 22:00 or for 12h"),
    "recover": Command("console.cli.recover", "repair an incident: the plan across systems, shown, then carried out"),
    "recovery": Command("console.cli.recovery", "plans that were started; `recovery ID --pause | --resume | --abort`"),
    "rerun": Command("console.cli.rerun", "rerun one run through its scheduler's own door, and verify it"),
    "cancel": Command("console.cli.act", "end what runs, by its scheduler's own means: RUN…"),
    "skip": Command("console.cli.act", "let a run count as skipped: RUN…"),
    "mark-ok": Command("console.cli.act", "let a run count as done: RUN…"),
    "done": Command("console.cli.done", "a manual step is done: STEP; --undo takes it back; without STEP, what waits"),
    "backfill": Command("console.cli.backfill", "run a job for the past dates that it has not done"),
    "hold": Command("console.cli.hold", "keep a job from starting, under a mark at its scheduler, for --for 6h"),
    "release": Command("console.cli.hold", "let a held job go; what came due is started once, if its clock does not"),
    "holds": Command("console.cli.holds", "what is held; `--from-native [--release]` asks the schedulers, no store"),
    "gate": Command("console.cli.gate", "wait until a job's upstreams are good, then run what stands after --", True),
    "findings": Command("console.cli.findings", "what rules see: too long, stuck, shrunk …, with figures; `--job JOB`"),
    "drift": Command("console.cli.drift", "what changed at the schedulers outside of us; `drift accept JOB`"),
    "calendar": Command("console.cli.calendar", "the days on which something is expected: NAME --next 20"),
    "why": Command("console.cli.why", "why a job is not running or runs so late; why a service is late"),
    "ack": Command("console.cli.ack", "you are on an incident: it is not repeated or escalated, --for 1h; `--lapse`"),
    "silence": Command(
        "console.cli.silence", "what is muted; `silence add --system … --for 2h --why …`, `silence end ID`"
    ),
    "rota": Command("console.cli.rota", "who is on call, now or --at another time, and who is next"),
    "alert": Command(
        "console.cli.alert",
        "alerts not delivered, or --held back; `alert test ROUTE`, `alert retry`, `alert useful ID yes|no`",
    ),
    "approvals": Command("console.cli.approve", "what waits for the approval of another person"),
    "approve": Command("console.cli.approve", "approve what another person asked for: KEY"),
    "withdraw": Command("console.cli.withdraw", "take back what was asked for and not sent: KEY; without it, a list"),
    "audit": Command("console.cli.audit", "who did what, when, why, what came back; `audit verify`, `audit head`"),
    "grants": Command("console.cli.grants", "what to run at a system or the store so that Headway may do just enough"),
    "freeze": Command("console.cli.freeze", "stop all sending at once, or `--off`; watching and alerts go on"),
    "shadow": Command("console.cli.shadow", "what is watched only; `shadow off` turns it live, `shadow report`"),
    "backup": Command("console.cli.backup", "a checked copy of the store while it is in use"),
    "restore": Command("console.cli.restore", "a copy in the place of the store, frozen until a person has looked"),
    "cron": Command("console.cli.cron", "`cron wrapper` prints the shell wrapper and how to install it"),
    "shell": Command("console.cli.shell", "a session on a host or in a database, signed in as Headway is: SYSTEM"),
    "completion": Command("console.cli.completion", "what makes the Tab key know all this: bash, zsh, fish"),
    "version": Command("console.cli.version", "the installed version"),
}


ELSEWHERE = {
    "attainment": "services --attainment",
    "noise": "report --noise",
    "thaw": "freeze --off",
    "silences": "silence",
    "timeline": "incident INC-0001",
}
"""What people look for under a word that is none -> where it is."""


class BadLine(SystemExit):
    """A command line that cannot be read; stderr says so already."""

    def __init__(self, message: str) -> None:
        super().__init__(int(Exit.USAGE))
        self.message = message


class CommandLine(argparse.ArgumentParser):
    """What was typed may come from a file or another program: it is cleaned before it is printed back."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        say(f"{self.prog}: error: {message}")
        raise BadLine(message)


class LineByLine(argparse.HelpFormatter):
    """Each line of a description or an epilog is a paragraph."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(super(LineByLine, self)._fill_text(line, width, indent) for line in text.splitlines())


class CommandLineOfOne(CommandLine):
    """What one command does not know is told with its own usage, not with that of all."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


def build_parser(wanted: str | None) -> argparse.ArgumentParser:
    """The whole command line; the arguments of `wanted` only."""
    parser = CommandLine(
        prog="headway",
        description="The operations console above the schedulers you already have.",
        allow_abbrev=False,
    )
    _common(parser, top=True)
    parser.add_argument("--version", action="store_true", help="the installed version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=CommandLineOfOne)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name, help=command.help, description=command.help, allow_abbrev=False, formatter_class=LineByLine
        )
        _common(sub, top=False)
        if name == wanted:
            module: Any = import_module(command.module)
            module.add_arguments(sub)
            sub.epilog = "\n".join(filter(None, [sub.epilog, f"example: {EXAMPLES[name]}"]))
    return parser


def _common(parser: argparse.ArgumentParser, top: bool) -> None:
    default = None if top else argparse.SUPPRESS
    parser.add_argument("--config", metavar="PATH", default=default, help="config file or folder (HEADWAY_CONFIG)")
    parser.add_argument("--store", metavar="URL", default=default, help="store: a file or a postgresql:// URL")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Expected failures are one clear message on stderr, and with --json
    a document on stdout that says the same."""
    if argv is None and "_ARGCOMPLETE" in os.environ:
        return _complete(os.environ.get("COMP_LINE", ""))
    arguments = list(sys.argv[1:] if argv is None else argv)
    _with_streams()
    wanted = _command_in(arguments)
    after: list[str] = []
    if wanted in COMMANDS and COMMANDS[wanted].takes_command and "--" in arguments:
        at = arguments.index("--")
        arguments, after = arguments[:at], arguments[at + 1 :]
    document = argparse.Namespace(document=None, json="--json" in itertools.takewhile("--".__ne__, arguments))
    try:
        if wanted is not None and wanted not in COMMANDS:
            raise Stop(Exit.USAGE, _no_command(wanted))
        code = _run(build_parser(wanted).parse_args(list(_with_values(arguments)), document), after)
        if document.json and document.document is not None:
            write_document(document.document)
        sys.stdout.flush()
        return code
    except BadLine as end:
        _tell(document, Exit.USAGE, end.message)
        raise
    except Stop as stop:
        say(f"headway: {stop}")
        return _tell(document, stop.code, str(stop))
    except StoreError as error:
        say(f"headway: {error}")
        return _tell(document, _code_of(error), str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    except KeyboardInterrupt:
        return _tell(document, Exit.INTERRUPTED, "interrupted")


def _complete(line: str) -> int:
    """Answers a shell that asks what may come next on this line."""
    from console.cli.completing import complete

    wanted = _command_in(line.split()[1:])
    complete(build_parser(wanted), wanted if wanted in COMMANDS else None)
    return Exit.OK


def _with_streams() -> None:
    """A stream that was closed before we began (`>&-`) takes what is written to it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def _run(parsed: argparse.Namespace, after: list[str]) -> int:
    parsed.argv = after
    for word in KEPT_WORDS:
        if getattr(parsed, word, None):
            setattr(parsed, word, clean(getattr(parsed, word)))
    module: Any = import_module(COMMANDS["version" if parsed.version else parsed.command or "console"].module)
    return int(module.run(parsed))


def _tell(document: argparse.Namespace, code: Exit, message: str) -> Exit:
    """The error as JSON, where that was asked for."""
    if document.json:
        write_document(failed_document(document.document, code, message))
    return code


def _code_of(error: StoreError) -> Exit:
    if isinstance(error, NotAllowed):
        return Exit.REFUSED
    return Exit.NOT_FOUND if isinstance(error, NotFound) else Exit.USAGE


def _no_command(word: str) -> str:
    if word in ELSEWHERE:
        return f'"{word}" is no command of its own: headway {ELSEWHERE[word]}'
    near = get_close_matches(word, COMMANDS, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else "headway --help lists them"
    return f'"{word}" is no command; {hint}'


def _with_values(arguments: Sequence[str]) -> Iterator[str]:
    """The same, each value that begins with a minus joined to its option: `--for -3m` is a bad time, no missing one."""
    before: str | None = None
    for word in arguments:
        if before is None:
            before = word
        elif re.match(r"-\d", word) and before.startswith("--") and "=" not in before and before != "--":
            yield f"{before}={word}"
            before = None
        else:
            yield before
            before = word
    if before is not None:
        yield before


def _command_in(arguments: Sequence[str]) -> str | None:
    """The command's word: the first that is neither an option nor the value of --config or --store."""
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in ("--config", "--store"):
            skip = True
        elif not word.startswith("-"):
            return word
    return None
