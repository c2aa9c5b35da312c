"""`headway job NAME --set`: what a person writes on a job's card, by right, and where its preview says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.domain.access import ActingRules, PermissionRule, Role
from tests.cli.test_audit import answering
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import Done, headway

__all__ = ["bench"]


@pytest.fixture
def opened(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Config lets people say everything that it does not say; ann may act, and no more."""
    monkeypatch.setattr("console.store.access.os_user", lambda: "ann")
    people = (PermissionRule("ann", Role.ACT), PermissionRule("root", Role.ADMIN))
    acting = ActingRules(cards=("owner", "runbook", "rerun"), reason_tiers=())
    bench.parts.config = replace(bench.parts.config, acting=acting, permissions=people, jobs={})
    bench.parts.begin(bench.fence)
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
    bench.turn()
    return bench


def write(bench: Bench, *arguments: str) -> Done:
    with answering(bench):
        return headway(bench.url, "job", "fake/extract", "--set", *arguments, "--yes")


def test_owner_and_runbook_are_written_and_shown_with_their_author(opened: Bench) -> None:
    done = write(opened, "owner=data platform", "runbook=wiki/extract")
    assert 0 == done.code, done.err
    shown = headway(opened.url, "job", "fake/extract").out
    assert "owner       data platform, set by ann" in shown
    assert "runbook     wiki/extract, set by ann" in shown


def test_lowering_the_rights_for_reruns_needs_an_admin_and_the_preview_names_the_author(
    opened: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == write(opened, "rerun=never").code
    done = write(opened, "rerun=safe")
    assert (Exit.REFUSED, True) == (done.code, "needs role admin" in done.err)
    monkeypatch.setattr("console.store.access.os_user", lambda: "root")
    assert 0 == write(opened, "rerun=safe").code
    opened.turn()
    with answering(opened):
        shown = headway(opened.url, "rerun", "fake/extract", "--dry-run")
    assert "rerun     safe, set by root 20" in shown.out, shown


def test_what_config_says_is_refused_with_where_it_says_so(bench: Bench) -> None:
    bench.turn()
    done = write(bench, "rerun=ask")
    text = "fake/extract rerun: config says it, under [jobs]; nothing was saved"
    assert (Exit.REFUSED, True) == (done.code, text in " ".join(done.err.split())), done


@pytest.mark.parametrize(
    "term, text",
    [
        ("owner", '"owner" has no "="; write owner='),
        ("rerun=maybe", "is not one of safe, ask, never"),
        ("colour=red", "is not on a card"),
    ],
)
def test_an_unknown_card_field_is_refused_with_the_fix(opened: Bench, term: str, text: str) -> None:
    done = write(opened, term)
    assert (Exit.USAGE, True) == (done.code, text in done.err)


def test_nothing_is_written_without_a_terminal_or_yes(opened: Bench) -> None:
    done = headway(opened.url, "job", "fake/extract", "--set", "owner=x")
    assert (Exit.USAGE, True) == (done.code, "nothing was saved. Fix: --yes" in done.err)
