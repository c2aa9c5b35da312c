"""Holding a job: what waits of it is held by scontrol, under our mark at the end of its comment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.contract import (
    STARTED_LATER,
    Absent,
    AnswerUnfit,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    Verb,
)
from connectors.holdnotes import asked_hold, asked_release, must_mark, not_released, shown, unwritable
from connectors.slurm import parse
from connectors.slurm.answer import Answer
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient, call
from connectors.slurm.parse import Queued
from connectors.slurm.situation import Situation, check_key, latest, sent, situation

ONLY_WHAT_WAITS = (
    "Slurm holds submissions, not names: what is submitted later is not held. Hold it where it is submitted, too",
    "what runs already goes on to its end",
)
NOTHING_WAITS = "nothing of {} waits: Slurm can hold only what is submitted and has not begun"


class Holds:
    """HOLD and RELEASE of one cluster."""

    def __init__(self, client: SlurmClient, choice: Choice) -> None:
        self._client, self._choice = client, choice

    def holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """As the contract says; bare marks are always seen."""
        del known  # the queue tells all
        answer = self._client.pending()
        marked: dict[tuple[str, str], list[tuple[Queued, HoldMark]]] = {}
        for line in self._waiting(answer):
            mark = HoldMark.read(line.comment)
            if mark is not None and self._choice.wants(line.name):
                marked.setdefault((self._choice.job_of(line.user, line.name), mark.id), []).append((line, mark))
        return tuple(
            NativeHold(job, found[0][1], self._place(found), bare=not any(line.is_held for line, _ in found))
            for (job, _), found in sorted(marked.items())
        )

    def _place(self, found: list[tuple[Queued, HoldMark]]) -> str:
        ids = ", ".join(line.part for line, _ in found[:5])
        return f"comment of job {ids} on {self._choice.target}"

    def _waiting(self, answer: Answer) -> list[Queued]:
        waits, _, error = parse.queue(answer)
        if error:
            raise AnswerUnfit(f"{self._client.where}: {parse.complain([error], self._client.where)}")
        return [line for queued in waits.values() for line in queued if line.is_pending]

    def _of(self, job: str) -> tuple[Situation, list[Queued]]:
        answer = self._client.pending()
        found = [one for one in self._waiting(answer) if self._choice.job_of(one.user, one.name) == job]
        return situation(answer, self._client.where), found

    def preview(self, ask: Ask) -> Preview:
        user, name = self._choice.parts_of(ask.run.job)
        if not name:
            raise NotSupported(f"{ask.run.job}: not a job of {self._choice.target}")
        now, waits = self._of(ask.run.job)
        return self._hold(ask, user, now, waits) if ask.verb is Verb.HOLD else self._release(ask, user, now, waits)

    def _hold(self, ask: Ask, user: str, now: Situation, waits: list[Queued]) -> Preview:
        job = ask.run.job
        ids = [_id(line) for line in waits if not line.is_held]
        plan = {"way": "hold", "job": job, "user": user, "skew": now.skew, "parts": ids, **asked_hold(ask)}
        calls = [f'scontrol update JobId={one} Comment="… {shown(plan)}"; scontrol hold {one}' for one in ids[:5]]
        return Preview(
            verb="hold",
            words=f"hold what waits of {job}, under a mark in its comment that says who holds it until when",
            scope=f"{len(ids)} waiting submissions of {job}",
            affected=tuple(ids[:100]),
            native_calls=tuple(f"ssh {self._choice.target}: {one}" for one in calls),
            notes=ONLY_WHAT_WAITS,
            refused=unwritable(plan) or _not_held(job, waits) or now.refusal(user),
            plan=plan,
        )

    def _release(self, ask: Ask, user: str, now: Situation, waits: list[Queued]) -> Preview:
        job, (hold, enables) = ask.run.job, asked_release(ask)
        ours = [line for line in waits if f"headway-hold id={hold} " in line.comment] if hold else []
        mark = next((found for line in ours or waits if (found := HoldMark.read(line.comment))), None)
        ids = [_id(line) for line in ours]
        calls = [f"{f'scontrol release {one}; ' * enables}scontrol update JobId={one} Comment=…" for one in ids[:5]]
        by_hand = f"scontrol release {','.join(map(_id, waits)) or 'JOB'}"
        refused = not_released(job, hold, mark, not all(line.is_held for line in waits), by_hand)
        return Preview(
            verb="release" if enables else "clear",
            words=f"release what waits of {job} and take our mark from its comment"
            if enables
            else f"take our mark from the comment of {job}; held or not stays as it is",
            scope=f"hold {hold} of {job}",
            affected=tuple(ids[:100]),
            native_calls=tuple(f"ssh {self._choice.target}: {one}" for one in calls),
            notes=(STARTED_LATER,) if enables else (),
            refused=refused or now.refusal(user),
            plan={
                "way": "release",
                "job": job,
                "user": user,
                "hold": hold,
                "enables": enables,
                "parts": ids,
                "skew": now.skew,
            },
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """What waits now, not what waited then."""
        job, user = str(plan["job"]), str(plan["user"])
        _, waits = self._of(job)
        if plan["way"] == "release":
            hold = str(plan["hold"])
            check_key(hold)
            ids = [_id(line) for line in waits if f"headway-hold id={hold} " in line.comment]
            enable = "no" if plan.get("enables") is False else "yes"
            said = sent(self._client, call("release", hold, enable, latest(plan), *ids), job, user)
            return Receipt(f"job {said.rest}", "released, its comment as it was" if enable == "yes" else "unmarked")
        mark = must_mark(plan, key)
        others = [found for line in waits if (found := HoldMark.read(line.comment)) and found.id != key]
        if others:
            raise NotSupported(f"{job} is held by another: {others[0].text}")
        said = sent(self._client, call("hold", key, mark.text, latest(plan), *map(_id, waits)), job, user)
        return Receipt(f"job {said.rest}", f"held: {mark.text}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the mark: a hold is there with its key, a release has taken it away."""
        _, waits = self._of(str(plan["job"]))
        hold = key if plan["way"] == "hold" else str(plan["hold"])
        ours = [line for line in waits if f"headway-hold id={hold} " in line.comment]
        meant = {_base(one) for one in plan.get("parts", ())}
        if plan["way"] == "hold":
            held = [line.part for line in ours if line.is_held]
            left = [line.part for line in waits if not line.is_held and _base(line.part) in meant]
            if held and left:
                return CannotTell(f"held under its key: {_shown(held)}; not held: {_shown(left)}")
            return Found(f"job {held[0]}", "held under its key") if held else Absent()
        freed = [line.part for line in waits if line not in ours and _base(line.part) in meant]
        if ours and freed:
            left = [line.part for line in ours]
            return CannotTell(f"the mark of {hold} is gone from {_shown(freed)}; it is still on {_shown(left)}")
        if ours or (plan.get("enables") is not False and waits and all(line.is_held for line in waits)):
            return Absent()
        return Found(str(plan["job"]), f"nothing that waits bears the mark of {hold}")


def _id(line: Queued) -> str:
    """As scontrol takes it: "7_[4-9]" less "%2"."""
    return line.part.partition("%")[0] + ("]" if "%" in line.part else "")


def _base(part: str) -> str:
    """What stays of a part while its first tasks begin: "7_[4-9]" is "7_[5-9]" a moment later."""
    return part.partition("[")[0]


def _shown(parts: list[str]) -> str:
    return ", ".join(parts[:20])


def _not_held(job: str, waits: list[Queued]) -> str | None:
    mark = next((found for line in waits if (found := HoldMark.read(line.comment))), None)
    if not waits:
        return NOTHING_WAITS.format(job)
    if mark is not None:
        return f"{job} is held already: {mark.text}"
    if all(line.is_held for line in waits):
        return f"{job} is held in Slurm, and not by us: who held it must release it"
    return None
