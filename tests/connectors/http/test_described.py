"""What fakes make from a description, and what they refuse by it; and profiles compared with those descriptions."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from connectors.http.connector import HttpProfile
from connectors.sdk import registry
from tests.fakes import described
from tests.fakes.described import Description
from tests.rows import each_row

SCHEMAS: dict[str, Any] = {
    "Run": {
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "size": {"type": "string", "format": "int64"}, "tries": {"type": "integer"},
            "state": {"type": "string", "enum": ["QUEUED", "DONE"]}, "began": {"type": "string", "format": "date-time"},
            "kind": {"type": "string", "enum": ["BATCH"], "required": True}, "error": {"$ref": "Error"},
            "made": {"type": "string", "format": "google-datetime", "required": True}, "on": {"type": "boolean"},
            "parts": {"type": "array", "items": {"$ref": "Error"}}, "of": {"$ref": "Of", "required": True},
        },
    },
    "Error": {"type": "object", "properties": {"text": {"type": "string"}, "code": {"type": "integer"}}},
    "Of": {"type": "object", "properties": {"job": {"type": "string"}}},
}  # fmt: skip
METHODS = {
    "list": {
        "httpMethod": "GET", "flatPath": "runs/{run}",
        "parameters": {
            "run": {"location": "path"}, "page": {"location": "query"}, "v": {"location": "query", "required": True},
        },
    },
    "stop": {"httpMethod": "POST", "flatPath": "runs/{run}:stop", "parameters": {}, "request": {"$ref": "Run"}},
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Description:
    document = {"rootUrl": "", "schemas": SCHEMAS, "resources": {"all": {"methods": METHODS}}}
    (tmp_path / "api.json").write_text(json.dumps(document))
    monkeypatch.setattr(described, "FOLDER", tmp_path)
    return Description("api")


def test_a_row_has_the_facts_of_a_world_and_a_value_for_each_other_plain_or_required_field(api: Description) -> None:
    made = {
        "name": "name", "size": "1", "tries": 1, "kind": "BATCH", "made": "2026-11-20T03:00:00Z", "of": {"job": "job"},
    }  # fmt: skip
    assert made == api.row("Run")
    facts: dict[str, Any] = {"name": "load", "state": "DONE", "began": None, "error": {"code": 5}, "parts": [{}]}
    filled = {"error": {"text": "text", "code": 5}, "parts": [{"text": "text", "code": 1}]}
    assert {**made, **facts, **filled} == api.row("Run", **facts)


@pytest.mark.parametrize("facts", [{"naem": "load"}, {"tries": "2"}, {"error": {"why": ""}}, {"parts": [7]}])
def test_a_fact_that_the_description_does_not_have_is_refused(api: Description, facts: Any) -> None:
    with pytest.raises(AssertionError):
        api.row("Run", **facts)


def test_a_request_is_judged_by_its_parameters_and_its_body(api: Description) -> None:
    [listed, stop] = api.method("GET", "/runs/a:7"), api.method("POST", "/runs/a:stop")
    assert listed is not None
    assert stop is not None
    assert [[], ["pgae"], ["v"]] == [
        api.faults_of_request(listed, query, {}) for query in ({"v": 1}, {"v": 1, "pgae": 1}, {})
    ]
    assert [".kind is missing", ".made is missing", ".of is missing", ".x is not there"] == api.faults_of_request(
        stop, {}, {"x": 1}
    )
    assert api.method("POST", "/runs/a") is None


@each_row(
    "kind, calls, faults",
    [
        ("azure_data_factory", 6, ["jobs.query.$skiptoken"]),
        ("azure_synapse", 6, ["jobs.query.$skiptoken"]),
        ("control_m", 5, []),
        ("salesforce", 4, ["jobs.title"]),
    ],
)
def test_each_path_parameter_and_field_is_in_the_models_or_types_of_the_vendor(
    kind: str, calls: int, faults: list[str]
) -> None:
    """$skiptoken is of the nextLink, which Azure's models do not take apart; a job of Salesforce has as its title
    a name that our query gives to a field of another object. Salesforce's types name no paths: those are ours, by its
    REST API Developer Guide."""
    profile = HttpProfile.model_validate(tomllib.loads(registry.profiles()[kind].read_text("utf-8")), context={})
    result = profile.compare(Description(kind).text)
    assert (faults, calls, []) == ([".".join(key) for key, _ in result.faults], result.calls, result.undescribed)
