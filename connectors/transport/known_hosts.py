"""Host keys that somebody trusts, read as OpenSSH does: a line that cannot be read spoils no other host's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry

LINES_NAMED = 5


@dataclass(slots=True)
class KnownHosts:
    """One file's keys, and the numbers of the lines that cannot be read."""

    trusted: list[HostKeyEntry] = field(default_factory=list)
    revoked: list[paramiko.PKey] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)

    def keys_of(self, names: Iterable[str]) -> list[paramiko.PKey]:
        """The trusted keys under the first of these names that has any."""
        for name in names:
            found = [one.key for one in self.trusted if _is_of(one, name) and one.key not in self.revoked]
            if found:
                return found
        return []

    @property
    def words(self) -> str:
        """ "line 3 cannot be read", or nothing."""
        lines = ", ".join(map(str, self.unread[:LINES_NAMED])) + (", …" if len(self.unread) > LINES_NAMED else "")
        return f"line{'s' if len(self.unread) > 1 else ''} {lines} cannot be read" if self.unread else ""

    def _take(self, number: int, line: str) -> None:
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        if marker == "@cert-authority":
            return  # certificates of hosts are not supported: such a host needs a line of its own
        try:
            entry = HostKeyEntry.from_line(rest.strip(), number)
        except Exception:  # noqa: BLE001 - InvalidHostKey is a plain Exception, and a broken key raises what it likes
            self.unread.append(number)
            return
        if entry is None or entry.key is None:
            if len(rest.split()) < 3:
                self.unread.append(number)  # else: a kind of key that paramiko does not know
        elif marker == "@revoked":
            self.revoked.append(entry.key)
        elif not marker:
            self.trusted.append(entry)


def known_hosts(path: Path) -> KnownHosts:
    """What the file says now. Raises OSError."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: Path, _mtime_ns: int) -> KnownHosts:
    found = KnownHosts()
    for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            found._take(number, text)
    return found


def _is_of(entry: HostKeyEntry, name: str) -> bool:
    """Plain names, and those that ssh-keygen -H has hashed."""
    return any(
        one == name or (one.startswith("|1|") and paramiko.HostKeys.hash_host(name, one) == one)
        for one in entry.hostnames or ()
    )
