"""Config names every fault at once, with file, line, key, value and fix; and bad config changes nothing."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from pydantic import BaseModel

from connectors.dbt.options import DbtProject as DbtProject
from connectors.heartbeat.options import HeartbeatJob
from connectors.manual.options import StepOptions
from connectors.sdk import registry
from connectors.sdk.option_errors import checked_zone
from connectors.sdk.secrets import LITERAL_REFUSED
from connectors.sdk.states import Capability
from console.config import alerts, calendars, checks, rules, services
from console.config import sections as settings
from console.config.dependencies import find_cycle
from console.config.document import ConfigDocument, ConfigFaults
from console.config.loading import load_config
from console.config.validation import validate
from tests.rows import each_row

ROOT = Path(__file__).parents[2]
GOOD = """
[systems.dwh]
kind = "pg_cron"
dsn = { env = "DWH" }
[jobs."dwh/a"]
owner = "team"
[services.s]
delivered_by = ["dwh/b"]
deadline = "06:30"
timezone = "Europe/Berlin"
"""


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "headway.toml"
    file.write_text(text)
    with pytest.raises(ConfigFaults) as raised:
        load_config(file)
    return [str(fault).removeprefix(f"{tmp_path}/") for fault in raised.value.faults]


def test_a_name_that_many_services_have_is_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[str]()

    def compare(name: str, names: Sequence[str], n: int) -> list[str]:
        compared.append(name)
        return get_close_matches(name, names, n)

    monkeypatch.setattr("console.config.document.get_close_matches", compare)
    service = 'delivered_by = ["dwh/b"]\ndeadline = "06:30"\ntimezone = "UTC"\nnotify = ["renamed-routes"]\n'
    text = GOOD + "".join(f"[services.s{number}]\n{service}" for number in range(20))
    reported = faults(tmp_path, f'{text}[routes.renamed-route]\nurls = [{{ env = "X" }}]\n')
    assert 20 == len([fault for fault in reported if 'Did you mean "renamed-route"?' in fault])
    assert ["renamed-routes"] == compared


def test_a_fault_lists_a_hundred_names_at_most(tmp_path: Path) -> None:
    routes = "".join(f'[routes.q{number:03}]\nurls = [{{ env = "X" }}]\n' for number in range(200))
    [fault] = faults(tmp_path, f'{GOOD}notify = ["oncall"]\n{routes}')
    assert (True, True) == (fault.endswith("q098, q099, …"), 'no route "oncall". Known: q000, q001' in fault)


def test_the_example_loads_and_names_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"  # the clone may belong to another user, whose config is refused
    shutil.copyfile(ROOT / "config.example.toml", path)
    config = load_config(path)
    assert {
        "etl-hosts",
        "warehouse-airflow",
        "dwh",
        "nightly-agent",
        "flows",
        "assets",
        "actions",
        "lakehouse",
        "k8s",
        "orders-sfn",
        "lake",
        "compute",
        "clocks",
        "deliveries",
        "landing",
        "spark",
        "lakehouse-tables",
        "people",
        "etl-timers",
        "cluster",
        "shop-db",
        "batch",
        "ledger",
        "own",
        "models",
    } == set(config.systems)
    text = path.read_text()
    models: list[type[BaseModel]] = [
        settings.EstateSection,
        settings.SystemSettings,
        settings.JOB,
        settings.DependencySettings,
        services.SERVICE,
        alerts.ROUTE,
        settings.AlertSettings,
        settings.PERMISSION,
        settings.ACTING,
        alerts.RotaSettings,
        *(registry.load(kind).options for kind in ("cron", "airflow", "dbt", "heartbeat", "manual")),
        HeartbeatJob,
        DbtProject,
        StepOptions,
    ]
    keys = [(model.__name__, field.alias or name) for model in models for name, field in model.model_fields.items()]
    missing = [
        f"{model}.{key}" for model, key in keys if not re.search(rf"\b{key} =|^\[.*\.{key}\.", text, re.MULTILINE)
    ]
    assert [] == missing


def test_a_good_config_has_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD)
    config = load_config(file)
    assert (None, 15.0) == (
        config.jobs["dwh/a"].rerun,
        config.systems["dwh"].settings.poll_every.total_seconds(),
    )


def test_a_relative_path_is_resolved_against_the_config_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's shell and the engine's unit read two files by the same words."""
    (tmp_path / "conf").mkdir()
    text = (
        'kind = "cron"\nhosts = ["db07"]\nkey = "keys/own"\nknown_hosts = "known_hosts"\nssh_config = "~/.ssh/config"\n'
        'key_passphrase = { file = "/run/pass" }\n'
    )
    (tmp_path / "conf" / "headway.toml").write_text(f"[systems.etl]\n{text}")
    monkeypatch.chdir(tmp_path)
    options: Any = load_config(Path("conf/headway.toml")).systems["etl"].options
    assert (options.key, options.known_hosts) == (tmp_path / "conf/keys/own", tmp_path / "conf/known_hosts")
    assert (str(options.ssh_config), str(options.key_passphrase.file)) == ("~/.ssh/config", "/run/pass")


