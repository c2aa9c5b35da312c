"""A stored cursor that a kind cannot read: the poll reads again, and says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from connectors.cron.runs import CronCursor
from connectors.sdk.fields import cursor_or_first
from connectors.sdk.poll_result import PollResult
from tests.connectors.cron.support import connect as connect_cron
from tests.connectors.slurm.test_recorded import connect as connect_slurm
from tests.connectors.systemd.test_recorded import connect as connect_systemd
from tests.fakes.dbt import DbtHost
from tests.fakes.slurm import SlurmHost
from tests.fakes.ssh_local import LocalHost
from tests.fakes.systemd import SystemdHost
from tests.rows import each_row

FORMER = '{"jrn": "s=1", "inv": "2"}'


@dataclass(frozen=True)
class Position:
    journal: str = ""
    inventory: str = ""


def test_a_cursor_of_another_layout_is_not_mistaken_for_an_empty_one() -> None:
    warning = "the cursor cannot be read (its layout is not known: jrn, inv); all is read again"
    assert (Position(), (warning,)) == cursor_or_first(Position(), FORMER, "all is read again")
    result = PollResult()
    assert Position() == result.cursor_or_first(FORMER, Position())
    assert ["the cursor cannot be read (its layout is not known: jrn, inv); history is read again"] == [
        *result.warnings
    ]


@each_row("text", ["", "{}", '{"journal": "s=1"}', '{"journal": "s=1", "added": 3}'])
def test_a_cursor_with_a_field_that_is_known_is_read_without_a_warning(text: str) -> None:
    expected = Position("s=1" if "s=1" in text else "")
    assert (expected, ()) == cursor_or_first(Position(), text)


def test_systemd_says_how_far_back_it_reads_again(tmp_path: Path) -> None:
    poll = connect_systemd(SystemdHost(tmp_path / "db07")).poll(FORMER, (), 20)
    assert poll.warnings[0].endswith("its layout is not known: jrn, inv); history is read again from 14 days back")


def test_slurm_says_how_far_back_it_reads_again(tmp_path: Path) -> None:
    poll = connect_slurm(SlurmHost(tmp_path / "hpc"), history_hours=6).poll(FORMER, (), 20)
    assert any(warning.endswith("history is read again from history_hours (6) back") for warning in poll.warnings)
    assert poll.runs


def test_cron_says_that_it_reads_its_log_again(tmp_path: Path) -> None:
    connector = connect_cron(LocalHost(tmp_path / "db07"))
    assert "the cursor cannot be read; cron's log is read again" in connector.poll(FORMER, (), 20).warnings
    assert not any("cursor" in warning for warning in connector.poll("", (), 20).warnings)


@each_row("part, value", [("nam", []), ("old", "x"), ("lvl", 1e999), ("hrd", 10**400), ("att", None)])
def test_cron_reads_a_cursor_with_a_part_of_another_type_as_unreadable(part: str, value: object) -> None:
    whole = json.loads(CronCursor().as_json())
    assert CronCursor.from_json(json.dumps(whole)) is not None
    assert CronCursor.from_json(json.dumps({**whole, part: value})) is None


def test_dbt_says_that_it_reads_history_again(tmp_path: Path) -> None:
    connector = DbtHost(tmp_path / "etl01").connected()
    warning = "the cursor cannot be read; history is read again"
    for cursor in ('{"former": 1}', "[]", "?"):
        assert warning in connector.poll(cursor, (), 20).warnings
    for cursor in ("", connector.poll("", (), 20).cursor):
        assert warning not in connector.poll(cursor, (), 20).warnings
