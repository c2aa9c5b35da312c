"""`headway check` on real parts: a config with faults, and systems that refuse in each of their ways, named at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.secrets import LITERAL_REFUSED
from tests.lab.airflow import PASSWORDS
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.headway import Answer, Headway
from tests.lab.headway_config import ConfigFolder, Options, quoted
from tests.lab.process import free_port, wait_until

BROKEN = """\
[estate]
nme = "night"
[systems.etl-hosts]
kind = "cron"
hosts = ["db07"]
key = "/home/headway/key"
poll_every = 15
known_host = "/home/headway/known_hosts"
[systems.air]
kind = "airflo"
[systems.warehouse]
kind = "airflow"
url = "http://127.0.0.1:1"
username = "headway"
password = "hunter2-in-clear"
[jobs."etl-host/db07:extract_orders"]
expected = "soon"
[services.revenue]
delivered_by = ["etl-hosts/db07:extract_orders"]
deadline = "25:00"
timezone = "Europe/Belin"
notify = ["oncal"]
[routes.oncall]
urls = ["mailto://somebody:hunter2-in-clear@example.org"]
[alerts]
default_route = "nobody"
"""
FAULTS = [  # line, key, the value or what is wrong with it, the fix
    (2, "estate.nme", "unknown key", 'Did you mean "name"?'),
    (7, "systems.etl-hosts.poll_every", "15 is ", '"15s"'),
    (8, "systems.etl-hosts.known_host", "unknown key", 'Did you mean "known_hosts"?'),
    (10, "systems.air.kind", '"airflo"', 'did you mean "airflow"?'),
    (15, "systems.warehouse.password", LITERAL_REFUSED, '{ env = "NAME" }'),
    (16, 'jobs."etl-host/db07:extract_orders"', 'no system "etl-host"', 'Did you mean "etl-hosts"?'),
    (17, 'jobs."etl-host/db07:extract_orders".expected', '"soon"', "14m"),
    (20, "services.revenue.deadline", "'25:00'", '"06:30"'),
    (21, "services.revenue.timezone", '"Europe/Belin"', 'did you mean "Europe/Berlin"?'),
    (22, "services.revenue.notify", 'no route "oncal"', 'Did you mean "oncall"?'),
    (24, "routes.oncall.urls.1", LITERAL_REFUSED, '{ env = "NAME" }'),
    (26, "alerts.default_route", 'no route "nobody"', "Known: oncall"),
]


@dataclass
class Seen:
    """What `headway check` said of an estate in which every system refuses in another way."""

    text: Answer
    json: Answer
    known_hosts: Path
    verdicts: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    rights: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def poor(lab: Estate) -> Iterator[CronHost]:
    """A host whose login user is not in group adm and has no sudo rule."""
    host = lab.host("poor-check", may_read_logs=False, cron_level=15)
    host.write_crontab("etl", "# headway: hidden_job\n10 3 * * * true\n")
    host.write_cron_d("seen", "# headway: seen_job\n10 3 * * * etl true\n")
    host.run("root", "logger -p cron.info -t cron started")
    host.allow()
    yield host
    lab.drop("poor-check")


@pytest.fixture(scope="module")
def seen(estate: Estate, poor: CronHost, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = ConfigFolder(estate, tmp_path_factory.mktemp("check") / "config", Options(database_role="headway_blind"))
    path = folder.write()
    known = folder.folder / "known_hosts"
    with known.open("a") as file:
        file.write(poor.files.known_hosts_line)
    empty = folder.folder / "nobody_is_known"
    empty.touch()
    wrong = folder.secret("wrong-password", PASSWORDS["headway"] + "-of-last-year")
    path.write_text(
        path.read_text().replace("[systems.warehouse-airflow]", f"{more(estate, poor, known, empty)}\n{REFUSED}")
        % {"url": estate.airflow.url, "wrong": wrong}
    )
    headway = Headway(path)
    events = Seen(headway.run_in_process("check"), headway.run_in_process("check", "--json"), empty)
    for target in json.loads(events.json.stdout)["targets"]:
        events.verdicts[target["target"]] = target["verdict"]
        events.texts[target["target"]] = "\n".join((*target["text"], *target["notes"]))
        events.rights[target["target"]] = {right["name"]: right for right in target["rights"]}
    return events


REFUSED = """\
[systems.refused-airflow]
kind = "airflow"
url = "%(url)s"
username = "headway"
password = %(wrong)s

