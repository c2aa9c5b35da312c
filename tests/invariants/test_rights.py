"""Nobody does what they may not: checked in the requester's process, and again by the engine before sending.

Every action of the code is in the one table; a permission removed in between refuses; an action that needs another
person's approval waits for one; and each step leaves its row in the audit."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connectors.sdk.contract import ActionSpec, Preview
from connectors.sdk.states import Capability, RunState, Verb
from console.config.sections import Config, DependencySettings
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.ids import new_action_key
from console.domain.plan import WAIT, PlanDraft
from console.domain.request import RequestKind
from console.engine.api.action_request import ActionRequest
from console.engine.api.client import EngineClient
from console.engine.api.requests import AcceptDrift, ApproveAction, ProposeRecovery, ReadLog
from console.store import audit as store_audit
from console.store.errors import NotAllowed, ReasonNeeded
from tests.action_requests import rerun_of
from tests.engine.actions.test_actions import fail, two_systems
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeConnector, FakeScheduler
from tests.lab.process import HANGS_SECONDS

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "console" / "engine"
Be = Callable[[str], None]


@pytest.fixture
def be(monkeypatch: pytest.MonkeyPatch) -> Be:
    """Makes this process somebody else, as far as the kernel says."""
    return lambda name: monkeypatch.setattr("console.store.access.os_user", lambda: name)


def estate(folder: Path, scheduler: FakeScheduler, tier: int = 1, **acting: Any) -> Config:
    """The bench's estate: alice acts, carol approves, vera views; its service is of `tier`."""
    config = estate_config(folder, scheduler)
    service = replace(config.services["supply"], tier=tier)
    permitted = (("alice", "act"), ("vera", "view"), ("carol", "approve"))
    return replace(
        config,
        services={"supply": service},
        permissions=tuple(PermissionRule(who, Role[role.upper()]) for who, role in permitted),
        acting=ActingRules(**acting),
    )


def running(folder: Path, **more: Any) -> Iterator[Bench]:
    scheduler = FakeScheduler(capabilities=frozenset(Capability))
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(folder, scheduler, estate(folder, scheduler, **more)) as made:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
        made.poller.poll_once(made.fence)
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from running(tmp_path, reason_tiers=())


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Bench]:
    """What hangs on tier 1 wants a reason and another person's approval."""
    yield from running(tmp_path, approval_tiers=(1,))


def permit(bench: Bench, **roles: str) -> None:
    """Config says something else from now on."""
    permitted = tuple(PermissionRule(who, Role[role.upper()]) for who, role in roles.items())
    bench.parts.config = replace(bench.parts.config, permissions=permitted)
    bench.parts.config_sync.sync(bench.fence)


def ask(bench: Bench, why: str = "it failed") -> str:
    key = new_action_key()
    preview = {"verb": "run again", "summary": "run it again", "scope": "1 run", "native_calls": ["POST /again"]}
    bench.requests().act(ActionRequest(Verb.RERUN, 1, preview=preview, why=why), key)
    return key


def step(bench: Bench) -> None:
    bench.parts.actions.step(bench.fence)


def state_and_text(bench: Bench, key: str) -> tuple[str, str]:
    with bench.reads() as reads:
        [action] = [action for action in reads.actions.list_actions(run_id=1) if action.key == key]
    return action.state, action.text


def audit(bench: Bench) -> list[tuple[str, str, dict[str, Any]]]:
    """(actor, verb, detail) of every row, the config's left out; the chain is whole."""
    with bench.store.read() as connection:
        rows = connection.rows(f"{store_audit.SELECT_AUDIT} ORDER BY seq")
    with bench.reads() as reads:
        assert None is reads.audit.verify_audit().bad
    return [(row[2], row[4], json.loads(row[6])) for row in rows if row[5] != "config"]


def verbs(bench: Bench) -> list[tuple[str, str]]:
    return [(who, verb) for who, verb, _ in audit(bench)]


def answer(bench: Bench, request_id: int) -> tuple[bool, str]:
    bench.parts.answers.step(bench.fence)
    request_answer = bench.requests().wait(request_id, HANGS_SECONDS)
    return request_answer.ok, request_answer.error


