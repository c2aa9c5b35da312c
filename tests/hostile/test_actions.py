"""What people did and what came of it, with hostile reasons, names, answers and errors: audit, plans, holds, approvals,
alerts, switches print nothing that acts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.contract import HoldMark
from connectors.sdk.states import Capability, RunState
from console.domain.ids import new_action_key
from console.domain.plan import PlanDraft
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeRecovery
from console.engine.notify.senders import SendResult
from tests.action_requests import rerun_of
from tests.corpus import HOSTILE
from tests.hostile.commands import headway
from tests.hostile.test_commands import harmless, job_ids
from tests.hostile.world import NAMES, TEXTS, WORST, World, running_world
from tests.lab.process import HANGS_SECONDS

LISTS = (
    ("audit", "--limit", "1000"), ("audit", "verify"), ("audit", "head"), ("hold",), ("hold", "--all"),
    ("plan", "--all"), ("plan", "1"), ("action", "approvals",), ("alert",), ("shadow",), ("shadow", "report"),
    ("freeze", "--status"), ("status",),
)  # fmt: skip


@pytest.fixture(scope="module")
def acted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Reruns, a plan, a freeze, a native hold and a parked alert, each with hostile words wherever there is room."""
    with running_world(tmp_path_factory.mktemp("acts"), NAMES[::4]) as world:
        bench, requests = world.bench, EngineClient(world.url)
        runs = failed_runs(world)
        for run_id, text in zip(runs[:10], TEXTS[::30], strict=False):  # twenty an hour is the most for one person
            requests.act(
                rerun_of(run_id, {"summary": text, "notes": [text], "verb": text}, text or "why"), new_action_key()
            )
        bench.parts.actions.step(bench.fence)
        plans = EngineClient(world.url)
        answer = plans.wait(plans.ask(ProposeRecovery(2)), HANGS_SECONDS)
        plans.start_plan(PlanDraft.read(answer.data), new_action_key(), WORST)
        for text in TEXTS[::8]:
            if "\0" not in text and text.strip():
                headway(world.url, "freeze", f"--why={text}")
                headway(world.url, "freeze", "--off", f"--why={text}")
        bench.scheduler.capabilities |= {Capability.HOLD}
        bench.scheduler.marks[world.names[0]] = HoldMark(WORST, WORST, datetime.now(UTC) + timedelta(hours=1))
        park(world)
        yield world


def failed_runs(world: World) -> list[int]:
    with world.bench.store.read() as connection:
        rows = connection.rows("SELECT id FROM run WHERE state = 'failed' ORDER BY id")
    return [int(row[0]) for row in rows]


def park(world: World) -> None:
    """One more failure, which its receiver refusesmakes it permanent with words of its own."""
    bench = world.bench
    bench.sink.answer = SendResult(False, WORST, for_good=True)
    bench.scheduler.attempt(world.names[2], "parked", RunState.FAILED, datetime.now(UTC), period_key="parked")
    for _ in range(4):
        world.turn()
        with bench.store.write(None) as connection:
            connection.rows("UPDATE delivery SET next_us = 0 WHERE state = 'pending'")
    bench.sink.answer = SendResult(True)


def test_the_corpus_is_of_our_own_and_has_more_than_200_lines() -> None:
    assert 200 <= len(set(HOSTILE)) == len(HOSTILE)


@pytest.mark.parametrize("line", LISTS, ids=" ".join)
def test_what_was_done_is_listed_harmlessly(acted: World, line: tuple[str, ...]) -> None:
    done = harmless(headway(acted.url, *line))
    assert done.code in (0, 1, 3), done.err
    result = harmless(headway(acted.url, *line, "--json"))
    assert (True, True) == (result.out.isascii(), result.code == done.code)
    assert result.data is not None


def test_the_lists_are_not_empty(acted: World) -> None:
    """What is tested above has something to show."""
    rows = headway(acted.url, "audit", "--limit", "1000", "--json").data
    assert len(rows) > 50
    assert headway(acted.url, "plan", "--all", "--json").data
    assert headway(acted.url, "alert", "--json").data


def test_none_of_it_reached_the_scheduler(acted: World) -> None:
    """Only the runs requested above; no typed name has had an effect."""
    before = list(acted.bench.scheduler.acted)
    for text in TEXTS[::29]:
        if "\0" not in text:
            for verb in ("hold add", "hold release", "run skip", "run mark-ok", "run cancel"):
                harmless(headway(acted.url, *verb.split(), "--yes", "--timeout=0.1", "--", f"none/{text}"))
    acted.bench.parts.actions.step(acted.bench.fence)
    assert before == acted.bench.scheduler.acted
    assert set(acted.names) <= set(job_ids(acted))
