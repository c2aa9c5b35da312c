"""The first service as a question: accepted, changed, or left as a comment; and history read from the store."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.onboarding import propose_service
from console.config.loading import load_config
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

SYSTEMS = '[systems.fake]\nkind = "cron"\nhosts = [{ name = "here", local = true }]\n'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good nights of two jobs, as a first poll reads them back."""
    folder = tmp_path_factory.mktemp("store")
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("mart", upstreams=("extract",))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with running_bench(folder, scheduler, estate_config(folder, scheduler, cutoff=time(12))) as made:
        for night in range(1, 4):
            for name, begins in (("extract", 3), ("mart", 5)):
                start = midnight - timedelta(days=night) + timedelta(hours=begins)
                end = start + timedelta(minutes=10)
                scheduler.attempt(name, f"{name}{night}", RunState.SUCCEEDED, start, ended_at=end)
        made.turn()
    return folder / "headway.db"


def proposed(store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[str, list[str]]:
    """The config afterwards, and its services, with these answers typed."""
    path = folder / "headway.toml"
    path.write_text(SYSTEMS)
    answers = iter(arguments)

    def typed() -> str:
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", typed)
    propose_service(str(store), path, SYSTEMS, "UTC", is_interactive=True)
    return path.read_text(), list(load_config(path).services)


@pytest.mark.parametrize("texts, deadline", [(("",), "05:45"), (("soon", "7:45"), "07:45")])
def test_the_proposed_deadline_is_accepted_or_replaced(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...], deadline: str
) -> None:
    text, services = proposed(store, tmp_path, monkeypatch, *texts)
    assert ["mart"] == services
    assert f'deadline = "{deadline}"' in text
    assert "fake/mart builds on 1 other job, more than any other" in " ".join(text.replace("#", "").split())


@pytest.mark.parametrize("texts", [("n",), ()], ids=["no", "left"])
def test_it_stays_a_comment_for_who_declines_or_leaves(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...]
) -> None:
    text, services = proposed(store, tmp_path, monkeypatch, *texts)
    assert [] == services
    assert "# [services.mart]" in text
