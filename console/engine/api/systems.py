"""Requests about systems: probe each target for reachability, version and rights."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from console.domain.ids import micros
from console.domain.request import RequestKind
from console.engine.api.server import ANSWER_SECONDS, RequestFailed, RequestHandler, UnknownName
from console.engine.connector_pool import ConnectorPool, ConnectorTarget
from console.engine.polling.sanitize import map_texts, sanitizer
from console.store import audit
from console.store.db.database import Database
from console.store.ingest import targets
from console.timing.clock import Clock

MAX_PARALLEL = 8
"""Targets of one system that are probed in parallel."""


class ProbeHandlers:
    """Probes of targets. The version and rights of a target are stored as if polled."""

    def __init__(self, store: Database, clock: Clock, connectors: ConnectorPool, secrets: SecretStore) -> None:
        self._store, self._clock, self._connectors, self._shown = store, clock, connectors, sanitizer(secrets)

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {RequestKind.PROBE: self.probe}

    def probe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{"targets": [{"target", "reachable", "version", "rights", "took_ms", "error"}]}, by name."""
        system, target = str(arguments["system"]), str(arguments.get("target") or "")
        places = [place for place in self._connectors.places.values() if place.system.name == system]
        places = [place for place in places if target in ("", place.target)]
        if not places:
            name = f"{system}/{target}" if target else system
            raise UnknownName(f'the running engine polls no "{name}": headway system lists what it does')
        with ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="probe") as pool:
            results = list(pool.map(lambda place: self._probe(place, arguments["fence"]), places))
        results.sort(key=lambda result: str(result["target"]))
        text = "; ".join(
            f"{result['target']}: {result['error'] or result['version'] or 'answers'}" for result in results
        )
        by, origin = str(arguments["by"]), str(arguments.get("from", ""))
        with self._store.write(arguments["fence"]) as session:
            audit.append(session, micros(self._clock.now()), by, origin, RequestKind.PROBE, system, {"text": text})
        return {"targets": results}

    def _probe(self, place: ConnectorTarget, fence: int) -> dict[str, Any]:
        """The result of probing one target; an unreachable one has an error."""
        began = time.monotonic()
        result: dict[str, Any] = {"target": place.name, "reachable": False, "version": "", "rights": [], "error": ""}
        try:
            with self._connectors.for_request(place.target_id, ANSWER_SECONDS) as connector:
                probe = connector.probe(ANSWER_SECONDS)
            version = self._shown(probe.version)
            rights = map_texts([asdict(right) for right in probe.rights], self._shown)
            error = "" if probe.reachable else self._shown("; ".join(probe.notes)) or "unreachable"
            result |= {"reachable": probe.reachable, "version": version, "rights": rights, "error": error}
            seen = targets.TargetProbe(place.target_id, version, rights)
            if targets.is_new_probe(self._store, seen):
                with self._store.write(fence) as session:
                    targets.record_probes(session, [seen])
        except (ConnectorError, RequestFailed) as failure:
            result["error"] = self._shown(str(failure)) or type(failure).__name__
        return {**result, "took_ms": round((time.monotonic() - began) * 1000)}
