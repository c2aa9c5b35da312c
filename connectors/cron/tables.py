"""What a host's crontabs say, as values: files, the lines that run, the faults that switch them off. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from connectors.cron import busybox
from connectors.cron.anacron import AnacronJob
from connectors.transport.answer import bytes_of

WRAPPER = "headway-sh"
WHOLE_FILE = "cron ignores this whole file"


def is_user_table(path: str) -> bool:
    """Whether a path is one of a user's own crontab: /var/spool/cron is cronie's folder of them."""
    folder = path.rpartition("/")[0]
    return folder.endswith("crontabs") or folder == "/var/spool/cron"


class Daemon(StrEnum):
    """Whose cron reads the crontabs of a host."""

    DEBIAN = "debian"
    CRONIE = "cronie"
    BUSYBOX = "busybox"


@dataclass(frozen=True, slots=True)
class TableFile:
    """A crontab as it came: `user` is None for the system's own files, which have a user column."""

    path: str
    text: str
    user: str | None = None
    mode: int | None = None
    """Permission bits; None where they are unknown."""
    owner: str | None = None
    daemon: Daemon = Daemon.DEBIAN
    """Who reads it."""

    @property
    def in_cron_d(self) -> bool:
        return self.user is None and "/cron.d/" in self.path


@dataclass(frozen=True, slots=True)
class Fault:
    """Why cron does not run what is written: line (0: the file itself), cron's word, the value, and the mend."""

    path: str
    line: int
    word: str
    value: str
    mend: str
    outcome: str = WHOLE_FILE
    """What cron makes of it."""

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def reason(self) -> str:
        return f"{self.word}: {self.outcome}. {self.mend}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that cron runs."""

    path: str
    user: str
    expression: str
    raw: str
    """The command as it stands in the file, `%` and all; what the rerun's hash is made of."""
    name: str
    """From the comment above, else made of the command; unique on the host after `named`."""
    ordinal: int = 1
    """Counts lines of the same user, file and command from 1."""
    settings: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    """Its line in the file, from 1."""
    mark: str = ""
    """The mark of our hold in the line above; this line is then commented out and cron does not run it."""
    daemon: Daemon = Daemon.DEBIAN
    """Who runs it."""
    written: str = ""
    """Its times as they stand, where cronie picks one of them by itself: `expression` then has all that it may pick."""
    is_logged: bool = True
    """False where cronie is told to write nothing of it into its log."""
    bare_mark: str = ""
    """The same above a line that cron runs: somebody enabled it with an editor and left the mark."""

    @property
    def command(self) -> str:
        """What is run: up to the first bare `%`, with `\\%` as `%` and `\\\\` as `\\`."""
        return busybox.command_of(self.raw) if self.daemon is Daemon.BUSYBOX else command_of(self.raw)

    @property
    def logged(self) -> str:
        """The command as its daemon writes it into the log."""
        as_it_writes = busybox.as_logged if self.daemon is Daemon.BUSYBOX else as_logged
        return as_it_writes(self.command)

    @property
    def hash(self) -> str:
        """Names the line to the rerun's script, which makes the same of the host's own crontab."""
        return sha256(bytes_of(f"{self.user}\n{self.path}\n{self.raw}")).hexdigest()

    @property
    def is_system(self) -> bool:
        return not is_user_table(self.path)

    @property
    def is_wrapped(self) -> bool:
        """Whether our shell wrapper runs it."""
        return self.wrapper.rpartition("/")[2] == WRAPPER

    @property
    def wrapper(self) -> str:
        """The shell that its crontab names: where `is_wrapped`, the path of our wrapper."""
        return self.settings.get("SHELL", "")


def command_of(raw: str) -> str:
    """The command that cron hands to the shell; measured: `a\\%b\\\\c%in` becomes `a%b\\c`."""
    out: list[str] = []
    characters = iter(raw)
    for character in characters:
        if character == "%":
            break
        if character == "\\":
            following = next(characters, "")
            out.append(following if following in ("%", "\\") else character + following)
        else:
            out.append(character)
    return "".join(out)


def as_logged(command: str) -> str:
    """The command as cron writes it into its log (mkprints of misc.c): `^X` for controls, octal above 126."""
    return "".join(_printed(byte) for byte in bytes_of(command))


def _printed(byte: int) -> str:
    if byte < 32:
        return "^" + chr(byte + 64)
    if byte < 127:
        return chr(byte)
    return "^?" if byte == 127 else f"\\{byte:03o}"


@dataclass(frozen=True, slots=True)
class Tables:
    """What all crontabs of a host say: the lines that run, and the faults of the files that do not."""

    lines: tuple[Line, ...]
    """Held ones too."""
    faults: tuple[Fault, ...]
    held_in_ignored: tuple[Line, ...] = ()
    """Lines that are held in files which cron ignores as a whole."""
    anacron: tuple[AnacronJob, ...] = ()

    @property
    def held(self) -> tuple[Line, ...]:
        """Every line under a mark of ours."""
        return (*(line for line in self.lines if line.mark), *self.held_in_ignored)

    @property
    def bare(self) -> tuple[Line, ...]:
        """Every line that cron runs below a mark of ours."""
        return tuple(line for line in self.lines if line.bare_mark)
