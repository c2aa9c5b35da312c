"""A person is told once, in lines that can be read."""

from __future__ import annotations

from sqlalchemy import text

from console.store.open import Store
from console.store.told import Audience, Need, tell
from console.store.wire import wire


def test_a_reason_of_several_lines_is_told_on_one_without_a_replaced_letter(store: Store) -> None:
    """PostgreSQL gives its CONTEXT on a line of its own."""
    why = "table orders is empty\nCONTEXT: PL/pgSQL function obey(text)"
    need = Need("plan:2", "plan 2 stopped", "repair", why, (), "mara", None, None)
    with store.write(None) as connection:
        tell(wire(connection), Audience({"oncall": ("env A",)}, "oncall"), need, 1)
        [body] = connection.execute(text("SELECT body FROM alert")).scalars()
    assert "Why:      table orders is empty · CONTEXT: PL/pgSQL function obey(text)\n" in body
