"""How pytest-xdist runs the suite: which tests share a worker, and what starts first.

The fast part is given out by files. The deep part and the lab are given out by groups, each run by one worker in order:
each file of tests/lab is a group, and files that share an estate are one (`SHARED`); so is a deep file whose tests
share a fixture. The longest groups start first.
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

TESTS = Path(__file__).parent
LAB = TESTS / "lab"

# Files test_NAME.py of tests/lab, the longest group first as measured: what starts last ends last. Files of one group
# share an estate and the start of its Airflow, which takes 8 s of CPU; a fixture `fresh` is an estate of its own on
# that Airflow, because what a night leaves red is an incident of the next.
SHARED = (
    ("holds_real", "inventory_real"),
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
LONGEST_FOLDERS = (
    "demo", "crash", "invariants", "bench", "web", "pty", "hostile", "tui", "connectors", "control", "cli", "engine",
)  # fmt: skip
"""Folders outside the lab in the order in which they start: those that take minutes first."""
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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Removes the name of the group that xdist adds, so that a reported name can be given to pytest again. A worker
    keeps it: xdist compares it there."""
    if "PYTEST_XDIST_WORKER" not in os.environ and report.nodeid.rfind("@") > report.nodeid.rfind("]"):
        report.nodeid = report.nodeid.rpartition("@")[0]
