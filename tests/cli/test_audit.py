"""`headway audit`, `approvals`, `approve`, `grants`: read, proved, refused, printed."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from connectors.sdk import registry
from connectors.sdk.states import RunState, Verb
from console.cli.connectors import GRANT_FILES
from console.cli.exits import Exit
from console.domain.access import ActingRules
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.store import audit
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS
from tests.rows import each_row


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An engine's store in which what hangs on tier 1 wants an approval."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    service = replace(config.services["supply"], tier=1)
    config = replace(config, services={"supply": service}, acting=ActingRules(approval_tiers=(1,)))
    with running_bench(tmp_path, scheduler, config) as made:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
        made.poller.poll_once(made.fence)
        yield made


@pytest.fixture
def key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
    """A rerun that alice requested; from then on this process is carol's."""
    made = new_action_key()
    monkeypatch.setattr("console.store.access.os_user", lambda: "alice")
    shown = {"verb": "run again", "summary": "run it again", "scope": "1 run", "native_calls": ["POST /again"]}
    bench.requests().act(ActionRequest(Verb.RERUN, 1, preview=shown, why="a bad file"), made)
    monkeypatch.setattr("console.store.access.os_user", lambda: "carol")
    return made


@contextmanager
def answering(bench: Bench) -> Iterator[None]:
    """The engine answers for as long as the context lasts."""
    ending = threading.Event()
    engine = threading.Thread(target=bench.parts.answers.run, args=(bench.fence, ending.is_set))
    engine.start()
    try:
        yield
    finally:
        ending.set()
        bench.parts.answers.wake.set()
        engine.join(HANGS_SECONDS)


def test_the_audit_shows_each_request_with_person_and_reason(bench: Bench, key: str) -> None:
    done = headway(bench.url, "audit")
    assert (0, "") == (done.code, done.err)
    assert "everybody who can write this store has every permission" in headway(bench.url, "audit", "verify").err
    [line] = [line for line in done.out.splitlines() if "request rerun" in line]
    assert [] == [text for text in ("alice", "fake/extract", "a bad file") if text not in line]
    [row] = headway(bench.url, "audit", "--actor", "alice", "--json").data
    assert (key, ["POST /again"]) == (row["detail"]["key"], row["detail"]["sends"])


@pytest.mark.parametrize(
    "options, rows",
    [
        (("--object", "EXTRACT"), 1),
        (("--object", "load"), 0),
        (("--actor", "bob"), 0),
        (("--since", "1h"), 2),
        (("--since", "2126-01-01"), 0),
        (("--limit", "1"), 1),
    ],
)
def test_rows_are_chosen_by_time_person_and_object(bench: Bench, key: str, options: tuple[str, ...], rows: int) -> None:
    assert rows == len(headway(bench.url, "audit", *options, "--json").data)


@pytest.mark.parametrize("since", ["soon", "99999999999d", "2026-13-01"])
def test_a_time_that_is_none_is_refused(bench: Bench, since: str) -> None:
    done = headway(bench.url, "audit", "--since", since)
    assert (2, True) == (done.code, "is not a duration or time" in done.err)


def test_an_intact_chain_is_reported_with_what_it_does_not_prove(bench: Bench, key: str) -> None:
    text = headway(bench.url, "audit", "head").out.strip()
    done = headway(bench.url, "audit", "verify")
    assert (0, "2 rows, intact; head " + text.partition(":")[2] + "\n") == (done.code, done.out)
    assert "only with --head, stored outside" in done.err
    assert 0 == headway(bench.url, "audit", "verify", "--head", text).code


def test_a_row_that_was_changed_is_named(bench: Bench, key: str) -> None:
    with bench.store.write(None) as connection:
        connection.rows("DROP TRIGGER audit_refuses_update")
        connection.rows("UPDATE audit SET actor = 'bob' WHERE seq = 2")
    done = headway(bench.url, "audit", "verify")
    assert (1, "BROKEN at row 2: row 2 was changed after it was written\n") == (done.code, done.out)
    assert 2 == headway(bench.url, "audit", "verify", "--json").data["bad"]


def test_an_emptied_log_beside_what_was_requested_is_found(bench: Bench, key: str) -> None:
    with bench.store.write(None) as connection:
        connection.rows("DROP TRIGGER audit_refuses_delete")
        connection.rows("DELETE FROM audit")
        connection.rows("DELETE FROM meta WHERE name = 'audit_head'")
    done = headway(bench.url, "audit", "verify")
    assert (1, True) == (done.code, done.out.startswith("BROKEN at row 1: the audit log is empty, and")), done.out


@pytest.mark.parametrize("name", ["audit_refuses_update", "audit_refuses_delete", "audit_notes_last"])
def test_a_chain_that_the_database_does_not_keep_any_more_is_a_problem(bench: Bench, key: str, name: str) -> None:
    with bench.store.write(None) as connection:
        connection.rows(f"DROP TRIGGER {name}")
    done = headway(bench.url, "audit", "verify")
    assert (1, True) == (
        done.code,
        done.out.startswith("2 rows, intact, but not append-only: "),
    )
    assert f"missing or disabled: {name}." in " ".join(done.err.split())
    result = headway(bench.url, "audit", "verify", "--json")
    assert (1, [name], None) == (result.code, result.data["missing_triggers"], result.data["bad"])


