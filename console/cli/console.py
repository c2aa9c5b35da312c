"""Open the console, at a place or at its start. Nothing heavy is imported before the first paint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.commands import JSON, Handler, flag, option
from console.cli.exits import CommandError, Exit
from console.cli.output import PLAIN_ENV, print_message, print_parts
from console.cli.prompts import prompt_or
from console.cli.reader import store_url_of
from console.config.paths import config_path
from console.config.preferences import THEMES

if TYPE_CHECKING:
    from console.cli.engine_process import StartedEngine


THEME_ENV = "HEADWAY_THEME"


TERMINAL_OPTIONS = (
    flag("--ascii", "use ASCII instead of symbols"),
    option("--theme", f"colors: dark, light, or a theme of Textual; or set {THEME_ENV}", "NAME", choices=THEMES),
)
CONSOLE_OPTIONS = (
    *TERMINAL_OPTIONS,
    flag("--no-engine", "do not start an engine"),
    flag("--in-browser", argparse.SUPPRESS),
)
PLACE_OPTIONS = (
    flag("--plain", f"print lines instead of opening the console; or set {PLAIN_ENV}=1"),
    JSON,
    *CONSOLE_OPTIONS,
)
"""Options of a command that opens the console at a place, or prints lines without a terminal."""


def apply_terminal_options(arguments: argparse.Namespace) -> None:
    """Hands the theme on to `console.tui.widgets.themes`, which is not loaded yet."""
    if getattr(arguments, "theme", None):
        os.environ[THEME_ENV] = arguments.theme


def opens_console(arguments: argparse.Namespace) -> bool:
    """True at a terminal that can show the console, unless lines were requested."""
    if arguments.plain or arguments.json or os.environ.get(PLAIN_ENV, "") not in ("", "0"):
        return False
    return os.environ.get("TERM", "dumb") != "dumb" and sys.stdin.isatty() and sys.stdout.isatty()


def run_console(arguments: argparse.Namespace) -> int:
    if getattr(arguments, "in_browser", False):
        return _run_in_browser(arguments)
    problem = "cannot run with TERM=dumb" if os.environ.get("TERM", "dumb") == "dumb" else ""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        problem = "needs a terminal"
    if problem:
        fix = "use headway status, headway service or headway incident"
        raise CommandError(Exit.USAGE, f"the console {problem}. Fix: {fix}")
    config = config_path(arguments.config)
    if config.is_dir() and not any(config.glob("*.toml")):
        config = config / "headway.toml"
    if not arguments.store and not config.exists():
        return run_welcome(config, own_command(arguments))
    return open_console_at(arguments, None)


def open_console_at(arguments: argparse.Namespace, place: tuple[str, int] | None) -> int:
    """Opens the console at this place, or at its first screen."""
    apply_terminal_options(arguments)
    url = store_url_of(arguments)
    from console.tui.app.start import run_console

    started: list[StartedEngine] = []
    starter = None if getattr(arguments, "no_engine", False) else engine_starter(arguments, url, started)
    code = run_console(
        url,
        address=place,
        ascii_only=getattr(arguments, "ascii", False),
        after_first_paint=starter,
        why_ended=lambda: started[-1].why_ended() if started else "",
        command=own_command(arguments),
        in_utc=getattr(arguments, "utc", False),
    )
    from console.cli.engine_process import no_engine_warning

    if message := started[-1].on_leaving(url) if started else no_engine_warning(url):
        print_message(message)
    return code


def _run_in_browser(arguments: argparse.Namespace) -> int:
    """The console of one visitor of `headway console serve`, connected to it by pipes.

    Requests carry the visitor's name; on a shared store the visitor's own database login is used."""
    from contextlib import suppress

    from console.config.paths import user_folder
    from console.engine.api.client import EngineClient
    from console.engine.api.origin import set_visitor
    from console.store.errors import NotAllowed, StoreUnusable
    from console.tui.app.start import run_console
    from console.tui.terminal.browser_driver import show_in_browser
    from console.web.visitor import from_environment, login_url

    visitor = from_environment()
    if sys.stdin.isatty() or sys.stdout.isatty() or not visitor.name:
        raise CommandError(Exit.USAGE, "--in-browser is for headway console serve only")
    set_visitor(visitor.name, visitor.address)
    try:
        url = login_url(store_url_of(arguments), visitor.name)
        with suppress(StoreUnusable):  # the console reports it
            EngineClient(url).check(())  # raises NotAllowed unless the login is the visitor's
    except (CommandError, NotAllowed) as error:
        show_in_browser(str(error))
        raise
    return run_console(
        url,
        command=own_command(arguments),
        in_browser=True,
        in_utc=getattr(arguments, "utc", False),
        visitor=visitor.name,
        own_file=user_folder() / "visitors" / f"{visitor.name}.toml",
    )


def own_command(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The command line of `headway` with the same config and store."""
    options = [(f"--{name}", getattr(arguments, name)) for name in ("config", "store") if getattr(arguments, name)]
    return (sys.executable, "-m", "console", *(part for option in options for part in option))


def engine_starter(
    arguments: argparse.Namespace, url: str, started: list[StartedEngine]
) -> Callable[[], object] | None:
    """A function that starts a detached engine and appends it to `started`; None if this machine may not start one."""
    config = config_path(arguments.config)
    if url.startswith(("postgresql://", "postgres://")) or not Path(config).exists():
        return None

    def start() -> None:
        from console.cli.engine_process import start_engine_if_needed

        started.append(start_engine_if_needed(url, config))

    return start


WELCOME_TEXT = (
    "Headway watches the schedulers you have, and alerts before a deadline is missed.",
    "No config yet: {config} does not exist.",
    "",
    "  1  headway init   find schedulers: crontabs, Airflow, pg_cron, AWS, hosts",
    "                    It asks before it writes, and starts in shadow mode",
    "  2  headway demo   a recorded night with an incident, and a guided tour",
    "  3  by hand        copy config.example.toml, which has every setting",
    "",
)
WELCOME_CHOICES = {"1": "init", "2": "demo"}


def run_welcome(config: Path, command: Sequence[str]) -> int:
    """Prints the choices and runs the chosen command. Enter leaves; nothing is written."""
    print_parts([line.format(config=config) for line in WELCOME_TEXT])
    while True:
        choice = prompt_or("1, 2, or Enter to leave: ", "").lower()
        if choice in ("", "q", "3"):
            return Exit.OK
        if choice in WELCOME_CHOICES or choice in WELCOME_CHOICES.values():
            os.execv(command[0], [*command, WELCOME_CHOICES.get(choice, choice)])  # noqa: S606 - our own interpreter and module
        print_message(f'"{choice[:40]}" is not a choice; enter 1 or 2')


HANDLERS = {"console": Handler(run_console, *CONSOLE_OPTIONS)}
