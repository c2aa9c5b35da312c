"""Settings of S3 systems, and the permission that is missing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from connectors.s3.connector import open_s3
from connectors.s3.options import S3Options
from connectors.sdk.errors import AccessRefused
from tests.rows import each_row

FILES = {"a": {"path": "/in/a.csv", "at": "04:00"}}


def test_the_page_shows_a_system_that_loads() -> None:
    page = (Path(__file__).parents[3] / "docs/connectors/s3.md").read_text(encoding="utf-8")
    system = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["systems"]["landing"]
    assert "s3" == system.pop("kind")
    assert ("acme-landing",) == S3Options.model_validate(system).buckets


@each_row("bucket", ["Acme", "s3://acme", "acme/in", ""])
def test_what_is_no_name_of_a_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(ValidationError, match="is not written like acme-landing"):
        S3Options.model_validate({"region": "eu-central-1", "buckets": [bucket], "files": FILES})


def test_a_missing_permission_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    denied = b"<Error><Code>AccessDenied</Code><Message>not authorized</Message></Error>"

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, headers={"content-type": "application/xml"}, stream=httpx.ByteStream(denied))

    options = S3Options.model_validate({"region": "eu-central-1", "buckets": ["acme-landing"], "files": FILES})
    connector = open_s3(options, "acme-landing", lambda _: "", httpx.MockTransport(refuse))
    [right] = connector.probe(20).rights
    fix = "allow s3:ListBucket on arn:aws:s3:::acme-landing to this identity"
    assert (False, "list s3://acme-landing/in", fix) == (right.held, right.name, right.fix)
    with pytest.raises(AccessRefused, match="allow s3:ListBucket to this identity"):
        connector.poll("", (), 20)
    connector.close()
