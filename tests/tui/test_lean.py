"""What is left out of the start is only left out: whoever wants it afterwards has it whole."""

from __future__ import annotations

import subprocess
import sys


def said_by(code: str) -> list[str]:
    """Lines that a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


LEAN = "import sys; from console.tui import lean; lean.load_asyncio(); lean.load_textual(); import console.tui.app"


def test_neither_the_palette_nor_tls_is_loaded_by_the_app() -> None:
    asked = "print(*sorted({'ssl', 'textual.command', 'textual.widgets._input', 'rich.table'} & set(sys.modules)))"
    assert [""] == said_by(f"{LEAN}; {asked}")


def test_who_wants_them_afterwards_gets_the_real_ones() -> None:
    assert ["True", "True", "True"] == said_by(
        f"""{LEAN}
import ssl, rich.table, textual.command
from textual.widgets import Input
from textual.screen import ModalScreen
print(issubclass(textual.command.CommandPalette, ModalScreen))
print(bool(ssl.create_default_context()))
print(rich.table.Table("a").columns[0].header == "a")"""
    )


def test_what_was_loaded_before_stays_as_it_is() -> None:
    assert ["True True"] == said_by(
        f"""import asyncio, ssl, textual.command
{LEAN}
import textual.app
print(asyncio.base_events.ssl is ssl, textual.app.CommandPalette is textual.command.CommandPalette)"""
    )


def test_a_fault_of_the_app_is_told_with_its_traceback() -> None:
    """Textual draws it with tables of its own, which are loaded then."""
    told = said_by(
        f"""{LEAN}
from textual.app import App
class Broken(App[None]):
    def on_mount(self): raise RuntimeError("told whole")
Broken().run(headless=True)
import io; from rich.console import Console; from rich.traceback import Traceback
try: raise RuntimeError("told whole")
except RuntimeError:
    out = io.StringIO(); Console(file=out).print(Traceback(show_locals=True)); print("told whole" in out.getvalue())"""
    )
    assert "True" == told[-1]
