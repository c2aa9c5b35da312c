"""The `headway` command line: parse it, run one command, return its exit code.

Only the module of the command that was typed is imported; start-up time is a feature.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import io
import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from console.cli import clock_format
from console.cli.commands import (
    COMMANDS,
    DOCUMENTED_STEPS,
    NOUNS,
    Handler,
    command_index,
    full_name,
    meant_commands,
    overview,
    overview_help,
    verbs_of,
)
from console.cli.exits import CommandError, Exit, error_document, refusal_text
from console.cli.output import print_document, print_message
from console.store.errors import NotAllowed, NotFound, StoreError
from console.text.cleaning import clean

FREE_TEXT_OPTIONS = ("why", "actor", "object")
"""Options stored as text, or compared with stored text; bytes of another encoding are escaped in both."""


OTHER_NAMES = {"--reason": "--why"}
"""Options under the names that other tools give them."""


class UsageError(SystemExit):
    """A command line that cannot be parsed. The message is on stderr already."""

    def __init__(self, message: str) -> None:
        super().__init__(int(Exit.USAGE))
        self.message = message


class HeadwayParser(argparse.ArgumentParser):
    """Cleans the arguments that it prints back, which may come from a file or another program."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print_message(f"{self.prog}: error: {message}")
        if command := COMMANDS.get(self.prog.removeprefix("headway ")):
            print_message(f"Example: {command.example}")
        raise UsageError(message)


class ParagraphHelpFormatter(argparse.HelpFormatter):
    """Each line of a description or an epilog is a paragraph."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            super(ParagraphHelpFormatter, self)._fill_text(line, width, indent) for line in text.splitlines()
        )


class OverviewParser(HeadwayParser):
    """The parser of the whole command line; its help is the grouped overview."""

    def format_help(self) -> str:
        return overview()


class CommandParser(HeadwayParser):
    """The parser of one command: reports unknown arguments with this command's usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self._unknown(rest))
        return parsed, rest

    def _unknown(self, rest: Sequence[str]) -> str:
        first, message = rest[0], f"unrecognized arguments: {' '.join(rest)}"
        filters = [action for action in self._actions if action.dest == "filter" or action.metavar == "FILTER"]
        if filters and re.match(r"-[^-]", first):
            exclude = f"To exclude \"{first[1:]}\" write '!{first[1:]}', or {self.prog} -- {first}."
            literal = f' To match "{first}" itself: {self.prog} \'"{first}"\'' if filters[0].dest == "filter" else ""
            return f'{message}. A word that begins with "-" is an option. {exclude}{literal}'
        option = first.partition("=")[0]
        takes_names = any(not action.option_strings for action in self._actions)  # then a word is one too many, no verb
        verbs = [] if takes_names else verbs_of(self.prog.removeprefix("headway "))
        known = {name.lstrip("-"): name for name in (*self._option_string_actions, *verbs)}
        near = get_close_matches(OTHER_NAMES.get(option, option).lstrip("-"), known, n=1)
        if not near and verbs and not first.startswith("-"):
            added = f"{message}; did you mean {self.prog} add {first}?" if "/" in first and "add" in verbs else ""
            return added or f"{message}; verbs: {', '.join(verbs)}"
        return f"{message}; did you mean {known[near[0]]}?" if near else message