# -- the table and the code ------------------------------------------------------------------------------------------
def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in names:
            yield node


def test_what_is_no_kind_of_request_is_refused(bench: Bench, be: Be) -> None:
    with bench.store.write(None) as connection:
        connection.rows(
            "INSERT INTO request (id, kind, arguments, requested_by, requested_us, state, answer)"
            " VALUES (1, 'drop tables', '{}', 'ada', 0, 'pending', '{}')"
        )
    assert (False, 'the engine knows no request "drop tables"') == answer(bench, 1)


READS = {"transaction", "person", "origin", "answer", "wait", "wait_for", "subjects"}
"""Methods of the queue that insert no request."""
RECORDS = {"record_dependency_decision", "record_release", "audit", "audit_decision"}
"""Records of what was decided before: by the rights on the config file, or by a method that checks a right."""


def test_every_request_checks_a_right_first() -> None:
    """A new method without a check of a right fails here, also one that only reads."""
    unchecked: list[str] = []
    for name in ("queue.py", "plan_client.py", "client.py", "emergency.py"):
        module = ast.parse((ENGINE / "api" / name).read_text(encoding="utf-8"))
        classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
        methods = [node for owner in classes for node in owner.body if isinstance(node, ast.FunctionDef)]
        checks = ("may", "_authorize_all", "authorize_request", "ask")
        unchecked += [node.name for node in methods if node.name != "__init__" and not any(calls(node, *checks))]
    assert sorted(READS | RECORDS) == sorted(unchecked)


# -- requested twice -------------------------------------------------------------------------------------------------
def test_an_operator_can_act_and_it_is_recorded_from_the_request_to_the_outcome(bench: Bench, be: Be) -> None:
    be("alice")
    key = ask(bench)
    step(bench)
    assert ("sent", [key]) == (state_and_text(bench, key)[0], bench.scheduler.acted)
    assert [("alice", "request rerun"), ("headway", "send rerun"), ("headway", "accepted rerun")] == verbs(bench)
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, datetime.now(UTC), action_key=key)
    bench.poller.poll_once(bench.fence)
    step(bench)
    assert ("headway", "verified rerun") == verbs(bench)[-1]


def test_a_viewer_is_refused_at_once_and_learns_who_can_grant_it(bench: Bench, be: Be) -> None:
    be("vera")
    with pytest.raises(NotAllowed, match=r"needs role act on fake \(tier 1 \(supply\)\); you \(vera\) have view; ask "):
        ask(bench)
    with bench.reads() as reads:
        assert [] == list(reads.actions.list_actions(run_id=1))
    assert [("vera", "refuse rerun")] == verbs(bench)


def test_a_right_removed_in_between_refuses_at_sending(bench: Bench, be: Be) -> None:
    be("alice")
    key = ask(bench)
    permit(bench, alice="view", carol="approve")
    step(bench)
    state, message = state_and_text(bench, key)
    assert ("refused", []) == (state, bench.scheduler.acted)
    assert message.startswith("needs role act on fake")
    assert ("headway", "refuse rerun") == verbs(bench)[-1]


