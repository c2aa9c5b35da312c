"""The command line. Only the module of the command that was typed is imported: start-up time is a feature."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from console.clean import clean
from console.cli import wall
from console.cli.commands import COMMANDS, ELSEWHERE
from console.cli.common import Stop, failed_document, say, write_document
from console.cli.examples import EXAMPLES
from console.cli.exits import Exit
from console.store.errors import NotAllowed, NotFound, StoreError

KEPT_WORDS = ("why", "actor", "object")
"""What is kept, or compared with what was: bytes of another encoding are spelled out in both."""


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
            self.error(self._unknown(rest))
        return found, rest

    def _unknown(self, rest: Sequence[str]) -> str:
        """What is no argument of this command, and what may have been meant."""
        word, told = rest[0], f"unrecognized arguments: {' '.join(rest)}"
        filters = [each for each in self._actions if each.dest == "filter" or each.metavar == "FILTER"]
        if filters and re.match(r"-[^-]", word):
            out = f"To leave out what holds \"{word[1:]}\" write '!{word[1:]}', or {self.prog} -- {word}."
            held = f' What holds "{word}" itself: {self.prog} \'"{word}"\'' if filters[0].dest == "filter" else ""
            return f'{told}. A word with "-" before it is taken for an option. {out}{held}'
        near = get_close_matches(word.partition("=")[0], self._option_string_actions, n=1)
        return f"{told}; did you mean {near[0]}?" if near else told


def build_parser(wanted: str | None, alone: bool = False, named: bool = False) -> argparse.ArgumentParser:
    """The whole command line with the arguments of `wanted` only; `alone`, without the other commands: naming them all
    costs a tenth of the console's start. `named`: with a name for all its arguments, whatever the command does."""
    parser = CommandLine(
        prog="headway",
        description="The operations console above the schedulers you already have.",
        allow_abbrev=False,
    )
    _common(parser, top=True)
    parser.add_argument("--version", action="store_true", help="the installed version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=CommandLineOfOne)
    for name, command in COMMANDS.items():
        if alone and name != wanted:
            continue
        sub = commands.add_parser(
            name, help=command.help, description=command.help, allow_abbrev=False, formatter_class=LineByLine
        )
        _common(sub, top=False)
        if name == wanted and named:
            sub.add_argument("name", nargs="?")
        elif name == wanted:
            module: Any = import_module(command.module)
            module.add_arguments(sub)
            sub.epilog = "\n".join(filter(None, [sub.epilog, f"example: {EXAMPLES[name]}"]))
    return parser


def _common(parser: argparse.ArgumentParser, top: bool) -> None:
    default = None if top else argparse.SUPPRESS
    parser.add_argument("--config", metavar="PATH", default=default, help="config file or folder (HEADWAY_CONFIG)")
    parser.add_argument("--store", metavar="URL", default=default, help="store: a file or a postgresql:// URL")
    utc = False if top else argparse.SUPPRESS
    parser.add_argument("--utc", action="store_true", default=utc, help="every time in UTC")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Expected failures are one clear message on stderr, and with --json
    a document on stdout that says the same."""
    if argv is None and "_ARGCOMPLETE" in os.environ:
        return _complete(os.environ.get("COMP_LINE", ""))
    arguments = list(sys.argv[1:] if argv is None else argv)
    _with_streams()
    wanted = _command_in(arguments)
    if wanted is None and _is_of_console(arguments):
        arguments, wanted = ["console", *arguments], "console"
    after: list[str] = []
    if wanted in COMMANDS and COMMANDS[wanted].takes_command and "--" in arguments:
        at = arguments.index("--")
        arguments, after = arguments[:at], arguments[at + 1 :]
    document = argparse.Namespace(document=None, json="--json" in itertools.takewhile("--".__ne__, arguments))
    try:
        if wanted is not None and wanted not in COMMANDS:
            raise Stop(Exit.USAGE, _no_command(wanted))
        parser = build_parser(wanted, alone=not {"-h", "--help"} & set(arguments))
        _refuse_early(parser, [*arguments, *(["--", *after] if after else [])])
        code = _run(parser.parse_args(list(_with_values(arguments)), document), after)
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
    from console.cli.completing import complete, has_name_next

    wanted = _command_in(line.split()[1:])
    if has_name_next(line, int(os.environ.get("COMP_POINT", "0")), wanted):
        parser = build_parser(wanted, alone=True, named=True)
    else:
        parser = build_parser(wanted)
    complete(parser, wanted if wanted in COMMANDS else None)
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
    with wall.of_command(parsed.utc):
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


def _refuse_early(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """An option of the command that was typed before it: told with the line that is read. Raises Stop."""
    at = _place_of_command(arguments)
    if not at or "--" in arguments[:at]:
        return
    command, *after = arguments[at:]
    of_all = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    known = of_all.choices[command]._option_string_actions
    early: list[str] = []
    is_early = False
    for word in arguments[:at]:
        if word.startswith("-"):
            name = word.partition("=")[0]
            is_early = name in known and name not in parser._option_string_actions
        early += [word] if is_early else []
    if early:
        line = [command, *early, *after] if "--" in after else [command, *after, *early]
        raise Stop(Exit.USAGE, f"{early[0]} is an option of {command} and goes after it: headway {shlex.join(line)}")


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


def _is_of_console(arguments: Sequence[str]) -> bool:
    """True for `headway --wallboard`: without a command, options are the console's."""
    options = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    return bool(options - {"--config", "--store"}) and not options & {"-h", "--help", "--version"}


def _command_in(arguments: Sequence[str]) -> str | None:
    """The command's word: the first that is neither an option nor the value of --config or --store."""
    at = _place_of_command(arguments)
    return arguments[at] if at is not None else None


def _place_of_command(arguments: Sequence[str]) -> int | None:
    skip = False
    for at, word in enumerate(arguments):
        if skip:
            skip = False
        elif word in ("--config", "--store", "--theme"):
            skip = True
        elif not word.startswith("-"):
            return at
    return None
