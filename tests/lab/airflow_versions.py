"""The supported Airflows with the example DAGs that they ship, and every row of their databases beside the store's.

`test_airflow_versions_real.py` runs one example of each kind of DAG and task on a version. `python -m
tests.lab.airflow_versions [VERSION …]` runs every example that needs nothing but Airflow while an engine polls; after
`--minutes` all but its API is ended and the rows are compared. Exit status 1 where a row differs.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.lab import venvs
from tests.lab.airflow import PASSWORDS, AirflowServer
from tests.lab.airflow2 import Airflow2Server
from tests.lab.airflow_rows import RowComparison, compare
from tests.lab.headway import Headway
from tests.lab.headway_config import quoted
from tests.lab.process import LabError, private_folder, remove_folder, wait_until

TRIES = Path(__file__).with_name("dags_tries")
NEEDS_MORE = (
    "kubernetes", "_http", "sla", "external_task", "inlet_event", "params_ui", "display_name", "long_running",
    "branch_dop", "via_test_command", "second_order",
)  # fmt: skip
"""Parts of the ids of examples that need another system or a person, or run each minute."""
KINDS = (
    "branch_labels", "short_circuit_operator", "skip_dag", "setup_teardown", "dynamic_task_mapping", "sensor_decorator",
    "time_delta_sensor_async", "trigger_controller_dag", "trigger_target_dag",
)  # fmt: skip
"""Files of examples, one of each kind: labels, skips by a condition and by an exception, setup and teardown, mapped
tasks, a sensor, a deferred task, a DAG that starts another. What a minor version has besides: `kinds_of`."""
STAY_OPEN = ("example_hitl", "example_subdag")
"""DAGs that wait for a person, or for a subdag, which is paused."""
LIMIT_SECONDS = 900.0
SETTLE_SECONDS = 240.0


class Examples(AirflowServer):
    """An Airflow 3 with its examples, its triggerer, and DAGs whose tries pass quickly."""

    dag_ids: tuple[str, ...] = ("third_time", "always_red")

    def __init__(self, folder: Path, version: str, kinds: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self.version, self.kinds = version, kinds

    def _components(self) -> dict[str, list[str]]:
        return {**super()._components(), "triggerer": ["triggerer"]}

    def _prepare(self) -> None:
        super()._prepare()
        with_tries(self._dags, self.version, self.kinds)

    def _settings(self) -> dict[str, str]:
        return with_examples(super()._settings(), all_of_them=not self.kinds)

    def _knows_the_dags(self) -> bool:
        return knows_the_examples(self)


class Examples2(Airflow2Server):
    """The same of an Airflow 2."""

    dag_ids = Examples.dag_ids

    def __init__(self, folder: Path, version: str, kinds: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self.version, self.kinds = version, kinds

    def _components(self) -> dict[str, list[str]]:
        return {**super()._components(), "triggerer": ["triggerer"]}

    def _prepare(self) -> None:
        super()._prepare()
        with_tries(self._dags, self.version, self.kinds)

    def _settings(self) -> dict[str, str]:
        return with_examples(super()._settings(), all_of_them=not self.kinds)

    def _knows_the_dags(self) -> bool:
        return knows_the_examples(self)


def knows_the_examples(server: Examples | Examples2) -> bool:
    known = set(all_dags(server))
    return set(server.dag_ids) <= known and len(known) > (len(server.kinds) or 50)


def kinds_of(version: str) -> tuple[str, ...]:
    """Files of examples: one of each kind of DAG and task that this version has."""
    if version.startswith("2."):
        return (*KINDS, "dataset_alias", "subdag_operator")
    return (*KINDS, "asset_alias", *(() if version.startswith("3.0.") else ("hitl_operator",)))


def with_tries(dags: Path, version: str, kinds: Sequence[str]) -> None:
    """The DAGs folder: those with tries, and the examples of these kinds."""
    shutil.rmtree(dags)
    shutil.copytree(TRIES, dags, ignore=shutil.ignore_patterns("__pycache__"))
    package = next(venvs.airflow_environment(version).glob("lib/python*/site-packages/airflow"))
    for kind in kinds:
        [shipped] = package.glob(f"**/example_dags/example_{kind}.py")
        shutil.copy(shipped, dags)


def with_examples(settings: dict[str, str], all_of_them: bool) -> dict[str, str]:
    more = {"CORE__LOAD_EXAMPLES": str(all_of_them), "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}
    more |= {"CORE__PARALLELISM": "4"}
    more |= {"SCHEDULER__CATCHUP_BY_DEFAULT": "False", "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "300"}
    more |= {"DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300"}
    return {**settings, **{f"AIRFLOW__{name}": value for name, value in more.items()}}


def all_dags(server: AirflowServer) -> list[str]:
    return [dag["dag_id"] for dag in paged(server, "dags", "dags")]


def paged(server: AirflowServer, path: str, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        page = server.call("GET", f"{path}?limit=100&offset={len(rows)}")[name]
        rows += page
        if not page:
            return rows


@contextmanager
def running(version: str, kinds: Sequence[str] = ()) -> Iterator[AirflowServer]:
    """An Airflow of that version with examples of these kinds, or with all of them."""
    folder = private_folder("airflow-versions")
    server = (Examples2 if version.startswith("2.") else Examples)(folder, version, kinds)
    try:
        server.start()
        yield server.wait_ready()
    finally:
        server.stop()
        remove_folder(folder)


@contextmanager
def watched(server: AirflowServer, folder: Path, poll_every: str = "5s") -> Iterator[Path]:
    """The store of an engine that polls this server for the time of the block."""
    folder.mkdir(mode=0o700)
    secret = folder / "password"
    secret.touch(0o600)
    secret.write_text(PASSWORDS["headway"] + "\n")
    config = folder / "headway.toml"
    config.write_text(
        '[estate]\nname = "versions"\nstarts_in = "shadow"\nstore = "headway.db"\n[systems.airflow]\nkind = "airflow"\n'
        f'url = "{server.url}"\nusername = "headway"\npassword = {{ file = {quoted(str(secret))} }}\n'
        f'poll_every = "{poll_every}"\n'
    )
    headway = Headway(config)
    with headway.running_engine():
        yield folder / "headway.db"


def compared(
    server: AirflowServer, store: Path, limit_seconds: float = SETTLE_SECONDS
) -> tuple[RowComparison, RowComparison]:
    """The comparison, once nothing differs or the time is over: a row that runs is polled a moment later. Raises
    LabError where the engine has read nothing since."""
    since = time.time()
    both = compare(server.database, store)

    def is_settled() -> bool:
        nonlocal both
        both = compare(server.database, store)
        return not any(comparison.different for comparison in both)

    with suppress(LabError):
        wait_until(is_settled, "the rows to settle", pause=1.0, grace=limit_seconds)
        return both
    with closing(sqlite3.connect(store)) as connection:
        [(last, error)] = connection.execute("SELECT last_ok_us, error FROM target").fetchall()
    if (last or 0) < since * 1_000_000:
        raise LabError(
            f"the engine has read nothing from {server.url} for {limit_seconds:.0f} s: {error}\n{server.logs}"
        )
    return both


def trigger_all(server: AirflowServer) -> int:
    """Triggers each example that runs by itself, and resumes them once all are queued: a busy SQLite answers late.
    How many Airflow accepted."""
    chosen = [dag for dag in all_dags(server) if not any(part in dag for part in NEEDS_MORE)]
    accepted = [dag for dag in chosen if written(partial(server.trigger, dag, f"versions__{dag}"))]
    for dag in accepted:
        written(partial(server.call, "PATCH", f"dags/{dag}", {"is_paused": False}))
    return len(accepted)


def written(send: Callable[[], object]) -> bool:
    """Whether Airflow accepted it; sent again where it did not answer, which for these requests changes nothing."""
    for _ in range(5):
        try:
            send()
        except httpx.TransportError:
            continue
        except httpx.HTTPStatusError as error:
            if error.response.status_code >= 500:
                continue
            if error.response.status_code != 409:  # it was made by the request before
                print(f"  refused: {error.response.url.path} {error.response.text[:200]}", file=sys.stderr)
                return False
        return True
    raise LabError("Airflow answers no request")


def open_runs(server: AirflowServer) -> int:
    """How many runs will end by themselves and have not, by its database: its web server is busy with them."""
    with closing(sqlite3.connect(server.database, timeout=60)) as metadata:
        rows = metadata.execute("SELECT dag_id FROM dag_run WHERE state IN ('queued', 'running')").fetchall()
    return sum(not dag_id.startswith(STAY_OPEN) for (dag_id,) in rows)


def keep(folder: Path, version: str, *databases: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in databases:
        with (
            closing(sqlite3.connect(path)) as source,
            closing(sqlite3.connect(folder / f"{version}-{path.name}")) as to,
        ):
            source.backup(to)


def wait_for_runs(server: AirflowServer, limit_seconds: float) -> None:
    """Returns when no run is open, or the time is over."""
    with suppress(LabError):
        wait_until(lambda: not open_runs(server), "the end of the runs", pause=2.0, grace=limit_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.airflow_versions", description=__doc__)
    parser.add_argument("versions", nargs="*", default=list(venvs.AIRFLOWS), metavar="VERSION")
    parser.add_argument("--minutes", type=float, default=LIMIT_SECONDS / 60, help="of one version's runs")
    parser.add_argument("--keep", type=Path, help="folder for the metadata databases and stores")
    arguments = parser.parse_args()
    differences = 0
    for version in arguments.versions:
        began = time.monotonic()
        with running(version) as server, watched(server, server.folder / "headway") as store:
            print(f"{version}: started in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            started = trigger_all(server)
            wait_for_runs(server, arguments.minutes * 60)
            unfinished = open_runs(server)
            server.leave_only_the_api()  # rows that move cannot be compared
            both = compared(server, store)
            names = [f"Airflow {version}: {kind}" for kind in ("DAG runs", "tasks of runs")]
            print(f"{version}: {started} triggered, {unfinished} unfinished, {time.monotonic() - began:.0f} s")
            print("\n".join(comparison.text(name) for comparison, name in zip(both, names, strict=True)), flush=True)
            differences += sum(len(comparison.different) for comparison in both)
            if arguments.keep:
                keep(arguments.keep, version, server.database, store)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