def test_a_right_removed_during_the_query_of_the_source_refuses_too(
    bench: Bench, be: Be, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("alice")
    key = ask(bench)
    preview = FakeConnector.preview

    def slow(self: FakeConnector, spec: ActionSpec, timeout_seconds: float) -> Preview:
        permit(bench, alice="view")
        return preview(self, spec, timeout_seconds)

    monkeypatch.setattr(FakeConnector, "preview", slow)
    step(bench)
    assert ("refused", []) == (state_and_text(bench, key)[0], bench.scheduler.acted)


def test_an_action_that_was_put_past_the_requests_is_refused_by_the_engine(bench: Bench, be: Be) -> None:
    """A direct write to the table gains nothing: the engine checks again by itself."""
    be("alice")
    key = ask(bench)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET requested_by = 'vera'")
    step(bench)
    assert ("refused", []) == (state_and_text(bench, key)[0], bench.scheduler.acted)


@pytest.mark.parametrize("kind", ["accept drift", "approve", "withdraw", "preview", "log"])
def test_a_question_that_was_put_past_the_requests_is_refused_too(bench: Bench, kind: str) -> None:
    arguments = json.dumps({"run_id": 1, "job_id": 1, "system": "fake", "key": "headway-x", "change": 0, "by": "carol"})
    with bench.store.write(None) as connection:
        connection.rows(
            "INSERT INTO request (id, kind, arguments, requested_by, requested_us, state, answer)"
            " VALUES (1, ?, ?, 'mallory', 0, 'pending', '{}')",
            (kind, arguments),
        )
    ok, error = answer(bench, 1)
    assert not ok
    assert "you (mallory) have no role there" in error


@pytest.mark.parametrize("more", [{"run_ids": [2, 1]}, {"run_ids": [2]}, {"incident_id": 1}, {"job_id": 1}])
def test_a_plan_is_shown_to_whom_may_view_every_run_in_it_whatever_else_was_named(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """A console that somebody changed names a job that they may see beside the runs that they may not."""
    other = FakeScheduler()
    other.job("report")
    with two_systems(tmp_path, other) as bench:
        for scheduler, job in ((bench.scheduler, "extract"), (other, "report")):
            fail(bench, scheduler, job)
        bench.parts.evaluator.step(bench.fence)
        limited = PermissionRule("vera", Role.VIEW, systems=("other",))
        bench.parts.config = replace(bench.parts.config, permissions=(limited,))
        bench.parts.config_sync.sync(bench.fence)
        with bench.store.write(None) as connection:
            [(report, run_id)] = connection.rows("SELECT job_id, id FROM run WHERE id = 2")
            arguments = {"job_id": report, "run_id": run_id, "verb": "rerun", "first": "2026-01-01"} | more
            connection.rows(
                "INSERT INTO request (id, kind, arguments, requested_by, requested_us, state, answer)"
                " VALUES (1, 'propose plan', ?, 'vera', 0, 'pending', '{}')",
                (json.dumps(arguments | {"last": "2026-01-01"}),),
            )
        ok, error = answer(bench, 1)
        assert ok == (more == {"run_ids": [2]}), error
        assert ok or "needs role view on fake" in error


def test_a_plan_with_a_step_outside_the_requesters_view_is_not_shown(tmp_path: Path, be: Be) -> None:
    other = FakeScheduler()
    other.job("report")
    with two_systems(tmp_path, other) as bench:
        edge = DependencySettings(upstream="other/report", downstream="fake/extract")
        limited = PermissionRule("vera", Role.VIEW, systems=("other",))
        bench.parts.config = replace(bench.parts.config, dependencies=(edge,), permissions=(limited,))
        fail(bench, other, "report")
        fail(bench, bench.scheduler, "extract")
        bench.parts.config_sync.sync(bench.fence)
        bench.parts.evaluator.step(bench.fence)
        be("vera")
        with bench.store.read() as connection:
            sql = "SELECT r.job_id, r.period_key FROM run r JOIN job j ON j.id = r.job_id WHERE j.native_id = 'extract'"
            [(job_id, period)] = connection.rows(sql)
        for left_out in ([], [(job_id, period)]):
            ok, error = answer(
                bench, EngineClient(bench.url).ask(ProposeRecovery(1, all=True, leave_out=tuple(left_out)))
            )
            assert (False, True) == (ok, error.startswith("needs role view on fake")), left_out


def test_a_person_without_a_permission_may_not_even_view(bench: Bench, be: Be) -> None:
    be("mallory")
    requests = bench.requests()
    questions: tuple[Callable[[], int], ...] = (
        lambda: requests.preview(rerun_of(1)),
        lambda: requests.ask(ReadLog(1)),
        lambda: requests.ask(AcceptDrift(1, 0)),
    )
    for question in questions:
        with pytest.raises(NotAllowed, match=r"you \(mallory\) have no role there"):
            question()
    assert [("mallory", "refuse accept drift")] == verbs(bench)


def test_a_viewer_gets_an_answer(bench: Bench, be: Be) -> None:
    be("vera")
    assert (True, "") == answer(bench, bench.requests().preview(rerun_of(1)))


def test_an_accepted_drift_is_recorded_with_who_and_from_where(bench: Bench, be: Be) -> None:
    be("alice")
    assert (True, "") == answer(bench, bench.requests().ask(AcceptDrift(1, 0)))
    assert ("alice", "accept drift") == verbs(bench)[-1]


def test_an_estate_without_permissions_is_open_to_who_can_write_its_store(bench: Bench, be: Be) -> None:
    permit(bench)
    be("mallory")
    key = ask(bench)
    step(bench)
    assert "sent" == state_and_text(bench, key)[0]


# -- reasons and approvals -------------------------------------------------------------------------------------------
def test_a_tier_one_action_without_a_reason_is_refused(strict: Bench, be: Be) -> None:
    be("alice")
    with pytest.raises(ReasonNeeded, match=r"tier 1 \(supply\)"):
        ask(strict, why=" ")
    assert [] == [verb for _, verb in verbs(strict) if verb.startswith("refuse")]  # it was only asked for a reason


def alerts(bench: Bench, of: str) -> list[tuple[str, str]]:
    """(title, body) of every alert with this in its title, as it arrived."""
    bench.send()
    return [(title, body) for _, title, body in bench.sink.got if of in title]


def test_an_approval_is_of_what_was_shown(strict: Bench, be: Be) -> None:
    be("alice")
    key = ask(strict)
    step(strict)
    shown = strict.digest(key)
    with strict.store.write(None) as session:
        session.rows("UPDATE action SET parameters = ? WHERE key = ?", ('{"conf": {"all": true}}', key))
    be("carol")
    refused = f"it changed after you viewed it. Fix: review it again: headway action approve {key}"
    assert (False, refused) == answer(strict, strict.requests().ask(ApproveAction(key, shown)))
    assert (True, "") == answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))


