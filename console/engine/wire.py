"""The one place where an action touches a scheduler: its preview, its sending, its look-up, each within a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from connectors.contract import (
    AccessRefused,
    Ask,
    CannotTell,
    Connector,
    ConnectorError,
    Found,
    LookUp,
    NotSupported,
    Preview,
    SystemUnreachable,
)
from connectors.secrets import SecretStore
from console.engine import previews, verdicts
from console.engine.arriving import shown
from console.engine.doors import Doors
from console.engine.lanes import InFlight
from console.failpoints import failpoint
from console.store.asked import ActionRow, ActionStep

log = structlog.get_logger("headway.actions")

ACT_SECONDS = 60.0
PREVIEW_SECONDS = 20.0
LOOK_UP_SECONDS = 20.0


class Wire:
    """Asks and sends by the connectors of `doors`; what they answer is cleaned, and no secret is in it."""

    def __init__(
        self,
        doors: Doors,
        secrets: SecretStore,
        stopping: Callable[[], bool],
        frozen: Callable[[], str],
        in_flight: InFlight,
    ) -> None:
        self._frozen = frozen
        """Why nothing may leave now; empty when it may."""
        self._doors = doors
        self._secrets = secrets
        self._stopping = stopping
        self._in_flight = in_flight

    def preview(self, action: ActionRow, ask: Ask) -> Preview:
        """What it would send now. Raises ConnectorError."""
        with self._at("asking", action) as connector:
            return previews.preview_there(connector, self._doors.places[action.target_id], ask, PREVIEW_SECONDS)

    def act(self, action: ActionRow, preview: dict[str, Any]) -> ActionStep:
        """Sends it once; what came of it. The intent is committed by now."""
        try:
            with self._at("sending to", action) as connector:
                failpoint("action.before_wire")
                if self._stopping():  # the lease may pass on while we wait here; nothing leaves that nobody writes down
                    return ActionStep("unknown", "the engine was ending before it was sent; looking it up")
                if frozen := self._frozen():  # while we waited for the line
                    return verdicts.not_sent(frozen)
                receipt = connector.act(previews.preview_of(preview), action.key, ACT_SECONDS)
                failpoint("action.after_wire")
        except (AccessRefused, NotSupported) as error:
            return ActionStep("refused", self.words(error), ended=True, event=f"refused: {self.words(error)}")
        except SystemUnreachable as error:
            return verdicts.not_sent(self.words(error))
        except ConnectorError as error:  # OutcomeUnknown, or an answer that nobody can read: it may have arrived
            return ActionStep("unknown", self.words(error), event="outcome unknown: looking it up")
        except Exception as error:  # a connector's surprise after the intent: nobody knows what left
            log.exception("action broke", key=action.key)
            return ActionStep(
                "unknown", f"{type(error).__name__} while sending; looking it up", event="outcome unknown"
            )
        failpoint("action.after_reply")
        return ActionStep("sent", self.shown(receipt.words) or "accepted", receipt.native_ref)

    def look_up(self, action: ActionRow) -> LookUp:
        """What its source says under our key, as people may read it; what broke tells nothing. Raises
        SystemUnreachable."""
        try:
            with self._at("asking", action) as connector:
                found = connector.look_up(previews.preview_of(action.preview), action.key, LOOK_UP_SECONDS)
            if isinstance(found, Found):
                return Found(found.native_ref, self.shown(found.words))
            return CannotTell(self.shown(found.why)) if isinstance(found, CannotTell) else found
        except SystemUnreachable:
            raise
        except ConnectorError as error:
            return CannotTell(self.words(error))
        except KeyError:
            return CannotTell(f"{action.system} is not in the config any more")
        except Exception as error:  # a connector's surprise: counted like any look that told nothing
            log.exception("look-up broke", key=action.key)
            return CannotTell(type(error).__name__)

    @contextmanager
    def _at(self, doing: str, action: ActionRow) -> Iterator[Connector]:
        place = self._doors.places.get(action.target_id)
        name = place.name if place is not None else action.system
        with self._in_flight.at(f"{doing} {name}"), self._doors.asked(action.target_id) as connector:
            yield connector

    def shown(self, text: str) -> str:
        """Outside text as people may read it."""
        return shown(text, self._secrets.mask)

    def words(self, error: Exception) -> str:
        return self.shown(str(error))
