"""The runner (`tests.runner`): a failure is named, what shares a resource shares a worker. And what tests may not do,
to stay quick and pass on a slow machine."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import cast

import pytest

from tests.dates import CLOCKS, reads_a_clock
from tests.deep import one_of_each
from tests.lab.needs import PACKAGE_OF, SMOKE
from tests.lab.process import HANGS_SECONDS
from tests.rows import each_row
from tests.runner import LAB, SHARED

ROOT = Path(__file__).parents[1]
HOOKS = """
from tests.runner import arrange as pytest_collection_modifyitems
from tests.runner import pytest_runtest_logreport
"""
SETTINGS = f"""
[tool.pytest.ini_options]
addopts = ["-ra", "--import-mode=importlib", "--dist=loadgroup", "--no-loadscope-reorder"]
pythonpath = ["{ROOT}"]
markers = ["lab"]
"""
TESTS = """
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def shared() -> None:
    pass


def note(what: str) -> None:
    Path(__file__).with_name(f"ran-{what}-{os.environ['PYTEST_XDIST_WORKER']}").touch()


def test_fails_the_first_time() -> None:
    been = Path(__file__).with_name("been")
    if not been.exists():
        been.touch()
        raise AssertionError


@pytest.mark.parametrize("word", ["a@b", "c"])
def test_fails(shared: None, word: str) -> None:
    note(word)
    assert "c" == word


@pytest.mark.parametrize("number", range(6))
def test_passes(shared: None, number: int) -> None:
    note(str(number))
"""


def suite(folder: Path, text: str, *options: str) -> tuple[int, list[str]]:
    """Exit status, and the printed lines, of a session on two workers with one file of tests."""
    (folder / "pyproject.toml").write_text(SETTINGS)
    (folder / "conftest.py").write_text(HOOKS)
    (folder / "test_some.py").write_text(text)
    plugins = ["-p", "xdist.plugin", "-p", "no:cacheprovider"]
    argv = [sys.executable, "-m", "pytest", "-q", "-n", "2", *plugins, *options, str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.deep
def test_the_last_lines_name_each_failure_as_pytest_takes_it_and_nothing_is_tried_again(tmp_path: Path) -> None:
    status, lines = suite(tmp_path, TESTS)
    assert 1 == status, lines
    assert re.match(r"2 failed, 7 passed in ", lines[-1]), lines
    failed = sorted(line.split(" - ")[0] for line in lines if line.startswith("FAILED "))
    assert ["FAILED test_some.py::test_fails[a@b]", "FAILED test_some.py::test_fails_the_first_time"] == failed


@pytest.mark.deep
def test_tests_that_share_a_fixture_run_on_one_worker(tmp_path: Path) -> None:
    suite(tmp_path, TESTS)
    notes = [path.name for path in tmp_path.glob("ran-*")]
    assert 8 == len(notes)
    assert 1 == len({name.rpartition("-")[2] for name in notes}), notes


@pytest.mark.deep
def test_a_worker_that_ends_is_a_failure_with_the_name_of_its_test(tmp_path: Path) -> None:
    status, lines = suite(tmp_path, "import os\n\n\ndef test_ends() -> None:\n    os._exit(0)\n")
    assert 1 == status
    assert [line for line in lines if line.startswith("FAILED test_some.py::test_ends")], lines


@pytest.mark.deep
def test_a_file_that_ends_its_process_when_it_is_collected_is_no_success(tmp_path: Path) -> None:
    status, _ = suite(tmp_path, "import os\n\nos._exit(0)\n", "--max-worker-restart=0")
    assert 0 != status


def test_every_file_of_a_group_is_there_once() -> None:
    names = list(chain.from_iterable(SHARED))
    assert sorted(names) == sorted(set(names))
    assert [] == [name for name in names if not (LAB / f"test_{name}.py").is_file()]


# -- what tests may not do ---------------------------------------------------------------------------------------------

OURS = Path(__file__).parent
MAKE_STORES = {
    "store/ready.py",  # the one migration of a session, copied for everybody else
    "store/db/test_open.py", "store/db/test_backup.py", "store/db/test_faults.py",
    "invariants/locked.py", "invariants/small_disk.py",
    "invariants/test_fault_network_disk.py", "invariants/test_migration_killed.py",
}  # fmt: skip
"""The making of a store is what these are about. It costs a third of a second; a copy (`tests.store.ready`) nothing."""
MAKERS = ("open_database", "migrate")
SHORT_ON_PURPOSE = {
    "engine/endpoints/test_lineage_receiver.py",  # the setting of a sender
    "invariants/locked.py",  # how long SQLite waits for a lock
    "invariants/test_receivers_killed.py",  # a request that a killed engine may never answer is sent again
}
"""Files with limits that are no wait for a thread or a process."""
SLEEP_ON_PURPOSE = {
    "demo/test_tour.py",  # a reader's pace, for the time that a program prints
    "fakes/faultproxy.py",  # a line that is slow
    "fakes/slack.py",  # pings at intervals
}
"""Files with pauses in what tests wait for; a test waits by `wait_until` and `async_wait_until`."""
CLOCK_CALLS = {"monotonic", "perf_counter", "process_time", "thread_time"}
LIMITED = {"join", "result", "wait", "wait_for", "acquire", "settimeout"}
"""Calls that give up after the time of an argument; others do after their `timeout`."""
SHORTEST_LIMIT, LONGEST_PAUSE = 60.0, 1.0
"""Seconds. A shorter limit is over on a busy machine before what it waits for; what ends sooner still is a pause."""


def written(*but: str, holding: Iterable[str]) -> list[tuple[str, ast.Module]]:
    """Every file of the tests outside these folders that has one of these patterns in it, by its path from here."""
    pattern = re.compile("|".join(rf"\b{term}" for term in holding))
    return [
        (name, parsed(name)) for name, text in texts() if name.partition("/")[0] not in but and pattern.search(text)
    ]


@functools.cache
def texts() -> list[tuple[str, str]]:
    return [(path.relative_to(OURS).as_posix(), path.read_text()) for path in sorted(OURS.rglob("*.py"))]


@functools.cache
def parsed(name: str) -> ast.Module:
    return ast.parse((OURS / name).read_text())


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: everything but the insides of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for early in (*child.decorator_list, *child.args.defaults, *filter(None, child.args.kw_defaults)):
                yield from (early, *at_import(early))
        elif not isinstance(child, ast.Lambda):
            yield from (child, *at_import(child))


def name_of(call: ast.AST) -> str:
    """Of "datetime.now(UTC)": now."""
    if not isinstance(call, ast.Call):
        return ""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def clock_at_import(tree: ast.Module) -> list[int]:
    return [cast(ast.Call, node).lineno for node in at_import(tree) if reads_a_clock(node)]


def sleeps(tree: ast.Module) -> list[int]:
    """Lines that sleep, or wait for an event that nobody can set. `sleep(0)` only lets others go on."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted(
        call.lineno
        for call in calls
        if (name_of(call) == "sleep" and [ast.unparse(span) for span in call.args] != ["0"])
        or (name_of(call) == "wait" and name_of(getattr(call.func, "value", call.func)) == "Event")
    )


