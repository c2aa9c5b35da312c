"""Writes docs/keys.md from the table of actions: `python -m tests.tui.keys_page`."""

from __future__ import annotations

from pathlib import Path

from console.tui import keys, where

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def markdown() -> str:
    """docs/keys.md: every screen with its keys."""
    lines = [
        "# Keys",
        "",
        "Made from `console/tui/keys.py`; `python -m tests.tui.keys_page` writes it, a test compares it.",
        "Each act has a name, by which [other keys](console.md#other-keys) are given to it.",
        "",
    ]
    lines += ["## Everywhere", "", *_HEAD]
    everywhere = [act for act in keys.TABLE if set(where.ALL) <= set(act.where)]
    lines += [_line(act) for act in (*everywhere, *keys.MOVES)]
    for screen, title in {**where.SCREENS, **where.OVERLAYS}.items():
        own = [act for act in keys.TABLE if screen in act.where and not set(where.ALL) <= set(act.where)]
        lines += ["", f"## {title}", "", *_HEAD, *map(_line, own)]
    lines += ["", _MANNERS, ""]
    return "\n".join(lines)


def _line(act: keys.Act) -> str:
    names = " ".join(f"`{keys.shown(key)}`" for key in act.keys) or f"`:` {act.word}"
    return f"| {names} | {act.word}: {keys.says(act, act.where[0])} | `{act.id}` |"


_HEAD = ("| key | does | its name |", "|---|---|---|")


_MANNERS = (
    "Nothing that changes the world is one key: what would be sent is shown in a box that stands on *Back*; `↓`, then "
    "`↵` sends it once; where a job is not declared safe, or tier 1 hangs on a plan, a name in the box's title "
    "is typed first: the end of the job's that no other job has, or the plan's incident; "
    "where it runs now it waits for its turn, or its name is typed to send it beside that; "
    "where the rules want a reason, it is asked for; `Esc` sends nothing. Only `p`, which pauses a plan, acts at once. "
    "A key that cannot work now says why in the last line. In a terminal that is too small only `^C` works."
)

if __name__ == "__main__":
    PAGE.write_text(markdown(), encoding="utf-8")
