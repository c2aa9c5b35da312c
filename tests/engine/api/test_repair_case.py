"""The repair that an estimate assumes, wherever a program reads the estimate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

import pytest

from connectors.sdk.states import RunState
from console.cli.forecast import forecast_document
from console.cli.service_delay import delay_document
from console.control.explain.lateness import LatenessBreakdown
from console.domain.service import RepairCase
from console.engine.api.documents import json_text, service_document
from console.engine.api.status_page import page_files
from console.engine.mcp_server import read_tools
from console.engine.notify.webhook import incident_document
from console.store.db.database import Database
from console.store.outbox import incidents_of_alert
from tests.engine.bench import Bench
from tests.present import present

FIGURES = ("expected", "p_late", "p50")


def documents(bench: Bench) -> dict[str, Any]:
    """All documents with an estimate of the service, as JSON has them."""
    with bench.reads() as reads:
        service, incident, now = reads.services.service("supply"), reads.incidents.incident(1), reads.now()
        tools = {tool.name: tool for tool in read_tools("")}
        services = [service]
        answers = {
            "service": service_document(service),
            "forecast": forecast_document(service),
            "why": delay_document(service, LatenessBreakdown(())),
            "incident": incident,
            "deadlines_today": tools["deadlines_today"].page(reads, {"limit": 5, "offset": 0}).document,
            "services_at_risk": tools["services_at_risk"].page(reads, {"limit": 5, "offset": 0}).document,
            "status page": json.loads(page_files("estate", "UTC", services, {}, now)["status.json"]),
        }
        [alert] = reads.link.rows("SELECT min(id) AS id FROM alert WHERE incident_id = 1")
    store: Database = bench.store
    answers["webhook"] = [
        incident_document(row, affected, "").model_dump() for row, affected in incidents_of_alert(store, alert.id)
    ]
    return cast(dict[str, Any], json.loads(json_text(answers)))


def with_figures(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects in it that have an estimate of a service."""
    if isinstance(value, dict):
        if "deadline" in value and any(value.get(name) is not None for name in FIGURES):
            yield value
        value = [*value.values()]
    if isinstance(value, list):
        for part in value:
            yield from with_figures(part)


@pytest.mark.parametrize("is_red", [True, False])
def test_an_estimate_of_a_service_has_its_case_in_every_document(bench: Bench, is_red: bool) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=30), period_key="p")
    bench.turn()
    if not is_red:
        bench.scheduler.attempt("extract", "a2", RunState.RUNNING, present() - timedelta(minutes=1), period_key="p")
        bench.turn()
    for name, document in documents(bench).items():
        found = [*with_figures(document)]
        assert found, name
        assert {RepairCase.USUAL if is_red else None} == {entry["repair_case"] for entry in found}, name
