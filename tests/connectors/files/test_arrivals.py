"""What is concluded from a folder: half-written files, deliveries that are repeated, periods, and names."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.files.client import LocalFolders
from connectors.files.connector import CONNECTOR
from connectors.files.options import FilesOptions
from connectors.sdk import file_arrivals
from connectors.sdk.errors import ConnectorError, NotSupported, PermissionMissing, SystemUnreachable
from connectors.sdk.file_arrivals import ArrivalConnector, FileEntry, FolderMissing, FolderUnreachable
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.call_limits import Deadline
from tests.fakes.login import no_secret
from tests.rows import each_row

THREE = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
"""03:00 in Berlin."""
ORDERS = "/in/orders_20261119.csv"


class Folder:
    """A folder and a clock of the test's own: two minutes pass before each poll."""

    deadline = Deadline(0)

    def __init__(self, **file: Any) -> None:
        given = {"path": "/in/orders_%Y%m%d*.csv", "at": "03:00", "days_after": 1, "min_bytes": 10, **file}
        self.options = FilesOptions.model_validate(
            {"hosts": [{"name": "here", "local": True}], "zone": "Europe/Berlin", "files": {"orders": given}}
        )
        self.files: dict[str, tuple[int, datetime]] = {}
        self.failure: ConnectorError | None = None
        """Of the folder /other."""
        self.listed: list[str] = []
        self.at = THREE
        self.cursor = ""

    def add_other(self) -> None:
        """Another job, whose files are in /other."""
        orders = self.options.files["orders"]
        self.options.files["other"] = orders.model_copy(update={"path": "/other/orders_%Y%m%d*.csv"})

    def entries(self, folder: str) -> list[FileEntry]:
        self.listed.append(folder)
        if folder == "/other" and self.failure is not None:
            raise self.failure
        files = ((path, size, at) for path, (size, at) in self.files.items() if path.rpartition("/")[0] == folder)
        return [FileEntry(path, size, at.timestamp()) for path, size, at in files]

    def close(self) -> None:
        pass

    def connector(self) -> ArrivalConnector:
        options, now = self.options, self.at.timestamp()
        return ArrivalConnector(self, "here", options.files, options.zone, lambda _: ("", ""), lambda: now)

    def poll(self, *open_runs: RunRef, minutes: float = 2) -> Poll:
        self.at += timedelta(minutes=minutes)
        result = self.connector().poll(self.cursor, open_runs, 5)
        self.cursor = result.cursor
        return result

    def states(self, minutes: float = 2) -> list[tuple[str, RunState]]:
        return [(run.attempt_key, run.state) for run in self.poll(minutes=minutes).runs]


def watched(**file: Any) -> Folder:
    """A folder that was empty at the first poll."""
    folder = Folder(**file)
    assert not folder.poll().runs
    return folder


def ref(run: RunRecord) -> RunRef:
    return RunRef(run.job, run.period_key or "", run.attempt_key, run.native_ref, run.started_at)


def test_a_half_written_file_is_never_green() -> None:
    folder = watched()
    for size in (100, 200, 300):
        folder.files[ORDERS] = (size, folder.at)
        assert [(f"{ORDERS}@open", RunState.RUNNING)] == folder.states()
    folder.files[ORDERS] = (300, folder.at)  # the same size, written again
    assert [RunState.RUNNING] == [state for _, state in folder.states()]
    assert [RunState.RUNNING] == [state for _, state in folder.states(minutes=0.9)]
    [run] = folder.poll(minutes=0.2).runs
    assert (RunState.SUCCEEDED, f"{ORDERS}@open") == (run.state, run.formerly)
    assert () == folder.poll().runs


def test_a_young_file_of_a_first_poll_is_not_green_yet() -> None:
    folder = Folder()
    folder.files[ORDERS] = (300, folder.at - timedelta(hours=23))
    assert [RunState.RUNNING] == [state for _, state in folder.states()]
    assert [RunState.SUCCEEDED] == [state for _, state in folder.states()]