def test_a_tail_that_was_cut_with_the_stores_note_is_found_by_the_head(bench: Bench, key: str) -> None:
    text = headway(bench.url, "audit", "head").out.strip()
    with bench.store.write(None) as connection:
        connection.rows("DROP TRIGGER audit_refuses_delete")
        connection.rows("DELETE FROM audit WHERE seq = 2")
        connection.rows("UPDATE meta SET value = (SELECT seq || ' ' || hash FROM audit) WHERE name = 'audit_head'")
        connection.rows("CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit BEGIN SELECT 1; END")
    done = headway(bench.url, "audit", "verify")
    assert (1, True) == (done.code, "trigger audit_refuses_delete on audit" in " ".join(done.err.split()))
    done = headway(bench.url, "audit", "verify", "--head", text)
    assert (1, True) == (done.code, done.out.startswith("BROKEN at row 2: the head that was kept elsewhere (row 2)"))


@pytest.mark.parametrize("row", ["2", "999"])
def test_a_head_with_another_rows_number_is_named(bench: Bench, row: str) -> None:
    text = headway(bench.url, "audit", "head").out.strip()
    number, _, digest = text.partition(":")
    done = headway(bench.url, "audit", "verify", "--head", f"{row}:{digest}")
    texts = f"BROKEN at row {row}: the head that was kept elsewhere names row {row}, and its hash is row {number}'s"
    assert (1, f"{texts}: one is mistyped") == (done.code, " ".join(done.out.split()))
    assert 0 == headway(bench.url, "audit", "verify", "--head", digest).code


@pytest.mark.parametrize("head", ["x", "1:abc", "g" * 64])
def test_a_head_that_is_none_is_refused(bench: Bench, head: str) -> None:
    assert 2 == headway(bench.url, "audit", "verify", "--head", head).code


def test_a_rerun_without_a_reason_is_refused_where_a_reason_is_wanted(bench: Bench) -> None:
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(1,)))
    bench.parts.config_sync.sync(bench.fence)
    with answering(bench):
        done = headway(bench.url, "rerun", "fake/extract", "--yes", "--timeout", "10")
    assert (4, True) == (done.code, "give a reason (--why)" in done.err), done.err


@pytest.mark.parametrize(
    "what",
    [
        "at_us = 'soon'",
        "at_us = 99999999999999999",
        "detail = X'FF00'",
        "detail = replace(printf('%100000s', ''), ' ', '[')",
        "detail = '{\"x\": ' || replace(hex(zeroblob(200)), '0', '[') || replace(hex(zeroblob(200)), '0', ']') || '}'",
        "actor = X'1B5B324A'",
        "why = X'80'",
    ],
)
def test_a_forged_row_is_named_and_shown_safely(bench: Bench, key: str, what: str) -> None:
    with bench.store.write(None) as connection:
        connection.rows("DROP TRIGGER audit_refuses_update")
        connection.rows(f"UPDATE audit SET {what} WHERE seq = 2")
    assert (1, True) == (
        headway(bench.url, "audit", "verify").code,
        "row 2" in headway(bench.url, "audit", "verify").out,
    )
    shown = headway(bench.url, "audit")
    assert (0, False) == (shown.code, "\x1b" in shown.out)
    assert 0 == headway(bench.url, "audit", "--json").code


