"""The help of every command."""

from __future__ import annotations

from console.cli.commands import COMMANDS
from tests.golden.command_line import fixed_environment, headway


def help_text() -> str:
    """`headway --help`, then `headway COMMAND --help` of each command."""
    with fixed_environment():
        overview = headway("--help").out
        group = [f"$ headway {name} --help\n{headway(*name.split(), '--help').out}" for name in COMMANDS]
    return "\n\n".join(part.rstrip() for part in (f"$ headway --help\n{overview}", *group)) + "\n"
