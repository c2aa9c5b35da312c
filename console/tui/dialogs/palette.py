"""Lists to choose from, narrowed by typing: key help, questions, saved views, and the palette with jump by name.

`:` begins with places, Ctrl-P with actions of this screen; it is the same list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from textwrap import wrap
from typing import Any, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Input

from console.config import key_table
from console.config.preferences import (
    THEMES,
    PreferencesNotSaved,
    delete_view,
    read_preferences,
    save_theme,
    save_view,
)
from console.config.saved_views import SavedView, name_fault
from console.domain.filter import FilterError, parse_filter
from console.domain.ids import incident_name
from console.domain.incident import IncidentRow
from console.domain.job import JobRow
from console.domain.service import ServiceView
from console.domain.system import TargetView
from console.domain.text import render
from console.store.queries.reader import Queries
from console.tui.dialogs.ask import AskScreen
from console.tui.dialogs.overlay import Overlay
from console.tui.frame.cells import target_name
from console.tui.frame.glyphs import legend
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.widgets.bar import KeyHint
from console.tui.widgets.entry import Entry
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, FixedRows, TableRow, column_widths

ANSWER_COLUMNS = (Column("", 1, 1), Column("", 20, 1), Column("", 20, 1, flex=1))
PLACE_COLUMNS = (Column("", 9, 1), Column("", 34, 1, flex=2, most=60), Column("", 30, 2, flex=3))
KEY_COLUMNS = (Column("", 8, 1), Column("", 16, 1), Column("", 20, 1, flex=1))

LIST_MOVES = {
    "up": "up", "down": "down", "pageup": "page_up", "pagedown": "page_down", "home": "top", "end": "bottom",
}  # fmt: skip
"""Keys that move in the list while its line has the focus; Ctrl-A and Ctrl-E move in the line."""

MOUSE_HELP = "selects; a double click opens; the wheel scrolls; headings sort; keys below are buttons"


@dataclass(frozen=True, slots=True)
class PaletteChoice:
    """One line: its kind, name and description, and the value that choosing it returns."""

    tag: str
    name: str
    says: str
    value: Any
    dead: bool = False

    def mentions(self, terms: Sequence[str]) -> bool:
        text = f"{self.tag} {self.name} {self.says}".lower()
        return all(term.lower() in text for term in terms)


class ChoiceSource:
    """Where the choices of a `PickScreen` come from: by default those it was made with, narrowed by words."""

    LINES = 0
    """Lines of the list when it opens; 0: as many as there are choices."""
    box: PickScreen

    def begin(self) -> None: ...

    def narrow(self, text: str) -> None:
        terms = text.lower().split()
        self.box.shown = tuple(choice for choice in self.box.choices if choice.mentions(terms))
        self.box.show_choices()

    def entered(self) -> None:
        self.box.choose()


class HelpChoices(ChoiceSource):
    """Keys of the screen and symbols. Without a match: keys of other screens, each with the names of its screens."""

    def narrow(self, text: str) -> None:
        super().narrow(text)
        if not self.box.shown:
            terms = text.split()
            self.box.shown = tuple(choice for choice in _keys_elsewhere(self.box) if choice.mentions(terms))
            self.box.show_choices()


def _keys_elsewhere(box: PickScreen) -> Iterator[PaletteChoice]:
    remap, plain = box.board.own.remap, box.board.ctx.plain
    for act in key_table.KEY_TABLE:
        screens = [key_table.SCREENS[where] for where in act.where if where in key_table.SCREENS]
        if screens:
            tag = " ".join(key_table.key_label(key, plain) for key in act.keys) or ":"
            says = key_table.action_help(act, act.where[0], remap, plain)
            yield PaletteChoice(tag, act.label, f"on {', '.join(screens)}: {says}", None, dead=True)


class ReadingEntry(Entry):
    """The filter of a list to read: `q` in the empty line closes the list."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "q" and not self.value:
            event.stop()
            event.prevent_default()
            self.screen.dismiss(None)
        else:
            await super()._on_key(event)