@each_row(
    "text, expected",
    [
        ("[estate]\nnaem = 1", 'headway.toml:2: estate.naem: unknown key. Did you mean "name"?'),
        ('store = "x.db"', "headway.toml: store: unknown table. Write it below [estate]."),
        ("[rutes.x]", 'headway.toml:1: rutes: unknown table. Did you mean "routes"?'),
        ('[systems.a]\nkind = "croon"', 'headway.toml:2: systems.a.kind: unknown kind "croon"; did you mean "cron"?'),
        ("[systems.a]", "headway.toml:1: systems.a: has no kind. Add kind"),
        ('[services."a\\u001b[2J"]', "holds what cannot be shown or typed. Rename it."),
        ('[routes." "]', "' ' holds what cannot be shown or typed. Rename it."),
        ('[systems."a b"]\nkind = "cron"', "a system's name has letters, digits, dot, dash and underscore only"),
        ('[jobs."dwh/x"]\nexpected = 5', 'headway.toml:2: jobs."dwh/x".expected: 5 is not a duration'),
        ('[jobs."nonsense"]', '"nonsense" is not a job name; write system/native-id'),
        ('[jobs."dhw/x"]', 'no system "dhw" in "dhw/x". Did you mean "dwh"?'),
        (
            '[services.t]\ndelivered_by = ["dwh/b"]\ndeadline = "26:30"\ntimezone = "UTC"',
            "'26:30' is not a time of day",
        ),
        (
            '[services.t]\ndelivered_by = ["dwh/b"]\ndeadline = "06:30"\ntimezone = "Europe/Berln"',
            '"Europe/Berln" is not a time zone; did you mean "Europe/Berlin"',
        ),
        (
            '[services.t]\ndelivered_by = ["dwh/b"]\ntimezone = "UTC"',
            'services.t.deadline: is missing. Add it: deadline = "06:30".',
        ),
        (
            '[systems.a]\nkind = "cron"\npoll_every = "0s"',
            "headway.toml:3: systems.a.poll_every: must be longer than zero",
        ),
        ('[jobs."dwh/x"]\ngrace = "99999999999d"', "is longer than any clock runs; write 15s, 14m, 1h30m or 2d"),
        ('[[permissions]]\nwho = []\nrole = "act"', "permissions.1.who: is an empty list. Name at least one."),
        (
            '[[permissions]]\nwho = "alice"\nrole = "act"',
            'permissions.1.who: is not a list. Write it in brackets: ["…"',
        ),
        ("[estate]\nname = 7", "estate.name: 7 is not text. Write it in quotes."),
        (
            '[[permissions]]\nwho = ["a"]\nrole = "root"',
            "permissions.1.role: 'root' is not one of 'view', 'act', 'approve' or 'admin'.",
        ),
        (
            '[[permissions]]\nwho = ["a"]\nrole = "act"\nsystems = ["dhw"]',
            'headway.toml:4: permissions.1.systems: no system fits "dhw". Did you mean "dwh"?',
        ),
        ('[[permissions]]\nwho = ["a"]\nrole = "act"\nservices = ["x*"]', 'no service fits "x*". Known: s.'),
        ('[status_page]\nfolder = "/srv"\nservices = ["x*"]', 'status_page.services: no service fits "x*". Known: s.'),
        ("[status_page]", 'name a place. Fix: folder = "/srv/www/headway", or [status_page.s3]'),
        ("permissions = 1", "permissions: is not a list of tables. Write [[permissions]] above each who and role."),
        (
            '[retention]\nlog_tails = "9d"\nruns = "10d"',
            (
                'headway.toml:3: retention.runs: must be at least "70d": dependencies and forecasts read two months'
                " back (it is '10d')"
            ),
        ),
        (
            '[retention]\njob_days = "90d"\nruns = "400d"',
            (
                'headway.toml:2: retention.job_days: "90d" is shorter than runs = "400d", so figures would be deleted'
                ' as they are written. Fix: at least "400d"'
            ),
        ),
        ('[retention]\nruns = "2000d"', 'retention.job_days: "1826d" is shorter than runs = "2000d"'),
        ("[acting]\nreason_tiers = [0]", "acting.reason_tiers.1: 0 is too small: at least 1."),
        ('[alerts]\ndefault_route = "oncal"\n[routes.oncall]\nurls = [{env = "X"}]', 'Did you mean "oncall"?'),
        (
            '[routes.oncall]\nurls = [{env = "X"}]\nfallback = "oncal"',
            'headway.toml:3: routes.oncall.fallback: no route "oncal". Did you mean "oncall"?',
        ),
        (
            '[routes.a]\nurls = [{env = "X"}]\nfallback = "b"\n[routes.b]\nurls = [{env = "X"}]\nfallback = "a"',
            "fallback cycle: a → b → a. Remove one of them.",
        ),
        (
            '[routes.a]\nurls = [{env = "X"}]\nfallback = "a"',
            "headway.toml:3: routes.a.fallback: fallback cycle: a → a. Remove one of them.",
        ),
        (
            '[alerts]\nshadow_route = "a"\n[routes.a]\nurls = [{env = "X"}]\nfallback = "oncall"',
            'alerts.shadow_route: route "a" has a fallback, which would receive alerts in shadow. Name a route',
        ),
        (
            '[routes.a]\nurls = [{env = "X"}]\nbody = "short"',
            "headway.toml:3: routes.a.body: 'short' is not one of 'full'",
        ),
        (
            '[alerts]\nping = "https://hc.example/uuid"',
            "headway.toml:2: alerts.ping: a secret is written as a reference",
        ),
    ],
)
def test_an_error_names_place_value_and_fix(tmp_path: Path, text: str, expected: str) -> None:
    results = faults(tmp_path, text + "\n" + GOOD)
    assert any(expected in result for result in results), results


