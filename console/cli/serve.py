"""The console in a browser, behind an authenticating proxy on this machine.

The server has no login of its own: it accepts only a proxy that proves itself and names the user.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from console.cli.arguments import positive_number
from console.cli.commands import Handler, argument, option
from console.cli.console import own_command
from console.cli.exits import CommandError, Exit
from console.cli.output import print_message
from console.config.paths import config_path

PORT = 8474
SESSIONS = 10
MIN_SECRET_BYTES = 16
OTHER_USERS = 0o007
"""Permission bits of other users on the machine."""
NOT_PERMITTED = (
    "without [[permissions]] everybody the proxy signs in has every permission. Fix: write at least"
    ' who = ["*"], role = "view" (docs/security.md)'
)
NOT_INSTALLED = 'the web console is not installed. Fix: pip install "headway[web]"'


def run_serve(arguments: argparse.Namespace) -> int:
    from console.config.document import ConfigFaults
    from console.config.loading import load_config

    try:
        from console.web.server import ConsoleServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("aiohttp", "textual_serve"):
            raise CommandError(Exit.USAGE, NOT_INSTALLED) from None
        raise
    url, parts = arguments.url, urlsplit(arguments.url)
    if parts.scheme != "https" or not parts.netloc or parts.username or parts.query or parts.fragment:
        raise CommandError(Exit.USAGE, f"{url}: not a public https address; write https://ops.example.org/headway/")
    secret, config = _read_secret(Path(arguments.secret_file)), config_path(arguments.config)
    try:
        if not load_config(config).permissions:
            raise CommandError(Exit.USAGE, f"{config}: {NOT_PERMITTED}")
    except ConfigFaults as faults:
        raise CommandError(Exit.USAGE, str(faults)) from None
    command = f"exec {shlex.join((*own_command(arguments), 'console', '--in-browser', '--no-engine'))}"
    try:
        ConsoleServer(command, url, secret, arguments.port, arguments.sessions, print_message).serve()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(Exit.USAGE, f"--port {arguments.port}: {reason}") from None
    return Exit.OK


def _read_secret(path: Path) -> str:
    try:
        if path.stat().st_mode & OTHER_USERS:
            raise CommandError(Exit.USAGE, f"--secret-file {path}: readable by other users. Fix: chmod o= {path}")
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise CommandError(Exit.USAGE, f"--secret-file {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(secret) < MIN_SECRET_BYTES or not secret.isascii() or not secret.isprintable():
        problem = f"less than {MIN_SECRET_BYTES} printable characters. Fix: openssl rand -hex 32"
        raise CommandError(Exit.USAGE, f"--secret-file {path}: {problem}")
    return secret


HANDLERS = {
    "console serve": Handler(
        run_serve,
        argument("url", metavar="URL", help="address under which browsers reach the proxy: https://…"),
        option("--secret-file", "file with the secret that the proxy sends; mode 0600", "PATH", required=True),
        option("--port", f"port on 127.0.0.1 ({PORT})", "N", type=positive_number, default=PORT),
        option(
            "--sessions", f"most consoles, about 40 MB each ({SESSIONS})", "N", type=positive_number, default=SESSIONS
        ),
    )
}
