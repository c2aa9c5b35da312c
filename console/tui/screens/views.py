"""`V`: saved views of all tables. One opens, the present one is saved, one's own is taken away; where something
would be gone, that is asked first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from console.personal.file import NotSaved, forget_view, read_personal, save_view
from console.personal.views import name_fault
from console.tui import where
from console.tui.screens.ask import AskScreen
from console.tui.screens.jump import JUMP_WORDS
from console.tui.screens.pick import Choice, PickScreen, confirm
from console.tui.widgets.table import Column

if TYPE_CHECKING:
    from console.tui.screens.lists import ListScreen

LINES = (Column("", 7, 1), Column("", 24, 1, flex=1, most=40), Column("", 20, 1, flex=2))


class _Chosen(NamedTuple):
    what: str
    name: str = ""


def views(screen: ListScreen) -> None:
    """Lists what is saved and does what is chosen."""
    board, saved = screen.board, screen.board.own.views
    choices = [
        Choice("", "Save this view…", screen.view_here("").says, _Chosen("save")),
        *(Choice("mine" if one.mine else "shared", one.name, one.says, _Chosen("open", one.name)) for one in saved),
        *(Choice("", f"Forget {one.name}", "takes it out of your file; asks first", _Chosen("forget", one.name))
          for one in saved if one.mine),
    ]  # fmt: skip

    def chosen(value: _Chosen | None) -> None:
        if value is not None:
            {"save": lambda: _ask_name(screen), "open": lambda: board.visit("view", value.name),
             "forget": lambda: _forget(screen, value.name)}[value.what]()  # fmt: skip

    board.push_screen(PickScreen("saved views", choices, columns=LINES), chosen)


def _ask_name(screen: ListScreen) -> None:
    def named(name: str | None) -> None:
        if name is None:
            return
        view, before = screen.view_here(name), screen.board.own.view(name)

        def save() -> None:
            _change(screen, lambda: save_view(view, screen.board.personal.path), f"saved: {name}")

        if before is not None and before.mine:
            confirm(screen, f'"{name}" is {before.says}', "Write over it", f"it becomes {view.says}", save)
        elif before is not None:
            confirm(screen, f'"{name}" is shared: {before.says}', "Save it", "yours hides it, for you alone", save)
        else:
            save()

    says = f"{screen.view_here('').says}: under which name? :NAME opens it from anywhere"
    screen.board.push_screen(AskScreen("SAVE this view", says, fault=_name_fault), named)


def _name_fault(name: str) -> str:
    if name in JUMP_WORDS or name in where.NUMBERED:
        return f'":{name}" leads somewhere else already; take another name'
    return name_fault(name)


def _forget(screen: ListScreen, name: str) -> None:
    view = screen.board.own.view(name)
    says = f"{view.says if view else name} is gone from your file"
    path = screen.board.personal.path
    confirm(screen, f'forget "{name}"?', "Forget it", says,
            lambda: _change(screen, lambda: forget_view(name, path), f"gone: {name}"))  # fmt: skip


def _change(screen: ListScreen, change: Callable[[], None], done: str) -> None:
    """Writes the file beside the screen's thread, and reads it again."""
    board = screen.board

    def work() -> None:
        try:
            change()
        except NotSaved as error:
            board.call_from_thread(screen.notice, f"not saved: {error}", "bad")
            return
        personal = read_personal(board.personal.path)
        board.call_from_thread(board.take_personal, personal)
        board.call_from_thread(screen.notice, done, "ok")

    screen.run_worker(work, thread=True, exit_on_error=False)
