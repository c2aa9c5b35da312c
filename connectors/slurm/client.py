"""Calls to a Slurm cluster by fixed scripts, the rights of the login, and the errors of refused actions.

Values reach a script quoted, on standard input, never in its command.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote
from typing import Any

from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown
from connectors.sdk.fields import masked_head
from connectors.sdk.states import RunState
from connectors.sdk.transport.hosts import ScriptCall, ScriptClient, new_nonce, scripts_beside, sent_once
from connectors.sdk.transport.script_output import ScriptSection, host_now
from connectors.slurm import parse
from connectors.slurm.options import SlurmOptions
from connectors.slurm.parse import SlurmAnswer

PAGE_ROWS = 5000
"""Rows of accounting in one poll."""


@dataclass(frozen=True, slots=True)
class AccountingWindow:
    """A request for the jobs that were active in it. Seconds since 1970; `until` 0 is now; `skip` rows are left out."""

    since: int
    until: int = 0
    skip: int = 0


class SlurmClient(ScriptClient[SlurmOptions]):
    def snapshot(self, window: AccountingWindow, open_ids: Iterable[str]) -> SlurmAnswer:
        """Clock, settings, a page of accounting, the jobs `open_ids`, and last the queue, with the jobs of scrontab."""
        until = f"uts{window.until}" if window.until else ""
        history = ("history", str(window.since), until, str(window.skip), str(PAGE_ROWS), *self._chosen())
        ids = ",".join(open_ids)
        some = [("some", ids, *self._chosen())] if ids else []
        return self.ask(["host", "config", history, *some, self._queue(), "crontabs"])

    def names(self) -> SlurmAnswer:
        """Submissions within history_hours, and what waits now."""
        since = max(1, int(time.time()) - self.options.history_hours * 3600)
        names = ("names", str(since), *self._chosen())
        return self.ask(["host", "config", names, self._queue(), "crontabs", "limits"])

    def pending(self) -> SlurmAnswer:
        return self.ask(["host", "level", self._queue()])

    def ask(self, calls: Iterable[ScriptCall], once: bool = False) -> SlurmAnswer:
        nonce, scripts = new_nonce(), scripts_beside(__file__, "collect.sh", "act.sh")
        variables = f"SUDO={'sudo' if self.options.sudo else ''} BIN={quote(self.options.bin or '')}"
        return SlurmAnswer(self.run_calls(scripts, variables, calls, nonce, once), f"\x1f{nonce[:6]}", self.where)

    def _queue(self) -> ScriptCall:
        return ("queue", *self._chosen())

    def _chosen(self) -> list[str]:
        """Options that choose jobs."""
        return ["-u", ",".join(self.options.users)] if self.options.users else []


OPERATORS = ("Operator", "Administrator")
CONTROLLER_FIX = "see that slurmctld runs, and munged on this host"
DENIED = ("denied", "Invalid user id", "not permitted", "a password is required", "may not run", "not allowed")
SILENCE = ("timed out", "Zero Bytes", "end failure", "eceive failure")
"""Texts of slurm_strerror where a request left and slurmctld did not answer."""
REFUSALS = {
    "LATE": "the request came too late and nothing was done. Send it again",
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
    native_state: str
    part: str
    user: str
    name: str

    @property
    def state(self) -> RunState:
        return parse.state_of(self.native_state, "1:0")


@dataclass(frozen=True, slots=True)
class JobSituation:
    """A job before an action: its parts, and the rights of the login."""

    me: str
    level: str
    skew: float
    parts: tuple[JobPart, ...]
    """Empty where slurmctld does not know the job any more."""
    is_id_taken: bool
    """Another job has its id now."""
    may_requeue: bool
    answer: SlurmAnswer

    def refusal(self, user: str) -> str | None:
        """Why the login may not change that user's jobs; None where it may, or where that is unknown."""
        if self.me in (user, "root") or self.level not in ("None", ""):
            return None
        return permission_fix(self.me, user) if self.level == "None" else None


def permission_fix(me: str, user: str) -> str:
    return (
        f'the login "{me}" may not change jobs of {user}. Make it an operator:'
        f" sacctmgr modify user {me} set adminlevel=Operator"
    )


def situation(answer: SlurmAnswer, ref: Mapping[str, Any] | None = None) -> JobSituation:
    """Of the run `ref`: parts of another job that has its id now are left out. Raises SystemUnreachable where slurmctld
    does not answer."""
    host = host_now(answer.needed("HOST"))
    level = level_of(answer.needed("LEVEL"))
    job, error = answer.section("JOB"), answer.section("GONE")
    if error is not None and "nvalid job id" not in error.rest:
        raise parse.nothing_seen([error.rest], answer.where)
    parts = tuple(
        JobPart(parse.stamp(row[0]), row[1], row[3], *row[5:7]) for row in answer.rows("JOB") if len(row) >= 7
    )
    own = tuple(
        part for part in parts
        if ref is None
        or part.submit == ref.get("submit")
        or (part.user, part.name) == (ref.get("user"), ref.get("name"))
    )  # fmt: skip
    return JobSituation(
        me=answer.needed("ME").fields(2)[0],
        level=level,
        skew=(host.now - datetime.now(UTC)).total_seconds(),
        parts=own,
        is_id_taken=bool(parts) and not own,
        may_requeue=job is not None and job.rest != "Requeue=0",
        answer=answer,
    )


def level_of(section: ScriptSection) -> str:
    """ "Operator", "Administrator", "coordinator of ops", "None"; "" where accounting does not report it."""
    level, accounts = (field.strip() for field in section.fields(2))
    if level == "None" and accounts:
        return f"coordinator of {accounts[:200]}"
    return level if level in (*OPERATORS, "None") else ""


def sent(client: SlurmClient, command: ScriptCall, what: str, user: str) -> ScriptSection:
    """Sends it once: the answer where it was done. OutcomeUnknown where the host or slurmctld was reached and did not
    answer, and where only some parts of it were done; AccessRefused or NotSupported where Slurm refused."""
    unknown = f"Whether it was done is looked up in Slurm on {client.where}."
    part = sent_once(lambda: client.ask([command], once=True).parts[0], unknown)
    if part.kind in ("DONE", "EXISTS", "UNMARKED"):
        return part
    if part.kind == "PARTLY":
        done, rest, why = (masked_head(text, 200) for text in part.fields(3))
        text = f"only a part was done: {done} was, {rest} was not: {why}"
        raise OutcomeUnknown(f"{what} on {client.where}: {text}. {unknown}")
    if part.kind == "REFUSED" and any(text in part.rest for text in DENIED):
        raise AccessRefused(
            f"{what}: {masked_head(part.rest, 200)}. Nothing was done: {permission_fix('of this system', user)}"
        )
    reported = f"Slurm reports: {masked_head(part.rest, 200)}"
    refused = {**REFUSALS, "REFUSED": reported}.get(part.kind)
    if part.kind == "REFUSED" and any(text in part.rest for text in SILENCE):
        raise OutcomeUnknown(f"{what} on {client.where}: {reported}. {unknown}")
    if refused is None:
        raise OutcomeUnknown(f"{what} on {client.where}: unknown answer {masked_head(part.kind, 40)}. {unknown}")
    raise NotSupported(f"{what} on {client.where}: {refused}.")
