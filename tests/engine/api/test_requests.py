"""Each request has the JSON that every engine of a shared store reads, and what no client writes is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import pytest

from connectors.sdk.states import Verb
from console.engine.api import requests
from console.engine.api.requests import ClientRequest
from console.engine.api.server import UnreadableRequest, read_request
from tests.engine.bench import Bench

STEPS = ((1, "a"), (2, "b"))
WAYS = ({"how": "restart", "at": "2026-11-20T04:00:00+00:00"}, {"how": "faster", "factor": 0.5})
STORED: tuple[tuple[ClientRequest, str, str], ...] = (
    (
        requests.PreviewAction(7, None, Verb.RERUN, {"conf": {"a": 1}}),
        "preview",
        '{"run_id": 7, "job_id": null, "verb": "rerun", "parameters": {"conf": {"a": 1}}}',
    ),
    (requests.ReadLog(7, 8, "100"), "log", '{"run_id": 7, "attempt_id": 8, "start": "100"}'),
    (requests.CompareLogs(7), "compare logs", '{"run_id": 7, "attempt_id": null, "start": null}'),
    (requests.ForecastScenarios(3, WAYS), "what if", json.dumps({"job_id": 3, "ways": WAYS})),
    (requests.AcceptDrift(3, 12), "accept drift", '{"job_id": 3, "change": 12}'),
    (requests.EditCard(3, {"owner": "ada"}), "edit card", '{"job_id": 3, "card": {"owner": "ada"}, "why": ""}'),
    (
        requests.RelaxRerunSafety(3, {"rerun": "safe"}, "checked"),
        "relax rerun safety",
        '{"job_id": 3, "card": {"rerun": "safe"}, "why": "checked"}',
    ),
    (requests.ApproveAction("k", "d"), "approve", '{"key": "k", "digest": "d"}'),
    (requests.WithdrawAction("k", "wrong"), "withdraw", '{"key": "k", "why": "wrong"}'),
    (
        requests.ExtendDeadline("supply", "2026-11-20", 5, "late file"),
        "extend",
        '{"service": "supply", "business_date": "2026-11-20", "until_us": 5, "why": "late file"}',
    ),
    (requests.UndoCompletion(7, "wrong"), "undo completion", '{"run_id": 7, "why": "wrong"}'),
    (requests.RunDataCheck("rows"), "run check", '{"check": "rows", "business_date": ""}'),
    (requests.SendTest("oncall"), "test alert", '{"route": "oncall"}'),
    (requests.RetryAlerts(), "retry alerts", '{"delivery": null}'),
    (requests.ProbeSystem("fake"), "probe", '{"system": "fake", "target": ""}'),
    (requests.PausePolicy("retry", "db07 moves"), "pause policy", '{"policy": "retry", "why": "db07 moves"}'),
    (requests.ResumePolicy("retry"), "resume policy", '{"policy": "retry", "why": ""}'),
    (requests.CloseBreaker("retry"), "close breaker", '{"policy": "retry", "why": ""}'),
    (
        requests.ProposeRecovery(1, True, STEPS),
        "propose plan",
        '{"incident_id": 1, "all": true, "leave_out": [[1, "a"], [2, "b"]]}',
    ),
    (
        requests.ProposeBulk((2, 1), Verb.CANCEL, STEPS),
        "propose plan",
        '{"run_ids": [2, 1], "verb": "cancel", "leave_out": [[1, "a"], [2, "b"]]}',
    ),
    (
        requests.ProposeBackfill(3, "2026-11-01", "2026-11-02", 5),
        "propose plan",
        '{"job_id": 3, "first": "2026-11-01", "last": "2026-11-02", "limit": 5, "unseen": false}',
    ),
    (
        requests.Acknowledge(1, 60.0, "known", "key", True),
        "acknowledge",
        '{"incident_id": 1, "seconds": 60.0, "why": "known", "key": "key", "keeps_later": true}',
    ),
    (requests.Unacknowledge(1, "again"), "unacknowledge", '{"incident_id": 1, "why": "again"}'),
    (
        requests.AddSilence({"system": "fake"}, 60.0, "swap"),
        "add silence",
        '{"matchers": {"system": "fake"}, "seconds": 60.0, "why": "swap", "from_us": null}',
    ),
    (requests.ExpireSilence(2, "done"), "expire silence", '{"silence": 2, "why": "done"}'),
)


def classes_of(kind: str, bench: Bench) -> list[type[ClientRequest]]:
    return [known for known in bench.parts.answers._handlers if known.kind == kind]


def test_the_stored_form_of_a_request_stays(bench: Bench) -> None:
    assert set(bench.parts.answers._handlers) == {type(request) for request, _, _ in STORED}
    for request, kind, stored in STORED:
        assert (kind, json.loads(stored)) == (str(request.kind), json.loads(json.dumps(asdict(request))))
        read = read_request(classes_of(kind, bench), json.loads(stored) | {"from": "etl01", "by": "mallory"})
        assert (type(request), stored) == (type(read), json.dumps(asdict(read)))
        assert [type(getattr(request, entry.name)) for entry in fields(request)] == [
            type(getattr(read, entry.name)) for entry in fields(read)
        ]


def test_the_largest_id_of_the_database_is_read(bench: Bench) -> None:
    request = read_request(classes_of("log", bench), {"run_id": 2**63 - 1})
    assert requests.ReadLog(2**63 - 1) == request


@pytest.mark.parametrize(
    "kind, arguments, reason",
    [
        ("log", {}, "run_id is missing"),
        ("log", {"run_id": "2; drop"}, "run_id is invalid"),
        ("log", {"run_id": None}, "run_id is missing"),
        ("accept drift", {"job_id": 1, "change": None}, "change is missing"),
        ("acknowledge", {"incident_id": 1, "seconds": []}, "seconds is invalid"),
        ("add silence", {"matchers": "broken", "seconds": 60}, "matchers is invalid"),
        ("propose plan", {"job_id": 1, "first": "2026-11-01"}, "last is missing"),
        ("propose plan", {"run_ids": 3, "verb": "rerun"}, "run_ids is invalid"),
        ("propose plan", {"run_ids": [3], "verb": "explode"}, "verb is invalid"),
        ("propose plan", {"run_ids": ["x"], "verb": "rerun"}, "run_ids is invalid"),
        ("propose plan", {"run_ids": [3], "verb": "rerun", "leave_out": [7]}, "leave_out is invalid"),
        ("propose plan", {"run_ids": [3], "verb": "rerun", "leave_out": [[7]]}, "leave_out is invalid"),
        ("edit card", {"job_id": 1, "card": {"owner": ["ada"]}}, "card is invalid"),
        ("preview", {"run_id": 10**30}, "run_id is invalid"),
        ("log", {"run_id": 2**63}, "run_id is invalid"),
        ("compare logs", {"run_id": 1, "attempt_id": 10**30}, "attempt_id is invalid"),
        ("what if", {"job_id": 10**30}, "job_id is invalid"),
        ("retry alerts", {"delivery": 10**30}, "delivery is invalid"),
        ("propose plan", {"run_ids": [3, 10**30], "verb": "rerun"}, "run_ids is invalid"),
        ("add silence", {"matchers": {}, "seconds": 60, "from_us": -(2**63)}, "from_us is invalid"),
    ],
)
def test_what_no_client_writes_cannot_be_read(bench: Bench, kind: str, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableRequest, match=f"^the request cannot be read: its field {reason}$"):
        read_request(classes_of(kind, bench), arguments)
