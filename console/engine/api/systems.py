"""Requests about systems, to probe each target for reachability, version and rights, and about policies."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from connectors.sdk.errors import ConnectorError
from console.domain.ids import micros
from console.engine.api.requests import CloseBreaker, PausePolicy, ProbeSystem, ResumePolicy
from console.engine.api.server import ANSWER_SECONDS, AnsweringEngine, Caller, Handlers, RequestFailed, UnknownName
from console.engine.connector_pool import ConnectorTarget
from console.engine.polling.sanitize import map_texts, sanitizer
from console.store import audit, policies
from console.store.errors import NotFound
from console.store.ingest import targets

MAX_PARALLEL = 8
"""Targets of one system that are probed in parallel."""


def probe_system(engine: AnsweringEngine, request: ProbeSystem, caller: Caller) -> dict[str, Any]:
    """{"targets": [{"target", "reachable", "version", "rights", "took_ms", "error"}]}, by name. The version and rights
    of a target are stored as if polled."""
    system, target = request.system, request.target
    places = [place for place in engine.connectors.places.values() if place.system.name == system]
    places = [place for place in places if target in ("", place.target)]
    if not places:
        name = f"{system}/{target}" if target else system
        raise UnknownName(f'the running engine polls no "{name}": headway system lists what it does')
    with ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="probe") as pool:
        results = list(pool.map(lambda place: _probe(engine, place, caller.fence), places))
    results.sort(key=lambda result: str(result["target"]))
    text = "; ".join(f"{result['target']}: {result['error'] or result['version'] or 'answers'}" for result in results)
    with engine.store.write(caller.fence) as session:
        now_us = micros(engine.clock.now())
        audit.append(session, now_us, caller.by, caller.origin, request.kind, system, {"text": text})
    return {"targets": results}


def _probe(engine: AnsweringEngine, place: ConnectorTarget, fence: int) -> dict[str, Any]:
    """The result of probing one target; an unreachable one has an error."""
    began, shown = time.monotonic(), sanitizer(engine.secrets)
    result: dict[str, Any] = {"target": place.name, "reachable": False, "version": "", "rights": [], "error": ""}
    try:
        with engine.connectors.for_request(place.target_id, ANSWER_SECONDS) as connector:
            probe = connector.probe(ANSWER_SECONDS)
        version = shown(probe.version)
        rights = map_texts([asdict(right) for right in probe.rights], shown)
        error = "" if probe.reachable else shown("; ".join(probe.notes)) or "unreachable"
        result |= {"reachable": probe.reachable, "version": version, "rights": rights, "error": error}
        seen = targets.TargetProbe(place.target_id, version, rights)
        if targets.is_new_probe(engine.store, seen):
            with engine.store.write(fence) as session:
                targets.record_probes(session, [seen])
    except (ConnectorError, RequestFailed) as failure:
        result["error"] = shown(str(failure)) or type(failure).__name__
    return {**result, "took_ms": round((time.monotonic() - began) * 1000)}


def switch_policy(engine: AnsweringEngine, request: PausePolicy, caller: Caller) -> dict[str, Any]:
    """{"changed": False} if it was so already."""
    names = [policy.name for policy in engine.config.declared.policies]
    if request.policy not in names:
        raise NotFound(request.policy, tuple(get_close_matches(request.policy, names, n=1)), "headway policy list")
    with engine.store.write(caller.fence) as session:
        changed = policies.switch_policy(session, request.policy, request.kind, engine.change(caller, request.why))
    engine.finish("")
    return {"changed": changed}


HANDLERS: Handlers = {
    ProbeSystem: probe_system,
    **dict.fromkeys((PausePolicy, ResumePolicy, CloseBreaker), switch_policy),
}
