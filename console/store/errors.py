"""Errors of the store. Every message says what failed, where, and the fix. Standard library only."""

from __future__ import annotations

import sqlite3

MAX_CANDIDATES = 8
"""Full names listed where a short one matches several."""


GRANTS_FIX = ". Fix: as the store's owner, run what `headway store grants` prints (once more after each upgrade)"


NO_TABLE = "42P01"
"""SQLSTATE of a table that does not exist: in an empty database."""


_NO_SLOTS = ("connection slots are reserved", "too many connections", "too many clients")
"""The driver gives a refused connection no SQLSTATE."""


def is_full(error: Exception) -> bool:
    """True if PostgreSQL refused a connection because it has too many."""
    return any(sign in str(error) for sign in _NO_SLOTS)


def is_not_permitted(error: object) -> bool:
    """True for a statement that PostgreSQL refused because this login lacks a right."""
    return getattr(error, "sqlstate", "") == "42501"


class StoreError(Exception):
    """An expected failure of the store."""


class StoreUnusable(StoreError):
    """It cannot be opened, or is not a store."""


class StoreMissing(StoreUnusable):
    """It does not exist yet: an engine creates it."""


class StoreGone(StoreUnusable):
    """Its file was removed or moved away: the note of an engine, or its log, is still beside it."""


class StoreOutdated(StoreUnusable):
    """Its schema is older than this program's: an engine migrates it. `problem`: the message without the fix."""

    def __init__(self, problem: str) -> None:
        super().__init__(f'{problem}. Fix: start "headway engine" once; it migrates the store')
        self.problem = problem


class NotAllowed(StoreError):
    """Refused by the permissions of the config, or of the database. The message names who can permit it."""


class ReasonNeeded(NotAllowed):
    """Allowed with a reason only."""


class KeyReused(StoreError):
    """Another request has this Idempotency-Key."""


class StoreTooNew(StoreUnusable):
    """It was written by a newer Headway; this one must not touch it."""


class LeaseLost(StoreError):
    """The write was refused: another engine holds the store now."""


class NotFound(StoreError):
    """Nothing has this name. `near`: similar names; `lists`: the command that lists the existing ones, for a message
    without similar names; `text`: the whole message, if it is another one."""

    def __init__(self, name: str, near: tuple[str, ...] = (), lists: str = "", text: str = "") -> None:
        self.name, self.near = name, near
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        self.short = text or f'"{name}" not found{hint}'
        """Without the command that lists the existing ones."""
        has_list = lists and not near and not text
        super().__init__(f"{self.short}; {lists} lists what there is" if has_list else self.short)


class ItemNotFound(NotFound):
    """The named thing exists, but not the requested part of it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text=text)


class PlanNotFound(NotFound):
    def __init__(self, number: int) -> None:
        super().__init__(str(number), text=f"there is no plan {number}; headway plan --all lists them")


class IndistinctName(NotFound):
    """Several jobs are displayed under this name and none has exactly it: none of them is guessed."""

    def __init__(self, name: str, ids: tuple[int, ...]) -> None:
        shown = f'several jobs are displayed as "{name}": their names differ only in characters that cannot be shown'
        super().__init__(name, text=f"{shown}. Name one by its id: {', '.join(f'id:{job_id}' for job_id in ids)}")


class AmbiguousName(NotFound):
    """Several jobs match this short name: `near` has their full names."""

    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        suffix = f" and {len(names) - MAX_CANDIDATES} more" if len(names) > MAX_CANDIDATES else ""
        shown = f'"{name}" is short for {len(names)} jobs: {", ".join(names[:MAX_CANDIDATES])}{suffix}'
        super().__init__(name, names, text=f"{shown}. Name one in full")


SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""Raised by SQLite: the second instead of the first where its message names a damaged table that is not UTF-8."""


def sqlite_text(error: BaseException | None) -> str:
    """SQLite's message, readable where it is not UTF-8."""
    return error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)


def is_damage(error: BaseException | None) -> bool:
    """True for SQLite's errors about a corrupt file."""
    return isinstance(error, UnicodeDecodeError) or any(
        sign in str(error) for sign in ("malformed", "not a database", "Could not decode to UTF-8")
    )


def _is_disk_full(error: BaseException | None) -> bool:
    """True for the errors of SQLite and PostgreSQL about a full disk."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "sqlstate", "") == "53100"


def damage_text(error: BaseException | None) -> str:
    """The fix for a full disk, a corrupt file or a file that is not a store; empty for other errors."""
    if _is_disk_full(error):
        return ". Fix: free space on the disk of the store"
    if not is_damage(error):
        return ""
    return (
        '. It is damaged, or not a store of Headway. Fix: stop the engine ("headway engine stop"), then run'
        ' "headway store restore COPY --replace", which moves this file aside; or name another store'
    )


STORE_GONE = "the store's file is gone"


def replaced_text(place: object, why: str | None) -> str:
    """The message for a store whose file was moved away while it is open."""
    fix = 'move it back, or restore a copy with "headway store restore COPY"'
    return f"{STORE_GONE}: {place} ({why}). Fix: {fix}"


def folder_text(path: object) -> str:
    """The message for a folder instead of a file."""
    return f"{path} is a folder. Fix: name the file of the store in it: {path}/headway.db"
