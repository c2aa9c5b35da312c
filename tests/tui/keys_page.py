"""Writes docs/keys.md from the table of actions: `python -m tests.tui.keys_page`."""

from __future__ import annotations

from pathlib import Path

from console.config import key_table

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def markdown() -> str:
    """docs/keys.md: one row per action; first those of every screen."""
    everywhere = [action for action in key_table.KEY_TABLE if _is_everywhere(action)]
    others = [action for action in key_table.KEY_TABLE if not _is_everywhere(action)]
    lines = [
        "# Keys",
        "",
        "Generated from `console/config/key_table.py` by `python -m tests.tui.keys_page`; a test compares it.",
        "Each action has a name; [config can remap it](console.md#other-keys).",
        "`?` lists the keys of the open screen and all symbols.",
        "",
        "## On every screen",
        "",
        "| key | action | name |",
        "|---|---|---|",
        *(f"| {_action_cells(action)} |" for action in (*everywhere, *key_table.CURSOR_MOVES)),
        "",
        "## On some screens",
        "",
        "| key | action | name | screens |",
        "|---|---|---|---|",
        *(f"| {_action_cells(action)} | {_screen_titles(action)} |" for action in others),
        "",
        _CONFIRMATION,
        "",
    ]
    return "\n".join(lines)


def _is_everywhere(action: key_table.KeyAction) -> bool:
    return set(key_table.ALL_SCREENS) <= set(action.where)


def _action_cells(action: key_table.KeyAction) -> str:
    keys = " ".join(f"`{key_table.key_label(key)}`" for key in action.keys) or f"`:` {action.label}"
    return f"{keys} | {key_table.action_help(action, action.where[0])} | `{action.id}`"


def _screen_titles(action: key_table.KeyAction) -> str:
    titles = {**key_table.SCREENS, **key_table.OVERLAYS}
    return ", ".join(titles[screen].replace(", ", " · ") for screen in action.where)


_CONFIRMATION = (
    "No key alone changes anything at a scheduler: a dialog shows what would be sent, with *Back* selected; `↓`, then "
    "`↵` sends it once. A name is typed first where a job runs or is not declared safe to rerun (the part of its name "
    "that no other job shares) or where a plan affects tier 1 (the plan's incident), and a reason where the rules say "
    "so. Only `p`, which pauses a plan, acts at once. A key that is not available says why in the last line."
)

if __name__ == "__main__":
    PAGE.write_text(markdown(), encoding="utf-8")
