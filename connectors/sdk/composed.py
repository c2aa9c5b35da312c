"""A connector composed of parts that share one client: each call sets the client's deadline and goes to one part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, NoReturn, Protocol

from connectors.sdk.contract import ActionAbsent, ActionSpec, LookUpResult, NativeHold, Preview, Probe, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRef
from connectors.sdk.settle import send_timeout
from connectors.sdk.transport.call_limits import Deadline


class ConnectorClient(Protocol):
    """The client of a connector. `deadline` applies to all calls until the next one is set."""

    deadline: Deadline

    def close(self) -> None: ...


class ActionHandler(Protocol):
    """The action calls, as in the contract (connectors/sdk/contract.py)."""

    def preview(self, spec: ActionSpec) -> Preview: ...

    def act(self, preview: Preview, key: str) -> Receipt: ...

    def look_up(self, preview: Preview, key: str) -> LookUpResult: ...


def unsupported(why: str) -> Callable[..., NoReturn]:
    """A call that a kind lacks: raises NotSupported with `why`."""

    def refuse(*_: object) -> NoReturn:
        raise NotSupported(why)

    return refuse


class WatchOnly:
    """The action calls of a kind that sends nothing."""

    no_actions: ClassVar[str]
    """Why."""

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        raise NotSupported(self.no_actions)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        raise NotSupported(self.no_actions)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(self.no_actions)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return ActionAbsent()


class ComposedConnector:
    """The calls of `Connector`, each by its part."""

    def __init__(
        self,
        client: ConnectorClient,
        *,
        inventory: Callable[[str], Inventory],
        poll: Callable[[str, Sequence[RunRef]], Poll],
        log: Callable[[RunRef, str | None, int], LogChunk],
        acts: ActionHandler,
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

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        self._begin(timeout_seconds)
        try:
            return self._acts.preview(spec)
        except ActionRefused as error:
            return Preview.refusal(spec.verb.value.replace("_", " "), str(error))

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """No later than the preview allows to send."""
        self._begin(send_timeout(preview, timeout_seconds))
        try:
            return self._acts.act(preview, key)
        except ActionRefused as error:
            raise ActionRefused(f"{error}; nothing was sent") from None

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        self._begin(timeout_seconds)
        return self._acts.look_up(preview, key)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        self._begin(timeout_seconds)
        return self._holds(known)

    def probe(self, timeout_seconds: float) -> Probe:
        self._begin(timeout_seconds)
        return self._probe()

    def close(self) -> None:
        self._client.close()

    def _begin(self, timeout_seconds: float) -> None:
        self._client.deadline = Deadline(timeout_seconds)
