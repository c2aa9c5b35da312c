"""Real tables in a folder: Delta as deltalake writes it, Iceberg as pyiceberg does."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pyarrow as pa
import pyiceberg.catalog
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.records import Poll
from connectors.sdk.states import RunState
from connectors.tables.connector import CONNECTOR, NO_LOG, TARGET
from console.cli.connectors import trial_lines, try_target
from console.timing.schedule import instants
from tests.fakes.login import no_secret
from tests.fakes.web_server import web_server

ROWS = pa.table({"id": [1, 2], "name": ["a", "b"]})
GAP = "commits between two polls are no longer in its log, or more than 1,000"


def s3_at(host: str, port: int) -> dict[str, Any]:
    """A Delta table in a store at that address."""
    storage = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "eu-central-1"}
    identity = {"AWS_ACCESS_KEY_ID": {"env": "KEY"}, "AWS_SECRET_ACCESS_KEY": {"env": "SECRET"}}
    return {"storage": {**storage, **identity}, "tables": {"orders": {"delta": "s3://lake/orders"}}}


def opened(**given: Any) -> Connector:
    return CONNECTOR.open(CONNECTOR.options.model_validate(given), TARGET, no_secret)


class Lake:
    """One Delta and one Iceberg table, two commits each."""

    def __init__(self, folder: Path) -> None:
        self.delta = str(folder / "orders")
        properties = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}"}
        self.catalog = {"type": "sql", "name": "lake", **properties}
        self._catalog = SqlCatalog("lake", **properties)
        self._catalog.create_namespace("sales")
        self.iceberg = self._catalog.create_table("sales.stock", schema=ROWS.schema)
        for _ in range(2):
            self.append()

    def append(self) -> None:
        write_deltalake(self.delta, ROWS, mode="append")
        self.iceberg.append(ROWS)

    def odd(self) -> None:
        """The newest commit of the Delta table is by an operation that nobody knows."""
        newest = max(Path(self.delta, "_delta_log").glob("*.json"))
        newest.write_text(newest.read_text().replace('"operation":"WRITE"', '"operation":"REWEAVE"'))

    def connector(self, **given: Any) -> Connector:
        tables = {"orders": {"delta": self.delta, **given}, "stock": {"iceberg": "sales.stock", **given}}
        return opened(catalog=self.catalog, tables=tables)

    def close(self) -> None:
        self._catalog.close()


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path)
    yield lake
    lake.close()


@pytest.fixture(scope="class")
def world(request: pytest.FixtureRequest) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="headway-tables-") as name:
        request.cls.lake = Lake(Path(name))
        yield
        request.cls.lake.close()


@pytest.mark.usefixtures("world")
class TestTables(Reads, Deadlines, Faults):
    kind = CONNECTOR
    against = "real: Delta tables of deltalake 1.6, Iceberg tables of pyiceberg 0.12"
    lake: Lake
    limits: ClassVar[Mapping[str, str]] = {"failure": "a write that failed leaves no commit"}
    unplayed: ClassVar[Mapping[str, str]] = {
        "answering": "deltalake and pyiceberg read the replies",
        "crowded": "of a first poll the newest 1,000 commits are read",
        "long_log": NO_LOG,
        "with_a_run_behind": "versions of a table are in the order of their commits",
    }
    elsewhere: ClassVar[Mapping[str, str]] = {"with_a_right_revoked": "tests/connectors/tables/test_conformance.py"}

    def connector(self) -> Connector:
        return self.lake.connector(expected={"at": "03:00"})

    def connector_at(self, host: str, port: int) -> Connector:
        return opened(**s3_at(host, port))

    def make_success(self) -> str:
        return "orders"

    def connector_with_an_unknown_state(self) -> Connector:
        write_deltalake(self.lake.delta, ROWS, mode="append")
        self.lake.odd()
        return self.connector()


def polled(connector: Connector, cursor: str = "") -> Poll:
    return connector.poll(cursor, (), 20)


def test_a_trial_names_no_setting_for_an_operation_that_nobody_knows(lake: Lake) -> None:
    """It named `states`, which this kind does not have."""
    lake.odd()
    connector = lake.connector()
    trial = try_target(connector, "lake/tables", 20)
    assert "  state    'REWEAVE' × 1 -> unknown" in [*trial_lines(trial)]
    connector.close()


def test_only_commits_that_bring_data_are_runs(lake: Lake) -> None:
    connector = lake.connector()
    first = polled(connector)
    assert ["orders", "orders", "stock", "stock"] == sorted(run.job for run in first.runs)
    assert {(RunState.SUCCEEDED, 2)} == {(run.state, run.context["rows"]) for run in first.runs}
    table = DeltaTable(lake.delta)
    table.optimize.compact()
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    table.delete("id = 2")
    write_deltalake(lake.delta, ROWS.slice(0, 0), mode="append")
    lake.iceberg.delete("id > 0")
    lake.iceberg.append(ROWS.slice(0, 0))
    assert "append" == lake.iceberg.current_snapshot().summary.operation.value
    second = polled(connector, first.cursor)
    assert ((), True) == (second.runs, second.complete)
    merge = table.merge(ROWS, "s.id = t.id", source_alias="s", target_alias="t")
    merge.when_not_matched_insert_all().execute()
    lake.iceberg.append(ROWS)
    third = polled(connector, second.cursor)
    assert [("orders", "MERGE", 1), ("stock", "append", 2)] == sorted(
        (run.job, run.native_state, run.context["rows"]) for run in third.runs
    )
    connector.close()


def test_snapshots_of_other_branches_and_rolled_back_ones_do_not_count(lake: Lake) -> None:
    connector = lake.connector()
    first = polled(connector)
    lake.iceberg.manage_snapshots().create_branch(lake.iceberg.current_snapshot().snapshot_id, "audit").commit()
    lake.iceberg.append(ROWS, branch="audit")
    assert () == polled(connector, first.cursor).runs
    before = lake.iceberg.current_snapshot().snapshot_id
    lake.iceberg.append(ROWS)
    cursor = polled(connector, first.cursor).cursor
    lake.iceberg.manage_snapshots().rollback_to_snapshot(before).commit()
    rolled_back = polled(connector, cursor)
    assert ((), ()) == (rolled_back.runs, rolled_back.gaps)
    lake.iceberg.append(ROWS)
    after = polled(connector, cursor)
    assert (["stock"], ()) == ([run.job for run in after.runs], after.gaps)
    connector.close()


@pytest.mark.parametrize("commits, gaps", [(2, 0), (3, 2)])
def test_more_commits_between_two_polls_than_are_read_are_a_gap(
    lake: Lake, commits: int, gaps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.tables.connector.MAX_COMMITS", 2)
    connector = lake.connector()
    first = polled(connector)
    for _ in range(commits):
        lake.append()
    poll = polled(connector, first.cursor)
    assert ((), 4, gaps) == (first.gaps, len(poll.runs), len(poll.gaps))
    connector.close()


def test_commits_missing_from_the_log_are_a_gap(lake: Lake) -> None:
    connector = lake.connector()
    cursor = polled(connector).cursor
    connector.close()
    for _ in range(3):
        write_deltalake(lake.delta, ROWS, mode="append")
    DeltaTable(lake.delta).create_checkpoint()
    write_deltalake(lake.delta, ROWS, mode="append")
    for version in (1, 2, 3):
        Path(lake.delta, "_delta_log", f"{version:020}.json").unlink()
    connector = lake.connector()
    poll = polled(connector, cursor)
    assert [f"orders: {GAP}"] == [gap.reason for gap in poll.gaps]
    connector.close()


def test_snapshots_that_expired_between_two_polls_are_a_gap(lake: Lake) -> None:
    connector = lake.connector()
    cursor = polled(connector).cursor
    for _ in range(2):
        lake.iceberg.append(ROWS)
    old = [snapshot.snapshot_id for snapshot in lake.iceberg.snapshots()[:-1]]
    lake.iceberg.maintenance.expire_snapshots().by_ids(old).commit()
    poll = polled(connector, cursor)
    assert (1, [f"stock: {GAP}"]) == (
        len(poll.runs), [gap.reason for gap in poll.gaps],
    )  # fmt: skip
    connector.close()


def test_a_recreated_table_is_read_from_its_start(lake: Lake) -> None:
    connector = lake.connector()
    cursor = polled(connector).cursor
    connector.close()
    for path in sorted(Path(lake.delta).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    write_deltalake(lake.delta, ROWS)
    connector = lake.connector()
    assert ["orders"] == [run.job for run in polled(connector, cursor).runs]
    connector.close()


def test_a_table_that_is_missing_leaves_the_others_alone(lake: Lake) -> None:
    tables = {"orders": {"delta": lake.delta}, "gone": {"delta": f"{lake.delta}-gone"}, "no": {"iceberg": "sales.no"}}
    connector = opened(catalog=lake.catalog, tables=tables)
    poll = polled(connector)
    assert ({"orders"}, False, None) == ({run.job for run in poll.runs}, poll.complete, poll.seen_until)
    assert ["gone", "no"] == [item.where for item in poll.skipped]
    rights = connector.probe(20).rights
    assert [True, False, False] == [right.held for right in rights]
    assert [True, True] == [
        "Fix" not in right.why and right.fix.startswith("correct its address") for right in rights[1:]
    ]
    connector.close()
    alone = opened(tables={"gone": tables["gone"]})
    with pytest.raises(NotSupported, match="Fix: correct its address"):
        polled(alone)


def test_a_catalog_in_sql_without_a_name_is_the_default_one(tmp_path: Path) -> None:
    properties = {"uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}"}
    catalog = SqlCatalog("default", **properties)
    catalog.create_namespace("sales")
    catalog.create_table("sales.stock", schema=ROWS.schema).append(ROWS)
    catalog.close()
    connector = opened(catalog={"type": "sql", **properties}, tables={"stock": {"iceberg": "sales.stock"}})
    assert ["stock"] == [run.job for run in polled(connector).runs]
    connector.close()


@pytest.fixture
def opened_tables(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of Delta tables and names of catalogs, as they are opened."""
    names = list[str]()

    def noted(owner: Any, method: str, name: Callable[[Any], str]) -> None:
        """`name` of the last argument of each call."""
        call = getattr(owner, method)

        def noting(*arguments: Any, **given: Any) -> Any:
            names.append(name(arguments[-1] if arguments else given))
            return call(*arguments, **given)

        monkeypatch.setattr(owner, method, noting)

    noted(DeltaTable, "__init__", str)
    noted(DeltaTable, "history", "{} commits".format)
    noted(pyiceberg.catalog, "load_catalog", lambda _: "catalog")
    return names


