"""Hosts that a system consists of: their settings, how each is reached, and a shell on it for a person.

A host is reached by SSH, through jump hosts where the settings say so, or it is this machine itself. The settings of
the system come first, then the ssh_config that they name (read with `ssh -G`: Include, Match and tokens), then the
defaults. On this machine the same fixed command runs as our own user, with the environment of a fresh login only:
every other variable may hold a secret. Sources: ssh(1), ssh_config(5).
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import join, quote
from typing import Annotated, Any, Generic, Protocol, TypeVar

from pydantic import BeforeValidator, Field, StrictBool, ValidationError, field_validator, model_validator

from connectors.sdk.contract import SecretResolver, ShellSession
from connectors.sdk.errors import AccessRefused, OutcomeUnknown, SystemUnreachable
from connectors.sdk.file_trust import write_access_fault
from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.secrets import FilePath, SecretRef, end_process, refuse_pasted
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.script_output import ScriptSection, sections
from connectors.sdk.transport.ssh import CompletedCommand, SshAddress, SshFailed, SshSession, known_hosts, trust_hint

T = TypeVar("T")
LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INHERITED_LOCALE = ("HOME", "LANG", "TMPDIR", "HEADWAY_CRONTABS", "HEADWAY_ETC")
"""With a PATH of a login's; the last two say where crontabs are on a machine that keeps them elsewhere."""


@dataclass(frozen=True, slots=True)
class ThisMachine:
    name: str
    user: str

    @property
    def text(self) -> str:
        """For messages: "db07 (this machine, as etl)"."""
        return f"{self.name} (this machine, as {self.user})"

    @classmethod
    def named(cls, name: str) -> ThisMachine:
        """The user is that of this process by the user database: LOGNAME may be wrong."""
        try:
            return cls(name, pwd.getpwuid(os.geteuid()).pw_name)
        except KeyError:
            return cls(name, getpass.getuser())


class LocalSession:
    """As `SshSession`; nothing is kept between calls."""

    def __init__(self, address: ThisMachine) -> None:
        self.address = address

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        """The result of `argv` within the deadline. Raises SshFailed; never repeated."""
        inherited = {name: os.environ[name] for name in INHERITED_LOCALE if name in os.environ}
        try:
            process = subprocess.Popen(  # noqa: S603 - a fixed command of ours, its script on standard input
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, umask=0o022, env={"PATH": LOGIN_PATH, **inherited},
            )  # fmt: skip
        except OSError as error:
            raise SshFailed(f"{self.address.text}: {argv[0]}: {error.strerror}", False) from error
        try:
            stdout, stderr = process.communicate(stdin, max(0.05, timeout_seconds))
        except subprocess.TimeoutExpired:
            reason = f"no complete answer within {timeout_seconds:.0f} s. Fix: check the machine's load."
            raise SshFailed(f"{self.address.text}: {reason}", True) from None
        finally:
            end_process(process)
        return CompletedCommand(stdout, stderr, process.returncode)

    def close(self) -> None:
        """Nothing is kept open."""


