from __future__ import annotations

import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cron.client import script
from connectors.cron.connector import _actions
from connectors.cron.crontab import CronDaemon
from connectors.cron.parse import HostAnswer, crontab_reply, crontabs, processes, zone_name
from connectors.cron.runs import CronCursor, HostPoll
from connectors.sdk.errors import ConnectorError, SystemUnreachable
from connectors.sdk.transport.script_output import ScriptSection, host_now, sections
from tests.rows import each_row

NONCE = "00112233"


def section(kind: str, rest: str = "", body: str = "") -> bytes:
    return f"\n\x1e{NONCE} {kind}|{rest}\n{body}".encode()


def test_what_a_chatty_login_prints_and_what_a_log_line_pretends_is_no_section() -> None:
    data = b"Welcome!\x1e x\n" + section("LOG", "0", "\n\x1eDEAD END\nreal\n") + section("END")
    result = sections(data, NONCE, "db07")
    assert [(part.kind, part.body) for part in result] == [("LOG", b"\n\x1eDEAD END\nreal\n"), ("END", b"")]


@pytest.mark.parametrize("data", [b"", b"sh: not found", section("HOST", "1|+0000|1|x")])
def test_answer_without_its_end_is_unreachable_not_empty(data: bytes) -> None:
    with pytest.raises(SystemUnreachable, match="db07: the answer was cut short or is not ours"):
        sections(data, NONCE, "db07")


def test_clock_and_offset_are_the_hosts_own() -> None:
    result = host_now(ScriptSection("HOST", "1795157257.877360258|+0530|12.5|boot", b""))
    assert result.now == datetime(2026, 11, 20, 6, 47, 37, 877360, tzinfo=UTC)
    assert (result.offset.utcoffset(None), result.offset_text) == (timedelta(hours=5, minutes=30), "+05:30")


def test_crons_own_processes_and_its_level() -> None:
    body = "crond 29 all\nchild 180 29 100\njob 185 180 101\nasked 900 1 7\ngarbage\n"
    result = processes(ScriptSection("PROC", "cron\0-f\0-L\x0015", body.encode()))
    assert (result.daemon, result.level, result.jobs) == (29, 15, {185: 180})
    assert (result.children, result.births[900], result.hidden) == (frozenset({180}), "7", False)


def test_level_of_a_daemon_without_the_option_is_debians_default() -> None:
    assert processes(ScriptSection("PROC", "/usr/sbin/cron-f", b"crond 29 all\n")).level == 1


@each_row(
    "text, expected",
    [
        ("program cronie\n", CronDaemon.CRONIE),
        ("program busybox\n", CronDaemon.BUSYBOX),
        ("program debian\n", CronDaemon.DEBIAN),
        ("program\n", CronDaemon.DEBIAN),
        ("", CronDaemon.DEBIAN),
    ],
)
def test_the_host_decides_whose_cron_it_is(text: str, expected: CronDaemon) -> None:
    assert expected == processes(ScriptSection("PROC", "", f"crond 29 all\n{text}".encode())).program


@pytest.mark.parametrize(
    "runs, installed, expected",
    [
        ("cron", "crond", ""),
        ("crond", "", "cronie"),
        ("busybox", "", "busybox"),
        ("", "crond", "cronie"),
        ("", "busybox", "busybox"),
        ("", "", ""),
    ],
)
def test_the_host_reports_whose_cron_runs_or_would_be_started(
    tmp_path: Path, runs: str, installed: str, expected: str
) -> None:
    for program in {installed, "crond"} if installed else ():
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    if installed == "busybox":
        (tmp_path / "crond").unlink()
        (tmp_path / "crond").symlink_to(tmp_path / "busybox")
    text = f'{script("collect.sh")}PATH={tmp_path}:/usr/bin:/bin name={runs} crond=\nwhich_program\necho "$program"\n'
    done = subprocess.run(["sh"], input=text.encode(), capture_output=True, check=True)
    assert f"{expected}\n".encode() == done.stdout


def test_level_is_unknown_while_no_daemon_runs() -> None:
    assert processes(ScriptSection("PROC", "", b"crond  all\n")).level is None


@each_row(
    "daemon, link, file, expected",
    [
        ("Asia/Kathmandu", "/usr/share/zoneinfo/Europe/Berlin", "UTC", "Asia/Kathmandu"),
        (":Europe/Berlin", "", "", "Europe/Berlin"),
        ("", "/usr/share/zoneinfo/Europe/Berlin", "Etc/UTC", "Europe/Berlin"),
        ("", "", "Etc/UTC", "Etc/UTC"),
        ("CET-1CEST", "../nowhere", "../../etc/passwd", ""),
    ],
)
def test_zone_is_the_daemons_else_localtime_else_timezone(daemon: str, link: str, file: str, expected: str) -> None:
    assert expected == zone_name(daemon, link, file)