def test_a_table_that_fails_leaves_the_others_open(lake: Lake, opened_tables: list[str]) -> None:
    missing = f"{lake.delta}-gone"
    tables = {"gone": {"delta": missing}, "no": {"iceberg": "sales.no"}}
    tables |= {"orders": {"delta": lake.delta}, "stock": {"iceberg": "sales.stock"}}
    connector = opened(catalog=lake.catalog, tables=tables)
    cursor = polled(connector).cursor
    opened_tables.clear()
    polled(connector, cursor)
    assert [missing] == opened_tables
    connector.close()


def test_a_check_reads_one_commit_of_each_table(lake: Lake, opened_tables: list[str]) -> None:
    connector = lake.connector()
    connector.inventory("", 20)
    assert [lake.delta, "1 commits"] == opened_tables
    connector.probe(20)
    assert [lake.delta, "1 commits", "1 commits", "catalog"] == opened_tables
    connector.close()


def test_a_store_that_is_not_reached_in_time_is_named_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connector = opened(**s3_at("127.0.0.1", silent.getsockname()[1]))
        for reason in (r"no answer within 0\.\d+ s", "an earlier call has not ended yet"):
            with pytest.raises(SystemUnreachable, match=rf"^s3://lake/orders: {reason}\. Fix: check the address"):
                connector.poll("", (), 0.5)


