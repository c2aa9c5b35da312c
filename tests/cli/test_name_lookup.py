"""Names that a person types: the short name of a job is accepted everywhere, and an unknown name is reported by every
command in the same way: exit code, the typed name, and suggestions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.states import RunState
from console.cli.commands import COMMANDS, full_name
from console.cli.exits import Exit
from tests.cli.test_recover import at_work
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import Done, headway
from tests.rows import each_row

CONFIG = '[systems.fake]\nkind = "cron"\nhosts = ["nowhere.invalid"]\nkey = { env = "NO_KEY" }\n'


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Jobs as cron hosts name them; one name is on two hosts. Its engine answers."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "headway.toml").write_text(CONFIG)
    scheduler = FakeScheduler()
    for name in ("extract", "load", "db07:load_orders", "db07:nightly", "etl02:nightly", "other/fake/mart"):
        scheduler.job(name)
    with running_bench(folder, scheduler, estate_config(folder, scheduler)) as made:
        for name in ("db07:load_orders", "extract"):
            scheduler.attempt(name, "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1")
            made.turn()
        with at_work(made):
            yield made


def typed(bench: Bench, line: str) -> Done:
    return headway(bench.url, "--config", str(bench.folder / "headway.toml"), *line.split())


def command_of(line: str) -> str:
    """The full name of the command that a line types."""
    noun, *texts = line.split()
    return full_name(noun, texts)[0]


OF_JOBS = (
    "job {}",
    "job {} --date 2026-01-01",
    "run {}",
    "log {}",
    "lineage {}",
    "blast {}",
    "suggest {} fake/extract",
    "why {}",
    "rerun {} --dry-run",
    "job start {} --dry-run",
    "run cancel {} --dry-run",
    "run skip {} --dry-run",
    "run mark-ok {} --dry-run",
    "hold add {} --dry-run",
    "hold release {} --dry-run",
    "plan backfill {} --from 2026-01-01 --to 2026-01-02 --dry-run --why x",
    "job findings --job {}",
    "system drift accept {}",
    "gate {} --timeout 0s",
    "action complete {}",
    "silence add --job {} --for 1h --why x",
    "shadow on --dependency {} fake/load",
)
"""Every command that a job may be named to."""


@each_row("line", OF_JOBS[::2])
def test_the_end_of_a_name_that_only_one_job_has_is_enough(bench: Bench, line: str) -> None:
    check_short_name(bench, line)


@pytest.mark.deep
@each_row("line", OF_JOBS[1::2])
def test_the_end_of_a_name_is_enough_for_the_other_commands(bench: Bench, line: str) -> None:
    check_short_name(bench, line)


def check_short_name(bench: Bench, line: str) -> None:
    typed(bench, line.format("load_orders"))  # either name finds done what it does
    short, full = typed(bench, line.format("load_orders")), typed(bench, line.format("fake/db07:load_orders"))
    assert (full.code, full.err.replace("fake/db07:", "")) == (short.code, short.err.replace("fake/db07:", ""))
    assert "not found" not in short.err


@each_row("line", [job for job in OF_JOBS if not job.startswith("silence")])
def test_a_short_name_of_several_jobs_lists_them_and_does_nothing(bench: Bench, line: str) -> None:
    done = typed(bench, line.format("nightly"))
    assert (Exit.NOT_FOUND, "") == (done.code, done.out)
    assert '"nightly" is short for 2 jobs: fake/db07:nightly, fake/etl02:nightly. Name one in full' in flat(done.err)


@each_row("line", ["job {}", "rerun {} --dry-run", "hold add {} --dry-run", "gate {} --timeout 0s"])
def test_the_full_name_of_a_job_never_seen_is_no_short_name_of_another_systems(bench: Bench, line: str) -> None:
    """A job "fake/load" may be one of a system "other", too: what names a system of ours means that one."""
    assert "not found" not in typed(bench, line.format("other/fake/mart")).err
    done = typed(bench, line.format("fake/mart"))
    assert (Exit.NOT_FOUND, "") == (done.code, done.out), done


READ = (
    "job {}",
    "run {}",
    "log {}",
    "log {} --date today",
    "lineage {}",
    "blast {}",
    "why {}",
    "job findings --job {}",
    "plan backfill {} --list",
)
ACT = (
    "rerun {} --dry-run",
    "job start {} --dry-run",
    "run skip {} --dry-run",
    "hold add {} --dry-run",
    "hold release {} --dry-run",
    "plan backfill {} --from 2026-01-01 --to 2026-01-02 --dry-run",
)


@each_row("line", [*READ, *ACT])
def test_a_part_that_only_one_name_has_is_enough(bench: Bench, line: str) -> None:
    line = line.replace("today", business_date_of_run(bench))
    part, full = typed(bench, line.format("oad_ord")), typed(bench, line.format("fake/db07:load_orders"))
    assert (full.code, full.err) == (part.code, part.err)


@each_row("line", [*READ, *ACT])
def test_a_part_that_several_names_have_is_not_enough(bench: Bench, line: str) -> None:
    done = typed(bench, line.format("ight").replace("today", "2026-01-01"))
    assert (Exit.NOT_FOUND, "") == (done.code, done.out)
    assert "fake/db07:nightly or fake/etl02:nightly?" in flat(done.err)


@each_row("line", ACT)
def test_a_part_of_a_name_is_not_enough_for_what_is_sent_unconfirmed(bench: Bench, line: str) -> None:
    done = typed(bench, f"{line.format('oad_ord')} --yes --why x")
    assert (Exit.NOT_FOUND, True) == (done.code, "did you mean fake/db07:load_orders?" in flat(done.err))


def test_the_number_of_a_run_lists_it_with_its_job(bench: Bench) -> None:
    runs = json.loads(typed(bench, "run fake/extract --json").out)
    one = typed(bench, f"run {runs[0]['id']} --json")
    assert (Exit.OK, runs[:1]) == (one.code, json.loads(one.out))
    assert "fake/extract" in typed(bench, f"run {runs[0]['id']}").out


@each_row("number", ["9999", "99999999999999999999999", "٣"])
def test_the_number_of_no_run_is_not_found(bench: Bench, number: str) -> None:
    done = typed(bench, f"run {number}")
    assert (Exit.NOT_FOUND, "") == (done.code, done.out)
    assert f'"{number}" not found' in done.err


def business_date_of_run(bench: Bench) -> str:
    with bench.store.read() as session:
        [row] = session.rows(
            "SELECT r.business_date FROM run r JOIN job j ON j.id = r.job_id WHERE j.name LIKE '%orders'"
        )
    return str(row.business_date)


@pytest.mark.parametrize(
    "noun, name", [("tonight", "forecast tonight"), ("handover", "incident handover"), ("backfill", "plan backfill")]
)
def test_a_command_as_people_type_it_needs_no_noun(noun: str, name: str) -> None:
    assert (name, 0) == full_name(noun, ["x"])


def test_an_empty_name_requests_no_action(bench: Bench) -> None:
    done = headway(bench.url, "--config", str(bench.folder / "headway.toml"), "action", "")
    assert (Exit.OK, "") == (done.code, done.err)


NOT_THERE: dict[str, tuple[tuple[str, str], ...]] = {
    **{name: ((line.format("extrct"), "fake/extract"),) for line in OF_JOBS for name in [command_of(line)]},
    "run": (("run extrct", "fake/extract"),),
    "log": (("log extrct", "fake/extract"), ("log extract --run 9999", "9999")),
    "lineage": (("lineage extrct", "fake/extract"), ("lineage extract --run never", "never")),
    "rerun": (("rerun extrct", "fake/extract"), ("rerun extract --run 9999", "9999")),
    "run cancel": (("run cancel 9999", "9999"), ("run cancel extrct", "fake/extract")),
    "run skip": (("run skip 9999", "9999"),),
    "run mark-ok": (("run mark-ok 9999", "9999"),),
    "hold release": (("hold release extrct", "fake/extract"),),
    "recover": (("recover 99", "INC-0001"),),
    "silence add": (
        ("silence add --system fak --for 1h --why x", "fake"),
        ("silence add --service suply --for 1h --why x", "supply"),
    ),
    "silence expire": (("silence expire 99", "99"), ("silence end 99", "99")),
    "shadow on": (("shadow on --system fak", "fake"),),
    "shadow off": (("shadow off --system fak", "fake"), ("shadow off --service suply", "supply")),
    "system": (("system fak", "fake"), ("system fake/nope", "fake/one")),
    "system probe": (("system probe fak", "fake"), ("system probe fake/nope", "fake/one")),
    "system pause": (("system pause fak --why x", "fake"), ("system pause fak --off", "fake")),
    "forecast what-if": (("forecast what-if --skip fake/extrct", "fake/extract"),),
    "forecast": (("forecast suply", "supply"),),
    "forecast score": (("forecast score suply", "supply"),),
    "service": (("service suply", "supply"), ("service suply --attainment", "supply")),
    "service review": (("service review suply", "supply"),),
    "report": (("report suply", "supply"),),
    "service extend": (("service extend suply --until 23:59 --why x", "supply"),),
    "job list": (("job list --system fak", "fake"), ("job list --service suply", "supply")),
    "incident": (("incident 99", "INC-0001"), ("incident 99 --plain", "INC-0001")),
    "incident note": (("incident note 99 words", "INC-0001"),),
    "incident report": (("incident report 99", "INC-0001"),),
    "ack": (("ack 99", "INC-0001"),),
    "plan": (("plan 99", "99"), ("plan 99 --watch", "99")),
    "plan pause": (("plan pause 99", "99"),),
    "plan resume": (("plan resume 99", "99"),),
    "plan abort": (("plan abort 99", "99"),),
    "policy": (("policy report nope", "headway policy list"),),
    **{
        f"policy {verb}": ((f"policy {verb} nope", "headway policy list"),)
        for verb in ("test", "pause", "resume", "close")
    },
    "failure": (("failure nope", "headway failure"), ("failure show 3f9a02c1", "headway failure list")),
    "action": (("action nope", "headway action"), ("action headway-0123456789", "headway action")),
    "action approve": (("action approve nope", "headway action approvals"),),
    "action withdraw": (("action withdraw nope", "headway action withdraw"),),
    "datacheck": (("datacheck nope", "nope"), ("datacheck nope --now", "nope")),
    "calendar": (("calendar nope", "nope"),),
    "oncall": (("oncall nope", "nope"),),
    "alert test": (("alert test oncal", "oncall"),),
    "alert retry": (("alert retry 99", "99"),),
    "system shell": (("system shell fak", "fake"), ("system shell fake/nope", "nowhere.invalid")),
    "job findings": (("job findings --job extrct", "fake/extract"),),
    "connector": (("connector crn", "cron"), ("connector list crn", "cron")),
    "connector try": (("connector try fak", "fake"),),
}
"""What there is not, and the word that helps."""
NAMES_NOTHING = {
    "audit": "filters: what was not done is no fault",
    "audit verify": "a hash",
    "audit head": "a hash",
    "audit export": "a path",
    "alert": "a list",
    "policy suggest": "a list",
    "silence": "a list",
    "system drift": "a list",
    "shadow": "a list",
    "shadow report": "a time",
    "connector new": "a name of its own",
    "connector check": "a path",
    "engine stop": "a process",
    "hold": "a list",
    "action approvals": "a list",
    "incident list": "a list",
    "forecast tonight": "a date",
    "status": "a page",
    "incident handover": "a time",
    "freeze": "a switch",
    "connector grants": "a kind: choices of its own",
    "completion": "choices",
    "help": "topics: choices of its own",
    "version": "a number",
    "store backup": "a path",
    "store restore": "a path",
    "store size": "tables of ours",
    "console serve": "a port",
    "mcp": "a server",
    "console": "a screen",
    "demo": "a recorded night",
    "init": "kinds: choices of its own",
    "engine": "a process",
    "check": "the whole config",
    "connector cron": "a word of ours",
    "store grants": "a file",
}


def test_every_command_is_in_one_of_the_tables() -> None:
    assert set(COMMANDS) == set(NOT_THERE) | set(NAMES_NOTHING)
    assert set() == set(NOT_THERE) & set(NAMES_NOTHING)


@each_row("line, helps", [pair for group in NOT_THERE.values() for pair in group])
def test_an_unknown_name_is_refused_with_suggestions(bench: Bench, line: str, helps: str) -> None:
    done = typed(bench, line)
    assert (Exit.NOT_FOUND, "") == (done.code, done.out), done
    assert helps in done.err


def flat(text: str) -> str:
    return " ".join(text.split())


@each_row(
    "line, text",
    [
        ("run cancel 999999 --dry-run", "no run 999999; no run is active; headway run lists them"),
        ("run skip 999999 --dry-run", "no run 999999; latest runs: "),
        (
            "action complete nope",
            'no manual step "nope"; the config declares none (a system of kind "manual" does)',
        ),
        ("alert retry x", 'no parked delivery "x"; none exists'),
    ],
)
def test_an_unknown_number_or_step_is_refused_with_the_existing_ones(bench: Bench, line: str, text: str) -> None:
    done = typed(bench, line)
    assert (Exit.USAGE if " x" in line else Exit.NOT_FOUND, "") == (done.code, done.out)
    assert text in done.err