def build_parser(command: str | None, named: bool = False) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the arguments of one command.

    None: with the names of all commands, and no arguments. `named`: with a name as its only argument, so that the
    module of the command is not imported.
    """
    parser = OverviewParser(prog="headway", allow_abbrev=False)
    _add_global_options(parser, top=True)
    parser.add_argument("--version", action="store_true", help="print the installed version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=CommandParser)
    if command is None:
        for noun in NOUNS:
            commands.add_parser(noun, help=COMMANDS[noun].help if noun in COMMANDS else overview_help(noun))
        return parser
    sub = commands.add_parser(
        command,
        description=COMMANDS[command].help if command in COMMANDS else "",
        allow_abbrev=False,
        formatter_class=ParagraphHelpFormatter,
    )
    _add_global_options(sub, top=False)
    if named:
        sub.add_argument("name", nargs="?")
        return parser
    handler_of(command).add_arguments(sub)
    verbs = [f"headway {command} {verb}: {sub_command.help}" for verb, sub_command in verbs_of(command).items()]
    sub.epilog = "\n".join(filter(None, [sub.epilog, *verbs, f"Example: {COMMANDS[command].example}"]))
    return parser


def handler_of(name: str) -> Handler:
    """The functions of a command. Imports its module."""
    handlers: Mapping[str, Handler] = import_module(f"console.cli.{COMMANDS[name].module}").HANDLERS
    return handlers[name]


def _add_global_options(parser: argparse.ArgumentParser, top: bool) -> None:
    default = None if top else argparse.SUPPRESS
    parser.add_argument("--config", metavar="PATH", default=default, help="config file or folder (HEADWAY_CONFIG)")
    parser.add_argument("--store", metavar="URL", default=default, help="store: file or postgresql:// URL")
    utc = False if top else argparse.SUPPRESS
    parser.add_argument("--utc", action="store_true", default=utc, help="print times in UTC")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    An expected failure is one message on stderr and, with --json, the same in the document on stdout."""
    if argv is None and "_ARGCOMPLETE" in os.environ:
        from console.cli.completion import complete

        complete(os.environ.get("COMP_LINE", ""), int(os.environ.get("COMP_POINT", "0")), build_parser)
        return Exit.OK
    arguments = with_full_name(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    index = command_index(arguments)
    command = None if index is None else arguments[index]
    after: list[str] = []
    if command in COMMANDS and COMMANDS[command].takes_command and "--" in arguments:
        end = arguments.index("--")
        arguments, after = arguments[:end], arguments[end + 1 :]
    document = argparse.Namespace(document=None, json="--json" in itertools.takewhile("--".__ne__, arguments))
    try:
        if command is not None and command not in COMMANDS:
            if command in NOUNS and {"-h", "--help"} & set(arguments):
                print(_noun_help(command))
                return Exit.OK
            raise CommandError(Exit.USAGE, _unknown_command(command))
        parser = build_parser(command)
        _refuse_misplaced_option(parser, [*arguments, *(["--", *after] if after else [])])
        code = _run_command(parser.parse_args(list(_join_negative_values(arguments)), document), after)
        if document.json and document.document is not None:
            print_document(document.document)
        sys.stdout.flush()
        return code
    except UsageError as end:
        _report_error(document, Exit.USAGE, end.message)
        raise
    except CommandError as stop:
        print_message(f"headway: {stop}")
        return _report_error(document, stop.code, str(stop))
    except StoreError as error:
        text = refusal_text(error) if isinstance(error, NotAllowed) else str(error)
        print_message(f"headway: {text}")
        is_refused, is_missing = isinstance(error, NotAllowed), isinstance(error, NotFound)
        code = Exit.REFUSED if is_refused else Exit.NOT_FOUND if is_missing else Exit.USAGE
        return _report_error(document, code, text)
    except BrokenPipeError:
        _drop_output()
        return Exit.PIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
            raise
        _drop_output()
        print_message(f"headway: the output cannot be written: {error.strerror}")
        return Exit.PROBLEM
    except KeyboardInterrupt:
        return _report_error(document, Exit.INTERRUPTED, "interrupted")


def with_full_name(arguments: Sequence[str]) -> list[str]:
    """The same arguments with the full name of the command as one of them: `["incident note", "INC-1", ...]`."""
    index = command_index(arguments)
    if index is None:
        return ["console", *arguments] if _opens_console(arguments) else list(arguments)
    name, used = full_name(arguments[index], arguments[index + 1 :])
    return [*arguments[:index], name, *arguments[index + 1 + used :]]


def _noun_help(noun: str) -> str:
    verbs = [f"  {verb:<9} {command.help}" for verb, command in verbs_of(noun).items()]
    example = next(iter(verbs_of(noun).values())).example
    return "\n".join([f"usage: headway {noun} VERB ...", "", *verbs, "", f"Example: {example}"])


def _drop_output() -> None:
    """Redirects stdout to /dev/null, so that flushing it when the process ends does not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_streams() -> None:
    """Opens stdout and stderr on /dev/null where they were closed by the caller (`>&-`); characters that their encoding
    lacks are printed in ASCII, else as "?"."""
    codecs.register_error("headway", _in_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we live
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="headway")


_ASCII = {"–": "-", "—": "-", "…": "...", "×": "x", "·": ".", "→": ">", "●": "*"}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(character, "?") for character in error.object[error.start : error.end]), error.end


def _run_command(parsed: argparse.Namespace, after: list[str]) -> int:
    parsed.argv = after
    for option in FREE_TEXT_OPTIONS:
        if text := getattr(parsed, option, None):
            setattr(parsed, option, clean(text))
    handler = handler_of("version" if parsed.version else parsed.command or "console")
    with clock_format.command_zone(parsed.utc):
        return int(handler.run(parsed))


def _report_error(document: argparse.Namespace, code: Exit, message: str) -> Exit:
    if document.json:
        print_document(error_document(document.document, code, message))
    return code


def _unknown_command(name: str) -> str:
    if name in NOUNS:
        return f"headway {name} needs a verb: {', '.join(verbs_of(name))}"
    if meant := meant_commands(name):
        return f'unknown command "{name}"; use: {" or ".join(f"headway {command}" for command in meant)}'
    if steps := DOCUMENTED_STEPS.get(name):
        return f'unknown command "{name}"; its steps are in {steps}'
    near = get_close_matches(name, NOUNS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "headway --help lists the commands"
    return f'unknown command "{name}"; {hint}'


def _refuse_misplaced_option(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Raises CommandError for an option of the command typed before it, with the line to type."""
    index = command_index(arguments)
    if not index or "--" in arguments[:index]:
        return
    command, *after = arguments[index:]
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    known = subparsers.choices[command]._option_string_actions
    misplaced: list[str] = []
    is_misplaced = False
    for argument in arguments[:index]:
        if argument.startswith("-"):
            name = argument.partition("=")[0]
            is_misplaced = name in known and name not in parser._option_string_actions
        misplaced += [argument] if is_misplaced else []
    if misplaced:
        line = [*misplaced, *after] if "--" in after else [*after, *misplaced]
        option = f"{misplaced[0]} is an option of {command}"
        raise CommandError(Exit.USAGE, f"{option} and goes after it: headway {command} {shlex.join(line)}")


def _join_negative_values(arguments: Sequence[str]) -> Iterator[str]:
    """The same arguments, with a value like `-3m` joined to its option, so that argparse reports a bad value."""
    pending: str | None = None
    for argument in arguments:
        is_option = pending is not None and pending.startswith("--") and "=" not in pending and pending != "--"
        if is_option and re.match(r"-\d", argument):
            yield f"{pending}={argument}"
            pending = None
        else:
            if pending is not None:
                yield pending
            pending = argument
    if pending is not None:
        yield pending


def _opens_console(arguments: Sequence[str]) -> bool:
    """True for `headway --ascii`: options without a command are the console's."""
    options = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    return bool(options - {"--config", "--store"}) and not options & {"-h", "--help", "--version"}
