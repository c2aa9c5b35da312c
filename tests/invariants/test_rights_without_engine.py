"""Actions without an engine check the same table, and are written to the same audit, where there is a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.contract import HoldMark
from console.cli.exits import Exit
from console.cli.main import main
from console.domain.access import ActingRules, Role
from console.domain.request import RequestKind
from console.domain.switches import FREEZE
from console.engine.api.emergency import EmergencyAccess, ReportedHold
from console.store.errors import NotAllowed, ReasonNeeded
from tests.engine.bench import Bench
from tests.hostile.commands import headway
from tests.invariants.test_rights import Be, audit, permit, running, verbs

LOAD = ReportedHold("fake", "one", "load", "headway-0123456789abcdef")
MARK = HoldMark(LOAD.hold, "headway", datetime(2126, 1, 1, tzinfo=UTC))
ROLES = ("none", "view", "act", "approve", "admin")


@pytest.fixture
def be(monkeypatch: pytest.MonkeyPatch) -> Be:
    """Makes this process somebody else, as far as the kernel says."""
    return lambda name: monkeypatch.setattr("console.store.access.os_user", lambda: name)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Alice acts, carol approves, vera views; load belongs to tier 1."""
    yield from running(tmp_path, reason_tiers=())


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Bench]:
    """What hangs on tier 1 wants another person's approval."""
    yield from running(tmp_path, approval_tiers=(1,))


def release(bench: Bench, why: str = "the engine is dead", anyway: bool = False) -> None:
    EmergencyAccess(bench.url).ask_release(LOAD, why, anyway)


def restore(bench: Bench) -> None:
    EmergencyAccess(bench.url).ask_restore()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind, ask", [(RequestKind.RELEASE_NATIVELY, release), (RequestKind.RESTORE, restore)])
def test_each_command_without_an_engine_is_permitted_from_its_role_on(
    bench: Bench,
    be: Be,
    role: str,
    kind: RequestKind,
    ask: Any,
) -> None:
    be("eve")
    permit(bench, **({"eve": role} if role != "none" else {"somebody": "admin"}))
    if ROLES.index(role) >= ROLES.index(kind.role.text):
        ask(bench)
    else:
        with pytest.raises(NotAllowed, match=f"needs role {kind.role.text}"):
            ask(bench)
    granted = ROLES.index(role) >= ROLES.index(kind.role.text)
    assert ("eve", f"{'' if granted else 'refuse '}{kind}") == verbs(bench)[-1]


@pytest.mark.parametrize("role", ROLES)
def test_audit_rows_are_deleted_by_an_admin_only(bench: Bench, be: Be, role: str, tmp_path: Path) -> None:
    be("eve")
    permit(bench, **({"eve": role} if role != "none" else {"somebody": "admin"}))
    file = tmp_path / "audit.jsonl"
    texts = ("audit", "export", str(file), "--delete", "--why", "older than a year")
    assert Exit.USAGE == headway(bench.url, *texts).code, "the whole log is deleted by no slip"
    done = headway(bench.url, *texts, "--before", "2100-01-01", "--json")
    if role != "admin":
        assert Exit.REFUSED == done.code, done.err
        assert ("eve", "refuse delete audit rows") == verbs(bench)[-1]
        assert not file.exists(), "the same command works once an admin runs it"
        return
    assert (Exit.OK, done.data["export"]["last"]) == (done.code, done.data["deleted"]), done.err
    assert [("eve", "delete exported audit rows")] == verbs(bench)
    head = f"{done.data['export']['last']}:{done.data['export']['head']}"
    for options in (("--head", head), ("--export", str(file)), ("--export", str(file), "--head", head)):
        verified = headway(bench.url, "audit", "verify", *options)
        assert Exit.OK == verified.code, verified.out
    assert Exit.NOT_FOUND == headway(bench.url, "audit", "export", str(tmp_path / "none"), "--before", "1d").code


def test_a_copy_takes_more_than_letting_go() -> None:
    assert (Role.ADMIN, Role.ACT) == (
        RequestKind.RESTORE.role,
        RequestKind.RELEASE_NATIVELY.role,
    )


def test_in_a_freeze_nothing_is_released_natively_without_an_override(bench: Bench, be: Be) -> None:
    be("alice")
    bench.requests().turn(FREEZE, "on", "an audit")
    with pytest.raises(NotAllowed, match=r"frozen by alice.*: nothing is released\. Fix: --anyway releases it"):
        release(bench)
    release(bench, anyway=True)
    assert [False, True] == [
        details["anyway"] for _, verb, details in audit(bench) if verb.endswith("release natively")
    ]


def test_what_needs_an_approval_or_a_reason_is_not_let_go_natively_without(strict: Bench, be: Be) -> None:
    be("alice")
    with pytest.raises(NotAllowed, match="requests approval; --anyway releases it"):
        release(strict)
    release(strict, anyway=True)
    strict.parts.config = replace(strict.parts.config, acting=ActingRules(reason_tiers=(1,)))
    strict.parts.config_sync.sync(strict.fence)
    with pytest.raises(ReasonNeeded, match="give a reason"):
        release(strict, why="")


@pytest.fixture
def command(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`headway hold --from-native --release --yes` on an estate where load is held."""
    monkeypatch.setattr("console.config.loading.load_config", lambda *_: bench.config)
    path = tmp_path / "headway.toml"
    path.write_text("")
    bench.scheduler.marks["load"] = MARK
    return ["--config", str(path), "--store", bench.url, "hold", "--from-native", "--release", "--yes"]


def test_who_may_act_lets_go_natively_and_both_ends_are_in_the_audit(
    bench: Bench,
    be: Be,
    command: list[str],
) -> None:
    be("alice")
    assert Exit.OK == main([*command, "--why", "the engine is dead"])
    assert {} == bench.scheduler.marks
    entries = [(who, verb, detail["hold"]) for who, verb, detail in audit(bench) if "native" in verb]
    requested, done = ("alice", "release natively", LOAD.hold), ("alice", "released natively", LOAD.hold)
    assert [requested, done] == entries


def test_a_viewer_releases_nothing_natively(
    bench: Bench,
    be: Be,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    be("vera")
    assert Exit.PROBLEM == main(command)
    assert {"load": MARK} == bench.scheduler.marks
    assert "fake/one load: still held: needs role act on fake" in capsys.readouterr().err
    assert ("vera", "refuse release natively") == verbs(bench)[-1]


def test_without_a_store_it_says_that_the_rights_are_the_sources_own(
    bench: Bench,
    be: Be,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    be("vera")
    command[command.index("--store") + 1] = nowhere = str(tmp_path / "nowhere.db")
    assert Exit.OK == main(command)
    assert {} == bench.scheduler.marks
    err = capsys.readouterr().err
    assert err.startswith(f"store not available (there is no store at {nowhere} yet. Fix: ")
    assert "): released without the audit log\n" in err


def test_who_may_not_restore_replaces_no_store(
    bench: Bench,
    be: Be,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "copy.db"
    assert Exit.OK == main(["--store", bench.url, "store", "backup", str(copy)])
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET until_us = 0")
    be("carol")
    assert Exit.REFUSED == main(["--store", bench.url, "store", "restore", str(copy), "--replace"])
    assert "needs role admin on the whole estate; you (carol) have approve" in capsys.readouterr().err
    assert ("carol", "refuse restore") == verbs(bench)[-1]
