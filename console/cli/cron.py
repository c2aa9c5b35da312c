"""`headway cron wrapper`: the wrapper that makes cron prove ends, exit codes and output; and how to install it."""

from __future__ import annotations

import argparse

from console.cli.common import say_lines
from console.cli.exits import Exit

BRING = """\
# Here, for each host:
headway cron wrapper --script-only | ssh HOST 'cat >headway-sh'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["wrapper"])
    parser.add_argument("--script-only", action="store_true", help="only the script, to be piped into a file")


def run(arguments: argparse.Namespace) -> int:
    from connectors.cron.wrapper import install_words, wrapper_text

    if arguments.script_only:
        print(wrapper_text(), end="")
    else:
        say_lines([*BRING.splitlines(), *install_words().splitlines()])
    return Exit.OK
