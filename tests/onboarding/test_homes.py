"""The facts in files of a home, without any of their secrets; broken files hide no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.kubernetes.connector import CONNECTOR as KUBERNETES
from connectors.sdk.registry import load
from connectors.systemd.connector import CONNECTOR
from console.onboarding import local_files
from console.onboarding.discovery import DETECTORS, discover
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness, is_configured, with_zones
from tests.deep import few
from tests.onboarding.homes import SECRET, machine, put
from tests.rows import each_row


def by_key(schedulers: list[DetectedScheduler]) -> dict[str, DetectedScheduler]:
    return {scheduler.key: scheduler for scheduler in schedulers}


def nothing(_: str) -> None:
    """The process list does not show the search."""


def test_each_aws_profile_is_found_with_its_region_and_no_key(tmp_path: Path) -> None:
    schedulers = by_key(list(local_files.aws(machine(tmp_path))))
    profiles = ["default", "prod", "no-region", "old-laptop"]
    assert [f"aws:{profile}" for profile in profiles] == [key for key in schedulers if key.startswith("aws:")]
    assert ("eu-west-1", "prod") == (
        schedulers["aws:prod"].settings["region"],
        schedulers["aws:prod"].settings["profile"],
    )
    assert (WatchReadiness.ON_CONSENT, WatchReadiness.NEEDS) == (
        schedulers["aws:prod"].ready,
        schedulers["aws:no-region"].ready,
    )
    assert SECRET not in str(schedulers)


def test_the_region_may_stand_beside_the_keys_and_the_config_is_where_it_belongs(tmp_path: Path) -> None:
    put(tmp_path / ".aws/credentials", "[default]\nregion = eu-central-1\n[bare]\naws_access_key_id = A\n")
    schedulers = by_key(list(local_files.aws(Machine(tmp_path, {}))))
    assert ("eu-central-1", WatchReadiness.ON_CONSENT) == (
        schedulers["aws:default"].settings["region"],
        schedulers["aws:default"].ready,
    )
    assert f"set region in {tmp_path}/.aws/config, or AWS_REGION" in schedulers["aws:bare"].note


def test_keys_of_the_environment_are_a_finding_without_their_values(tmp_path: Path) -> None:
    machine_ = Machine(tmp_path, {"AWS_ACCESS_KEY_ID": SECRET, "AWS_REGION": "eu-north-1"})
    scheduler, *others = local_files.aws(machine_)
    assert ["glue", "batch", "emr", "eventbridge"] == [scheduler.kind for scheduler in others]
    assert ("eu-north-1", WatchReadiness.ON_CONSENT, False) == (
        scheduler.settings["region"],
        scheduler.ready,
        "profile" in scheduler.settings,
    )
    assert SECRET not in str(scheduler)


def test_an_airflow_home_yields_its_address_and_its_dag_files(tmp_path: Path) -> None:
    [scheduler] = local_files.airflow(machine(tmp_path))
    assert "http://localhost:8080" == scheduler.settings["url"]
    assert (WatchReadiness.NEEDS, True) == (scheduler.ready, "3 DAG files" in scheduler.note)
    assert "set AIRFLOW_PASSWORD" in scheduler.note


def test_airflow_with_its_password_in_the_environment_is_queried_and_the_password_is_a_reference(
    tmp_path: Path,
) -> None:
    [scheduler] = local_files.airflow(machine(tmp_path, AIRFLOW_PASSWORD=SECRET, AIRFLOW_USERNAME="admin"))
    assert (WatchReadiness.ON_CONSENT, "admin") == (scheduler.ready, scheduler.settings["username"])
    assert {"env": "AIRFLOW_PASSWORD"} == scheduler.settings["password"]
    assert SECRET not in str(scheduler)


def test_other_aws_schedulers_are_listed_by_name_alone(tmp_path: Path) -> None:
    schedulers = by_key(list(local_files.aws(machine(tmp_path))))
    assert {"glue", "batch", "emr", "eventbridge"} == {
        scheduler.kind for scheduler in schedulers.values() if not scheduler.is_wanted
    } - {"step_functions"}
    assert "aws-glue-prod" == schedulers["aws-glue:prod"].name
    for scheduler in schedulers.values():
        load(scheduler.kind).options.model_validate(
            {key: setting for key, setting in scheduler.settings.items() if key != "timezone"}
        )


def test_each_databricks_profile_is_found_and_its_token_stays_where_it_is(tmp_path: Path) -> None:
    schedulers = by_key(list(local_files.databricks(machine(tmp_path, DATABRICKS_TOKEN_STAGING=SECRET))))
    assert ["databricks:DEFAULT", "databricks:staging"] == list(schedulers)
    first, second = schedulers.values()
    assert (WatchReadiness.NEEDS, WatchReadiness.ON_CONSENT) == (first.ready, second.ready)
    assert "set DATABRICKS_TOKEN_DEFAULT to a token of that workspace" in first.note
    assert ("https://adb-2.azuredatabricks.net", {"env": "DATABRICKS_TOKEN_STAGING"}) == (
        second.settings["url"],
        second.settings["token"],
    )
    assert not second.is_wanted, "it is a person's own token"
    assert SECRET not in str(schedulers)


def test_an_invalid_databricks_address_is_reported_with_a_fix(tmp_path: Path) -> None:
    machine_ = Machine(tmp_path, {"DATABRICKS_HOST": "https://[odd", "DATABRICKS_TOKEN": SECRET})
    [scheduler] = local_files.databricks(machine_)
    assert (WatchReadiness.NEEDS, "'https://[odd' is not an address") == (scheduler.ready, scheduler.note)


def test_contexts_of_a_kubeconfig_are_listed_by_name_alone(tmp_path: Path) -> None:
    schedulers = list(local_files.kube(machine(tmp_path)))
    assert ["kube:prod-admin", "kube:batch"] == [scheduler.key for scheduler in schedulers]
    assert [(WatchReadiness.ON_CONSENT, False)] * 2 == [
        (scheduler.ready, scheduler.is_wanted) for scheduler in schedulers
    ]
    settings = {name: value for name, value in schedulers[0].settings.items() if name != "timezone"}
    options = KUBERNETES.options.model_validate(settings)
    assert ("prod-admin", tmp_path / ".kube/config") == (options.context, options.kubeconfig)
    assert SECRET not in str(schedulers)


def test_a_kubeconfig_without_the_package_that_reads_it_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "find_spec", lambda name: None)
    scheduler = next(local_files.kube(machine(tmp_path)))
    assert (WatchReadiness.NEEDS, True) == (scheduler.ready, 'install "headway[kubernetes]"' in scheduler.note)


def test_timers_of_this_machine_can_be_watched_now(tmp_path: Path) -> None:
    [timers] = local_files.timers(machine(tmp_path))
    assert (WatchReadiness.NOW, 2, "systemd") == (timers.ready, timers.jobs, timers.kind)
    assert "logrotate.timer, backup.timer" in timers.note
    assert CONNECTOR.options.model_validate({k: v for k, v in timers.settings.items() if k != "timezone"})


def test_a_kubeconfig_may_be_json_and_several(tmp_path: Path) -> None:
    put(tmp_path / "a.json", '{"contexts": [{"name": "one"}]}')
    put(tmp_path / "b.json", '{"contexts": [{"name": "two"}]}')
    schedulers = list(
        local_files.kube(Machine(tmp_path, {"KUBECONFIG": f"{tmp_path}/a.json:{tmp_path}/none:{tmp_path}/b.json"}))
    )
    assert ["one", "two"] == [scheduler.settings["context"] for scheduler in schedulers]


@pytest.mark.parametrize(
    "text, contexts",
    [
        ("{apiVersion: v1, contexts: [{name: a, context: {cluster: c, user: u}}, {context: {}, name: 'b'}]}", "ab"),
        ('contexts: [{"name": "a", "context": {"namespace": "x"}}]\nclusters: [{name: c, cluster: {}}]\n', "a"),
        ("contexts: []\nclusters: [{name: c}]\n", ""),
        ("contexts:\n-\n  ? name\n  : o\n", "o"),
    ],
)
def test_a_kubeconfig_may_be_in_flow_style(tmp_path: Path, text: str, contexts: str) -> None:
    put(tmp_path / ".kube/config", text)
    assert [*contexts] == [scheduler.settings["context"] for scheduler in local_files.kube(Machine(tmp_path, {}))]


def test_a_kubeconfig_with_unreadable_contexts_is_reported(tmp_path: Path) -> None:
    put(tmp_path / ".kube/config", "contexts: [{name: odd")
    [scheduler] = local_files.kube(Machine(tmp_path, {}))
    assert (WatchReadiness.NEEDS, True) == (scheduler.ready, "cannot be read" in scheduler.note)


def test_plain_hosts_of_ssh_are_candidates_with_their_address_and_key(tmp_path: Path) -> None:
    schedulers = by_key(list(local_files.ssh_hosts(machine(tmp_path))))
    assert ["ssh:db07", "ssh:etl02", "ssh:legacy"] == list(schedulers)
    entry = {"name": "db07", "address": "10.0.0.7", "user": "ops", "port": 2222}
    assert [entry] == schedulers["ssh:db07"].settings["hosts"]
    assert "~/.ssh/ops_ed25519" == schedulers["ssh:db07"].settings["key"]
    assert not schedulers["ssh:db07"].is_wanted


def test_a_machine_with_nothing_has_nothing(tmp_path: Path) -> None:
    bare = Machine(tmp_path, {"PATH": str(tmp_path)}, etc=tmp_path, sockets=())
    assert [] == [scheduler for text, finder in DETECTORS if text != "crontabs" for scheduler in finder(bare)]


@pytest.mark.parametrize(
    "name", few([".aws/config", ".databrickscfg", ".kube/config", ".ssh/config", "airflow/airflow.cfg"], 2)
)
@pytest.mark.parametrize(
    "data", few([b"\xff\xfe\x00[", b"[[[", b"no section = 1\n", b"{" * 5000, b"\x1b]0;x\x07[a]\nhost="], 2)
)
def test_a_broken_file_hides_no_other(tmp_path: Path, name: str, data: bytes) -> None:
    here = machine(tmp_path)
    (tmp_path / name).write_bytes(data)
    schedulers = discover(here, nothing)
    assert not [scheduler for scheduler in schedulers if "looking for it broke" in scheduler.note]
    kinds = {scheduler.key.partition(":")[0] for scheduler in schedulers}
    broken = {".aws/config": "aws", ".databrickscfg": "databricks", ".kube/config": "kube", ".ssh/config": "ssh",
              "airflow/airflow.cfg": "airflow"}[name]  # fmt: skip
    assert {"aws", "databricks", "kube", "ssh", "airflow", "systemd"} - {broken} <= kinds


def test_a_finder_that_breaks_says_so_and_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Machine) -> list[DetectedScheduler]:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(
        "console.onboarding.discovery.DETECTORS", (("trouble", breaks), ("Databricks", local_files.databricks))
    )
    scheduler, after, _ = discover(machine(tmp_path), nothing)
    assert ("detection failed: ZeroDivisionError: of ours", "databricks:DEFAULT") == (scheduler.note, after.key)


CRON = {"kind": "cron", "hosts": ["db07", {"name": "db08"}]}
DSN = {"kind": "pgagent", "dsn": {"env": "DWH_DSN"}}
FLOWS = {"kind": "airflow", "url": "https://a.example.com", "username": "me"}


@each_row(
    "kind, settings, expected",
    [
        ("cron", {"hosts": [{"name": "db08", "port": 22}]}, True),
        ("cron", {"hosts": [{"name": "db07"}, {"name": "db08"}]}, True),
        ("cron", {"hosts": [{"name": "db08"}, {"name": "db09"}]}, False),
        ("slurm", {"hosts": [{"name": "db08"}]}, False),
        ("pg_cron", {"dsn": {"env": "DWH_DSN"}}, True),
        ("pg_cron", {"dsn": {"env": "DWH_URL"}}, False),
        ("airflow", {"url": "https://a.example.com", "username": "headway"}, True),
        ("airflow", {"url": "https://A.example.com/"}, True),
        ("airflow", {"url": "https://b.example.com"}, False),
        ("glue", {"region": "eu-west-1"}, False),
    ],
)
def test_a_scheduler_of_the_config_is_known_by_its_place(
    kind: str, settings: dict[str, object], expected: bool
) -> None:
    finding = DetectedScheduler("x", "x", "x", WatchReadiness.NOW, kind=kind, settings=settings)
    assert expected is is_configured(finding, (CRON, DSN, FLOWS))


@each_row(
    "own, zones, expected",
    [
        ("Etc/UTC", {"cron": "Europe/Berlin"}, ["Europe/Berlin", "Europe/Berlin"]),
        ("Asia/Tokyo", {"cron": "Europe/Berlin"}, ["Europe/Berlin", "Asia/Tokyo"]),
        ("Etc/UTC", {}, ["Etc/UTC", "Etc/UTC"]),
        ("Etc/UTC", {"x": "Asia/Tokyo", "cron": "Europe/Berlin", "y": "Asia/Tokyo"}, ["Europe/Berlin", "Asia/Tokyo"]),
    ],
)
def test_a_system_has_the_zone_of_its_host_and_others_that_of_most(
    own: str, zones: dict[str, str], expected: list[str]
) -> None:
    systems = [
        DetectedScheduler(key, key, "x", WatchReadiness.NOW, settings={"timezone": own}) for key in ("cron", "dwh")
    ]
    assert expected == [system.settings["timezone"] for system in with_zones(systems, zones)]