def test_an_old_time_preserved_by_a_copy_counts_as_the_time_of_its_poll() -> None:
    """Else a file copied after its deadline would have arrived in time."""
    folder = watched()
    folder.files[ORDERS] = (300, THREE - timedelta(days=2))
    [begun] = folder.poll().runs
    assert folder.at == begun.started_at
    [run] = folder.poll().runs
    assert (RunState.SUCCEEDED, begun.started_at, begun.started_at) == (run.state, run.started_at, run.ended_at)


def test_a_folder_that_hangs_is_named_and_the_others_are_read() -> None:
    folder = watched()
    folder.add_other()
    folder.options.files["third"] = folder.options.files["other"].model_copy(update={"min_bytes": 20})
    folder.failure = FolderUnreachable("/other: no answer")
    folder.files[ORDERS] = (300, folder.at)
    folder.listed.clear()
    poll = folder.poll()
    assert (["here:orders"], False, None) == ([run.job for run in poll.runs], poll.complete, poll.seen_until)
    assert [("other", "/other: no answer"), ("third", "/other: no answer")] == [
        (item.where, item.reason) for item in poll.skipped
    ]
    assert 1 == folder.listed.count("/other")
    assert folder.connector().inventory("", 5).jobs
    assert [True, None] == [right.held for right in folder.connector().probe(5).rights]


@pytest.mark.parametrize("is_unreadable", [False, True])
def test_the_first_read_of_a_job_takes_old_files_as_of_their_own_time(is_unreadable: bool) -> None:
    """A job that is new in the config, and one whose folder could not be read before."""
    folder, old = Folder(), THREE - timedelta(days=3)
    if is_unreadable:
        folder.add_other()
        folder.failure = PermissionMissing("/other may not be read")
        assert not folder.poll().complete
    else:
        folder.poll()
    folder.failure = None
    folder.add_other()
    folder.files["/other/orders_20261116.csv"] = (300, old)
    [run] = folder.poll().runs
    assert (RunState.SUCCEEDED, old) == (run.state, run.started_at)
    folder.files["/other/orders_20261117.csv"] = (300, old)  # a copy: its time is before the read that saw it missing
    [run] = folder.poll().runs
    assert (RunState.RUNNING, folder.at) == (run.state, run.started_at)


def test_a_delivery_that_is_repeated_is_another_attempt_of_its_run() -> None:
    folder = watched()
    folder.files[ORDERS] = (3, folder.at)
    folder.poll()
    [first] = folder.poll().runs
    assert (RunState.FAILED, f"{ORDERS}: 3 bytes, and at least 10 are expected") == (first.state, first.message)
    folder.files["/in/orders_20261119_again.csv"] = (300, folder.at)
    folder.poll()
    [second] = folder.poll().runs
    folder.files[ORDERS] = (500, folder.at)
    folder.poll()
    [third] = folder.poll().runs
    assert [RunState.SUCCEEDED] * 2 == [second.state, third.state]
    assert {first.period_key} == {second.period_key, third.period_key}
    assert 3 == len({first.attempt_key, second.attempt_key, third.attempt_key})


def test_the_date_in_the_name_is_the_period() -> None:
    folder = watched()
    folder.files[ORDERS] = (300, folder.at)
    [run] = folder.poll().runs
    assert ("2026-11-20T02:00:00Z", THREE) == (run.period_key, run.period_at)
    assert run.interval_start == datetime(2026, 11, 19, 11, 0, tzinfo=UTC)


@each_row("hours, day", [(-3, 19), (-2, 20), (0, 20), (9, 20), (21, 20), (22, 21)])
def test_without_a_date_a_file_is_of_the_last_expected_time_or_of_one_shortly_ahead(hours: int, day: int) -> None:
    folder = watched(path="/in/orders.csv")
    folder.at = THREE + timedelta(hours=hours, minutes=1)
    folder.files["/in/orders.csv"] = (300, folder.at)
    [run] = folder.poll().runs
    assert f"2026-11-{day}T02:00:00Z" == run.period_key


