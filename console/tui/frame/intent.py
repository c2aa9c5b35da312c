"""Commands of a screen, and the action that a user requests for one run or one job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from connectors.sdk.states import Verb

if TYPE_CHECKING:
    from console.engine.api.action_request import ActionRequest


class ScreenCommand(NamedTuple):
    """The function of one action of the key table on one screen; keys, label and help are in the table."""

    name: str
    """Of the action in `key_table.KEY_TABLE`."""
    run: Callable[[], object]
    why_not: Callable[[], str] = str
    """Why it is disabled now, in one line; empty while it is enabled."""


REVERSIBLE = (Verb.HOLD, Verb.RELEASE)


class ActionIntent(NamedTuple):
    """One verb on one run, or without `run_id` on one job."""

    verb: Verb
    job: str
    run_id: int | None = None
    job_id: int | None = None
    incident_id: int | None = None
    parameters: Mapping[str, Any] = {}
    why: str = ""
    builds_on: str = ""
    """The red or stale upstream of a manual step; it is completed only after a second confirmation."""

    def request(
        self, preview: Mapping[str, Any] | None = None, why: str = "", overlap: str | None = None
    ) -> ActionRequest:
        """The request to the engine with the values of `preview`; without `overlap`, with the overlap of the preview.

        Called in a resource thread: it imports pydantic.
        """
        from console.engine.api.action_request import ActionRequest, overlap_choice

        return ActionRequest(
            self.verb,
            self.run_id,
            self.job_id if self.run_id is None else None,
            parameters=self.parameters,
            preview=preview or {},
            why=why or self.why,
            overlap=overlap or overlap_choice(preview or {}),
            incident_id=self.incident_id,
            beside=tuple((preview or {}).get("in_progress", ())) if overlap else None,
        )


def verb_label(verb: str) -> str:
    return "mark OK" if verb == Verb.MARK_OK else verb.replace("_", " ")


class RunChoice(NamedTuple):
    run_id: int
    job: str
    incident_id: int | None = None
