"""ONE table of what a person can do where: bindings, footer, help, palette and docs/keys.md are made from it.

A key that is here works on the screens it names; a screen that is not built has no key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from console.tui.key_words import PLAIN, SHOWN
from console.tui.where import (
    ALL,
    ASKED,
    BIG,
    BOXES,
    FORESEEN,
    HURT,
    JOBS,
    LISTS,
    MARKED,
    OVERLAYS,
    PANES,
    POLLED,
    RUNS,
    VERBS,
)

if TYPE_CHECKING:
    from textual.binding import BindingType


class Act(NamedTuple):
    """One thing to do. `name` is what config remaps; `word` stands in the footer, `says` in the help."""

    name: str
    keys: tuple[str, ...]
    word: str
    says: str
    where: tuple[str, ...]
    footer: int = 0
    """Place in the footer, 1 first; 0: only in the help."""
    priority: bool = False

    @property
    def id(self) -> str:
        """What config remaps: "rerun"; of a move "page_down"."""
        return self.name if "(" not in self.name else self.name.split("'")[1]


Remap = Mapping[str, tuple[str, ...]]
"""SCREEN.ACT -> the keys that it has instead of the table's (`console.personal.keymap`)."""
NO_REMAP: Remap = {}


TABLE: tuple[Act, ...] = (
    # on what the cursor stands on
    Act("open", ("enter",), "open", "one deeper: service, incident or its jobs, job, run, log",
        (*LISTS, "action", "system", "incident", "job", "recovery", "lineage", "tonight"), 1),
    Act("start", ("enter",), "start", "start the plan; a box asks first, and Enter alone starts nothing", ("plan",), 1),
    Act("leave_out", ("space", "x"), "leave out", "leave the step out, or take it in again", ("plan",), 2),
    Act("move_up", ("K",), "earlier", "one place earlier, where it reads nothing of the one before", ("plan",), 4),
    Act("move_down", ("J",), "later", "one place later, where the next one reads nothing of it", ("plan",), 5),
    Act("wait", ("w",), "wait", "wait so long before the step", ("plan",), 6),
    Act("alternative", ("a",), "other way", "with what follows, all of it, skip, mark OK: where it can", ("plan",), 3),
    Act("everything", ("e",), "everything", "also what no service that is hit waits for, or only what is needed again",
        ("plan",), 7),
    Act("pause", ("p",), "pause", "ask no further step; what is under way goes on", ("recovery",), 2),
    Act("resume", ("r",), "resume", "go on; what failed is asked anew unless it is good by now; asks first",
        ("recovery",), 3),
    Act("abort", ("x",), "give up", "give up what was not asked yet; asks first", ("recovery",), 4),
    Act("recover", ("r",), "recover", "the plan that repairs it, step by step; nothing is sent before you say so",
        HURT, 2),
    Act("rerun", ("r",), "rerun", "preview of a rerun, or a plan for the marked ones; nothing is sent yet",
        ("jobs", "runs", "job", "run"), 2),
    Act("rerun", ("R",), "rerun one", "preview of a rerun of the run under the cursor alone", ("incident",), 0),
    Act("log", ("l",), "log", "log of the newest attempt", (*RUNS, *ASKED, "plan", "recovery", "lineage", "tonight"),
        3),
    Act("mark", ("space",), "mark", "mark the row for what is done to several; {back} clears the marks", MARKED, 4),
    Act("mark_range", ("ctrl+space", "ctrl+@"), "mark to here", "mark every row from the last mark to the cursor",
        MARKED, 0),
    Act("clear_marks", ("ctrl+backslash",), "clear marks", "take all marks away", MARKED, 0),
    Act("cancel", ("c",), "cancel", "end what runs now, or the marked ones; shows it first", VERBS, 5),
    Act("start_job", ("s",), "start", "start the job once, now; shows it first, and takes a conf where its system does",
        ("jobs", "job"), 0),
    Act("skip", ("X",), "skip", "say that the run is not needed, or the marked ones; shows it first", VERBS, 0),
    Act("mark_ok", ("M",), "mark OK", "say that the run is good, or the marked ones; shows it first", VERBS, 0),
    Act("hold", ("h",), "hold", "keep the job from starting, or let it go again; asks first", ("jobs", "job"), 6),
    Act("hold", ("h",), "release", "let the job go again; asks first", ("holds",), 2),
    Act("drift", ("d",), "accept drift", "accept what changed at the source; asks first", ("jobs", "job"), 7),
    Act("backfills", ("B",), "backfills", "its scheduler's own backfills under way: pause, resume, cancel; asks first",
        ("job",), 0),
    Act("card", ("e",), "edit card", "owner, runbook, how safe a rerun is: where config lets people say it; asks first",
        ("job",), 0),
    Act("ack", ("a",), "take it", "you are on it: nothing is repeated or escalated; asks how long and why",
        ("incident", "incidents"), 7),
    Act("withdraw", ("w",), "take back", "take back what was not sent, give up what nobody can tell of; asks why",
        ASKED, 4),
    Act("approve", ("a",), "approve", "what waits for another person: shows all that is known of it, then asks",
        ASKED, 5),
    Act("show_holds", ("h",), "holds", "what is held, until when and why", ("actions",), 6),
    Act("show_shadow", ("S",), "shadow", "what the last days would have brought, had all been live", ("actions",), 7),
    Act("verify", ("v",), "verify", "whether the chain of the audit is whole: every row is hashed anew", ("audit",), 2),
    Act("window", ("w",), "window", "how far back it looks: 14 days, a day, 7, 30", ("shadow",), 2),
    Act("note", ("m",), "note", "write into its timeline; it stands in the handover and the report too",
        ("incident", "incidents"), 9),
    Act("timeline", ("T",), "timeline", "what was seen, told, noted and done, and what is to come", ("incident",), 0),
    Act("evidence", ("e",), "why so", "each fact with its evidence, its source's word and age", ("incident",), 0),
    Act("before", ("p",), "before", "earlier failures of its root, what was done, how long it took", ("incident",), 0),
    Act("handover", ("H",), "handover", "a page to hand over, read first; {copy} copies it",
        ("incident", "incidents"), 0),
    Act("runbook", ("o",), "runbook", "owner, runbook and web page, with their addresses", (*RUNS, "lineage"), 8),
    Act("shell", ("dollar_sign",), "shell", "a session on the host or in the database; Ctrl-D comes back",
        POLLED, 5),
    Act("probe", ("p",), "probe", "the engine asks it now: does it answer, its version, what we may do there",
        POLLED, 2),
    Act("pause_polling", ("P",), "pause polls", "no polls of it for a while, or again; asks how long and why",
        POLLED, 3),
    Act("jobs_here", ("J",), "its jobs", "the jobs of the system", POLLED, 4),
    Act("copy", ("y",), "copy", "copy its name to the clipboard", ALL, 0),
    Act("record", ("i",), "record", "the whole record as JSON, with native words", ALL, 0),
    # how jobs hang together
    Act("lineage", ("g",), "lineage", "the jobs around it over all systems, the critical path lit", JOBS, 0),
    Act("blast", ("b",), "blast", "blast radius: the jobs and services that it takes with it", JOBS, 0),
    Act("blast", ("b",), "blast", "light what the job takes with it, or the critical path again", ("lineage",), 2),
    Act("lineage", ("g",), "centre", "the job under the cursor becomes the centre", ("lineage",), 4),
    Act("what_if", ("W",), "what if", "what becomes of services if it is restarted, skipped or faster; nothing is sent",
        FORESEEN, 0),
    Act("up_more", ("u",), "upstream", "one step more of what lies upstream", ("lineage",), 5),
    Act("up_less", ("U",), "less upstream", "one step less of what lies upstream", ("lineage",), 0),
    Act("down_more", ("d",), "downstream", "one step more of what lies downstream", ("lineage",), 6),
    Act("down_less", ("D",), "less downstream", "one step less of what lies downstream", ("lineage",), 0),
    Act("group", ("v",), "group", "by tier, by owner, or all in one list; what needs somebody stays on top",
        ("services",), 10),
    Act("fold", ("z",), "fold", "show also what is well and does not fit, or fold it again", ("services",), 0),
    Act("collapse", ("z",), "collapse", "one spot for each job, each system, or each service in turn", ("lineage",), 7),
    Act("by_run", ("v",), "runs", "which run read which, or jobs again", ("lineage",), 8),
    # over time
    Act("earlier", ("left",), "earlier", "scroll to what was earlier", ("tonight",), 4),
    Act("later", ("right",), "later", "scroll to what is later", ("tonight",), 5),
    Act("zoom_in", ("+", "="), "zoom in", "less time in each cell", ("tonight",), 6),
    Act("zoom_out", ("_",), "zoom out", "more time in each cell", ("tonight",), 0),
    Act("whole", ("0",), "whole", "the whole night", ("tonight",), 0),
    Act("night_before", ("{",), "night before", "the night before", ("tonight",), 7),
    Act("night_after", ("}",), "night after", "the night after", ("tonight",), 0),
    Act("play", ("space",), "play", "play the night again, a cell each second, or stop", ("tonight",), 8),
    Act("moment_before", ("comma",), "moment before", "as it looked one cell earlier", ("tonight",), 0),
    Act("moment_after", (".",), "moment after", "as it looked one cell later", ("tonight",), 0),
    # in a log
    Act("previous", ("p",), "previous attempt", "log of the attempt before; after the first, the newest", ("run",), 4),
    Act("follow", ("f",), "follow", "keep the end of the log in view as it grows", ("run",), 5),
    Act("error_next", ("e",), "next error", "next line that looks like an error", ("run",), 6),
    Act("error_first", ("!",), "first error", "the first line that looks like an error", ("run",), 7),
    Act("error_first", ("!",), "first error", "the run's log at its first line that looks like an error", ("job",), 0),
    Act("follow", ("f",), "follow log", "the run's log, its end in view as it grows", ("job",), 0),
    Act("pager", ("v",), "log in pager", "the run's log in $PAGER, or less", ("job",), 0),
    Act("search", ("/",), "search log", "find a text in the run's log", ("job",), 0),
    Act("error_previous", ("E",), "previous error", "previous line that looks like an error", ("run",), 0),
    Act("match_next", ("n",), "next match", "next line, or job, with what you searched for", ("run", "lineage"), 0),
    Act("match_previous", ("N",), "previous match", "previous line, or job, with what you searched for",
        ("run", "lineage"), 0),
    Act("wrap", ("w",), "wrap", "wrap long lines, or cut them", ("run",), 0),
    Act("pager", ("v",), "pager", "the log in $PAGER, or less; its end comes back here", ("run",), 8),
    Act("focus_next", ("tab",), "panel", "next panel", ("incident", "run", "plan", "recovery"), 0),
    Act("focus_back", ("shift+tab",), "panel before", "the panel before", ("incident",), 0),
    # the view
    Act("filter", ("/",), "filter",
        "only what matches as you type; -word leaves out, in Jobs and Runs also ~fuzzy and field:value", LISTS, 9),
    Act("search", ("/",), "search", "find a text in the log", ("run",), 9),
    Act("search", ("/",), "search", "find a job by a part of its name; {match_next} and {match_previous} go on",
        ("lineage",), 9),
    Act("problems", ("!",), "problems", "only what needs a person, or all again",
        ("services", *BIG, "systems", "actions", "audit"), 0),
    Act("closed", ("!",), "closed too", "what closed within seven days too, or only what is open", ("incidents",), 0),
    Act("sort_deadline", ("D",), "by deadline", "sort by the next deadline below; again reversed", ("jobs",), 0),
    Act("sort_slack", ("S",), "by slack", "sort by the least slack below; again reversed", ("jobs",), 0),
    Act("sort_name", ("N",), "by name", "sort by name; again reversed", BIG, 0),
    Act("sort_age", ("T",), "by age", "sort by when it ran, newest first; again reversed", BIG, 0),
    Act("views", ("V",), "views", "saved views: open one, save this one under a name, take one away", LISTS, 0),
    Act("heat", ("H",), "by hour", "the runs of each hour of a week, and where some failed", ("runs",), 0),
    Act("wide", ("ctrl+w",), "wide", "names whole and all columns, or as before", BIG, 0),
    Act("columns_on", ("right",), "columns on", "the next columns, where not all have room", BIG, 0),
    Act("columns_back", ("left",), "columns back", "the columns before", BIG, 0),
    Act("zone", ("Z",), "zone", "times on the service's own wall clock, on mine, in UTC", ALL, 0),
    Act("services", ("1",), "services", "Services: what is promised by when", ALL, 0),
    Act("incidents", ("2",), "incidents", "Incidents: what is broken, and until when it can be mended", ALL, 0),
    Act("jobs", ("3",), "jobs", "Jobs: everything, on every system", ALL, 0),
    Act("runs", ("7",), "runs", "Runs: every run of every job, newest first", ALL, 0),
    Act("tonight", ("4", "t"), "tonight", "Tonight: services and critical jobs over time, and past nights", ALL, 0),
    Act("systems", ("5",), "systems", "Systems: what is polled, and how long ago", ALL, 0),
    Act("actions", ("6",), "actions", "Actions: what was asked of schedulers, by whom, sent, verified", ALL, 0),
    Act("shadow", (), "shadow", "Shadow report: what the last days would have brought", ALL, 0),
    Act("audit", (), "audit", "Audit: who did what, when, why, and whether the chain is whole", ALL, 0),
    Act("holds", (), "holds", "Holds: what Headway keeps from starting, until when and why", ALL, 0),
    Act("approvals", ("A",), "approve", "what waits for another person's approval", ALL, 0),
    Act("freeze", ("F",), "freeze", "stop all sending to schedulers, or thaw; asks first", ALL, 0),
    Act("jump", (":",), "jump", "anywhere by name or letters of it: service, incident, job, screen, `jobs FILTER`",
        ALL, 10),
    Act("last", ("minus",), "last view", "the view before this one; again comes back", ALL, 0),
    Act("history_back", ("left_square_bracket",), "history back", "the views that were seen, one back", ALL, 0),
    Act("history_on", ("right_square_bracket",), "history forward", "one forward again", ALL, 0),
    Act("palette", ("ctrl+p",), "palette", "everything that can be done here, by name", ALL, 0),
    Act("help", ("?",), "keys", "the keys of this screen; Enter runs one", ALL, 11),
    Act("back", ("escape",), "back", "close what is open, clear the filter, then one back", ALL, 0),
    Act("quit", ("q",), "back, leave", "one back; from the first screen: leave", ALL, 0),
    Act("quit", ("q",), "leave", "leave; nothing else can be done there", ("wallboard",)),
    Act("redraw", ("ctrl+l", "ctrl+r"), "look again", "look again now, and draw all of it anew", ALL, 0),
    Act("suspend", ("ctrl+z",), "suspend", "back to the shell; fg comes back here", ALL, 0),
    Act("tour", ("ctrl+t",), "tour", "the guided tour of the demo: leave it, or come back to it", ALL, 0),
    Act("tour_skip", ("ctrl+n",), "skip step", "the next step of the tour", ALL, 0),
    Act("leave", ("ctrl+c",), "leave", "leave at once; what was sent goes on without the console", (*ALL, *OVERLAYS), 0,
        priority=True),
    # over a screen
    Act("choose", ("enter",), "choose", "take the line under the cursor", ("pick", "preview")),
    Act("back", ("escape",), "back", "close it; nothing has happened, nothing is sent", BOXES),
    Act("copy", ("y",), "copy", "copy the text, or the first address", ("text",)),
    Act("what_if_at", ("t",), "restarted at", "what a restart at another time would bring", ("what_if",)),
)  # fmt: skip

