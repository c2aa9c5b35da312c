"""The status page in a real browser at the width of a phone, and its upload to an S3 server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sdk.secrets import SecretStore
from console.config.sections import StatusPageSettings
from console.domain.service import Timeliness
from console.engine.api.status_page import page_files
from console.engine.status_page import StatusPageWriter
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.engine.test_status_page import view_of
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.browser import Browser
from tests.lab.test_step_functions_real import keys
from tests.tui.fake_reads import NOW

__all__ = ["bench", "keys"]

PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as made:
        made.call("Emulation.setDeviceMetricsOverride", **PHONE)
        yield made


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_page_whole(browser: Browser, scheme: str, tmp_path: Path) -> None:
    views = [
        view_of(Timeliness.WILL_MISS, expected=NOW + timedelta(hours=2), acknowledged_by="mara"),
        view_of(Timeliness.ON_TIME, name="other", title="A title without an end " * 4, expected=NOW),
    ]
    page = tmp_path / "index.html"
    page.write_text(page_files("prod", "UTC", views, {}, NOW)["index.html"], encoding="utf-8")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    browser.open(page.as_uri())
    browser.wait_for("document.querySelectorAll('.service').length == 2")
    assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert browser.evaluate("document.getElementById('old').hidden") is False, "it is of another year"
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme] == background
    assert len(browser.screenshot()) > 10_000
    assert not [line for line in browser.logged if "favicon" not in line]


@pytest.mark.usefixtures("keys")
def test_the_page_is_uploaded_to_s3(bench: Bench, moto: MotoServer) -> None:
    store = moto.service("s3")
    store.create_bucket(Bucket="acme-status", CreateBucketConfiguration={"LocationConstraint": aws.REGION})
    keys = {"access_key_id": {"env": "LAB_KEY_ID"}, "secret_access_key": {"env": "LAB_KEY"}}
    place = {"bucket": "acme-status", "prefix": "headway/", "region": aws.REGION, "endpoint_url": moto.endpoint, **keys}
    settings = StatusPageSettings.model_validate({"s3": place})
    writer = StatusPageWriter(bench.url, Clock(), settings, SecretStore(), "bench", "UTC")
    writer.step(bench.fence)
    assert "" == writer.trouble
    document = store.get_object(Bucket="acme-status", Key="headway/status.json")
    assert "bench" == json.loads(document["Body"].read())["estate"]
    assert (
        "text/html; charset=utf-8" == store.head_object(Bucket="acme-status", Key="headway/index.html")["ContentType"]
    )
    status_page = StatusPageSettings.model_validate({"s3": {**place, "bucket": "not-there"}})
    writer = StatusPageWriter(bench.url, Clock(), status_page, SecretStore(), "bench", "UTC")
    writer.step(bench.fence)
    assert "NoSuchBucket" in writer.trouble
