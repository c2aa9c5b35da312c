"""The runner (`tests.runner`): a failure is named, what shares a resource shares a worker. And what tests may not do,
to stay quick and pass on a slow machine."""

from __future__ import annotations

import ast
import functools
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain, product
from operator import itemgetter
from pathlib import Path
from typing import cast

import pytest

from tests.dates import CLOCKS, reads_a_clock
from tests.deep import one_of_each
from tests.lab import process
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
    "lab/process.py",  # the one helper
    "lab/dags/estate.py", "lab/dags2/estate.py", "lab/dagster_jobs/defs.py", "lab/flows/flows.py", "lab/spark_night.py",
    # jobs that a scheduler runs until a switch says otherwise
    "lab/__main__.py",  # for a person, until Ctrl-C
    "lab/sinks.py",  # a receiver that is slow
    "demo/test_tour.py",  # a reader's pace, for the time that a program prints
    "fakes/faultproxy.py",  # a line that is slow
    "fakes/slack.py",  # pings at intervals
}  # fmt: skip
"""Files with pauses in what tests wait for; a test waits by `wait_until` and `async_wait_until`."""
CLOCK_CALLS = {"monotonic", "perf_counter", "process_time", "thread_time"}
LIMITED = {
    "join": 0, "result": 0, "wait": 0, "settimeout": 0, "timeout": 0, "acquire": 1, "communicate": 1, "get": 1,
    "wait_for": 1,
}  # fmt: skip
"""Calls that give up after the time of an argument, from this one on; others do after their `timeout`."""
PAUSES = {"wait", "settimeout"}
"""Those that are called again and again, for less than `LONGEST_PAUSE`, until something is met."""
SECONDS = {"minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800, "milliseconds": 0.001}
"""Of a keyword of `timedelta`."""
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


Values = dict[str, ast.expr]
"""What names stand for; an attribute, whoever's it is, by ".its_name"."""
NAMES = 3
"""A name may stand for an expression with names, so many times."""


def assigned(nodes: Iterable[ast.AST]) -> Values:
    return {
        name: node.value
        for node in nodes
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if (name := variable(target))
    }


def variable(node: ast.AST) -> str:
    """The name by which `Values` knows it; empty for any other expression."""
    return node.id if isinstance(node, ast.Name) else f".{node.attr}" if isinstance(node, ast.Attribute) else ""


def of_module(tree: ast.Module) -> Values:
    """Of the names that the module assigns, and of the constants that it imports from another one of ours."""
    values = Values()
    for node in tree.body:
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if alias.name.isupper() and alias.name in (others := assigned_in(str(cast(ast.ImportFrom, node).module))):
                values[alias.asname or alias.name] = others[alias.name]
    return values | assigned(tree.body)


@functools.cache
def assigned_in(module: str) -> Values:
    path = ROOT / f"{module.replace('.', '/')}.py"
    return assigned(ast.parse(path.read_text()).body) if path.is_file() else Values()


def seconds_of(node: ast.AST, values: Values, depth: int = NAMES) -> Iterator[float]:
    """The numbers and the durations that are a part of the expression; those in other calls are none of its terms."""
    if name := variable(node):
        yield from seconds_of(values[name], values, depth - 1) if depth and name in values else ()
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield float(cast(float, node.value))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        pairs = product(seconds_of(node.left, values, depth), seconds_of(node.right, values, depth))
        yield from map(math.prod, pairs)
    elif isinstance(node, ast.Call):
        for part in node.keywords if name_of(node) == "timedelta" else ():
            yield from (SECONDS.get(str(part.arg), 1) * number for number in seconds_of(part.value, values, depth))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield from seconds_of(node.left, values, depth)
    elif isinstance(node, ast.BinOp | ast.UnaryOp):
        for child in ast.iter_child_nodes(node):
            yield from seconds_of(child, values, depth)


def has_clock(node: ast.AST, values: Values, depth: int = NAMES) -> bool:
    """Whether a clock is read in the expression, or was for what its names stand for."""
    return any(
        has_clock(values[name], values, depth - 1)
        if (name := variable(part)) and depth and name in values
        else name_of(part) in CLOCK_CALLS or reads_a_clock(part)
        for part in ast.walk(node)
    )


def is_short(node: ast.AST, values: Values, least: float = 0.0) -> bool:
    return any(least < seconds < SHORTEST_LIMIT for seconds in seconds_of(node, values))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that run beside others: without those that are marked quiet, by themselves or with their module."""
    module = assigned(tree.body).get("pytestmark")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [*node.decorator_list, *([module] if module else [])]
            if not any("pytest.mark.quiet" in ast.unparse(mark) for mark in marks):
                yield node


def measured(tree: ast.Module) -> list[int]:
    """Lines outside of the quiet group that expect a clock to be below a bound of less than `SHORTEST_LIMIT`."""
    attributes = {name: value for name, value in assigned(ast.walk(tree)).items() if name.startswith(".")}
    names, lines = of_module(tree) | attributes, set[int]()
    for function in functions(tree):
        nodes = list(ast.walk(function))
        values = names | assigned(nodes)
        lines |= {
            node.lineno
            for node in nodes
            if isinstance(node, ast.Compare)
            for below, above in ordered(node)
            if has_clock(below, values) and (is_short(above, values) or is_short(taken_from(below), values))
        }
    return sorted(lines)


def taken_from(below: ast.expr) -> ast.expr:
    """The 5 of "now - 5"."""
    return below.right if isinstance(below, ast.BinOp) and isinstance(below.op, ast.Sub) else ast.Constant(None)


def ordered(compare: ast.Compare) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What is expected to be below what."""
    for left, sign, right in zip([compare.left, *compare.comparators], compare.ops, compare.comparators, strict=False):
        if isinstance(sign, ast.Lt | ast.LtE):
            yield left, right
        elif isinstance(sign, ast.Gt | ast.GtE):
            yield right, left


def short_limits(tree: ast.Module) -> list[int]:
    """Lines that wait for a thread, a process or an event, and give up before `SHORTEST_LIMIT`: a `wait` that
    ends before `LONGEST_PAUSE` is a pause, unless it is expected to be met."""
    values, lines, nodes = of_module(tree), list[int](), list(ast.walk(tree))
    expected = {id(node.test) for node in nodes if isinstance(node, ast.Assert)}
    for call in [node for node in nodes if isinstance(node, ast.Call)]:
        name = name_of(call)
        limits = [*call.args[LIMITED.get(name, len(call.args)) :]]
        if name == "get" and not isinstance(getattr(call.args[0] if call.args else None, "value", None), bool):
            limits = []  # of a mapping
        limits += [word.value for word in call.keywords if word.arg == "timeout"]
        may_pause = id(call) not in expected and (name in PAUSES or name not in LIMITED)
        least = LONGEST_PAUSE if may_pause else 0.0
        lines += [call.lineno for limit in limits if is_short(limit, values, least)]
    return sorted(lines)


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
    """What is waited for has a condition, be it a minute of a real scheduler's own (`wait_for_clock`)."""
    calls = [r"sleep\(", r"Event\(\)\.wait\("]
    found = {name: lines for name, tree in written("bench", holding=calls) if (lines := sleeps(tree))}
    assert SLEEP_ON_PURPOSE == found.keys(), found


def test_no_test_that_runs_beside_others_measures_how_long_something_takes() -> None:
    """A busy machine is slower than any bound: what needs one is marked quiet, and runs alone."""
    clocks = [*(rf"{name}\(" for name in CLOCK_CALLS), r"datetime\.now\(", r"time\.time\(", r"present\("]
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


def test_a_wait_that_begins_late_gives_up_before_pytest_ends_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_ends", [time.monotonic()])
    assert 0.0 == process.time_left()
    with pytest.raises(process.LabError, match="in vain: it never comes"):
        process.wait_until(lambda: False, "it never comes")


def test_the_waits_of_a_test_share_its_limit(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    limit = float(request.config.getoption("timeout") or request.config.getini("timeout"))
    assert limit > HANGS_SECONDS
    left = process._ends[0] - time.monotonic()
    assert 0 < left <= limit - process.LAST_SECONDS
    monkeypatch.setattr(process, "_ends", [0.0])
    process.limit_waits(0)
    assert HANGS_SECONDS == process.time_left()


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
        "assert time.monotonic() - began < 5",
        "assert time.monotonic() < began + 5",
        "took = perf_counter() - began\n    assert 0 < took <= 0.5",
        "ended = time.monotonic()\n    assert ended - began < 5",
        "end = time.monotonic() + 5\n    while time.monotonic() < end: pass",
        "assert SOON > time.process_time() - began",
        "limit = 2 * SOON\n    assert time.process_time() - began < limit",
        "assert LEASE_SECONDS > monotonic() - began",
        "assert round(time.monotonic() - began) <= 1",
        "assert time.time() - began < 5",
        "assert datetime.now(UTC) - began < timedelta(seconds=5)",
        "assert datetime.now(UTC) < began + timedelta(minutes=0.5)",
        "assert time.monotonic() - 5 < began",
        "assert time.monotonic() < self.began + 5",
        "self.ended = time.monotonic()\n    assert self.ended - self.began < 5",
    ],
)
def test_a_bound_of_a_clock_is_seen(bad: str) -> None:
    module = "from tests.invariants.engines import LEASE_SECONDS\nSOON = 2.0\n"
    text = f"def test():\n    {bad}"
    assert 1 == len(measured(ast.parse(module + text)))
    assert [] == measured(ast.parse(f"{module}@pytest.mark.quiet\n{text}"))
    assert [] == measured(ast.parse(f"pytestmark = [pytest.mark.lab, pytest.mark.quiet]\n{module}{text}"))


