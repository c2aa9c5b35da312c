"""What the terminal is told beside its screen: a title, a bell, a notification. In our own words, none of a job's.

A bell rings once for each new incident that hurts a tier-1 service. What was there when the console opened is on its
screen already, so a console that starts anew is silent about it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from console.model.ids import incident_name
from console.model.views import HeaderView, ServiceView
from console.personal.signals import Signals

PUSH_TITLE, POP_TITLE = "\x1b[22;0t", "\x1b[23;0t"
BELL = "\x07"
UNTITLED = ("linux", "dumb", "vt", "ansi", "")
"""Beginnings of terminals' names (TERM) that have no title, or show the letters of one that is sent."""


class Signaller:
    """`send` writes to the terminal; `entitle` gives it a title until the console leaves."""

    def __init__(self, send: Callable[[str], None], entitle: Callable[[str], None]) -> None:
        self._send, self._entitle = send, entitle
        self._known: set[int] | None = None
        self._title = ""

    def look(self, header: HeaderView, services: Sequence[ServiceView], wanted: Signals, is_watched: bool) -> None:
        """Tells what is new. `is_watched`: the terminal is the one that a person looks at."""
        if wanted.title:
            self.entitle(title(header))
        open_now = worst(services)
        fresh = open_now.keys() - self._known if self._known is not None else set()
        self._known = (self._known or set()) | open_now.keys()
        if fresh and wanted.bell:
            self._send(BELL)
        if fresh and wanted.notify and not is_watched:
            self._send(notification(words(fresh), os.environ))

    def entitle(self, text: str) -> None:
        if text != self._title:
            self._title = text
            self._entitle(text)


def title(header: HeaderView) -> str:
    """ "Headway: 1 late, 2 at risk"; what is wrong with the watching goes first."""
    if not header.engine.alive:
        return "Headway: nothing is watched"
    told = [f"{number} {word}" for number, word in header.dangers if number]
    return f"Headway: {', '.join(told) or '0 at risk'}"


def worst(services: Sequence[ServiceView]) -> dict[int, ServiceView]:
    """The incidents that hurt a tier-1 service, each with one."""
    return {one.incident_id: one for one in services if one.tier == 1 and one.incident_id is not None}


def words(incidents: Collection[int]) -> str:
    names = ", ".join(incident_name(one) for one in sorted(incidents)[:3])
    more = f" and {len(incidents) - 3} more" if len(incidents) > 3 else ""
    return f"Headway: {names}{more} hurt{'s' * (len(incidents) == 1)} a tier-1 service"


def notification(text: str, environment: Mapping[str, str]) -> str:
    """OSC 9, wrapped where a multiplexer stands between (tmux hands it on with `allow-passthrough on`); nothing for a
    terminal that would show it as letters."""
    sent = f"\x1b]9;{text}\x07"
    if environment.get("TMUX"):
        return "\x1bPtmux;" + sent.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("STY"):
        return f"\x1bP{sent}\x1b\\"
    return sent if knows_titles(environment) else ""


def knows_titles(environment: Mapping[str, str]) -> bool:
    """Whether the terminal takes a title and gives the old one back: GNU screen does not."""
    term = environment.get("TERM", "")
    in_screen = bool(environment.get("STY")) and not environment.get("TMUX")
    return not in_screen and not any(term == one or (one and term.startswith(one)) for one in UNTITLED)