def test_what_needs_approval_is_sent_once_another_person_has_approved_it(strict: Bench, be: Be) -> None:
    be("alice")
    key = ask(strict)
    step(strict)
    [(title, body)] = alerts(strict, "Approval required")
    assert title.endswith("Approval required: rerun fake/extract")
    shown = (f"headway action approve {key}", "Requested by  alice", "it failed", "May approve: carol.")
    assert [] == [text for text in shown if text not in body]
    waits = f"waiting for approval by carol: headway action approve {key}"
    assert (("requested", waits), []) == (state_and_text(strict, key), strict.scheduler.acted)
    with pytest.raises(NotAllowed, match="needs role approve"):
        strict.requests().ask(ApproveAction(key, strict.digest(key)))
    permit(strict, alice="admin", carol="approve")
    with pytest.raises(NotAllowed, match=r"^alice "):
        strict.requests().ask(ApproveAction(key, strict.digest(key)))
    be("carol")
    assert (True, "") == answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))
    assert (False, "it is approved already, by carol") == answer(
        strict, strict.requests().ask(ApproveAction(key, strict.digest(key)))
    )
    step(strict)
    assert ("sent", [key]) == (state_and_text(strict, key)[0], strict.scheduler.acted)
    assert 1 == len(alerts(strict, "Approval required"))
    assert ("carol", "approve rerun") in verbs(strict)
    [sent] = [detail for _, verb, detail in audit(strict) if verb == "send rerun"]
    assert ("alice", "carol", ["POST /again"]) == (sent["requested_by"], sent["approved_by"], sent["sends"])


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.MARK_OK, Verb.SKIP, Verb.HOLD])
def test_a_needed_approval_is_notified_once_for_every_verb_and_across_engines(
    strict: Bench, be: Be, verb: Verb
) -> None:
    be("alice")
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    about = {"job_id": 1, "parameters": {"by": "alice", "until": until}} if verb is Verb.HOLD else {"run_id": 1}
    key = new_action_key()
    strict.requests().act(ActionRequest(verb, why="it is broken", **about), key)
    for _ in range(3):
        step(strict)
    strict.restart()
    step(strict)
    what = str(verb).replace("_", " ")
    assert [True] == [name.endswith(f": {what} fake/extract") for name, _ in alerts(strict, "Approval required")]


def test_an_approval_before_the_engine_evaluated_is_not_requested_again(strict: Bench, be: Be) -> None:
    be("alice")
    key = ask(strict)
    be("carol")
    assert (True, "") == answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))
    step(strict)
    assert ([], [key]) == (alerts(strict, "Approval required"), strict.scheduler.acted)


