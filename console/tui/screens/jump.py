"""Go anywhere by name: `:` begins with places, Ctrl-P with what can be done here. It is the same list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from console.model.carried import PlanView
from console.model.filters import FilterError, parse_filter
from console.model.ids import incident_name
from console.model.views import IncidentRow, JobRow, ServiceView, TargetView
from console.personal.views import SavedView
from console.tui import keys, where
from console.tui.fuzzy import misfit_of_all
from console.tui.ports import ReadsLike
from console.tui.rows import target_name
from console.tui.screens.base import BaseScreen
from console.tui.screens.pick import PLACES, Choice, PickScreen, act_choices
from console.tui.theme import THEMES

JOBS_SHOWN = 200
MANY = 20
WORSE = 1_000
"""Fits less well than any name."""
SILENCE = "silence"
TABLES = {"job": "jobs", "jobs": "jobs", "run": "runs", "runs": "runs"}
TAGS = {"svc": "service", "inc": "incident", "sys": "system"}
"""Before a name: only what is of that kind."""
JUMP_WORDS = {
    "svc": "services", "inc": "incidents", "jobs": "jobs", "job": "jobs", "runs": "runs", "run": "runs",
    "sys": "systems", "hold": "holds", "tl": "tonight", "acts": "actions", "plan": "recover", "log": "log", "q": "quit",
}  # fmt: skip
"""What one types after `:`, and the act that it is short for: a screen, or what is done with the row below."""


class JumpScreen(PickScreen):
    WHERE = "pick"

    def __init__(self, where: str, jumps_first: bool) -> None:
        super().__init__(
            "jump" if jumps_first else "everything that can be done here", (), "name, or part of it", PLACES
        )
        self.where, self.jumps_first = where, jumps_first
        self.places: list[Choice] = screens()
        self.jobs: list[Choice] = []
        self.tables: list[Choice] = []
        self.silences: list[Choice] = []
        """What can be muted; listed for who types "silence"."""
        self.wanted = self.meant = ""
        """The words that are looked for, and the act that a word of `JUMP_WORDS` alone is short for."""
        self._awaited: set[str] = set()
        """What has been asked of the store for the list and is not answered yet."""
        self._is_entered = False
        """Enter came before the list was whole: its first line is chosen once it is."""

    @property
    def lines_at_first(self) -> int:
        """It always has more: the screens, and what can be done here."""
        return MANY

    def on_mount(self) -> None:
        self._gather()
        super().on_mount()
        self._awaited.add("places")
        self.board.ask_for(self, "places", _places, self._on_places, self._on_failed, first=True)

    def _gather(self) -> None:
        below = self.board.screen_stack[-2]
        acts = act_choices(below, skip=("jump", "palette", *where.NUMBERED)) if isinstance(below, BaseScreen) else []
        acts = [choice for choice in acts if isinstance(choice.value, str) and "(" not in choice.value]
        places = [*self.places, *self.jobs]
        places = [*places, *map(_view, self.board.own.views)]
        first, then = (places, acts) if self.jumps_first else (acts, places)
        self.choices = (*first, *then, *_themes(self.app.theme))

    def _on_places(
        self, found: tuple[Sequence[ServiceView], Sequence[IncidentRow], Sequence[TargetView], Sequence[PlanView]]
    ) -> None:
        services, incidents, targets, plans = found
        named = [*map(_incident, incidents), *map(_plan, plans), *map(_service, services), *map(_target, targets)]
        self.places = [*screens(), *named]
        self.silences = [*_silences(services, incidents, targets)]
        self._has_come("places")

    def _on_jobs(self, words: str, jobs: Sequence[JobRow]) -> None:
        self.jobs = [Choice("job", job.name, job.schedule, ("job", job.id)) for job in jobs]
        self._has_come(words)

    def _on_failed(self, error: Exception) -> None:
        """The list stays as far as it has come."""
        self._awaited.clear()
        self.board.store_failed(error)
        self._choose_late()

    def _has_come(self, what: str) -> None:
        self._awaited.discard(what)
        self._again()
        self._choose_late()

    def _choose_late(self) -> None:
        if self._is_entered and not self._awaited:
            self._is_entered = False
            self.choose()

    def entered(self) -> None:
        """What was typed at once is looked for before it is chosen, as it is for who types slowly."""
        self._is_entered = bool(self._awaited) and not self.grid.touched
        if not self._is_entered:
            self.choose()

    def _again(self) -> None:
        """More is known: the cursor stays on what somebody has moved it to."""
        key = self.grid.key
        stood = self.shown[key] if self.grid.touched and isinstance(key, int) else None
        self._gather()
        self._show_ranked()
        if stood in self.shown:
            self.grid.move_to(self.shown.index(stood))

    def narrow(self, text: str) -> None:
        if self._is_entered:
            return  # what comes after Enter changes nothing of what is chosen by it
        word, _, rest = text.partition(" ")
        word = word.lstrip(":")
        self.wanted = f"{TAGS.get(word, '' if word in TABLES else word) if rest.strip() else word} {rest}".strip()
        self.meant = JUMP_WORDS.get(word, "") if not rest.strip() else ""
        table = TABLES.get(word)
        words = rest.strip().removeprefix("/") if table else text
        self.grid.touched = False  # other words, another list
        self.tables = [Choice("filter", f"{table}: {words}", "the table with this filter", ("table", (table, words)))
                       ] if table and words else []  # fmt: skip
        self._show_ranked()
        if words.strip():
            self._ask_jobs(words)

    def _ask_jobs(self, words: str) -> None:
        try:
            wanted = parse_filter(words, self.board.now())
        except FilterError:
            return
        wanted = replace(wanted, words=(), fuzzy=(*wanted.fuzzy, *wanted.words))
        asked = f"jobs {words}"
        self._awaited = {asked, *(self._awaited & {"places"})}  # who types on is not answered to what was before
        self.board.ask_for(
            self,
            "jump jobs",
            lambda reads: reads.jobs_first_page(wanted, limit=JOBS_SHOWN),
            lambda jobs: self._on_jobs(asked, jobs),
            self._on_failed,
            first=True,
        )

    def _show_ranked(self) -> None:
        """What fits, the best first; what fits alike in the order in which it is gathered."""
        words = self.wanted.split()
        mutes = bool(words) and len(words[0]) > 2 and SILENCE.startswith(words[0].lower())
        fits = [(_misfit(choice, words), choice) for choice in (*self.choices, *(self.silences if mutes else ()))]
        kept = sorted((one for one in fits if one[0] is not None), key=itemgetter(0)) if words else fits
        meant = [_meant(self.meant, self.choices)] if self.meant else []
        rest = (choice for _, choice in kept if choice not in meant)
        self.shown = (*meant, *self.tables, *rest)
        self.show_choices()


def _meant(name: str, choices: Sequence[Choice]) -> Choice:
    """The act that a short word means; one that there is not on this screen says so."""
    here = (choice for choice in choices if choice.value in (name, ("screen", name)))
    word = next((act.word for act in keys.TABLE if act.name == name), name)
    return next(here, Choice("", word, "nothing on this screen has one", None, dead=True))


def _misfit(choice: Choice, words: list[str]) -> int | None:
    """By its name; then by what else it says of itself."""
    found = misfit_of_all(choice.name, words)
    rest = f"{choice.tag} {choice.name} {choice.says}".lower()
    return found if found is not None else WORSE if all(word.lower() in rest for word in words) else None


def screens() -> list[Choice]:
    """The screens that one goes to from anywhere."""
    return [
        Choice("screen", act.name, keys.says(act, act.where[0]).partition(": ")[2], ("screen", act.name))
        for act in keys.TABLE
        if act.name in where.NUMBERED
    ]


def _places(reads: ReadsLike) -> tuple[Any, Any, Any, Any]:
    return reads.services(), reads.incidents(), reads.systems(), reads.plans(ended=False)


def _themes(used: str) -> list[Choice]:
    says = "other colours; HEADWAY_THEME={} for good"
    return [Choice("theme", name, says.format(name), ("theme", name)) for name in THEMES if name != used]


def _silences(
    services: Sequence[ServiceView], incidents: Sequence[IncidentRow], targets: Sequence[TargetView]
) -> Iterator[Choice]:
    """The root jobs of incidents, the services and the systems."""
    jobs = (("job", view.root_job) for view in incidents if view.root_job)
    named = (("service", view.name) for view in services)
    for by, name in dict.fromkeys([*jobs, *named, *(("system", view.system) for view in targets)]):
        yield Choice(SILENCE, f"{by} {name}", "nobody is told of it; asks how long and why", (SILENCE, (by, name)))


def _plan(view: PlanView) -> Choice:
    return Choice("plan", f"{view.id} {view.title}", f"{view.state}, by {view.requested_by}", ("plan", view.id))


def _view(view: SavedView) -> Choice:
    return Choice("view", view.name, view.says, ("view", view.name))


def _service(view: ServiceView) -> Choice:
    return Choice("service", view.title or view.name, view.name, ("service", view.name))


def _incident(view: IncidentRow) -> Choice:
    return Choice(
        "incident", f"{incident_name(view.id)} {view.root_job or view.title}", view.reason, ("incident", view.id)
    )


def _target(view: TargetView) -> Choice:
    return Choice("system", target_name(view), f"{view.kind}, {view.jobs:,} jobs", ("system", view.system))