class PickScreen(Overlay[Any]):
    """`is_read`: a list of texts to read, which are wrapped."""

    WHERE = "pick"

    def __init__(self, title: str, choices: Sequence[PaletteChoice], placeholder: str = "type to narrow",
                 columns: Sequence[Column] = KEY_COLUMNS, source: ChoiceSource | None = None,
                 is_read: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.columns, self.is_read, self._says_width = tuple(columns), is_read, 0
        self.source = source or ChoiceSource()
        self.source.box = self
        self.title_text, self.choices, self.placeholder = title, tuple(choices), placeholder
        self.shown: tuple[PaletteChoice, ...] = self.choices
        self.grid = Grid(columns, "no match", id="choices-grid")

    @property
    def lines_at_first(self) -> int:
        return self.source.LINES or super().lines_at_first + len(self.choices)

    def content(self) -> ComposeResult:
        yield (ReadingEntry if self.is_read else Entry)(placeholder=self.placeholder, id="narrow")
        yield self.grid

    def on_mount(self) -> None:
        self.bar("box-title").show([(self.title_text, "strong")])
        self.foot(KeyHint(self.key_for("choose"), "choose", 1), KeyHint(self.key_for("back"), "back"))
        self.source.begin()
        self.source.narrow("")

    def show_choices(self, keep: bool = False) -> None:
        """`keep`: the cursor stays on its choice."""

        def rows(number: int, choice: PaletteChoice) -> Iterator[TableRow]:
            tag_style, style = ("dim", "dim") if choice.dead else ("key", "plain")
            first, *further = wrap(choice.says, width) if width else [choice.says]
            yield TableRow(number, ((choice.tag, tag_style), (choice.name, style), (first, "dim")))
            for line in further:
                yield TableRow((number, line), (("", "dim"), ("", "dim"), (line, "dim")), pick=False)

        width = self._says_width
        lines = chain.from_iterable(rows(number, choice) for number, choice in enumerate(self.shown))
        self.grid.show(FixedRows(list(lines)), keep=keep)

    def fitted(self) -> None:
        width = dict(column_widths(self.columns, self.grid.size.width)).get(2, 0) if self.is_read else 0
        if width != self._says_width:
            self._says_width = width
            self.show_choices(keep=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.source.narrow(event.value)

    def on_input_submitted(self) -> None:
        self.source.entered()

    def on_key(self, event: events.Key) -> None:
        if event.key in LIST_MOVES:
            event.stop()
            self.grid.action_move(LIST_MOVES[event.key])

    def commands(self) -> Sequence[ScreenCommand]:
        return [*super().commands(), ScreenCommand("choose", self.choose)]

    @on(Grid.Picked)
    def choose(self) -> None:
        key = self.grid.key
        if isinstance(key, int) and key < len(self.shown):
            self.dismiss(self.shown[key].value)


def act_choices(screen: HeadwayScreen, skip: Sequence[str] = ()) -> list[PaletteChoice]:
    """The actions of a screen; a disabled one shows its reason."""
    plain = screen.ctx.plain
    choices = []
    for act in key_table.key_actions(screen.WHERE, screen.board.own.remap):
        if act.name in skip:
            continue
        reason = screen.why_not(act.name)
        tag = " ".join(key_table.key_label(key, plain) for key in act.keys) or ":"
        says = reason or key_table.action_help(act, screen.WHERE, screen.board.own.remap, plain)
        choices.append(PaletteChoice(tag, act.label, says, act.name, dead=bool(reason)))
    return choices


def help_screen(screen: HeadwayScreen) -> PickScreen:
    widget = key_table.focus_widget(screen.WHERE)
    moved = key_table.key_actions(widget, screen.board.own.remap)
    moves = [
        PaletteChoice(" ".join(key_table.key_label(key) for key in act.keys), act.label, act.says, None)
        for act in moved
    ]
    moves.append(PaletteChoice("mouse", "click", MOUSE_HELP, None))
    symbols = [
        PaletteChoice(mark.shape(screen.ctx.plain), f"symbol: {title}", mark.meaning, None) for title, mark in legend()
    ]
    title = f"keys of {key_table.SCREENS[screen.WHERE]}, then all symbols"
    hint = 'type to narrow; "symbol" lists only the symbols; the mouse works too'
    return PickScreen(
        title, [*act_choices(screen, skip=("help",)), *moves, *symbols], hint, source=HelpChoices(), is_read=True
    )


def confirm(screen: HeadwayScreen, title: str, name: str, says: str, then: Callable[[], object]) -> None:
    """Asks once more, the cursor on "Back"; `then` runs if the user chooses the other line."""
    choices = [PaletteChoice("", "Back", "nothing changes", None), PaletteChoice("", name, says, "yes")]

    def answered(value: object) -> None:
        if value == "yes":
            then()

    screen.board.push_screen(PickScreen(title, choices, columns=ANSWER_COLUMNS), answered)


_TERM_START = r"(?:^|[\W_])"


def match_cost(name: str, typed: str) -> int | None:
    """0 for the name itself, more the worse it matches; None if its letters do not occur in order."""
    name, typed = name.lower(), typed.lower()
    if name == typed:
        return 0
    if name.startswith(typed):
        return 1
    if re.search(_TERM_START + re.escape(typed), name):
        return 2
    if typed in name:
        return 3
    found_at, gaps = -1, 0
    for letter in typed:
        position = name.find(letter, found_at + 1)
        if position < 0:
            return None
        gaps += position - found_at - 1 if found_at >= 0 else 0
        found_at = position
    return SCATTERED + gaps


SCATTERED = 4
"""The least cost of a name that has the letters in order, but not in a row."""
JOBS_SHOWN = 200
WEAK_MATCH = 1_000
"""Worse than any match of a name."""
SILENCE, THEME, CURRENT = "silence", "theme", "current"
COMMANDS = (SILENCE, THEME)
"""Tags that are typed in full, before a name or alone: then their choices rank before every other match."""
TABLES = {"job": "jobs", "jobs": "jobs", "run": "runs", "runs": "runs"}
TAGS = {"svc": "service", "inc": "incident", "sys": "system"}
"""Prefixes that restrict the list to one kind."""
JUMP_ALIASES = {
    "svc": "services", "inc": "incidents", "jobs": "jobs", "job": "jobs", "runs": "runs", "run": "runs",
    "sys": "systems", "hold": "holds", "tl": "tonight", "acts": "actions", "plan": "recover", "log": "log",
    "why": "evidence", **dict.fromkeys(("q", "quit", "q!"), "leave"),
}  # fmt: skip
"""Short names after `:` and their actions: a screen, or an action on the selected row."""


def jump_screen(jumps_first: bool) -> PickScreen:
    """The dialog that finds a place, or an action of the screen below, by part of its name."""
    title = "jump" if jumps_first else "everything available here"
    return PickScreen(title, (), "name, or part of it", PLACE_COLUMNS, JumpChoices(jumps_first))


class JumpChoices(ChoiceSource):
    """Places and actions, ranked by how well they match the typed text."""

    LINES = 20

    def __init__(self, jumps_first: bool) -> None:
        self.jumps_first = jumps_first
        self.places: list[PaletteChoice] = screen_choices()
        self.jobs: list[PaletteChoice] = []
        self.tables: list[PaletteChoice] = []
        self.silences: list[PaletteChoice] = []
        """Subjects of a silence; listed once "silence" is typed."""
        self.search_text = self.meant = ""
        """The search text, and the action of a lone alias of `JUMP_ALIASES`."""
        self._is_unknown = False
        """True if no name contains the typed text: the first line reports that, and cannot be chosen."""
        self._awaited: set[str] = set()
        """Queries of the list without an answer yet."""
        self._is_entered = False

    def begin(self) -> None:
        self._gather()
        self._awaited.add("places")

        def read(reads: Queries) -> tuple[Any, ...]:
            services, incidents = reads.services.list_services(), reads.incidents.list_incidents()
            plans = reads.plans.list_plans(ended=False)
            return services, incidents, reads.estate.systems(), plans, reads.estate.ended_work()

        self.box.ask("places", read, self._on_places, self._on_failed, first=True)

    def _gather(self) -> None:
        board = self.box.board
        below = board.screen_stack[-2]
        skip = ("jump", "palette", *key_table.GLOBAL_SCREENS)
        acts = act_choices(below, skip) if isinstance(below, HeadwayScreen) else []
        acts = [choice for choice in acts if isinstance(choice.value, str) and "(" not in choice.value]
        views = (PaletteChoice("view", view.name, view.says, ("view", view.name)) for view in board.own.views)
        places = [*self.places, *self.jobs, *views]
        first, then = (places, acts) if self.jumps_first else (acts, places)
        every_theme = PaletteChoice(THEME, "all themes", "opens the list", ("theme", ""))
        themes = (
            PaletteChoice(THEME, name, CURRENT if name == board.theme else "colors, kept for you", ("theme", name))
            for name in THEMES
        )
        self.box.choices = (*first, *then, every_theme, *themes)

    def _on_places(self, places: tuple[Any, ...]) -> None:
        services, incidents, targets, plans, ended = places
        clock = self.box.board.ctx.zoned
        self.places = [
            *screen_choices(),
            *(PaletteChoice("incident", f"{incident_name(view.id)} {view.root_job or view.title.text(clock)}",
                            render(view.reason, clock), ("incident", view.id)) for view in incidents),
            *(PaletteChoice("plan", f"{view.id} {view.title}", f"{view.status}, by {view.requester}",
                            ("plan", view.id)) for view in plans),
            *(PaletteChoice("service", view.title or view.name, view.name, ("service", view.name))
              for view in services),
            *(PaletteChoice("system", target_name(view), f"{view.kind}, {view.jobs:,} jobs", ("system", view.system))
              for view in targets),
            *(PaletteChoice(work.kind, f"{incident_name(work.id) if work.kind == 'incident' else work.id} {work.title}",
                            work.state, (work.kind, work.id)) for work in ended),
        ]  # fmt: skip
        self.silences = [*_silence_choices(services, incidents, targets)]
        self._has_come("places")

    def _on_jobs(self, text: str, jobs: Sequence[JobRow]) -> None:
        self.jobs = [PaletteChoice("job", job.name, job.schedule, ("job", job.id)) for job in jobs]
        self._has_come(text)

    def _on_failed(self, error: Exception) -> None:
        self._awaited.clear()
        self.box.board.store_failed(error)
        self._show_ranked()
        self._choose_late()

    def _has_come(self, what: str) -> None:
        self._awaited.discard(what)
        self._again()
        self._choose_late()

    def _choose_late(self) -> None:
        if self._is_entered and not self._awaited:
            self._is_entered = False
            self._choose()

    def _choose(self) -> None:
        if not self._is_unknown or self.box.grid.touched:
            self.box.choose()

    def entered(self) -> None:
        """Enter in the line: waits for pending queries, so that fast and slow typing choose the same."""
        self._is_entered = bool(self._awaited) and not self.box.grid.touched
        if not self._is_entered:
            self._choose()

    def _again(self) -> None:
        """New results: a moved cursor stays on its choice."""
        box = self.box
        key = box.grid.key
        selected = box.shown[key] if box.grid.touched and isinstance(key, int) else None
        self._gather()
        self._show_ranked()
        if selected in box.shown:
            box.grid.move_to(box.shown.index(selected))

    def narrow(self, text: str) -> None:
        if self._is_entered:
            return  # typing after Enter does not change the choice
        prefix, _, rest = text.partition(" ")
        prefix = prefix.lstrip(":")
        kind = TAGS.get(prefix, "" if prefix in TABLES else prefix) if rest.strip() else prefix
        self.search_text = f"{kind} {rest}".strip()
        self.meant = JUMP_ALIASES.get(prefix, "") if not rest.strip() else ""
        table = TABLES.get(prefix)
        query = rest.strip().removeprefix("/") if table else text
        self.box.grid.touched = False  # other words, another list
        target = ("table", (table, query))
        self.tables = [PaletteChoice("filter", f"{table}: {query}", "the table with this filter", target)]
        if not table or not query:
            self.tables = []
        if query.strip():
            self._ask_jobs(query)
        self._show_ranked()

    def _ask_jobs(self, text: str) -> None:
        try:
            job_filter = parse_filter(text, self.box.board.now())
        except FilterError:
            return
        job_filter = job_filter._replace(terms=(), fuzzy=(*job_filter.fuzzy, *job_filter.terms))
        query = f"jobs {text}"
        self._awaited = {query, *(self._awaited & {"places"})}  # answers to earlier text are dropped
        self.box.ask(
            "jump jobs",
            lambda reads: reads.jobs.jobs_first_page(job_filter, limit=JOBS_SHOWN),
            lambda jobs: self._on_jobs(query, jobs),
            self._on_failed,
            first=True,
        )

    def _show_ranked(self) -> None:
        """Shows the matches, the best first; equal ones keep their order."""
        terms = self.search_text.lower().split()
        mutes = bool(terms) and len(terms[0]) > 2 and SILENCE.startswith(terms[0])
        fits = [
            (_choice_cost(choice, terms), choice) for choice in (*self.box.choices, *(self.silences if mutes else ()))
        ]
        matches = sorted((fit for fit in fits if fit[0] is not None), key=itemgetter(0)) if terms else fits
        meant = [_alias_choice(self.meant, self.box.choices)] if self.meant else []
        rest = [choice for _, choice in matches if choice not in meant]
        named = (*meant, *self.tables, *(choice for cost, choice in matches if cost is not None and cost < WEAK_MATCH))
        self._is_unknown = bool(terms) and not named and not self._awaited
        unknown = (
            [PaletteChoice("", " ".join(terms), NOTHING_NAMED, None, dead=True)] if self._is_unknown and rest else []
        )
        self.box.shown = (*unknown, *meant, *self.tables, *rest)
        self.box.show_choices()


NOTHING_NAMED = "no such name; arrow keys select a similar one"


def _alias_choice(name: str, choices: Sequence[PaletteChoice]) -> PaletteChoice:
    here = (choice for choice in choices if choice.value in (name, ("screen", name)))
    label = next((act.label for act in key_table.KEY_TABLE if act.name == name), name)
    return next(here, PaletteChoice("", label, "not available on this screen", None, dead=True))


def _least_cost(names: Iterable[str], typed: str) -> int | None:
    costs = (match_cost(name, typed) for name in names)
    return min((cost for cost in costs if cost is not None), default=None)


def _choice_cost(choice: PaletteChoice, terms: list[str]) -> int | None:
    """Less than WEAK_MATCH if its name has the terms, the first one may be its kind; then its text, then only their
    letters; None without these."""
    is_kind = len(terms) > 1 and terms[0] == choice.tag
    is_command = choice.tag in COMMANDS and terms[:1] == [choice.tag]
    names = (choice.name, choice.says) if choice.tag == "service" else (choice.name,)
    costs = [_least_cost(names, term) for term in (terms[1:] if is_kind or is_command else terms)]
    matched = [cost for cost in costs if cost is not None]
    if len(matched) == len(costs) and all(cost < SCATTERED for cost in matched):
        return sum(matched) - is_command * WEAK_MATCH
    if choice.mentions(terms):
        return WEAK_MATCH
    return 2 * WEAK_MATCH + sum(matched) if len(matched) == len(costs) else None


def screen_choices() -> list[PaletteChoice]:
    return [
        PaletteChoice(
            "screen", act.name, key_table.action_help(act, act.where[0]).partition(": ")[2], ("screen", act.name)
        )
        for act in key_table.KEY_TABLE
        if act.name in key_table.GLOBAL_SCREENS
    ]


def _silence_choices(
    services: Sequence[ServiceView], incidents: Sequence[IncidentRow], targets: Sequence[TargetView]
) -> Iterator[PaletteChoice]:
    jobs = (("job", view.root_job) for view in incidents if view.root_job)
    named = (("service", view.name) for view in services)
    says = "no notifications about it; jobs and polls go on; asks how long and why"
    for by, name in dict.fromkeys([*jobs, *named, *(("system", view.system) for view in targets)]):
        yield PaletteChoice(SILENCE, f"{by} {name}", says, (SILENCE, (by, name)))


VIEW_COLUMNS = (Column("", 7, 1), Column("", 24, 1, flex=1, most=40), Column("", 20, 1, flex=2))


class _ViewChoice(NamedTuple):
    what: str
    name: str = ""


def list_saved_views(screen: HeadwayScreen, view_here: Callable[[str], SavedView]) -> None:
    """Lists saved views. `view_here` returns the present view under a name."""
    board, saved = screen.board, screen.board.own.views
    choices = [
        PaletteChoice("", "Save this view…", view_here("").says, _ViewChoice("save")),
        *(PaletteChoice("mine" if view.mine else "shared", view.name, view.says, _ViewChoice("open", view.name))
          for view in saved),
        *(PaletteChoice("", f"Delete {view.name}", "deletes it from your file; asks first",
                        _ViewChoice("forget", view.name)) for view in saved if view.mine),
    ]  # fmt: skip

    def chosen(value: _ViewChoice | None) -> None:
        if value is not None:
            {"save": lambda: _ask_name(screen, view_here), "open": lambda: board.navigation.visit("view", value.name),
             "forget": lambda: _delete_view(screen, value.name)}[value.what]()  # fmt: skip

    board.push_screen(PickScreen("saved views", choices, columns=VIEW_COLUMNS), chosen)


def _ask_name(screen: HeadwayScreen, view_here: Callable[[str], SavedView]) -> None:
    def named(name: str | None) -> None:
        if name is None:
            return
        view, before = view_here(name), screen.board.own.view(name)

        def save() -> None:
            _write_and_reload(screen, lambda: save_view(view, screen.board.personal.path), f"saved: {name}")

        if before is not None and before.mine:
            confirm(screen, f'"{name}" is {before.says}', "Overwrite it", f"it becomes {view.says}", save)
        elif before is not None:
            confirm(screen, f'"{name}" is shared: {before.says}', "Save it", "yours replaces it for you only", save)
        else:
            save()

    says = f"{view_here('').says}: name of the view; :NAME opens it from anywhere"
    screen.board.push_screen(AskScreen("SAVE this view", says, fault=_name_fault, prompt="name"), named)


def _name_fault(name: str) -> str:
    if name in JUMP_ALIASES or name in key_table.GLOBAL_SCREENS:
        return f'":{name}" is already in use; choose another name'
    return name_fault(name)


def _delete_view(screen: HeadwayScreen, name: str) -> None:
    view = screen.board.own.view(name)
    says = f"{view.says if view else name} is no longer in your file"
    path = screen.board.personal.path
    confirm(screen, f'delete "{name}"?', "Delete it", says,
            lambda: _write_and_reload(screen, lambda: delete_view(name, path), f"deleted: {name}"))  # fmt: skip


def list_themes(screen: HeadwayScreen) -> None:
    """Opens the list of themes; the chosen one is applied."""
    board = screen.board
    choices = [PaletteChoice(CURRENT if theme == board.theme else "", theme, "", theme) for theme in THEMES]

    def answered(theme: str | None) -> None:
        if theme is not None:
            choose_theme(screen, theme)

    board.push_screen(PickScreen("theme", choices, columns=VIEW_COLUMNS), answered)


def choose_theme(screen: HeadwayScreen, name: str) -> None:
    """Applies the theme and saves it in the user's file."""
    board = screen.board
    board.use_theme(name)
    _write_and_reload(screen, lambda: save_theme(name, board.personal.path), f"theme {name}, kept in console.toml")


def _write_and_reload(screen: HeadwayScreen, change: Callable[[], None], done: str) -> None:
    """Writes and reads the preferences file in a thread."""
    board = screen.board

    def work() -> None:
        try:
            change()
        except PreferencesNotSaved as error:
            board.call_from_thread(screen.notice, f"not saved: {error}", "bad")
            return
        personal = read_preferences(board.personal.path)
        board.call_from_thread(board.take_personal, personal)
        board.call_from_thread(screen.notice, done, "ok")

    screen.run_worker(work, thread=True, exit_on_error=False)
