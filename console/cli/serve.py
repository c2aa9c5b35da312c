"""`headway serve`: the same console in a browser, for one person on this machine or behind a proxy with a login.

The server has no login of its own: on loopback a link that works once lets in whoever sees this terminal; anywhere else
it answers to a proxy alone, which proves itself and says who somebody is.
"""

from __future__ import annotations

import argparse
import asyncio
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from console.cli.common import Stop, positive_number, say, store_of, whole_number
from console.cli.console import add_looks, engine_starter, own, take_looks
from console.cli.exits import Exit
from console.paths import config_path

if TYPE_CHECKING:
    from console.cli.detached import Started
    from console.web.door import Door

PORT = 8474
SESSIONS = 10
FOR_EACH = 4
LEAST_SECRET = 16
OTHERS = 0o007
"""File mode: what everybody else on the machine may."""
NOT_PERMITTED = (
    "without [[permissions]] everybody whom the proxy signs in could do everything; write at least"
    ' who = ["*"], role = "view" (docs/security.md)'
)
NOT_INSTALLED = 'the web console is not installed here: pip install "headway[web]"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"default {PORT}")
    parser.add_argument("--sessions", type=positive_number, default=SESSIONS, metavar="N",
                        help=f"consoles at once, each a process of some 40 MB (default {SESSIONS})")  # fmt: skip
    proxy = parser.add_argument_group("behind a proxy that signs people in (docs/serve.md)")
    proxy.add_argument("--behind-proxy", metavar="URL", help="the address that people see, https://…")
    proxy.add_argument("--trust", action="append", type=_network, metavar="ADDRESS",
                       help="the proxy's own address or network; several times for several")  # fmt: skip
    proxy.add_argument("--user-header", default="X-Forwarded-User", metavar="NAME",
                       help="the header that names who has signed in (default X-Forwarded-User)")  # fmt: skip
    proxy.add_argument("--secret-file", metavar="PATH",
                       help="holds what the proxy sends as X-Headway-Secret; nobody else may read it")  # fmt: skip
    proxy.add_argument("--listen", metavar="ADDRESS", help="default 127.0.0.1; another one behind a proxy only")
    parser.add_argument("--no-engine", action="store_true", help="never start an engine from here")
    add_looks(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        from console.web.server import Consoles, Limits
        from console.web.server import run as serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("aiohttp", "textual_serve", "multidict", "yarl"):
            raise Stop(Exit.USAGE, NOT_INSTALLED) from None
        raise
    url = store_of(arguments)
    door, host = _door(arguments)
    take_looks(arguments)
    _start_engine(arguments, url)
    limits = Limits(arguments.sessions, min(FOR_EACH, arguments.sessions))
    shut = Shut(config_path(arguments.config)) if arguments.behind_proxy else str
    consoles = Consoles(door, _console(arguments), limits, say, shut)
    try:
        asyncio.run(serve(consoles, host, arguments.port, lambda: _tell(arguments, door, host)))
    except OSError as error:
        raise Stop(Exit.USAGE, f"--listen {host} --port {arguments.port}: {error.strerror or error}") from None
    return Exit.OK


def _tell(arguments: argparse.Namespace, door: Door, host: str) -> None:
    from console.web.door import OwnDoor

    if isinstance(door, OwnDoor):
        print(door.link, flush=True)
        say("open this link here on this machine; it works once, the next one is printed then. Ctrl-C ends")
    else:
        say(f"{arguments.behind_proxy} is answered on {host}:{arguments.port} to {', '.join(arguments.trust)}")


def _console(arguments: argparse.Namespace) -> tuple[str, ...]:
    """What a visitor gets: a console that speaks to a browser, and starts no engine for it."""
    looks = ("--ascii",) if arguments.ascii else ()
    return (*own(arguments), "console", "--in-browser", "--no-engine", *looks)


def _start_engine(arguments: argparse.Namespace, url: str) -> None:
    done: list[Started] = []
    starter = None if arguments.no_engine else engine_starter(arguments, url, done)
    if starter is not None:
        starter()
        for words in filter(None, (one.words for one in done)):
            say(words)


# -- who is let in ---------------------------------------------------------------------------------------------------
def _door(arguments: argparse.Namespace) -> tuple[Door, str]:
    """The door, and the address to listen on. Raises Stop where somebody could come in whom nobody has signed in."""
    from console.web.door import OwnDoor, ProxyDoor

    host = arguments.listen or "127.0.0.1"
    if not arguments.behind_proxy:
        for name in ("trust", "secret_file"):
            if getattr(arguments, name):
                raise Stop(Exit.USAGE, f"--{name.replace('_', '-')} means something with --behind-proxy URL alone")
        if not _is_loopback(host):
            raise Stop(
                Exit.USAGE,
                f"--listen {host}: the console has no login, so it is served on this machine alone (127.0.0.1), or "
                "behind a proxy that signs people in: --behind-proxy URL --trust ADDRESS --secret-file PATH",
            )
        return OwnDoor(arguments.port), "127.0.0.1"
    address = _https(arguments.behind_proxy)
    if not arguments.trust or not arguments.secret_file:
        raise Stop(Exit.USAGE, "--behind-proxy wants --trust, the proxy's own address, and --secret-file, its proof")
    if why := Shut(config_path(arguments.config), told_faults=True)():
        raise Stop(Exit.USAGE, why)
    return ProxyDoor(address, arguments.user_header, arguments.trust, _secret(Path(arguments.secret_file))), host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _https(url: str) -> str:
    """The address as given. Raises Stop for what a browser would not keep secret."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or parts.username or parts.query or parts.fragment:
        raise Stop(
            Exit.USAGE, f"--behind-proxy {url}: write the address that people see, https://ops.example.org/headway/"
        )
    return url


def _secret(path: Path) -> str:
    try:
        if path.stat().st_mode & OTHERS:
            raise Stop(Exit.USAGE, f"--secret-file {path}: everybody here can reach it; chmod o= {path}")
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise Stop(Exit.USAGE, f"--secret-file {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(secret) < LEAST_SECRET or not secret.isascii() or not secret.isprintable():
        raise Stop(Exit.USAGE, f"--secret-file {path}: write {LEAST_SECRET} or more letters; openssl rand -hex 32")
    return secret


class Shut:
    """Why nobody whom a proxy signs in may come in, by the config as it is at this moment; empty where they may. A
    config that cannot be used changes nothing; `told_faults`: it is the answer."""

    def __init__(self, path: Path, told_faults: bool = False) -> None:
        self._path, self._told_faults, self._said = path, told_faults, ""

    def __call__(self) -> str:
        from console.config import ConfigFaults, load_config

        try:
            permitted = bool(load_config(self._path).permissions)
        except ConfigFaults as faults:
            return str(faults) if self._told_faults else self._said
        # whoever can write a store in a file may do everything where config says nothing; a visitor cannot write it
        self._said = "" if permitted else f"{self._path}: {NOT_PERMITTED}"
        return self._said


def _port(text: str) -> int:
    number = whole_number(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{number} is no port; 1 to 65535")
    return number


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no address or network; write 10.0.0.5") from None
