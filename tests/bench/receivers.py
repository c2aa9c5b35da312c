"""What the engine's HTTP endpoints cost: alerts and OpenLineage events that it receives, and reads of its API.

    python -m tests.bench.receivers [--json] [--quick | --smoke]

Webhooks of one and of 50 alerts, and requests of one and of 50 OpenLineage events, each on a connection of its own,
come from eight senders in another process; the engine's endpoint answers once they are in its SQLite store. Beside it:
the same requests to a path that stores nothing. Then pages of 100 jobs are read, of more than are cached; and one page
whose reader has it already. CPU time is that of the endpoint's process. At last a whole engine polls 200 systems, first
alone, then beside 1,000 events or alerts a second, one in a request: how late polls get. The engine has one core, the
senders have another.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.transport.http_server import ServerReply
from console.config.sections import EndpointSettings
from console.engine.alert_receiver import AlertReceiver
from console.engine.connector_pool import configured_places
from console.engine.endpoints import API, Endpoint, EndpointWorker
from console.engine.lineage_receiver import LINEAGE_PATH, LineageReceiver
from console.engine.read_api import CACHED_REPLIES, ReadApi
from console.store.db.database import open_database
from tests.bench.figures import Figure, Scale, emit, parser_of
from tests.bench.polling import QuietWorld, estate, lateness
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.invariants.engines import engine_of, in_thread
from tests.invariants.worlds import Sink
from tests.lab.process import accepts, free_port, private_folder, remove_folder, wait_until

SENDERS, SENDERS_AT_RATE = 8, 32
ALERTS_PATH = "/alerts"
EVENTS_PER_SECOND = 1000
POLLED_SYSTEMS, SMOKE_SYSTEMS = 200, 10
POLL_SECONDS = 2.0
JOBS = 1000
TOKEN_ENV, TOKEN = "HEADWAY_BENCH_TOKEN", "bench-0123456789abcdef"
READER_ENV, READER = "HEADWAY_BENCH_READER", "read-0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
AS_READER = {"Authorization": f"Bearer {READER}"}
PAGES = [f"{API}/jobs?limit=100&offset={25 * page}" for page in range(2 * CACHED_REPLIES)]


@dataclass(frozen=True, slots=True)
class _Sent:
    waits: list[float]
    """Seconds, of each request, in rising order."""
    took: float


def send(requests: list[Request], count: int) -> _Sent:
    """Sends each request in turn, until there were so many; runs in a process of its own."""

    def exchange(number: int) -> float:
        began = time.monotonic()
        try:
            with urlopen(requests[number % len(requests)], timeout=60) as reply:
                reply.read()
        except HTTPError as error:
            if error.code != 304:
                raise
        return time.monotonic() - began

    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as pool:
        waits = sorted(pool.map(exchange, range(count)))
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


def events_of(jobs: Sequence[tuple[str, str]], events: int) -> list[bytes]:
    """Each event with one input and one output, about one of these jobs (system, name)."""
    started = datetime.now(UTC) - timedelta(hours=1)
    return [
        json.dumps(
            [
                {
                    "eventTime": (started + timedelta(seconds=number)).isoformat(),
                    "eventType": "COMPLETE",
                    "producer": "https://example.com/bench",
                    "run": {"runId": f"{number:032x}"},
                    "job": dict(zip(("namespace", "name"), jobs[number % len(jobs)], strict=True)),
                    "inputs": [{"namespace": "file", "name": f"/in/{number % len(jobs)}"}],
                    "outputs": [{"namespace": "file", "name": f"/in/{number % len(jobs) + 1}"}],
                }
                for number in range(body * events, (body + 1) * events)
            ]
        ).encode()
        for body in range(50)
    ]


def measured(scale: Scale) -> Iterator[Figure]:
    yield from _request_figures(scale.of(4000, 800, 8))
    systems = scale.of(POLLED_SYSTEMS, POLLED_SYSTEMS, SMOKE_SYSTEMS)
    yield from _poll_figures(systems, scale.of(60, 15, 2), scale.of(EVENTS_PER_SECOND, EVENTS_PER_SECOND, 20))


def _request_figures(requests: int) -> Iterator[Figure]:
    folder, scheduler = private_folder("receivers"), FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    for number in range(JOBS):
        scheduler.job(f"other{number:04}")
    os.environ |= {TOKEN_ENV: TOKEN, READER_ENV: READER}
    ending, port = threading.Event(), free_port()
    try:
        with running_bench(folder, scheduler, estate_config(folder, scheduler)) as bench:
            bench.turn()
            [target] = bench.reads().estate.systems()
            places = configured_places(bench.store, bench.config)
            receiver = AlertReceiver(bench.store, bench.parts.clock, places, SecretStore())
            nothing = Endpoint(
                frozenset({"GET", "POST"}), lambda bodies, _: [ServerReply.of_text(200, "")] * len(bodies)
            )
            lineage = LineageReceiver(bench.store, bench.parts.clock, SecretStore())
            paths = {ALERTS_PATH: receiver.endpoint, LINEAGE_PATH: lineage.endpoint, "/nothing": nothing}
            reader = {"wiki": SecretRef(env=READER_ENV)}
            settings = EndpointSettings(listen=f"127.0.0.1:{port}", token=SecretRef(env=TOKEN_ENV), readers=reader)
            worker = EndpointWorker(settings, paths, SecretStore(), ReadApi(bench.url).endpoints)
            thread = threading.Thread(target=worker.run, args=(bench.fence, ending.is_set))
            thread.start()
            try:
                wait_until(lambda: accepts(port), "the endpoints listen")
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as sender:
                    url = f"http://127.0.0.1:{port}"
                    for count in (1, 50):
                        alerts = bodies_of(target.name, count)
                        yield from _received_figures(sender, f"{url}{ALERTS_PATH}", alerts, requests, count, "alert")
                        events = events_of([("fake", f"other{number:04}") for number in range(JOBS)], count)
                        yield from _received_figures(sender, f"{url}{LINEAGE_PATH}", events, requests, count, "event")
                    yield from _read_figures(sender, url, requests)
            finally:
                ending.set()
                worker.wake.set()
                thread.join()
    finally:
        remove_folder(folder)


def _measure(sender: ProcessPoolExecutor, requests: list[Request], count: int) -> tuple[_Sent, float]:
    """What the senders measured, and CPU milliseconds of this process for each request."""
    cpu = time.process_time()
    sent = sender.submit(send, requests, count).result()
    return sent, (time.process_time() - cpu) * 1000 / count


def _received_figures(
    sender: ProcessPoolExecutor, url: str, bodies: list[bytes], requests: int, count: int, noun: str
) -> Iterator[Figure]:
    """`count`: alerts or events of one request."""
    of_nothing, received = (
        [Request(urljoin(url, path), body, HEADERS) for body in bodies] for path in ("/nothing", "")
    )
    _measure(sender, of_nothing, 1)
    _, before = _measure(sender, of_nothing, requests)
    sent, cost = _measure(sender, received, requests)
    name, costs = f"of_{count}", [value / count for value in (cost, before)]
    yield Figure(f"{name}_cpu_ms_per_{noun}", costs[0], "ms", "requests that store nothing", costs[1])
    yield Figure(f"{name}_{noun}s_per_s", requests * count / sent.took, f"{noun}s/s, senders included")
    yield Figure(f"{name}_{noun}_wait_p99_ms", _p99_ms(sent), "ms until the answer")


def _read_figures(sender: ProcessPoolExecutor, url: str, requests: int) -> Iterator[Figure]:
    with urlopen(Request(url + PAGES[0], headers=AS_READER)) as reply:
        etag, rows = reply.headers["ETag"], len(json.load(reply))
    assert rows == 100
    _, before = _measure(sender, [Request(f"{url}/nothing", headers=HEADERS)], requests)
    sent, cost = _measure(sender, [Request(url + page, headers=AS_READER) for page in PAGES], requests)
    yield Figure("read_cpu_ms", cost, "ms for a page of 100 jobs", "requests that read nothing", before)
    yield Figure("reads_per_s", requests / sent.took, "pages/s, readers included")
    yield Figure("read_wait_p99_ms", _p99_ms(sent), "ms until the answer")
    known = Request(url + PAGES[0], headers={**AS_READER, "If-None-Match": etag})
    sent, cost = _measure(sender, [known], requests)
    yield Figure("known_cpu_ms", cost, "ms for a page that the reader has", "requests that read nothing", before)
    yield Figure("known_reads_per_s", requests / sent.took, "pages/s, readers included")


def send_at_rate(port: int, path: str, bodies: list[bytes], seconds: float, per_second: int) -> tuple[float, int]:
    """Answered requests a second, and those that were not accepted; runs in a process of its own."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
    began = time.monotonic()

    def is_refused(number: int) -> bool:
        time.sleep(max(0.0, began + number / per_second - time.monotonic()))
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall(requests[number % len(requests)])
            return not connection.recv(4096).startswith(b"HTTP/1.1 200 ")

    count = int(seconds * per_second)
    with ThreadPoolExecutor(SENDERS_AT_RATE) as pool:
        refused = sum(pool.map(is_refused, range(count)))
    return count / (time.monotonic() - began), refused


