"""A person asks whether a system answers: each of its targets now, its version and what we may do there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from connectors.contract import ConnectorError, Probe
from connectors.secrets import SecretStore
from console.clock import Clock
from console.engine.answers import ANSWER_SECONDS, CannotAnswer, NoSuchName
from console.engine.arriving import shown
from console.engine.doors import Doors, Place
from console.model.ids import micros
from console.store import audit, polling
from console.store.open import Store

AT_ONCE = 8
"""Targets of one system that are asked side by side."""


class Probing:
    """Answers "probe". What a target says of itself is kept as if the poller had asked."""

    def __init__(self, store: Store, clock: Clock, doors: Doors, secrets: SecretStore) -> None:
        self._store, self._clock, self._doors, self._secrets = store, clock, doors, secrets

    def by_kind(self) -> Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {"probe": self.probe}

    def probe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{"targets": [{"target", "reachable", "version", "rights", "took_ms", "error"}]}, by name."""
        system, target = str(arguments["system"]), str(arguments.get("target") or "")
        places = [one for one in self._doors.places.values() if one.system.name == system]
        places = [one for one in places if target in ("", one.target)]
        if not places:
            name = f"{system}/{target}" if target else system
            raise NoSuchName(f'the running engine polls no "{name}": headway systems lists what it does')
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe") as pool:
            found = list(pool.map(lambda place: self._look(place, arguments["fence"]), places))
        found.sort(key=lambda one: str(one["target"]))
        self._tell(arguments, system, found)
        return {"targets": found}

    def _look(self, place: Place, fence: int) -> dict[str, Any]:
        """What one target says; a target that does not answer says why."""
        began = time.monotonic()
        told: dict[str, Any] = {"target": place.name, "reachable": False, "version": "", "rights": [], "error": ""}
        try:
            with self._doors.question(place.target_id, ANSWER_SECONDS) as connector:
                told |= self._said(connector.probe(ANSWER_SECONDS))
            polling.record_probe(self._store, place.target_id, told["version"], told["rights"], fence)
        except (ConnectorError, CannotAnswer) as error:
            told["error"] = self._shown(str(error)) or type(error).__name__
        return {**told, "took_ms": round((time.monotonic() - began) * 1000)}

    def _said(self, found: Probe) -> dict[str, Any]:
        rights = [
            {name: self._shown(value) if isinstance(value, str) else value for name, value in asdict(one).items()}
            for one in found.rights
        ]
        error = "" if found.reachable else self._shown("; ".join(found.notes)) or "it cannot be reached"
        return {"reachable": found.reachable, "version": self._shown(found.version), "rights": rights, "error": error}

    def _tell(self, arguments: dict[str, Any], system: str, found: list[dict[str, Any]]) -> None:
        """Who asked, and what came back, into the audit."""
        said = "; ".join(f"{one['target']}: {one['error'] or one['version'] or 'answers'}" for one in found)
        by, origin = str(arguments["by"]), str(arguments.get("from", ""))
        with self._store.write(arguments["fence"]) as connection:
            now_us = micros(self._clock.now())
            audit.append(connection, now_us, by, origin, "probe", system, {"words": said})

    def _shown(self, text: str) -> str:
        return shown(text, self._secrets.mask)
