"""The one place where an action reaches a scheduler: previewed, sent, looked up, each within a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import structlog

from connectors.sdk.contract import ActionFound, ActionSpec, ActionUnknown, Connector, LookUpResult, Preview
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.secrets import SecretStore
from console.engine.actions import previews, verification
from console.engine.connector_pool import ConnectorPool
from console.engine.keyed_executor import CallsInFlight
from console.engine.polling.sanitize import sanitizer
from console.failpoints import failpoint
from console.store.actions import ActionRow, ActionStep
from console.store.db.fence import Fence
from console.store.errors import LeaseLost

log = structlog.get_logger("headway.actions")

ACT_SECONDS = 60.0
PREVIEW_SECONDS = 20.0
LOOKUP_SECONDS = 20.0
NOT_SENT = ActionStep("unknown", "the engine stopped before it was sent; checking the scheduler")


class ActionSender:
    """Previews, sends and looks up actions through connectors. Answers are sanitized and contain no secret."""

    def __init__(
        self,
        connectors: ConnectorPool,
        secrets: SecretStore,
        must_stop: Callable[[ActionRow, Fence], bool],
        frozen: Callable[[Fence], str],
        in_flight: CallsInFlight,
    ) -> None:
        """`must_stop`: whether nothing may be sent under this fence any more. `frozen`: why no action may be sent now;
        empty if actions may be sent; raises LeaseLost."""
        self._connectors, self._must_stop = connectors, must_stop
        self.shown = sanitizer(secrets)
        self._frozen, self._in_flight = frozen, in_flight

    def preview(self, action: ActionRow, ask: ActionSpec) -> Preview:
        """The native request that the action would send now. Raises ConnectorError."""
        with self._at("asking", action) as connector:
            return previews.fetch_preview(connector, self._connectors.places[action.target_id], ask, PREVIEW_SECONDS)

    def act(self, action: ActionRow, preview: dict[str, Any], fence: Fence) -> ActionStep:
        """Sends the action once, after its intent is committed under this fence; the outcome."""
        try:
            with self._at("sending to", action) as connector:
                failpoint("action.before_wire")
                if self._must_stop(action, fence):  # its fence may pass on, and the outcome would not be recorded
                    return NOT_SENT
                if frozen := self._frozen(fence):  # frozen while this waited for the connector
                    return verification.not_sent(frozen)
                receipt = connector.act(previews.preview_from_json(preview), action.key, ACT_SECONDS)
                failpoint("action.after_wire")
        except LeaseLost:
            return NOT_SENT
        except (AccessRefused, NotSupported) as error:
            return ActionStep("refused", self.error_text(error), ended=True, event=f"refused: {self.error_text(error)}")
        except SystemUnreachable as error:
            return verification.not_sent(self.error_text(error))
        except ConnectorError as error:  # OutcomeUnknown, or an unreadable answer: it may have arrived
            return ActionStep("unknown", self.error_text(error), event="outcome unknown: checking the scheduler")
        except Exception as error:  # unexpected error after the intent: unknown what was sent
            log.exception("action broke", key=action.key)
            text = f"{type(error).__name__} while sending; outcome unknown, checking the scheduler"
            return ActionStep("unknown", text, event="outcome unknown")
        failpoint("action.after_reply")
        return ActionStep("sent", self.shown(receipt.message) or "accepted", receipt.native_ref)

    def look_up(self, action: ActionRow) -> LookUpResult:
        """The scheduler's report under the action's key, sanitized; ActionUnknown if it cannot be read. Raises
        SystemUnreachable."""
        try:
            with self._at("asking", action) as connector:
                result = connector.look_up(previews.preview_from_json(action.preview), action.key, LOOKUP_SECONDS)
            if isinstance(result, ActionFound):
                return replace(result, message=self.shown(result.message))
            return ActionUnknown(self.shown(result.why)) if isinstance(result, ActionUnknown) else result
        except SystemUnreachable:
            raise
        except ConnectorError as error:
            return ActionUnknown(self.error_text(error))
        except KeyError as error:
            if (
                action.target_id in self._connectors.places
            ):  # a plan of another version, without a field that it has now
                return ActionUnknown(f"its stored preview cannot be read: it lacks {error}")
            return ActionUnknown(f"{action.system} is no longer in the config")
        except Exception as error:  # unexpected error: counts as an inconclusive look-up
            log.exception("look-up broke", key=action.key)
            return ActionUnknown(type(error).__name__)

    @contextmanager
    def _at(self, doing: str, action: ActionRow) -> Iterator[Connector]:
        place = self._connectors.places.get(action.target_id)
        name = place.name if place is not None else action.system
        with self._in_flight.at(f"{doing} {name}"), self._connectors.exclusive(action.target_id) as connector:
            yield connector

    def error_text(self, error: Exception) -> str:
        return self.shown(str(error))
