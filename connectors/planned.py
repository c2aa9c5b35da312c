"""Acts whose plan names, under "how", the part that sends it and finds it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from connectors.arrival import unless_on_its_way
from connectors.contract import Absent, CannotTell, LookUp, NotSupported, Preview, Receipt
from connectors.parts import Client


class Part(Protocol):
    """What sends one kind of plan and finds it again."""

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """Sends it once, as `Connector.act`."""
        ...

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """One look whether it arrived."""
        ...


Sender = TypeVar("Sender", bound=Part)


class PlannedActs(Generic[Sender]):
    """What is done after the preview. `who` is the source's name in messages; `settle_seconds`: for how long a key must
    stay absent before it counts as never arrived."""

    def __init__(self, who: str, client: Client, by_plan: Mapping[str, Sender], settle_seconds: float) -> None:
        self._who, self._client, self._by_plan, self._settle_seconds = who, client, by_plan, settle_seconds

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says."""
        part = self._part(preview)
        if preview.refused or part is None:
            raise NotSupported(f"{self._who}: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return part.act(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent is looked at for some seconds, since a server may still work on a request whose
        sender is gone, or lists what it made a moment later."""
        part = self._part(preview)
        if part is None:
            return CannotTell("the preview has no plan that could be looked up")
        answer = settled(lambda: part.look(preview.plan, key), self._client, self._settle_seconds)
        return unless_on_its_way(answer, preview)

    def _part(self, preview: Preview) -> Sender | None:
        return self._by_plan.get(str(preview.plan.get("how")))


def settled(look: Callable[[], LookUp], client: Client, settle_seconds: float) -> LookUp:
    """The answer, asked again while it is Absent, for `settle_seconds`; the last quarter of the client's time is left
    to the last look."""
    until = max(client.deadline.left / 4, client.deadline.left - settle_seconds)
    while isinstance(answer := look(), Absent) and client.deadline.left > until:
        time.sleep(min(1.0, settle_seconds, client.deadline.left / 4))
    return answer