@each_row(
    "good",
    [
        "assert time.monotonic() - began < HANGS_SECONDS",
        "assert time.monotonic() - began >= 0.5",
        "end = time.monotonic() + HANGS_SECONDS / 2\n    while time.monotonic() < end: pass",
        "assert began <= run.started_at <= datetime.now(UTC)",
        "assert datetime.now(UTC) - began < timedelta(hours=1)",
        "wait_until(lambda: datetime.now(UTC) >= due + timedelta(seconds=5), 'it')",
    ],
)
def test_a_bound_that_only_a_hanging_test_meets_is_left(good: str) -> None:
    module = "from tests.lab.process import HANGS_SECONDS\n"
    assert [] == measured(ast.parse(f"{module}def test():\n    {good}"))


def test_a_short_limit_is_seen_and_a_pause_is_left() -> None:
    lines = [
        "from tests.invariants.engines import LEASE_SECONDS", "SOON = 10.0", "thread.join(5)", "event.wait(SOON)",
        "subprocess.run(line, timeout=20)", "wait_for(x(), 20)", "assert event.wait(0.9)", "queue.get(True, 5)",
        "asyncio.timeout(5)", "process.communicate(None, 5)", "future.result(0.5)", "event.wait(2 * SOON)",
        "assert event.wait(timeout=LEASE_SECONDS)", "lock.acquire(True, 5)",
    ]  # fmt: skip
    assert list(range(3, 15)) == short_limits(ast.parse("\n".join(lines)))
    lines = [
        "from tests.lab.process import HANGS_SECONDS", "event.wait(0.1)", "assert not event.wait(0.9)", "run(1)",
        "while not over.wait(0.1): pass", "thread.join(HANGS_SECONDS)", "thread.join(HANGS_SECONDS / 2)",
        "future.result()", "row.get(True)", "row.get('key', 5)", "', '.join(['?'] * 5)", "listener.settimeout(0.1)",
    ]  # fmt: skip
    assert [] == short_limits(ast.parse("\n".join(lines)))


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
