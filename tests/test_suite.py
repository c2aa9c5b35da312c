"""`tools/test.sh`: whoever sees only the end of what it prints knows what failed. And what the tests themselves may not
do, so that they stay quick and stand on a slow machine: told by what they say, never by how long they take."""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
from pathlib import Path

import pytest


def test_works() -> None:
    pass


def test_works_the_second_time() -> None:
    been = Path(__file__).with_name("been")
    if not been.exists():
        been.touch()
        raise AssertionError


@pytest.mark.parametrize("word", ["a - b", "c"])
def test_never_works(word: str) -> None:
    assert "c" == word
"""


DEEP = """
import pytest


def test_it() -> None:
    pass


@pytest.mark.deep
def test_it_again() -> None:
    raise AssertionError
"""


def suite(*asked: str | Path, script: Path = ROOT / "tools" / "test.sh") -> tuple[int, list[str]]:
    """Its exit status, and the lines that it printed on what was asked of it."""
    argv = [str(script), *map(str, asked)]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_") or name.endswith("AUTOLOAD")
    }
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=250)
    return done.returncode, done.stdout.splitlines()


def test_the_last_lines_name_what_failed_and_what_failed_once(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    status, lines = suite(tmp_path)
    *_, once, broken, counted = lines
    assert (1, "3 passed, 1 failed, 0 skipped") == (status, counted)
    assert once.startswith("failed and then passed: ")
    assert once.endswith("test_some.py::test_works_the_second_time")
    assert broken.startswith("FAILED ")
    assert broken.endswith("test_some.py::test_never_works[a - b]")


def test_a_session_that_breaks_off_is_a_failure_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "test_gone.py").write_text("import os\n\nos._exit(0)\n")
    status, lines = suite(tmp_path)
    assert (1, "FAILED chosen: the session broke off; it stands above") == (status, lines[-2])
    assert "0 passed, 1 failed, 0 skipped" == lines[-1]


def test_the_fast_part_is_every_quick_test_outside_the_lab_once_however_it_is_dealt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["test_top.py", "tui/test_one.py", "own/inner/test_two.py", *(f"own/test_{n:02}.py" for n in range(60))]
    for place in places:
        file = tmp_path / "tests" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("def test_it() -> None:\n    pass\n")
    (tmp_path / "tests" / "test_top.py").write_text(DEEP)
    (tmp_path / "tests" / "lab").mkdir()
    (tmp_path / "tests" / "lab" / "test_real.py").write_text("def test_it() -> None:\n    raise AssertionError\n")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "test.sh", tmp_path / "tools")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["lab", "deep"]\n')
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    status, lines = suite("fast", script=tmp_path / "tools" / "test.sh")
    assert (0, f"{len(places)} passed, 0 failed, 0 skipped") == (status, lines[-1])
    parts = {line.split()[1] for line in lines if line.startswith("── ")}
    assert {"fast_tui:", "fast_own_1:", "fast_own_2:", "fast_top:"} == parts


# -- what tests may not do ---------------------------------------------------------------------------------------------

OURS = Path(__file__).parent
MAKE_STORES = {
    "store/ready.py",  # the one migration of a session, copied for everybody else
    "store/fixtures.py", "store/test_open.py", "store/test_upgrade.py", "store/test_backup.py", "store/test_faults.py",
    "invariants/locked.py", "invariants/small_disk.py", "invariants/test_migration_killed.py",
    "invariants/test_fault_network_disk.py",
}  # fmt: skip
"""The making of a store is what these are about. It costs a third of a second; a copy (`tests.store.ready`) nothing."""
MAKERS = ("open_store", "migrate")
CLOCKS = {"now", "utcnow", "today", "time", "present"}
LONGEST_NAP = 1.0
NAPPERS = {"time", "asyncio"}


def written(*but: str, holding: Iterable[str]) -> list[tuple[str, ast.Module]]:
    """Every file of the tests outside these folders that has one of these patterns in it, by its path from here."""
    words = re.compile("|".join(rf"\b{word}" for word in holding))
    return [(name, parsed(name)) for name, text in texts() if name.partition("/")[0] not in but and words.search(text)]


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


def looks_at_a_clock(call: ast.AST) -> bool:
    values = {"datetime", "date", "time"}  # time(3, 10) is a value, time.time() a look
    of = call.func if isinstance(call, ast.Call) else None
    if isinstance(of, ast.Name):
        return of.id == "present"
    return name_of(call) in CLOCKS and isinstance(of, ast.Attribute) and getattr(of.value, "id", "") in values


def clock_at_import(tree: ast.Module) -> list[int]:
    return [cast(ast.Call, node).lineno for node in at_import(tree) if looks_at_a_clock(node)]


def naps(tree: ast.Module) -> list[int]:
    """Lines that sleep for longer than `LONGEST_NAP`."""
    sleeps = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node) == "sleep" and node.args]
    spans = [
        (one.lineno, one.args[0]) for one in sleeps if getattr(getattr(one.func, "value", None), "id", "") in NAPPERS
    ]
    return [line for line, span in spans if isinstance(span, ast.Constant) and cast(float, span.value) > LONGEST_NAP]


def makes_stores(tree: ast.Module) -> bool:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    calls = {name_of(node) for node in ast.walk(tree)}
    return MAKERS[0] in names or MAKERS[1] in calls


def test_no_test_takes_the_time_when_its_module_is_imported() -> None:
    """In a suite of half an hour that is half an hour ago: `tests.present` tells the test's own."""
    assert {} == {
        name: lines
        for name, tree in written("bench", holding=(rf"{name}\(" for name in CLOCKS))
        if (lines := clock_at_import(tree))
    }


def test_no_test_sleeps_for_long() -> None:
    """What is waited for has a condition; only real schedulers have minutes of their own."""
    assert {} == {name: lines for name, tree in written("bench", "lab", holding=[r"sleep\("]) if (lines := naps(tree))}


def test_stores_are_made_by_migrations_only_where_that_is_the_point() -> None:
    assert MAKE_STORES == {name for name, tree in written("bench", "lab", holding=MAKERS) if makes_stores(tree)}


@pytest.mark.parametrize(
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
def test_a_look_at_the_clock_is_seen_wherever_an_import_makes_it(bad: str) -> None:
    assert [1] == [1 for _ in clock_at_import(ast.parse(bad))]
    assert [] == clock_at_import(ast.parse("def test():\n    now = datetime.now(UTC)\nLATER = lambda: time.time()"))


def test_a_long_sleep_is_seen_and_a_short_one_is_left() -> None:
    assert [1] == naps(ast.parse("time.sleep(1.5)\ntime.sleep(0.02)\ntime.sleep(pause)\nserver.sleep(20)"))
