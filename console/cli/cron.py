"""`headway cron wrapper`: the wrapper that makes cron prove ends, exit codes and output; `headway cron gate`: what a
key that may only look is bound to; and how to install each."""

from __future__ import annotations

import argparse

from console.cli.common import Stop, say_lines
from console.cli.exits import Exit

BRING = """\
# Here, for each host:
headway cron {what} --script-only | ssh HOST 'cat >headway-{file}'"""
FILES = {"wrapper": "sh", "gate": "gate"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=list(FILES))
    parser.add_argument("--script-only", action="store_true", help="only the script, to be piped into a file")
    parser.add_argument("--system", metavar="NAME", help="gate: with the logs, spool and sudo of that system")


def run(arguments: argparse.Namespace) -> int:
    text, words = _gate(arguments) if arguments.what == "gate" else _wrapper()
    if arguments.script_only:
        print(text, end="")
    else:
        bring = BRING.format(what=_asked(arguments), file=FILES[arguments.what])
        say_lines([*bring.splitlines(), *words.splitlines()])
    return Exit.OK


def _asked(arguments: argparse.Namespace) -> str:
    return str(arguments.what) + (f" --system {arguments.system}" if arguments.system else "")


def _wrapper() -> tuple[str, str]:
    from connectors.cron.wrapper import install_words, wrapper_text

    return wrapper_text(), install_words()


def _gate(arguments: argparse.Namespace) -> tuple[str, str]:
    from connectors.cron.gate import gate_of, install_words, text_for
    from console.config import ConfigFaults, load_config
    from console.paths import config_path

    if arguments.system is None:
        return text_for(None), install_words()
    try:
        systems = load_config(config_path(arguments.config)).systems
        return gate_of(arguments.system, {name: one.options for name, one in systems.items()})
    except ConfigFaults as faults:
        raise Stop(Exit.USAGE, f"{len(faults.faults)} fault(s) in the config\n{faults}") from None
    except LookupError as error:
        raise Stop(Exit.NOT_FOUND, str(error.args[0])) from None