HostName = Annotated[str, Field(min_length=1, max_length=253), formatted_like(r"[^\s:/]+", "db07")]
UserName = Annotated[str, Field(min_length=1, max_length=64), formatted_like(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", "headway")]
_PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
JumpHost = Annotated[
    str,
    Field(max_length=320),
    formatted_like(rf"([A-Za-z_][A-Za-z0-9_.-]*\$?@)?[^\s:/@,-][^\s:/@,]*(:{_PORT})?", "headway@gate:2222"),
]
AbsolutePath = Annotated[str, Field(max_length=4000), formatted_like(r"/[A-Za-z0-9_@+.,:/=-]*", "/srv/etl")]


class Host(StrictOptions):
    """One host with an address of its own."""

    name: HostName
    """Name of the target; jobs are called `name:job`."""
    address: str | None = None
    """DNS name or IP address to connect to; the name if it is left out."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of its sshd; the system's `port` if it is left out."""
    user: UserName | None = None
    """User to sign in as; the system's `user` if it is left out."""
    jump: tuple[JumpHost, ...] | None = None
    """As the system's `jump`; [] to go straight to this host."""
    local: StrictBool = False
    """True: this is the machine that the engine runs on. No sign-in; commands run as the engine's user."""

    @model_validator(mode="after")
    def local_has_no_address(self) -> Host:
        given = [name for name in ("address", "port", "user", "jump") if getattr(self, name) is not None]
        if self.local and given:
            raise ValueError(
                f"local = true runs commands on this machine as the engine's user. Fix: remove {', '.join(given)}"
            )
        return self


class HostOptions(StrictOptions):
    """Settings of all kinds that read hosts."""

    hosts: Annotated[tuple[HostName | Host, ...], Field(min_length=1)]
    """Hosts, each polled on its own: a name, { name, address, port, user }, or { name, local = true }: this machine."""
    user: UserName = "headway"
    """User to sign in as: root, or a plain user in group adm (logs) with sudo rules (crontabs, acts)."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Port of sshd."""
    key: Annotated[FilePath | SecretRef | None, BeforeValidator(refuse_pasted)] = None
    """Private key: a file that only we may read, or a reference to its text. No agent and no default key is tried. Only
    where every host is `local`, or with `ssh_config`, it may be left out."""
    key_passphrase: SecretRef | None = None
    """Passphrase of the key."""
    known_hosts: FilePath = Path("~/.ssh/known_hosts")
    """Host keys we trust, as `host` or `[host]:port`. An unknown or changed key is refused."""
    jump: tuple[JumpHost, ...] = ()
    """Hosts to go through, "[user@]host[:port]" each, the first one that is reached first, with the same key and
    known_hosts. Each must allow TCP forwarding."""
    ssh_config: FilePath | None = None
    """An ssh_config(5), as `~/.ssh/config`: address, user, port, key, known_hosts, HostKeyAlias and ProxyJump of a host
    are taken from it where they are not set here. Needs OpenSSH's client; ProxyCommand is refused."""

    @field_validator("hosts")
    @classmethod
    def names_differ(cls, hosts: tuple[HostName | Host, ...]) -> tuple[HostName | Host, ...]:
        names = [host.name if isinstance(host, Host) else host for host in hosts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"hosts named twice: {', '.join(twice)}")
        return hosts

    @model_validator(mode="after")
    def someone_signs_in(self) -> HostOptions:
        far = [host for host in self.hosts if not (isinstance(host, Host) and host.local)]
        if self.key is None and self.ssh_config is None and far:
            raise ValueError(
                "key is needed: the private key file with which Headway signs in, or a reference to its text"
            )
        return self

    def host(self, name: str) -> Host:
        """The host of that name, as it is written. KeyError for a name that is not configured."""
        for entry in self.hosts:
            result = entry if isinstance(entry, Host) else Host(name=entry)
            if result.name == name:
                return result
        raise KeyError(name)


def targets(options: HostOptions) -> list[str]:
    return [entry.name if isinstance(entry, Host) else entry for entry in options.hosts]


def endpoint(options: HostOptions, target: str) -> str:
    """ "db07:22", with the ssh_config that resolves it; empty for this machine."""
    host = options.host(target)
    by = f" by {options.ssh_config}" if options.ssh_config is not None else ""
    return "" if host.local else f"{host.address or host.name}:{host.port or options.port}{by}"


class HostSession(Protocol):
    """Where scripts run: a kept SSH connection, or this machine's own shell."""

    @property
    def address(self) -> SshAddress | ThisMachine: ...

    def run(
        self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False
    ) -> CompletedCommand: ...

    def close(self) -> None: ...


@cache
def scripts_beside(file: str, *names: str) -> str:
    """The text of scripts in the folder of a module, one after the other."""
    return "".join(Path(file).with_name(name).read_text("utf-8") for name in names)


def new_nonce() -> str:
    """Marks the sections of one answer."""
    return secrets.token_hex(8)


ScriptCall = str | tuple[str, ...]
"""The call of a function of a script: shell text, or its name and values, which are quoted."""


Options = TypeVar("Options")


class ScriptClient(Generic[Options]):
    """A host that runs fixed scripts, each one round trip within `deadline`."""

    def __init__(self, options: Options, session: HostSession) -> None:
        self.options, self.session, self.deadline = options, session, Deadline(0.0)

    @property
    def where(self) -> str:
        """The host, for messages."""
        return self.session.address.text

    @property
    def signed_in(self) -> str:
        """How the connector got to the host, as the note of a probe begins."""
        return "host key known; signed in" if isinstance(self.session.address, SshAddress) else "this machine, no SSH;"

    @property
    def trust_warnings(self) -> tuple[str, ...]:
        """About unreadable lines of known_hosts."""
        return trust_hint(self.session.address) if isinstance(self.session.address, SshAddress) else ()

    def run_calls(
        self, scripts: str, variables: str, calls: Iterable[ScriptCall], nonce: str = "", once: bool = False
    ) -> list[ScriptSection]:
        """The sections of the answer to `calls` of functions in `scripts`, which see the variables."""
        nonce = nonce or new_nonce()
        body = "\n".join(call if isinstance(call, str) else join(call) for call in calls)
        text = f"N={nonce} {variables}\n{scripts}\n{{\n{body}\nmark END\n}} </dev/null 2>/dev/null\n"
        return self.send(text, nonce, once)

    def send(self, script: str, nonce: str, once: bool = False) -> list[ScriptSection]:
        """The sections of the answer to a script that marks them with `nonce`; `once`: as `SshSession.run`."""
        stdin = script.encode("utf-8", "surrogateescape")
        done = self.session.run(stdin, ("sh", "-s"), self.deadline.left, once=once)
        return sections(done.stdout, nonce, self.where)

    def close(self) -> None:
        self.session.close()


LIMIT_SECONDS = 10.0
"""A `Match exec` of that file may run a program."""


@dataclass(frozen=True, slots=True)
class SshSettings:
    """The settings of one host, as ssh would use them."""

    address: str
    user: str
    port: int
    keys: tuple[Path, ...]
    """In the order in which ssh tries them; they need not exist."""
    known_hosts: tuple[Path, ...]
    alias: str
    """HostKeyAlias; empty: none."""
    jumps: tuple[str, ...]
    """ProxyJump, "[user@]host[:port]" each, the first one that is reached first."""

    @property
    def key(self) -> Path | None:
        """The first that exists."""
        return next((item for item in self.keys if item.expanduser().is_file()), None)


def resolve_ssh_settings(config: Path, host: str, left_seconds: float = LIMIT_SECONDS) -> SshSettings:
    """The settings of a host by that ssh_config. Raises AccessRefused where it is unreadable or not supported,
    SystemUnreachable where too little time is left."""
    path = config.expanduser()
    if not path.is_file():
        raise AccessRefused(f"ssh_config {config}: no such file. Name one, or leave ssh_config out.")
    if fault := write_access_fault(path):  # a `Match exec` in it runs as us
        raise AccessRefused(f"ssh_config {config}: {fault}")
    many: dict[str, list[str]] = {}
    for line in _ssh_g_output(config, ["ssh", "-G", "-F", str(path), "--", host], left_seconds).splitlines():
        name, _, value = line.partition(" ")
        many.setdefault(name, []).append(value)
    item = {name: values[0] for name, values in many.items()}
    if item.get("proxycommand", "none") != "none":
        raise AccessRefused(
            f"ssh_config {config}: {host} has a ProxyCommand, which Headway does not run. Use ProxyJump there, "
            "or `jump` in the config of Headway."
        )
    jumps = item.get("proxyjump", "none")
    return SshSettings(
        address=item["hostname"],
        user=item["user"],
        port=int(item["port"]),
        keys=tuple(Path(value) for value in many.get("identityfile", ())),
        known_hosts=tuple(Path(value) for value in item.get("userknownhostsfile", "").split()),
        alias=item.get("hostkeyalias", ""),
        jumps=() if jumps == "none" else tuple(jumps.removeprefix("ssh://").split(",")),
    )


def _ssh_g_output(config: Path, argv: list[str], left_seconds: float) -> str:
    seconds = max(0.05, min(LIMIT_SECONDS, left_seconds))
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and the host's name follows "--"
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except FileNotFoundError as error:
        raise AccessRefused(
            f"ssh_config {config}: OpenSSH's client is not installed, which reads it. apt install openssh-client"
        ) from error
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        if seconds < LIMIT_SECONDS:
            raise SystemUnreachable(f"ssh_config {config}: no time was left for ssh -G") from error
        raise AccessRefused(
            f"ssh_config {config}: ssh -G took over {LIMIT_SECONDS:.0f} s. Fix: check its Match blocks."
        ) from error
    finally:
        end_process(process)  # with what its Match blocks have begun
    if process.returncode != 0:
        message = stderr.decode("utf-8", "replace").strip()[-300:]
        raise AccessRefused(f"ssh_config {config}: ssh cannot read it: {message or f'exit {process.returncode}'}")
    return stdout.decode("utf-8", "replace")


MAX_JUMPS = 8


def address(options: HostOptions, target: str, resolve: SecretResolver) -> SshAddress:
    """The address and identity of a host. Raises AccessRefused where a secret is missing or ssh_config is not
    supported, KeyError for an unknown host."""
    return _Route(options, resolve).to(options.host(target))


def session_of(options: HostOptions, target: str, resolve: SecretResolver) -> HostSession:
    """A changed ssh_config applies to the next connection. Raises AccessRefused where a secret is missing."""
    host = options.host(target)
    if host.local:
        return LocalSession(ThisMachine.named(target))
    route = _Route(options, resolve)
    again = None if options.ssh_config is None else (lambda until: route.to(host, until - time.monotonic()))
    return SshSession(route.to(host), again=again)


_HOP = re.compile(r"(?:(?P<user>.*)@)?(?:\[(?P<ip>.+)\]|(?P<name>[^:]+))(?::(?P<port>\d+))?")


def _hop(jump: str, before: tuple[str, ...] | None) -> Host:
    """A host to go through, "[user@]host[:port]"; ssh writes an IP address as "[10.0.0.1]"."""
    match = _HOP.fullmatch(jump)
    if match is None:
        raise AccessRefused(f'"{jump}" is not a jump host. Write it as "user@host:port".')
    place = match["ip"] or match["name"]
    port = int(match["port"]) if match["port"] else None
    try:
        return Host(name=place.replace(":", "-"), address=place, user=match["user"] or None, port=port, jump=before)
    except ValidationError as error:
        why = "; ".join(f"{item['loc'][0]} {item['msg'].removeprefix('Value error, ')}" for item in error.errors())
        raise AccessRefused(f'"{jump}" is not a jump host: {why}') from error


class _Route:
    """The settings of one system, and the key that all of them share."""

    def __init__(self, options: HostOptions, resolve: SecretResolver) -> None:
        self._options = options
        self._key_text = resolve(options.key) + "\n" if isinstance(options.key, SecretRef) else ""
        self._passphrase = resolve(options.key_passphrase) if options.key_passphrase else ""

    def to(self, host: Host, left_seconds: float = LIMIT_SECONDS, depth: int = 0) -> SshAddress:
        """The address of one host. `depth`: number of hosts behind it; `left_seconds`: for all of them."""
        until = time.monotonic() + left_seconds
        if depth > MAX_JUMPS:
            raise AccessRefused(
                f"{host.name}: more than {MAX_JUMPS} hosts to go through; do two of them name each other?"
            )
        options = self._options
        config, name = options.ssh_config, host.address or host.name
        settings = None if config is None else resolve_ssh_settings(config, name, left_seconds)
        known_hosts = next((item for item in settings.known_hosts if item.is_file()), None) if settings else None
        jumps = settings.jumps if settings else ()
        if host.jump is not None:
            jumps = host.jump
        elif depth == 0 and options.jump:
            jumps = options.jump
        via = None
        if jumps:
            before = jumps[:-1] or None  # only the first of them is reached as its own ssh_config says
            via = self.to(_hop(jumps[-1], before), until - time.monotonic(), depth + 1)
        return SshAddress(
            name=host.name,
            address=settings.address if settings else name,
            port=host.port or self._set("port", settings.port if settings else options.port),
            user=host.user or self._set("user", settings.user if settings else options.user),
            known_hosts=Path(self._set("known_hosts", known_hosts or options.known_hosts)),
            key_file=self._key_file(host, settings),
            key_text=self._key_text,
            passphrase=self._passphrase,
            alias=settings.alias if settings else "",
            via=via,
        )

    def _set(self, name: str, otherwise: Any) -> Any:
        """The value of the system's settings where set, else `otherwise`."""
        return getattr(self._options, name) if name in self._options.model_fields_set else otherwise

    def _key_file(self, host: Host, settings: SshSettings | None) -> Path | None:
        if isinstance(self._options.key, Path):
            return self._options.key.expanduser()
        if self._options.key is not None or settings is None:
            return None
        if settings.key is None:
            raise AccessRefused(
                f"{host.name}: none of the key files that {self._options.ssh_config} names is there: "
                f"{', '.join(map(str, settings.keys)) or 'it names none'}. Set key, or IdentityFile there."
            )
        return settings.key.expanduser()


def sent_once(call: Callable[[], T], lookup_hint: str) -> T:
    """The answer to a script that was sent once. Raises OutcomeUnknown where the host was reached and did not answer;
    `lookup_hint` says how the outcome is found."""
    try:
        return call()
    except SshFailed as error:
        if error.touched:
            raise OutcomeUnknown(f"{error} {lookup_hint}") from error
        raise
    except SystemUnreachable as error:  # a part of the answer came: the script had begun
        raise OutcomeUnknown(f"{error} {lookup_hint}") from error


def open_shell(options: HostOptions, target: str, secrets: SecretResolver) -> ShellSession:
    """A login on the host; on this machine the person's own shell."""
    if options.host(target).local:
        return ShellSession((os.environ.get("SHELL") or "/bin/sh", "-l"))
    return ssh_shell(address(options, target, secrets))


KEY_PATH = "HEADWAY_KEY_FILE"
"""Where the key lies that came from a secret, for the hosts that one goes through."""
_ASKPASS = "#!/bin/sh\nprintf '%s\\n' \"$HEADWAY_KEY_PASSPHRASE\"\n"


def ssh_shell(address: SshAddress) -> ShellSession:
    """`ssh` with our key and the host keys that we trust, and nothing of the person's own ssh settings but what the
    config of Headway takes from them.

    SSH_ASKPASS answers the passphrase; only keys sign in, so that no server can request it."""
    own = address.key_file is None
    key = str(address.key_file) if address.key_file is not None else "{key}"
    argv = ("ssh", *_options(address), "-i", key, "-p", str(address.port), f"{address.user}@{address.address}")
    files = {"key": address.key_text} if own else {}
    environment = {KEY_PATH: "{key}"} if own and address.via is not None else {}
    if not address.passphrase:
        return ShellSession(argv, environment, files)
    environment |= {"HEADWAY_KEY_PASSPHRASE": address.passphrase}
    environment |= {"SSH_ASKPASS": "{askpass}", "SSH_ASKPASS_REQUIRE": "force"}
    return ShellSession(argv, environment, {**files, "askpass": _ASKPASS})


def _options(address: SshAddress) -> list[str]:
    try:
        known = known_hosts(address.known_hosts.expanduser())
        alias = next((name for name in address.key_names if known.keys_of([name])), address.key_names[0])
    except OSError:
        alias = address.key_names[0]
    settings = {
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(address.known_hosts.expanduser()),
        "HostKeyAlias": alias,
    }
    if address.via is not None:
        settings["ProxyCommand"] = _through(address.via)
    return ["-F", "none", *(option for name, value in settings.items() for option in ("-o", f"{name}={value}"))]


def _through(hop: SshAddress) -> str:
    """The ProxyCommand through that host. A `%` of ours is doubled, since ssh expands them."""
    key = f'"${KEY_PATH}"' if hop.key_file is None else quote(str(hop.key_file)).replace("%", "%%")
    options = join(_options(hop)).replace("%", "%%")
    return f"ssh {options} -i {key} -p {hop.port} -W '[%h]:%p' {quote(f'{hop.user}@{hop.address}')}"
