"""How a key is written for people: "↵", "Esc", "^P"."""

from __future__ import annotations

SHOWN = {
    "enter": "↵",
    "space": "Space",
    "escape": "Esc",
    "ctrl+p": "^P",
    "ctrl+c": "^C",
    "ctrl+z": "^Z",
    "ctrl+l": "^L",
    "ctrl+r": "^R",
    "ctrl+u": "^U",
    "ctrl+d": "^D",
    "ctrl+w": "^W",
    "ctrl+t": "^T",
    "ctrl+n": "^N",
    "ctrl+@": "^@",
    "ctrl+space": "^Space",
    "ctrl+backslash": "^\\",
    "dollar_sign": "$",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left": "←",
    "right": "→",
    "tab": "Tab",
    "shift+tab": "S-Tab",
    "up": "↑",
    "down": "↓",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "comma": ",",
    "home": "Home",
    "end": "End",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
}
PLAIN = {"enter": "Enter", "up": "Up", "down": "Down", "left": "Left", "right": "Right"}
"""Where arrows are words."""