def test_f65_an_action_not_approved_within_an_hour_is_refused(strict: Bench, be: Be) -> None:
    be("alice")
    key = ask(strict)
    step(strict)
    with strict.store.write(None) as connection:
        connection.rows("UPDATE action SET requested_us = requested_us - 3601000000")
    be("carol")
    ok, error = answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))
    assert (False, True) == (ok, error.startswith("requested 1h"))
    step(strict)
    step(strict)
    assert ("refused", "not approved within 1h: request it again") == state_and_text(strict, key)
    assert [] == strict.scheduler.acted
    [(title, body)] = alerts(strict, "not approved in time")
    assert title.endswith("Rerun: not approved in time: rerun fake/extract")
    assert "not approved within 1h: request it again" in body


@pytest.mark.parametrize(
    "name, value, off, message",
    [
        ("freeze", "on", "off", "frozen by ada since"),
        ("mode", "shadow", "live", "fake is in shadow: nothing is sent there"),
    ],
)
def test_nothing_is_approved_while_nothing_may_be_sent(
    strict: Bench, be: Be, name: str, value: str, off: str, message: str
) -> None:
    """An approval that would be refused says so to the approver, and is possible once that is over."""
    permit(strict, alice="act", carol="approve", ada="admin")
    be("alice")
    key = ask(strict)
    be("ada")
    strict.requests().turn(name, value, "maintenance")
    be("carol")
    ok, error = answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))
    assert (False, True) == (ok, error.startswith(message)), error
    assert error.endswith("Then approve it")
    step(strict)
    assert "requested" == state_and_text(strict, key)[0]
    be("ada")
    strict.requests().turn(name, off, "done")
    be("carol")
    assert (True, "") == answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))
    step(strict)
    assert "sent" == state_and_text(strict, key)[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ("approved_us = approved_us - 3601000000", "an approval is valid for 1h"),
        ("approved_by = 'alice'", "approved by alice, who no longer has the right: "),
        ("approved_by = 'vera'", "; vera has view; ask "),
    ],
)
def test_f65_an_approval_must_still_hold_when_it_is_sent(strict: Bench, be: Be, change: str, message: str) -> None:
    be("alice")
    key = ask(strict)
    be("carol")
    assert (True, "") == answer(strict, strict.requests().ask(ApproveAction(key, strict.digest(key))))
    with strict.store.write(None) as connection:
        connection.rows(f"UPDATE action SET {change}")
    step(strict)
    assert ("refused", True, []) == (
        state_and_text(strict, key)[0],
        message in state_and_text(strict, key)[1],
        strict.scheduler.acted,
    )
    assert "you" not in state_and_text(strict, key)[1].split()  # the requester reads it, and is not the approver


def test_a_rule_that_came_meanwhile_makes_it_wait_for_an_approval(bench: Bench, be: Be) -> None:
    be("alice")
    key = ask(bench)
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(), approval_tiers=(1,)))
    bench.parts.config_sync.sync(bench.fence)
    step(bench)
    assert ("requested", f"waiting for approval by carol: headway action approve {key}") == state_and_text(bench, key)
    be("carol")
    assert (True, "") == answer(bench, bench.requests().ask(ApproveAction(key, bench.digest(key))))
    step(bench)
    assert "sent" == state_and_text(bench, key)[0]


MORE = (
    "INSERT INTO action (key, verb, job_id, run_id, state, preview, parameters, origin, requested_by, requested_from,"
    " why, overlap, needs_approval, approved_by, requested_us, native_ref, text, next_us, looked_up, changed_seq)"
    " SELECT :key, verb, job_id, run_id, state, preview, parameters, origin, requested_by, requested_from, why,"
    " overlap, needs_approval, approved_by, requested_us + :later, native_ref, text, next_us, looked_up, changed_seq"
    " FROM action WHERE key = :like"
)


