"""Where a person can be: the screens, what stands over them, and which of them share a key."""

from __future__ import annotations

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
    "preview": "Preview of what would be sent",
    "ask": "A question of one line",
    "pick": "Jump, palette, keys, questions",
    "text": "Record, runbook",
    "what_if": "What if a job went otherwise",
    "wallboard": "Wallboard, a display that nobody operates",
}
"""What has none of the keys that work everywhere."""
BOXES = ("preview", "ask", "pick", "text", "what_if")
"""What stands over a screen."""
RUNS = ("services", "incidents", "incident", "jobs", "runs", "job", "run")
"""Where `l` and `o` are about a run."""
HURT = ("services", "incidents", "incident")
"""Where `r` plans the recovery of an incident."""
VERBS = ("incident", "jobs", "runs", "job", "run")
"""Where the single verbs are about a run."""
MARKED = ("jobs", "runs", "job")
"""Where rows can be marked."""
JOBS = ("services", "incidents", "incident", "jobs", "job", "run", "tonight", "actions", "action")
"""Where `g` and `b` are about a job."""
FORESEEN = ("services", "incidents", "incident", "jobs", "job", "run", "tonight", "lineage", "plan")
"""Where it can be asked what would come of a job that goes otherwise."""
BIG = ("jobs", "runs")
"""Tables of everything, with sorts and columns of one's own."""
PANES = ("run", "text", "what_if", "action", "shadow", "system")
POLLED = ("systems", "system")
"""Where keys are about what is polled."""
ASKED = ("actions", "action")
"""Where keys are about something that was asked for."""
LISTS = ("services", "incidents", "jobs", "runs", "systems", "actions", "holds", "audit")
NUMBERED = (*LISTS, "tonight", "shadow")
"""Screens that one goes to from anywhere."""
ALL = tuple(SCREENS)
