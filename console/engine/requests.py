"""What screens and commands may ask: questions to the engine, and what is written at once.

Plain SQL on its own short connection: the console needs neither SQLAlchemy nor an engine of its own for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors.words import Verb
from console.clock import real_now
from console.control.authorize import Granted, Refused, switch_door
from console.engine.origin import where_from
from console.engine.questions import Questions, raise_refused, refusal
from console.engine.rights import Rights, all_granted
from console.engine.wishes import Wish, insert, refuse_a_second
from console.model.holding import end_fault
from console.model.ids import incident_name, instant, micros
from console.model.pauses import LONGEST, Pause, length_fault
from console.store import asker, chain, notes, permissions, presence, switches
from console.store.chain import Run
from console.store.errors import NotAllowed, NotFound
from console.store.reads.holders import holder_name


def _job_of(run: Run, run_id: int | None, job_id: int | None) -> int:
    """The job that is meant. Raises NotFound."""
    rows = run("SELECT job_id FROM run WHERE id = ?", (run_id,)) if run_id is not None else []
    if rows or (run_id is None and run("SELECT 1 FROM job WHERE id = ?", (job_id,))):
        return int(rows[0][0] if rows else job_id or 0)
    raise NotFound(f"run {run_id}" if run_id is not None else f"job {job_id}")


def _pause_fault(system: str, seconds: float, why: str) -> Refused | None:
    """Why the polls of a system are not paused for so long; None where they may be."""
    if fault := length_fault(timedelta(seconds=min(seconds, 2 * LONGEST.total_seconds()))):
        return Refused(f"polls of {system} are paused for {fault}")
    if not why.strip():
        return Refused(f"who reads that {system} is not watched wants to know: say why (--why)", wants_reason=True)
    return None


class Requests(Questions):
    """Everything that `Questions` may ask, and what is written at once, engine or not. Raises as it does."""

    def turn(self, name: str, value: str, why: str, system: str = "") -> bool:
        """Turns a switch of `console.model.modes` at once, engine or not; False where it stood so already. `system`: of
        a switch that is about one. Raises NotAllowed."""
        door = switch_door(name, value)
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            answer = Rights(run).may(person, door, system=system, why=why)
            now = asker.now_us(run)
            if isinstance(answer, Granted):
                return switches.turn(run, name, value, person.name, where_from(), why, now)
            chain.append(run, now, person.name, where_from(), f"refuse {door}", name, {"refused": answer.reason}, why)
        raise NotAllowed(answer.reason)

    def pause_polling(self, system: str, seconds: float, why: str) -> Pause:
        """Stops the polls of a system for so long, at once, engine or not; with 0 seconds they go on. The pause as it
        is now. Raises NotFound, NotAllowed."""
        door = "pause polling" if seconds > 0 else "resume polling"
        with asker.transaction(self._url) as run:
            if not run("SELECT 1 FROM system WHERE name = ? AND NOT removed", (system,)):
                raise NotFound(f"system {system}")
            person, now = permissions.asker(run, self._postgres), asker.now_us(run)
            answer = Rights(run).may(person, door, system=system, why=why)
            if isinstance(answer, Granted) and seconds > 0:
                answer = _pause_fault(system, seconds, why) or answer
            if isinstance(answer, Granted):
                until = (instant(now) + timedelta(seconds=max(seconds, 0.0))).replace(microsecond=0)
                said = Pause(system, person.name, why, instant(now), until)
                switches.pause(run, said, where_from(), now)
                return said
            chain.append(run, now, person.name, where_from(), f"refuse {door}", system, {"refused": answer.reason}, why)
        raise refusal(answer)

    def note(self, incident_id: int, words: str) -> None:
        """Writes into an incident's timeline at once, engine or not. Raises NotFound, NotAllowed."""
        with asker.transaction(self._url) as run:
            job_id = notes.root_job(run, incident_id)
            person, now = permissions.asker(run, self._postgres), asker.now_us(run)
            answer = Rights(run).may(person, "note", job_id)
            if isinstance(answer, Granted):
                return notes.add(run, incident_id, words, person.name, where_from(), now)
            detail = {"refused": answer.reason}
            chain.append(run, now, person.name, where_from(), "refuse note", incident_name(incident_id), detail)
        raise NotAllowed(answer.reason)

    def present(self, incident_id: int | None) -> None:
        """Tells who else looks that this console shows the incident; None: none any more. Who may not look tells
        nothing."""
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            if isinstance(Rights(run).may(person, "present"), Granted):
                now = micros(real_now())
                presence.tell(run, holder_name(), incident_id, person.name, where_from(), now)

    def opens_shell(self, place: str) -> None:
        """Writes into the audit who opens a session at "system/target". Raises NotAllowed."""
        with asker.transaction(self._url) as run:
            person, now = permissions.asker(run, self._postgres), asker.now_us(run)
            answer = Rights(run).may(person, "shell", system=place.partition("/")[0])
            if isinstance(answer, Granted):
                return chain.append(run, now, person.name, where_from(), "shell", place, {})
            chain.append(run, now, person.name, where_from(), "refuse shell", place, {"refused": answer.reason})
        raise NotAllowed(answer.reason)

    def act(self, wish: Wish, key: str) -> None:
        """Asks for what is wished, under `key`. The same key twice is one action.

        Raises AlreadyAsked when another action for this run is still under way, NotFound when run or job is gone."""
        with asker.transaction(self._url) as run:
            if run("SELECT 1 FROM action WHERE key = ?", (key,)):
                return
            job_id = _job_of(run, wish.run_id, wish.job_id)
            person = permissions.asker(run, self._postgres)
            now = asker.now_us(run)
            recent = permissions.asked_lately(run, person.name, now, key)
            rights = Rights(run)
            answer = rights.kept_back(job_id) or rights.may(
                person, wish.verb.value, job_id, why=wish.why, recent=recent
            )
            if isinstance(answer, Granted) and wish.verb is Verb.HOLD:
                answer = Refused(fault) if (fault := end_fault(wish.parameters, instant(now))) else answer
            if isinstance(answer, Granted):
                refuse_a_second(run, wish, now)
                wish = replace(wish, needs_approval=wish.needs_approval or answer.needs_approval)
                insert(run, wish, key, person.name, where_from(), now)
            self._tell(run, person.name, wish, job_id, key, answer)
        raise_refused(answer)

    def check(self, wishes: Iterable[Wish]) -> None:
        """Asks for nothing. Raises NotAllowed or ReasonNeeded, as asking for any of these without a reason would."""
        with asker.transaction(self._url, writes=False) as run:
            person = permissions.asker(run, self._postgres)
            rights = Rights(run)
            about = dict.fromkeys((wish.verb.value, _job_of(run, wish.run_id, wish.job_id)) for wish in wishes)
            answer = all_granted(rights.kept_back(job_id) or rights.may(person, verb, job_id) for verb, job_id in about)
        raise_refused(answer)

    def _tell(self, run: Run, by: str, wish: Wish, job_id: int, key: str, answer: Granted | Refused) -> None:
        """Into the audit, in the transaction of what was asked. Who is only asked why is refused nothing."""
        if isinstance(answer, Refused) and answer.wants_reason:
            return
        detail: dict[str, Any] = {"key": key, "run_id": wish.run_id, "parameters": dict(wish.parameters)}
        if isinstance(answer, Refused):
            detail["refused"] = answer.reason
        else:
            detail |= {"sends": wish.preview.get("native_calls", []), "needs_approval": answer.needs_approval}
        verb = f"{'refuse' if isinstance(answer, Refused) else 'request'} {wish.verb}"
        self._audit(run, by, verb, job_id, detail, wish.why)
