from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.cron import inventory
from connectors.cron.crontab import (
    FILE_IGNORED,
    CronDaemon,
    CrontabFile,
    as_logged,
    command_of,
    read_crontabs,
    read_setting,
    slug,
)
from connectors.sdk.records import Inventory
from console.control.expectations.inventory import match_inventory
from console.domain.inventory import KnownJob
from tests.rows import each_row

USERS = frozenset({"root", "etl"})


def system(text: str, path: str = "/etc/cron.d/jobs", mode: int = 0o644, owner: str = "root") -> CrontabFile:
    return CrontabFile(path, text, None, mode, owner)


def user(text: str, name: str = "etl") -> CrontabFile:
    return CrontabFile(f"/var/spool/cron/crontabs/{name}", text, name, 0o600, name)


def test_name_comes_from_the_comment_above_else_from_the_command() -> None:
    table = user("# headway: extract_orders\n10 3 * * * /opt/etl/extract.sh --full\n*/5 * * * * /opt/etl/beat.sh\n")
    names = [line.name for line in read_crontabs([table], USERS).lines]
    assert names == ["extract_orders", "etl-beat.sh"]


def test_name_does_not_change_with_the_schedule() -> None:
    first = read_crontabs([user("10 3 * * * /opt/x.sh\n")], USERS).lines[0]
    later = read_crontabs([user("20 4 * * 1 /opt/x.sh\n")], USERS).lines[0]
    assert first.name == later.name


def test_same_command_twice_gets_an_ordinal() -> None:
    lines = read_crontabs([user("0 3 * * * /opt/x.sh\n0 15 * * * /opt/x.sh\n")], USERS).lines
    assert [line.name for line in lines] == ["etl-x.sh", "etl-x.sh#2"]
    assert [line.ordinal for line in lines] == [1, 2]
    assert lines[0].hash == lines[1].hash


def test_a_system_file_has_a_user_column_and_preserves_further_blanks_as_cron_does() -> None:
    line = read_crontabs([system("* * * * *\troot  echo hi \n")], USERS).lines[0]
    assert (line.user, line.command) == ("root", " echo hi ")


def test_settings_count_for_the_lines_below_them() -> None:
    text = '0 1 * * * /a\nSHELL=/usr/local/bin/headway-sh\nFOO = "a b" \n0 2 * * * /b\n'
    first, second = read_crontabs([user(text)], USERS).lines
    assert (first.is_wrapped, second.is_wrapped) == (False, True)
    assert second.settings["FOO"] == "a b"


def test_nickname_and_reboot_are_lines() -> None:
    lines = read_crontabs([system("@daily root /a\n@reboot etl /b\n")], USERS).lines
    assert [(line.expression, line.user) for line in lines] == [("@daily", "root"), ("@reboot", "etl")]


@each_row(
    "raw, command, logged",
    [
        (r"echo a\%b \n \\ x%in%put", r"echo a%b \n \ x", r"echo a%b \n \ x"),
        ("tab\there", "tab\there", "tab^Ihere"),
        ("ümlaut", "ümlaut", r"\303\274mlaut"),
        ("del\x7f", "del\x7f", "del^?"),
    ],
)
def test_command_and_its_text_in_the_log_are_what_cron_3_0_makes_of_them(raw: str, command: str, logged: str) -> None:
    assert command == command_of(raw)
    assert logged == as_logged(command_of(raw))


