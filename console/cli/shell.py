"""`headway shell SYSTEM`: a session on a host or in a database, signed in as Headway's connector is."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.common import Stop, say, store_of
from console.cli.exits import Exit

if TYPE_CHECKING:
    from connectors.contract import Shell
    from console.config import Config, SystemConfig

PACKAGES = {"ssh": "openssh-client", "psql": "postgresql-client"}
"""Debian's names, for whoever lacks the program."""
LEADING_ELSEWHERE = ("PG", "SSH_ASKPASS")
"""Variables of the person's own that would lead psql or ssh elsewhere than Headway goes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SYSTEM", help="a system, or system/target where it has several")
    parser.epilog = "example: headway shell etl-hosts/db07"


def run(arguments: argparse.Namespace) -> int:
    system, target = _place(_config(arguments), arguments.name)
    shell = _shell(system, target)
    program = shell.argv[0]
    if shutil.which(program) is None:
        raise Stop(Exit.USAGE, f"{program} is not installed here (Debian: apt-get install {PACKAGES.get(program)})")
    _ask_and_tell(arguments, f"{system.name}/{target}")
    say(f"{program} at {system.name}/{target}, signed in as Headway is; Ctrl-D or exit comes back")
    code = _talk(shell)
    if code:
        say(f"{program} ended with {code}")
    return Exit.PROBLEM if code else Exit.OK


def _config(arguments: argparse.Namespace) -> Config:
    from console.config import ConfigFaults, load_config
    from console.paths import config_path

    try:
        return load_config(config_path(arguments.config))
    except ConfigFaults as faults:
        raise Stop(Exit.USAGE, str(faults)) from None


def _place(config: Config, name: str) -> tuple[SystemConfig, str]:
    """The system and the target that are meant. Raises Stop where none is, or several may be."""
    wanted, _, target = name.partition("/")
    system = config.systems.get(wanted)
    if system is None:
        known = ", ".join(config.systems) or "none is configured"
        raise Stop(Exit.NOT_FOUND, f'no system "{wanted}"; there are: {known}')
    if system.kind.shell is None:
        raise Stop(Exit.USAGE, f"{wanted} ({system.kind.title}) is reached by its API alone; it has no shell")
    if not target and len(system.targets) > 1:
        raise Stop(Exit.USAGE, f"{wanted} has several targets; name one: {_all_of(system)}")
    if target and target not in system.targets:
        raise Stop(Exit.NOT_FOUND, f'no target "{target}" in {wanted}; there are: {_all_of(system)}')
    return system, target or system.targets[0]


def _all_of(system: SystemConfig) -> str:
    return ", ".join(f"{system.name}/{each}" for each in system.targets)


def _shell(system: SystemConfig, target: str) -> Shell:
    from connectors.contract import ConnectorError
    from connectors.secrets import SecretStore

    assert system.kind.shell is not None
    try:
        return system.kind.shell(system.options, target, SecretStore())
    except ConnectorError as error:
        raise Stop(Exit.REFUSED, str(error)) from None


def _ask_and_tell(arguments: argparse.Namespace, place: str) -> None:
    """Who opened it stands in the audit; a store that is out of reach keeps nobody from the host. Raises NotAllowed."""
    from console.engine.requests import Requests
    from console.store.errors import NotAllowed, StoreError

    try:
        Requests(store_of(arguments)).opens_shell(place)
    except NotAllowed:
        raise
    except (Stop, StoreError) as error:
        say(f"this session is not in the audit: {error}")


def _talk(shell: Shell) -> int:
    """The program in this terminal; its exit code. Ctrl-C and Ctrl-\\ are the program's own meanwhile."""
    with _files(shell.files) as paths, _left_to_the_program(signal.SIGINT, signal.SIGQUIT):
        named = {f"{{{name}}}": str(path) for name, path in paths.items()}
        argv = [named.get(word, word) for word in shell.argv]
        added = {name: named.get(value, value) for name, value in shell.environment.items()}
        own = {name: value for name, value in os.environ.items() if not name.startswith(LEADING_ELSEWHERE)}
        return subprocess.run(argv, env={**own, **added}, check=False).returncode  # noqa: S603 - as config says


@contextmanager
def _files(texts: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """These texts as files that only we may read, until the end."""
    with tempfile.TemporaryDirectory(prefix="headway-shell-") as folder:
        paths = {name: Path(folder, name) for name in texts}
        for name, path in paths.items():
            path.touch(mode=0o700)
            path.write_text(texts[name])
        yield paths


@contextmanager
def _left_to_the_program(*signals: signal.Signals) -> Iterator[None]:
    """A handler that does nothing: unlike "ignore" it is not handed on to the program."""
    before = {each: signal.signal(each, lambda *_: None) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
