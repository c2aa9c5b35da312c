"""The engine's own HTTP endpoints: who gets an answer, and what a metric says."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from unittest import mock

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from connectors.sdk.transport.http_server import ServerReply
from console.config.sections import EndpointSettings
from console.engine import endpoints as module
from console.engine.endpoints import ApiRequest, Endpoint, EndpointWorker
from console.engine.metrics import MetricsEndpoint
from console.store.errors import StoreUnusable
from tests.engine.bench import Bench
from tests.lab.process import HANGS_SECONDS, accepts, free_port, wait_until

TOKEN = "canary-0123456789abcdef"


@contextmanager
def listening(worker: EndpointWorker, fence: int = 1) -> Iterator[str]:
    """The worker on its thread, which ends at once; its base URL."""
    ended = threading.Event()
    thread = threading.Thread(target=worker.run, args=(fence, ended.is_set))
    port = int(worker._settings.listen.rpartition(":")[2])
    with mock.patch.object(module, "CHECK_SECONDS", 0.02):
        thread.start()
        try:
            wait_until(lambda: accepts(port), "the endpoints listen")
            yield f"http://127.0.0.1:{port}"
        finally:
            ended.set()
            worker.wake.set()
            thread.join(HANGS_SECONDS)


def worker_of(bench: Bench, reason: str = "", token: bool = False) -> EndpointWorker:
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="TOKEN") if token else None)
    paths = {"/metrics": MetricsEndpoint(bench.url, lambda: reason).endpoint}
    return EndpointWorker(settings, paths, SecretStore())


def value(text: str, series: str) -> float:
    [result] = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(result)


def test_metrics_say_what_services_incidents_and_targets_are_like(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=5))
    bench.turn()
    with listening(worker_of(bench)) as url:
        text = httpx.get(f"{url}/metrics").text
    [service] = bench.reads().services.list_services()
    assert 1 == value(text, f'headway_services{{timeliness="{service.timeliness}"}}')
    assert 1 == sum(map(float, re.findall(r"^headway_services\{.*\} (\S+)$", text, re.MULTILINE)))
    assert 1 == value(text, 'headway_incidents{acknowledged="no"}')
    assert 0 == value(text, 'headway_incidents{acknowledged="yes"}')
    [target] = bench.reads().estate.systems()
    labels = f'{{system="fake",target="{target.name}"}}'
    assert 1 == value(text, f"headway_target_up{labels}")
    assert 0 <= value(text, f"headway_target_poll_age_seconds{labels}") < 600
    assert 2 == value(text, "headway_jobs")
    assert 1 == value(text, "headway_engine_healthy")
    assert value(text, f'headway_service_deadline_seconds{{service="{service.name}",tier="{service.tier}"}}') > 0
    assert "extract" not in text


def test_jobs_have_series_only_by_a_filter_and_up_to_a_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.scheduler.attempt("extract", "1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=5))
    bench.turn()

    def jobs(text: str) -> dict[str, dict[str, float]]:
        families = {family.name: family.samples for family in MetricsEndpoint(bench.url, lambda: "", text).collect()}
        names = ("headway_job_needs_repair", "headway_job_series_left_out")
        return {
            name: {sample.labels.get("job", ""): sample.value for sample in families[name]}
            for name in names
            if name in families
        }

    assert {} == jobs("")
    needs_repair, left_out = jobs("system:fake").values()
    assert ({"": 0}, 1, 0) == (left_out, needs_repair.pop("fake/extract"), sum(needs_repair.values()))
    assert (1, {"fake/extract": 1}) == (len(needs_repair), jobs("extract")["headway_job_needs_repair"])
    monkeypatch.setattr("console.engine.metrics.MAX_JOBS", 1)
    assert [{"fake/extract": 1}, {"": 1}] == list(jobs("system:fake").values())
    with pytest.raises(ValidationError, match='no field "stat:"'):
        EndpointSettings(job_metrics="stat:failed")


def test_metrics_say_that_the_engine_is_unhealthy(bench: Bench) -> None:
    with listening(worker_of(bench, "outbox does not respond")) as url:
        assert 0 == value(httpx.get(f"{url}/metrics").text, "headway_engine_healthy")


def test_a_request_is_refused_by_its_head(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    with listening(worker_of(bench, token=True)) as url:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert 200 == httpx.get(f"{url}/metrics?x=1", headers=bearer).status_code
        assert "" == httpx.head(f"{url}/metrics", headers=bearer).text
        absent, wrong = (
            httpx.get(f"{url}/metrics", headers=headers) for headers in ({}, {"Authorization": "Bearer x"})
        )
        assert (401, 401) == (absent.status_code, wrong.status_code)
        assert absent.text.startswith("the request has no token. Fix: send Authorization: Bearer TOKEN")
        assert wrong.text.startswith("the token is unknown. Fix: ")
        assert absent.text == httpx.get(f"{url}/metrics", headers={"Authorization": "Bearer"}).text
        assert 401 == httpx.get(f"{url}/metrics", headers={"Authorization": f"Basic {TOKEN}"}).status_code
        missing = httpx.get(f"{url}/metric", headers=bearer)
        assert (404, "no such path. Fix: use /metrics\n") == (missing.status_code, missing.text)
        assert 405 == httpx.post(f"{url}/metrics", headers=bearer).status_code
        long = httpx.get(f"{url}/metrics", headers=bearer | {"X": "y" * 40_000})
        assert (431, "request line and headers are too long. Fix: ") == (long.status_code, long.text[:44])
        statuses = {httpx.get(f"{url}/metrics").status_code for _ in range(2 * module.REFUSED_PER_MINUTE)}
        assert 429 in statuses
        assert 200 == httpx.get(f"{url}/metrics", headers=bearer).status_code


@pytest.mark.parametrize(
    "headers, error",
    [
        ({"Origin": "http://evil.example"}, "the request comes from a web page of http://evil.example"),
        (
            {"Origin": "http://evil.example", "Host": "127.0.0.1"},
            "the request comes from a web page of http://evil.example",
        ),
        ({"Origin": "http://[evil"}, "the request comes from a web page of http://[evil"),
        ({"Origin": "null"}, "the request comes from a web page of null"),
        ({"Host": "evil.example"}, '"evil.example" is not a name of this machine'),
        ({"Host": "evil.example:80", "Origin": "http://evil.example:80"}, '"evil.example:80" is not a name of this'),
        ({"Host": "[evil"}, '"[evil" is not a name of this machine'),
        ({"Host": "localhost:9465"}, ""),
        ({"Host": "[::1]:9465", "Origin": "http://[::1]:9465"}, ""),
        ({"Host": "ops.example.org"}, ""),
    ],
)
def test_web_pages_of_other_hosts_are_refused(bench: Bench, headers: dict[str, str], error: str) -> None:
    """A browser sends a POST of text without asking; a name that resolves to this machine makes a page "own"."""
    received = list[bytes]()

    def answer(bodies: Sequence[bytes], fence: int) -> list[ServerReply]:
        received.extend(bodies)
        return [ServerReply(200, b"")] * len(bodies)

    worker = worker_of(bench)
    worker._settings = worker._settings.model_copy(update={"public_url": "https://ops.example.org/headway"})
    worker._endpoints = {"/alerts": Endpoint(frozenset({"POST"}), answer)}
    with listening(worker) as url:
        reply = httpx.post(f"{url}/alerts", content=b"{}", headers=headers | {"Content-Type": "text/plain"})
    assert ((200, [b"{}"]) if not error else (403, [])) == (reply.status_code, received)
    assert reply.text.startswith(error)
    assert not error or ". Fix: " in reply.text


def test_with_a_token_any_host_name_reaches_the_endpoints_but_no_page_of_another_host(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "proxy.example"}
    with listening(worker_of(bench, token=True)) as url:
        assert 200 == httpx.get(f"{url}/metrics", headers=headers).status_code
        assert 403 == httpx.get(f"{url}/metrics", headers=headers | {"Origin": "https://evil.example"}).status_code
        assert 401 == httpx.get(f"{url}/metrics", headers={"Host": "evil.example"}).status_code


def test_a_missing_or_short_token_is_a_problem_and_nobody_gets_access(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    monkeypatch.setenv("TOKEN", "brief-0")
    worker = worker_of(bench, token=True)
    ended = threading.Event()
    thread = threading.Thread(target=worker.run, args=(1, ended.is_set))
    thread.start()
    try:
        wait_until(lambda: "shorter than 16 characters" in worker.trouble, "the trouble")
        monkeypatch.setenv("TOKEN", TOKEN)
        wait_until(lambda: not worker.trouble, "the trouble ends")
    finally:
        ended.set()
        thread.join(HANGS_SECONDS)


def test_an_address_in_use_is_a_trouble_until_it_is_free(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    worker = worker_of(bench)
    ended = threading.Event()
    thread = threading.Thread(target=worker.run, args=(1, ended.is_set))
    with socket.create_server(("127.0.0.1", int(worker._settings.listen.rpartition(":")[2]))):
        thread.start()
        wait_until(lambda: "in use" in worker.trouble, "the trouble")
    wait_until(lambda: not worker.trouble, "the trouble ends")
    ended.set()
    thread.join(HANGS_SECONDS)


def failing(error: Exception) -> Endpoint:
    def answer(bodies: object, fence: int) -> list[ServerReply]:
        raise error

    return Endpoint(frozenset({"GET"}), answer)


def test_a_store_that_fails_is_503_and_a_surprise_500_without_its_text(bench: Bench) -> None:
    worker = worker_of(bench)
    worker._endpoints = {"/busy": failing(StoreUnusable("disk")), "/broken": failing(ValueError(TOKEN))}
    with listening(worker) as url:
        busy = httpx.get(f"{url}/busy")
        assert (503, "10") == (busy.status_code, busy.headers["Retry-After"])
        broken = httpx.get(f"{url}/broken")
        assert 500 == broken.status_code
        assert TOKEN not in broken.text


def test_a_body_that_fails_is_answered_alone(bench: Bench) -> None:
    def answer(bodies: Sequence[bytes], fence: int) -> list[ServerReply]:
        if b"bad" in bodies:
            raise ValueError
        return [ServerReply(200, body) for body in bodies]

    worker, endpoint = worker_of(bench), Endpoint(frozenset({"POST"}), answer)
    admitted = [
        (module._Admitted(endpoint, ApiRequest("/x", "", "", "")), body) for body in (b"first", b"bad", b"last")
    ]
    replies = [reply for reply in worker._answer(admitted, 1) if isinstance(reply, ServerReply)]
    assert [200, 500, 200] == [reply.status for reply in replies]


def test_a_large_reply_reaches_a_client_that_reads_slowly(bench: Bench) -> None:
    big = b"x" * 20_000_000
    worker = worker_of(bench)
    worker._endpoints = {"/big": Endpoint(frozenset({"GET"}), lambda bodies, _: [ServerReply(200, big)] * len(bodies))}
    with listening(worker) as url, httpx.stream("GET", f"{url}/big") as reply:
        assert 200 == httpx.get(f"{url}/big", timeout=HANGS_SECONDS).status_code  # while the first one waits
        assert len(big) == len(reply.read())


def test_an_address_that_others_reach_needs_plain_http_and_a_token() -> None:
    assert ("127.0.0.1:9465", None) == (EndpointSettings().listen, EndpointSettings().token)
    with pytest.raises(ValidationError, match="proxy with TLS"):
        EndpointSettings(listen="0.0.0.0:9465", token=SecretRef(env="TOKEN"))
    with pytest.raises(ValidationError, match=r"listen: others reach 0\.0\.0\.0:9465\. Fix: add token"):
        EndpointSettings(listen="0.0.0.0:9465", plain_http=True)
    with pytest.raises(ValidationError, match="not an address"):
        EndpointSettings(listen="9465")
    assert EndpointSettings(listen="0.0.0.0:9465", plain_http=True, token=SecretRef(env="TOKEN")).token


def test_without_the_section_the_engine_listens_nowhere(bench: Bench, tmp_path: Path) -> None:
    assert bench.parts.endpoints is None
    bench.config = replace(bench.config, endpoints=EndpointSettings(listen=f"127.0.0.1:{free_port()}"))
    bench.restart()
    assert "endpoints" in dict(bench.parts.running())


@given(st.lists(st.integers(0, 12)))
def test_bodies_are_answered_in_order_in_batches_of_limited_size(sizes: list[int]) -> None:
    bodies = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_BODY_BYTES", 12)
        batches = list(module._batches(bodies))
    assert bodies == [body for batch in batches for body in batch]
    assert all(sum(map(len, batch)) <= 12 for batch in batches)
    assert all(sum(map(len, batch)) + len(following[0]) > 12 for batch, following in pairwise(batches))
