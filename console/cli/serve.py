"""The console in a browser, for one person on this machine or behind an authenticating proxy.

The server has no login of its own. On loopback a one-time link admits the person at this terminal; on any other
address it accepts only a proxy that proves itself and names the user.
"""

from __future__ import annotations

import argparse
import asyncio
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connectors.sdk.transport.loopback import is_loopback
from console.cli.arguments import positive_number, whole_number
from console.cli.commands import Handler, flag, option, titled
from console.cli.console import TERMINAL_OPTIONS, apply_terminal_options, engine_starter, own_command
from console.cli.exits import CommandError, Exit
from console.cli.output import print_message
from console.cli.reader import store_url_of
from console.config.paths import config_path

if TYPE_CHECKING:
    from console.cli.engine_process import StartedEngine
    from console.web.auth import AuthGate

PORT = 8474
SESSIONS = 10
PER_VISITOR_OPTIONS = 4
MIN_SECRET_BYTES = 16
OTHER_USERS = 0o007
"""Permission bits of other users on the machine."""
NOT_PERMITTED = (
    "without [[permissions]] everybody the proxy signs in has every permission. Fix: write at least"
    ' who = ["*"], role = "view" (docs/security.md)'
)
NOT_INSTALLED = 'the web console is not installed. Fix: pip install "headway[web]"'


def run_serve(arguments: argparse.Namespace) -> int:
    try:
        from console.web.server import WebLimits, WebServer
        from console.web.server import run as serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("aiohttp", "textual_serve", "multidict", "yarl"):
            raise CommandError(Exit.USAGE, NOT_INSTALLED) from None
        raise
    url = store_url_of(arguments)
    gate, host = _auth_gate(arguments)
    apply_terminal_options(arguments)
    started: list[StartedEngine] = []
    starter = None if arguments.no_engine else engine_starter(arguments, url, started)
    if starter is not None:
        starter()
    for engine in started:
        if engine.message:
            print_message(engine.message)
    limits = WebLimits(arguments.sessions, min(PER_VISITOR_OPTIONS, arguments.sessions))
    why_closed = AccessGate(config_path(arguments.config)) if arguments.behind_proxy else str
    options = ("--ascii",) if arguments.ascii else ()
    console_command = (*own_command(arguments), "console", "--in-browser", "--no-engine", *options)
    consoles = WebServer(gate, console_command, limits, print_message, why_closed)
    try:
        asyncio.run(serve(consoles, host, arguments.port, lambda: _print_address(arguments, gate, host)))
    except OSError as error:
        raise CommandError(Exit.USAGE, f"--listen {host} --port {arguments.port}: {error.strerror or error}") from None
    return Exit.OK


def _print_address(arguments: argparse.Namespace, gate: AuthGate, host: str) -> None:
    from console.web.auth import LinkGate

    if isinstance(gate, LinkGate):
        print(gate.link, flush=True)
        print_message("open this link on this machine. It works once; then the next one is printed. Ctrl-C stops")
    else:
        print_message(f"serving {arguments.behind_proxy} on {host}:{arguments.port} to {', '.join(arguments.trust)}")


def _auth_gate(arguments: argparse.Namespace) -> tuple[AuthGate, str]:
    """The auth gate and the listen address. Raises CommandError if someone could enter without signing in."""
    from console.web.auth import LinkGate, ProxyGate

    host = arguments.listen or "127.0.0.1"
    if not arguments.behind_proxy:
        for name in ("trust", "secret_file"):
            if getattr(arguments, name):
                raise CommandError(Exit.USAGE, f"--{name.replace('_', '-')} needs --behind-proxy URL")
        if not is_loopback(host):
            raise CommandError(
                Exit.USAGE,
                f"--listen {host}: the console has no login, so it is served on this machine alone (127.0.0.1), or "
                "behind a proxy that signs people in: --behind-proxy URL --trust ADDRESS --secret-file PATH",
            )
        return LinkGate(arguments.port), "127.0.0.1"
    address = _https_url(arguments.behind_proxy)
    if not arguments.trust or not arguments.secret_file:
        raise CommandError(Exit.USAGE, "--behind-proxy needs --trust (address of the proxy) and --secret-file")
    if why := AccessGate(config_path(arguments.config), report_faults=True)():
        raise CommandError(Exit.USAGE, why)
    return ProxyGate(address, arguments.user_header, arguments.trust, _read_secret(Path(arguments.secret_file))), host


def _https_url(url: str) -> str:
    """The address as given. Raises CommandError for what a browser would not keep secret."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or parts.username or parts.query or parts.fragment:
        raise CommandError(
            Exit.USAGE, f"--behind-proxy {url}: not a public https address; write https://ops.example.org/headway/"
        )
    return url


def _read_secret(path: Path) -> str:
    try:
        if path.stat().st_mode & OTHER_USERS:
            raise CommandError(Exit.USAGE, f"--secret-file {path}: readable by other users. Fix: chmod o= {path}")
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise CommandError(Exit.USAGE, f"--secret-file {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(secret) < MIN_SECRET_BYTES or not secret.isascii() or not secret.isprintable():
        raise CommandError(
            Exit.USAGE,
            f"--secret-file {path}: less than {MIN_SECRET_BYTES} printable characters. Fix: openssl rand -hex 32",
        )
    return secret


class AccessGate:
    """Why no visitor may enter, by the current config; empty if they may. A config with faults keeps the last answer;
    with `report_faults` the faults are the answer."""

    def __init__(self, path: Path, report_faults: bool = False) -> None:
        self._path, self._report_faults, self._answer = path, report_faults, ""

    def __call__(self) -> str:
        from console.config.document import ConfigFaults
        from console.config.loading import load_config

        try:
            has_permissions = bool(load_config(self._path).permissions)
        except ConfigFaults as faults:
            return str(faults) if self._report_faults else self._answer
        # without permissions everybody who can write the store has all of them; a visitor must not
        self._answer = "" if has_permissions else f"{self._path}: {NOT_PERMITTED}"
        return self._answer


def _port_number(text: str) -> int:
    number = whole_number(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{number} is not a port from 1 to 65535")
    return number


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not an address or network; write 10.0.0.5") from None


HANDLERS = {
    "console serve": Handler(
        run_serve,
        option("--port", f"port ({PORT})", "N", type=_port_number, default=PORT),
        option(
            "--sessions",
            f"maximum number of consoles, about 40 MB each ({SESSIONS})",
            "N",
            type=positive_number,
            default=SESSIONS,
        ),
        titled(
            "behind a proxy that signs people in (docs/serve.md)",
            option("--behind-proxy", "URL under which browsers reach the proxy: https://…", "URL"),
            option("--trust", "address or network of the proxy; repeatable", "ADDRESS", action="append", type=_network),
            option(
                "--user-header",
                "header with the name of the user (X-Forwarded-User)",
                "NAME",
                default="X-Forwarded-User",
            ),
            option("--secret-file", "file with the secret the proxy sends as X-Headway-Secret; mode 0600", "PATH"),
            option("--listen", "address to listen on (127.0.0.1); another one needs --behind-proxy", "ADDRESS"),
        ),
        flag("--no-engine", "do not start an engine"),
        *TERMINAL_OPTIONS,
    )
}
