"""What tests ask for, by the doors that screens and commands use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.words import Verb
from console.engine.wishes import Wish, overlap_shown


def rerun_of(run_id: int, preview: Mapping[str, Any] | None = None, why: str = "") -> Wish:
    """The rerun that `preview` showed, with the overlap that it showed and no other."""
    shown = preview or {}
    return Wish(Verb.RERUN, run_id, preview=shown, why=why, overlap=overlap_shown(shown))