def test_a_person_above_the_hourly_limit_is_stopped_at_the_request_and_at_the_send(bench: Bench, be: Be) -> None:
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(), per_hour=2))
    bench.parts.config_sync.sync(bench.fence)
    be("alice")
    keys = [ask(bench)]
    with bench.store.engine.begin() as connection:  # past the requests: three more, as one who never waits would ask
        for number in (1, 2, 3):
            keys.append(f"{keys[0]}{number}")
            connection.execute(text(MORE), {"key": keys[-1], "later": number, "like": keys[0]})
        connection.execute(text("UPDATE action SET overlap = 'allow'"))
    with pytest.raises(NotAllowed, match=r"alice requested 4 actions within the hour, the limit of \[acting\]"):
        bench.requests().act(ActionRequest(Verb.CANCEL, 1, why="x"), new_action_key())
    step(bench)
    assert ["refused", "refused"] == [state_and_text(bench, key)[0] for key in keys[2:]]
    assert keys[:2] == bench.scheduler.acted
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET requested_us = requested_us - 3600000000, state = 'verified'")
    ask(bench)


# -- plans -----------------------------------------------------------------------------------------------------------
def planned(bench: Bench) -> PlanDraft:
    """The plan that repairs extract's run: one step."""
    bench.parts.evaluator.step(bench.fence)
    requests = EngineClient(bench.url)
    question = requests.propose_bulk([1], Verb.RERUN)
    bench.parts.answers.step(bench.fence)
    return PlanDraft.read(requests.wait(question, HANGS_SECONDS).data)


def turn(bench: Bench) -> None:
    bench.parts.plans.step(bench.fence)
    step(bench)
    bench.parts.plans.step(bench.fence)


def states(bench: Bench) -> list[str]:
    """Of the plan, its step and the step's action."""
    with bench.store.read() as connection:
        sql = "SELECT p.state, s.state, a.state FROM plan p, plan_step s LEFT JOIN action a ON a.key = s.action_key"
        return list(connection.rows(sql)[0])


def test_a_viewer_sees_a_plan_and_cannot_start_it(bench: Bench, be: Be) -> None:
    be("vera")
    draft = planned(bench)
    with pytest.raises(NotAllowed, match="needs role act on fake"):
        EngineClient(bench.url).start_plan(draft, new_action_key(), "why not")
    assert ("vera", "refuse start plan") in verbs(bench)


def test_a_viewer_cannot_start_a_plan_that_only_waits_either(bench: Bench, be: Be) -> None:
    """It sends nothing, but blocks everybody's plan for the incident."""
    be("vera")
    draft = planned(bench)
    waits = replace(draft, steps=tuple(replace(step, verb=WAIT) for step in draft.steps))
    with pytest.raises(NotAllowed, match="needs role act on fake"):
        EngineClient(bench.url).start_plan(waits, new_action_key(), "why not")
    be("alice")
    EngineClient(bench.url).start_plan(draft, new_action_key(), "a bad file")


def test_no_plan_starts_or_goes_on_while_nothing_may_be_sent(bench: Bench, be: Be) -> None:
    permit(bench, alice="act", ada="admin")
    be("alice")
    draft = planned(bench)
    number = EngineClient(bench.url).start_plan(draft, new_action_key(), "a bad file")
    EngineClient(bench.url).steer_plan(number, RequestKind.PAUSE_PLAN)
    bench.requests().turn("freeze", "on", "maintenance")
    for ask_for in (
        lambda: EngineClient(bench.url).start_plan(draft, new_action_key(), "a bad file"),
        lambda: EngineClient(bench.url).steer_plan(number, RequestKind.RESUME_PLAN),
    ):
        with pytest.raises(NotAllowed, match="frozen by alice since"):
            ask_for()
    assert "aborted" == EngineClient(bench.url).steer_plan(number, RequestKind.ABORT_PLAN)


def test_the_steps_of_a_plan_count_as_requests_of_its_starter(bench: Bench, be: Be) -> None:
    """Planned or sent: else a hundred runs an hour are one key press each."""
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(), per_hour=1))
    bench.parts.config_sync.sync(bench.fence)
    be("alice")
    draft = planned(bench)
    EngineClient(bench.url).start_plan(draft, new_action_key(), "a bad file")
    for _ in range(2):
        with pytest.raises(NotAllowed, match="alice requested 1 action within the hour"):
            bench.requests().act(ActionRequest(Verb.CANCEL, 1, why="x"), new_action_key())
        with pytest.raises(NotAllowed, match="alice requested 1 action within the hour"):
            EngineClient(bench.url).start_plan(draft, new_action_key(), "again")
        turn(bench)
    assert "sent" == states(bench)[2]


