"""The log of a run: what one container of its pods wrote, in pieces. Kubernetes keeps it as long as the pod is there.

The API tells no offsets, but a time for each line: a piece goes on from the time of the last line that was told, and
from how many bytes of the lines since then were told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from connectors import fields
from connectors.characters import from_character, to_character
from connectors.contract import AccessRefused, LogChunk, NotSupported, RecordUnreadable, RunRef
from connectors.kubernetes import names
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.loglines import Line, lines_of, second_after
from connectors.kubernetes.pods import Pod, pods_of

MOST_BYTES = 24 * 1024**2
"""Of one answer; the door takes no larger one."""
LEAST_BYTES = 64 * 1024
LINE_BYTES = 80
NEVER_PLACED = 204
"""How the API server answers for a pod that has no node: with nothing."""
GROWTH = 8
GONE = "its pods are deleted, and Kubernetes keeps no log without them: a log store of the cluster may have it"


@dataclass(frozen=True, slots=True)
class Place:
    """In the log of one container: `told` bytes of the lines since `at` (a time as the API writes it) were told."""

    pod: str
    container: str
    at: str = ""
    told: int = 0

    def text(self) -> str:
        return json.dumps({"pod": self.pod, "container": self.container, "at": self.at, "told": self.told})


def read(client: KubernetesClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says. Of several pods the latest that failed, or the latest."""
    namespace, name, uid = names.referred(run)
    if not uid:
        raise NotSupported(f"{run.job} {run.period_key} has no Job in Kubernetes, and so no log")
    reply = client.pods([name], namespace)
    if reply.status != 200:
        raise AccessRefused(f"{reply.place} is a refusal: {reply.said}. Right: list pods (headway grants kubernetes)")
    pods = pods_of(fields.rows(reply.table().get("items"))).get(uid, [])
    place = _place(start) if start is not None else None
    if place is not None:
        is_alive = any(one.name == place.pod and one.is_alive for one in pods)
        return _on(client, namespace, place, limit_bytes, is_alive)
    if not pods:
        raise NotSupported(f"Job {namespace}/{name}: {GONE}")
    red = [one for one in pods if one.phase == "Failed" or one.exit_code not in (0, None)]
    return _tail(client, namespace, (red or pods)[-1], len(pods), limit_bytes)


def _place(start: str) -> Place:
    try:
        row = fields.table(json.loads(start))
        told = max(fields.number(row, "told", 0), 0)
        return Place(fields.text(row, "pod"), fields.words(row, "container"), fields.words(row, "at"), told)
    except (ValueError, RecursionError, RecordUnreadable):
        raise NotSupported(f"this place in a log is none of Kubernetes: {start[:80]!r}") from None


def _asked(client: KubernetesClient, namespace: str, place: Place, **more: Any) -> bytes | str:
    """What the container wrote, each line behind its time; words where there is none (yet)."""
    container = {"container": place.container} if place.container else {}
    reply = client.log(namespace, place.pod, {**container, "timestamps": "true", **more})
    if reply.status == NEVER_PLACED:
        return "it was never put on a node"
    return reply.body if reply.status == 200 else reply.said or "no log"


def _tail(client: KubernetesClient, namespace: str, pod: Pod, count: int, limit_bytes: int) -> LogChunk:
    place = Place(pod.name, pod.container)
    want, most = max(10, limit_bytes // LINE_BYTES), min(MOST_BYTES, max(4 * limit_bytes, LEAST_BYTES))
    while True:
        body = _asked(client, namespace, place, tailLines=want, limitBytes=most)
        if isinstance(body, str):
            if not pod.is_alive:
                raise NotSupported(f"pod {namespace}/{pod.name} has no log: {body}")
            return LogChunk("", place.text())
        if len(body) < most or want == 1:
            break
        want = max(1, want // GROWTH)
    lines = lines_of(body)
    head = f"== pod {pod.name}, container {pod.container}" + (f" ({count} pods)" if count > 1 else "") + "\n"
    whole = head.encode() + b"".join(one.data for one in lines)
    piece = from_character(whole[max(0, len(whole) - limit_bytes) :])
    cut = len(whole) > limit_bytes or len(lines) >= want or len(body) >= most
    return LogChunk(
        piece.decode("utf-8", "surrogateescape"), _after(place, lines).text() if pod.is_alive else None, cut=cut
    )


def _after(place: Place, lines: list[Line]) -> Place:
    """Behind the last of these lines."""
    if not lines:
        return place
    at = lines[-1].at
    return Place(place.pod, place.container, at, sum(len(one.data) for one in lines if one.at == at))


def _on(client: KubernetesClient, namespace: str, place: Place, limit_bytes: int, is_alive: bool) -> LogChunk:
    most = min(MOST_BYTES, max(4 * limit_bytes, LEAST_BYTES))
    since = {"sinceTime": place.at[:19] + "Z"} if place.at else {}
    while True:
        body = _asked(client, namespace, place, limitBytes=most, **since)
        if isinstance(body, str):
            return LogChunk("", place.text() if is_alive else None)
        lines = [one for one in lines_of(body) if one.at >= place.at]
        is_whole = len(body) < most
        fresh = b"".join(one.data for one in lines)[place.told :]
        if fresh or is_whole or most >= MOST_BYTES:
            break
        most = min(MOST_BYTES, most * GROWTH)
    if not fresh and not is_whole:  # more within one second than is ever asked for: the rest of it is left out
        return LogChunk("", Place(place.pod, place.container, second_after(place.at)).text(), more=True, cut=True)
    cut = fresh[:limit_bytes]
    piece = cut if len(fresh) <= limit_bytes else to_character(cut) or cut
    more = len(piece) < len(fresh) or not is_whole
    following = _moved(place, lines, place.told + len(piece))
    return LogChunk(piece.decode("utf-8", "surrogateescape"), following.text() if more or is_alive else None, more=more)


def _moved(place: Place, lines: list[Line], told: int) -> Place:
    """Behind `told` bytes of these lines, told from the first line of the same time."""
    at, left, seen = place.at, told, 0
    for one in lines:
        if one.at != at:
            if left <= seen:
                break
            left, seen, at = left - seen, 0, one.at
        seen += len(one.data)
    return Place(place.pod, place.container, at, left)
