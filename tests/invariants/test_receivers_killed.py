"""kill -9 while other tools send: whatever a receiver of the engine has answered with success is in the store."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pytest

from connectors.sdk.secrets import SecretRef
from console.config.sections import Config, EndpointSettings
from console.engine.lineage_receiver import LINEAGE_PATH
from console.store.queries import open_queries
from tests.invariants import engines
from tests.invariants.engines import child, store_of
from tests.invariants.worlds import World, config_of
from tests.lab.process import accepts, free_port, wait_until

TOKEN_ENV, TOKEN = "HEADWAY_TEST_TOKEN", "test-0123456789abcdef"
KILLS = 3
SENDERS = 4
ENOUGH = 40
"""Answers before an engine is killed."""


def config_with_endpoints(port: int, folder: Path, *worlds: World) -> Config:
    endpoints = EndpointSettings(listen=f"127.0.0.1:{port}", token=SecretRef(env=TOKEN_ENV))
    return replace(config_of(folder, *worlds), endpoints=endpoints)


def listen(port: int) -> None:
    """In the process of an engine, before it starts."""
    os.environ[TOKEN_ENV] = TOKEN
    patch.object(engines, "config_of", partial(config_with_endpoints, port)).start()


def event(name: str) -> tuple[str, bytes]:
    body = {
        "eventTime": datetime.now(UTC).isoformat(), "eventType": "COMPLETE", "producer": "https://example.com",
        "run": {"runId": str(uuid4())}, "job": {"namespace": "good", "name": "extract"},
        "outputs": [{"namespace": "file", "name": name}],
    }  # fmt: skip
    return LINEAGE_PATH, json.dumps(body).encode()


def alert(name: str) -> tuple[str, bytes]:
    fired = {
        "status": "firing", "startsAt": datetime.now(UTC).isoformat(), "fingerprint": name,
        "labels": {"alertname": "DiskFull", "headway_target": "good"},
    }  # fmt: skip
    return "/alerts", json.dumps({"alerts": [fired]}).encode()


@dataclass
class Senders:
    """Threads that send without a pause and note what was answered with success."""

    port: int
    body_of: Callable[[str], tuple[str, bytes]]
    """Path and body of what is known by that name."""
    answered: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def send(self, sender: int) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            name = f"{self.body_of.__name__}-{sender}-{number}"
            path, body = self.body_of(name)
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                headers = {"Content-Encoding": "gzip", "Authorization": f"Bearer {TOKEN}"}
                connection.request("POST", path, gzip.compress(body), headers)
                if connection.getresponse().status == 200:
                    self.answered.add(name)
            except (OSError, http.client.HTTPException):
                self.ended.wait(0.01)  # killed, or not yet listening
            finally:
                connection.close()

    def has_answers(self, count: int) -> bool:
        return len(self.answered) >= count

    @contextmanager
    def sending(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.send, args=(sender,)) for sender in range(SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in threads:
                thread.join()


def stored(folder: Path) -> set[str]:
    with open_queries(store_of(folder)) as reads:
        rows = reads.link.rows("SELECT dataset AS name FROM job_dataset UNION SELECT fingerprint FROM external_alert")
    return {row.name.removeprefix("file/") for row in rows}


@pytest.mark.parametrize("kind", [event, alert])
def test_f01_what_a_receiver_has_answered_is_stored_whatever_kills_the_engine(
    tmp_path: Path, kind: Callable[[str], tuple[str, bytes]]
) -> None:
    port = free_port()
    senders = Senders(port, kind)
    prepare = partial(listen, port)
    with child(tmp_path, "first", prepare=prepare):  # the job is known before anything is sent
        wait_until(lambda: accepts(port), "the engine listens")
        wait_until(lambda: knows_the_job(tmp_path), "the job")
    with senders.sending():
        for number in range(KILLS):
            with child(tmp_path, f"engine-{number}", prepare=prepare) as engine:
                before = len(senders.answered)
                wait_until(partial(senders.has_answers, before + ENOUGH), "the answers")
                os.kill(engine.pid, signal.SIGKILL)
                assert -signal.SIGKILL == engine.ended()
    assert len(senders.answered) >= KILLS * ENOUGH
    assert set() == senders.answered - stored(tmp_path)


def knows_the_job(folder: Path) -> bool:
    with open_queries(store_of(folder)) as reads:
        return bool(reads.link.rows("SELECT id FROM job WHERE name LIKE '%extract'"))
