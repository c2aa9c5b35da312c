"""What every act on a host shares: sent once, its answer taken or said to be lost, the host's no with its mend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectors.arrival import sent_at
from connectors.contract import (
    Absent,
    AccessRefused,
    CannotTell,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    SystemUnreachable,
)
from connectors.transport.answer import Section
from connectors.transport.ssh import SshFailed

SHOWN = 160
LATE_SECONDS = 120.0  # how long after it was sent the host may still begin
START_SECONDS = 30.0  # from its look at the clock until what it does can be seen, however busy the host is

T = TypeVar("T")


def sudoers_line(login: str, user: str) -> str:
    """The rule that lets `login` act as `user`."""
    return f"{login} ALL=({user}) NOPASSWD: /bin/sh -s"


def shown(command: str) -> str:
    """A command for a sentence: its beginning."""
    return command if len(command) <= SHOWN else command[:SHOWN] + "…"


def not_after(skew_seconds: float, sent: datetime | None) -> int:
    """Until when the host may begin what was `sent` (now, where nobody wrote down when), epoch seconds by its clock."""
    return int((sent or datetime.now(UTC)).timestamp() + skew_seconds + LATE_SECONDS)


def absent(plan: Mapping[str, Any], skew_seconds: float, host_now: float, target: str) -> LookUp:
    """Nothing of it is there: proved only when, by its own clock, the host would not do it any more."""
    sent = sent_at(plan)
    if sent is None or host_now > (ends := not_after(skew_seconds, sent) + START_SECONDS):
        return Absent()
    return CannotTell(f"nothing of it is on {target} yet; it may still be done for {int(ends - host_now)} s")


def from_plan(kind: Callable[..., T], names: tuple[str, ...], plan: Mapping[str, Any]) -> T:
    """The order that a plan keeps. NotSupported where the plan is not one of ours."""
    try:
        return kind(**{name: plan[name] for name in names})
    except KeyError as error:
        raise NotSupported(f"this plan was not made for a crontab line: it lacks {error}") from error


def answered(call: Callable[[], list[Section]], looked_up: str) -> list[Section]:
    """The answer to something that was sent once. OutcomeUnknown when the host was reached and did not answer;
    `looked_up` says how the truth is found."""
    try:
        return call()
    except SshFailed as error:
        if error.touched:
            raise OutcomeUnknown(f"{error} {looked_up}") from error
        raise
    except SystemUnreachable as error:  # an answer came, cut short: the script had begun
        raise OutcomeUnknown(f"{error} {looked_up}") from error


def section(parts: list[Section], *kinds: str) -> Section | None:
    """The first section of one of these kinds."""
    return next((part for part in parts if part.kind in kinds), None)


def refusal(
    said: Section, host: str, job: str, path: str, user: str, login: str, spool: str
) -> AccessRefused | NotSupported:
    """The no that every script can say, with the mend; `user` is whom it ran as."""
    words = said.rest[:SHOWN]
    if said.kind == "REFUSED":
        return AccessRefused(
            f"{host}: {login} may not act as {user} ({words or 'refused'}). "
            f"Add to its sudoers: {sudoers_line(login, user)}"
        )
    if said.kind == "SPOOL":
        return AccessRefused(
            f"{host}: {user} cannot write {words}, where the mark of an action belongs. "
            f"As root: install -d -o root -g adm -m 3773 {spool}"
        )
    if said.kind == "GONE":
        seen = f" ({words})" if words else ""
        return NotSupported(f"{job}: this line is no longer in {path} on {host}{seen}. Look at the preview again.")
    if said.kind == "LATE":
        return NotSupported(f"{job}: the request reached {host} too late and nothing was done. Ask again.")
    return NotSupported(f"{job}: {host} did not do it: {said.kind} {words}")
