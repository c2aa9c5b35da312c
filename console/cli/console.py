"""`headway`: the console, and what else opens it at a place. Nothing heavy is imported before its first paint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.common import Stop, say, store_of
from console.cli.exits import Exit
from console.paths import config_path

if TYPE_CHECKING:
    from console.cli.detached import Started

THEMES = ("dark", "light")
THEME = "HEADWAY_THEME"
PLAIN = "HEADWAY_PLAIN"
"""In the environment: whoever reads lines rather than a screen gets lines at a terminal too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_looks(parser)
    parser.add_argument("--wallboard", action="store_true", help="a display for a wall: no keys, nothing can be asked")
    parser.add_argument("--no-engine", action="store_true", help="never start an engine from here")
    parser.add_argument("--in-browser", action="store_true", help=argparse.SUPPRESS)


def add_looks(parser: argparse.ArgumentParser) -> None:
    """What a terminal can show."""
    parser.add_argument("--ascii", action="store_true", help="letters instead of symbols")
    parser.add_argument("--theme", choices=THEMES, help=f"colours; {THEME} in the environment says it for good")


def take_looks(arguments: argparse.Namespace) -> None:
    """Hands the theme on to `console.tui.theme`, which is not loaded yet."""
    if getattr(arguments, "theme", None):
        os.environ[THEME] = arguments.theme


def add_place(parser: argparse.ArgumentParser) -> None:
    """What a command takes that opens the console at its place, and prints where nobody could use that."""
    parser.add_argument("--plain", action="store_true", help=f"print it at a terminal too; {PLAIN}=1 says it for good")
    parser.add_argument("--json", action="store_true")
    add_arguments(parser)


def opens(arguments: argparse.Namespace) -> bool:
    """True where the console shall open: a person is at a terminal that can show it, and did not ask for lines."""
    if arguments.plain or arguments.json or os.environ.get(PLAIN, "") not in ("", "0"):
        return False
    return os.environ.get("TERM", "dumb") != "dumb" and sys.stdin.isatty() and sys.stdout.isatty()


def run(arguments: argparse.Namespace) -> int:
    if getattr(arguments, "in_browser", False):
        return _run_in_browser(arguments)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Stop(Exit.USAGE, "the console needs a terminal; see headway status, services, incidents")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise Stop(Exit.USAGE, "TERM=dumb: no console can be drawn there; see headway status, services, incidents")
    if not arguments.store and not config_path(arguments.config).exists():
        from console.cli.welcome import welcome

        return welcome(config_path(arguments.config), own(arguments))
    return open_at(arguments, None)


def open_at(arguments: argparse.Namespace, place: tuple[str, int] | None) -> int:
    """The console, at this place; without one where it begins."""
    take_looks(arguments)
    url = store_of(arguments)
    from console.tui.start import run_console

    done: list[Started] = []
    is_wall = getattr(arguments, "wallboard", False)  # it only looks
    starter = None if is_wall or getattr(arguments, "no_engine", False) else engine_starter(arguments, url, done)
    code = run_console(
        url,
        screen="wallboard" if is_wall else None,
        place=place,
        ascii_only=getattr(arguments, "ascii", False),
        after_first_paint=starter,
        why_ended=lambda: done[-1].why_ended() if done else "",
        command=own(arguments),
        in_utc=getattr(arguments, "utc", False),
    )
    _tell_who_leaves(url, done)
    return code


def _tell_who_leaves(url: str, done: Sequence[Started]) -> None:
    """What goes on; else that nobody watches, whoever had started an engine."""
    from console.cli.detached import unwatched_words

    told = [*filter(None, (one.on_leaving() for one in done[-1:]))]
    for words in told or filter(None, [unwatched_words(url)]):
        say(words)


def _run_in_browser(arguments: argparse.Namespace) -> int:
    """The console of one visitor of `headway serve`, which starts this and speaks with it over pipes. All that it asks
    for is asked in the visitor's name: on a shared store by their own login, which the database must grant."""
    from console.engine.origin import visited
    from console.paths import user_folder
    from console.tui.start import run_console
    from console.web.visitor import handed_over, login_url

    if sys.stdin.isatty() or sys.stdout.isatty():
        raise Stop(Exit.USAGE, "--in-browser is for headway serve alone")
    url, visitor = store_of(arguments), handed_over()
    visited(visitor.name, visitor.place)
    own_file = None
    if visitor.name:
        url = login_url(url, visitor.name)
        own_file = user_folder() / "visitors" / f"{visitor.name}.toml"
    return run_console(
        url,
        ascii_only=arguments.ascii,
        command=own(arguments),
        in_browser=True,
        in_utc=getattr(arguments, "utc", False),
        visitor=visitor.name,
        own_file=own_file,
    )


def own(arguments: argparse.Namespace) -> tuple[str, ...]:
    """`headway` as it was called, with the same config and store."""
    given = [word for name in ("config", "store") for word in _option(name, getattr(arguments, name))]
    return (sys.executable, "-m", "console", *given)


def _option(name: str, value: str | None) -> tuple[str, ...]:
    return (f"--{name}", value) if value else ()


def engine_starter(arguments: argparse.Namespace, url: str, done: list[Started]) -> Callable[[], object] | None:
    """Starts a detached engine after the first paint, where this store may have one from here, and says so in `done`;
    None otherwise."""
    config = config_path(arguments.config)
    if url.startswith(("postgresql://", "postgres://")) or not Path(config).exists():
        return None

    def start() -> None:
        from console.cli.detached import start_if_needed

        done.append(start_if_needed(url, config))

    return start