def test_a_file_that_is_moved_before_it_counts_is_unknown() -> None:
    folder = watched()
    folder.files[ORDERS] = (300, folder.at)
    [run] = folder.poll().runs
    del folder.files[ORDERS]
    [run_record] = folder.poll(ref(run)).runs
    assert (RunState.UNKNOWN, run.attempt_key) == (run_record.state, run_record.attempt_key)


def test_names_of_other_files_and_days_that_no_calendar_has_are_left_out() -> None:
    folder = watched()
    folder.files = dict.fromkeys(("/in/orders_2026111.csv", "/in/orders_20261119.csv.tmp", "/in/x"), (9, THREE))
    folder.files["/in/orders_20260230.csv"] = (9, THREE)
    poll = folder.poll()
    assert ((), ["/in/orders_20260230.csv"]) == (poll.runs, [item.where for item in poll.skipped])
    assert poll.complete


def test_dates_and_times_far_away_are_left_out_and_end_no_poll() -> None:
    folder = watched()
    folder.files = {f"/in/orders_{day}.csv": (9, THREE) for day in ("99991231", "00010101", "20261001", "20270120")}
    poll = folder.poll()
    assert ((), (), True) == (poll.runs, poll.skipped, poll.complete)
    alone = watched(path="/in/orders.csv")
    alone.files["/in/orders.csv"] = (300, datetime(1, 1, 2, tzinfo=UTC))
    assert 1 == len(alone.poll().runs)


def test_folders_may_have_the_date() -> None:
    folder = Folder(path="/in/%Y/%m/orders_%y%m%d.csv")
    assert ["/in/2026/11", "/in/2026/10"] == folder.options.files["orders"].folders(THREE.date())
    folder.files["/in/2026/11/orders_261119.csv"] = (300, folder.at - timedelta(days=2))
    folder.files["/in/2026/10/orders_261119.csv"] = (300, folder.at - timedelta(days=2))  # two dates in one path
    assert ["2026-11-20T02:00:00Z"] == [run.period_key for run in folder.poll().runs]


@pytest.mark.parametrize("path, folder", [("/in/%Y%m%d/x.csv", "/in/20261120"), ("/in/%Y/%m%d.csv", "/in/2026")])
def test_only_the_folder_of_today_is_checked(path: str, folder: str) -> None:
    files = Folder(path=path)
    files.at = datetime(2026, 11, 19, 23, 30, tzinfo=UTC)  # the next day in Berlin
    files.connector().inventory("", 5)
    files.connector().probe(5)
    assert [folder, folder] == files.listed


def test_more_files_than_are_watched_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_arrivals, "MAX_FILES", 2)
    folder = Folder()
    folder.files = {f"/in/orders_202611{day}.csv": (99, THREE - timedelta(days=2)) for day in (11, 12, 13)}
    poll = folder.poll()
    assert {"12", "13"} == {run.native_ref[-6:-4] for run in poll.runs}
    assert ("orders: more than 2 files match /in/orders_%Y%m%d*.csv; the newest are watched",) == poll.warnings
    monkeypatch.setattr(file_arrivals, "MAX_NAMES", 2)
    with pytest.raises(NotSupported, match="more than 2 files; move old ones"):
        folder.poll()


def test_a_name_that_is_no_text_and_links_leave_the_rest_alone(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).write_text("x")
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(tmp_path / "orders.csv")
    (tmp_path / "folder").mkdir()
    reader = LocalFolders("here")
    reader.deadline = Deadline(5)
    assert 3 == len(reader.entries(str(tmp_path)))
    for name in ("nothing", "orders.csv"):
        with pytest.raises(
            FolderMissing, match=rf"^here: {tmp_path}/{name} does not exist\. Fix: correct its path, or"
        ):
            reader.entries(str(tmp_path / name))