def test_a_store_that_refuses_is_named_with_the_fix() -> None:
    refusal = httpx.Response(403, content=b"<Error><Code>AccessDenied</Code></Error>")
    with web_server(lambda _: refusal) as address:
        connector = opened(**s3_at("127.0.0.1", int(address.rpartition(":")[2])))
        with pytest.raises(AccessRefused, match="Fix: check the account and its right to read the table"):
            polled(connector)
        [right] = connector.probe(20).rights
        assert (False, True) == (right.held, bool(right.fix))


@pytest.mark.parametrize(
    "commits, early, missing",
    [
        (("26 02:30", "26 22:53"), "2h", 27),  # 23:53 in Berlin, five hours ahead
        (("26 02:30", "26 16:30"), "2h", 27),  # a second load, 13 hours late
        (("26 16:30", "27 02:10"), "2h", None),
        (("26 02:30", "27 01:01"), "2h", None),
        (("25 22:53", "26 22:53"), "5h", None),
    ],
)
def test_an_early_or_a_very_late_load_is_not_that_of_the_next_day(
    lake: Lake, commits: Sequence[str], early: str, missing: int | None
) -> None:
    """Expected at 04:00 in Berlin, on the 26th and the 27th."""
    for version, text in enumerate(commits):
        path = Path(lake.delta, "_delta_log", f"{version:020}.json")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        at = datetime.strptime(f"2026-11-{text}+0000", "%Y-%m-%d %H:%M%z")
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"] |= {"timestamp": int(at.timestamp()) * 1000}
        path.write_text("\n".join(map(json.dumps, lines)))
    given = {"orders": {"delta": lake.delta, "expected": {"at": "04:00", "early": early}}}
    connector = opened(zone="Europe/Berlin", tables=given)
    [job] = connector.inventory("", 20).jobs
    expected = instants(job.schedule, datetime(2026, 11, 25, 12, tzinfo=UTC), datetime(2026, 11, 27, 12, tzinfo=UTC))
    loaded = {run.period_at for run in polled(connector).runs}
    assert [missing] * (missing is not None) == [at.day for at in expected if at not in loaded]
    assert loaded <= {*expected}
    connector.close()


@pytest.mark.parametrize(
    "field, value, runs", [("operationMetrics", {}, 1), ("timestamp", None, 0), ("timestamp", 10**16, 0)]
)
def test_a_commit_without_figures_counts_and_one_without_a_time_is_reported(
    lake: Lake, field: str, value: Any, runs: int
) -> None:
    newest = max(Path(lake.delta, "_delta_log").glob("*.json"))
    lines = [json.loads(line) for line in newest.read_text().splitlines()]
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"] |= {"operation": "STREAMING UPDATE", field: value}
    newest.write_text("\n".join(map(json.dumps, lines)))
    connector = lake.connector(expected={"at": "03:00"})
    poll = polled(connector)
    assert runs == len([run for run in poll.runs if run.native_state == "STREAMING UPDATE"])
    assert (runs == 0) == any("without a time" in warning for warning in poll.warnings)
    connector.close()
