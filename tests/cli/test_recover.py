"""`headway recover`: the whole plan, and one step by hand; what goes to stdout is data, for people or for a program."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli import plan_draft
from console.cli.clock_format import command_zone, share_service_zone
from console.cli.exits import Exit
from console.cli.main import main
from console.domain.ids import new_action_key
from console.domain.job import Safety
from console.domain.plan import PlanDraft
from console.domain.reason import GreenAgain
from console.domain.settings import JobSetting
from console.domain.text import At, render
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeRecovery
from console.store.queries.reader import Queries
from console.timing.clock import real_now
from tests.engine.bench import Bench, estate_config, running_bench
from tests.engine.conftest import bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.present import present
from tests.tui.fake_reads import FakeReads, at, draft, plan_of

__all__ = ["bench"]


@contextmanager
def at_work(bench: Bench) -> Iterator[None]:
    """The engine's parts that a person waits for, on a thread."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            bench.parts.answers.step(bench.fence)
            bench.parts.plans.step(bench.fence)
            bench.parts.actions.step(bench.fence)
            bench.turn()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(HANGS_SECONDS)


def fail(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=1), message="exit 1")
    bench.scheduler.on_act = lambda key: succeed(bench, key)
    bench.turn()


def succeed(bench: Bench, key: str) -> None:
    end(bench, key, RunState.SUCCEEDED)


def end(bench: Bench, key: str, state: RunState) -> None:
    message = "exit 1" if state is RunState.FAILED else ""
    bench.scheduler.attempt("extract", "a2", state, real_now(), action_key=key, period_key=None, message=message)


def test_a_plain_proposal_has_one_fact_per_line(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fail(bench)
    with at_work(bench):
        assert main(["--store", bench.url, "recover", "INC-0001", "--dry-run", "--plain"]) == Exit.OK
    lines = [line for line in capsys.readouterr().out.splitlines() if "[info " not in line]
    assert [] == [line for line in lines if line.startswith(" ") or "  " in line]
    assert any(line.startswith("why: ") for line in lines), lines


@pytest.mark.deep
def test_with_json_stdout_is_one_document_from_the_step_to_its_end(bench: Bench) -> None:
    fail(bench)
    argv = [sys.executable, "-m", "console", "--store", bench.url, "rerun", "fake/extract", "--yes", "--json"]
    with at_work(bench):
        done = subprocess.run([*argv, "--timeout", "30"], capture_output=True, text=True, check=False)
    assert (Exit.OK, "run again") == (done.returncode, json.loads(done.stdout)["verb"]), done.stderr


def test_a_closed_incident_says_why_it_is_over(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fail(bench)
    bench.scheduler.end("a1", RunState.SUCCEEDED, present())
    bench.turn()
    capsys.readouterr()
    text = f"closed: {render(GreenAgain().text, str)}"
    assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001"])
    assert f"{text}\n" == capsys.readouterr().out
    assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--json"])
    assert {"steps": [], "closed": text} == json.loads(capsys.readouterr().out)


def test_without_an_engine_a_recovery_is_still_one_document(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fail(bench)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = ''")
    capsys.readouterr()
    assert Exit.NO_ENGINE == main(["--store", bench.url, "recover", "INC-0001", "--dry-run", "--json"])
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (["fake/extract"], None) == ([step["job"] for step in document["steps"]], document["number"])
    assert "nothing was requested" in output.err


def test_a_plan_is_shown_whole_and_carried_out_to_its_end(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fail(bench)
    with at_work(bench):
        assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--dry-run"])
        shown = capsys.readouterr().out.splitlines()
        assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "30"])
    output = capsys.readouterr()
    for line in (
        "repair fake/extract: 1 step",
        f"  1 run again: fake/extract  run 1  extract@{present() - timedelta(minutes=1):%Y-%m-%d} (failed)",
        "      why      it ended failed",
        "      duration 10m · declared duration",
        "      safety   safe",
    ):
        assert line in shown
    for beginning in ("      saves    Supply plan: act by ", "  excluded   fake/load: "):
        assert any(line.startswith(beginning) for line in shown)
    assert "plan 1 started; headway plan 1 shows it" in output.err
    assert "watching until it ends, at most " in output.err
    assert "1 fake/extract: verified: succeeded (native)" in output.err.splitlines()
    assert "plan 1 done: 1 of 1 step is over" == output.out.splitlines()[-1]


@pytest.mark.parametrize(
    "change, text",
    [
        (["--leave-out", "1"], "  excluded   fake/extract: left out by hand"),
        (["--leave-out", "1"], "  not saved  Supply plan: not by this plan: fake/extract is left out"),
    ],
)
def test_a_changed_plan_promises_nothing_that_it_cannot_keep(
    bench: Bench, capsys: pytest.CaptureFixture[str], change: list[str], text: str
) -> None:
    fail(bench)
    with at_work(bench):
        assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--dry-run", *change])
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith(text) for line in shown), shown
    assert [] == [line for line in shown if line.startswith("      saves ")]


@pytest.mark.deep
def test_errors_beside_a_plan_are_printed_at_its_end(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """load read too early while the plan went on."""
    monkeypatch.setattr(plan_draft, "VERDICT_SECONDS", 2.0)
    fail(bench)

    def act(key: str) -> None:
        bench.scheduler.attempt("load", "b1", RunState.SUCCEEDED, present() - timedelta(seconds=30))
        succeed(bench, key)

    bench.scheduler.on_act = act
    with at_work(bench):
        assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "30"])
        texts = ["INC-0001 stays open", "still red or stale: fake/load", "at risk, not lost yet: Supply plan",
                "Next: headway recover INC-0001 --all"]  # fmt: skip
        err = capsys.readouterr().err
        assert texts == [line for line in err.splitlines() if line in texts], err
        assert Exit.OK == main(["--store", bench.url, "plan", "1"])
        assert texts == capsys.readouterr().out.splitlines()[-4:]


