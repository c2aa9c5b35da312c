"""The examples at the end of pages, run as they are written, but for names, port and paths."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.sections import EndpointSettings
from console.domain.access import ActingRules, PermissionRule, Role
from console.store.access import write_permissions
from tests.engine.bench import Bench
from tests.engine.endpoints.test_acknowledge_page import MARA, mailed
from tests.engine.endpoints.test_endpoints import listening
from tests.lab.process import HANGS_SECONDS, free_port

__all__ = ["mailed"]

DOCS = Path(__file__).parents[3] / "docs"
TOKENS = {f"HEADWAY_{name}TOKEN": f"{name.lower()}0123456789abcdef" for name in ("", "MARA_", "WIKI_", "CALENDAR_")}
PLACE = "127.0.0.1:9465"


@pytest.fixture
def place(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an engine that answers requests; a job has failed."""
    for name, token in TOKENS.items():
        monkeypatch.setenv(name, token)
    settings = EndpointSettings(
        listen=f"127.0.0.1:{free_port()}",
        token=SecretRef(env="HEADWAY_TOKEN"),
        readers={name: SecretRef(env=f"HEADWAY_{name.upper()}_TOKEN") for name in ("calendar", "wiki")},
        operators={"mara": SecretRef(env="HEADWAY_MARA_TOKEN")},
    )
    bench.config = replace(bench.config, endpoints=settings)
    bench.scheduler.job("load_orders")
    bench.restart()
    bench.turn()
    with bench.store.write(bench.fence) as session:
        rules = (PermissionRule("mara", Role.ACT), PermissionRule("*", Role.VIEW))
        write_permissions(session, rules, ActingRules())
    bench.scheduler.attempt("extract", "x1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=9))
    bench.turn()
    ended = threading.Event()
    answers = threading.Thread(target=bench.parts.answers.run, args=(bench.fence, ended.is_set))
    answers.start()
    assert bench.parts.endpoints is not None
    try:
        with listening(bench.parts.endpoints, bench.fence):
            yield settings.listen
    finally:
        ended.set()
        answers.join(HANGS_SECONDS)


def example(page: str, language: str) -> str:
    """The last code of this language under the heading Example."""
    text = (DOCS / page).read_text("utf-8").rpartition("\n## Example\n")[2]
    result: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return result[-1]


def curl(page: str, place: str) -> list[str]:
    """The replies to the page's curl commands."""
    text = example(page, "sh").replace(PLACE, place)
    commands = re.findall(r"^curl .*(?:\n  .*)*", text, re.MULTILINE)
    return [
        subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
        for command in commands
    ]


def test_the_example_of_the_http_api(place: str) -> None:
    jobs, acknowledged, plan = map(json.loads, curl("api.md", place))
    assert ["fake/extract"] == [job["name"] for job in jobs]
    assert ("mara", "INC-0001") == (acknowledged["acknowledged_by"], f"INC-{acknowledged['id']:04}")
    assert ("paused", True, "disk is free again") == (plan["state"], plan["awaits_approval"], plan["why"])


def test_the_example_of_openlineage(place: str) -> None:
    assert ["1 received, 1 about a known job\n"] == curl("openlineage.md", place)


def test_the_example_of_the_link_on_a_phone(mailed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK", mailed)
    assert [f"Acknowledge for 1h as {MARA}\n", "INC-0001 is acknowledged\n", "410\n"] == curl("phone.md", "")
    config = tomllib.loads(example("phone.md", "toml"))
    EndpointSettings.model_validate(config["endpoints"])
    assert [MARA, "link"] == config["permissions"][0]["who"]


@pytest.mark.deep
def test_the_example_of_the_report(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    script = example("report.md", "sh").replace("supply-plan", "supply")
    script = script.replace("headway ", f"{Path(sys.executable).parent}/headway --store {bench.url} ")
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("Report 2026-10")
    assert "Supply plan 2026-05 to 2026-10" in done.stdout
    assert "Services" in (tmp_path / "report.html").read_text()


@pytest.mark.deep
def test_the_example_of_mcp(place: str, bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "headway.toml"
    config.write_text('[systems.fake]\nkind = "cron"\nhosts = [{ name = "here", local = true }]\n')
    script = example("mcp.md", "python").replace('"/etc/headway"', f'"{config}", "--store", "{bench.url}"')
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert "untrusted_data" in json.loads(done.stdout), done.stderr
