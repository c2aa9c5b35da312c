"""The connector's requests, and the fake's answers, held against GitHub's own OpenAPI description: the same
conformance tests as the fast one, with prism in between. Logs, 304 and most refusals are not in the description."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import httpx
import pytest

from connectors.sdk.contract import Connector
from tests.connectors.github_actions import test_conformance as fast
from tests.connectors.github_actions.support import ORDERS, latest_records, opened, repository
from tests.fakes.github import FakeGitHub
from tests.lab import prism
from tests.lab.prism import PrismValidator

FAST = "tests/connectors/github_actions/test_conformance.py"
"""What no GitHub would send is not held against GitHub's description, and logs are not described."""


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrismValidator]:
    with prism.running_validator(tmp_path_factory.mktemp("prism")) as sitting:
        yield sitting


class TestGitHubAsDescribed(fast.TestGitHubOnTheFake):
    against = "described: a GitHub of ours, judged by prism 5.16 with GitHub's OpenAPI description"
    patience_seconds = 30.0
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(("answering", "long_log"), FAST)

    @pytest.fixture(autouse=True)
    def judged(self, validator: PrismValidator) -> Iterator[None]:
        self.validator = validator
        validator.violations.clear()
        yield
        assert [] == validator.violations

    def on(self, fake: FakeGitHub) -> Connector:
        return opened(fake, self.validator.transport(fake))

    def crowded(self, runs: int) -> Connector:
        self.fake.crowd = runs
        return opened(self.fake)  # past the judge: a crowd has short rows


def test_the_validator_finds_errors_in_an_answer_and_in_a_request(validator: PrismValidator) -> None:
    fake = repository()
    fake.start(ORDERS)
    latest_records(opened(fake, validator.transport(fake)))
    assert [] == validator.violations
    spoiled = _Spoiled(fake, lambda body: body.replace('"event"', '"evnt"'))
    validator.send(httpx.Request("GET", "https://api.github.com/repos/acme/etl/actions/runs?per_page=100"), spoiled)
    validator.send(
        httpx.Request("GET", "https://api.github.com/repos/acme/etl/actions/runs?status=odd&per_page=1"), fake
    )
    validator.send(
        httpx.Request("POST", "https://api.github.com/repos/acme/etl/actions/variables", json={"name": "A"}), fake
    )
    text, validator.violations[:] = "\n".join(validator.violations), []
    assert "required property 'event'" in text
    assert "status must be equal to one of the allowed values" in text
    assert "required property 'value'" in text


class _Spoiled(FakeGitHub):
    """Answers of another fake, changed."""

    def __init__(self, fake: FakeGitHub, change: Callable[[str], str]) -> None:
        self._fake, self._change = fake, change

    def handle(self, request: httpx.Request) -> httpx.Response:
        good = self._fake.handle(httpx.Request(request.method, request.url, headers={"authorization": "Bearer right"}))
        return httpx.Response(200, json=json.loads(self._change(good.text)))