@each_row(
    "table, where, reason",
    [
        (system("0 1 * * * root /a\n0 1 * 13 * root /b\n"), "/etc/cron.d/jobs:2", "bad month"),
        (system("0 1 * * * nobody-here /a\n"), "/etc/cron.d/jobs:1", "bad username"),
        (system("0 1 * * * root /a"), "/etc/cron.d/jobs:1", "missing newline before EOF"),
        (system("0 1 * * * root /a\n", mode=0o664), "/etc/cron.d/jobs", "insecure mode"),
        (system("0 1 * * * root /a\n", owner="etl"), "/etc/cron.d/jobs", "wrong file owner"),
        (system("0 1 * * * root /a\n", path="/etc/cron.d/jobs.sh"), "/etc/cron.d/jobs.sh", "bad file name"),
        (user("0 1 * *\n"), "/var/spool/cron/crontabs/etl:1", "bad time specifier"),
        (user("A=b"), "/var/spool/cron/crontabs/etl:1", "missing newline before EOF"),
        (user("1 2 * * * a\nMAILTO=\n"), "/var/spool/cron/crontabs/etl:2", "bad time specifier"),
        (user("@DAILY a\n"), "/var/spool/cron/crontabs/etl:1", "bad time specifier"),
        (user(f"1 2 * * * {'x' * 999}\n"), "/var/spool/cron/crontabs/etl:1", "command too long"),
        (user(f"1 2 * * * {'ä' * 500}\n"), "/var/spool/cron/crontabs/etl:1", "command too long"),
        (user("1 2 * * * * a\n"), "/var/spool/cron/crontabs/etl:1", "bad command"),
        (user("@daily *a\n"), "/var/spool/cron/crontabs/etl:1", "bad command"),
        (system("1 2 * * * root\n"), "/etc/cron.d/jobs:1", "bad command"),
        (system("1 2 * * *\n"), "/etc/cron.d/jobs:1", "bad time specifier"),
        (user("*/10 * * * \xa0* a\n"), "/var/spool/cron/crontabs/etl:1", "bad day-of-week"),
        (user("* \r* * * * a\n"), "/var/spool/cron/crontabs/etl:1", "bad hour"),
        (user("* * * * * true\0x\n"), "/var/spool/cron/crontabs/etl:1", "bad minute"),
        (user("PA\0TH=/a\n"), "/var/spool/cron/crontabs/etl:1", "bad minute"),
    ],
)
def test_one_error_disables_the_whole_file_with_place_and_fix(table: CrontabFile, where: str, reason: str) -> None:
    good = user("0 1 * * * /good\n", "root")
    crontabs = read_crontabs([table, good], USERS)
    assert [line.raw for line in crontabs.lines] == ["/good"]
    assert [fault.where for fault in crontabs.faults] == [where]
    assert crontabs.faults[0].reason.startswith(f"{reason}: {FILE_IGNORED}. ")


@each_row(
    "text, setting",
    [
        ("A=b", ("A", "b")),
        ('"A B" = c', ("A B", "c")),
        ("A =  'b c' \t\r", ("A", "b c")),
        ("A=b # c \r", ("A", "b # c")),
        ('A=b"c', ("A", 'b"c')),
        ('A=""', ("A", "")),
        ("=baz", ("", "baz")),
        ('""=c', ("", "c")),
        ("A\v=\vb", ("A", "b")),
        (f"A={'x' * 2000}", ("A", "x" * 996)),
        ("A=", None),
        ("A= \r", None),
        ('A=""  # note', None),
        ('A="a" "b"', None),
        ('A="a \\" b"', None),
        ('"A"B=c', None),
        ('"A=B"=c', None),
        ("A B=c", None),
        ('A="b', None),
        ("A='", None),
        (f'A="{"x" * 996}"', None),
        ("* * * * * a=b", None),
    ],
)
def test_a_setting_is_what_load_env_of_debians_cron_takes_for_one(text: str, setting: tuple[str, str] | None) -> None:
    """Each by `crontab -n` of cron 3.0pl1-162."""
    assert setting == read_setting(text, CronDaemon.DEBIAN)


@pytest.mark.parametrize("end", ["# last", "  \t", ""])
def test_a_last_comment_or_blanks_need_no_newline(end: str) -> None:
    crontabs = read_crontabs([user(f"0 1 * * * a\n{end}")], USERS)
    assert ([line.raw for line in crontabs.lines], crontabs.faults) == (["a"], ())


def test_a_line_that_never_runs_leaves_the_others_alive() -> None:
    crontabs = read_crontabs([user("0 1 * * wed-sun a\n0 0 31 2 * b\n0 1 * * * c\n")], USERS)
    schedules = [inventory.job_record("db07", line, "UTC", 1).schedule for line in crontabs.lines]
    assert [(item.dialect, item.text) for item in schedules] == [
        ("none", "never runs: 0 1 * * wed-sun"),
        ("none", "never runs: 0 0 31 2 *"),
        ("debian-cron", "daily at 01:00 UTC"),
    ]
    assert [f"{fault.line}: {fault.reason}" for fault in crontabs.faults] == [
        '1: no such time: cron never runs this line. Fix "0 1 * * wed-sun" in "0 1 * * wed-sun a".',
        '2: no such time: cron never runs this line. Fix "0 0 31 2 *" in "0 0 31 2 * b".',
    ]


