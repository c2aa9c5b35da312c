"""The key table: every screen, its actions, and their keys.

Bindings, footer, help, palette, key remapping and docs/keys.md are made from it. An action that is listed works on the
screens it names; a screen that does not exist has no key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from textual.binding import BindingType


SCREENS = {
    "services": "Services",
    "incidents": "Incidents",
    "incident": "Incident",
    "jobs": "Jobs",
    "runs": "Runs",
    "job": "Job",
    "run": "Run",
    "tonight": "Tonight",
    "systems": "Systems",
    "system": "System",
    "actions": "Actions",
    "action": "Action",
    "holds": "Holds",
    "shadow": "Shadow report",
    "audit": "Audit",
    "plan": "Recovery plan, proposed",
    "recovery": "Recovery plan, started",
    "lineage": "Lineage",
}
OVERLAYS = {
    "preview": "Preview of an action",
    "ask": "Input line",
    "pick": "Jump, palette, keys, choices",
    "text": "Record, runbook",
    "what_if": "What-if forecast",
}
"""Screens without the global keys."""
FORM_DIALOGS = ("preview", "ask", "pick")
"""Modal dialogs with an answer, most of them with a line to type in."""
READING_DIALOGS = ("text", "what_if")
RUN_SCREENS = ("services", "incidents", "incident", "jobs", "runs", "job", "run")
"""Where `l` and `o` refer to a run."""
RECOVERY_SCREENS = ("services", "incidents", "incident")
"""Where `r` plans the recovery of an incident, and `e` opens its evidence."""
VERB_SCREENS = ("incident", "jobs", "runs", "job", "run")
"""Where the verbs refer to a run."""
MARKING_SCREENS = ("jobs", "runs", "job")
"""Where rows can be marked."""
JOB_SCREENS = ("services", "incidents", "incident", "jobs", "job", "run", "tonight", "actions", "action")
"""Where `g` and `b` refer to a job."""
WHAT_IF_SCREENS = ("services", "incidents", "incident", "jobs", "job", "run", "tonight", "lineage", "plan")
"""Where a what-if forecast can be opened."""
TABLE_SCREENS = ("jobs", "runs")
"""Tables of every row, with sorting and columns."""
TEXT_SCREENS = ("run", "text", "what_if", "action", "shadow", "system")
POLLING_SCREENS = ("systems", "system")
"""Where keys refer to a polled target."""
ACTION_SCREENS = ("actions", "action")
"""Where keys refer to an action."""
LIST_SCREENS = ("services", "incidents", "jobs", "runs", "systems", "actions", "holds", "audit")
GLOBAL_SCREENS = (*LIST_SCREENS, "tonight", "shadow")
"""Screens that can be opened from anywhere."""
ALL_SCREENS = tuple(SCREENS)

KEY_SYMBOLS = {
    "enter": "↵", "space": "Space", "escape": "Esc", "ctrl+p": "^P", "ctrl+c": "^C", "ctrl+z": "^Z", "ctrl+l": "^L",
    "ctrl+r": "^R", "ctrl+u": "^U", "ctrl+d": "^D", "ctrl+w": "^W", "ctrl+t": "^T", "ctrl+n": "^N", "ctrl+o": "^O",
    "ctrl+g": "^G", "ctrl+@": "^@", "ctrl+space": "^Space", "ctrl+backslash": "^\\", "dollar_sign": "$", "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]", "left": "←", "right": "→", "tab": "Tab", "shift+tab": "S-Tab", "up": "↑",
    "down": "↓", "pageup": "PgUp", "pagedown": "PgDn", "comma": ",", "home": "Home", "end": "End",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
}  # fmt: skip
ASCII_KEY_NAMES = {"enter": "Enter", "up": "Up", "down": "Down", "left": "Left", "right": "Right"}
"""Names of keys on an ASCII terminal."""


class KeyAction(NamedTuple):
    """One action. `label` is shown in the footer, `says` in the help."""

    name: str
    keys: tuple[str, ...]
    label: str
    says: str
    where: tuple[str, ...]
    footer: int = 0
    """Place in the footer, 1 first; 0: only in the help."""
    priority: bool = False

    @property
    def id(self) -> str:
        """Name for remapping in config: "rerun"; for a cursor move "page_down"."""
        return self.name if "(" not in self.name else self.name.split("'")[1]


Remap = Mapping[str, tuple[str, ...]]
"""SCREEN.ACTION -> keys that replace those of the table (`console.config.keymap`)."""
NO_REMAP: Remap = {}


KEY_TABLE: tuple[KeyAction, ...] = (
    # on the selection
    KeyAction("open", ("enter",), "open", "open one level deeper: incident, job, run, log",
        (*LIST_SCREENS, "action", "system", "incident", "job", "recovery", "lineage", "tonight"), 1),
    KeyAction("start", ("enter",), "start", "start the plan; asks first", ("plan",), 1),
    KeyAction("leave_out", ("space", "x"), "leave out", "leave the step out, or include it again", ("plan",), 2),
    KeyAction("pause", ("p",), "pause", "send no further step; those in progress continue", ("recovery",), 2),
    KeyAction("resume", ("r",), "resume", "continue; failed steps are sent again; asks first", ("recovery",), 3),
    KeyAction("abort", ("x",), "abort", "drop the steps that were not sent; asks first", ("recovery",), 4),
    KeyAction("recover", ("r",), "recover", "show the recovery plan; nothing is sent yet", RECOVERY_SCREENS, 2),
    KeyAction("rerun", ("r",), "rerun", "preview a rerun, or a plan for the marked runs",
        ("jobs", "runs", "job", "run"), 2),
    KeyAction("rerun", ("R",), "rerun one", "preview a rerun of the run under the cursor only", ("incident",)),
    KeyAction("log", ("l",), "log", "open the log of the newest attempt",
        (*RUN_SCREENS, *ACTION_SCREENS, "plan", "recovery", "lineage", "tonight"), 3),
    KeyAction("mark", ("space",), "mark", "mark for a bulk action; {back} clears the marks", MARKING_SCREENS, 4),
    KeyAction("mark_range", ("ctrl+space", "ctrl+@"), "mark to here", "mark every row from the last mark to the cursor",
        MARKING_SCREENS),
    KeyAction("clear_marks", ("ctrl+backslash",), "clear marks", "clear all marks", MARKING_SCREENS),
    KeyAction("cancel", ("c",), "cancel", "cancel this run or the marked ones; preview first", VERB_SCREENS, 5),
    KeyAction("start_job", ("s",), "start", "start the job once; preview first", ("jobs", "job")),
    KeyAction("skip", ("X",), "skip", "mark this or the marked runs as not needed", VERB_SCREENS),
    KeyAction("mark_ok", ("M",), "mark OK", "mark this or the marked runs as succeeded", VERB_SCREENS),
    KeyAction("hold", ("h",), "hold", "hold the job at its scheduler, or release it", ("jobs", "job"), 6),
    KeyAction("hold", ("h",), "release", "release the job; asks first", ("holds",), 2),
    KeyAction("drift", ("d",), "accept drift", "accept its changed definition; asks first", ("jobs", "job"), 7),
    KeyAction("backfills", ("B",), "backfills", "pause, resume or cancel native backfills", ("job",)),
    KeyAction("card", ("e",), "edit card", "edit owner, runbook, rerun safety; asks first", ("job",)),
    KeyAction("ack", ("a",), "acknowledge", "stop repeats and escalation; asks for a reason",
        ("incident", "incidents"), 7),
    KeyAction("stop_policy", ("x",), "stop policy", "pause the policy that repairs it; asks first", ("incident",), 4),
    KeyAction("withdraw", ("w",), "withdraw", "withdraw an unsent action or an unknown outcome", ACTION_SCREENS, 4),
    KeyAction("approve", ("a",), "approve", "approve another person's action; details first", ACTION_SCREENS, 5),
    KeyAction("show_holds", ("h",), "holds", "list holds with their expiry and reason", ("actions",), 6),
    KeyAction("show_shadow", ("S",), "shadow", "unsent notifications and actions of the last days", ("actions",), 7),
    KeyAction("verify", ("v",), "verify", "verify the audit chain by hashing every row again", ("audit",), 2),
    KeyAction("window", ("w",), "window", "change the period: 14 days, a day, 7, 30", ("shadow",), 2),
    KeyAction("note", ("m",), "note", "add a note to timeline, handover and report", ("incident", "incidents"), 9),
    KeyAction("timeline", ("T",), "timeline", "show events, notes, actions and next steps", ("incident",)),
    KeyAction("evidence", ("e",), "evidence", "show why: each fact, its native state and age", RECOVERY_SCREENS),
    KeyAction("before", ("p",), "past repairs", "show earlier failures, their fix and duration", ("incident",)),
    KeyAction("handover", ("H",), "handover", "preview the handover page; {copy} copies it", ("incident", "incidents")),
    KeyAction("runbook", ("o",), "runbook", "show owner, runbook and web page addresses", (*RUN_SCREENS, "lineage"), 8),
    KeyAction("shell", ("dollar_sign",), "shell", "open a session on the host or database", POLLING_SCREENS, 5),
    KeyAction("probe", ("p",), "probe", "check now: response, version, permissions", POLLING_SCREENS, 2),
    KeyAction("pause_polling", ("P",), "pause polling",
        "stop reading the system, or resume; jobs go on", POLLING_SCREENS, 3),
    KeyAction("jobs_here", ("J",), "jobs", "list the jobs of the system", POLLING_SCREENS, 4),
    KeyAction("copy", ("y",), "copy", "copy the name to the clipboard", ALL_SCREENS),
    KeyAction("record", ("i",), "record", "show the whole record as JSON, with native fields", ALL_SCREENS),
    # lineage
    KeyAction("lineage", ("g",), "lineage", "show the jobs around it and the critical path", JOB_SCREENS),
    KeyAction("blast", ("b",), "blast", "show the blast radius: affected jobs and services", JOB_SCREENS),
    KeyAction("blast", ("b",), "blast", "highlight blast radius, or the critical path", ("lineage",), 2),
    KeyAction("lineage", ("g",), "center", "center on the job under the cursor", ("lineage",), 4),
    KeyAction("what_if", ("W",), "what if", "forecast a restart, a skip or half the time", WHAT_IF_SCREENS),
    KeyAction("up_more", ("u",), "upstream", "show one more level upstream", ("lineage",), 5),
    KeyAction("up_less", ("U",), "less upstream", "show one less level upstream", ("lineage",)),
    KeyAction("down_more", ("d",), "downstream", "show one more level downstream", ("lineage",), 6),
    KeyAction("down_less", ("D",), "less downstream", "show one less level downstream", ("lineage",)),
    KeyAction("group", ("v",), "group", "group by tier, by owner, or not at all", ("services",), 10),
    KeyAction("fold", ("z",), "fold", "show every service, or fold healthy ones", ("services",)),
    KeyAction("months", ("Y",), "months", "show six months: deadlines, recovery, runs, cost",
        ("services", *POLLING_SCREENS)),
    KeyAction("collapse", ("z",), "collapse", "one node per job, per system, or per service", ("lineage",), 7),
    KeyAction("by_run", ("v",), "runs", "show runs and which run each read, or jobs", ("lineage",), 8),
    KeyAction("suggestions", ("s",), "suggestions", "list suggested dependencies; accept or reject one", ("lineage",)),
    # over time
    KeyAction("earlier", ("left",), "earlier", "scroll back in time", ("tonight",), 4),
    KeyAction("later", ("right",), "later", "scroll forward in time", ("tonight",), 5),
    KeyAction("zoom_in", ("+", "="), "zoom in", "show less time per cell", ("tonight",), 6),
    KeyAction("zoom_out", ("_",), "zoom out", "show more time per cell", ("tonight",)),
    KeyAction("whole", ("0",), "whole", "show the whole night", ("tonight",)),
    KeyAction("night_before", ("{",), "previous night", "show the previous night", ("tonight",), 7),
    KeyAction("night_after", ("}",), "next night", "show the next night", ("tonight",)),
    KeyAction("moment_before", ("comma",), "step back", "show the state one cell earlier", ("tonight",)),
    KeyAction("moment_after", (".",), "step forward", "show the state one cell later", ("tonight",)),
    # in a log
    KeyAction("previous", ("p",), "previous attempt", "open the log of the attempt before", ("run",), 4),
    KeyAction("follow", ("f",), "follow", "follow the end of the log as it grows", ("run",), 5),
    KeyAction("error_next", ("e",), "next error", "go to the next error line", ("run",), 6),
    KeyAction("error_first", ("!",), "first error", "go to the first error line", ("run",), 7),
    KeyAction("error_first", ("!",), "first error", "open the run's log at the first error line", ("job",)),
    KeyAction("follow", ("f",), "follow log", "open the run's log and follow its end", ("job",)),
    KeyAction("pager", ("v",), "log in pager", "open the run's log in $PAGER, or less", ("job",)),
    KeyAction("search", ("/",), "search log", "find text in the run's log", ("job",)),
    KeyAction("error_previous", ("E",), "previous error", "go to the previous error line", ("run",)),
    KeyAction("match_next", ("n",), "next match", "go to the next line, or job, that matches", ("run", "lineage")),
    KeyAction("match_previous", ("N",), "previous match", "go to the previous line, or job, that matches",
        ("run", "lineage")),
    KeyAction("wrap", ("w",), "wrap", "wrap long lines, or cut them", ("run",)),
    KeyAction("pager", ("v",), "pager", "open the log in $PAGER, or less", ("run",), 8),
    KeyAction("focus_next", ("tab",), "panel", "go to the next panel", ("incident", "run", "plan", "recovery")),
    KeyAction("focus_back", ("shift+tab",), "previous panel", "go to the previous panel", ("incident",)),
    # the view
    KeyAction("filter", ("/",), "filter", "filter: word, -word, in Jobs and Runs field:value", LIST_SCREENS, 9),
    KeyAction("search", ("/",), "search", "find text in the log", ("run",), 9),
    KeyAction("search", ("/",), "search", "find a job by part of its name; {match_next} and {match_previous} repeat",
        ("lineage",), 9),
    KeyAction("problems", ("!",), "problems", "show only what needs attention, or everything",
        ("services", *TABLE_SCREENS, "systems", "actions", "audit")),
    KeyAction("closed", ("!",), "show closed", "include those closed within seven days, or not", ("incidents",)),
    KeyAction("sort_deadline", ("D",), "by deadline", "sort by next deadline below; again reverses", ("jobs",)),
    KeyAction("sort_slack", ("S",), "by slack", "sort by least slack below; again reverses", ("jobs",)),
    KeyAction("sort_name", ("N",), "by name", "sort by name; again reverses", TABLE_SCREENS),
    KeyAction("sort_age", ("T",), "by age", "sort by start, newest first; again reverses", TABLE_SCREENS),
    KeyAction("views", ("V",), "views", "saved views: open, save or delete one", LIST_SCREENS),
    KeyAction("heat", ("H",), "by hour", "show runs and failures per hour of a week", ("runs",)),
    KeyAction("wide", ("ctrl+w",), "wide", "show full names and all columns, or as before", TABLE_SCREENS),
    KeyAction("columns_on", ("right",), "columns right", "show the next columns, where not all fit", TABLE_SCREENS),
    KeyAction("columns_back", ("left",), "columns left", "show the previous columns", TABLE_SCREENS),
    KeyAction("zone", ("Z",), "zone", "show times in the service's zone, mine, or UTC", ALL_SCREENS),
    KeyAction("services", ("1",), "services", "Services: deadlines and their status", ALL_SCREENS),
    KeyAction("incidents", ("2",), "incidents", "Incidents: root causes, impact, act-by", ALL_SCREENS),
    KeyAction("jobs", ("3",), "jobs", "Jobs: every job on every system", ALL_SCREENS),
    KeyAction("tonight", ("4", "t"), "tonight", "Tonight: services and jobs over time", ALL_SCREENS),
    KeyAction("systems", ("5",), "systems", "Systems: polling status, age of data", ALL_SCREENS),
    KeyAction("actions", ("6",), "actions", "Actions: requests and their outcome", ALL_SCREENS),
    KeyAction("runs", ("7",), "runs", "Runs: all runs, newest first", ALL_SCREENS),
    KeyAction("shadow", (), "shadow", "Shadow report: unsent alerts and actions", ALL_SCREENS),
    KeyAction("audit", (), "audit", "Audit: actions: person, time, reason", ALL_SCREENS),
    KeyAction("holds", (), "holds", "Holds: held jobs, and until when", ALL_SCREENS),
    KeyAction("approvals", ("A",), "approve", "list actions that wait for approval", ALL_SCREENS),
    KeyAction("freeze", ("F",), "freeze", "stop all actions (jobs, alerts go on), or thaw", ALL_SCREENS),
    KeyAction("jump", (":",), "jump", "go to a name or screen, or `jobs FILTER`", ALL_SCREENS, 10),
    KeyAction("last", ("minus",), "last view", "switch to the previous view; again returns", ALL_SCREENS),
    KeyAction("history_back", ("left_square_bracket",), "history back", "go one view back in the history", ALL_SCREENS),
    KeyAction("history_on", ("right_square_bracket",), "history forward", "go one view forward in the history",
        ALL_SCREENS),
    KeyAction("palette", ("ctrl+p",), "palette", "find an action or a place by name", ALL_SCREENS),
    KeyAction("help", ("?",), "keys", "list the keys of this screen; Enter runs one", ALL_SCREENS, 11),
    KeyAction("back", ("escape",), "back", "close what is open, clear the filter, go back", ALL_SCREENS),
    KeyAction("quit", ("q",), "back, quit", "go back; on the first screen: quit", ALL_SCREENS),
    KeyAction("redraw", ("ctrl+l", "ctrl+r"), "refresh", "refresh the data and redraw the screen", ALL_SCREENS),
    KeyAction("suspend", ("ctrl+z",), "suspend", "suspend to the shell; fg returns", ALL_SCREENS),
    KeyAction("tour", ("ctrl+t",), "tour", "leave the tour of the demo, or return to it", ALL_SCREENS),
    KeyAction("tour_skip", ("ctrl+g",), "skip step", "skip to the next step of the tour", ALL_SCREENS),
    KeyAction("demo_pause", ("ctrl+o",), "pause demo", "stop or resume the clock of the demo", ALL_SCREENS),
    KeyAction("leave", ("ctrl+c",), "quit", "quit at once; actions that were sent continue", (*ALL_SCREENS, *OVERLAYS),
        priority=True),
    # in dialogs
    KeyAction("choose", ("enter",), "choose", "select the line under the cursor", ("pick", "preview")),
    KeyAction("field", ("tab",), "focus next field", "go to the next field of the form", ("preview",)),
    KeyAction("details", ("ctrl+n", "d"), "show all steps",
        "show each step's native calls, or the summary", ("preview",)),
    KeyAction("back", ("escape",), "back", "close the dialog; nothing is sent", FORM_DIALOGS),
    KeyAction("back", ("escape", "q"), "back", "close the text", READING_DIALOGS),
    KeyAction("copy", ("y",), "copy", "copy the text, or the first address", ("text",)),
    KeyAction("what_if_at", ("t",), "restarted at", "forecast a restart at another time", ("what_if",)),
)  # fmt: skip

CURSOR_MOVES: tuple[KeyAction, ...] = (
    KeyAction("move('up')", ("up", "k"), "up", "one row up", ("grid", "pane", "graph")),
    KeyAction("move('down')", ("down", "j"), "down", "one row down", ("grid", "pane", "graph")),
    KeyAction("move('left')", ("left",), "left", "follow an edge upstream", ("graph",)),
    KeyAction("move('right')", ("right",), "right", "follow an edge downstream", ("graph",)),
    KeyAction("move('page_up')", ("pageup", "ctrl+u"), "page up", "one page up", ("grid", "pane", "graph")),
    KeyAction("move('page_down')", ("pagedown", "ctrl+d"), "page down", "one page down", ("grid", "pane", "graph")),
    KeyAction("move('top')", ("home", "<"), "top", "first row", ("grid", "pane", "graph")),
    KeyAction("move('bottom')", ("end", "G", ">"), "bottom", "last row", ("grid", "pane", "graph")),
)

NO_KEY_PREFIX = "no-key-"


def key_actions(screen: str, remap: Remap = NO_REMAP) -> Iterator[KeyAction]:
    """The actions of a screen, in the order of the table."""
    for act in (*KEY_TABLE, *CURSOR_MOVES):
        if screen in act.where:
            keys = remap.get(f"{screen}.{act.id}")
            yield act if keys is None else act._replace(keys=keys)


def focus_widget(screen: str) -> str:
    """The widget that has the focus on a screen: a grid, a text pane or a graph."""
    return "pane" if screen in TEXT_SCREENS else "graph" if screen == "lineage" else "grid"


def bindings(screen: str) -> list[BindingType]:
    """Textual bindings of a screen or widget, each with the id that config may remap.

    An action without a key gets one that no terminal sends, so that it can be remapped.
    """
    from textual.binding import Binding  # noqa: PLC0415 - the CLI reads the table without loading textual

    screen_bindings: list[BindingType] = []
    for act in key_actions(screen):
        action = act.name if "(" in act.name else f"command('{act.name}')"
        name = f"{screen}.{act.id}"
        action_bindings = (
            Binding(key, action, act.label, show=False, priority=act.priority, id=name)
            for key in act.keys or (f"{NO_KEY_PREFIX}{act.id}",)
        )
        screen_bindings.extend(action_bindings)
    return screen_bindings


def action_help(act: KeyAction, screen: str, remap: Remap = NO_REMAP, plain: bool = False) -> str:
    """Help text of an action, with the remapped keys filled in."""
    if "{" not in act.says:
        return act.says
    known = {action.name: key_label(action.keys[0], plain) for action in key_actions(screen, remap) if action.keys}
    return act.says.format_map(known)


def textual_keymap(remap: Remap) -> dict[str, str]:
    """The remapping in the form of Textual's `textual.app.App.set_keymap`."""
    return {name: ",".join(keys) for name, keys in remap.items()}


def key_label(key: str, plain: bool = False) -> str:
    """Displayed form of a key: "↵", "Esc", "^P"."""
    if plain and key in ASCII_KEY_NAMES:
        return ASCII_KEY_NAMES[key]
    return KEY_SYMBOLS.get(key, key)


@cache
def _default_footer(screen: str) -> tuple[KeyAction, ...]:
    return tuple(sorted((act for act in key_actions(screen) if act.footer), key=lambda act: act.footer))


def footer_actions(screen: str, remap: Remap = NO_REMAP) -> tuple[KeyAction, ...]:
    if not remap:
        return _default_footer(screen)
    return tuple(act._replace(keys=remap.get(f"{screen}.{act.id}", act.keys)) for act in _default_footer(screen))
