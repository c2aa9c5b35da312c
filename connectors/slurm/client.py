"""Calls to a Slurm cluster: fixed scripts, who is signed in, and how a refusal of Slurm's is sorted.

Each method is one fixed script; values reach it quoted, on standard input, never in its command. `JobSituation` is what
previews and actions share: the parts of a job now, and what the login may do with them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import AccessRefused, InvalidAnswer, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.settle import SEND_SECONDS, sent_at
from connectors.sdk.transport.budget import Deadline
from connectors.sdk.transport.hosts import HostSession
from connectors.sdk.transport.script_output import ScriptSection, host_now, sections
from connectors.sdk.transport.ssh import SshFailed
from connectors.slurm import parse
from connectors.slurm.options import SlurmOptions
from connectors.slurm.parse import SlurmAnswer

ARGV = ("sh", "-s")
PAGE_ROWS = 5000
"""Of accounting at a time."""


@cache
def script(name: str) -> str:
    """The text of a script that lies beside this module."""
    return (Path(__file__).parent / name).read_text("utf-8")


@dataclass(frozen=True, slots=True)
class AccountingWindow:
    """Which rows of accounting are requested: of jobs that were active in it. Seconds since 1970; `until` 0 is now."""

    since: int
    until: int = 0
    skip: int = 0


class SlurmClient:
    """One login host. Each call is one round trip."""

    def __init__(self, options: SlurmOptions, session: HostSession) -> None:
        self.options = options
        self.session = session
        self.deadline = Deadline(0)

    @property
    def where(self) -> str:
        return self.session.address.text

    def snapshot(self, window: AccountingWindow, open_ids: Iterable[str]) -> SlurmAnswer:
        """Clock, settings, a page of accounting, the jobs `open_ids`, and the queue, which is read last."""
        until = f"uts{window.until}" if window.until else ""
        values = (str(window.since), until, str(window.skip), str(PAGE_ROWS), *self._accounting())
        more = ",".join(open_ids)
        calls = ["host", "config", f"history {_quoted(values)}", *([f"some {quote(more)}"] if more else [])]
        return self.ask([*calls, self._queue()])

    def names(self, since: int) -> SlurmAnswer:
        calls = ["host", "config", f"names {_quoted((str(since), *self._accounting()))}"]
        return self.ask([*calls, self._queue(), "crontabs", "limits"])

    def pending(self) -> SlurmAnswer:
        return self.ask(["host", "level", self._queue()])

    def ask(self, calls: Iterable[str], once: bool = False) -> SlurmAnswer:
        """The answer of these functions of the scripts."""
        nonce = secrets.token_hex(8)
        values = f"SUDO={'sudo' if self.options.sudo else ''} BIN={quote(self.options.bin or '')}"
        head = f"N={nonce} {values}\n{script('collect.sh')}{script('act.sh')}"
        text = f"{head}{{\n" + "\n".join(calls) + "\nmark END\n} </dev/null 2>/dev/null\n"
        done = self.session.run(text.encode("utf-8", "surrogateescape"), ARGV, self.deadline.left, once=once)
        return SlurmAnswer(sections(done.stdout, nonce, self.where), f"\x1f{nonce[:6]}")

    def close(self) -> None:
        self.session.close()

    def _queue(self) -> str:
        chosen = (("-u", self.options.users), ("-A", self.options.accounts), ("-p", self.options.partitions))
        return f"queue {_quoted(word for flag, names in chosen if names for word in (flag, ','.join(names)))}"

    def _accounting(self) -> list[str]:
        chosen = (("-u", self.options.users), ("-A", self.options.accounts), ("-r", self.options.partitions))
        return [word for flag, names in chosen if names for word in (flag, ",".join(names))]


def call(name: str, *values: str) -> str:
    """One call of a function of the scripts, its values quoted."""
    return f"{name} {_quoted(values)}"


def _quoted(values: Iterable[str]) -> str:
    return " ".join(quote(value) for value in values)


OPERATORS = ("Operator", "Administrator")
BEFORE = timedelta(hours=1)
"""How long before it was sent its mark is looked for: the clocks may differ."""
DENIED = ("denied", "Invalid user id", "not permitted", "a password is required", "may not run", "not allowed")
WHY = {
    "LATE": "the request came too late and nothing was done. Ask again",
    "RUNS": "it waits or runs meanwhile",
    "OVER": "it has ended",
    "GONE": "slurmctld does not know it any more",
    "NOSCRIPT": "its script is no longer stored",
    "MARKED": "it is held by another",
    "NOTHING": "none of its submissions can be changed: held by someone else, started, or gone",
}


@dataclass(frozen=True, slots=True)
class JobPart:
    """A part of a job as slurmctld has it now."""

    submit: int
    word: str
    part: str

    @property
    def is_open(self) -> bool:
        return parse.state_of(self.word, "1:0").is_open

    @property
    def is_red(self) -> bool:
        return parse.state_of(self.word, "1:0").is_red


@dataclass(frozen=True, slots=True)
class JobSituation:
    """A job as it is before an action: its parts, and the rights of the login."""

    me: str
    level: str
    skew: float
    parts: tuple[JobPart, ...]
    """None where slurmctld does not know the job any more."""
    may_requeue: bool
    answer: SlurmAnswer

    def refusal(self, user: str) -> str | None:
        """Why the login may not touch that user's jobs; None where it may, or where that is unknown."""
        if self.me in (user, "root") or self.level not in ("None", ""):
            return None
        return permission_fix(self.me, user) if self.level == "None" else None


