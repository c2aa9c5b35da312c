"""How pytest-xdist runs the suite: which tests share a worker, what starts first, how many workers there are.

A group is run by one worker, in order. Each file of tests/lab is a group; files that share an estate are one group
(`SHARED`). A fast file whose tests share a fixture is a group; every other fast test is on its own. The lab
mostly waits for the next minute of a cron, so its groups start first, on all workers but `FAST_WORKERS`, and the fast
tests run meanwhile on the others.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from _pytest.assertion import rewrite
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

TESTS = Path(__file__).parent
LAB = TESTS / "lab"

# Files test_NAME.py of tests/lab, the longest group first as measured: what starts last ends last. Files of one group
# share an estate and the start of its Airflow, which takes 8 s of CPU; a fixture `fresh` is an estate of its own on
# that Airflow, because what a night leaves red is an incident of the next.
SHARED = (
    ("holds_real", "first_light", "inventory_real"),
    (
        "airflow_real", "airflow_actions_real", "airflow_answers_real", "airflow_clouds_real", "backfills_real",
        "check_real", "lab_main",
    ),
    ("pg_cron_real",), ("dagster_real",), ("killed_postgres",),
    ("engine_clock_real",), ("cron_real",), ("store_postgres",), ("team_store_real",), ("moved_clock_real",),
    ("dst_real",), ("prefect_real",), ("control_plane_real",), ("cron_holds_real",), ("slurm_real",),
    ("missed_and_stale_real",), ("faults_real",), ("lab_parts",), ("moved_crontab_real",), ("cron_stopped_real",),
    ("keys_real",), ("step_functions_real", "step_functions_actions_real"), ("pg_cron_actions_real",),
    ("aws_logs_real", "batch_real", "emr_real", "glue_real", "eventbridge_real", "s3_real", "checks_endpoints_real",
     "status_page_real"),  # one moto server
    ("kubernetes_real", "kubernetes_rights_real", "kubernetes_runs_real"),
    ("gate_real", "jump_real", "refusals_real", "completion_real"),
)  # fmt: skip
FAST_WORKERS = 3
LONGEST_FOLDERS = (
    "demo", "crash", "test_hours.py", "invariants", "bench", "web", "pty", "hostile", "tui", "connectors", "control",
    "cli", "engine",
)  # fmt: skip
"""Folders and files of fast tests in the order in which they start: those that take minutes first."""
WORKERS_PER_CORE, WAITING_WORKERS = 2, 5
"""Workers of `-n auto`: the lab waits for the next minute of a cron far more than it works."""
LAB_PREFIX = "lab-"
SHARING_SCOPES = {"class", "module"}

_GROUP_OF = {name: f"{LAB_PREFIX}{files[0]}" for files in SHARED for name in files}
_RANK_OF = {name: rank for rank, name in enumerate(chain.from_iterable(SHARED))}


# -- what a test belongs to --------------------------------------------------------------------------------------------
def is_lab(item: pytest.Item) -> bool:
    return item.get_closest_marker("lab") is not None


def group_of(item: pytest.Item) -> str | None:
    """The name of the group that the test belongs to; None where it may run on any worker."""
    if is_lab(item):
        name = lab_name(item.path)
        return _GROUP_OF.get(name, f"{LAB_PREFIX}{name}")
    if item.path.parent.name == "hostile":
        return "hostile"  # one large estate for the folder, a session fixture
    if shares_a_fixture(item):
        return "/".join(item.path.parts[-3:])
    return None


def lab_name(path: Path) -> str:
    """ "cron_real" for tests/lab/test_cron_real.py; lab tests outside of tests/lab keep their folder."""
    name = path.stem.removeprefix("test_")
    return name if path.parent == LAB else f"{path.parent.name}-{name}"


def shares_a_fixture(item: pytest.Item) -> bool:
    """Whether another test of its file uses the same instance of a fixture."""
    info = getattr(item, "_fixtureinfo", None)
    fixtures: Iterable[Any] = chain.from_iterable(info.name2fixturedefs.values()) if info else ()
    return any(item.scope in SHARING_SCOPES for item in fixtures)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the groups and orders the tests. Where several workers run, the lab comes first; in a session of one
    process it comes last, so that a cheap test fails before the estate starts."""
    for item in items:
        group = group_of(item)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))
    if is_distributed(config):
        items.sort(key=order_of)
    else:
        items.sort(key=lambda item: (1, order_of(item)[1]) if is_lab(item) else (0, 0))


