"""A kind's own faults in words: what is wrong and what to write, never a library's letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from connectors.eventbridge.connector import EventBridgeConnector
from connectors.eventbridge.options import EventBridgeOptions
from connectors.github_actions.options import GitHubActionsOptions
from connectors.sdk import registry
from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.option_errors import formatted_like
from connectors.sdk.transport.script_output import ScriptSection
from connectors.slurm import parse
from connectors.slurm.parse import SlurmAnswer
from tests.rows import each_row

ROW = "\x1f".join(["7", "7", "RUNNING", "None", "1763600000", *["1763600001"] * 2, "1", "ann", "etl", "p", "", "", "x"])
"""Of squeue, less its last field."""


def patterns(schema: Any) -> Iterator[str]:
    """Regular expressions by which a library would validate, and print, a value."""
    if isinstance(schema, dict):
        yield from [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        for below in schema.values():
            yield from patterns(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from patterns(below)


@each_row("kind", registry.kinds())
def test_no_option_is_judged_by_a_regular_expression_that_a_person_would_read(kind: str) -> None:
    class Lenient(GenerateJsonSchema):
        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
            return {}

    schema = registry.load(kind).options.model_json_schema(schema_generator=Lenient)
    assert [] == list(patterns(schema))


def test_a_repository_without_its_owner_is_refused_with_a_correct_example() -> None:
    with pytest.raises(ValidationError) as fault:
        GitHubActionsOptions.model_validate({"repositories": ["shop"], "token": {"env": "T"}})
    assert "Value error, is not written like acme/etl" == fault.value.errors()[0]["msg"]


def test_a_form_is_tried_on_its_own_example() -> None:
    with pytest.raises(ValueError, match="'Shop' is not an example of"):
        formatted_like("[a-z]+", "Shop")
    with pytest.raises(ValidationError, match="is not written like shop"):
        TypeAdapter(Annotated[str, formatted_like("[a-z]+", "shop")]).validate_python("shop\n")


@pytest.mark.parametrize("kind", ["batch", "eventbridge", "glue", "step_functions"])
def test_a_missing_profile_is_reported_as_that_and_not_as_missing_rights(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    result = registry.load(kind)
    options = result.options.model_validate({"region": "eu-central-1", "profile": "nosuch"})
    connector = result.open(options, result.targets(options)[0], lambda _: "")
    with pytest.raises(AccessRefused, match=r"profile \(nosuch\) could not be found\. Fix: add it to ~/\.aws/config"):
        connector.probe(20)
    connector.close()


def test_a_web_page_in_the_place_of_aws_is_reported_by_its_title() -> None:
    page = "<!DOCTYPE html><html><head><title>503 &amp; out</title><style>b{}</style></head><body>No.</body></html>"

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"content-type": "text/html"}, stream=httpx.ByteStream(page.encode()))

    keys = {"access_key_id": {"env": "A"}, "secret_access_key": {"env": "B"}}
    options = EventBridgeOptions.model_validate({"region": "eu-central-1", **keys})
    connector = EventBridgeConnector(options, lambda _: "x", httpx.MockTransport(answer))
    with pytest.raises(SystemUnreachable) as error:
        connector.probe(20)
    assert ' answered 503 with a web page "503 & out", as a proxy or a load balancer does' in str(error.value)
    assert "<" not in str(error.value)


def test_a_line_that_is_no_row_of_squeue_is_skipped_with_a_reason() -> None:
    """squeue's own errors share the column: they are reported where it failed, and are no row where it did not."""
    lines = [ROW, "7|RUNNING", "squeue: a notice of its own", "8\x1fcut"]
    parts = [ScriptSection("QUEUE", "", "\n".join(lines).encode()), ScriptSection("QEND", "0", b"")]
    result, skipped, why = parse.queue(SlurmAnswer(parts, "\x1f"))
    assert (["7"], "") == (list(result), why)
    assert {"7|RUNNING", "8|cut"} == {item.sample for item in skipped}
    parts[1] = ScriptSection("QEND", "1", b"")
    assert "7|RUNNING squeue: a notice of its own" == parse.queue(SlurmAnswer(parts, "\x1f"))[2]


def test_dbt_mentions_only_the_groups_that_its_grants_create() -> None:
    grants = files("connectors.dbt").joinpath("grants.txt").read_text(encoding="utf-8")
    made = set(re.findall(r"groupadd -f (\S+)", grants))
    assert made == set(re.findall(r"(?:usermod -a -G|chgrp(?: -R)?) (\S+)", grants))
    assert {"dbt-view", "dbt-act"} == made
    text = files("connectors.dbt").joinpath("connector.py").read_text(encoding="utf-8")
    assert ([], 2) == (re.findall(r"chgrp (?:-R )?\S+", text), text.count("headway connector grants dbt"))