MOVES: tuple[Act, ...] = (
    Act("move('up')", ("up", "k"), "up", "one row up", ("grid", "pane", "graph")),
    Act("move('down')", ("down", "j"), "down", "one row down", ("grid", "pane", "graph")),
    Act("move('left')", ("left",), "left", "along an edge to what lies upstream", ("graph",)),
    Act("move('right')", ("right",), "right", "along an edge to what lies downstream", ("graph",)),
    Act("move('page_up')", ("pageup", "ctrl+u"), "page up", "one page up", ("grid", "pane", "graph")),
    Act("move('page_down')", ("pagedown", "ctrl+d"), "page down", "one page down", ("grid", "pane", "graph")),
    Act("move('top')", ("home", "<"), "top", "first row", ("grid", "pane", "graph")),
    Act("move('bottom')", ("end", "G", ">"), "bottom", "last row", ("grid", "pane", "graph")),
)

NO_KEY = "no-key-"


def acts(screen: str, remap: Remap = NO_REMAP) -> Iterator[Act]:
    """What can be done on a screen, in the table's order."""
    for act in (*TABLE, *MOVES):
        if screen in act.where:
            keys = remap.get(f"{screen}.{act.id}")
            yield act if keys is None else act._replace(keys=keys)


def widget_of(screen: str) -> str:
    """What has the focus on a screen and moves there: a grid, a pane of text or a graph."""
    return "pane" if screen in PANES else "graph" if screen == "lineage" else "grid"


