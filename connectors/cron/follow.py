"""Our place in a log file, through rotation by rename, gzip, copytruncate and through inode numbers that return. Pure.

A place is an offset and the cksum of the (at most 256) bytes before it. The host sends those bytes again before what is
new, so what we read is proved in one and the same read, whatever happens to the file meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.transport.answer import Section

WINDOW = 256
SAMPLE_BYTES = 100
FILE_FIELDS = 6  # inode, size, mtime, owner, kind, birth
POLYNOMIAL = 0x04C11DB7  # cksum(1), POSIX


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ POLYNOMIAL if crc & 0x80000000 else crc << 1
        entries.append(crc & 0xFFFFFFFF)
    return tuple(entries)


TABLE = _table()


def cksum(data: bytes) -> int:
    """What cksum(1) prints first."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ TABLE[crc >> 24 ^ byte]
    length = len(data)
    while length:
        crc = (crc << 8 & 0xFFFFFFFF) ^ TABLE[crc >> 24 ^ length & 0xFF]
        length >>= 8
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Place:
    """Where we stopped reading. `tag` is the host's own stamp of the file then: unchanged means nothing to read."""

    path: str
    offset: int = 0
    checksum: int = 0
    inode: str = "0"
    tag: str = "-"
    since: int = 0
    """The host's clock, in epoch seconds, when we last read here: older files are older than a gap."""
    torn: bool = False
    """True inside a line that was too long; its rest is dropped."""

    def as_json(self) -> list[Any]:
        return [self.path, self.offset, self.checksum, self.inode, self.tag, self.since, int(self.torn)]

    @staticmethod
    def from_json(value: Any) -> Place:
        """The place again. ValueError or TypeError for anything else."""
        path, offset, checksum, inode, tag, since, torn = value
        return Place(str(path), int(offset), int(checksum), str(inode), str(tag), int(since), bool(torn))


@dataclass(slots=True)
class FileLook:
    """One file as the host answered: its state, its pieces oldest first."""

    path: str
    status: str
    """"ok", "denied" or "absent"."""
    tag: str = ""
    owner: str = ""
    pieces: list[Section] = field(default_factory=list)
    has_gap: bool = False
    unread: str = ""
    """A rotated file that may hold our place and cannot be read."""
    more: bool = False
    after: str | None = None
    """Inode, size, birth of the live file once all was read, and whether it begins as before; where that was asked."""

    @property
    def was_rotated(self) -> bool:
        """Whether the live file became another one, or shorter, while several files were read."""
        if self.after is None:
            return False
        before, now = self.tag.split("|"), self.after.split("|")
        if len(now) == 2:  # no such file then
            return before[0] != "0"
        if len(before) != FILE_FIELDS or len(now) != 4 or not (before[1].isdigit() and now[1].isdigit()):
            return True
        shorter = int(now[1][:18]) < int(before[1][:18])
        return shorter or (before[0], before[5], "same") != (now[0], now[2], now[3])

    @property
    def inode(self) -> str:
        return self.tag.partition("|")[0]


def files_looked_at(parts: Iterable[Section]) -> list[FileLook]:
    """The files of an answer in its order. A piece without a file is left out."""
    looks: list[FileLook] = []
    for part in parts:
        if part.kind == "FILE":
            looks.append(_look(part))
        elif looks and part.kind == "LOG":
            looks[-1].pieces.append(part)
        elif looks and part.kind == "GAP":
            looks[-1].has_gap, looks[-1].unread = True, part.fields(2)[0]
        elif looks and part.kind == "MORE":
            looks[-1].more = True
        elif looks and part.kind == "AFTER":
            looks[-1].after = part.rest
    return looks


