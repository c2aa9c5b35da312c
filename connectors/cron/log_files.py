"""Files on a host followed through rotation.

A position is an offset and the cksum of the (at most 256) bytes before it; it survives rotation by rename, gzip,
copytruncate and reused inode numbers. The host sends those bytes again before the new ones, so each read proves its own
position. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from connectors.sdk.transport.script_output import ScriptSection, text_of

WINDOW = 256
SAMPLE_BYTES = 100
FILE_FIELDS = 6  # inode, size, mtime, owner, kind, birth
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def cksum(data: bytes) -> int:
    """The checksum of cksum(1): zlib's CRC over the data and its length, with the bits of all bytes reversed."""
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "little")
    crc = crc32((data + length).translate(REVERSED_BITS), 0xFFFFFFFF)
    return int(f"{crc:032b}"[::-1], 2)


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where reading stopped. `tag`: the host's stamp of the file then; unchanged means nothing to read."""

    path: str
    offset: int = 0
    checksum: int = 0
    inode: str = "0"
    """Of the last live file that was read; "0": none yet, only rotated ones."""
    tag: str = "-"
    since: int = 0
    """The host's clock, in epoch seconds, at the last read."""
    torn: bool = False
    """True inside a line that was too long; the rest of the line is dropped."""

    def as_json(self) -> list[Any]:
        return [self.path, self.offset, self.checksum, self.inode, self.tag, self.since, int(self.torn)]

    @staticmethod
    def from_json(value: Any) -> LogPosition | None:
        """None for an unreadable one: its file is read from the start."""
        try:
            path, offset, checksum, inode, tag, since, torn = value
            return LogPosition(str(path), int(offset), int(checksum), str(inode), str(tag), int(since), bool(torn))
        except (TypeError, ValueError):
            return None


@dataclass(slots=True)
class LogFileState:
    """One file as the host answered: its state, its pieces oldest first."""

    path: str
    status: str
    """"ok", "denied" or "absent"."""
    tag: str = ""
    owner: str = ""
    login: tuple[str, ...] = ()
    """The user that may not read it, then the groups of that user; empty for a readable file."""
    pieces: list[ScriptSection] = field(default_factory=list)
    has_gap: bool = False
    unread: str = ""
    """A rotated file that may hold our position and cannot be read."""
    has_more: bool = False
    after: str | None = None
    """Inode, size, birth of the live file after the read, and whether it begins as before; None if not requested."""

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


def log_files(parts: Iterable[ScriptSection]) -> list[LogFileState]:
    """The files of an answer, in its order."""
    files: list[LogFileState] = []
    for part in parts:
        if part.kind == "FILE":
            status, _, rest = part.rest.partition("|")
            tag, _, path = rest.rpartition("|")
            fields = tag.split("|")
            login = tuple(text_of(part.body).split()) if status == "denied" else ()
            owner = fields[3] if len(fields) == FILE_FIELDS else ""
            files.append(LogFileState(path, status, tag, owner, login))
        elif files and part.kind == "LOG":
            files[-1].pieces.append(part)
        elif files and part.kind == "GAP":
            files[-1].has_gap, files[-1].unread = True, part.fields(2)[0]
        elif files and part.kind == "MORE":
            files[-1].has_more = True
        elif files and part.kind == "AFTER":
            files[-1].after = part.rest
    return files


@dataclass(frozen=True, slots=True)
class LogReading:
    """Whole lines of one file, and the position after them."""

    place: LogPosition
    lines: tuple[bytes, ...] = ()
    has_more: bool = False
    gap: bool = False
    moved: bool = False
    """True: our position was not in the live file; the next query must search for it."""
    too_long: bytes = b""
    """The beginning of a line that exceeds the limit of one read; it is left out."""


def read_log(file: LogFileState, place: LogPosition, now: int, from_middle: bool = False) -> LogReading:
    """The lines after `place`. `from_middle`: the first piece begins inside a line."""
    if file.was_rotated:
        return LogReading(place, moved=True)
    since = now if file.pieces or file.tag == place.tag else place.since
    starts_inside = from_middle and bool(file.pieces) and not file.pieces[0].rest.startswith("0|")
    after = replace(place, path=file.path, tag=file.tag, since=since, torn=place.torn or starts_inside)
    lines: list[bytes] = []
    too_long = b""
    for number, part in enumerate(file.pieces):
        piece = _LogPiece.of(part, file)
        continues = piece.offset == after.offset and piece.offset > 0 and not from_middle
        if piece.is_short or (continues and cksum(piece.before) != after.checksum):
            if not number:
                return LogReading(place, moved=True)
            return LogReading(replace(after, tag="-"), tuple(lines), has_more=True, gap=file.has_gap)
        was_torn = after.torn
        result, after = _take(piece, after, is_first=number == 0, is_last=number == len(file.pieces) - 1)
        lines += result
        if after.torn and not was_torn and not result:
            too_long = piece.data[:SAMPLE_BYTES]
    if file.pieces:
        is_whole = after.inode == file.inode and not file.has_more
        after = replace(after, tag=file.tag if is_whole else "-")
    return LogReading(after, tuple(lines), file.has_more, file.has_gap, too_long=too_long)


@dataclass(frozen=True, slots=True)
class _LogPiece:
    offset: int
    before: bytes
    data: bytes
    is_cut: bool
    is_short: bool
    """The file lost bytes while it was read: it is being rotated."""
    inode: str
    """Of the live file; empty for a rotated one, which only its bytes identify."""

    @staticmethod
    def of(part: ScriptSection, file: LogFileState) -> _LogPiece:
        *numbers, path = part.fields(5)
        if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
            return _LogPiece(0, b"", b"", is_cut=False, is_short=True, inode="")
        offset, width, requested, size = (int(number) for number in numbers)
        expected = min(requested, width + size - offset)
        before, data = part.body[:width], part.body[width:requested]
        inode = file.inode if path == file.path else ""
        return _LogPiece(offset, before, data, len(part.body) >= requested, len(part.body) < expected, inode)


def _take(piece: _LogPiece, place: LogPosition, is_first: bool, is_last: bool) -> tuple[list[bytes], LogPosition]:
    """Whole lines of a piece and the position after them. The last line of a rotated file needs no newline."""
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
    inode = piece.inode or place.inode
    return lines, replace(place, offset=piece.offset + used, checksum=cksum(before), inode=inode, torn=too_long)