@pytest.mark.deep
def test_a_plan_as_json_is_one_document_with_its_number(bench: Bench) -> None:
    fail(bench)
    argv = [sys.executable, "-m", "console", "--store", bench.url, "recover", "INC-0001", "--yes", "--json"]
    with at_work(bench):
        done = subprocess.run([*argv, "--timeout", "30"], capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert (Exit.OK, 1, ["fake/extract"]) == (
        done.returncode,
        document["number"],
        [step["job"] for step in document["steps"]],
    )
    preview = document["steps"][0]["preview"]
    assert ("run again", False) == (preview["verb"], "plan" in preview)


def test_a_plan_that_stops_is_a_problem_and_recovery_says_where(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(bench)
    bench.scheduler.on_act = lambda key: end(bench, key, RunState.FAILED)
    with at_work(bench):
        assert Exit.PROBLEM == main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "30"])
        capsys.readouterr()
        assert Exit.PROBLEM == main(["--store", bench.url, "plan", "1"])
        shown = capsys.readouterr().out
        assert "plan 1 is stopped: repair fake/extract  INC-0001" in shown
        assert "  step 1, fake/extract: ended failed: exit 1; to go on: headway plan resume 1" in shown
        assert Exit.OK == main(["--store", bench.url, "incident", "INC-0001"])
        assert "plan 1 is stopped, 0 of 1 steps done: headway plan 1" in capsys.readouterr().out
        assert Exit.OK == main(["--store", bench.url, "plan"])
        assert "stopped" in capsys.readouterr().out
        assert Exit.OK == main(["--store", bench.url, "plan", "abort", "1", "--json"])
        out = capsys.readouterr().out
        assert '"state": "aborted"' in out
        assert Exit.USAGE == main(["--store", bench.url, "plan", "resume", "1"])
        assert "plan 1 was not resumed. Fix: --yes to resume it without a terminal" in capsys.readouterr().err
        assert Exit.REFUSED == main(["--store", bench.url, "plan", "resume", "1", "--yes"])
        assert "plan 1 is aborted: it cannot be resumed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, code, text",
    [
        (("--leave-out", "7"), Exit.USAGE, "there is no step 7; the plan has 1; nothing was sent"),
        (("--only", "load"), Exit.USAGE, '"load" matches no steps; the plan has: 1 fake/extract'),
        (("--leave-out", "extract"), Exit.PROBLEM, "the plan has no step to send; --all also reruns"),
        ((), Exit.USAGE, "nothing was sent. Fix: --yes to start it without a terminal"),
    ],
)
def test_an_invalid_plan_change_is_refused_and_nothing_is_sent(
    bench: Bench, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: Exit, text: str
) -> None:
    fail(bench)
    with at_work(bench):
        assert code == main(["--store", bench.url, "recover", "INC-0001", *more])
    assert text in capsys.readouterr().err
    assert [] == bench.scheduler.acted