WRONG: tuple[Any, ...] = (
    7, -1, 1.5, True, "zz", "", [], [7], ["zz"], {}, {"zz": 1}, float("nan"), date(2026, 1, 1), time(1, 2), "0s",
    datetime(2026, 1, 1, 1, 1, tzinfo=UTC),
)  # fmt: skip
LIBRARY = re.compile(
    r"\b(input should|should be|should have|valid|unable|instance of|assertion|class|dict)\b", re.IGNORECASE
)


def every_settings_class() -> Iterator[type[BaseModel]]:
    for module in (alerts, calendars, checks, checks, settings, services, rules):
        yield from (item for item in vars(module).values() if isinstance(item, type) and issubclass(item, BaseModel))
    yield from (registry.load(kind).options for kind in registry.kinds())
    yield StepOptions


@each_row("model", dict.fromkeys(every_settings_class()), ids=lambda item: item.__name__)
def test_a_value_of_the_wrong_type_is_reported_in_plain_words_with_its_fix(model: type[BaseModel]) -> None:
    """An error names keys of the file and never the validation library."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        for value in WRONG:
            reading = ConfigDocument()
            validate(model, {key: value}, ("t",), reading)
            for fault in reading.faults:
                assert LIBRARY.search(fault.problem) is None, (key, value, fault.problem)
                assert re.search(r"[;.:?] |\.$|\?$", fault.problem), (key, value, fault.problem)
                assert re.fullmatch(r't(\.([\w-]+|""))*', fault.key), (key, value, fault.key)


@each_row(
    "text, expected",
    [
        ("[estate]\nstore = 7", "headway.toml:2: estate.store: 7 is not text. Write it in quotes."),
        ('[jobs."dwh/x"]\nbudget = { tiem = "1h" }', 'jobs."dwh/x".budget.tiem: unknown key. Did you mean "time"?'),
        ('[jobs."dwh/x"]\nbudget = 5', 'jobs."dwh/x".budget: 5 is not a table. Write { time = …, cost = … }.'),
        ('[jobs."dwh/x"]\nrerun = "saef"', "'saef' is not one of 'safe', 'ask' or 'never'. Did you mean \"safe\"?"),
        ('[jobs."dwh/x"]\nbudget = { cost = 0 }', 'jobs."dwh/x".budget.cost: 0 is too small: more than 0.'),
        ("[calendars.c]\nclosed = [7]", "calendars.c.closed.1: 7 is not a date. Write it without quotes: 2026-12-24."),
        ('[routes.a]\nurls = [7]', 'routes.a.urls.1: 7 is no reference. Write { env = "NAME" }'),
        (
            '[services.t]\ndelivered_by = ["dwh/b"]\ndeadline = "06:30"\ntimezone = "UTC"\nslo = { objective = 99 }',
            "headway.toml:5: services.t.slo.objective: 99 is too large: less than 1.",
        ),
        ('[jobs."dwh/x"]\ngrace = "99999999d"', '"99999999d" is longer than ten years, which no night'),
        ('[jobs."dwh/x"]\nexpected = "0s"', 'jobs."dwh/x".expected: must be longer than zero'),
        ('[routes.a]\nurls = [{ env = "X" }]\nrota = "b"', 'no rota "b". None is configured: add [rotas.b].'),
        ('[[permissions]]\nrole = "act"', 'permissions.1.who: is missing. Add it: who = ["ann"].'),
        (
            '[systems.p]\nkind = "manual"\n[systems.p.steps.a]\nat = "5:00"\n[systems.p.steps.b]\nat = "25:00"',
            "headway.toml:6: systems.p.steps.b.at: '25:00' is not a time of day",
        ),
        (
            '[[rules.too_long.where]]\njobs = ["*"]\nfactor = 2\n[[rules.too_long.where]]\ntiers = [1]\nfactor = 0.5',
            "headway.toml:6: rules.too_long.where.2.factor: 0.5 is too small: at least 1.",
        ),
    ],
)  # fmt: skip
def test_a_fault_within_a_table_names_its_line_and_what_may_be_meant(tmp_path: Path, text: str, expected: str) -> None:
    results = faults(tmp_path, f"{text}\n{GOOD}")
    assert any(expected in result for result in results), results


ENDPOINTS = """
[endpoints]
public_url = "https://ops.example.org"
listen = "0.0.0.0:9465"
token = "abc"
job_metrics = "stat:failed"
[endpoints.readers]
wiki = "abc"
[status_page]
folder = "/srv"
services = ["nope"]
"""


@each_row(
    "old, new, expected",
    [
        ("", "", ":5: endpoints.token: a secret is written as a reference"),
        ("", "", ":6: endpoints.job_metrics: no field \"stat:\""),
        ("", "", ":8: endpoints.readers.wiki: a secret is written as a reference"),
        ("", "", ":11: status_page.services: no service fits \"nope\""),
        ('"abc"', '{ env = "A" }', ":4: endpoints.listen: others reach 0.0.0.0:9465, and tokens"),
        ('0.0.0.0:9465', "9465", ":4: endpoints.listen: '9465' is not an address to listen at"),
        ('0.0.0.0', "127.0.0.1", ":3: endpoints.public_url: links to https://ops.example.org need a key"),
    ],
)  # fmt: skip
def test_a_fault_of_the_endpoints_and_exports_names_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = ENDPOINTS.replace(old, new) if old else ENDPOINTS
    if old:
        text = text.replace('"abc"', '{ env = "A" }').replace("stat:", "state:")
    results = faults(tmp_path, text + GOOD)
    assert any(f"headway.toml{expected}" in result for result in results), results


def test_a_table_with_one_error_still_reports_the_others_under_their_own_numbers(tmp_path: Path) -> None:
    more = """
