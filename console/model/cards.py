"""A job's card: what people must know of it beside what its scheduler says. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from console.model.words import Safety

FIELDS = ("owner", "runbook", "rerun")
WORDS = {"owner": "the team that answers", "runbook": "the page that says what to do first",
         "rerun": "whether it may simply be rerun"}  # fmt: skip
LIMIT = 300
"""Characters of one word of a card."""
_CAUTION = (Safety.SAFE, Safety.ASK, Safety.NEVER)


def fault(field: str, value: str) -> str:
    """Why that cannot stand on a card; empty when it can. An empty value takes back what was said."""
    if field not in FIELDS:
        return f'"{field[:40]}" is not on a card: write {", ".join(f"{one}=…" for one in FIELDS)}'
    if len(value) > LIMIT:
        return f"{field}: {len(value)} characters; say it in {LIMIT}"
    if field == "rerun" and value and value not in _CAUTION:
        return f'rerun: "{value[:40]}" is none of {", ".join(_CAUTION)}'
    return ""


def why_locked(field: str, config_says: Sequence[str], allowed: Sequence[str]) -> str:
    """Why nobody but config says that of a job; empty where people may."""
    if field in config_says:
        return "config says it, under [jobs]"
    return "" if field in allowed else f'config lets nobody say it: [acting] cards has no "{field}"'


def is_looser(before: str, after: str) -> bool:
    """True where a rerun would take less than before: that is for an admin to say."""
    known = [str(one) for one in _CAUTION]
    return before not in known or after not in known or known.index(after) < known.index(before)
