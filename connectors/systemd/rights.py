"""What the login may, as the host's answers tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.contract import Right
from connectors.systemd.acts import mend
from connectors.transport.answer import Section, text_of
from connectors.transport.journal import is_denied


def journal_right(section: Section, login: str) -> Right:
    """Whether the login sees other users' entries."""
    words = text_of(section.body)
    denied = is_denied(words)
    why = "journalctl hides other users' entries" if denied else ""
    return Right("read the journal", not denied, why, f"usermod -a -G systemd-journal {login}" if denied else "")


def act_rights(parts: Iterable[Section], where: str) -> Iterator[Right]:
    """Of each unit, whether the login may start and stop it."""
    for part in parts:
        if part.kind == "MAY":
            answer, verb, unit = part.fields(3)
            held = answer == "yes"
            yield Right(f"{verb} {unit}", held, "" if held else "refused", "" if held else mend(where, unit), "act")