def permission_fix(me: str, user: str) -> str:
    return (
        f'the login "{me}" may not touch jobs of {user}. Make it an operator:'
        f" sacctmgr modify user {me} set adminlevel=Operator"
    )


def situation(answer: SlurmAnswer, where: str) -> JobSituation:
    """Raises SystemUnreachable where slurmctld does not answer."""
    host = host_now(needed(answer, "HOST", where))
    level = level_of(needed(answer, "LEVEL", where))
    job, gone = parse.section(answer, "JOB"), parse.section(answer, "GONE")
    if gone is not None and "nvalid job id" not in gone.rest:
        raise InvalidAnswer(f"{where}: {parse.warnings_of([gone.rest], where)}. Headway retries.")
    rows = [line.split(answer.delimiter) for line in parse.lines(job)]
    parts = tuple(JobPart(parse.stamp(row[0]), row[1], row[3]) for row in rows if len(row) >= 5)
    return JobSituation(
        me=needed(answer, "ME", where).fields(2)[0],
        level=level,
        skew=(host.now - datetime.now(UTC)).total_seconds(),
        parts=parts,
        may_requeue=job is not None and job.rest != "Requeue=0",
        answer=answer,
    )


def level_of(section: ScriptSection) -> str:
    """ "Operator", "Administrator", "coordinator of ops", "None"; "" where accounting does not report it."""
    level, accounts = (field.strip() for field in section.fields(2))
    if level == "None" and accounts:
        return f"coordinator of {accounts[:200]}"
    return level if level in (*OPERATORS, "None") else ""


def needed(answer: SlurmAnswer, kind: str, where: str) -> ScriptSection:
    section = parse.section(answer, kind)
    if section is None:
        raise InvalidAnswer(f"{where}: the answer lacks {kind}. Headway retries.")
    return section


def latest(plan: Mapping[str, Any]) -> str:
    """The last second, by the host's clock, at which it may still be sent."""
    sent = (sent_at(plan) or datetime.now(UTC)) + timedelta(seconds=float(plan["skew"]) + SEND_SECONDS)
    return str(int(sent.timestamp()))


def since(plan: Mapping[str, Any]) -> str:
    """From where its mark is looked for."""
    sent = sent_at(plan) or datetime.now(UTC) - timedelta(days=1)
    return str(int((sent - BEFORE + timedelta(seconds=min(0.0, float(plan["skew"])))).timestamp()))


def check_key(key: str) -> None:
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"not an action key of ours: {key[:60]!r}")


def sent(client: SlurmClient, command: str, what: str, user: str) -> ScriptSection:
    """Sends it once: the answer where it was done. OutcomeUnknown where the host was reached and did not answer, and
    where only some parts of it were done; AccessRefused or NotSupported where Slurm refused."""
    unknown = f"Whether it was done is looked up in Slurm on {client.where}."
    try:
        part = client.ask([command], once=True).parts[0]
    except SshFailed as error:
        if error.touched:
            raise OutcomeUnknown(f"{error} {unknown}") from error
        raise
    except SystemUnreachable as error:
        raise OutcomeUnknown(f"{error} {unknown}") from error
    if part.kind in ("DONE", "EXISTS", "UNMARKED"):
        return part
    if part.kind == "PARTLY":
        done, rest, why = part.fields(3)
        text = f"only a part was done: {done[:200]} was, {rest[:200]} was not: {why[:200]}"
        raise OutcomeUnknown(f"{what} on {client.where}: {text}. {unknown}")
    if part.kind == "REFUSED" and any(word in part.rest for word in DENIED):
        raise AccessRefused(f"{what}: {part.rest[:200]}. Nothing was done: {permission_fix('of this system', user)}")
    why = WHY.get(part.kind, f"Slurm says: {part.rest[:200]}")
    raise NotSupported(f"{what} on {client.where}: {why}.")
