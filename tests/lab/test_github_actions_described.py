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
from tests.lab.prism import Judge

FAST = "tests/connectors/github_actions/test_conformance.py"
"""What no GitHub would send is not held against GitHub's description, and logs are not described."""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    lacks = prism.missing()
    if lacks is not None:
        pytest.skip(lacks)
    with prism.judge(tmp_path_factory.mktemp("prism")) as sitting:
        yield sitting


class TestGitHubAsDescribed(fast.TestGitHubOnTheFake):
    against = "fake: a GitHub of ours, its requests and answers judged by prism 5.16 with GitHub's OpenAPI description"
    patience_seconds = 30.0
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(("answering", "long_log"), FAST)

    @pytest.fixture(autouse=True)
    def judged(self, judge: Judge) -> Iterator[None]:
        self.judge = judge
        judge.violations.clear()
        yield
        assert [] == judge.violations

    def on(self, fake: FakeGitHub) -> Connector:
        return opened(fake, self.judge.transport(fake))

    def crowded(self, runs: int) -> Connector:
        self.fake.crowd = runs
        return opened(self.fake)  # past the judge: a crowd has short rows


def test_the_validator_finds_errors_in_an_answer_and_in_a_request(judge: Judge) -> None:
    fake = repository()
    fake.start(ORDERS)
    latest_records(opened(fake, judge.transport(fake)))
    assert [] == judge.violations
    spoiled = _Spoiled(fake, lambda body: body.replace('"event"', '"evnt"'))
    judge.send(httpx.Request("GET", "https://api.github.com/repos/acme/etl/actions/runs?per_page=100"), spoiled)
    judge.send(httpx.Request("GET", "https://api.github.com/repos/acme/etl/actions/runs?status=odd&per_page=1"), fake)
    judge.send(
        httpx.Request("POST", "https://api.github.com/repos/acme/etl/actions/variables", json={"name": "A"}), fake
    )
    found, judge.violations[:] = "\n".join(judge.violations), []
    assert "required property 'event'" in found
    assert "status must be equal to one of the allowed values" in found
    assert "required property 'value'" in found


class _Spoiled(FakeGitHub):
    """Answers of another fake, changed."""

    def __init__(self, fake: FakeGitHub, change: Callable[[str], str]) -> None:
        self._fake, self._change = fake, change

    def handle(self, request: httpx.Request) -> httpx.Response:
        good = self._fake.handle(httpx.Request(request.method, request.url, headers={"authorization": "Bearer right"}))
        return httpx.Response(200, json=json.loads(self._change(good.text)))
