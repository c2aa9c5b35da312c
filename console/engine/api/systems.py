"""Requests about systems: probe each target for reachability, version and rights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from connectors.sdk.contract import Probe
from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.domain.ids import micros
from console.engine.api.server import ANSWER_SECONDS, RequestFailed, UnknownName
from console.engine.connector_pool import ConnectorPool, ConnectorTarget
from console.engine.polling.sanitize import sanitize_text
from console.store import audit
from console.store.db.database import Database
from console.store.ingest import targets
from console.timing.clock import Clock

MAX_PARALLEL = 8
"""Targets of one system that are probed in parallel."""


class ProbeHandlers:
    """Answers "probe". The version and rights of a target are stored as if polled."""

    def __init__(self, store: Database, clock: Clock, doors: ConnectorPool, secrets: SecretStore) -> None:
        self._store, self._clock, self._doors, self._secrets = store, clock, doors, secrets

    def by_kind(self) -> Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {"probe": self.probe}

    def probe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{"targets": [{"target", "reachable", "version", "rights", "took_ms", "error"}]}, by name."""
        system, target = str(arguments["system"]), str(arguments.get("target") or "")
        places = [place for place in self._doors.places.values() if place.system.name == system]
        places = [place for place in places if target in ("", place.target)]
        if not places:
            name = f"{system}/{target}" if target else system
            raise UnknownName(f'the running engine polls no "{name}": headway system lists what it does')
        with ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="probe") as pool:
            found = list(pool.map(lambda place: self._look(place, arguments["fence"]), places))
        found.sort(key=lambda one: str(one["target"]))
        self._tell(arguments, system, found)
        return {"targets": found}

    def _look(self, place: ConnectorTarget, fence: int) -> dict[str, Any]:
        """The result of probing one target; an unreachable one has an error."""
        began = time.monotonic()
        told: dict[str, Any] = {"target": place.name, "reachable": False, "version": "", "rights": [], "error": ""}
        try:
            with self._doors.question(place.target_id, ANSWER_SECONDS) as connector:
                told |= self._said(connector.probe(ANSWER_SECONDS))
            targets.record_probe(self._store, place.target_id, told["version"], told["rights"], fence)
        except (ConnectorError, RequestFailed) as error:
            told["error"] = self._shown(str(error)) or type(error).__name__
        return {**told, "took_ms": round((time.monotonic() - began) * 1000)}

    def _said(self, found: Probe) -> dict[str, Any]:
        rights = [
            {name: self._shown(value) if isinstance(value, str) else value for name, value in asdict(right).items()}
            for right in found.rights
        ]
        error = "" if found.reachable else self._shown("; ".join(found.notes)) or "unreachable"
        return {"reachable": found.reachable, "version": self._shown(found.version), "rights": rights, "error": error}

    def _tell(self, arguments: dict[str, Any], system: str, found: list[dict[str, Any]]) -> None:
        """Records the probe and its results in the audit."""
        said = "; ".join(f"{one['target']}: {one['error'] or one['version'] or 'answers'}" for one in found)
        by, origin = str(arguments["by"]), str(arguments.get("from", ""))
        with self._store.write(arguments["fence"]) as session:
            now_us = micros(self._clock.now())
            audit.append(session, now_us, by, origin, "probe", system, {"words": said})

    def _shown(self, text: str) -> str:
        return sanitize_text(text, self._secrets.mask)