def constants(tree: ast.Module) -> dict[str, float]:
    """The numbers that the module gives a name."""
    return {
        target.id: float(node.value.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, int | float)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def number(node: ast.AST, names: dict[str, float]) -> float | None:
    """The value of a number or of a module's name for one; None where the code does not say it."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    return float(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, int | float) else None


def is_duration(node: ast.AST, durations: set[str]) -> bool:
    """Whether it is a clock minus an earlier instant, or a name for that."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        return any(name_of(part) in CLOCK_CALLS for part in ast.walk(node))
    return isinstance(node, ast.Name) and node.id in durations


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that run beside others: without those that are marked quiet."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = {ast.unparse(mark) for mark in node.decorator_list}
            if "pytest.mark.quiet" not in marks:
                yield node


def measured(tree: ast.Module) -> list[int]:
    """Lines that compare how long something took with a bound below `SHORTEST_LIMIT`."""
    names, lines = constants(tree), set[int]()
    for function in functions(tree):
        assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
        durations = {
            target.id
            for node in assigned
            if is_duration(node.value, set())
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Compare):
                for side, sign, other in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                    below, above = (side, other) if isinstance(sign, ast.Lt | ast.LtE) else (other, side)
                    bound = number(above, names)
                    if is_duration(below, durations) and bound is not None and bound < SHORTEST_LIMIT:
                        lines.add(node.lineno)
    return sorted(lines)


def short_limits(tree: ast.Module) -> list[int]:
    """Lines that wait for a thread, a process or an event, and give up between `LONGEST_PAUSE` and
    `SHORTEST_LIMIT`."""
    names = constants(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        for limit in (
            *(call.args[name_of(call) == "wait_for" :] if name_of(call) in LIMITED else ()),
            *(word.value for word in call.keywords if word.arg == "timeout"),
        )
        if LONGEST_PAUSE <= (number(limit, names) or 0.0) < SHORTEST_LIMIT
    ]


def makes_stores(tree: ast.Module) -> bool:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    calls = {name_of(node) for node in ast.walk(tree)}
    return MAKERS[0] in names or MAKERS[1] in calls


def test_no_test_takes_the_time_when_its_module_is_imported() -> None:
    """A module's `now` may be half an hour old at the end of the suite: `tests.present` has the test's own time."""
    assert {} == {
        name: lines
        for name, tree in written("bench", holding=(rf"{name}\(" for name in CLOCKS))
        if (lines := clock_at_import(tree))
    }


def test_no_test_sleeps() -> None:
    """What is waited for has a condition; only real schedulers have minutes of their own."""
    calls = [r"sleep\(", r"Event\(\)\.wait\("]
    found = {name: lines for name, tree in written("bench", "lab", holding=calls) if (lines := sleeps(tree))}
    assert SLEEP_ON_PURPOSE == found.keys(), found


def test_no_test_that_runs_beside_others_measures_how_long_something_takes() -> None:
    """A busy machine is slower than any bound: what needs one is marked quiet, and runs alone."""
    clocks = [rf"{name}\(" for name in CLOCK_CALLS]
    assert {} == {name: lines for name, tree in written("bench", holding=clocks) if (lines := measured(tree))}


def test_no_wait_for_a_thread_or_a_process_gives_up_early() -> None:
    calls = [*(rf"{name}\(" for name in LIMITED), "timeout="]
    found = {name: lines for name, tree in written("bench", holding=calls) if (lines := short_limits(tree))}
    assert SHORT_ON_PURPOSE == found.keys(), found


def test_a_wait_gives_up_before_pytest_ends_its_test() -> None:
    """Its message names what did not come; pytest's has the stacks of all threads."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "pyproject.toml", "tests/mutants.py")]
    limits = [float(limit) for text in texts for limit in re.findall(r"\btimeout ?= ?(\d+)", text)]
    assert len(limits) > 1
    assert min(limits) > HANGS_SECONDS


def test_stores_are_made_by_migrations_only_where_that_is_the_point() -> None:
    assert MAKE_STORES == {name for name, tree in written("bench", "lab", holding=MAKERS) if makes_stores(tree)}


@each_row(
    "bad",
    [
        "NOW = datetime.now(UTC)",
        "AGO = [datetime.now(UTC) - timedelta(1)]",
        "class Night:\n    at = time.time()",
        "def night(at=datetime.now(UTC)): ...",
        "@pytest.mark.parametrize('at', [date.today()])\ndef test(at): ...",
        "NOW = present()",
    ],
)
def test_a_clock_call_at_import_is_detected_wherever_it_is(bad: str) -> None:
    assert [1] == [1 for _ in clock_at_import(ast.parse(bad))]
    assert [] == clock_at_import(ast.parse("def test():\n    now = datetime.now(UTC)\nLATER = lambda: time.time()"))


@each_row(
    "bad",
    [
        "def test():\n    began = time.monotonic()\n    assert time.monotonic() - began < 5",
        "def test():\n    took = perf_counter() - began\n    assert 0 < took <= 0.5",
        "SOON = 2.0\ndef test():\n    assert SOON > time.process_time() - began",
    ],
)
def test_a_bound_of_a_duration_is_seen(bad: str) -> None:
    assert 1 == len(measured(ast.parse(bad)))
    assert [] == measured(ast.parse(f"@pytest.mark.quiet\n{bad[bad.index('def') :]}"))
    assert [] == measured(ast.parse("def test():\n    assert time.monotonic() - began < HANGS_SECONDS"))


def test_a_short_limit_is_seen_and_a_pause_is_left() -> None:
    bad = "SOON = 10.0\nthread.join(5)\nevent.wait(SOON)\nsubprocess.run(line, timeout=20)\nwait_for(x(), 20)"
    assert [2, 3, 4, 5] == short_limits(ast.parse(bad))
    assert [] == short_limits(ast.parse("event.wait(0.1)\nthread.join(HANGS_SECONDS)\nrun(1)\nfuture.result()"))


def test_a_sleep_is_seen_and_a_turn_of_the_loop_is_left() -> None:
    bad = "time.sleep(0.02)\nsleep(pause)\nasync def test():\n    await asyncio.sleep(1)\nthreading.Event().wait(5)"
    assert [1, 2, 4, 5] == sleeps(ast.parse(bad))
    assert [] == sleeps(ast.parse("asyncio.sleep(0)\nover.wait(0.1)\nwait_until(met, 'it')\nrun('time.sleep(9)')"))


def test_of_each_kind_of_crash_points_one_is_left_to_test_all() -> None:
    marks = {
        str(value): getattr(value, "marks", ()) for value in one_of_each(("a.1", "b.1", "a.2", "a.3"), itemgetter(0))
    }
    assert {"a.2", "b.1"} == {name for name, mark in marks.items() if not mark}
    assert [pytest.mark.soak.mark] * 2 == [mark.mark for (mark,) in filter(None, marks.values())]


def test_no_test_is_skipped_for_want_of_a_package() -> None:
    """`make test-all` installs what tools/apt-packages.txt lists: what is missing is a failure."""
    wanting = re.compile(r"\bskip(if)?\([^#]{0,200}?(apt-get|not installed)")
    assert [] == [name for name, text in texts() if name != "test_suite.py" and wanting.search(text)]


def test_make_packages_installs_what_the_lab_needs_and_make_test_what_its_night_needs() -> None:
    lines = (ROOT / "tools/apt-packages.txt").read_text(encoding="utf-8").splitlines()
    notes = {name.strip(): note for name, _, note in (line.partition("#") for line in lines)}
    assert set() == set(PACKAGE_OF.values()) - set(notes)
    assert [] == [PACKAGE_OF[need] for need in SMOKE if not notes[PACKAGE_OF[need]].startswith(" smoke")]


def test_every_wrong_row_of_a_table_is_reported_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rows.limit", None)

    @each_row("number, least", [(2, 3), (3, 3), (1, 3)])
    def reaches(number: int, least: int) -> None:
        assert number >= least

    with pytest.raises(AssertionError) as failure:
        reaches()
    assert ["2, 3", "1, 3"] == re.findall(r"^(\d, \d): AssertionError", str(failure.value), re.MULTILINE)
