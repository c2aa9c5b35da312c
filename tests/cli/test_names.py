"""What a person types as a name: the short one of a job is enough everywhere, and what there is not is told by every
command in the same way: its exit code, what was typed, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import State
from console.cli.commands import COMMANDS
from console.cli.exits import Exit
from tests.cli.test_json import logs_to_stderr
from tests.cli.test_recover import at_work
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import Done, headway

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
            scheduler.attempt(name, "a1", State.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1")
            made.turn()
        with logs_to_stderr(), at_work(made):
            yield made


def typed(bench: Bench, line: str) -> Done:
    return headway(bench.url, "--config", str(bench.folder / "headway.toml"), *line.split())


OF_JOBS = (
    "job {}", "job {} --run 2026-01-01", "runs {}", "log {}", "lineage {}", "blast {}", "why {}", "rerun {} --dry-run",
    "start {} --dry-run",
    "cancel {} --dry-run", "skip {} --dry-run", "mark-ok {} --dry-run", "hold {} --dry-run", "release {} --dry-run",
    "backfill {} --from 2026-01-01 --to 2026-01-02 --dry-run --why x", "findings --job {}", "drift accept {}",
    "gate {} --timeout 0s", "done {}", "recover 1 --step {} --dry-run", "silence add --job {} --for 1h --why x",
    "shadow on --dependency {} fake/load",
)  # fmt: skip
"""Every command that a job may be named to."""


@pytest.mark.parametrize("line", OF_JOBS)
def test_the_end_of_a_name_that_only_one_job_has_is_enough(bench: Bench, line: str) -> None:
    short, full = typed(bench, line.format("load_orders")), typed(bench, line.format("fake/db07:load_orders"))
    assert (full.code, full.err.replace("fake/db07:", "")) == (short.code, short.err.replace("fake/db07:", ""))
    assert "nothing is called" not in short.err


@pytest.mark.parametrize("line", [one for one in OF_JOBS if not one.startswith(("recover", "silence"))])
def test_a_short_name_of_several_jobs_lists_them_and_does_nothing(bench: Bench, line: str) -> None:
    done = typed(bench, line.format("nightly"))
    assert (Exit.NOT_FOUND, "") == (done.code, done.out)
    assert '"nightly" is short for 2 jobs: fake/db07:nightly, fake/etl02:nightly. Name one in full' in flat(done.err)


@pytest.mark.parametrize("line", ["job {}", "rerun {} --dry-run", "hold {} --dry-run", "gate {} --timeout 0s"])
def test_the_full_name_of_a_job_never_seen_is_no_short_name_of_another_systems(bench: Bench, line: str) -> None:
    """A job "fake/load" may be one of a system "other", too: what names a system of ours means that one."""
    assert "nothing is called" not in typed(bench, line.format("other/fake/mart")).err
    done = typed(bench, line.format("fake/mart"))
    assert (Exit.NOT_FOUND, "") == (done.code, done.out), done


def test_an_empty_word_asks_for_no_action(bench: Bench) -> None:
    done = headway(bench.url, "--config", str(bench.folder / "headway.toml"), "actions", "")
    assert (Exit.OK, "") == (done.code, done.err)


NOT_THERE: dict[str, tuple[tuple[str, str], ...]] = {
    **{name: ((line.format("extrct"), "fake/extract"),) for line in OF_JOBS for name in [line.split()[0]]},
    "runs": (("runs extrct", "fake/extract"),),
    "log": (("log extrct", "fake/extract"), ("log extract --run 9999", "9999")),
    "lineage": (("lineage extrct", "fake/extract"), ("lineage extract --run never", "never")),
    "rerun": (("rerun extrct", "fake/extract"), ("rerun extract --run 9999", "9999")),
    "cancel": (("cancel 9999", "9999"), ("cancel extrct", "fake/extract")),
    "skip": (("skip 9999", "9999"),),
    "mark-ok": (("mark-ok 9999", "9999"),),
    "release": (("release extrct", "fake/extract"),),
    "recover": (("recover 99", "INC-0001"), ("recover 1 --step nope --dry-run", "fake/db07:load_orders")),
    "silence": (
        ("silence add --system fak --for 1h --why x", "fake"),
        ("silence add --service suply --for 1h --why x", "supply"),
        ("silence end 99", "99"),
    ),
    "shadow": (("shadow off --system fak", "fake"), ("shadow off --service suply", "supply")),
    "systems": (("systems fak", "fake"), ("systems fake/nope", "fake/one")),
    "probe": (("probe fak", "fake"), ("probe fake/nope", "fake/one")),
    "pause": (("pause fak --why x", "fake"), ("pause fak --off", "fake")),
    "what-if": (("what-if --skip fake/extrct", "fake/extract"),),
    "forecast": (("forecast suply", "supply"), ("forecast score suply", "supply")),
    "services": (("services suply", "supply"), ("services suply --attainment", "supply")),
    "review": (("review suply", "supply"),),
    "extend": (("extend suply --until 23:59 --why x", "supply"),),
    "jobs": (("jobs --system fak", "fake"), ("jobs --service suply", "supply")),
    "incident": (("incident 99", "INC-0001"), ("incident 99 --plain", "INC-0001")),
    "note": (("note 99 words", "INC-0001"),),
    "report": (("report 99", "INC-0001"),),
    "ack": (("ack 99", "INC-0001"),),
    "recovery": (("recovery 99", "99"), ("recovery 99 --pause", "99"), ("recovery 99 --watch", "99")),
    "actions": (("actions nope", "headway actions"), ("actions headway-0123456789", "headway actions")),
    "approve": (("approve nope", "headway approvals"),),
    "withdraw": (("withdraw nope", "headway withdraw"),),
    "checks": (("checks nope", "nope"), ("checks nope --now", "nope")),
    "calendar": (("calendar nope", "nope"),),
    "rota": (("rota nope", "nope"),),
    "alert": (("alert test oncal", "oncall"), ("alert retry 99", "99"), ("alert useful 99 yes", "99")),
    "shell": (("shell fak", "fake"), ("shell fake/nope", "nowhere.invalid")),
    "findings": (("findings --job extrct", "fake/extract"),),
    "connector": (("connector try fak", "fake"), ("connector list crn", "cron")),
}
"""What there is not, and the word that helps."""
NAMES_NOTHING = {
    "audit": "filters: what was not done is no fault",
    "holds": "a list", "approvals": "a list", "incidents": "a list", "tonight": "a date", "status": "a page",
    "handover": "a time", "freeze": "a switch", "grants": "a kind: choices of its own", "cron": "a word of ours",
    "completion": "choices", "version": "a number", "backup": "a path", "restore": "a path", "serve": "a port",
    "console": "a screen", "demo": "a recorded night", "init": "kinds: choices of its own", "engine": "a process",
    "check": "the whole config", "doctor": "all that is here",
}  # fmt: skip


def test_every_command_is_in_one_of_the_tables() -> None:
    assert set(COMMANDS) == set(NOT_THERE) | set(NAMES_NOTHING)
    assert set() == set(NOT_THERE) & set(NAMES_NOTHING)


@pytest.mark.parametrize("line, helps", [one for each in NOT_THERE.values() for one in each])
def test_what_is_not_there_is_told_with_what_may_have_been_meant(bench: Bench, line: str, helps: str) -> None:
    done = typed(bench, line)
    assert (Exit.NOT_FOUND, "") == (done.code, done.out), done
    assert helps in done.err


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    "line, words",
    [
        ("cancel 999999 --dry-run", "no run has the number 999999; nothing goes on now; headway runs lists them"),
        ("skip 999999 --dry-run", "no run has the number 999999; the latest: "),
        ("done nope", 'no manual step is called "nope"; config has none: a system of kind "manual" declares them'),
        ("alert useful x yes", 'no alert has the number "x"; there are 2 ([Headway] INC-0002: fake/extract failed'),
        ("alert retry x", 'no parked delivery has the number "x"; there is none'),
    ],
)
def test_a_number_or_step_that_there_is_not_is_told_with_those_that_there_are(
    bench: Bench, line: str, words: str
) -> None:
    done = typed(bench, line)
    assert (Exit.USAGE if " x" in line else Exit.NOT_FOUND, "") == (done.code, done.out)
    assert words in done.err


def test_what_an_alert_takes_is_named_as_it_is_typed(bench: Bench) -> None:
    done = typed(bench, "alert useful 1 maybe")
    assert (Exit.USAGE, True) == (done.code, "argument yes|no: invalid choice: 'maybe'" in done.err)