def test_denied_crontab_is_denied_and_a_missing_one_is_not() -> None:
    parts = [
        ScriptSection("TABS", "1|", b""),
        ScriptSection("ZONE", "||UTC", b""),
        ScriptSection("TAB", "-|-|/var/spool/cron/crontabs/etl", b""),
        ScriptSection("TABEND", "1|sudo: a password is required", b""),
        ScriptSection("TAB", "-|-|/var/spool/cron/crontabs/root", b""),
        ScriptSection("TABEND", "1|/usr/bin/cat: /var/spool/cron/crontabs/root: No such file or directory", b""),
        ScriptSection("TAB", "600|headway|/var/spool/cron/crontabs/headway", b""),
        ScriptSection("TABEND", "1|no crontab for headway", b""),
        ScriptSection("TAB", "-|-|/var/spool/cron/crontabs/ops", b"0 1 * * * /x\n"),
        ScriptSection("TABEND", "0|", b""),
    ]
    result = crontab_reply(parts)
    assert result is not None
    assert result.denied == [("/var/spool/cron/crontabs/etl", "sudo: a password is required")]
    assert [(table.user, table.text) for table in result.files] == [("ops", "0 1 * * * /x\n")]


KINDS = (
    "HOST", "PROC", "TABS", "ZONE", "TAB", "TABEND", "DENIED", "NAMES", "LOGIN", "FILE", "LOG", "GAP", "MORE", "AFTER",
    "SPOOL",
)  # fmt: skip
PIECE = st.tuples(st.sampled_from(KINDS), st.text(max_size=60), st.binary(max_size=120))
HOST = section("HOST", "1795157257.8|+0100|12.5|boot") + section("PROC", "-L15", "crond 29 all\n")


@given(st.binary(max_size=400), st.lists(PIECE, max_size=12))
def test_any_answer_is_a_poll_or_a_connector_error(noise: bytes, pieces: list[tuple[str, str, bytes]]) -> None:
    parts = b"".join(section(kind, rest) + body for kind, rest, body in pieces)
    whole = HOST + section("TABS", "1|all") + parts + section("END")
    for data in (noise, noise + parts + section("END"), noise + whole):
        with suppress(ConnectorError):
            answer = HostAnswer.of(sections(data, NONCE, "db07"))
            if answer.tables is None:
                continue
            known = crontabs(answer.tables, answer.host.offset_text, answer.processes.program)
            host_poll = HostPoll("db07", "/spool", CronCursor(), answer, known, datetime.now(UTC))
            host_poll.paths_to_search()
            host_poll.merge()
            cursor = CronCursor.from_json(host_poll.poll((), None).cursor)
            assert cursor is not None
            assert cursor.as_json() == host_poll.cursor.as_json()


@given(st.text(max_size=200))
def test_any_cursor_is_a_memory_or_unreadable(text: str) -> None:
    for cursor in (text, '{"v":1,"log":' + text):
        memory = CronCursor.from_json(cursor)
        assert memory is None or memory.as_json()


def test_every_user_of_the_systems_tables_that_exists_is_named(tmp_path: Path) -> None:
    """As cron requests it: any number of users, with any characters; a uid is no name."""
    unusual = ["3com", "svc@corp.example", "CORP\\nina", "ok$", "-dash", "1001", "_apt"]
    many = [f"user{number:03}" for number in range(400)]
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/crontab").write_text("".join(f"0 1 * * *\t{name} /a\n" for name in many))
    lines = [f"@daily {name} /a\n" for name in unusual]
    (tmp_path / "etc/cron.d/jobs").write_text(
        "MAILTO=root\n# 1 2 3 4 commented x\n" + "".join(lines) + "0 1 * * * 0 /a\n0 1 * * * gone /b\n"
    )
    stub = tmp_path / "bin/id"
    stub.parent.mkdir()
    stub.write_text(
        '#!/bin/sh\n[ "$3" != gone ] || exit 1\n[ "$1 $3" != "-un 0" ] || { echo root; exit; }\necho "$3"\n'
    )
    stub.chmod(0o755)
    text = f"N=n\n{script('collect.sh')}PATH={stub.parent}:/usr/bin:/bin sudo=\nnames\n"
    env = {"HEADWAY_ETC": str(tmp_path / "etc"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True, env=env)
    assert done.stdout.decode().split("\n")[2:-1] == sorted([*many, *unusual])


def test_the_rights_of_root_that_one_rule_grants_have_one_fix() -> None:
    parts = [ScriptSection("MAY", "no|root|refused", b""), ScriptSection("HOLD", "no||refused", b"")]
    assert 1 == len({right.fix for right in _actions(parts, "headway")})
