"""A connector made of parts that share one client: each call of the contract gives the client its deadline and goes to
the part that answers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from connectors.arrival import time_to_send
from connectors.contract import (
    Ask,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Receipt,
    RunRef,
)
from connectors.transport.deadline import Deadline


class Client(Protocol):
    """Whatever sends the calls of a connector. `deadline` is for all calls until it is set anew."""

    deadline: Deadline

    def close(self) -> None: ...


class Acts(Protocol):
    """The part that changes something at the source, as the contract describes it (connectors/contract/promise.py)."""

    def preview(self, ask: Ask) -> Preview: ...

    def act(self, preview: Preview, key: str) -> Receipt: ...

    def look_up(self, preview: Preview, key: str) -> LookUp: ...


def no_holds(why: str) -> Callable[[Collection[str]], tuple[NativeHold, ...]]:
    """The part for holds of a kind that can have none. Calling it raises NotSupported with `why`."""

    def refuse(known: Collection[str]) -> tuple[NativeHold, ...]:
        del known  # whatever is known: there are none
        raise NotSupported(why)

    return refuse


class PartedConnector:
    """The calls of `Connector`, each by its part."""

    def __init__(
        self,
        client: Client,
        *,
        inventory: Callable[[str], Inventory],
        poll: Callable[[str, Sequence[RunRef]], Poll],
        log: Callable[[RunRef, str | None, int], LogChunk],
        acts: Acts,
        holds: Callable[[Collection[str]], tuple[NativeHold, ...]],
        probe: Callable[[], Probe],
    ) -> None:
        self._client, self._acts = client, acts
        self._inventory, self._poll, self._log, self._holds, self._probe = inventory, poll, log, holds, probe

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        self._begin(timeout_seconds)
        return self._inventory(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._begin(timeout_seconds)
        return self._poll(cursor, open_runs)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        self._begin(timeout_seconds)
        return self._log(run, start, limit_bytes)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        self._begin(timeout_seconds)
        return self._acts.preview(ask)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """No later than the preview allows to send."""
        self._begin(time_to_send(preview, timeout_seconds))
        return self._acts.act(preview, key)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        self._begin(timeout_seconds)
        return self._acts.look_up(preview, key)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        self._begin(timeout_seconds)
        return self._holds(known)

    def probe(self, timeout_seconds: float) -> Probe:
        self._begin(timeout_seconds)
        return self._probe()

    def close(self) -> None:
        """Closes connections; once more does nothing."""
        self._client.close()

    def _begin(self, timeout_seconds: float) -> None:
        self._client.deadline = Deadline(timeout_seconds)
