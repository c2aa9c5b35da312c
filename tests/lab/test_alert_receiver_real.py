"""Debian's Alertmanager sends an alert about a host: it is shown beside the incident of the host's job until it
ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState
from console.config.sections import EndpointSettings
from console.domain.external_alert import ExternalAlertView
from console.engine.alert_receiver import AlertReceiver
from console.engine.connector_pool import configured_places
from console.engine.endpoints import EndpointWorker
from tests.engine.bench import Bench, estate_config, running_bench
from tests.engine.endpoints.test_endpoints import listening
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import ask, free_port, wait_until
from tests.lab.test_alertmanager_real import running_alertmanager


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as made:
        yield made


def shown(bench: Bench) -> tuple[ExternalAlertView, ...]:
    return bench.reads().incidents.incident(1).external_alerts


def test_an_alert_of_a_host_comes_and_ends(bench: Bench, tmp_path: Path) -> None:
    failed = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    bench.scheduler.attempt("extract", "1", RunState.FAILED, failed - timedelta(minutes=1), ended_at=failed)
    bench.turn()
    [target] = bench.reads().estate.systems()
    places = configured_places(bench.store, bench.config)
    receiver = AlertReceiver(bench.store, bench.parts.clock, places, SecretStore())
    worker = EndpointWorker(
        EndpointSettings(listen=f"127.0.0.1:{free_port()}"), {"/alerts": receiver.endpoint}, SecretStore()
    )
    with listening(worker) as url, running_alertmanager(tmp_path, f"{url}/alerts") as port:
        sent: dict[str, object] = {
            "labels": {"alertname": "DiskFull", "severity": "critical", "instance": f"{target.name}:9100"},
            "annotations": {"summary": "/ has 1 % left"},
            "startsAt": (failed - timedelta(minutes=2)).isoformat(),
        }
        post(port, sent)
        wait_until(lambda: bool(shown(bench)), "the alert stands beside the incident")
        [alert] = shown(bench)
        assert f"fake/{target.name}: DiskFull (critical): / has 1 % left" == alert.text
        assert (failed - timedelta(minutes=2), None) == (alert.started, alert.ended)
        post(port, {**sent, "endsAt": datetime.now(UTC).isoformat()})
        wait_until(lambda: shown(bench)[0].ended is not None, "it ends")
    [alert] = shown(bench)
    assert alert.ended is not None
    assert failed < alert.ended <= datetime.now(UTC)


def post(port: int, alert: dict[str, object]) -> None:
    ask("POST", f"http://127.0.0.1:{port}/api/v2/alerts", json=[alert]).raise_for_status()
