"""Our place in a log file, through rotation by rename, gzip, copytruncate and through inode numbers that return. Pure.

A place is an offset and the cksum of the (at most 256) bytes before it. The host sends those bytes again before what is
new, so what we read is proved in one and the same read, whatever happens to the file meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.cron.parse import Section

WINDOW = 256
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
    more: bool = False

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
            looks[-1].has_gap = True
        elif looks and part.kind == "MORE":
            looks[-1].more = True
    return looks


def _look(part: Section) -> FileLook:
    status, _, rest = part.rest.partition("|")
    tag, _, path = rest.rpartition("|")
    fields = tag.split("|")
    return FileLook(path, status, tag, fields[3] if len(fields) == 5 else "")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one file: whole lines, and the place after them."""

    place: Place
    lines: tuple[bytes, ...] = ()
    more: bool = False
    gap: bool = False
    moved: bool = False
    """True: our place was not where the host thought; ask again with a search."""


def read(look: FileLook, place: Place, now: int, from_middle: bool = False) -> Reading:
    """The lines after `place`. `from_middle`: the first piece begins inside a line."""
    after = replace(place, path=look.path, tag=look.tag, since=now, torn=place.torn or from_middle)
    lines: list[bytes] = []
    for number, part in enumerate(look.pieces):
        piece = _Piece.of(part)
        continues = piece.offset == after.offset and piece.offset > 0 and not from_middle
        if piece.is_short or (continues and not piece.proves(after.checksum)):
            kept = replace(after, tag="-")
            return Reading(kept, tuple(lines), more=True, gap=look.has_gap) if number else Reading(place, moved=True)
        found, after = _take(piece, after, last=number == len(look.pieces) - 1)
        lines += found
    if look.pieces:
        is_live = look.pieces[-1].fields(5)[4] == look.path
        after = replace(after, inode=look.inode if is_live else "0", tag=look.tag if is_live and not look.more else "-")
    return Reading(after, tuple(lines), look.more, look.has_gap)


@dataclass(frozen=True, slots=True)
class _Piece:
    offset: int
    before: bytes
    data: bytes
    is_cut: bool
    is_short: bool
    """The file lost bytes while it was read: somebody rotates it at this moment."""

    @staticmethod
    def of(part: Section) -> _Piece:
        numbers = part.fields(5)[:4]
        if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
            return _Piece(0, b"", b"", is_cut=False, is_short=True)
        offset, width, asked, size = (int(number) for number in numbers)
        wanted = min(asked, width + size - offset)
        before, data = part.body[:width], part.body[width:asked]
        return _Piece(offset, before, data, len(part.body) >= asked, len(part.body) < wanted)

    def proves(self, checksum: int) -> bool:
        return cksum(self.before) == checksum


def _take(piece: _Piece, place: Place, last: bool) -> tuple[list[bytes], Place]:
    """Whole lines of a piece and the place behind them. A rotated file's last line counts without its newline."""
    end = piece.data.rfind(b"\n") + 1
    torn = place.torn and place.offset in (piece.offset, 0)
    if end == 0 and piece.is_cut:
        used, rest_torn = len(piece.data), True  # longer than what is read at a time
    elif last or piece.is_cut:
        used, rest_torn = end, torn if end == 0 else False
    else:
        used, rest_torn = len(piece.data), False
    lines = piece.data[:used].split(b"\n")
    if lines and (not lines[-1] or rest_torn):
        lines.pop()
    if torn and lines:
        lines.pop(0)
    before = (piece.before + piece.data[:used])[-WINDOW:]
    return lines, replace(place, offset=piece.offset + used, checksum=cksum(before), torn=rest_torn)


def known_places(values: Mapping[str, Any]) -> dict[str, Place]:
    """The places of a cursor by path; those that cannot be read are left out (their files are read anew)."""
    places: dict[str, Place] = {}
    for path, value in values.items():
        try:
            places[path] = Place.from_json(value)
        except (TypeError, ValueError):
            continue
    return places
