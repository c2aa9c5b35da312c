"""What a person wants done with one run or one job: how a screen hands it on, and what each verb is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from connectors.words import Verb

if TYPE_CHECKING:
    from console.engine.wishes import Wish

REVERSIBLE = (Verb.HOLD, Verb.RELEASE)
"""What nobody has to type a name for: one undoes the other."""
WORDS = {
    Verb.RERUN: "rerun",
    Verb.START: "start",
    Verb.CANCEL: "cancel",
    Verb.MARK_OK: "mark OK",
    Verb.SKIP: "skip",
    Verb.HOLD: "hold",
    Verb.RELEASE: "release",
    Verb.BACKFILL: "backfill",
}


class Order(NamedTuple):
    """One verb on one run, or on one job where `run_id` is None."""

    verb: Verb
    job: str
    run_id: int | None = None
    job_id: int | None = None
    incident_id: int | None = None
    parameters: Mapping[str, Any] = {}
    why: str = ""
    builds_on: str = ""
    """What a manual step builds on, in words, where that is red or stale; it is done only if a person says so again."""

    def wish(self, preview: Mapping[str, Any] | None = None, why: str = "", overlap: str | None = None) -> Wish:
        """As the engine is asked for it, with what `preview` showed; without a choice, with the overlap that it showed
        and no other. Called where a desk waits: it imports what asks."""
        from console.engine.wishes import Wish, overlap_shown

        return Wish(
            self.verb,
            self.run_id,
            self.job_id if self.run_id is None else None,
            parameters=self.parameters,
            preview=preview or {},
            why=why or self.why,
            overlap=overlap or overlap_shown(preview or {}),
            incident_id=self.incident_id,
            beside=tuple((preview or {}).get("under_way", ())) if overlap else None,
        )


def verb_word(verb: str) -> str:
    """ "mark OK"; a word that is no verb as it is."""
    return WORDS[Verb(verb)] if verb in WORDS else verb.replace("_", " ")
