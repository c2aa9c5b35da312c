"""The first service as a question: accepted, changed, or left as a comment; and history read from the store."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.onboarding import offer_reported, propose_service
from console.config.loading import load_config
from console.domain.service import DEADLINE_FACET
from console.store.events import FacetOf, Reported, record_lineage
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
        mart = made.reads().jobs.job("fake/mart").row.id
        text = f"{midnight + timedelta(hours=12, minutes=30)} for the run of {midnight + timedelta(hours=5)}"
        with made.store.write(made.fence) as session:
            record_lineage(session, [], [(FacetOf(mart, DEADLINE_FACET), Reported("airflow", 1, text))])
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


@pytest.mark.parametrize(
    "texts, is_interactive, yes, deadline",
    [
        (("",), True, False, '{ time = "12:30", day = 1 }'),
        (("13:00",), True, False, '{ time = "13:00", day = 1 }'),
        (("n",), True, False, ""),
        ((), False, True, '{ time = "12:30", day = 1 }'),
        ((), False, False, ""),
    ],
    ids=["enter", "another", "no", "--yes", "without a terminal"],
)
def test_a_deadline_in_airflows_events_is_offered_as_a_service(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    texts: tuple[str, ...], is_interactive: bool, yes: bool, deadline: str,
) -> None:  # fmt: skip
    path, answers = tmp_path / "headway.toml", iter(texts)
    path.write_text(SYSTEMS)
    monkeypatch.setattr("builtins.input", lambda: next(answers))
    arguments = argparse.Namespace(config=str(path), store=str(store), yes=yes)
    added = offer_reported(arguments, path, load_config(path), is_interactive)
    text, config = path.read_text(), load_config(path)
    assert "Proposed service: Mart, due 12:30 a day later (UTC)" in capsys.readouterr().out
    if not deadline:
        assert (SYSTEMS, []) == (text, added)
        return
    assert ["mart"] == added == list(config.services)
    assert f'delivered_by = ["fake/mart"]\ndeadline = {deadline}\n' in text
    assert "you accepted it: Airflow's deadline of its run of " in " ".join(text.replace("#", "").split())
    assert [] == offer_reported(arguments, path, config, is_interactive), "a promised job is not offered again"


def test_offered_services_get_names_that_no_other_has(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a file with a byte order mark."""
    path = tmp_path / "headway.toml"
    path.write_text(f"\ufeff{SYSTEMS}")
    text = "2026-11-26T07:00:00Z for the run of 2026-11-26T04:00:00Z"
    jobs = {f"fake/{name}": text for name in ("a.b", "a-b", "a_b", "ä", "ö")}
    monkeypatch.setattr("console.cli.onboarding.stored", lambda *_: jobs)
    arguments = argparse.Namespace(config=str(path), store=str(store), yes=True)
    added = offer_reported(arguments, path, load_config(path), is_interactive=False)
    assert ["a-b", "fake-a-b", "fake-a-b-2", "first-service", "fake-first-service"] == added
    assert added == list(load_config(path).services)