def bindings(screen: str) -> list[BindingType]:
    """The bindings of a screen or a widget, each under the id that config may remap. An act without a key has one
    that no terminal sends, so that it can be given another."""
    from textual.binding import Binding

    found: list[BindingType] = []
    for act in acts(screen):
        action = act.name if "(" in act.name else f"act('{act.name}')"
        name = f"{screen}.{act.id}"
        made = (
            Binding(key, action, act.word, show=False, priority=act.priority, id=name)
            for key in act.keys or (f"{NO_KEY}{act.id}",)
        )
        found.extend(made)
    return found


def says(act: Act, screen: str, remap: Remap = NO_REMAP, plain: bool = False) -> str:
    """What the help says of an act; keys that it names are those that the person has there."""
    if "{" not in act.says:
        return act.says
    known = {one.name: shown(one.keys[0], plain) for one in acts(screen, remap) if one.keys}
    return act.says.format_map(known)


def keymap(remap: Remap) -> dict[str, str]:
    """The same for `App.set_keymap`."""
    return {name: ",".join(keys) for name, keys in remap.items()}


def shown(key: str, plain: bool = False) -> str:
    """A key as people read it: "↵", "Esc", "^P"."""
    if plain and key in PLAIN:
        return PLAIN[key]
    return SHOWN.get(key, key)


@cache
def _footer(screen: str) -> tuple[Act, ...]:
    return tuple(sorted((act for act in acts(screen) if act.footer), key=lambda act: act.footer))


def footer(screen: str, remap: Remap = NO_REMAP) -> tuple[Act, ...]:
    """The acts of the footer, in its order."""
    if not remap:
        return _footer(screen)
    return tuple(act._replace(keys=remap.get(f"{screen}.{act.id}", act.keys)) for act in _footer(screen))
