"""Errors of the store. Every message says what failed, where, and the fix. Standard library only."""

from __future__ import annotations

MAX_CANDIDATES = 8
"""Full names that are told where a short one fits several."""


class StoreError(Exception):
    """An expected failure of the store."""


class StoreUnusable(StoreError):
    """It cannot be opened, or is not a store."""


class StoreMissing(StoreUnusable):
    """It is not there yet: an engine makes it."""


class StoreOutdated(StoreUnusable):
    """Its schema is older than this program's: an engine migrates it. `found`: that without the mend."""

    def __init__(self, found: str) -> None:
        super().__init__(f'{found}; start "headway engine" once: it migrates the store')
        self.found = found


class NotAllowed(StoreError):
    """They may not: by what config permits, or by what the database grants. The message says whom to ask."""


class ReasonNeeded(NotAllowed):
    """They may, once they say why."""


class StoreTooNew(StoreUnusable):
    """It was written by a newer Headway; this one must not touch it."""


class LeaseLost(StoreError):
    """The write was refused: another engine holds the store now."""


class NotFound(StoreError):
    """Nothing has this name. `near`: names that are close to it; `lists`: the command that lists those that there are,
    told where none is close."""

    def __init__(self, name: str, near: tuple[str, ...] = (), lists: str = "") -> None:
        self.name = name
        self.near = near
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; {lists} lists what there is" if lists else ""
        super().__init__(f'"{name}" not found{hint}')


class ItemNotFound(NotFound):
    """What has this name has not what was asked for; `told`: the whole sentence."""

    def __init__(self, name: str, told: str) -> None:
        StoreError.__init__(self, told)
        self.name = name
        self.near = ()


class PlanNotFound(NotFound):
    """No plan has this number."""

    def __init__(self, number: int) -> None:
        StoreError.__init__(self, f"there is no plan {number}; headway plan --all lists them")
        self.name = str(number)
        self.near = ()


class IndistinctName(NotFound):
    """Several jobs are shown under this name and none has it byte by byte: which of them is not guessed."""

    def __init__(self, name: str, ids: tuple[int, ...]) -> None:
        StoreError.__init__(
            self,
            f'"{name}" is how several jobs look alike: their names differ in what cannot be shown. Name one by its id: '
            + ", ".join(f"id:{one}" for one in ids),
        )
        self.name = name
        self.near = ()


class AmbiguousName(NotFound):
    """Several things answer to this short name: `near` is their full ones."""

    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        more = f" and {len(names) - MAX_CANDIDATES} more" if len(names) > MAX_CANDIDATES else ""
        StoreError.__init__(
            self,
            f'"{name}" is short for {len(names)} jobs: {", ".join(names[:MAX_CANDIDATES])}{more}. Name one in full',
        )
        self.name = name
        self.near = names


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that the bytes of its file are not what it wrote."""
    return "malformed" in str(error) or "not a database" in str(error)


def damage_text(error: BaseException | None) -> str:
    """The mend for a file that is damaged, or was never a store; empty for every other error."""
    if not is_damage(error):
        return ""
    return (
        '. It is damaged, or no store of Headway: end the engine ("headway engine stop") and put a copy in its place'
        ' with "headway store restore COPY --replace", which moves this file aside; or name another store'
    )


def replaced_text(place: object, why: str | None) -> str:
    """The mend for a store whose file was moved away under whoever has it open."""
    return f"the store's file is gone ({why}); put it back: {place}"


def folder_text(path: object) -> str:
    """What to write in place of a folder."""
    return f"{path} is a folder; name the store's file in it: {path}/headway.db"
