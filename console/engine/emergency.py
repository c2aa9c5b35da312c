"""Doors for when no engine works: letting go of what the schedulers themselves tell, and a copy in the store's place.

Whoever can read the config's secrets can reach the schedulers without Headway, and whoever can write the store's file
can replace it: where no store can be asked, these rights are all there is. Where one can, its table of rights holds,
and its audit tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.control.authorize import Granted, Refused
from console.engine.origin import where_from
from console.engine.questions import raise_refused
from console.engine.rights import Rights
from console.model.modes import frozen_words
from console.model.rights import Person
from console.store import asker, chain, permissions, switches
from console.store.chain import Run
from console.store.keys import pack

_JOB = (
    "SELECT j.id, j.name FROM job j JOIN target t ON t.id = j.target_id JOIN system s ON s.id = j.system_id"
    " WHERE s.name = ? AND t.name = ? AND j.source_id = ?"
)


@dataclass(frozen=True, slots=True)
class Native:
    """A mark of ours, as its scheduler tells it."""

    system: str
    target: str
    job: str
    """Native id, as the source writes it."""
    hold: str


class Emergency:
    """Asks the table of rights of one store and writes into its audit; all raise StoreUnusable where it cannot."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._postgres = asker.is_postgres(url)

    def ask_release(self, mark: Native, why: str, anyway: bool) -> None:
        """Before the mark is taken away. Raises NotAllowed, and ReasonNeeded; `anyway`: in a freeze, and without the
        approval of another person, too."""
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            job_id, name = _job(run, mark)
            answer = Rights(run).may(person, "release natively", job_id, system=mark.system, why=why)
            if isinstance(answer, Granted) and not anyway:
                answer = _held_up(run, answer)
            self._tell(run, person, "release natively", name, {"hold": mark.hold, "anyway": anyway}, why, answer)
        raise_refused(answer)

    def tell_release(self, mark: Native, done: bool, words: str) -> None:
        """What came of it."""
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            detail = {"hold": mark.hold, "words": words}
            verb = "released natively" if done else "failed release natively"
            chain.append(run, asker.now_us(run), person.name, where_from(), verb, _job(run, mark)[1], detail, "")

    def ask_restore(self) -> None:
        """Before a copy takes the place of this store. Raises NotAllowed."""
        with asker.transaction(self._url) as run:
            person = permissions.asker(run, self._postgres)
            answer = Rights(run).may(person, "restore")
            self._tell(run, person, "restore", "store", {}, "", answer)
        raise_refused(answer)

    def _tell(
        self, run: Run, person: Person, door: str, about: str, detail: dict[str, Any], why: str, answer: Any
    ) -> None:
        verb = f"{'refuse' if isinstance(answer, Refused) else 'request'} {door}"
        told = {**detail, "refused": answer.reason} if isinstance(answer, Refused) else detail
        chain.append(run, asker.now_us(run), person.name, where_from(), verb, about, told, why)


def _job(run: Run, mark: Native) -> tuple[int | None, str]:
    """Its id in the store, and its name; a job that the store does not know has its system's rights."""
    rows = run(_JOB, (mark.system, mark.target, pack(mark.job)))
    return (int(rows[0][0]), str(rows[0][1])) if rows else (None, f"{mark.system}/{mark.job}")


def _held_up(run: Run, granted: Granted) -> Granted | Refused:
    frozen = switches.modes(run).frozen
    if frozen is not None:
        return Refused(f"{frozen_words(frozen)}: nothing is let go (--anyway lets go all the same)")
    if granted.needs_approval:
        return Refused("another person must approve it: headway release JOB asks them (--anyway lets go all the same)")
    return granted
