"""Suggested dependencies, listed by `headway suggest` beside the console; a person accepts or rejects each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.tui.dialogs.palette import PaletteChoice, PickScreen
from console.tui.frame.screen import HeadwayScreen
from console.tui.terminal.external_program import run_beside
from console.tui.widgets.table import Column

Suggestion = Mapping[str, Any]
"""A pair in the JSON of `headway suggest`."""

PAIR_COLUMNS = (Column("", 7, 1), Column("", 40, 1, flex=3, most=90), Column("", 20, 2, flex=2))
DECISION_COLUMNS = (Column("", 1, 1), Column("", 10, 1), Column("", 30, 1, flex=1))
OPTIONS = {
    "accept": ("Accept", "add it to the config with mode observe: it warns only"),
    "reject": ("Reject", "never suggest the pair again"),
}


def why_no_suggestions(screen: HeadwayScreen) -> str:
    """Why suggestions cannot be listed here; empty if they can."""
    if not screen.board.command:
        return "a replay has no config to add a dependency to"
    return "not from a browser: headway suggest" if screen.board.visitor or screen.board.is_web else ""


def list_suggestions(screen: HeadwayScreen, job: str) -> None:
    """Opens the list of suggested dependencies, those of `job` first."""
    screen.notice("looking for suggested dependencies …")

    def failed(why: str) -> None:
        screen.notice(why, "bad")

    def listed(output: str) -> None:
        try:
            suggestions: list[Suggestion] = json.loads(output)
        except ValueError as error:
            failed(f"headway suggest printed no JSON: {error}")
            return
        pairs = sorted(suggestions, key=lambda pair: job not in (pair["upstream"], pair["downstream"]))
        if not pairs:
            screen.notice("no dependency is suggested")
            return
        screen.notice("")
        choices = [PaletteChoice(_kind(pair), _pair_text(pair), "; ".join(pair["evidence"]), pair) for pair in pairs]
        box = PickScreen("suggested dependencies", choices, columns=PAIR_COLUMNS)
        screen.board.push_screen(box, lambda pair: _decide(screen, pair, failed) if pair is not None else None)

    run_beside(screen.board, ("suggest", "--json"), listed, failed)


def _pair_text(pair: Suggestion) -> str:
    return f"{pair['upstream']} -> {pair['downstream']}"


def _kind(pair: Suggestion) -> str:
    return "dataset" if pair["datasets"] else "buffer"


def _decide(screen: HeadwayScreen, pair: Suggestion, failed: Callable[[str], None]) -> None:
    options = [PaletteChoice("", name, description, option) for option, (name, description) in OPTIONS.items()]
    evidence = [PaletteChoice("", name, text, None, dead=True) for name, text in _evidence(pair)]
    choices = [PaletteChoice("", "Back", "nothing changes", None), *options, *evidence]

    def decided(option: str | None) -> None:
        if option is not None:
            decision = ("suggest", f"--{option}", "--", pair["upstream"], pair["downstream"])
            run_beside(screen.board, decision, lambda output: screen.notice(clean_line(output)), failed)

    screen.board.push_screen(PickScreen(_pair_text(pair), choices, columns=DECISION_COLUMNS, is_read=True), decided)


def _evidence(pair: Suggestion) -> Iterator[tuple[str, str]]:
    yield "upstream", pair["upstream"]
    yield "downstream", pair["downstream"]
    if pair["p"] is not None:
        yield (
            "buffer",
            f"{format_duration(pair['buffer_s'])} from the upstream's end to the downstream's start",
        )
        yield (
            "violated",
            f"{len(pair['violated'])} of {pair['nights']} nights",
        )
        yield "p", f"{pair['p']:.2g} if the downstream waits for nothing (Fisher's exact test)"
    yield from (("evidence", text) for text in pair["evidence"])
