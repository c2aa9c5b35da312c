"""The log of a run: the output of one container of its pods, in chunks. Kubernetes keeps it as long as the pod exists.

The API has no offsets, but a time for each line: a chunk continues at the time of the last returned line, after as
many bytes of the lines since then as were returned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import NonNegativeInt

from connectors.kubernetes import parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.parse import KubernetesPod, pods_by_job
from connectors.sdk import fields
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.fields import as_json
from connectors.sdk.log_chunks import from_character, log_position, to_character
from connectors.sdk.records import LogChunk, RunRef

MAX_BYTES = 24 * 1024**2
"""Bytes of one reply; the endpoint accepts no larger one."""
MIN_BYTES = 64 * 1024
LINE_BYTES = 80
UNSCHEDULED_STATUS = 204
"""How the API server answers for a pod that has no node: with nothing."""
GROWTH_FACTOR = 8
PODS_DELETED = "its pods are deleted, and Kubernetes keeps no log without them: a log store of the cluster may have it"


@dataclass(frozen=True, slots=True)
class KubernetesLogPosition:
    """`shown_bytes` bytes of the lines since `at` (a time of the API) were returned."""

    pod: str
    container: str
    at: str = ""
    shown_bytes: NonNegativeInt = 0


def read_log(client: KubernetesClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says. Of several pods, the latest that failed, else the latest."""
    namespace, name, uid = parse.parse_reference(run)
    if not uid:
        raise NotSupported(f"{run.job} {run.period_key} has no Job in Kubernetes, and so no log")
    reply = client.pods([name], namespace)
    if reply.status != 200:
        raise AccessRefused(
            f"{reply.place} is a refusal: {reply.error}. Right: list pods (headway connector grants kubernetes)"
        )
    pods = pods_by_job(fields.rows(reply.table().get("items"))).get(uid, [])
    if start is not None:
        place = log_position(KubernetesLogPosition, start)
        is_alive = any(pod.name == place.pod and pod.is_alive for pod in pods)
        return _read_on(client, namespace, place, limit_bytes, is_alive)
    if not pods:
        raise NotSupported(f"Job {namespace}/{name}: {PODS_DELETED}")
    red = [pod for pod in pods if pod.phase == "Failed" or pod.exit_code not in (0, None)]
    return _read_tail(client, namespace, (red or pods)[-1], len(pods), limit_bytes)


def _read_container(
    client: KubernetesClient, namespace: str, place: KubernetesLogPosition, **parameters: Any
) -> bytes | str:
    """Output of the container, each line with its time; a message without output (yet)."""
    container = {"container": place.container} if place.container else {}
    reply = client.log(namespace, place.pod, {**container, "timestamps": "true", **parameters})
    if reply.status == UNSCHEDULED_STATUS:
        return "it was never put on a node"
    return reply.body if reply.status == 200 else reply.error or "no log"


def _read_tail(client: KubernetesClient, namespace: str, pod: KubernetesPod, count: int, limit_bytes: int) -> LogChunk:
    place = KubernetesLogPosition(pod.name, pod.container)
    line_count, max_bytes = max(10, limit_bytes // LINE_BYTES), min(MAX_BYTES, max(4 * limit_bytes, MIN_BYTES))
    while True:
        body = _read_container(client, namespace, place, tailLines=line_count, limitBytes=max_bytes)
        if isinstance(body, str):
            if not pod.is_alive:
                raise NotSupported(f"pod {namespace}/{pod.name} has no log: {body}")
            return LogChunk("", as_json(place))
        if len(body) < max_bytes or line_count == 1:
            break
        line_count = max(1, line_count // GROWTH_FACTOR)
    lines = parse_lines(body)
    head = f"== pod {pod.name}, container {pod.container}" + (f" ({count} pods)" if count > 1 else "") + "\n"
    whole = head.encode() + b"".join(line.data for line in lines)
    piece = from_character(whole[max(0, len(whole) - limit_bytes) :])
    cut = len(whole) > limit_bytes or len(lines) >= line_count or len(body) >= max_bytes
    at = lines[-1].at if lines else ""
    following = replace(place, at=at, shown_bytes=sum(len(line.data) for line in lines if line.at == at))
    return LogChunk(piece.decode("utf-8", "surrogateescape"), as_json(following) if pod.is_alive else None, cut=cut)


def _read_on(
    client: KubernetesClient, namespace: str, place: KubernetesLogPosition, limit_bytes: int, is_alive: bool
) -> LogChunk:
    max_bytes = min(MAX_BYTES, max(4 * limit_bytes, MIN_BYTES))
    since = {"sinceTime": place.at[:19] + "Z"} if place.at else {}
    while True:
        body = _read_container(client, namespace, place, limitBytes=max_bytes, **since)
        if isinstance(body, str):
            return LogChunk("", as_json(place) if is_alive else None)
        lines = [line for line in parse_lines(body) if line.at >= place.at]
        is_whole = len(body) < max_bytes
        fresh = b"".join(line.data for line in lines)[place.shown_bytes :]
        if fresh or is_whole or max_bytes >= MAX_BYTES:
            break
        max_bytes = min(MAX_BYTES, max_bytes * GROWTH_FACTOR)
    if not fresh and not is_whole:  # more lines within one second than a reply holds: the rest is skipped
        second = datetime.fromisoformat(f"{place.at[:19]}+00:00") if place.at else datetime(1970, 1, 1, tzinfo=UTC)
        at = f"{second + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.000000000Z"
        return LogChunk("", as_json(KubernetesLogPosition(place.pod, place.container, at)), more=True, cut=True)
    cut = fresh[:limit_bytes]
    piece = cut if len(fresh) <= limit_bytes else to_character(cut) or cut
    has_more = len(piece) < len(fresh) or not is_whole
    at, remaining, counted = place.at, place.shown_bytes + len(piece), 0
    for line in lines:  # the position counts from the first line of the same time
        if line.at != at:
            if remaining <= counted:
                break
            remaining, counted, at = remaining - counted, 0, line.at
        counted += len(line.data)
    following = as_json(replace(place, at=at, shown_bytes=remaining)) if has_more or is_alive else None
    return LogChunk(piece.decode("utf-8", "surrogateescape"), following, more=has_more)


LINE_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ")


@dataclass(frozen=True, slots=True)
class ContainerLine:
    """One line with its end; `at` is its time with nine digits, so that texts sort as times do."""

    at: str
    data: bytes


def parse_lines(body: bytes) -> list[ContainerLine]:
    """The lines of a reply. A part without a time (the rest of a cut line) belongs to the line before it."""
    lines: list[ContainerLine] = []
    for raw in body.splitlines(keepends=True):
        stamp = LINE_TIME.match(raw)
        if stamp is not None:
            at = f"{stamp[1].decode()}.{(stamp[2] or b'').decode():0<9}Z"
            lines.append(ContainerLine(at, raw[stamp.end() :]))
        else:
            lines.append(ContainerLine(lines[-1].at if lines else "", raw))
    return lines
