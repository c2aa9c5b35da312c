"""`headway`: the console. Nothing heavy is imported before its first paint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from console.cli.common import Stop, say, store_of
from console.cli.exits import Exit

THEMES = ("dark", "light")
THEME = "HEADWAY_THEME"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_looks(parser)
    parser.add_argument("--no-engine", action="store_true", help="never start an engine from here")


def add_looks(parser: argparse.ArgumentParser) -> None:
    """What a terminal can show."""
    parser.add_argument("--ascii", action="store_true", help="letters instead of symbols")
    parser.add_argument("--theme", choices=THEMES, help=f"colours; {THEME} in the environment says it for good")


def take_looks(arguments: argparse.Namespace) -> None:
    """Hands the theme on to `console.tui.theme`, which is not loaded yet."""
    if getattr(arguments, "theme", None):
        os.environ[THEME] = arguments.theme


def run(arguments: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Stop(Exit.USAGE, "the console needs a terminal; see headway status, services, incidents")
    take_looks(arguments)
    url = store_of(arguments)
    from console.tui.start import run_console

    done: list[str] = []
    starter = None if getattr(arguments, "no_engine", False) else engine_starter(arguments, url, done)
    code = run_console(
        url, ascii_only=getattr(arguments, "ascii", False), after_first_paint=starter, command=own(arguments)
    )
    for words in filter(None, done):  # whoever leaves is told what goes on
        say(words)
    return code


def own(arguments: argparse.Namespace) -> tuple[str, ...]:
    """`headway` as it was called, with the same config and store."""
    given = [word for name in ("config", "store") for word in _option(name, getattr(arguments, name))]
    return (sys.executable, "-m", "console", *given)


def _option(name: str, value: str | None) -> tuple[str, ...]:
    return (f"--{name}", value) if value else ()


def engine_starter(arguments: argparse.Namespace, url: str, done: list[str]) -> Callable[[], object] | None:
    """Starts a detached engine after the first paint, where this store may have one from here, and says so in `done`;
    None otherwise."""
    from console.cli.detached import start_if_needed
    from console.paths import config_path

    config = config_path(arguments.config)
    if url.startswith(("postgresql://", "postgres://")) or not Path(config).exists():
        return None
    return lambda: done.append(start_if_needed(url, config))