def order_of(item: pytest.Item) -> tuple[int, int]:
    """Sorts the longest groups of the lab first, then the longest folders of fast tests."""
    if is_lab(item):
        return 0, _RANK_OF.get(lab_name(item.path), len(_RANK_OF))
    folder = folder_of(item.path)
    return 1, LONGEST_FOLDERS.index(folder) if folder in LONGEST_FOLDERS else len(LONGEST_FOLDERS)


@functools.cache
def folder_of(path: Path) -> str:
    """The folder below tests/, or the file, that this file of tests lies in; "" outside. Once for each file: there are
    14,600 tests, and every worker collects all of them."""
    return path.relative_to(TESTS).parts[0] if TESTS in path.parents else ""


def group_name(item: pytest.Item) -> str | None:
    """The group that `arrange` gave the test."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark is not None else None


def is_last_of_group(item: pytest.Item, following: pytest.Item | None) -> bool:
    return following is None or group_name(item) != group_name(following)


def is_distributed(config: pytest.Config) -> bool:
    """Whether xdist runs this session: its controller, or a worker."""
    return hasattr(config, "workerinput") or bool(getattr(config.option, "tx", None))


# -- modules are compiled once for all workers -------------------------------------------------------------------------
@pytest.hookimpl(tryfirst=True)  # before xdist starts its workers
def pytest_sessionstart(session: pytest.Session) -> None:
    """Compiles test modules of a fresh checkout, on all cores: else every worker compiles each of them."""
    config = session.config
    if hasattr(config, "workerinput") or not is_distributed(config) or sys.dont_write_bytecode:
        return
    stale = [path for path in sorted(TESTS.rglob("test_*.py")) if not _is_compiled(path)]
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("fork")
    parts = [context.Process(target=_compile, args=(stale[number::cores], config)) for number in range(cores)]
    for process in parts:
        process.start()
    for process in parts:
        process.join()


def _compiled(path: Path) -> Path:
    return rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"


def _is_compiled(path: Path) -> bool:
    compiled = _compiled(path)
    return compiled.exists() and compiled.stat().st_mtime >= path.stat().st_mtime


def _compile(paths: Iterable[Path], config: pytest.Config) -> None:
    for path in paths:
        source, code = rewrite._rewrite_test(path, config)
        rewrite.try_makedirs(_compiled(path).parent)
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source, _compiled(path))


# -- hooks of xdist, which tests/conftest.py imports -------------------------------------------------------------------
class LabFirst(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives the groups of the lab to all workers but `FAST_WORKERS`, and the fast tests to the others."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(self._next_scope(node), last=False)
        super()._assign_work_unit(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forgets a scope that is done: with each test xdist walks through all scopes that a worker was ever given."""
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]

    def _next_scope(self, node: WorkerController) -> str:
        others = [
            scope
            for other, work in self.assigned_work.items()
            if other is not node
            for scope, tests in work.items()
            if not all(tests.values())
        ]
        labs = sum(scope.startswith(LAB_PREFIX) for scope in others)
        is_lab_full = labs >= max(1, len(self.nodes) - FAST_WORKERS)
        others_first = (scope for scope in self.workqueue if not (is_lab_full and scope.startswith(LAB_PREFIX)))
        return str(next(others_first, next(iter(self.workqueue))))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LabFirst | None:
    return LabFirst(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers for `-n auto`: `WAITING_WORKERS` more where the lab runs."""
    has_lab = "not lab" not in config.option.markexpr
    return len(os.sched_getaffinity(0)) * WORKERS_PER_CORE + has_lab * WAITING_WORKERS


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Removes the name of the group that xdist adds, so that a reported name can be given to pytest again. A worker
    keeps it: xdist compares it there."""
    if "PYTEST_XDIST_WORKER" not in os.environ and report.nodeid.rfind("@") > report.nodeid.rfind("]"):
        report.nodeid = report.nodeid.rpartition("@")[0]