class Keyboard:
    """A terminal at which somebody types these lines."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return f"{self.lines.pop(0)}\n"


def test_at_a_terminal_the_reason_is_prompted_for_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(1,)))
    bench.parts.config_sync.sync(bench.fence)
    monkeypatch.setattr("sys.stdin", Keyboard("a bad file", "y"))
    with answering(bench):
        done = headway(bench.url, "rerun", "fake/extract", "--timeout", "0")
    assert (5, True) == (done.code, "tier 1 (supply) " in done.err), done.err
    rows = headway(bench.url, "audit", "--object", "extract", "--json").data
    assert [("request rerun", "a bad file")] == [(row["verb"], row["why"]) for row in rows]


def test_the_reason_for_a_plan_is_prompted_for_before_it_is_confirmed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(1,)))
    bench.parts.config_sync.sync(bench.fence)
    bench.parts.evaluator.step(bench.fence)
    monkeypatch.setattr("sys.stdin", Keyboard("a bad file", "INC-0001"))
    with answering(bench):
        done = headway(bench.url, "recover", "INC-0001", "--timeout", "0")
    assert (5, True) == (done.code, "tier 1 (supply) " in done.err), done.err
    rows = headway(bench.url, "audit", "--json").data
    assert [("start plan", "a bad file")] == [(row["verb"], row["why"]) for row in rows if row["object"] != "config"]


def test_a_plan_that_tier_one_hangs_on_is_not_started_by_a_yes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.parts.evaluator.step(bench.fence)
    monkeypatch.setattr("sys.stdin", Keyboard("a bad file", "y"))
    with answering(bench):
        done = headway(bench.url, "recover", "INC-0001", "--timeout", "30")
    assert Exit.REFUSED == done.code, done.err
    assert "  tier 1     affects supply" in done.out.splitlines()
    assert "affects tier 1 (supply): type INC-0001 to confirm" in done.err
    assert [] == headway(bench.url, "plan", "--json").data


def test_a_dry_run_says_which_reason_sending_would_take(bench: Bench) -> None:
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(1,)))
    bench.parts.config_sync.sync(bench.fence)
    with answering(bench):
        done = headway(bench.url, "rerun", "fake/extract", "--dry-run")
    assert (0, True) == (
        done.code,
        re.search(r"^sending would be refused: tier 1 \(supply\) .* \(--why\)", done.err, re.MULTILINE) is not None,
    ), done.err


@each_row("what", ["store", *sorted({*GRANT_FILES} - {"cron"})])
def test_the_grants_are_printed_as_they_are(what: str) -> None:
    done = headway("none.db", *(("store", "grants") if what == "store" else ("connector", "grants", what)))
    assert (0, "") == (done.code, done.err)
    assert "headway" in done.out.lower()


def test_every_kind_with_an_endpoint_of_its_own_lists_its_grants() -> None:
    assert {"manual", "replay"} == set(registry.kinds()) - set(GRANT_FILES)


COMMANDS = {
    "airflow": ("airflow", "aws", "gcloud"), "azure_data_factory": ("az",), "azure_synapse": ("az",),
    "control_m": ("ctm",), "gitlab": ("curl",),
    **dict.fromkeys(("google_run_jobs", "google_scheduler", "google_workflows"), ("gcloud",)),
    "google_data_transfer": ("gcloud", "bq"),
}  # fmt: skip


@each_row("kind", COMMANDS)
def test_the_grants_of_a_cloud_are_commands_for_a_shell(kind: str) -> None:
    text = headway("none.db", "connector", "grants", kind).out
    read = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (0, "") == (read.returncode, read.stderr)
    assert set(COMMANDS[kind]) <= {line.split(" ")[0] for line in text.splitlines()}
    for document in re.findall(r"(?s)<<'END'\n(.*?)\nEND\n|--policy-document '(.*?)'", text):
        json.loads("".join(document))


def test_the_grants_of_snowflake_are_statements_with_a_network_policy() -> None:
    """A token of a SERVICE user can be created and used only under a network policy."""
    text = headway("none.db", "connector", "grants", "snowflake_tasks").out
    lines = [line.partition("--")[0].strip() for line in text.splitlines()]
    statements = [line for line in lines if line]
    assert [] == [line for line in statements if not line.endswith(";")]
    policy = statements.index("ALTER USER headway SET NETWORK_POLICY = headway;")
    token = next(n for n, line in enumerate(statements) if "ADD PROGRAMMATIC ACCESS TOKEN" in line)
    assert (True, True) == (policy < token, "GRANT MONITOR EXECUTION ON ACCOUNT TO ROLE headway;" in statements)


def test_the_grants_of_rundeck_are_an_acl_policy() -> None:
    policies = list(yaml.safe_load_all(headway("none.db", "connector", "grants", "rundeck").out))
    assert [{"application": "rundeck"}, {"project": "etl"}] == [policy["context"] for policy in policies]
    assert [{"allow": ["read", "kill"]}] == policies[1]["for"]["job"]


@each_row("kind", [kind for kind, file in GRANT_FILES.items() if file.suffix == ".json"])
def test_the_policy_for_aws_is_json_and_grants_no_more_than_is_named(kind: str) -> None:
    policy = json.loads(headway("none.db", "connector", "grants", kind).out)
    actions = [item["Action"] for item in policy["Statement"]]
    named = [item for action in actions for item in (action if isinstance(action, list) else [action])]
    assert [] == [item for item in named if "*" in item]


def test_what_came_back_is_last_so_that_no_row_is_as_wide_as_the_longest(bench: Bench) -> None:
    with bench.store.write(None) as connection:
        audit.append(connection, 1, "mara", "", "rerun", "etl/a", {"refused": "no " * 90}, "why")
        audit.append(connection, 2, "jo", "", "freeze", "estate", {}, "short")
    long, short = headway(bench.url, "audit").out.splitlines()[-2:]
    assert ("no no" in long, len(short) < 120) == (True, True)


def test_a_hostile_row_is_printed_harmlessly(bench: Bench) -> None:
    with bench.store.write(None) as connection:
        audit.append(
            connection, 1, "\x1b[2Jmallory", "", "freeze", "\u202eestate", {"refused": "\x1b]0;x\x07no"}, "[/]"
        )
    done = headway(bench.url, "audit")
    assert ("\x1b" in done.out, "\u202e" in done.out, "[/]" in done.out) == (False, False, True)
