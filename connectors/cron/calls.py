"""What a host is asked: functions of our scripts with their arguments, as lines of shell, or as lines that the gate
of a restricted key reads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from connectors.contract import AccessRefused
from connectors.transport.answer import Section

Call = tuple[str, ...]
"""Name of a function, its arguments."""
GATE_VERSION = 8
"""To be raised with every change of what the gate is asked or answers, with all of collect.sh: a test holds this."""
GATE_PATH = "/usr/local/bin/headway-gate"
FIELD, LINE = "\x1f", "\x1e"
ONLY_LOOKS = "its key may only look (restricted = true): nothing can be rerun, cancelled or held there"


def as_shell(calls: Sequence[Call]) -> str:
    """For `sh -s`, every argument quoted."""
    return "\n".join(f"{name} {' '.join(quote(each) for each in arguments)}".rstrip() for name, *arguments in calls)


def for_the_gate(calls: Sequence[Call], nonce: str, history: int) -> str:
    """Its greeting, then a call in each line, fields and the lines within a field by bytes that no path of ours has."""
    asked = [FIELD.join(each.replace("\n", LINE) for each in call) for call in calls]
    return "\n".join([f"headway-gate {GATE_VERSION} {nonce} {history}", *asked, ""])


def let_through(parts: list[Section], where: str) -> list[Section]:
    """The answer, unless the gate refused a call. AccessRefused with its words and the mend."""
    refused = next((part.rest for part in parts if part.kind == "GATE"), None)
    if refused is not None:
        raise AccessRefused(f"{where}: {GATE_PATH} refused: {refused}. Install it again: headway cron gate")
    return parts