def test_what_cron_skips_behind_a_range_is_a_warning_with_its_line() -> None:
    crontabs = read_crontabs([system("*5 * * * * root a\n1,5-3 * * * * root b\n00005 2 * * * root c\n")], USERS)
    assert [line.expression for line in crontabs.lines] == ["* * * * *", "1 * * * *", "5 2 * * *"]
    assert [f"{fault.where}: {fault.reason}" for fault in crontabs.faults] == [
        '/etc/cron.d/jobs:1: unusual minute "*5": cron reads it as *. Fix "*5" in "*5 * * * * root a".',
        '/etc/cron.d/jobs:2: unusual minute "1,5-3": cron reads it as 1. Fix "1,5-3" in "1,5-3 * * * * root b".',
    ]


@pytest.mark.parametrize(
    "table",
    [user("0 2 * * *\n0 3 * * * b\n"), user("@reboot\n0 3 * * * b\n"), system("0 2 * * * root \n0 3 * * * etl b\n")],
)
def test_a_line_without_a_command_runs_nothing_and_harms_no_other(table: CrontabFile) -> None:
    crontabs = read_crontabs([table], USERS)
    assert ([line.raw for line in crontabs.lines], crontabs.faults) == (["", "b"], ())


def test_the_longest_command_and_one_that_a_nul_ends() -> None:
    crontabs = read_crontabs([user(f"0 2 * * * {'x' * 998}\n0 3 * * * b\0\n")], USERS)
    assert ([line.raw for line in crontabs.lines], crontabs.faults) == (["x" * 998, "b"], ())


def test_placeholder_of_debian_is_no_fault() -> None:
    crontabs = read_crontabs([system("# DO NOT EDIT OR REMOVE\n", path="/etc/cron.d/.placeholder")], USERS)
    assert crontabs.faults == ()


TIMES = st.sampled_from((b"", b"* * * * * ", b"@daily\troot "))
LINES = st.lists(st.tuples(TIMES, st.binary(max_size=60)).map(b"".join), max_size=6).map(b"\n".join)


