"""What it costs to receive alerts of other monitors, and how long their senders wait.

    python -m tests.bench.receivers [--json] [--quick | --smoke]

Webhooks of one and of 50 alerts, each on a connection of its own, come from eight senders in another process; the
engine's endpoint answers once an alert is in its SQLite store. Beside it: the same requests to a path that stores
nothing. CPU time is that of the endpoint's process.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from urllib.request import urlopen

from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.http_server import ServerReply
from console.config.sections import EndpointSettings
from console.engine.alert_receiver import AlertReceiver
from console.engine.connector_pool import configured_places
from console.engine.endpoints import Endpoint, EndpointWorker
from tests.bench.figures import Figure, emit, parser_of
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import accepts, free_port, private_folder, remove_folder, wait_until

SENDERS = 8


@dataclass(frozen=True, slots=True)
class _Sent:
    waits: list[float]
    """Seconds, of each request, in rising order."""
    took: float


def send(url: str, requests: int, bodies: list[bytes]) -> _Sent:
    """Sends each body in turn, until there were so many requests; runs in a process of its own."""

    def post(number: int) -> float:
        began = time.monotonic()
        with urlopen(url, bodies[number % len(bodies)], 60) as reply:
            reply.read()
        return time.monotonic() - began

    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as pool:
        waits = sorted(pool.map(post, range(requests)))
    return _Sent(waits, time.monotonic() - began)


def bodies_of(target: str, alerts: int) -> list[bytes]:
    started = datetime.now(UTC) - timedelta(hours=1)
    return [
        json.dumps(
            {
                "version": "4",
                "alerts": [
                    {
                        "status": "firing",
                        "labels": {"alertname": "DiskFull", "severity": "critical", "instance": f"{target}:9100"},
                        "annotations": {"summary": "/ has 1 % left"},
                        "startsAt": (started + timedelta(seconds=body * alerts + number)).isoformat(),
                        "endsAt": "0001-01-01T00:00:00Z",
                        "fingerprint": f"{body * alerts + number:016x}",
                    }
                    for number in range(alerts)
                ],
            }
        ).encode()
        for body in range(50)
    ]


def measured(requests: int) -> Iterator[Figure]:
    folder, scheduler = private_folder("receivers"), FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    ending, port = threading.Event(), free_port()
    try:
        with running_bench(folder, scheduler, estate_config(folder, scheduler)) as bench:
            [target] = bench.reads().estate.systems()
            receiver = AlertReceiver(bench.store, bench.parts.clock, configured_places(bench.store, bench.config))
            nothing = Endpoint(frozenset({"POST"}), lambda bodies, _: [ServerReply.of_text(200, "")] * len(bodies))
            paths = {"/alerts": receiver.endpoint, "/nothing": nothing}
            settings = EndpointSettings(listen=f"127.0.0.1:{port}")
            worker = EndpointWorker(settings, paths, SecretStore())
            thread = threading.Thread(target=worker.run, args=(bench.fence, ending.is_set))
            thread.start()
            try:
                wait_until(lambda: accepts(port), "the endpoints listen")
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as sender:
                    for alerts in (1, 50):
                        yield from _figures(sender, f"http://127.0.0.1:{port}", requests, alerts, target.name)
            finally:
                ending.set()
                worker.wake.set()
                thread.join()
    finally:
        remove_folder(folder)


def _figures(sender: ProcessPoolExecutor, url: str, requests: int, alerts: int, target: str) -> Iterator[Figure]:
    costs = dict[str, float]()
    bodies = bodies_of(target, alerts)
    sender.submit(send, f"{url}/nothing", 1, bodies).result()
    for path in ("nothing", "alerts"):
        cpu = time.process_time()
        sent = sender.submit(send, f"{url}/{path}", requests, bodies).result()
        costs[path] = (time.process_time() - cpu) * 1000 / (requests * alerts)
    name = f"of_{alerts}"
    yield Figure(f"{name}_cpu_ms_per_alert", costs["alerts"], "ms", "requests that store nothing", costs["nothing"])
    yield Figure(f"{name}_alerts_per_s", requests * alerts / sent.took, "alerts/s, senders included")
    yield Figure(f"{name}_wait_p99_ms", sent.waits[len(sent.waits) * 99 // 100] * 1000, "ms until the answer")


def main() -> None:
    chosen = parser_of(__doc__ or "").parse_args()
    emit("receivers", measured(chosen.quick.of(4000, 800, 40)), chosen.json)


if __name__ == "__main__":
    main()