[[dependencies]]
upstream = "nope/x"
downstream = "dwh/y"
mode = "hodl"

[[dependencies]]
upstream = "dwh/x"
downstream = "nope/y"

[[permissions]]
role = "act"
systems = ["nope"]
"""
    text = "\n".join(faults(tmp_path, GOOD + more))
    assert "dependencies.1.mode: 'hodl' is not one of" in text
    assert 'dependencies.1.upstream: no system "nope" in "nope/x"' in text
    assert 'dependencies.2.downstream: no system "nope" in "nope/y"' in text
    assert "permissions.1.who: is missing" in text
    assert 'permissions.1.systems: no system fits "nope"' in text


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    results = faults(tmp_path, '[estate]\nnaem = 1\n[rutes.x]\n[jobs."dhw/x"]\nexpectd = "5m"\n' + GOOD)
    assert 4 == len(results), results


@each_row(
    "text, expected",
    [
        ("systems = 1", "headway.toml:1: systems: is not a table of names. Write [systems.NAME] with its keys below."),
        ('jobs = "x"', "headway.toml:1: jobs: is not a table of names. Write [jobs.NAME] with its keys below."),
        ("[[services]]\na = 1", "headway.toml:1: services: is not a table of names."),
        ("dependencies = 3", "headway.toml:1: dependencies: is not a list of tables. Write [[dependencies]] above"),
        ('[dependencies]\nupstream = "dwh/a"', "dependencies: is not a list of tables. Write [[dependencies]] above"),
        ("estate = 3", "headway.toml:1: estate: is not a table. Write [estate] with its keys below."),
    ],
)
def test_a_part_of_another_shape_is_a_fault_beside_the_others(tmp_path: Path, text: str, expected: str) -> None:
    results = faults(tmp_path, text + "\n[rutes.x]\n")
    assert any(expected in result for result in results), results
    assert any("rutes: unknown table" in result for result in results), results


def test_a_part_of_another_shape_in_one_file_spares_the_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("jobs = 3\n")
    (tmp_path / "b.toml").write_text(GOOD)
    with pytest.raises(ConfigFaults) as raised:
        load_config(tmp_path)
    assert [f"{tmp_path}/a.toml:1: jobs"] == [str(fault).partition(": is no")[0] for fault in raised.value.faults]


def test_a_literal_secret_is_refused_and_never_repeated(tmp_path: Path) -> None:
    results = faults(tmp_path, '[routes.r]\nurls = ["mailto://user:CANARY@host"]\n' + GOOD)
    assert any(LITERAL_REFUSED in result for result in results)
    assert "CANARY" not in "\n".join(results)


def edge(up: str, down: str, *more: str) -> str:
    return "\n".join(["[[dependencies]]", f'upstream = "dwh/{up}"', f'downstream = "dwh/{down}"', *more, ""])


def test_a_cycle_is_reported_job_by_job_with_the_place_of_each_edge(tmp_path: Path) -> None:
    (result,) = faults(tmp_path, edge("a", "b") + edge("x", "a") + edge("b", "c") + edge("c", "a") + GOOD)
    here, _, text = result.partition(": dependencies.")
    assert "dependency cycle: " in text
    assert 4 == text.count("dwh/"), result
    assert {"headway.toml:2", "headway.toml:8", "headway.toml:11"} == {here, *places(text, tmp_path)}


def places(text: str, folder: Path) -> list[str]:
    return re.findall(rf"{re.escape(str(folder))}/([a-z]+\.toml:\d+)", text)


def test_a_circle_across_two_files_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD + edge("a", "b"))
    (tmp_path / "b.toml").write_text("\n" + edge("y", "z") + edge("b", "a"))
    with pytest.raises(ConfigFaults) as raised:
        load_config(tmp_path)
    [fault] = raised.value.faults
    line = GOOD.count("\n") + 2
    assert {f"a.toml:{line}", "b.toml:6"} == set(places(str(fault), tmp_path))
    assert ": dependencies.1.upstream: dependency cycle: dwh/a → dwh/b → dwh/a (here, " in str(fault)


@each_row(
    "name, other, text",
    [
        ('mode = "hold"', 'mode = "trigger"', 'mode is "hold", here "trigger"'),
        ("", 'mode = "hold"', 'mode is "observe", here "hold"'),
        ('mode = "hold"', 'mode = "hold"\nhold_for = "2h"', "hold_for is 6:00:00, here 2:00:00"),
        (
            'mode = "hold"\nengine_down = "closed"',
            'mode = "hold"',
            'engine_down is "closed", here "open"',
        ),
    ],
)
def test_one_pair_that_says_two_things_is_a_fault(tmp_path: Path, name: str, other: str, text: str) -> None:
    (result,) = faults(tmp_path, edge("a", "b", name) + edge("a", "b", other) + GOOD)
    assert f'"dwh/a" → "dwh/b" is declared at {tmp_path}/headway.toml:' in result
    assert f"already, and there {text}. Keep one of them." in result
    assert result.startswith("headway.toml:")
    assert int(result.split(":")[1]) > 4


def test_the_same_dependency_in_the_files_of_two_teams_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD + edge("a", "b", 'mode = "hold"'))
    (tmp_path / "b.toml").write_text(edge("a", "b", 'mode = "hold"'))
    assert 2 == len(load_config(tmp_path).dependencies)


def test_no_engine_means_one_thing_for_one_downstream(tmp_path: Path) -> None:
    closed, opened = ('mode = "hold"', 'engine_down = "closed"'), ('mode = "trigger"', 'engine_down = "open"')
    (result,) = faults(tmp_path, edge("a", "c", *closed) + edge("b", "c", *opened) + GOOD)
    assert result.startswith('headway.toml:10: dependencies.2.engine_down: "open", and "closed" at ')
    assert [f"{tmp_path}/headway.toml:5", 'for the same downstream "dwh/c"', "Write the same in both"] == [
        text for text in (f"{tmp_path}/headway.toml:5", 'for the same downstream "dwh/c"', "Write the same in both")
        if text in result
    ]  # fmt: skip
    (tmp_path / "headway.toml").write_text(edge("a", "c", *closed) + edge("b", "c") + GOOD)
    assert 2 == len(load_config(tmp_path / "headway.toml").dependencies)


@each_row(
    "permissions, is_fault",
    [
        ("", False),
        ('[[permissions]]\nwho = ["*"]\nrole = "act"\n', True),
        ('[[permissions]]\nwho = ["*"]\nrole = "approve"\ntiers = [2, 3]\n', True),
        ('[[permissions]]\nwho = ["*"]\nrole = "approve"\ntiers = [1]\n', False),
        ('[[permissions]]\nwho = ["root"]\nrole = "admin"\n', False),
    ],
)
def test_an_approval_without_an_approver_is_an_error(tmp_path: Path, permissions: str, is_fault: bool) -> None:
    text = f"[acting]\napproval_tiers = [1]\n{permissions}{GOOD}"
    if is_fault:
        (result,) = faults(tmp_path, text)
        expected = (
            "headway.toml:2: acting.approval_tiers: tier 1 requires another person's approval, and no [[permissions]]"
        )
        assert result.startswith(expected)
    else:
        (tmp_path / "headway.toml").write_text(text)
        assert (1,) == load_config(tmp_path / "headway.toml").acting.approval_tiers


def test_a_job_that_feeds_itself_is_a_circle() -> None:
    assert ["a/x"] == find_cycle([("a/x", "a/x"), ("a/x", "a/y")])


def test_no_circle_is_found_where_there_is_none() -> None:
    assert [] == find_cycle([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])


@each_row("end", range(1, len(GOOD), 7))
def test_f63_half_written_config_is_faults_or_settings_but_never_a_traceback(tmp_path: Path, end: int) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD[:end])
    with suppress(ConfigFaults):
        load_config(file)


def test_broken_toml_names_its_line(tmp_path: Path) -> None:
    (result,) = faults(tmp_path, 'x = "1\n')
    assert result.startswith("headway.toml:1: is not valid TOML")


@each_row(
    "line, fix",
    [
        ("deadline = 07:30", 'Fix: write deadline = "07:30"'),
        ("sudo = yes  # soon", "Fix: write true if sudo takes true or false, else one of its texts in quotes."),
        ("starts_in = off", "Fix: write false if starts_in takes true or false, else one of its texts in quotes."),
        ("starts_in = live", 'Fix: write starts_in = "live". The rest'),
        ("sudo = False", "Fix: write sudo = false. The rest"),
        ("deadline: 07:30", "Fix: the config is TOML, not YAML: write deadline = …"),
        ('deadline: "07:30"', "Fix: the config is TOML, not YAML: write deadline = …"),
        ("quiet_hours:", "Fix: the config is TOML, not YAML: write quiet_hours = …"),
        ("services:  # ours", "Fix: the config is TOML, not YAML: write [services.NAME] with its keys below"),
        (
            "dependencies:",
            "Fix: the config is TOML, not YAML: write [[dependencies]] above each upstream and downstream",
        ),
        ("estate:", "Fix: the config is TOML, not YAML: write [estate] with its keys below"),
        ("---", "Fix: the config is TOML, not YAML: write [services.NAME] for a table and KEY = VALUE below it"),
        ("%YAML 1.2", "Fix: the config is TOML, not YAML: write [services.NAME] for a table and KEY = VALUE below it"),
        ("- load", "Fix: the config is TOML, not YAML: write [services.NAME] for a table and KEY = VALUE below it"),
        ("at = [06:00:00, 07:30]", 'Fix: write "07:30". The rest'),
        ("quiet_hours = { tier = 2, from = 22:00, to = 07:00 }", 'Fix: write "22:00". The rest'),
        ("delivered_by = [dwh/publish]", 'Fix: write "dwh/publish". The rest'),
        ('x = "1', "Fix that line."),
    ],
)
def test_a_line_as_people_write_it_in_yaml_has_its_fix(tmp_path: Path, line: str, fix: str) -> None:
    (result,) = faults(tmp_path, f"[services.supply]\n{line}\n")
    assert result.startswith("headway.toml:2: is not valid TOML: ")
    assert f". {fix}" in result


@each_row("zone", ["CET2", "CEST", "MESZ", "Berlin time", "GMT+2", "GMT-05", "UTC+1"])
def test_a_zone_is_never_explained_by_the_abbreviation_of_another(zone: str) -> None:
    with pytest.raises(ValueError, match='write a city of the zone, as in "Europe/Berlin"'):
        checked_zone(zone)


@each_row(
    "text, place",
    [
        ("x = 1\nx = 2\n", "2: x"),
        ("[systems.a]\nkind = 'cron'\n[systems.a]\n", "3: systems.a"),
        ("[systems.a]\n# \u2028 [b]\nkind = 'cron'\n'kind' = [\n 'x',\n]\n", "4: systems.a.kind"),
        ("[a]\nb = { c = 1,\td = 2, c = 3 }\n", "2: a.b.c"),
        ("[a]\nb.c = 1\nb = 2\n", "3: a.b"),
        ('[jobs]\nid="x"\nurls = [\n  ["a", "b"],\n]\nid="y"\n', "6: jobs.id"),
        ('[jobs]\nid = 1\nabout = """\n[note] see\n"""\nid = 2\n', "6: jobs.id"),
        ("[jobs]\nid = 1\nabout = '''\n[note] \"\"\" # see '''''\nid = 2 # \"\"\"\n", "5: jobs.id"),
        ('[jobs]\nid = "[" # """ [\nabout = """\n\\""" [\n"""""\nid = 2\n', "6: jobs.id"),
        ("[jobs]\nall = [\n  { a = 1 },\n  { a = 1, b = [\n  ], a = 2 },\n]\n", "2: jobs.all.a"),
    ],
)
def test_what_is_defined_twice_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    problem = "is defined twice. Fix: remove one of the two definitions. The rest was not read."
    assert [f"headway.toml:{place}: {problem}"] == faults(tmp_path, text)


@pytest.mark.quiet
def test_a_key_that_is_defined_twice_in_a_large_file_is_found_soon(tmp_path: Path) -> None:
    rows = "".join(f"  {{ a = {number} }},\n" for number in range(6000))
    begun = process_time()
    (result,) = faults(tmp_path, f"[jobs]\nall = [\n{rows}  {{ a = 1, a = 2 }},\n]\n")
    assert result.startswith("headway.toml:2: jobs.all.a: is defined twice.")
    assert process_time() - begun < 5


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults, match=r'no such file\. Fix: "headway init" writes one'):
        load_config(tmp_path / "none.toml")


def test_a_folder_is_one_estate_and_a_name_is_defined_in_one_file_only(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text('[jobs."dwh/a"]\nowner = "other"\n')
    with pytest.raises(ConfigFaults) as raised:
        load_config(tmp_path)
    assert [f"{tmp_path}/b.toml: jobs.dwh/a: is declared in {tmp_path}/a.toml too. Keep one."] == [
        str(fault) for fault in raised.value.faults
    ]


def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_bytes(b'[estate]\nname = "caf\xe9"\n[systems.dwh]\nkind = "cron"\nhostz = ["db07"]\n')
    with pytest.raises(ConfigFaults) as raised:
        load_config(file)
    assert [
        f"{file}:2: is not UTF-8: it has the byte 0xe9. Save the file as UTF-8.",
        f'{file}:5: systems.dwh.hostz: unknown key. Did you mean "hosts"?',  # and not that hosts is missing
    ] == [str(fault) for fault in raised.value.faults]


@each_row("written, likely", [("630", "06:30"), ("2315", "23:15"), ("6.5", "06:30"), ("99", "06:30")])
def test_a_deadline_without_quotes_names_the_time_that_was_meant(tmp_path: Path, written: str, likely: str) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(
        '[systems.dwh]\nkind = "manual"\n[systems.dwh.steps.publish]\nat = "05:00"\n'
        '[services.supply]\ntimezone = "UTC"\n'
        f'delivered_by = ["dwh/publish"]\ndeadline = {written}\n'
    )
    with pytest.raises(ConfigFaults) as raised:
        load_config(file)
    assert [f'{file}:8: services.supply.deadline: {written} is not a time of day; write "{likely}".'] == [
        str(fault) for fault in raised.value.faults
    ]


def test_a_store_beside_the_config_is_found_without_the_heavy_reader(tmp_path: Path) -> None:
    from console.config.paths import store_url

    file = tmp_path / "headway.toml"
    file.write_text(GOOD)
    assert str(tmp_path / "headway.db") == store_url(file)
    tables: dict[str, Any] = tomllib.loads(GOOD)
    assert "estate" not in tables


@each_row(
    "text, is_found",
    [
        ('[estate]\nstore = "night.db"\n[systems.x]\nkind = "cr', True),
        ('[systems.x\n[estate] # ours\nname = "a"\nstore = "night.db"\n\n[routes', True),
        ('[estate]\nstore = "nig', False),
        ('[estate]\nname = "a"\n[systems.x', False),
        ("[systems.x", False),
    ],
)
def test_the_store_is_found_beside_a_fault_elsewhere_and_never_guessed(
    tmp_path: Path, text: str, is_found: bool
) -> None:
    """Status and freeze work while somebody's edit does not."""
    from console.config.paths import NoStore, store_url

    file = tmp_path / "headway.toml"
    file.write_text(text)
    if is_found:
        assert str(tmp_path / "night.db") == store_url(file)
    else:
        with pytest.raises(NoStore, match="headway check"):
            store_url(file)


def test_a_store_in_its_usual_place_is_found_beside_a_fault_where_no_file_names_another(tmp_path: Path) -> None:
    """At night nobody waits for somebody's edit, nor is shown another estate's store."""
    from console.config.paths import NoStore, store_url

    file = tmp_path / "headway.toml"
    file.write_text('[estate]\nname = "a"\n[systems.x')
    (tmp_path / "headway.db").touch()
    assert str(tmp_path / "headway.db") == store_url(file)
    file.write_text('[estate\nstore = "night.db"\n')
    with pytest.raises(NoStore, match="headway check"):
        store_url(file)


def test_a_broken_file_in_a_folder_hides_no_store_that_another_names(tmp_path: Path) -> None:
    from console.config.paths import store_url

    (tmp_path / "a.toml").write_text('[estate]\nstore = "night.db"\n')
    (tmp_path / "b.toml").write_text("[systems.x")
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    assert str(tmp_path / "night.db") == store_url(tmp_path)


def test_a_mode_that_a_kind_cannot_do_is_a_fault_with_the_kinds_own_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = registry.load("pg_cron")
    held = '[[dependencies]]\nupstream = "dwh/a"\ndownstream = "dwh/b"\nmode = "hold"\n'
    lame = replace(kind, capabilities=frozenset({Capability.RERUN}), missing={Capability.HOLD: "it has no switch."})
    monkeypatch.setattr(registry, "load", lambda _: lame)
    [fault] = faults(tmp_path, held + GOOD)
    expected = 'headway.toml:4: dependencies.1.mode: "hold" cannot work on "dwh/b": it has no switch. Write "observe".'
    assert expected == fault


@pytest.mark.parametrize("opened", ["file", "folder", "linked folder"])
def test_config_that_others_may_write_is_not_used(tmp_path: Path, opened: str) -> None:
    folder = tmp_path / "headway.d"
    folder.mkdir()
    file = folder / "a.toml"
    file.write_text(GOOD)
    load_config(folder)
    path = folder
    if opened == "file":
        file.chmod(0o666)
    else:
        folder.chmod(0o777)
    if opened == "linked folder":
        path = tmp_path / "link.toml"
        path.symlink_to(file)
    with pytest.raises(ConfigFaults) as raised:
        load_config(path)
    wrong, mode = (file, "0666") if opened == "file" else (folder, "0777")
    problem = f"is not used, because others may write {wrong} (mode {mode}). Fix: chmod go-w {wrong}."
    assert [f"{path}: {problem}"] == [str(fault) for fault in raised.value.faults]


def test_the_command_of_a_store_is_not_run_from_config_that_others_may_write(tmp_path: Path) -> None:
    from console.config.paths import NoStore, store_url

    file = tmp_path / "headway.toml"
    file.write_text(f'[estate]\nstore = {{ command = ["touch", "{tmp_path}/ran"] }}\n')
    file.chmod(0o666)
    with pytest.raises(NoStore, match=r"others may write .* \(mode 0666\)\. Fix: chmod go-w"):
        store_url(file)
    assert not (tmp_path / "ran").exists()