@example(b"* * * * * root \xe9cole\n")
@given(LINES)
def test_any_bytes_are_lines_or_faults(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for table in (user(text), system(text)):
        crontabs = read_crontabs([table], USERS)
        names = [line.name for line in crontabs.lines]
        assert sorted(names) == sorted(set(names))
        assert all(line.hash and as_logged(line.command).isascii() for line in crontabs.lines)


@pytest.mark.parametrize(
    "daemon, expected",
    [
        (CronDaemon.CRONIE, [("debian-cron", "UTC"), ("cronie", "Asia/Tokyo"), ("cronie", "UTC")]),
        (CronDaemon.DEBIAN, [("debian-cron", "UTC"), ("debian-cron", "UTC"), ("debian-cron", "UTC")]),
    ],
)
def test_a_line_below_cron_tz_runs_in_that_zone_where_its_daemon_has_it(
    daemon: CronDaemon, expected: list[tuple[str, str]]
) -> None:
    """To Debian's cron it is a variable like any other; a zone that nobody knows is UTC to cronie."""
    text = "1 3 * * * /a\nCRON_TZ=Asia/Tokyo\n2 3 * * * /b\nCRON_TZ=Nowhere/Land\n3 3 * * * /c\n"
    lines = read_crontabs([replace(user(text), daemon=daemon)], USERS).lines
    result = [inventory.job_record("db07", line, "UTC", 1).schedule for line in lines]
    assert expected == [(item.dialect, item.zone) for item in result]


@each_row(
    "text, expected",
    [
        ("1 3 * * * /a\n", "UTC"),
        ("CRON_TZ=Asia/Tokyo\n1 3 * * * /a\n2 3 * * * /b\n", "Asia/Tokyo"),
        ("1 3 * * * /a\n2 3 * * * /b\nCRON_TZ=Asia/Tokyo\n3 3 * * * /c\n", "UTC"),
        ("CRON_TZ=Nowhere/Land\n1 3 * * * /a\n", "UTC"),
        ("", "UTC"),
    ],
)
@each_row("daemon", [CronDaemon.CRONIE, CronDaemon.DEBIAN])
def test_the_main_zone_is_the_one_that_most_lines_name(daemon: CronDaemon, text: str, expected: str) -> None:
    lines = read_crontabs([replace(user(text), daemon=daemon)], USERS).lines
    assert expected == inventory.main_zone(lines, "UTC")


def compare_crontabs(before: str, after: str) -> tuple[list[str], list[str], list[str]]:
    """After a crontab was edited: what was known again, by its name before; what is new; what is gone."""
    reported = [
        [inventory.job_record("db07", line, "UTC", 1) for line in read_crontabs([user(text)], None).lines]
        for text in (before, after)
    ]
    known = [
        KnownJob(number, item.native_id, item.native_id, item.match_keys, item.definition_hash or "", item.schedule,
                 item.schedule, None, None, None, definition=item.definition)
        for number, item in enumerate(reported[0], 1)
    ]  # fmt: skip
    changes = match_inventory(known, Inventory(tuple(reported[1]), complete=True, hash="h"))
    names = {item.id: item.native_id for item in known}
    return (
        [names[item.job_id] for item in changes.changed],
        [item.native_id for item in changes.new],
        [names[item.job_id] for item in changes.gone],
    )


def test_installing_the_wrapper_changes_no_definition_and_another_shell_does() -> None:
    def hashes(setting: str) -> set[str | None]:
        lines = read_crontabs([user(f"{setting}1 3 * * * /a\n")], USERS).lines
        return {inventory.job_record("db07", line, "UTC", 1).definition_hash for line in lines}

    assert hashes("") == hashes("SHELL=/usr/local/bin/headway-sh\n")
    stored = "HEADWAY_SPOOL=/srv/headway\nHEADWAY_KEEP_DAYS=7\nHEADWAY_KEEP_BYTES=1\n"
    assert hashes("") == hashes(f"{stored}SHELL=/usr/local/bin/headway-sh\n")
    assert hashes("") != hashes("SHELL=/bin/bash\n")
    wrapped = "SHELL=/usr/local/bin/headway-sh\nHEADWAY_SHELL=/bin/bash\n"
    assert hashes("SHELL=/bin/bash\n") == hashes(wrapped), "the wrapper runs its jobs with the same shell"
    assert hashes("HEADWAY_SHELL=/bin/bash\n") != hashes("SHELL=/bin/bash\n"), "without the wrapper it is a variable"


NAMED = "# headway: always_fails\n*/3 * * * * exit 3\n"


@each_row(
    "before, after, changed, new, removed",
    [
        (NAMED, "*/2 * * * * head -c 9 /dev/zero\n", [], ["db07:etl-head-c-9-zero"], ["db07:always_fails"]),
        (NAMED, "# headway: other\n*/3 * * * * echo fine\n", [], ["db07:other"], ["db07:always_fails"]),
        (NAMED, "# headway: new_name\n*/3 * * * * exit 3\n", ["db07:always_fails"], [], []),
        (NAMED, "# headway: always_fails\n*/9 * * * * echo mended\n", ["db07:always_fails"], [], []),
        (NAMED, "*/5 * * * * exit 3\n", ["db07:always_fails"], [], []),
        ("0 3 * * * /opt/a.sh\n", "0 3 * * * /opt/b.sh\n", ["db07:etl-a.sh"], [], []),
        ("0 3 * * * /opt/a.sh\n", "0 4 * * * /opt/b.sh\n", [], ["db07:etl-b.sh"], ["db07:etl-a.sh"]),
    ],
)
def test_a_line_lives_on_by_its_name_its_command_or_its_times_and_never_by_its_place_alone(
    before: str, after: str, changed: list[str], new: list[str], removed: list[str]
) -> None:
    """A removed job lived on under the line that took its place, and its incident was closed as recovered."""
    assert (changed, new, removed) == compare_crontabs(before, after)


@each_row(
    "command",
    [
        "mysqldump --password=hunter2geheim shop",
        "mysqldump -phunter2geheim shop",
        "PGPASSWORD=hunter2geheim psql -f x.sql",
        "curl -u me:hunter2geheim https://db07/x",
        "curl https://me:hunter2geheim@db07",
    ],
)
def test_the_name_of_a_line_holds_no_password(command: str) -> None:
    assert "hunter2geheim" not in slug("etl", command)
    assert slug("etl", command).startswith("etl-" + command.partition("=")[0].partition(" ")[0])