def test_a_plan_that_was_put_past_the_limit_is_refused_when_it_is_sent(bench: Bench, be: Be) -> None:
    be("alice")
    ask(bench)
    step(bench)
    bench.scheduler.attempt("extract", "a2", RunState.FAILED, datetime.now(UTC), action_key=printed_key(bench))
    bench.poller.poll_once(bench.fence)
    step(bench)
    EngineClient(bench.url).start_plan(planned(bench), new_action_key(), "a bad file")
    bench.parts.config = replace(bench.parts.config, acting=ActingRules(reason_tiers=(), per_hour=1))
    bench.parts.config_sync.sync(bench.fence)
    turn(bench)
    with bench.store.read() as connection:
        row = connection.rows("SELECT text FROM plan")[0][0]
    assert "refused: alice requested 1 action within the hour" in row
    assert 1 == len(bench.scheduler.acted)


def printed_key(bench: Bench) -> str:
    with bench.reads() as reads:
        return str(reads.actions.list_actions(run_id=1)[0].key)


def test_a_step_of_a_plan_acts_by_the_right_of_who_started_it_at_that_moment(bench: Bench, be: Be) -> None:
    be("alice")
    EngineClient(bench.url).start_plan(planned(bench), new_action_key(), "a bad file")
    permit(bench, alice="view")
    turn(bench)
    assert (["stopped", "failed", "refused"], []) == (states(bench), bench.scheduler.acted)


def test_a_step_that_needs_approval_waits_for_another_person(strict: Bench, be: Be) -> None:
    be("alice")
    EngineClient(strict.url).start_plan(planned(strict), new_action_key(), "a bad file")
    turn(strict)
    turn(strict)
    assert (["running", "requested", "requested"], []) == (states(strict), strict.scheduler.acted)
    be("carol")
    with strict.reads() as reads:
        [waiting] = [approval.key for approval in reads.approvals.list_approvals()]
    assert (True, "") == answer(strict, strict.requests().ask(ApproveAction(waiting, strict.digest(waiting))))
    turn(strict)
    assert ("sent", [waiting]) == (states(strict)[2], strict.scheduler.acted)


# -- policies --------------------------------------------------------------------------------------------------------
POLICYS = (
    "INSERT INTO action (key, verb, job_id, state, preview, parameters, origin, requested_by, requested_from, why,"
    " overlap, needs_approval, approved_by, requested_us, native_ref, text, next_us, looked_up, changed_seq)"
    " SELECT 'headway-0123456789ab', 'hold', id, 'requested', '{}', :ask, 'hold', 'headway', '', '', 'refuse', FALSE,"
    " '', 0, '', '', 0, 0, 0 FROM job WHERE native_id = 'load'"
)


@pytest.mark.parametrize("mode, state", [("hold", "sent"), ("observe", "refused")])
def test_a_policy_holds_only_where_config_says_so(bench: Bench, mode: str, state: str) -> None:
    edge = DependencySettings(upstream="fake/extract", downstream="fake/load", mode=mode)
    bench.parts.config = replace(bench.parts.config, dependencies=(edge,))
    bench.parts.config_sync.sync(bench.fence)
    with bench.store.engine.begin() as connection:
        connection.execute(text(POLICYS), {"ask": json.dumps({"by": "headway", "until": "2126-01-01T00:00:00Z"})})
    step(bench)
    with bench.store.read() as connection:
        row = connection.rows("SELECT state FROM action")[0][0]
    assert state == row


def test_a_changed_config_is_reported_with_both_digests(bench: Bench) -> None:
    settings = replace(bench.parts.config, digest="another")
    bench.parts.config = settings
    bench.parts.config_sync.sync(bench.fence)
    bench.parts.config_sync.sync(bench.fence)
    with bench.store.read() as connection:
        rows = [row[0] for row in connection.rows("SELECT detail FROM audit WHERE object = 'config' ORDER BY seq")]
    assert [("", "digest"), ("digest", "another")] == [
        (json.loads(row)["before"], json.loads(row)["after"]) for row in rows
    ]