[systems.warehouse-airflow]"""


def more(estate: Estate, poor: CronHost, known: Path, empty: Path) -> str:
    """An unknown host key, a port on which nothing listens, a host without rights: three more cron systems."""
    places = {"strange": (estate.db07.port, empty), "dead": (free_port(), known), "poor": (poor.port, known)}
    return "\n".join(
        f'[systems.{name}]\nkind = "cron"\nkey = {quoted(str(estate.db07.key))}\nknown_hosts = {quoted(str(file))}\n'
        f'hosts = [{{ name = "{name}01", address = "127.0.0.1", port = {port} }}]\n'
        for name, (port, file) in places.items()
    )


# -- the config -------------------------------------------------------------------------------------------------------
@pytest.fixture
def broken(tmp_path: Path) -> Headway:
    (tmp_path / "headway.toml").write_text(BROKEN)
    return Headway(tmp_path / "headway.toml")


def test_all_errors_are_listed_at_once_with_file_line_key_value_and_fix(broken: Headway) -> None:
    answer = broken.run_in_process("check")
    lines = answer.stderr.splitlines()[1:]
    assert (2, "") == (answer.exit_status, answer.stdout)
    assert [f"{broken.config}:{line}: {key}: " for line, key, _, _ in FAULTS] == [
        match[0] if (match := re.match(r"\S+:\d+: (?:\"[^\"]*\"|[^:\"])+: ", line)) else line for line in lines
    ]
    for line, (_, _, problem, fix) in zip(lines, FAULTS, strict=True):
        assert problem in line
        assert fix in line


def test_a_secret_in_clear_is_refused_and_never_printed(broken: Headway) -> None:
    for texts in (("check",), ("check", "--json"), ("engine",)):
        answer = broken.run_in_process(*texts)
        assert "hunter2" not in answer.stdout + answer.stderr


def test_the_faults_are_data_too(broken: Headway) -> None:
    answer = broken.run_in_process("check", "--json")
    assert 2 == answer.exit_status
    assert [(line, key) for line, key, _, _ in FAULTS] == [
        (fault["line"], fault["key"]) for fault in json.loads(answer.stdout)["faults"]
    ]


def test_neither_check_nor_engine_with_a_broken_config_leaves_anything_behind(broken: Headway) -> None:
    for texts in (("check",), ("engine",)):
        assert 2 == broken.run(*texts).exit_status
    assert [broken.config] == sorted(broken.home.rglob("*"))


def test_a_config_that_breaks_under_a_running_engine_changes_nothing_for_it(lab: Estate, tmp_path: Path) -> None:
    headway = Headway(lab.write_config(tmp_path / "config", Options(systems=("etl-hosts",), poll_every="1s")))
    with headway.running_engine():
        wait_until(lambda: polled(headway), "the first polls", pause=0.3)
        headway.config.write_text(headway.config.read_text().replace("[systems.etl-hosts]", "[systems.etl-hosts"))
        before = polled(headway)
        answer = headway.run_in_process("check")
        assert 2 == answer.exit_status
        assert re.search(r"headway\.toml:\d+: is not valid TOML: .*Fix that line", answer.stderr), answer.stderr
        wait_until(
            lambda: polled(headway) and min(polled(headway)) > max(before), "polls after the config broke", pause=0.3
        )


def polled(headway: Headway) -> list[str]:
    """When each target answered last; empty while one has not, or while there is no store yet."""
    answer = headway.run_in_process("--store", str(headway.home / "headway.db"), "status", "--json")
    document = json.loads(answer.stdout) if answer.stdout else {}
    times = [system["last_ok"] for system in document.get("systems", ())]
    return times if all(times) else []


# -- the systems ------------------------------------------------------------------------------------------------------
def test_every_system_that_is_in_order_is_ok_beside_those_that_are_not(seen: Seen) -> None:
    good = ("etl-hosts/db07", "etl-hosts/etl02", "warehouse-airflow", "orders-sfn")
    assert dict.fromkeys(good, "ok") == {
        name: next(verdict for target, verdict in seen.verdicts.items() if target.startswith(name)) for name in good
    }


def test_one_system_that_is_not_in_order_is_exit_status_1(seen: Seen) -> None:
    assert (1, 1) == (seen.text.exit_status, seen.json.exit_status)


def test_a_refused_password_names_the_system_and_the_user_and_not_the_password(seen: Seen) -> None:
    [target] = [name for name in seen.verdicts if name.startswith("refused-airflow")]
    assert "refused" == seen.verdicts[target]
    assert "401" in seen.texts[target]
    assert "headway" in seen.texts[target]
    assert PASSWORDS["headway"] not in seen.text.stdout + seen.text.stderr + seen.json.stdout


def test_an_unknown_host_key_names_its_fingerprint_and_the_known_hosts_file(seen: Seen) -> None:
    assert "refused" == seen.verdicts["strange/strange01"]
    assert re.search(r"host key ssh-ed25519 SHA256:\S+ is not in " + re.escape(str(seen.known_hosts)),
                     seen.texts["strange/strange01"])  # fmt: skip
    assert "ssh-keyscan -p" in seen.texts["strange/strange01"]


def test_a_host_without_a_listener_is_unreachable(seen: Seen) -> None:
    assert "unreachable" == seen.verdicts["dead/dead01"]
    assert "127.0.0.1" in seen.texts["dead/dead01"]


def test_a_role_that_row_security_blinds_lacks_rights_in_one_line_with_one_fix(seen: Seen) -> None:
    [target] = [name for name in seen.verdicts if name.startswith("dwh")]
    assert "missing rights" == seen.verdicts[target]
    right = seen.rights[target]["see all rows of cron.job"]
    assert right["held"] is False
    assert "as a superuser, headway connector grants pg_cron --login headway_blind | psql ops" == right["fix"]
    assert 1 == seen.texts[target].count(right["fix"])


def test_that_command_grants_them_all(estate: Estate, seen: Seen, tmp_path: Path) -> None:
    config = estate.write_config(tmp_path / "config", Options(systems=("dwh",), database_role="headway_blind"))
    headway = Headway(config)
    try:
        granted = headway.run_in_process("connector", "grants", "pg_cron", "--login", "headway_blind")
        estate.postgres.run_script(granted.stdout.encode())
        after = json.loads(headway.run_in_process("check", "--json").stdout)["targets"][0]
        assert ("ok", [], []) == (after["verdict"], after["text"], after["notes"])
    finally:
        estate.postgres.run_script(b"REVOKE headway_act FROM headway_blind")


def test_a_cron_host_without_group_adm_and_without_sudo_names_each_right_with_its_fix(seen: Seen) -> None:
    assert "missing rights" == seen.verdicts["poor/poor01"]
    fixes = {name: right["fix"] for name, right in seen.rights["poor/poor01"].items() if right["held"] is False}
    script = re.compile(r"headway connector grants cron \| ssh -p \d+ root@127\.0\.0\.1 sh")
    assert all(script.fullmatch(fixes[name]) for name in ("read cron's log", "read crontabs", "rerun as etl"))
    for fix in fixes.values():
        assert fix in seen.texts["poor/poor01"]


def test_people_read_the_same_verdicts_as_programs(seen: Seen) -> None:
    for target, verdict in seen.verdicts.items():
        assert re.search(rf"^{re.escape(target)}\s+{verdict}\b", seen.text.stdout, re.MULTILINE), (target, verdict)


def test_a_job_that_gets_another_name_by_its_comment_is_called_so_and_what_config_says_of_the_old_one_counts(
    lab: Estate, tmp_path: Path
) -> None:
    host, line = lab.host("renaming"), "17 3 * * * etl true extract"
    host.write_cron_d("night", f"# headway: extract\n{line}\n")
    old, new = ("etl-hosts/renaming:extract", "etl-hosts/renaming:extract_orders")
    message = f'[jobs."{old}"]\nexpected = "14m"\n'
    headway = Headway(lab.write_config(tmp_path, Options(
        systems=("etl-hosts",), hosts=("renaming",), poll_every="1s", extra=message,
    )))  # fmt: skip

    def names() -> set[str]:
        return {job["name"] for job in headway.listed("job", "list")}

    try:
        with headway.running_engine():
            wait_until(lambda: old in names(), "the job")
            number = headway.json("job", old)["row"]["id"]
            host.write_cron_d("night", f"# headway: extract_orders\n{line}\n")
            wait_until(lambda: new in names(), "its new name")
            assert {new} == {name for name in names() if "renaming:extract" in name}
            assert number == headway.json("job", new)["row"]["id"]
            text = f'config names "{old}", which is called {new} at its source by now'
            assert text in headway.run_in_process("check").stdout
            wait_until(lambda: text in headway.run_in_process("status").stdout, "the engine to tell it")
    finally:
        lab.drop("renaming")