def _look(part: Section) -> FileLook:
    status, _, rest = part.rest.partition("|")
    tag, _, path = rest.rpartition("|")
    fields = tag.split("|")
    return FileLook(path, status, tag, fields[3] if len(fields) == FILE_FIELDS else "")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one file: whole lines, and the place after them."""

    place: Place
    lines: tuple[bytes, ...] = ()
    more: bool = False
    gap: bool = False
    moved: bool = False
    """True: our place was not where the host thought; ask again with a search."""
    too_long: bytes = b""
    """The beginning of a line that is longer than what is read at a time: it is left out."""


def read(look: FileLook, place: Place, now: int, from_middle: bool = False) -> Reading:
    """The lines after `place`. `from_middle`: the first piece begins inside a line."""
    if look.was_rotated:
        return Reading(place, moved=True)
    since = now if look.pieces else place.since
    starts_inside = from_middle and bool(look.pieces) and not look.pieces[0].rest.startswith("0|")
    after = replace(place, path=look.path, tag=look.tag, since=since, torn=place.torn or starts_inside)
    lines: list[bytes] = []
    too_long = b""
    for number, part in enumerate(look.pieces):
        piece = _Piece.of(part, look)
        continues = piece.offset == after.offset and piece.offset > 0 and not from_middle
        if piece.is_short or (continues and not piece.proves(after.checksum)):
            kept = replace(after, tag="-")
            return Reading(kept, tuple(lines), more=True, gap=look.has_gap) if number else Reading(place, moved=True)
        was_torn = after.torn
        found, after = _take(piece, after, is_first=number == 0, is_last=number == len(look.pieces) - 1)
        lines += found
        if after.torn and not was_torn and not found:
            too_long = piece.data[:SAMPLE_BYTES]
    if look.pieces:
        is_whole = after.inode == look.inode and not look.more
        after = replace(after, tag=look.tag if is_whole else "-")
    return Reading(after, tuple(lines), look.more, look.has_gap, too_long=too_long)


@dataclass(frozen=True, slots=True)
class _Piece:
    offset: int
    before: bytes
    data: bytes
    is_cut: bool
    is_short: bool
    """The file lost bytes while it was read: somebody rotates it at this moment."""

    inode: str
    """Of the live file; "0" for a rotated one, which is known by its bytes alone."""

    @staticmethod
    def of(part: Section, look: FileLook) -> _Piece:
        *numbers, path = part.fields(5)
        if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
            return _Piece(0, b"", b"", is_cut=False, is_short=True, inode="0")
        offset, width, asked, size = (int(number) for number in numbers)
        wanted = min(asked, width + size - offset)
        before, data = part.body[:width], part.body[width:asked]
        inode = look.inode if path == look.path else "0"
        return _Piece(offset, before, data, len(part.body) >= asked, len(part.body) < wanted, inode)

    def proves(self, checksum: int) -> bool:
        return cksum(self.before) == checksum


def _take(piece: _Piece, place: Place, is_first: bool, is_last: bool) -> tuple[list[bytes], Place]:
    """Whole lines of a piece and the place behind them. A rotated file's last line counts without its newline."""
    end = piece.data.rfind(b"\n") + 1
    torn = place.torn and place.offset in (piece.offset, 0)
    too_long = end == 0 and piece.is_cut and is_first  # a line longer than what is read at a time
    used = len(piece.data) if too_long or not (is_last or piece.is_cut) else end
    if used == 0:
        return [], place
    lines = piece.data[:used].split(b"\n")
    if too_long or not lines[-1]:
        lines.pop()
    if torn and lines:
        lines.pop(0)
    before = (piece.before + piece.data[:used])[-WINDOW:]
    return lines, replace(place, offset=piece.offset + used, checksum=cksum(before), inode=piece.inode, torn=too_long)


def known_places(values: Mapping[str, Any]) -> dict[str, Place]:
    """The places of a cursor by path; those that cannot be read are left out (their files are read anew)."""
    places: dict[str, Place] = {}
    for path, value in values.items():
        try:
            places[path] = Place.from_json(value)
        except (TypeError, ValueError):
            continue
    return places