def _poll_figures(systems: int, seconds: float, per_second: int) -> Iterator[Figure]:
    folder, port = private_folder("receivers"), free_port()
    worlds = [QuietWorld(folder, f"system-{number}") for number in range(systems)]
    settings = EndpointSettings(listen=f"127.0.0.1:{port}", token=SecretRef(env=TOKEN_ENV))
    config = replace(estate(folder, worlds, POLL_SECONDS), endpoints=settings)
    store, cores = open_database(str(folder / "headway.db")), sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    try:
        with in_thread(engine_of(config, store, Sink(folder), lease=60.0)):
            wait_until(lambda: all(len(world.polled) > 1 for world in worlds), "two polls of each system")
            yield from _lateness("alone", worlds, seconds)
            received = {
                "event": (LINEAGE_PATH, events_of([(world.name, "extract") for world in worlds], 1)),
                "alert": (ALERTS_PATH, bodies_of(worlds[0].name, 1)),
            }
            with ProcessPoolExecutor(1, get_context("spawn"), os.sched_setaffinity, (0, {cores[-1]})) as sender:
                for noun, (path, bodies) in received.items():
                    sending = sender.submit(send_at_rate, port, path, bodies, seconds, per_second)
                    cpu = time.process_time()
                    yield from _lateness(f"{noun}s", worlds, seconds)
                    cores_used = (time.process_time() - cpu) / seconds
                    rate, refused = sending.result()
                    assert not refused
                    yield Figure(f"received_{noun}s_per_s", rate, f"{noun}s/s, one in a request")
                    yield Figure(f"received_{noun}s_cores", cores_used, "cores of the engine")
    finally:
        os.sched_setaffinity(0, cores)
        store.close()
        remove_folder(folder)


def _lateness(name: str, worlds: list[QuietWorld], seconds: float) -> Iterator[Figure]:
    began = time.monotonic()
    time.sleep(seconds)
    late = lateness(worlds, began, POLL_SECONDS)
    yield Figure(f"{name}_poll_late_p99_s", late[len(late) * 99 // 100], "s")


def _p99_ms(sent: _Sent) -> float:
    return sent.waits[len(sent.waits) * 99 // 100] * 1000


def main() -> None:
    chosen = parser_of(__doc__ or "").parse_args()
    emit("receivers", measured(chosen.quick), chosen.json)


if __name__ == "__main__":
    main()
