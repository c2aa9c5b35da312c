"""Faults put into the code on purpose, one at a time: the gate's tests of its folder have to see each of them.

`python -m tests.mutants` works on a copy of the tree. The faults were chosen for the harm that they do at night, before
any test was run against them: most are one comparison, one order, or one condition left out. A test counts that fails
with the fault and passes without it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.conftest import FAST
from tests.scratch import scratch
from tests.second_try import PART, TRIED_AGAIN, Part

ROOT = Path(__file__).parents[1]
LEAST_KILLED = 17
"""Of all mutants, by the gate."""
DEEP = "not lab and not soak"
"""What `make test-all` runs outside of the lab."""
PACKAGES = ("console", "connectors", "tests")
KILLED, SURVIVED, FAULT = "killed", "survived", "fault"


class Mutant(NamedTuple):
    """A fault: the text `before`, which the file has once, becomes `after`."""

    name: str
    harm: str
    file: str
    before: str
    after: str
    folders: tuple[str, ...]
    """The tests of the changed code."""
    deep: tuple[str, ...] = ()
    """Tests of `make test-all` elsewhere that concern it."""


MUTANTS = (
    Mutant(
        "clock-set-back", "a time that comes twice is read as the second one: a deadline an hour late",
        "console/timing/zones.py", "return shown[0] if shown", "return shown[-1] if shown", ("tests/timing",),
    ),
    Mutant(
        "plan-order", "with a step left out, those behind it do not wait for those before it",
        "console/domain/step_graph.py", "frozenset(near).union(*(before[number] for number in near))",
        "frozenset(near)", ("tests/domain",),
    ),
    Mutant(
        "root-cause", "a job due at the instant at which its upstream fails is a cause of its own: two incidents",
        "console/control/incidents/causes/failed_run.py", ">= begun:", "> begun:", ("tests/control/incidents",),
        ("tests/control", "tests/engine/evaluation"),
    ),
    Mutant(
        "dedup-key", "two failures of one day have one key: a pager drops the second",
        "console/control/incidents/causes/failed_run.py", "unambiguous_name(run.period_key)",
        "unambiguous_name(str(run.business_date))", ("tests/control/incidents",),
    ),
    Mutant(
        "start-after-hold", "a source that was not seen after the release proves no start: the job runs twice",
        "console/control/holds/state_machine.py", "or _LONG_AGO) >= proved", "or _LONG_AGO) >= released",
        ("tests/control/holds",),
    ),
    Mutant(
        "silence", "a silence of one of several targets mutes an incident of all of them",
        "console/control/alerts/suppression.py", "if silence is None or None in silences:", "if silence is None:",
        ("tests/control/alerts", "tests/control/incidents"),
    ),
    Mutant(
        "missed-start", "a start is missed before its source was seen until the end of the grace: a false alarm",
        "console/control/expectations/expected_runs.py", "seen_until >= put_off.at", "seen_until >= due.at",
        ("tests/control/expectations",),
    ),
    Mutant(
        "act-by", "the act-by of several jobs is that of the one with the most time",
        "console/forecast/simulation/critical_path.py", "(latest - takes).min(axis=0)", "(latest - takes).max(axis=0)",
        ("tests/forecast",),
    ),
    Mutant(
        "lease-fence", "an engine that lost its lease writes on",
        "console/store/db/fence.py", "if row is None or row.fence != fence:", "if row is None or row.fence < fence:",
        ("tests/store",),
    ),
    Mutant(
        "alert-in-flight", "an alert that was being sent when its engine died is never sent again",
        "console/store/outbox.py", "THEN 0 ELSE 1 END WHERE state = 'claimed'\"",
        "THEN 0 ELSE 1 END WHERE state = 'claimed' AND wire_us IS NULL\"", ("tests/store",),
        ("tests/engine/notify", "tests/invariants/test_alerts_killed.py"),
    ),
    Mutant(
        "poll-cursor", "the cursor moves with the first part of a flood: after a crash the rest is never read",
        "console/engine/polling/sanitize.py", "replace(part, cursor=before, seen", "replace(part, seen",
        ("tests/engine/polling",), ("tests/invariants/test_isolation.py",),
    ),
    Mutant(
        "verification", "a rerun with an unknown outcome has failed: it is sent again",
        "console/engine/actions/verification.py",
        "if not attempt.ended and (state.is_open or state is RunState.UNKNOWN):",
        "if not attempt.ended and state.is_open:", ("tests/engine/actions",),
        ("tests/engine", "tests/invariants/test_actions_killed.py"),
    ),
    Mutant(
        "backoff", "the delay overflows after some dozen tries: the alert is stuck",
        "console/engine/notify/backoff.py", "min(failures, MAX_DOUBLINGS)", "failures", ("tests/engine/notify",),
    ),
    Mutant(
        "secret-order", "of a secret that begins with another one the end is printed",
        "connectors/sdk/secrets.py", "sorted(forms, key=len, reverse=True)", "sorted(forms, key=len)",
        ("tests/connectors/sdk",),
    ),
    Mutant(
        "cron-unknown-end", "an end without an exit status is green",
        "connectors/cron/attempts.py", "if level & ERRORS_LOGGED:", "if level & ENDS_LOGGED:",
        ("tests/connectors/cron",),
    ),
    Mutant(
        "airflow-overlap", "a change that is committed while its page is read is never seen",
        "connectors/airflow/changes.py", "else datetime.now(UTC)) - OVERLAP", "else datetime.now(UTC))",
        ("tests/connectors/airflow",),
    ),
    Mutant(
        "config-bound", 'poll_every = "0s" is accepted: a scheduler is polled without a pause',
        "console/config/value_types.py", "if value <= timedelta(0):", "if value < timedelta(0):", ("tests/config",),
    ),
    Mutant(
        "exit-code", "a rerun that has not ended is a success to the script that waits for it",
        "console/cli/requests.py", "return Exit.UNKNOWN", "return Exit.OK", ("tests/cli",),
    ),
    Mutant(
        "confirmation", "Enter alone sends: the first choice of the dialog is not Back",
        "console/tui/dialogs/confirm.py", '[("back", "Back", "nothing is sent"), ("send", self.subject.SEND, says)]',
        '[("send", self.subject.SEND, says), ("back", "Back", "nothing is sent")]',
        ("tests/tui/dialogs", "tests/tui/app"),
    ),
    Mutant(
        "redaction", "a password after a name in capitals stays readable",
        "console/text/secret_shapes.py", "low, lines, near = text.lower(),", "low, lines, near = text,",
        ("tests/text",),
    ),
)  # fmt: skip


class Outcome(NamedTuple):
    """How a run of tests against a mutant ended."""

    name: str
    harm: str
    verdict: str
    """`FAULT`: the tests did not run to an answer."""
    test: str
    """The first failed test, or the fault."""
    seconds: float
    deep: str = ""
    """What `make test-all` says of a survivor; empty if nothing was tried."""


class Copy:
    """The tree as it is now, in a folder of its own."""

    def __init__(self, folder: Path, workers: str) -> None:
        self.tree, self._report, self._workers = folder / "tree", folder / "failures.json", workers
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
        for name in filter(os.path.lexists, {ROOT / name for name in names if name}):
            path = self.tree / name.relative_to(ROOT)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, path, follow_symlinks=False)
        known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HYPOTHESIS_"))}
        known.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environment = {**known, "PYTHONPATH": str(self.tree)}  # before the editable install, which is the tree

    def foreign(self) -> list[str]:
        """The files of our packages that would be imported from anywhere but here, wherever a process is started."""
        code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)}, sep='\\n')"
        argv = [sys.executable, "-c", code]
        printed = subprocess.check_output(argv, cwd=self.tree.parent, env=self._environment, text=True)
        return [line for line in printed.splitlines() if not Path(line).is_relative_to(self.tree)]

    def outcome(self, mutant: Mutant, tests: Sequence[str], marks: str) -> Outcome:
        """How these tests end with the mutant; the test that kills it has to pass without."""
        began, text = time.monotonic(), (self.tree / mutant.file).read_text(encoding="utf-8")
        self._write(mutant.file, text.replace(mutant.before, mutant.after))
        try:
            verdict, test = judged(self._run(tests, marks, self._workers))
        finally:
            self._write(mutant.file, text)
        if verdict == KILLED and judged(self._run([test], marks, "0"))[0] != SURVIVED:
            verdict, test = FAULT, f"{test} fails without the mutant, too"
        return Outcome(mutant.name, mutant.harm, verdict, test, round(time.monotonic() - began, 1))

    def _run(self, tests: Sequence[str], marks: str, workers: str) -> Part:
        """How pytest ends; it stops at the first failure."""
        self._report.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "pytest", "-q", "-x", "-n", workers, "-p", "no:cacheprovider", "--timeout=900"]
        argv += ["-p", "tests.second_try", f"--failures={self._report}", "-m", marks, *tests]
        subprocess.run(argv, cwd=self.tree, env=self._environment, capture_output=True, check=False)
        return PART.validate_json(self._report.read_bytes()) if self._report.exists() else Part()

    def _write(self, file: str, text: str) -> None:
        """Writes a module, and drops its compiled form, which may be as old and as long."""
        path = self.tree / file
        path.write_text(text, encoding="utf-8")
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


def judged(part: Part) -> tuple[str, str]:
    """The verdict, and the first failed test or the fault. pytest-xdist ends with INTERRUPTED after the first failure;
    a module that cannot be collected, or a worker that ends, is no failed test."""
    if part.status == pytest.ExitCode.OK:
        return SURVIVED, ""
    if not part.failures or part.status not in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return FAULT, f"pytest ended with status {part.status}"
    first = part.failures[0]
    return (KILLED, first.test) if first.phase in TRIED_AGAIN else (FAULT, f"{first.test}: {first.error}")


def unfit(mutants: Sequence[Mutant]) -> list[str]:
    """The mutants whose text is not there exactly once, by name and file."""
    counts = ((mutant, (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.before)) for mutant in mutants)
    return [f"{mutant.name}: {mutant.file} has its text {count} times" for mutant, count in counts if count != 1]


def main() -> int:
    """The exit status: 0 where the gate kills LEAST_KILLED mutants, of a selection (`--only`) each, and `make test-all`
    the others where it is tried (`--deep`)."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[mutant.name for mutant in MUTANTS])
    parser.add_argument("--deep", action="store_true", help="try the tests of make test-all against a survivor")
    parser.add_argument("--json", action="store_true", help="print one document at the end")
    parser.add_argument("--workers", default="auto", help="workers of each run")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not arguments.only or mutant.name in arguments.only]
    if faults := unfit(chosen):
        parser.error("; ".join(faults))
    outcomes = []
    with TemporaryDirectory(dir=scratch(), prefix="mutants-") as folder:
        copy = Copy(Path(folder), arguments.workers)
        if foreign := copy.foreign():
            parser.error(f"the copy is not what is imported: {', '.join(foreign)}")
        for mutant in chosen:
            outcome = copy.outcome(mutant, mutant.folders, FAST)
            if arguments.deep and outcome.verdict == SURVIVED:
                deep = copy.outcome(mutant, (*mutant.folders, *mutant.deep), DEEP)
                outcome = outcome._replace(deep=f"{deep.verdict} {deep.test}".rstrip())
            outcomes.append(outcome)
            if not arguments.json:
                print(line(outcome), flush=True)
    killed = sum(outcome.verdict == KILLED for outcome in outcomes)
    if arguments.json:
        print(json.dumps({"killed": killed, "mutants": [outcome._asdict() for outcome in outcomes]}, indent=1))
    else:
        print(f"{killed} of {len(outcomes)} killed by the gate")
    by_any = sum(KILLED in (outcome.verdict, outcome.deep.partition(" ")[0]) for outcome in outcomes)
    least = len(chosen) if arguments.only else LEAST_KILLED
    return int(killed < least or (arguments.deep and by_any < len(chosen)))


def line(outcome: Outcome) -> str:
    """ "act-by: killed by tests/forecast/test_joint.py::test_x (12 s)"."""
    told = {KILLED: f"killed by {outcome.test}", SURVIVED: f"survived: {outcome.harm}", FAULT: f"FAULT: {outcome.test}"}
    deep = f"; make test-all: {outcome.deep}" if outcome.deep else ""
    return f"{outcome.name}: {told[outcome.verdict]}{deep} ({outcome.seconds:.0f} s)"


if __name__ == "__main__":
    sys.exit(main())