@pytest.mark.parametrize(
    "folder, path",
    [("in", "in/orders_%Y%m%d.csv"), ("in", "in/%Y/%m%d/orders.csv"), ("in/new", "in/new/%Y%m%d/orders.csv")],
)
def test_a_folder_without_a_date_that_is_missing_is_unreachable(tmp_path: Path, folder: str, path: str) -> None:
    """A typo, or a share that is not mounted, was an empty folder: its files were MISSED."""
    root = tmp_path / folder
    options = FilesOptions.model_validate(
        {"hosts": [{"name": "here", "local": True}], "files": {"orders": {"path": f"{tmp_path}/{path}", "at": "03:00"}}}
    )
    connector = CONNECTOR.open(options, "here", no_secret)
    text = f"here: {root} does not exist"
    with pytest.raises(SystemUnreachable, match=rf"^{text}\. Fix: correct its path, or mount it$"):
        connector.poll("", (), 5)
    probe = connector.probe(5)
    [right] = probe.rights
    assert (None, text, "correct its path, or mount it") == (right.held, right.why, right.fix)
    assert (False, (f"{text}. Fix: correct its path, or mount it",)) == (probe.reachable, probe.notes)
    root.mkdir(parents=True)
    assert connector.poll("", (), 5).complete
    [right] = connector.probe(5).rights
    assert right.held
    root.rename(tmp_path / "unmounted")
    with pytest.raises(SystemUnreachable, match=text):
        connector.poll("", (), 5)
    connector.close()


def test_folders_do_not_count_towards_the_limit_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("connectors.files.client.MAX_NAMES", 2)
    for number in range(40):
        (tmp_path / f"folder{number}").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("x")
    reader = LocalFolders("here")
    reader.deadline = Deadline(5)
    assert 3 == len(reader.entries(str(tmp_path)))


def test_a_share_that_hangs_ends_the_call_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr("connectors.files.client._scan", lambda folder: fifo.read_bytes())
    reader = LocalFolders("here")
    reader.deadline = Deadline(0.1)
    with pytest.raises(
        FolderUnreachable, match=r"here: /in: no answer within 0\.\d+ s\. Fix: check that it is mounted"
    ):
        reader.entries("/in")
    assert reader.deadline.left > 0
    with pytest.raises(FolderUnreachable, match=r"here: /in: an earlier call has not ended yet\. Fix: "):
        reader.entries("/in")
    os.close(os.open(fifo, os.O_WRONLY))  # lets the thread end


@each_row(
    "file, text",
    [
        ({"path": "/in/orders_%Y.csv", "at": "03:00"}, "its date is not a whole one"),
        ({"path": "/in/orders_%H.csv", "at": "03:00"}, '"%H" is not part of a date'),
        ({"path": "in/orders.csv", "at": "03:00"}, "write /in/orders_%Y%m%d"),
        ({"path": "/in/*/orders.csv", "at": "03:00"}, "in the file name only"),
        ({"path": "/in/../x_%Y%m%d.csv", "at": "03:00"}, 'contains the segment "." or "..". Fix: write the resolved'),
        ({"path": "/in/%Y%m%d_%Y%m%d.csv", "at": "03:00"}, "its file name has %Y twice; keep one date"),
        ({"path": "/in/%Y%m%d_%y.csv", "at": "03:00"}, "its file name has %Y twice; keep one date"),
        ({"path": "/in/", "at": "03:00"}, "write /in/orders_%Y%m%d"),
        ({"path": "/in/orders.csv"}, "Field required"),
        ({"path": "/in/orders.csv", "at": "03:00", "early": "soon"}, "is not a duration"),
    ],
)
def test_a_wrong_file_is_refused_with_an_example(file: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        FilesOptions.model_validate({"hosts": [{"name": "here", "local": True}], "files": {"orders": file}})


def test_the_page_shows_a_system_that_loads() -> None:
    page = (Path(__file__).parents[3] / "docs/connectors/files.md").read_text(encoding="utf-8")
    system = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["systems"]["deliveries"]
    assert CONNECTOR.kind == system.pop("kind")
    files: Sequence[str] = list(FilesOptions.model_validate(system).files)
    assert ["orders"] == files
