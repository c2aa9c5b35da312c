"""What previews and acts share: who asks, what a job's parts are now, how an answer of Slurm's is sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.arrival import SEND_SECONDS, sent_at
from connectors.contract import (
    ACTION_KEY,
    AccessRefused,
    AnswerUnfit,
    NotSupported,
    OutcomeUnknown,
    SystemUnreachable,
)
from connectors.slurm import parse, states
from connectors.slurm.answer import Answer
from connectors.slurm.client import SlurmClient
from connectors.transport.answer import Section, host_now
from connectors.transport.ssh import SshFailed

OPERATORS = ("Operator", "Administrator")
BEFORE = timedelta(hours=1)
"""How long before it was sent its mark is looked for: the clocks may differ."""
DENIED = ("denied", "Invalid user id", "not permitted", "a password is required", "may not run", "not allowed")
WHY = {
    "LATE": "the request came too late and nothing was done. Ask again",
    "RUNS": "it waits or runs meanwhile",
    "OVER": "it is over",
    "GONE": "slurmctld does not know it any more",
    "NOSCRIPT": "its script is not kept any more",
    "MARKED": "it is held by another",
    "NOTHING": "no submission of it stands as it must: held by somebody else, begun, or gone",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job as slurmctld has it now."""

    submit: int
    word: str
    part: str

    @property
    def is_open(self) -> bool:
        return states.of(self.word, "1:0").is_open

    @property
    def is_red(self) -> bool:
        return states.of(self.word, "1:0").is_red


@dataclass(frozen=True, slots=True)
class Situation:
    """One look before an act."""

    me: str
    level: str
    skew: float
    parts: tuple[Part, ...]
    """None where slurmctld does not know the job any more."""
    may_requeue: bool
    answer: Answer

    def refusal(self, user: str) -> str | None:
        """Why the login may not touch that user's jobs; None where it may, and where nobody can tell."""
        if self.me in (user, "root") or self.level not in ("None", ""):
            return None
        return mend(self.me, user) if self.level == "None" else None


def mend(me: str, user: str) -> str:
    return (
        f'the login "{me}" may not touch jobs of {user}. Make it an operator:'
        f" sacctmgr modify user {me} set adminlevel=Operator"
    )


def situation(answer: Answer, where: str) -> Situation:
    """Raises SystemUnreachable where slurmctld does not answer."""
    host = host_now(needed(answer, "HOST", where))
    level = level_of(needed(answer, "LEVEL", where))
    job, gone = parse.section(answer, "JOB"), parse.section(answer, "GONE")
    if gone is not None and "nvalid job id" not in gone.rest:
        raise AnswerUnfit(f"{where}: {parse.complain([gone.rest], where)}. It is asked again.")
    rows = [line.split(answer.delimiter) for line in parse.lines(job)]
    parts = tuple(Part(parse.stamp(row[0]), row[1], row[3]) for row in rows if len(row) >= 5)
    return Situation(
        me=needed(answer, "ME", where).fields(2)[0],
        level=level,
        skew=(host.now - datetime.now(UTC)).total_seconds(),
        parts=parts,
        may_requeue=job is not None and job.rest != "Requeue=0",
        answer=answer,
    )


def level_of(section: Section) -> str:
    """ "Operator", "Administrator", "coordinator of ops", "None"; "" where accounting does not tell."""
    level, accounts = (one.strip() for one in section.fields(2))
    if level == "None" and accounts:
        return f"coordinator of {accounts[:200]}"
    return level if level in (*OPERATORS, "None") else ""


def needed(answer: Answer, kind: str, where: str) -> Section:
    found = parse.section(answer, kind)
    if found is None:
        raise AnswerUnfit(f"{where}: the answer lacks {kind}. It is asked again.")
    return found


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


def sent(client: SlurmClient, words: str, what: str, user: str) -> Section:
    """Sends it once: the answer where it was done. OutcomeUnknown where the host was reached and did not answer, and
    where only some parts of it were done; AccessRefused or NotSupported where Slurm refused."""
    looked_up = f"Whether it was done is looked up in Slurm on {client.where}."
    try:
        said = client.ask([words], once=True).parts[0]
    except SshFailed as error:
        if error.touched:
            raise OutcomeUnknown(f"{error} {looked_up}") from error
        raise
    except SystemUnreachable as error:
        raise OutcomeUnknown(f"{error} {looked_up}") from error
    if said.kind in ("DONE", "EXISTS", "UNMARKED"):
        return said
    if said.kind == "PARTLY":
        done, rest, why = said.fields(3)
        told = f"only a part was done: {done[:200]} was, {rest[:200]} was not: {why[:200]}"
        raise OutcomeUnknown(f"{what} on {client.where}: {told}. {looked_up}")
    if said.kind == "REFUSED" and any(word in said.rest for word in DENIED):
        raise AccessRefused(f"{what}: {said.rest[:200]}. Nothing was done: {mend('of this system', user)}")
    why = WHY.get(said.kind, f"Slurm says: {said.rest[:200]}")
    raise NotSupported(f"{what} on {client.where}: {why}.")