def test_a_refused_step_is_one_document_that_says_why(tmp_path: Path) -> None:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    config = estate_config(tmp_path, scheduler)
    never = replace(config, jobs={"fake/extract": JobSetting("fake/extract", owner="team", rerun=Safety.NEVER)})
    with running_bench(tmp_path, scheduler, never) as bench:
        fail(bench)
        argv = [
            sys.executable,
            "-m",
            "console",
            "--store",
            bench.url,
            "rerun",
            "fake/extract",
            "--dry-run",
            "--json",
        ]
        with at_work(bench):
            done = subprocess.run([*argv, "--timeout", "30"], capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert (Exit.REFUSED, "never") == (done.returncode, document["safety"]), done.stderr


def test_without_a_running_plan_the_command_for_finished_plans_is_printed(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = "no open plan; headway plan --all includes ended ones"
    for more, is_reported in (([], True), (["--all"], False)):
        assert Exit.OK == main(["plan", *more, "--store", bench.url])
        assert is_reported == (hint in capsys.readouterr().err)


def test_an_unknown_plan_is_reported(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ((), ("abort",)):
        assert Exit.NOT_FOUND == main(["--store", bench.url, "plan", *verb, "9"])
        assert "headway: there is no plan 9; headway plan --all lists them\n" == capsys.readouterr().err


@pytest.mark.deep
def test_a_step_that_waits_says_for_what(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A rerun of one's own is under way: nobody would know why the plan does nothing."""
    fail(bench)
    bench.scheduler.on_act = None
    with at_work(bench):
        main(["--store", bench.url, "rerun", "fake/extract", "--yes", "--timeout", "1"])
    requests = EngineClient(bench.url)
    question = requests.ask(ProposeRecovery(1))
    bench.parts.answers.step(bench.fence)
    draft = PlanDraft.read(requests.wait(question, HANGS_SECONDS).data)
    requests.start_plan(replace(draft, steps=(replace(draft.steps[0], verb="rerun"),)), new_action_key())
    bench.parts.plans.step(bench.fence)
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "plan", "1"])
    shown = capsys.readouterr().out
    assert f"      waits for {getpass.getuser()} rerun, an action in flight on its run\n" in shown


@pytest.mark.deep
def test_a_plan_without_an_engine_says_what_makes_it_go_on(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fail(bench)
    bench.scheduler.on_act = None
    with at_work(bench):
        main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "1"])
    assert Exit.OK == main(["--store", bench.url, "plan", "pause", "1"])
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "plan", "1"])
    assert "  continue: headway plan resume 1, or headway plan abort 1\n" in capsys.readouterr().out
    assert Exit.OK == main(["--store", bench.url, "plan", "resume", "1", "--yes"])
    capsys.readouterr()
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = ''")
    assert Exit.OK == main(["--store", bench.url, "plan", "1"])
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("the plan continues when one is. Fix: headway engine")


def test_a_plan_is_printed_in_the_zone_of_its_incident(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(bench)
    with at_work(bench):
        assert Exit.OK == main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "30"])
    with bench.store.write(None) as session:
        session.rows("UPDATE service SET zone = 'Asia/Tokyo'")
        session.rows("UPDATE plan_step SET state = 'planned', due_us = 1795000000000000")
    monkeypatch.setattr(Queries, "service_zones", lambda _: {"Asia/Tokyo", "UTC"})
    capsys.readouterr()
    main(["--store", bench.url, "plan", "1"])
    assert " JST\n" in capsys.readouterr().out


