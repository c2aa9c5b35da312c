"""`headway check` of an API that answers, and of an endpoint that waits for its engine."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from connectors.sdk.conformance.world import closed_port
from console.cli.exits import Exit
from tests.connectors.heartbeat.support import TOKENS, open_at
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.fakes.web_server import web_server
from tests.hostile.commands import headway

__all__ = ["bench"]
PAGE = Path(__file__).parents[2] / "docs" / "connectors" / "http.md"
EXAMPLE = PAGE.read_text().partition("```toml\n")[2].partition("```")[0]
ENDPOINT = """
[systems.own]
kind = "heartbeat"
listen = "127.0.0.1:{port}"
spool = "spool.db"
[systems.own.jobs.export]
token = {{ env = "EXPORT_TOKEN" }}
"""


@pytest.mark.parametrize(
    "status, kind, body, verdict, text",
    [
        (429, "application/json", b'{"error": "slow"}', "limited", "(429) is a rate limit: slow"),
        (500, "application/json", b'{"error": "boom"}', "failing", "(500) is a fault of its own: boom"),
        (503, "text/plain", b"", "failing", "(503) is a fault of its own without a message"),
        (200, "application/json", b'{"jobs": [', "failing", "is not whole JSON"),
        (200, "text/plain", b"{}", "failing", "content type 'text/plain', not JSON"),
        (401, "application/json", b'{"error": "expired token"}', "refused", "(401) is a refusal: expired token."),
        (200, "text/html", b"<html>", "refused", "web page"),
        (404, "application/json", b'{"errors": ["no such path"]}', "unsupported", "(404) is a refusal: no such path"),
    ],
)
def test_what_answers_is_called_as_an_engine_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, kind: str, body: bytes, verdict: str,
    text: str,
) -> None:  # fmt: skip
    """A rate-limited API is not reported as a network fault."""
    monkeypatch.setenv("BATCH_KEY", "let-me-in")
    config = tmp_path / "headway.toml"
    with web_server(lambda _: httpx.Response(status, content=body, headers={"content-type": kind})) as address:
        config.write_text(EXAMPLE.replace("https://batch.internal", address))
        done = headway(str(tmp_path / "none.db"), "--config", str(config), "check", "--json")
    [result] = [target for target in done.data["targets"] if "/" in target["target"]]
    assert (Exit.PROBLEM, verdict) == (done.code, result["verdict"])
    assert text in " ".join(result["text"])


@pytest.fixture
def closed_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with an endpoint on which nothing listens."""
    monkeypatch.setenv("EXPORT_TOKEN", TOKENS["export"])
    config = tmp_path / "headway.toml"
    config.write_text(ENDPOINT.format(port=closed_port()))
    return config


@pytest.mark.parametrize("command", [("check",), ("connector", "try", "own")])
def test_an_endpoint_before_its_first_engine_is_no_problem(closed_endpoint: Path, command: tuple[str, ...]) -> None:
    """`check` before the first engine start passes for a config with an endpoint."""
    done = headway(str(closed_endpoint.parent / "none.db"), "--config", str(closed_endpoint), *command)
    assert Exit.OK == done.code, done
    assert "wrote nothing into it yet" in done.out
    assert "FAILED" not in done.out


@pytest.mark.parametrize("command", [("check",), ("connector", "try", "own")])
def test_a_closed_endpoint_beside_a_working_engine_is_a_problem(
    bench: Bench, closed_endpoint: Path, command: tuple[str, ...]
) -> None:
    assert bench.reads().estate.engine().alive
    done = headway(bench.url, "--config", str(closed_endpoint), *command)
    assert (Exit.PROBLEM, True) == (done.code, "wrote nothing into it yet" in done.out), done


def test_an_endpoint_without_a_readable_token_is_a_problem_even_before_the_first_engine(
    closed_endpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPORT_TOKEN")
    done = headway(str(closed_endpoint.parent / "none.db"), "--config", str(closed_endpoint), "check")
    assert (Exit.PROBLEM, True) == (done.code, "token of export" in done.out), done


def test_a_listening_endpoint_is_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORT_TOKEN", TOKENS["export"])
    with open_at(tmp_path) as opened:
        config = tmp_path / "headway.toml"
        config.write_text(ENDPOINT.format(port=opened.options.address[1]))
        done = headway(str(tmp_path / "none.db"), "--config", str(config), "check")
    assert (Exit.OK, True) == (done.code, "an engine listens at" in done.out), done


HTTP = """
[systems.people]
kind = "manual"

[systems.people.steps.count]
at = "06:00"

[endpoints]
token = { env = "HEADWAY_TOKEN" }
public_url = "https://ops.example.org"
link_key = { env = "HEADWAY_LINK_KEY" }

[endpoints.readers]
wiki = { env = "HEADWAY_WIKI_TOKEN" }

[endpoints.operators]
mara = { env = "HEADWAY_MARA_TOKEN" }
"""
SECRETS = {"TOKEN": "t" * 16, "LINK_KEY": "k" * 32, "WIKI_TOKEN": "w" * 16, "MARA_TOKEN": "m" * 16}


@pytest.mark.parametrize(
    "changed, key, fault",
    [
        ({}, "", ""),
        ({"TOKEN": None}, "endpoints.token", "secret env HEADWAY_TOKEN: the variable is not set"),
        ({"LINK_KEY": "k" * 31}, "endpoints.link_key", "shorter than 32 characters. Fix: openssl rand -hex 16"),
        ({"MARA_TOKEN": "zzz"}, "endpoints.operators.mara", "shorter than 16 characters. Fix: openssl rand -hex 16"),
        ({"MARA_TOKEN": "w" * 16}, "endpoints.operators.mara", "equal to endpoints.readers.wiki: it would have"),
        ({"TOKEN": "k" * 32}, "endpoints.link_key", "equal to endpoints.token: it would have the rights of both"),
    ],
)
def test_a_secret_with_which_the_endpoints_would_not_listen_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], key: str, fault: str
) -> None:
    for name, value in {**SECRETS, **changed}.items():
        monkeypatch.delenv(f"HEADWAY_{name}", raising=False)
        if value is not None:
            monkeypatch.setenv(f"HEADWAY_{name}", value)
    config = tmp_path / "headway.toml"
    config.write_text(HTTP)
    done = headway(str(tmp_path / "none.db"), "--config", str(config), "check", "--json")
    results = {target["target"]: target for target in done.data["targets"] if target["target"].startswith("endpoints")}
    assert {"endpoints.token", "endpoints.link_key", "endpoints.readers.wiki", "endpoints.operators.mara"} == {*results}
    assert ([key] if key else []) == [name for name, target in results.items() if target["verdict"] != "ok"]
    assert not key or results[key]["text"][0].startswith(fault)
    assert (Exit.PROBLEM if key else Exit.OK) == done.code
