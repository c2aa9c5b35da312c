"""How soon an acknowledgement at an on-call service is Headway's own: real time, default interval."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.engine.notify.test_responses import ACKNOWLEDGED, PERSON, SERVICE, URLS, paged
from tests.engine.notify.test_routing import rows
from tests.lab.process import wait_until

pytestmark = pytest.mark.deep
WITHIN_SECONDS = 30.0


@pytest.mark.parametrize("name", ["pagerduty"])
def test_an_acknowledgement_at_the_service_arrives_within_30_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with paged(tmp_path, monkeypatch, URLS[name]) as (bench, service, incident):
        ended = threading.Event()
        worker = threading.Thread(target=bench.parts.responses.run, args=(bench.fence, ended.is_set))
        worker.start()
        try:
            wait_until(lambda: service.reads > 0, "the first comparison")  # the worst moment: the next is a pause away
            person = PERSON.get(name, "Ann Example")
            incident.respond("acknowledged", person)
            began = time.monotonic()
            wait_until(lambda: bool(rows(bench, ACKNOWLEDGED)), "the acknowledgement", WITHIN_SECONDS)
            took = time.monotonic() - began
        finally:
            ended.set()
            bench.parts.responses.wake.set()
            worker.join(20)
        assert [(f"{person} ({SERVICE[name]})", f"acknowledged in {SERVICE[name]}")] == rows(bench, ACKNOWLEDGED)
        assert 1.0 < took < WITHIN_SECONDS
