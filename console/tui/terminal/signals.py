"""Title, bell and desktop notification of the terminal, never with a job's own text.

The bell rings once for each new incident that affects a tier-1 service; incidents that were open before the console
started are silent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from console.domain.header import HeaderView
from console.domain.ids import incident_name
from console.domain.service import ServiceView
from console.text.lists import listed

PUSH_TITLE, POP_TITLE = "\x1b[22;0t", "\x1b[23;0t"
BELL = "\x07"
UNTITLED = ("linux", "dumb", "vt", "ansi", "")


class TerminalSignals:
    """`send` writes to the terminal; `set_title` gives it a title until the console leaves."""

    def __init__(self, send: Callable[[str], None], set_title: Callable[[str], None]) -> None:
        self._send, self._write_title = send, set_title
        self._known: set[int] | None = None
        self._title = ""

    def update(self, header: HeaderView, services: Sequence[ServiceView], is_watched: bool) -> None:
        """Signals new incidents. `is_watched`: the terminal has the focus."""
        self.set_title(window_title(header))
        first_tier = (service.incident_id for service in services if service.tier == 1)
        open_now = {incident for incident in first_tier if incident is not None}
        fresh = open_now - self._known if self._known is not None else set()
        self._known = (self._known or set()) | open_now
        if fresh:
            self._send(BELL)
        if fresh and not is_watched:
            self._send(notification_codes(alert_text(fresh), os.environ))

    def set_title(self, text: str) -> None:
        if text != self._title:
            self._title = text
            self._write_title(text)


def window_title(header: HeaderView) -> str:
    if not header.engine.alive:
        return "Headway: not monitoring"
    counts = [f"{number} {label}" for number, label in header.dangers if number]
    return f"Headway: {', '.join(counts) or '0 at risk'}"


def alert_text(incidents: Collection[int]) -> str:
    names = listed([incident_name(incident) for incident in sorted(incidents)], 3)
    return f"Headway: {names} affect{'s' * (len(incidents) == 1)} a tier-1 service"


def notification_codes(text: str, environment: Mapping[str, str]) -> str:
    """OSC 9, wrapped for a multiplexer (tmux needs `allow-passthrough on`); empty for a terminal that would print
    it."""
    sent = f"\x1b]9;{text}\x07"
    if environment.get("TMUX"):
        return "\x1bPtmux;" + sent.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("STY"):
        return f"\x1bP{sent}\x1b\\"
    return sent if supports_titles(environment) else ""


def supports_titles(environment: Mapping[str, str]) -> bool:
    """Whether the terminal has a title and restores the old one; GNU screen does not."""
    term = environment.get("TERM", "")
    in_screen = bool(environment.get("STY")) and not environment.get("TMUX")
    return not in_screen and not any(term == prefix or (prefix and term.startswith(prefix)) for prefix in UNTITLED)