@pytest.mark.deep
def test_a_plan_is_paused_and_aborted_without_an_engine(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopping needs nobody: what started it may be what was stopped."""
    fail(bench)
    bench.scheduler.on_act = None
    with at_work(bench):
        main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "1"])
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = ''")
    for verb, state in (("pause", "paused"), ("abort", "aborted")):
        capsys.readouterr()
        assert Exit.OK == main(["--store", bench.url, "plan", verb, "1"])
        assert f"plan 1 is {state}" in capsys.readouterr().err
        assert Exit.OK == main(["--store", bench.url, "incident", "INC-0001"])
        assert f"  plan 1 {state} ({getpass.getuser()})\n" in capsys.readouterr().out


@pytest.mark.parametrize("run_state, may_start", [(RunState.FAILED, True), (RunState.RUNNING, False)])
def test_an_aborted_plan_names_a_rerun_that_was_sent_and_may_still_start(
    bench: Bench, capsys: pytest.CaptureFixture[str], run_state: RunState, may_start: bool
) -> None:
    fail(bench)
    bench.scheduler.on_act = None
    with at_work(bench):
        main(["--store", bench.url, "recover", "INC-0001", "--yes", "--timeout", "0"])
        wait_until(
            lambda: [("sent",)] == [tuple(row) for row in bench.store.rows("SELECT state FROM action")], "a rerun"
        )
    with bench.store.write(None) as session:
        session.rows("UPDATE run SET state = ?", (run_state.value,))
    capsys.readouterr()
    assert Exit.OK == main(["--store", bench.url, "plan", "abort", "1"])
    output = capsys.readouterr().out
    assert may_start is bool(
        re.search(r"fake/extract .*\n +accepted\n +it was sent at .* and may still start\n", output)
    ), output


@pytest.mark.parametrize("moves_on", [False, True])
def test_a_plan_confirmed_late_is_computed_again_and_a_different_one_is_not_started(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, moves_on: bool
) -> None:
    def late_yes(*_: object) -> bool:
        if moves_on:
            bench.scheduler.attempt("load", "b1", RunState.FAILED, present())
            wait_until(lambda: ("fake/load", RunState.FAILED) in members(bench), "the engine's look at load")
        return True

    fail(bench)
    monkeypatch.setattr(plan_draft, "VALID_SECONDS", -1.0)
    monkeypatch.setattr(plan_draft, "_confirm_plan", late_yes)
    with at_work(bench):
        code = main(["--store", bench.url, "recover", "INC-0001", "--timeout", "30"])
    error_output = capsys.readouterr().err
    assert moves_on is ("the plan has changed since it was shown; nothing was sent" in error_output), error_output
    assert ((Exit.REFUSED, 0) if moves_on else (Exit.OK, 1)) == (code, len(bench.scheduler.done))


def members(bench: Bench) -> list[tuple[str, str]]:
    with bench.reads() as reads:
        return [(member.job, member.state) for member in reads.incidents.incident(1).members]


def test_a_freeze_and_a_pause_of_polls_name_the_plan_in_progress(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(bench)
    client = EngineClient(bench.url)
    question = client.ask(ProposeRecovery(1))
    bench.parts.answers.step(bench.fence)
    client.start_plan(PlanDraft.read(client.wait(question, HANGS_SECONDS).data), new_action_key())
    assert Exit.OK == main(["--store", bench.url, "system", "pause", "fake", "--why", "a new disk"])
    assert "plan 1 is running: it waits there until polling resumes" in capsys.readouterr().out
    main(["--store", bench.url, "freeze", "--why", "a new disk"])
    assert "plan 1 is running: a step due before the thaw is refused and stops it" in capsys.readouterr().out
    bench.parts.plans.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    bench.parts.plans.step(bench.fence)
    with bench.reads() as reads:
        assert "stopped" == reads.plans.plan(1).state
    assert Exit.OK == main(["--store", bench.url, "plan", "abort", "1", "--yes"])


def test_the_period_of_a_remaining_run_is_in_the_zone_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_draft, "store_reader", lambda _: nullcontext(FakeReads()))
    monkeypatch.setattr(
        plan_draft,
        "open_reason",
        lambda _: [("still red or stale: etl/load ", At(at("04:10")))],
    )
    done = replace(plan_of(draft()), state="done", incident_id=412)
    with command_zone(in_utc=False):
        share_service_zone({"Europe/Berlin"})
        [_, text, _] = plan_draft.follow_up_text(Namespace(), done)
    assert text.startswith("still red or stale: etl/load ")
    assert "04:10" in text
